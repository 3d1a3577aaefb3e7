// Command soak starts a latticed and is hostile to it: clients that break off anywhere, read slowly or not at all, hold
// half requests open, send lines, keys and values that are too long, random bytes, and all commands mixed, over plain
// connections and TLS; by HTTP/1.1 and HTTP/2 they use, list, make and remove caches, listen, and leave answers where they
// are. Meanwhile probes use it as good clients do. In the end the daemon must hold no more
// goroutines, descriptors and memory than before, must have answered the probe throughout, and must have counted what
// happened. It prints what was done, what was counted and what was found, and fails if anything was found.
//
// It knows the daemon from outside only, and works on Linux, where /proc tells what a process holds.
package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"sort"
	"sync"
	"sync/atomic"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/latticed/latticed/scripts/process"
)

func main() {
	o := options{}
	flag.StringVar(&o.daemon, "daemon", "bin/latticed", "the binary")
	flag.DurationVar(&o.duration, "duration", 10*time.Minute, "how long")
	flag.IntVar(&o.random, "random", 100_000, "random connections, spread over the duration")
	flag.IntVar(&o.clients, "clients", 2, "clients of each kind at once")
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()), "of the random numbers")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

type options struct {
	daemon          string
	duration        time.Duration
	random, clients int
	seed            uint64
}

// soak is one run. Its methods may be called from any goroutine.
type soak struct {
	options
	addr     string
	ctx      context.Context // ends when clients are to stop
	flushes  atomic.Int64
	framings []framing
	left     atomic.Int64 // random connections still to be made

	mu       sync.Mutex
	did      map[string]int
	findings map[string]int
	probes   []time.Duration
	misses   int
}

// count says that something was done.
func (s *soak) count(what string) {
	s.mu.Lock()
	s.did[what]++
	s.mu.Unlock()
}

// find says that something was not as it must be. Equal texts are counted together.
func (s *soak) find(format string, args ...any) {
	s.mu.Lock()
	s.findings[fmt.Sprintf(format, args...)]++
	s.mu.Unlock()
}

func run(ctx context.Context, o options) error {
	fmt.Printf("soak: %v, seed %d\n", o.duration, o.seed)
	d, err := process.Start(o.daemon, "--listen", "127.0.0.1:0", "--memory", "128MiB", "--max-connections", "2000", "--tls-self-signed")
	if err != nil {
		return err
	}
	defer d.Kill()
	s := &soak{options: o, addr: d.Addr, framings: framings(d.Addr), did: map[string]int{}, findings: map[string]int{}}

	// What a warm process holds is the measure: the store is full, pools and stacks have their size.
	warm := min(max(o.duration/10, 5*time.Second), time.Minute)
	s.left.Store(int64(o.random / 10))
	if err := s.load(ctx, warm); err != nil {
		return fmt.Errorf("warm-up: %w", err)
	}
	before, err := settle(ctx, d, min(restFor, max(o.duration/4, 5*time.Second)), nil)
	if err != nil {
		return fmt.Errorf("after the warm-up: %w", err)
	}
	s.mu.Lock()
	s.did, s.probes = map[string]int{}, nil
	s.mu.Unlock()
	fmt.Printf("warm: %s\n", describe(before))

	s.left.Store(int64(o.random))
	if err := s.load(ctx, o.duration); err != nil {
		return err
	}
	limit := before.RSS + before.RSS/10 + 16<<20
	after, err := settle(ctx, d, 0, func(n process.State) bool {
		return n.RSS <= limit && n.Goroutines <= before.Goroutines && n.Descriptors <= before.Descriptors
	})
	if err != nil {
		s.find("%v", err)
	}
	s.judge(before, after)
	if code, err := d.End(); err != nil || code != 0 {
		s.find("the end: exit code %d, %v", code, err)
	}
	for _, line := range d.Complaints() {
		s.find("log: %s", line)
	}
	return s.report(before, after)
}

