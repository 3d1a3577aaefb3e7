// Package bench is a load generator for memcached servers, text and meta protocol: it keeps connections busy, checks
// every reply byte by byte and says how many operations a second came back, how long they took and what they cost the
// server's processor.
//
// It is no part of serving and imports nothing of ours. Run's caller waits; the load runs on one goroutine per thread
// with epoll where there is one (epoll_linux.go), on one goroutine per connection elsewhere (stream.go). Both drive
// the same lane, which is pure: requests out, replies in.
package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Options say what load to make. Zero counts, sizes and durations have defaults: 50 connections, one thread, pipeline
// and multi-get 1, 100,000 keys of 16 bytes, values of 32, 10 s.
type Options struct {
	Addr      string        // host:port, or unix:PATH
	Meta      bool          // mg and ms instead of get and set
	Conns     int           // connections
	Threads   int           // epoll loops that share them
	Pipeline  int           // requests written at once; the next ones follow when all are answered
	MultiGet  int           // keys of one get
	GetShare  float64       // share of gets among the requests, 0 to 1
	Keys      int           // how many different keys
	KeySize   int           // bytes
	ValueSize int           // bytes
	Zipf      float64       // skew of the key choice; 0 is uniform
	TTL       int           // seconds, given to every set
	Warmup    time.Duration // load before the measurement
	Duration  time.Duration // the measurement
	PIDs      []int         // server processes whose CPU time and memory are read
	Seed      uint64        // of the choice of keys

	// Progress, when set, is called about once a second from the goroutine that called Run.
	Progress func(Progress)

	stream bool // use the portable driver, for tests
}

// Progress is what a run that is under way has done.
type Progress struct {
	Elapsed   time.Duration
	Ops       uint64 // since start, warm-up included
	OpsPerSec float64
	Measuring bool
}

func (o Options) withDefaults() Options {
	def := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	def(&o.Conns, 50)
	def(&o.Threads, 1)
	def(&o.Pipeline, 1)
	def(&o.MultiGet, 1)
	def(&o.Keys, 100_000)
	def(&o.KeySize, 16)
	def(&o.ValueSize, 32)
	if o.Duration == 0 {
		o.Duration = 10 * time.Second
	}
	o.Threads = min(o.Threads, o.Conns)
	return o
}

func (o Options) check() error {
	switch {
	case o.Addr == "":
		return errors.New("bench: no address")
	case o.Conns < 1 || o.Threads < 1 || o.Pipeline < 1 || o.MultiGet < 1 || o.Keys < 1 || o.ValueSize < 1:
		return errors.New("bench: connections, threads, pipeline, multi-get, keys and value size must be at least 1")
	case o.GetShare < 0 || o.GetShare > 1:
		return fmt.Errorf("bench: share of gets %v is not between 0 and 1", o.GetShare)
	case o.Zipf < 0 || o.Zipf > 10:
		return fmt.Errorf("bench: zipf %v is not between 0 and 10", o.Zipf)
	case o.KeySize < len(fmt.Sprint(o.Keys-1)) || o.KeySize > 250:
		return fmt.Errorf("bench: a key of %d bytes cannot name %d keys (at most 250 bytes)", o.KeySize, o.Keys)
	case o.Keys > 1<<31:
		return fmt.Errorf("bench: %d keys are too many", o.Keys)
	case o.ValueSize > 128<<20:
		return fmt.Errorf("bench: a value of %d bytes is too large", o.ValueSize)
	}
	return nil
}

// The phases of a run.
const (
	warming = iota
	measuring
	stopping
)

// run is what the threads of one Run share.
type run struct {
	o       Options
	preload bool
	phase   atomic.Int32
	base    time.Time
	pattern []byte
	gen     gen
}

func (r *run) now() int64 { return int64(time.Since(r.base)) }

// Run makes the load and reports. Connections that break are counted, an error is returned when none could be opened
// or none survived, or when ctx ends.
func Run(ctx context.Context, o Options) (*Report, error) { return start(ctx, o, false) }

