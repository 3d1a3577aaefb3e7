//go:build unix

package evloop_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/protocols"
	"github.com/latticed/latticed/router"
	"github.com/latticed/latticed/router/evloop"
	"github.com/latticed/latticed/router/routertest"
)

// toy is a protocol of lines, one request each: `get N` brings N bytes and a line feed, `quit N` too and closes, `late`
// the answer that the test gives when it likes, `hold` waits in Step for the test, `spin` asks for further turns until
// the test ends that, `crawl` likewise, each taking a millisecond, `boom` panics, there and in Close.
type toy struct {
	asked   chan *protocols.Env // a session has an answer outstanding
	holding chan *protocols.Env
	release chan struct{}
	spun    atomic.Bool
	steps   atomic.Int64
	clock   *routertest.Clock
}

func (*toy) Name() string                                { return "toy" }
func (*toy) Sniff([]byte) protocols.Match                { return protocols.Yes }
func (p *toy) Open(env *protocols.Env) protocols.Session { return &toySession{p: p, env: env} }

var xs = bytes.Repeat([]byte{'x'}, router.Room)

type toySession struct {
	p    *toy
	env  *protocols.Env
	left int // bytes of a reply still to be rendered
	held int
	boom bool
}

func (s *toySession) Step(t *protocols.Turn) (p protocols.Progress) {
	s.p.steps.Add(1)
	for _, a := range t.Late {
		if s.held == 0 {
			continue // answered twice
		}
		s.held--
		t.Out = append(append(t.Out, a.Res.Value...), '\n')
	}
	for {
		for s.left > 0 {
			n := min(s.left, t.Room-len(t.Out))
			if n <= 0 {
				p.Next, p.Held = protocols.Flush, s.held
				return p
			}
			t.Out = append(t.Out, xs[:n]...)
			if s.left -= n; s.left == 0 {
				t.Out[len(t.Out)-1] = '\n'
			}
		}
		end := bytes.IndexByte(t.In[p.Used:], '\n')
		if end < 0 {
			p.Held = s.held
			return p
		}
		line := string(t.In[p.Used : p.Used+end])
		p.Used += end + 1
		switch line {
		case "late":
			s.held++
			s.p.asked <- s.env
		case "hold":
			s.p.holding <- s.env
			<-s.p.release
			t.Out = append(t.Out, "held\n"...)
		case "spin", "crawl":
			if !s.p.spun.Load() {
				if line == "crawl" {
					s.p.clock.Advance(time.Millisecond)
				}
				p.Used -= end + 1
				p.Next = protocols.Flush
				return p
			}
			t.Out = append(t.Out, "spun\n"...)
		case "boom":
			s.boom = true
			panic("boom")
		default:
			verb, number, _ := strings.Cut(line, " ")
			n, err := strconv.Atoi(number)
			if err != nil {
				panic(err)
			}
			if verb == "quit" {
				t.Out = append(append(t.Out, strings.Repeat("x", n)...), '\n')
				p.Next = protocols.Close
				return p
			}
			s.left = n + 1
		}
	}
}

func (s *toySession) Close() {
	if s.boom {
		panic("boom again")
	}
}

// advance moves the clock and has the hub look at it.
func (f *fixture) advance(d time.Duration) {
	f.clock.Advance(d)
	f.hub.Sweep()
}

// fixture is one server with the toy protocol.
type fixture struct {
	*toy
	hub    *router.Hub
	server *evloop.Server
	ln     net.Listener
	served *router.Listener
	stop   func(ctx context.Context)
}

func start(t *testing.T) *fixture {
	t.Helper()
	return startWith(t, router.Options{})
}

func startWith(t *testing.T, o router.Options) *fixture {
	t.Helper()
	return startLoops(t, o, 1)
}