// load lets all clients loose for some time and returns when they are gone and the store is full.
func (s *soak) load(outer context.Context, d time.Duration) error {
	if err := prefill(s.addr); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(outer, d)
	defer cancel()
	s.ctx = ctx
	var wg sync.WaitGroup
	every := func(n int, pause time.Duration, f func(*client)) {
		for range n {
			seed := rand.Uint64() ^ s.seed
			wg.Go(func() {
				c := &client{soak: s, r: rand.New(rand.NewPCG(s.seed, seed))}
				for ctx.Err() == nil {
					f(c)
					s.sleep(pause/2 + time.Duration(c.r.Int64N(int64(pause))))
				}
				if c.good != nil {
					c.good.Close()
				}
			})
		}
	}
	n := s.clients
	every(n, 10*time.Millisecond, (*client).mixed)
	every(n, 20*time.Millisecond, (*client).cut)
	every(n, time.Second, (*client).slowReader)
	every(n, time.Second, (*client).hold)
	every(n, 200*time.Millisecond, (*client).halfClose)
	every(n, 50*time.Millisecond, (*client).tooLong)
	every(n, 50*time.Millisecond, (*client).http)
	every(n, 200*time.Millisecond, (*client).tls)
	every(1, 45*time.Second, (*client).flood)
	pause := max(d*5/2/time.Duration(s.left.Load()+1), 50*time.Microsecond) // each of four; making one takes time too
	every(4, pause, func(c *client) {
		if s.left.Add(-1) >= 0 {
			c.random()
		}
	})
	every(1, 20*time.Millisecond, (*client).probe)
	every(4*n, 20*time.Millisecond, (*client).web)
	every(n, 100*time.Millisecond, (*client).frames)
	every(1, 50*time.Millisecond, (*client).probeWeb)
	wg.Wait()
	for _, f := range s.framings {
		f.transport.(interface{ CloseIdleConnections() }).CloseIdleConnections()
	}
	if outer.Err() != nil {
		return outer.Err()
	}
	return prefill(s.addr)
}

func (s *soak) sleep(d time.Duration) {
	select {
	case <-s.ctx.Done():
	case <-time.After(d):
	}
}

func (s *soak) judge(before, after process.State) {
	if after.Goroutines > before.Goroutines {
		s.find("goroutines: %d before, %d after", before.Goroutines, after.Goroutines)
	}
	if after.Descriptors > before.Descriptors {
		s.find("descriptors: %d before, %d after", before.Descriptors, after.Descriptors)
	}
	if after.RSS > before.RSS+before.RSS/10+16<<20 {
		s.find("memory: %d MiB before, %d after", before.RSS>>20, after.RSS>>20)
	}
	if after.Counters["panics"] > 0 {
		s.find("%v sessions panicked", after.Counters["panics"])
	}
	for _, name := range []string{"accepted", "unrecognised", "waits", "silent-kicks"} {
		if after.Counters[name] <= before.Counters[name] {
			s.find("the counter %s did not move: %v", name, after.Counters[name])
		}
	}
	if len(s.probes) == 0 {
		s.find("the probe never got an answer")
	}
	// An entry may be flushed between the probe's set and its get, but nothing else may take it.
	if int64(s.misses) > s.flushes.Load() {
		s.find("the probe missed %d entries it had just set; there were %d flushes", s.misses, s.flushes.Load())
	}
}

func (s *soak) report(before, after process.State) error {
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "\n\tbefore\tafter\n")
	fmt.Fprintf(t, "goroutines\t%d\t%d\n", before.Goroutines, after.Goroutines)
	fmt.Fprintf(t, "descriptors\t%d\t%d\n", before.Descriptors, after.Descriptors)
	fmt.Fprintf(t, "resident MiB\t%.1f\t%.1f\n", mib(before.RSS), mib(after.RSS))
	fmt.Fprintf(t, "heap MiB\t%.1f\t%.1f\n", mib(before.Counters["heap"]), mib(after.Counters["heap"]))
	for _, name := range keys(after.Counters) {
		if name != "heap" && name != "goroutines" && (before.Counters[name] != 0 || after.Counters[name] != 0) {
			fmt.Fprintf(t, "%s\t%d\t%d\n", name, before.Counters[name], after.Counters[name])
		}
	}
	fmt.Fprintf(t, "\ndone\ttimes\n")
	for _, what := range keys(s.did) {
		fmt.Fprintf(t, "%s\t%d\n", what, s.did[what])
	}
	if n := len(s.probes); n > 0 {
		sort.Slice(s.probes, func(i, k int) bool { return s.probes[i] < s.probes[k] })
		at := func(q float64) time.Duration {
			return s.probes[min(n-1, int(q*float64(n)))].Round(10 * time.Microsecond)
		}
		fmt.Fprintf(t, "\nprobe\t%d times, %d misses\tp50 %v  p99 %v  p99.9 %v  max %v\n", n, s.misses, at(.5), at(.99), at(.999), at(1))
	}
	t.Flush()
	if len(s.findings) == 0 {
		fmt.Println("\nnothing found")
		return nil
	}
	fmt.Println("\nFOUND")
	for _, what := range keys(s.findings) {
		fmt.Printf("  %d x %s\n", s.findings[what], what)
	}
	return fmt.Errorf("%d kinds of findings; repeat with -seed %d", len(s.findings), s.seed)
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }

func keys[V any](m map[string]V) []string {
	list := make([]string, 0, len(m))
	for k := range m {
		list = append(list, k)
	}
	sort.Strings(list)
	return list
}