// Preload sets every key once.
func Preload(ctx context.Context, o Options) error {
	o.GetShare, o.MultiGet, o.Zipf, o.PIDs = 0, 1, 0, nil
	o.Pipeline = min(64, max(1, (1<<20)/max(1, o.ValueSize)))
	rep, err := start(ctx, o, true)
	if err != nil {
		return err
	}
	if rep.Errors.Total() > 0 {
		return fmt.Errorf("bench: preload: %d errors, the first: %s", rep.Errors.Total(), rep.Errors.First)
	}
	return nil
}

func start(ctx context.Context, o Options, preload bool) (*Report, error) {
	o = o.withDefaults()
	if err := o.check(); err != nil {
		return nil, err
	}
	r := &run{o: o, preload: preload, base: time.Now(), pattern: newPattern(o.ValueSize), gen: newGen(o)}
	if preload {
		o.Conns = min(o.Conns, 8)
		o.Threads = 1
	}
	conns := make([]net.Conn, 0, o.Conns)
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	network, addr := "tcp", o.Addr
	if path, ok := strings.CutPrefix(o.Addr, "unix:"); ok {
		network, addr = "unix", path
	}
	for range o.Conns {
		c, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, network, addr)
		if err != nil {
			return nil, fmt.Errorf("bench: connect: %w", err)
		}
		conns = append(conns, c)
	}

	drive := epollDrive
	if drive == nil || o.stream {
		drive = streamDrive
	}
	works := make([]*work, o.Threads)
	var next atomic.Int64 // of a preload
	for i := range works {
		works[i] = newWork(r, uint64(i), &next)
	}
	errs := make([]error, o.Threads)
	var wg sync.WaitGroup
	for i, w := range works {
		var mine []net.Conn
		for k := i; k < len(conns); k += o.Threads {
			mine = append(mine, conns[k])
		}
		wg.Go(func() { errs[i] = drive(w, mine) })
	}
	ended := make(chan struct{})
	go func() { wg.Wait(); close(ended) }()

	rep := &Report{}
	begin := time.Now()
	if preload {
		select {
		case <-ended:
		case <-ctx.Done():
			r.phase.Store(stopping)
			<-ended
			return nil, ctx.Err()
		}
	} else if err := r.measure(ctx, rep, works, ended); err != nil {
		r.phase.Store(stopping)
		<-ended
		return nil, errors.Join(err, errors.Join(errs...))
	}
	r.phase.Store(stopping)
	<-ended
	if preload {
		rep.Elapsed = time.Since(begin)
	}
	for _, w := range works {
		rep.add(w)
	}
	rep.finish()
	return rep, errors.Join(errs...)
}

// measure waits through warm-up and measurement and reads the processors' time at both ends of the latter.
func (r *run) measure(ctx context.Context, rep *Report, works []*work, ended <-chan struct{}) error {
	begin := time.Now()
	var lastOps uint64
	last := begin
	wait := func(d time.Duration, on bool) error {
		end := time.Now().Add(d)
		for {
			left := time.Until(end)
			if left <= 0 {
				return nil
			}
			if r.o.Progress != nil {
				left = min(left, time.Second)
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-ended:
				return errors.New("bench: every connection broke")
			case <-time.After(left):
			}
			if r.o.Progress != nil {
				var ops uint64
				for _, w := range works {
					ops += w.done.Load()
				}
				now := time.Now()
				r.o.Progress(Progress{now.Sub(begin), ops, float64(ops-lastOps) / now.Sub(last).Seconds(), on})
				lastOps, last = ops, now
			}
		}
	}
	if err := wait(r.o.Warmup, false); err != nil {
		return err
	}
	cpu0, err := cpuOf(r.o.PIDs)
	if err != nil {
		return err
	}
	self0, _ := cpuOf([]int{os.Getpid()}) // zero where it cannot be known
	t0 := time.Now()
	r.phase.Store(measuring)
	if err := wait(r.o.Duration, true); err != nil {
		return err
	}
	r.phase.Store(stopping)
	rep.Elapsed = time.Since(t0)
	cpu1, err := cpuOf(r.o.PIDs)
	if err != nil {
		return err
	}
	self1, _ := cpuOf([]int{os.Getpid()})
	rep.ServerCPU, rep.ClientCPU = cpu1-cpu0, self1-self0
	rep.ServerRSS = rssOf(r.o.PIDs)
	return nil
}