func startLoops(t *testing.T, o router.Options, n int) *fixture {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{ln: ln, toy: &toy{
		asked: make(chan *protocols.Env, 1000), holding: make(chan *protocols.Env), release: make(chan struct{}), clock: &routertest.Clock{},
	}}
	o.Clock = f.clock
	f.hub = router.NewHub(o)
	f.server, err = evloop.Start(f.hub, n)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	f.served = &router.Listener{Net: ln, Protocols: []protocols.Protocol{f.toy}}
	go func() { served <- f.server.Serve(f.served) }()
	var once sync.Once
	f.stop = func(ctx context.Context) {
		once.Do(func() {
			ln.Close()
			if err := <-served; err != nil {
				t.Errorf("Serve: %v", err)
			}
			if err := f.server.Shutdown(ctx); err != nil {
				t.Errorf("Shutdown: %v", err)
			}
		})
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		f.stop(ctx)
	})
	return f
}

func (f *fixture) dial(t *testing.T) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", f.ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c.(*net.TCPConn)
}

func send(t *testing.T, c net.Conn, s string) {
	t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		t.Fatal(err)
	}
}

func expect(t *testing.T, c net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	n, err := io.ReadFull(c, got)
	if string(got[:n]) != want {
		t.Fatalf("got %.80q (%v), want %.80q", got[:n], err, want)
	}
}

// body is a large value that counts how often it is closed.
type body struct{ closed atomic.Int64 }

func (*body) Len() int              { return 0 }
func (*body) Piece(int, int) []byte { return nil }
func (b *body) Close()              { b.closed.Add(1) }

func TestPanicEndsOneConnection(t *testing.T) {
	f := start(t)
	other := f.dial(t)
	c := f.dial(t)
	send(t, c, "boom\n")
	routertest.ExpectEnd(t, c)
	routertest.Eventually(t, "both panics counted", func() bool { return f.hub.Panics.Load() == 2 })
	send(t, other, "get 1\n")
	expect(t, other, "x\n")
}

func TestLateAnswers(t *testing.T) {
	f := start(t)
	c := f.dial(t)
	send(t, c, "late\nlate\n")
	env := <-f.asked
	<-f.asked
	value := []byte("first")
	f.hub.Answer(env.Conn, 1, &grid.Result{Value: value})
	copy(value, "XXXXX") // the value was copied
	f.hub.Answer(env.Conn, 0, &grid.Result{Value: []byte("second")})
	expect(t, c, "first\nsecond\n")

	// Half-closed with an answer outstanding: it is still delivered, then comes the end.
	send(t, c, "late\n")
	<-f.asked
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	routertest.Eventually(t, "the hand-off", func() bool { return f.hub.HalfClosed.Load() == 1 })
	f.hub.Answer(env.Conn, 2, &grid.Result{Value: []byte("third")})
	expect(t, c, "third\n")
	routertest.ExpectEnd(t, c)

	// After close, and a second time: dropped, counted, the body closed.
	routertest.Eventually(t, "no connection", func() bool { return f.hub.Conns.Load() == 0 })
	var b body
	f.hub.Answer(env.Conn, 2, &grid.Result{Body: &b})
	f.hub.Wake(env.Conn)
	env.Owner.Wake()
	if got := f.hub.LateDropped.Load(); got != 1 || b.closed.Load() != 1 {
		t.Errorf("dropped %d answers and closed %d bodies, want 1 and 1", got, b.closed.Load())
	}
}

// more is what makes a client that does not read move to a goroutine, and what it gets for it.
var more, moreReplies = strings.Repeat("get 2\n", 2*router.MaxParked/6), strings.Repeat("xx\n", 2*router.MaxParked/6)

func TestLateAnswerAfterHandOff(t *testing.T) {
	f := start(t)
	c := f.dial(t)
	const large = 16 << 20
	send(t, c, fmt.Sprintf("late\nget %d\n", large))
	env := <-f.asked
	go func() { _, _ = io.WriteString(c, more) }()
	routertest.Eventually(t, "the hand-off", func() bool { return f.hub.Streams.Load() == 1 })
	f.hub.Answer(env.Conn, 0, &grid.Result{Value: []byte("late")})
	want := large + 1 + 5 + len(moreReplies)
	got, err := io.ReadAll(io.LimitReader(c, int64(want)))
	if len(got) != want || err != nil || bytes.Count(got, []byte("late\n")) != 1 {
		t.Fatalf("got %d bytes and the answer %d times (%v), want %d and once", len(got), bytes.Count(got, []byte("late\n")), err, want)
	}
}

