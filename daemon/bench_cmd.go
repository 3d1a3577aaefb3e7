package daemon

import (
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/spf13/cobra"

	"github.com/latticed/latticed/daemon/bench"
)

// benchCommand is `latticed bench`.
func benchCommand() *cobra.Command {
	o := bench.Options{Addr: "127.0.0.1:11211", Conns: 50, Threads: 1, Pipeline: 1, MultiGet: 1, GetShare: 0.9, Keys: 100_000,
		KeySize: 16, ValueSize: 32, Warmup: time.Second, Duration: 10 * time.Second}
	var asJSON, noPreload bool
	cmd := &cobra.Command{
		Use: "bench", Short: "Put load on a memcached server and measure it",
		Long: "bench keeps connections to a memcached server busy, checks every reply, and prints operations per second,\n" +
			"latencies and, given the server's process (--pid, Linux), its CPU time for one operation.\n" +
			"It overwrites keys that consist of digits.",
		Example: "  latticed bench --pipeline 16 --pid $(pidof latticed)\n  latticed bench --addr unix:/run/latticed.sock --meta --gets 0\n" +
			"  latticed bench --multiget 50 --keys 1000000 --zipf 0.99 --json",

		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt)
			defer stop()
			if !noPreload {
				if err := bench.Preload(ctx, o); err != nil {
					return err
				}
			}
			terminal := false
			if st, err := os.Stderr.Stat(); err == nil && st.Mode()&os.ModeCharDevice != 0 {
				terminal = true
				o.Progress = func(p bench.Progress) {
					what := "warming up"
					if p.Measuring {
						what = "measuring"
					}
					fmt.Fprintf(os.Stderr, "\r\x1b[K%s: %3.0f s, %.0f op/s", what, p.Elapsed.Seconds(), p.OpsPerSec)
				}
			}
			rep, err := bench.Run(ctx, o)
			if terminal {
				fmt.Fprint(os.Stderr, "\r\x1b[K")
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
				err = fmt.Errorf("%d replies were wrong, the first: %s", rep.Errors.Total(), rep.Errors.First)
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Addr, "addr", o.Addr, "server, HOST:PORT or unix:PATH")
	f.BoolVar(&o.Meta, "meta", false, "meta protocol (mg, ms) instead of classic text")
	f.IntVar(&o.Conns, "connections", o.Conns, "connections")
	f.IntVar(&o.Threads, "threads", o.Threads, "threads of the client")
	f.IntVar(&o.Pipeline, "pipeline", o.Pipeline, "requests sent at once on a connection")
	f.IntVar(&o.MultiGet, "multiget", o.MultiGet, "keys of one get")
	f.Float64Var(&o.GetShare, "gets", o.GetShare, "share of gets, 0 to 1; the rest are sets")
	f.IntVar(&o.Keys, "keys", o.Keys, "number of keys")
	f.IntVar(&o.KeySize, "key-size", o.KeySize, "bytes of a key")
	f.IntVar(&o.ValueSize, "value-size", o.ValueSize, "bytes of a value")
	f.Float64Var(&o.Zipf, "zipf", 0, "skew of the key choice, for instance 0.99; 0 is uniform")
	f.IntVar(&o.TTL, "ttl", 0, "lifespan given to sets, in seconds")
	f.DurationVar(&o.Warmup, "warmup", o.Warmup, "load before the measurement")
	f.DurationVar(&o.Duration, "duration", o.Duration, "the measurement")
	f.IntSliceVar(&o.PIDs, "pid", nil, "process of the server (repeatable)")
	f.Uint64Var(&o.Seed, "seed", 0, "of the choice of keys")
	f.BoolVar(&noPreload, "no-preload", false, "do not set every key first")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
