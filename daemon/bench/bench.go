// Package bench is a load generator for cache servers: it keeps connections busy, checks every reply byte by byte and
// says how many operations a second came back, how long they took, how many keys were there, and what they cost the
// server's processor.
//
// It is no part of serving and imports nothing of ours. Run's caller waits; the load runs on one goroutine per thread
// with epoll where there is one (epoll_linux.go), on one goroutine per connection elsewhere (stream.go). Both drive
// the same lane (lane.go), which is pure: requests out, replies in. What the bytes mean is a dialect's (dialect.go), or
// where replies come in any order, that of the lane's streams (http2.go).
package bench

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Options say what load to make. What is zero has a default: text, 50 connections, one thread, pipeline and multi-get
// 1, 100,000 keys of 16 bytes, values of 32, 10 s.
type Options struct {
	Addr      string  // host:port, or unix:PATH
	Protocol  string  // one of Protocols
	TLS       bool    // the certificate is not verified: what is measured is not trusted with anything
	Conns     int     // connections
	Threads   int     // epoll loops that share them
	Pipeline  int     // requests sent at once; the next ones follow when all are answered. With a Rate: outstanding at most
	MultiGet  int     // keys of one get
	GetShare  float64 // share of gets among the requests, 0 to 1
	KeySize   Sizes
	ValueSize Sizes
	TTL       TTLs // given to every set

	// Rate, in requests a second over all connections, makes it an open loop: requests are due at fixed times, each
	// connection's in turn, and latency counts from then, however late they could be sent.
	Rate float64
	// CacheAside stores what was not found, as applications do. Values of any size are right then, if their bytes are.
	CacheAside bool

	Keys   int     // how many different keys
	Zipf   float64 // skew of the key choice; 0 is uniform
	Drift  int     // choices after which the order of popularity moves by a thousandth of the keys; 0: never
	Scan   float64 // share of the choices that walk through all keys in order
	OneHit float64 // share of the choices that are never repeated keys; the seed says where they begin
	Seed   uint64  // of the choice of keys

	Warmup, Duration         time.Duration // load before the measurement, and the measurement
	WarmupRequests, Requests int           // the same as numbers of requests; Requests, if not 0, replaces both durations

	PIDs []int // server processes whose CPU time and memory are read

	// Progress, when set, is called about once a second from the goroutine that called Run.
	Progress func(Progress)

	stream bool // use the portable driver, for tests
}

// Progress is what a run that is under way has done.
type Progress struct {
	Elapsed   time.Duration
	Requests  uint64 // begun since start, warm-up included
	PerSecond float64
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
	if o.Protocol == "" {
		o.Protocol = Protocols[0]
	}
	if o.KeySize.table == nil {
		o.KeySize = Fixed(16)
	}
	if o.ValueSize.table == nil {
		o.ValueSize = Fixed(32)
	}
	if o.Duration == 0 {
		o.Duration = 10 * time.Second
	}
	o.Threads = min(o.Threads, o.Conns)
	return o
}

// onceRoom is how many never repeated keys one seed has.
const onceRoom = 1 << 23

func (o *Options) firstOnce() uint64 { return uint64(o.Keys) + o.Seed%256*onceRoom }

// lastKey is the largest key there can be.
func (o *Options) lastKey() uint64 {
	if o.OneHit > 0 {
		return uint64(o.Keys) + 256*onceRoom - 1
	}
	return uint64(o.Keys) - 1
}

