package daemon

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/latticed/latticed/daemon/bench"
)

// benchCommand is `latticed bench`.
func benchCommand() *cobra.Command {
	o := bench.Options{Addr: "127.0.0.1:11211", Protocol: "text", Conns: 50, Threads: 1, Pipeline: 1, MultiGet: 1, GetShare: 0.9,
		Keys: 100_000, KeySize: bench.Fixed(16), ValueSize: bench.Fixed(32), Warmup: time.Second, Duration: 10 * time.Second}
	_ = o.TTL.Set("0") // a right spec
	var asJSON, noPreload bool
	cmd := &cobra.Command{
		Use: "bench", Short: "Put load on a cache server and measure it",
		Long: "bench keeps connections to a memcached or REST server busy, checks every reply, and prints operations per second,\n" +
			"latencies, hits and, given the server's process (--pid, Linux), its CPU time for one operation.\n" +
			"It overwrites keys that consist of digits.\n\n" +
			"Normally each connection sends --pipeline requests and waits for their replies (a closed loop). With --rate requests\n" +
			"are due at fixed times instead, and latency counts from then (an open loop): what users of a server see that others\n" +
			"load. A client thread then polls, so give it a CPU of its own.",
		Example: "  latticed bench --pipeline 16 --pid $(pidof latticed)\n" +
			"  latticed bench --addr unix:/run/latticed.sock --protocol meta --gets 0\n" +
			"  latticed bench --multiget 50 --keys 1000000 --zipf 0.99 --json\n" +
			"  latticed bench --rate 40000 --pipeline 64 --duration 1m\n" +
			"  latticed bench --cache-aside --gets 1 --keys 4000000 --zipf 0.99 --value-size lognormal:300:1 --ttl 0:80,60:20",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runBench(cmd, o, !noPreload && !o.CacheAside, asJSON)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.Addr, "addr", o.Addr, "server, HOST:PORT or unix:PATH")
	f.StringVar(&o.Protocol, "protocol", o.Protocol, "one of "+strings.Join(bench.Protocols, ", "))
	f.BoolVar(&o.TLS, "tls", false, "speak TLS, whatever the server's certificate is")
	f.IntVar(&o.Conns, "connections", o.Conns, "connections")
	f.IntVar(&o.Threads, "threads", o.Threads, "threads of the client")
	f.IntVar(&o.Pipeline, "pipeline", o.Pipeline, "requests sent at once on a connection; with --rate, outstanding at most")
	f.IntVar(&o.MultiGet, "multiget", o.MultiGet, "keys of one get")
	f.Float64Var(&o.GetShare, "gets", o.GetShare, "share of gets, 0 to 1; the rest are sets")
	f.BoolVar(&o.CacheAside, "cache-aside", false, "store what was not found; implies --no-preload")
	f.Float64Var(&o.Rate, "rate", 0, "requests per second of an open loop; 0: a closed loop")
	f.IntVar(&o.Keys, "keys", o.Keys, "number of keys")
	f.Var(&o.KeySize, "key-size", "bytes of a key: 16, or 16-40, or lognormal:MEAN:SIGMA")
	f.Var(&o.ValueSize, "value-size", "bytes of a value, likewise")
	f.Var(&o.TTL, "ttl", "lifespan given to sets, in seconds, or a mix with weights: 0:50,60:50")
	f.Float64Var(&o.Zipf, "zipf", 0, "skew of the key choice, for instance 0.99; 0: uniform")
	f.IntVar(&o.Drift, "drift", 0, "choices after which popularity moves on by a thousandth of the keys")
	f.Float64Var(&o.Scan, "scan", 0, "share of choices that walk through all keys in order")
	f.Float64Var(&o.OneHit, "one-hit", 0, "share of choices that are keys never used again")
	f.Uint64Var(&o.Seed, "seed", 0, "of the choice of keys")
	f.DurationVar(&o.Warmup, "warmup", o.Warmup, "load before the measurement")
	f.DurationVar(&o.Duration, "duration", o.Duration, "the measurement")
	f.IntVar(&o.WarmupRequests, "warmup-requests", 0, "with --requests: load before the measurement")
	f.IntVar(&o.Requests, "requests", 0, "measure this many requests instead of --duration; also for --cache-aside without its sets")
	f.IntSliceVar(&o.PIDs, "pid", nil, "process of the server (repeatable)")
	f.BoolVar(&noPreload, "no-preload", false, "do not set every key first")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func runBench(cmd *cobra.Command, o bench.Options, preload, asJSON bool) error {
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt)
	defer stop()
	errOut := cmd.ErrOrStderr()
	terminal := false
	if f, ok := errOut.(*os.File); ok {
		info, err := f.Stat()
		terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	show := func(what string) func(bench.Progress) {
		if !terminal {
			return nil
		}
		return func(p bench.Progress) {
			if what == "" && p.Measuring {
				fmt.Fprintf(errOut, "\r\x1b[Kmeasuring: %3.0f s, %.0f requests/s", p.Elapsed.Seconds(), p.PerSecond)
			} else {
				fmt.Fprintf(errOut, "\r\x1b[K%s: %3.0f s, %.0f requests/s", cmp.Or(what, "warming up"), p.Elapsed.Seconds(), p.PerSecond)
			}
		}
	}
	if preload {
		o.Progress = show("preloading")
		if err := bench.Preload(ctx, o); err != nil {
			return err
		}
	}
	o.Progress = show("")
	rep, err := bench.Run(ctx, o)
	if terminal {
		fmt.Fprint(errOut, "\r\x1b[K")
	}
	if err != nil {
		return err
	}
	if asJSON {
		e := json.NewEncoder(cmd.OutOrStdout())
		e.SetIndent("", "  ")
		err = e.Encode(rep)
	} else {
		err = rep.Print(cmd.OutOrStdout())
	}
	if err == nil && rep.Errors.Total() > 0 {
		err = fmt.Errorf("bench: %d replies were wrong, the first: %s", rep.Errors.Total(), rep.Errors.First)
	}
	return err
}