// TestWaitingOnTheLoop has a client that reads late, but sends little: it stays on its loop, late answers wait with it,
// and nothing of it is kept when it has read.
func TestWaitingOnTheLoop(t *testing.T) {
	f := start(t)
	c, other := f.dial(t), f.dial(t)
	const large = 16 << 20
	send(t, c, fmt.Sprintf("late\nget %d\nget 1\n", large))
	env := <-f.asked
	routertest.Eventually(t, "a wait", func() bool { return f.hub.Waits.Load() > 0 })
	f.hub.Answer(env.Conn, 0, &grid.Result{Value: bytes.Repeat([]byte{'v'}, 10000)})
	routertest.Eventually(t, "what is kept is counted", func() bool { return f.hub.Buffered.Load() > 10000 })
	send(t, other, "get 1\n")
	expect(t, other, "x\n")
	want := large + 1 + 10001 + 2
	got, err := io.ReadAll(io.LimitReader(c, int64(want)))
	if len(got) != want || err != nil || bytes.Count(got, []byte("v\n")) != 1 {
		t.Fatalf("got %d bytes and the answer %d times (%v), want %d and once", len(got), bytes.Count(got, []byte("v\n")), err, want)
	}
	send(t, c, "get 3\n")
	expect(t, c, "xxx\n")
	if n := f.hub.SlowReaders.Load(); n != 0 {
		t.Errorf("%d hand-offs, want 0", n)
	}
	if n := f.hub.Buffered.Load(); n != 0 {
		t.Errorf("%d bytes are counted as kept, want 0", n)
	}
	if c.CloseWrite(); f.hub.HalfClosed.Load() != 0 {
		t.Error("a connection with nothing outstanding was handed off")
	}
}

// TestHalfCloseWhileWaiting is a half-close with unwritten output.
func TestHalfCloseWhileWaiting(t *testing.T) {
	f := start(t)
	c := f.dial(t)
	const large = 16 << 20
	send(t, c, fmt.Sprintf("get %d\nget 1\n", large))
	routertest.Eventually(t, "a wait", func() bool { return f.hub.Waits.Load() > 0 })
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	routertest.Eventually(t, "the hand-off", func() bool { return f.hub.HalfClosed.Load() == 1 })
	if n, err := io.Copy(io.Discard, c); n != large+1+2 || err != nil {
		t.Fatalf("got %d bytes (%v), want %d", n, err, large+3)
	}
}

func TestClosingWithAnswersOutstanding(t *testing.T) {
	f := start(t)
	const conns = 1000
	var answers sync.WaitGroup
	for range 4 {
		answers.Go(func() {
			for range conns / 4 {
				env := <-f.asked
				f.hub.Answer(env.Conn, 0, &grid.Result{Value: []byte("v")})
				f.hub.Answer(env.Conn, 0, &grid.Result{Value: []byte("twice")})
			}
		})
	}
	for i := range conns {
		c := f.dial(t)
		send(t, c, "late\n")
		if i%2 == 0 {
			_ = c.SetLinger(0)
		}
		c.Close()
	}
	answers.Wait()
	routertest.Eventually(t, "all connections gone", func() bool { return f.hub.Conns.Load() == 0 && f.hub.Streams.Load() == 0 })
}

func TestWakesCoalesce(t *testing.T) {
	f := start(t)
	c := f.dial(t)
	send(t, c, "hold\n")
	env := <-f.holding
	before := f.steps.Load()
	var wakers sync.WaitGroup
	for range 4 {
		wakers.Go(func() {
			for range 10000 {
				env.Owner.Wake()
			}
		})
	}
	wakers.Wait()
	f.release <- struct{}{}
	expect(t, c, "held\n")
	send(t, c, "get 0\n")
	expect(t, c, "\n")
	if n := f.steps.Load() - before; n > 3 {
		t.Errorf("40,000 wakes in one Step led to %d more, want at most 3", n)
	}
}

func TestOthersGetTheirTurn(t *testing.T) {
	f := start(t)
	busy, other := f.dial(t), f.dial(t)
	send(t, busy, "spin\n")
	routertest.Eventually(t, "a yield", func() bool { return f.hub.Yields.Load() > 0 })
	send(t, other, "get 1\n")
	expect(t, other, "x\n")
	f.spun.Store(true)
	expect(t, busy, "spun\n")
}