func (o Options) check() error {
	share := func(f float64) bool { return f >= 0 && f <= 1 }
	digits := len(strconv.FormatUint(o.lastKey(), 10))
	switch {
	case o.Addr == "":
		return errors.New("bench: no address")
	case !slices.Contains(Protocols, o.Protocol):
		return fmt.Errorf("bench: protocol %q is none of %s", o.Protocol, strings.Join(Protocols, ", "))
	case o.Conns < 1 || o.Threads < 1 || o.Pipeline < 1 || o.MultiGet < 1 || o.Keys < 1:
		return errors.New("bench: connections, threads, pipeline, multi-get and keys must be at least 1")
	case o.MultiGet > 1 && strings.HasPrefix(o.Protocol, "http"):
		return errors.New("bench: HTTP has no get of several keys")
	case o.Protocol == "http2" && o.ValueSize.max() > maxHTTP2:
		return fmt.Errorf("bench: by HTTP/2 values have at most %d bytes", maxHTTP2)
	case !share(o.GetShare) || !share(o.Scan) || !share(o.OneHit) || o.Scan+o.OneHit > 1:
		return errors.New("bench: shares of gets, scans and one-hit keys must be between 0 and 1, the latter two together too")
	case !(o.Zipf >= 0 && o.Zipf <= 10):
		return fmt.Errorf("bench: zipf %v is not between 0 and 10", o.Zipf)
	case o.Zipf == 0 && o.Drift > 0:
		return errors.New("bench: drift needs zipf: without it no key is more popular than another")
	case !(o.Rate >= 0 && o.Rate <= 1e8):
		return fmt.Errorf("bench: rate %v is not between 0 and 100 million", o.Rate)
	case o.Drift < 0 || o.Requests < 0 || o.WarmupRequests < 0 || o.Warmup < 0 || o.Duration < 0:
		return errors.New("bench: durations and numbers of requests must not be negative")
	case int64(o.Keys) >= 1<<31:
		return fmt.Errorf("bench: %d keys are too many", o.Keys)
	case o.KeySize.min() < digits || o.KeySize.max() > 250:
		return fmt.Errorf("bench: keys of %s bytes: %d digits must fit, and 250 bytes be enough", o.KeySize.spec, digits)
	}
	return nil
}

// alpn is what TLS offers to speak.
func (o *Options) alpn() []string {
	switch o.Protocol {
	case "http":
		return []string{"http/1.1"}
	case "http2":
		return []string{"h2"}
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
	opened  int64 // an open loop's first request is due
	pattern []byte
	zipf    zipf
}

func newRun(o Options, preload bool) *run {
	return &run{o: o, preload: preload, base: time.Now(), pattern: newPattern(o.ValueSize.max()), zipf: newZipf(uint64(o.Keys), o.Zipf)}
}

func (r *run) now() int64 { return int64(time.Since(r.base)) }

// lane returns the i-th of all connections' lanes.
func (r *run) lane(w *work, i int) lane {
	l := lane{w: w, ask: w.d}
	if r.o.Protocol == "http2" {
		l.h2 = newStreams(newKeys(&r.o), r.o.host(), r.o.TLS)
		l.ask = l.h2
	}
	if r.o.Rate > 0 && !r.preload {
		step := 1e9 / r.o.Rate
		l.every = max(1, int64(step*float64(r.o.Conns)))
		l.due = r.opened + int64(step*float64(i))
	}
	return l
}

// Run makes the load and reports. Connections that break are counted, an error is returned when none could be opened
// or none survived, when nothing is answered any more, or when ctx ends.
func Run(ctx context.Context, o Options) (*Report, error) { return start(ctx, o, false) }

// Preload sets every key once.
func Preload(ctx context.Context, o Options) error {
	o.GetShare, o.MultiGet, o.Rate, o.Requests, o.WarmupRequests, o.PIDs = 0, 1, 0, 0, 0, nil
	o = o.withDefaults()
	o.Pipeline = min(64, max(1, (1<<20)/o.ValueSize.max()))
	o.Conns, o.Threads = min(o.Conns, 8), 1
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
	r := newRun(o, preload)
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
		if !o.TLS {
			continue
		}
		t := tls.Client(c, &tls.Config{InsecureSkipVerify: true, NextProtos: o.alpn()})
		conns[len(conns)-1] = t
		handshake, cancel := context.WithTimeout(ctx, 10*time.Second)
		err = t.HandshakeContext(handshake)
		cancel()
		if err != nil {
			return nil, fmt.Errorf("bench: TLS: %w", err)
		}
		if o.Protocol == "http2" && t.ConnectionState().NegotiatedProtocol != "h2" {
			return nil, errors.New("bench: TLS: the server did not choose HTTP/2")
		}
	}

	drive := epollDrive
	if drive == nil || o.stream || o.TLS {
		drive = streamDrive
	}
	r.opened = r.now()
	works := make([]*work, o.Threads)
	var next atomic.Int64 // of a preload
	for i := range works {
		works[i] = newWork(r, i, &next)
	}
	var m *meter
	if !preload && !o.warmsUp() {
		var err error
		if m, err = r.begin(); err != nil {
			return nil, err
		}
	}
	errs := make([]error, o.Threads)
	var wg sync.WaitGroup
	for i, w := range works {
		var mine []net.Conn
		var lanes []lane
		for k := i; k < len(conns); k += o.Threads {
			mine, lanes = append(mine, conns[k]), append(lanes, r.lane(w, k))
		}
		wg.Go(func() { errs[i] = drive(w, mine, lanes) })
	}
	ended := make(chan struct{})
	go func() { wg.Wait(); close(ended) }()

	rep := newReport()
	err := r.watch(ctx, rep, works, ended, m)
	r.phase.Store(stopping)
	<-ended
	if err = errors.Join(append(errs, err)...); err != nil {
		return nil, err
	}
	for _, w := range works {
		rep.add(w)
	}
	rep.finish()
	return rep, nil
}