// TestShares has connections end in every way while they wait for their next share of a round.
func TestShares(t *testing.T) {
	f := startLoops(t, router.Options{}, 3)
	conns := make([]*net.TCPConn, 30)
	for i := range conns {
		conns[i] = f.dial(t)
		send(t, conns[i], "spin\n")
	}
	other := f.dial(t)
	for i, c := range conns {
		switch i % 3 {
		case 1:
			if err := c.SetLinger(0); err != nil {
				t.Fatal(err)
			}
			c.Close()
		case 2:
			send(t, c, strings.Repeat("get 1\n", 100))
		}
		send(t, other, "get 1\n")
		expect(t, other, "x\n")
	}
	if err := conns[0].CloseWrite(); err != nil {
		t.Fatal(err)
	}
	routertest.Eventually(t, "those who left are gone", func() bool { return f.hub.Conns.Load() == 1+20 && f.hub.HalfClosed.Load() >= 1 })
	f.spun.Store(true)
	for i, c := range conns {
		switch i % 3 {
		case 0:
			expect(t, c, "spun\n")
		case 2:
			expect(t, c, "spun\n"+strings.Repeat("x\n", 100))
		}
	}
	routertest.ExpectEnd(t, conns[0])
}

// TestSlowStepsShareByTime has a connection spend its share of a round in fewer steps where they take long.
func TestSlowStepsShareByTime(t *testing.T) {
	f := start(t)
	c := f.dial(t)
	send(t, c, "crawl\n")
	routertest.Eventually(t, "yields", func() bool { return f.hub.Yields.Load() >= 100 })
	f.spun.Store(true)
	expect(t, c, "spun\n")
	if steps, yields := f.steps.Load(), int64(f.hub.Yields.Load()); steps > 3*yields {
		t.Errorf("%d steps of a millisecond in %d shares, want two in each", steps, yields)
	}
}

func TestShutdownWaitsForWhatIsInFlight(t *testing.T) {
	f := start(t)
	idle, busy := f.dial(t), f.dial(t)
	send(t, idle, "get 0\n")
	expect(t, idle, "\n")
	send(t, busy, "late\n")
	env := <-f.asked
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		f.stop(ctx)
	}()
	routertest.ExpectEnd(t, idle)
	f.hub.Answer(env.Conn, 0, &grid.Result{Value: []byte("in time")})
	expect(t, busy, "in time\n")
	routertest.ExpectEnd(t, busy)
	<-ended
	if n := f.hub.Cut.Load(); n != 0 {
		t.Errorf("cut %d connections, want 0", n)
	}
}

func TestShutdownCutsWhoDoesNotRead(t *testing.T) {
	f := start(t)
	c := f.dial(t)
	send(t, c, "get 1000000000\n")
	routertest.Eventually(t, "a wait", func() bool { return f.hub.Waits.Load() == 1 })
	moved := f.dial(t)
	send(t, moved, "get 1000000000\n")
	go func() { _, _ = io.WriteString(moved, more) }()
	routertest.Eventually(t, "the hand-off", func() bool { return f.hub.Streams.Load() == 1 })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	f.stop(ctx) // hangs without Kill
	if n := f.hub.Cut.Load(); n != 2 || f.hub.Streams.Load() != 0 {
		t.Errorf("cut %d connections and %d are left, want 2 and 0", n, f.hub.Streams.Load())
	}
}

// TestLastWords has clients that go on sending while they are told to go. Without lingering they get a reset, and mostly
// not the words.
func TestLastWords(t *testing.T) {
	f := start(t)
	words := strings.Repeat("x", 100000) + "\n"
	for _, piece := range []int{100, 50000} {
		c := f.dial(t)
		send(t, c, "quit 100000\n"+strings.Repeat("y", 300000))
		send(t, c, strings.Repeat("z", piece))
		got, err := io.ReadAll(c)
		if string(got) != words || err != nil {
			t.Fatalf("got %d bytes, %v, want %d", len(got), err, len(words))
		}
		send(t, c, "more of it")
		c.Close()
	}
	routertest.Eventually(t, "all connections gone", func() bool { return f.hub.Conns.Load() == 0 })
	if n := f.hub.Lingers.Load(); n != 2 || f.hub.LingersCut.Load() != 0 {
		t.Errorf("%d lingered and %d were cut, want 2 and 0", n, f.hub.LingersCut.Load())
	}

	// One that goes on for ever is cut.
	c := f.dial(t)
	send(t, c, "quit 0\n")
	expect(t, c, "\n")
	for err := error(nil); err == nil; {
		_, err = c.Write(make([]byte, 1<<16))
	}
	routertest.Eventually(t, "the cut", func() bool { return f.hub.LingersCut.Load() == 1 && f.hub.Conns.Load() == 0 })
}

func TestStall(t *testing.T) {
	f := start(t)
	dead, slow, idle := f.dial(t), f.dial(t), f.dial(t)
	send(t, idle, "get 1\n")
	expect(t, idle, "x\n")
	const large = 64 << 20
	send(t, dead, fmt.Sprintf("get %d\n", large))
	send(t, slow, fmt.Sprintf("get %d\n", large))
	routertest.Eventually(t, "two waits", func() bool { return f.hub.Waits.Load() == 2 })
	f.advance(router.StallTimeout)
	if n := f.hub.Stalled.Load(); n != 0 {
		t.Fatalf("%d stalled after exactly the time-out, want 0", n)
	}
	// Who takes something has as much time again.
	if _, err := io.CopyN(io.Discard, slow, 8<<20); err != nil {
		t.Fatal(err)
	}
	routertest.Eventually(t, "a further wait", func() bool { return f.hub.Waits.Load() > 2 })
	f.advance(time.Millisecond)
	routertest.Eventually(t, "one left", func() bool { return f.hub.Conns.Load() == 2 })
	f.advance(router.StallTimeout - time.Millisecond)
	if n, err := io.Copy(io.Discard, io.LimitReader(slow, large+1-8<<20)); n != large+1-8<<20 || err != nil {
		t.Errorf("the slow client got %d bytes more (%v), want %d", n, err, large+1-8<<20)
	}
	if n := f.hub.Stalled.Load(); n != 1 {
		t.Errorf("%d stalled, want 1", n)
	}
	send(t, idle, "get 1\n") // a connection that waits for nothing may do so for ever
	expect(t, idle, "x\n")
}

func TestIdle(t *testing.T) {
	f := start(t)
	f.served.SetPolicy(router.Policy{IdleTimeout: time.Minute})
	idle, busy := f.dial(t), f.dial(t)
	send(t, idle, "get 1\n")
	expect(t, idle, "x\n")
	f.advance(time.Minute)
	send(t, busy, "get 1\n")
	expect(t, busy, "x\n")
	if n := f.hub.IdleKicks.Load(); n != 0 {
		t.Fatalf("%d were closed after exactly the time-out, want 0", n)
	}
	f.advance(time.Millisecond)
	routertest.ExpectEnd(t, idle)
	send(t, busy, "get 2\n")
	expect(t, busy, "xx\n")
	if n := f.hub.IdleKicks.Load(); n != 1 {
		t.Errorf("%d were idle, want 1", n)
	}
}

func TestLingerIsBoundedByTime(t *testing.T) {
	f := start(t)
	c := f.dial(t)
	send(t, c, "quit 1\n")
	expect(t, c, "x\n")
	routertest.ExpectEnd(t, c)
	f.advance(router.LingerTimeout)
	if n := f.hub.Conns.Load(); n != 1 {
		t.Fatalf("%d connections after exactly the time-out, want 1", n)
	}
	f.advance(time.Millisecond)
	routertest.Eventually(t, "the close", func() bool { return f.hub.Conns.Load() == 0 && f.hub.LingersCut.Load() == 1 })
}