// stalledAfter is how long a run that ends with a number of requests waits for a reply.
const stalledAfter = 30 * time.Second

var errBroke = errors.New("bench: every connection broke")

// warmsUp tells whether there is load before the measurement.
func (o *Options) warmsUp() bool {
	if o.Requests > 0 {
		return o.WarmupRequests > 0
	}
	return o.Warmup > 0
}

// meter is what a measurement began with.
type meter struct {
	at             time.Time
	server, client time.Duration // processors' time
}

// begin begins the measurement.
func (r *run) begin() (*meter, error) {
	server, err := cpuOf(r.o.PIDs)
	if err != nil {
		return nil, err
	}
	client, _ := cpuOf([]int{os.Getpid()}) // zero where it cannot be known
	m := &meter{time.Now(), server, client}
	r.phase.Store(measuring)
	return m, nil
}

// end ends it.
func (r *run) end(m *meter, rep *Report) error {
	rep.elapsed = time.Since(m.at)
	r.phase.Store(stopping)
	server, err := cpuOf(r.o.PIDs)
	if err != nil {
		return err
	}
	client, _ := cpuOf([]int{os.Getpid()})
	rep.server, rep.client = server-m.server, client-m.client
	rep.ServerRSS = rssOf(r.o.PIDs)
	return nil
}

// watch waits through warm-up and measurement. m is the measurement where it has begun with the load.
func (r *run) watch(ctx context.Context, rep *Report, works []*work, ended <-chan struct{}, m *meter) error {
	begin := time.Now()
	done := func() (n uint64) {
		for _, w := range works {
			n += w.done.Load()
		}
		return n
	}
	shown, shownAt := uint64(0), begin
	moved, movedAt := uint64(0), begin
	// wait returns nil when enough says so, errBroke when all lanes have ended.
	wait := func(enough func(done uint64) bool, every time.Duration, measuring bool) error {
		for {
			n, now := done(), time.Now()
			if enough(n) {
				return nil
			}
			if n != moved {
				moved, movedAt = n, now
			} else if now.Sub(movedAt) > stalledAfter && (r.o.Requests > 0 || r.preload) {
				return fmt.Errorf("bench: no reply for %v", stalledAfter)
			}
			if d := now.Sub(shownAt); r.o.Progress != nil && d >= time.Second {
				r.o.Progress(Progress{now.Sub(begin), n, float64(n-shown) / d.Seconds(), measuring})
				shown, shownAt = n, now
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-ended:
				return errBroke
			case <-time.After(every):
			}
		}
	}
	never := func(uint64) bool { return false }
	if r.preload {
		if err := wait(never, 100*time.Millisecond, false); err != errBroke {
			return err
		}
		return nil
	}
	lasting := func(d time.Duration) (func(uint64) bool, time.Duration) {
		end := time.Now().Add(d)
		return func(uint64) bool { return !time.Now().Before(end) }, min(max(d/50, time.Millisecond), 10*time.Millisecond)
	}
	if m == nil {
		enough, every := lasting(r.o.Warmup)
		if r.o.Requests > 0 {
			enough, every = func(n uint64) bool { return n >= uint64(r.o.WarmupRequests) }, time.Millisecond
		}
		if err := wait(enough, every, false); err != nil {
			return err
		}
		var err error
		if m, err = r.begin(); err != nil {
			return err
		}
	}
	if r.o.Requests > 0 {
		// Every lane ends when it has had its share: that is the end, unless they broke first, which the counts tell.
		if err := wait(never, 10*time.Millisecond, true); err != errBroke {
			return err
		}
	} else {
		enough, every := lasting(r.o.Duration)
		if err := wait(enough, every, true); err != nil {
			return err
		}
	}
	return r.end(m, rep)
}