// TestBuffers has clients that send halves of requests until there is no room for more. Small ones are not touched.
func TestBuffers(t *testing.T) {
	const limit = 1 << 20
	f := startWith(t, router.Options{MaxBuffers: limit})
	small := f.dial(t)
	send(t, small, "get ")
	half := strings.Repeat("g", 200000)
	for range 20 {
		c := f.dial(t)
		_, _ = io.WriteString(c, half) // may fail: it is closed when it is one too many
	}
	routertest.Eventually(t, "somebody is closed", func() bool { return f.hub.BufferCuts.Load() >= 10 })
	routertest.Eventually(t, "the others are kept", func() bool {
		n := f.hub.Buffered.Load()
		return n <= limit && n > limit/2 && f.hub.Conns.Load() == 1+20-int64(f.hub.BufferCuts.Load())
	})
	send(t, small, "1\n")
	expect(t, small, "x\n")
}

// TestGather has many clients ask in the same rounds. What each gets is what it would get alone.
func TestGather(t *testing.T) {
	f := start(t)
	holder := f.dial(t)
	conns := make([]*net.TCPConn, 150)
	for i := range conns {
		conns[i] = f.dial(t)
	}
	hold := func() {
		send(t, holder, "hold\n")
		<-f.holding
	}
	release := func() {
		f.release <- struct{}{}
		expect(t, holder, "held\n")
	}
	for round := range 4 {
		hold()
		for i, c := range conns {
			send(t, c, fmt.Sprintf("get %d\nget %d\n", i, i*round*20))
		}
		release()
		for i, c := range conns {
			expect(t, c, strings.Repeat("x", i)+"\n"+strings.Repeat("x", i*round*20)+"\n")
		}
	}
	if n := f.hub.Gathered(); n == 0 {
		t.Fatal("no replies were gathered")
	}

	hold() // those who end after their request, or do not wait for the reply
	for i, c := range conns[:120] {
		send(t, c, "get 3\n")
		switch i % 4 {
		case 1:
			if err := c.CloseWrite(); err != nil {
				t.Fatal(err)
			}
		case 2:
			if err := c.SetLinger(0); err != nil {
				t.Fatal(err)
			}
			c.Close()
		case 3:
			send(t, c, "quit 2\n")
		}
	}
	release()
	for i, c := range conns[:120] {
		switch i % 4 {
		case 0:
			expect(t, c, "xxx\n")
		case 1:
			expect(t, c, "xxx\n")
			routertest.ExpectEnd(t, c)
		case 3:
			expect(t, c, "xxx\nxx\n")
			routertest.ExpectEnd(t, c)
		}
		c.Close()
	}
	routertest.Eventually(t, "those who left are gone", func() bool { return f.hub.Conns.Load() == 1+30 })

	hold() // a client that sends on while its reply is put aside, and one that does not read
	slow := conns[149]
	for _, c := range conns[120:] {
		send(t, c, strings.Repeat("get 100\n", 20))
	}
	release()
	const many = 20_000
	go func() { _, _ = io.WriteString(slow, strings.Repeat("get 100\n", many)) }()
	line := strings.Repeat("x", 100) + "\n"
	for _, c := range conns[120:149] {
		expect(t, c, strings.Repeat(line, 20))
	}
	expect(t, slow, strings.Repeat(line, 20+many))
}

// TestGatherWhileStopping stops a server that has replies put aside: they are written.
func TestGatherWhileStopping(t *testing.T) {
	f := start(t)
	holder := f.dial(t)
	conns := make([]*net.TCPConn, 100)
	for i := range conns {
		conns[i] = f.dial(t)
		send(t, conns[i], "get 1\n")
		expect(t, conns[i], "x\n")
	}
	for range 2 {
		send(t, holder, "hold\n")
		<-f.holding
		for _, c := range conns {
			send(t, c, "get 2\n")
		}
		f.release <- struct{}{}
		expect(t, holder, "held\n")
		for _, c := range conns {
			expect(t, c, "xx\n")
		}
	}
	send(t, holder, "hold\n")
	<-f.holding
	for _, c := range conns {
		send(t, c, "get 3\n")
	}
	f.release <- struct{}{}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	f.stop(ctx)
	for _, c := range conns { // a request that was not read any more is no fault, half a reply is
		got, _ := io.ReadAll(c)
		if s := string(got); s != "xxx\n" && s != "" {
			t.Fatalf("got %q", got)
		}
	}
}
