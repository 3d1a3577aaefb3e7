//go:build unix

// Package evloop drives connections on gnet's event loops. It is the only package that imports gnet.
//
// Three rules answer what gnet does not do. Listeners are ours: gnet ends its whole engine when accept runs out of
// descriptors, so connections are accepted by package router and enrolled into loops that have no listener. gnet never
// holds our output: a loop writes to the descriptor itself, once for each readable event. What a client does not take at
// once waits with the connection, which is not stepped until it is written; a watcher beside the loops says when to go
// on. And what is unread stays bounded: a connection that cannot be stepped while its input grows moves to
// router/stream, where not reading is back-pressure, and so does one whose client has closed its side while answers are
// outstanding.
package evloop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/panjf2000/gnet/v2"
	"github.com/panjf2000/gnet/v2/pkg/logging"
	"golang.org/x/sys/unix"

	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/protocols"
	"github.com/latticed/latticed/router"
	"github.com/latticed/latticed/router/stream"
)

// One event may write so many full output buffers, and take so much time for it, before others get a turn. By TLS, a
// buffer takes 0.04 ms and more to encrypt and send.
const (
	flushes = 16
	share   = 100 * time.Microsecond
)

// yieldEvery is how often a busy loop gives way to other goroutines. A goroutine that runs for 10 ms is preempted by Go's
// monitor, which then looks after it every 20 µs for a while: under full load that is some thousand wake-ups of another
// thread a second. One that gives way by itself is left alone.
const yieldEvery = 4 * time.Millisecond

// Server runs connections on event loops, and those that do not fit there on goroutines.
type Server struct {
	gnet.BuiltinEventEngine
	hub     *router.Hub
	streams *stream.Server
	client  *gnet.Client
	watcher *watcher

	mu      sync.Mutex
	loops   []*loop
	bells   []*bell
	closing atomic.Bool
}

// loop is what one event loop owns. Only its own goroutine touches it, but for the mailbox.
type loop struct {
	s       *Server
	el      gnet.EventLoop
	index   int
	traffic *router.Traffic
	turn    protocols.Turn
	batch   *grid.Batch
	out     []byte
	late    []protocols.Answer
	spare   mail
	yielded int64 // when the loop's goroutine last gave way

	gathered gathering
	bell     *bell
	resting  []*conn // those that have had their share of a round; the bell has been rung for them
	spent    []*conn // what resting is next

	mu  sync.Mutex
	box mail // a task is on its way when it is not empty
}

// mail is what others leave for a loop: connections to be looked at, and late answers.
type mail struct {
	posted  []*conn
	letters []letter
	mem     []byte // the values of the letters
}

// letter is one late answer. Its value is in mem until the letter is handed on.
type letter struct {
	k        *conn
	seq      uint32
	res      grid.Result
	from, to int
	next     int32 // the next letter for the same connection, counted from 1; 0: none
}

// maxMail bounds the values in a mailbox, in bytes. A loop empties it each round; beyond this it is not keeping up.
const maxMail = 64 << 20

func (m *mail) value(i int) *grid.Result {
	l := &m.letters[i]
	l.res.Value = m.mem[l.from:l.to:l.to]
	return &l.res
}

// reset empties m for its next use. It keeps memory for a common burst only.
func (m *mail) reset() {
	clear(m.posted)
	clear(m.letters)
	m.posted, m.letters, m.mem = m.posted[:0], m.letters[:0], m.mem[:0]
	if cap(m.mem) > 1<<20 {
		m.mem = nil
	}
	if cap(m.letters) > 4096 {
		m.letters = nil
	}
}

// conn ties a gnet connection to ours. It is gnet's context of the connection. Most connections are idle: it is small.
type conn struct {
	c           *router.Conn
	l           *loop
	gc          gnet.Conn
	back        *backlog // nil: there is none
	need        int32
	linger      int32 // bytes that are still taken from a client that has been told to go; 0: it has not
	first, last int32 // in the mail at hand: its letters, counted from 1; 0: none
	watched     bool  // known to the watcher
	gathered    bool  // a reply to it is put aside
	parked      bool
	again       bool // has had its share of a round, and is to be stepped again with what is unread
	resting     bool // among those of its loop
	ending      bool // close once all is written
	gone        bool // moved to a goroutine, or closed
}

// backlog is what a connection keeps because its client does not read.
type backlog struct {
	out   []byte             // replies that the client has not taken yet; then
	tail  []byte             // this, which the session pins
	inbox []protocols.Answer // late answers that had to wait; their values are theirs
}

func (k *conn) unwritten() bool { return k.back != nil && len(k.back.out)+len(k.back.tail) > 0 }

// backlog returns what k keeps, to add to it.
func (k *conn) backlog() *backlog {
	if k.back == nil {
		k.back = &backlog{}
	}
	return k.back
}

// Start starts n event loops.
func Start(hub *router.Hub, n int) (*Server, error) {
	s := &Server{hub: hub, streams: stream.NewServer(hub)}
	var err error
	if s.watcher, err = newWatcher(hub); err != nil {
		return nil, fmt.Errorf("router/evloop: create watcher: %w", err)
	}
	client, err := gnet.NewClient(s, gnet.WithNumEventLoop(n), gnet.WithReadBufferCap(64<<10), gnet.WithTCPNoDelay(gnet.TCPNoDelay),
		gnet.WithLogger(quiet{}), gnet.WithLogLevel(logging.ErrorLevel))
	if err != nil {
		s.watcher.close()
		return nil, fmt.Errorf("router/evloop: create loops: %w", err)
	}
	s.client = client
	if err := client.Start(); err != nil {
		s.watcher.close()
		return nil, fmt.Errorf("router/evloop: start loops: %w", err)
	}
	for range n { // gnet enrolls where there are the fewest: in each loop once
		b, err := s.hang()
		if err != nil {
			_ = s.Shutdown(context.Background())
			return nil, fmt.Errorf("router/evloop: make a loop's bell: %w", err)
		}
		s.bells = append(s.bells, b)
	}
	return s, nil
}

// quiet drops gnet's log: what matters is counted or returned.
type quiet struct{}

func (quiet) Debugf(string, ...any) {}
func (quiet) Infof(string, ...any)  {}
func (quiet) Warnf(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(string, ...any) {}

// Serve accepts connections from l until its listener is closed.
func (s *Server) Serve(l *router.Listener) error {
	return s.hub.Accept(l, func(c *router.Conn, nc net.Conn) {
		if _, ok := nc.(syscall.Conn); !ok { // nothing a loop could poll
			if !s.streams.Serve(c, nc, stream.Rest{}) {
				s.hub.Leave(c)
				_ = nc.Close()
			}
			return
		}
		if _, err := s.client.EnrollContext(nc, &conn{c: c}); err != nil {
			s.hub.Leave(c)
		}
	})
}

// Shutdown closes connections as soon as nothing is in flight on them, or when ctx ends, and ends the loops. The
// listeners are closed before.
func (s *Server) Shutdown(ctx context.Context) error {
	s.closing.Store(true)
	s.streams.Shutdown(ctx)
	err := s.client.Stop()
	s.watcher.close()
	for _, b := range s.bells {
		b.close()
	}
	if err != nil {
		return fmt.Errorf("router/evloop: stop loops: %w", err)
	}
	return nil
}

// loopOf returns our loop for gnet's.
func (s *Server) loopOf(el gnet.EventLoop) *loop {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.loops {
		if l.el == el {
			return l
		}
	}
	l := &loop{
		s: s, el: el, index: min(len(s.loops), protocols.MaxLoops-2), traffic: s.hub.Traffic(min(len(s.loops), protocols.MaxLoops-2)),
		batch: grid.NewBatch(router.Room), out: make([]byte, 0, gatherBytes+router.Room+2*grid.StreamMin),
		gathered: gathering{pause: gatherPause},
	}
	s.loops = append(s.loops, l)
	return l
}

// OnOpen implements gnet.EventHandler.
func (s *Server) OnOpen(gc gnet.Conn) ([]byte, gnet.Action) {
	l := s.loopOf(gc.EventLoop())
	k, ok := gc.Context().(*conn)
	if !ok {
		l.bell = gc.Context().(*bell)
		l.bell.l = l
		return nil, gnet.None
	}
	k.gc, k.l = gc, l
	k.c.Drive(k)
	return nil, gnet.None
}

// Notify implements router.Driver: the connection is looked at after the events of this round.
func (k *conn) Notify(*router.Conn) {
	l := k.l
	l.mu.Lock()
	first := len(l.box.posted)+len(l.box.letters) == 0
	l.box.posted = append(l.box.posted, k)
	l.mu.Unlock()
	l.post(first)
}

// Deliver implements router.Driver: it puts a late answer in the loop's mailbox.
func (k *conn) Deliver(_ *router.Conn, seq uint32, r *grid.Result) bool {
	l := k.l
	l.mu.Lock()
	b := &l.box
	if len(b.mem)+len(r.Value) > maxMail {
		l.mu.Unlock()
		return false
	}
	first := len(b.posted)+len(b.letters) == 0
	from := len(b.mem)
	b.mem = append(b.mem, r.Value...)
	b.letters = append(b.letters, letter{k: k, seq: seq, res: *r, from: from, to: len(b.mem)})
	b.letters[len(b.letters)-1].res.Value = nil
	l.mu.Unlock()
	l.post(first)
	return true
}

// post has the loop empty its mailbox. One task does for all that comes until it runs.
func (l *loop) post(first bool) {
	if first {
		_ = l.el.Execute(context.Background(), l) // fails only when the loops are ending
	}
}

// Kill implements router.Driver. A loop waits for no client, so the next look at the connection is soon enough.
func (k *conn) Kill(c *router.Conn) { k.Notify(c) }

// Run implements gnet.Runnable: it empties the mailbox.
func (l *loop) Run(context.Context) error {
	l.mu.Lock()
	m := l.box
	l.box = l.spare
	l.mu.Unlock()
	for i := range m.letters {
		k := m.letters[i].k
		switch {
		case k.gone:
			l.forward(k, &m, i)
		case k.last == 0:
			k.first, k.last = int32(i+1), int32(i+1)
			m.posted = append(m.posted, k)
		default:
			m.letters[k.last-1].next = int32(i + 1)
			k.last = int32(i + 1)
		}
	}
	for _, k := range m.posted {
		if !k.gone && l.event(k, true, &m) == gnet.Close {
			_ = l.el.Close(k.gc)
		}
		if l.keep(k, &m) == gnet.Close {
			_ = l.el.Close(k.gc)
		}
	}
	m.reset()
	l.spare = m
	return nil
}

// forward gives a letter for a connection that is not here any more to whom it belongs now.
func (l *loop) forward(k *conn, m *mail, i int) { k.c.Deliver(m.letters[i].seq, m.value(i)) }

// keep copies the letters of k that were not used. Its client does not read, or it has had its share of this round.
func (l *loop) keep(k *conn, m *mail) gnet.Action {
	if k.first == 0 {
		return gnet.None
	}
	for i := k.first; i != 0; i = m.letters[i-1].next {
		if k.gone {
			l.forward(k, m, int(i-1))
			continue
		}
		a := protocols.Answer{Seq: m.letters[i-1].seq, Res: *m.value(int(i - 1))}
		a.Res.Value = bytes.Clone(a.Res.Value)
		k.backlog().inbox = append(k.back.inbox, a)
	}
	k.first, k.last = 0, 0
	if k.gone {
		return gnet.None
	}
	return l.retain(k)
}

// takeLate returns the answers for the next Step, as many as fit; more: there are others.
func (l *loop) takeLate(k *conn, m *mail) (late []protocols.Answer, more bool) {
	late = l.late[:0]
	room := router.Room
	if b := k.back; b != nil {
		n := 0
		for ; n < len(b.inbox) && room > 0; n++ {
			room -= len(b.inbox[n].Res.Value) + 64
		}
		late = append(late, b.inbox[:n]...)
		left := copy(b.inbox, b.inbox[n:])
		clear(b.inbox[left:])
		if b.inbox = b.inbox[:left]; left == 0 {
			k.back = nil // nothing is unwritten while its session is stepped
		}
		more = left > 0
	}
	for k.first != 0 && room > 0 {
		i := int(k.first - 1)
		a := protocols.Answer{Seq: m.letters[i].seq, Res: *m.value(i)}
		room -= len(a.Res.Value) + 64
		late = append(late, a)
		if k.first = m.letters[i].next; k.first == 0 {
			k.last = 0
		}
	}
	return late, more || k.first != 0
}

// OnTraffic implements gnet.EventHandler.
func (s *Server) OnTraffic(gc gnet.Conn) gnet.Action {
	k, ok := gc.Context().(*conn)
	if !ok {
		return gc.Context().(*bell).rung(gc)
	}
	if k.gone {
		return gnet.Close
	}
	return k.l.event(k, false, nil)
}

// OnClose implements gnet.EventHandler.
func (s *Server) OnClose(gc gnet.Conn, err error) gnet.Action {
	k, ok := gc.Context().(*conn)
	if !ok {
		return gnet.None // the loops are ending
	}
	if k.gathered {
		k.l.scatter()
	}
	if k.gone {
		return gnet.None
	}
	if errors.Is(err, io.EOF) && k.linger == 0 && (k.c.Held > 0 || k.again || k.parked || k.unwritten()) {
		if k.l.handOff(k, true) {
			s.hub.HalfClosed.Add(1)
			return gnet.None
		}
	}
	s.watcher.forget(k)
	k.gone = true
	if k.back != nil {
		for i := range k.back.inbox {
			k.c.Drop(&k.back.inbox[i].Res)
		}
	}
	s.hub.Leave(k.c)
	return gnet.None
}

// event looks at a connection for one readable event, or because it was posted with the mail m.
func (l *loop) event(k *conn, woken bool, m *mail) (action gnet.Action) {
	defer func() {
		if cause := recover(); cause != nil {
			l.s.hub.Panicked(k.c, cause)
			action = gnet.Close
		}
	}()
	if !woken {
		k.c.Heard()
	}
	if k.gathered {
		if l.scatter(); k.gone {
			return gnet.Close
		}
	}
	buffered := k.gc.InboundBuffered()
	switch {
	case k.c.Look():
		return gnet.Close
	case k.linger > 0:
		return l.lingering(k, buffered)
	case woken && !k.unwritten():
		return l.step(k, m)
	case woken:
		now := l.s.hub.Clock.Now()
		b := k.back
		before := len(b.out) + len(b.tail)
		var ok bool
		b.out, b.tail, ok = l.write(k, b.out, b.tail)
		switch after := len(b.out) + len(b.tail); {
		case !ok:
			return gnet.Close
		case after > 0:
			if after < before {
				k.c.Settle(router.Reading)
			}
			return l.wait(k, now.Wall)
		}
		k.c.Settle(router.Reading)
		if k.ending {
			return l.bye(k, now.Wall)
		}
		return l.step(k, m)
	case k.unwritten() || k.parked || k.again:
		if buffered <= router.MaxParked {
			return l.retain(k)
		}
		if k.unwritten() {
			l.s.hub.SlowReaders.Add(1)
		} else {
			l.s.hub.LongParked.Add(1)
		}
		return l.move(k)
	case buffered < int(k.need):
		k.c.Came(buffered, l.s.hub.Clock.Now().Wall)
		return l.retain(k)
	}
	return l.step(k, m)
}

// step steps a connection's session until it waits for something.
func (l *loop) step(k *conn, m *mail) gnet.Action {
	hub := l.s.hub
	k.again = false
	now := hub.Clock.Now()
	if now.Mono-l.yielded > int64(yieldEvery) {
		l.yielded = now.Mono
		runtime.Gosched()
	}
	k.c.Stepped(now.Wall)
	for i := 0; ; i++ {
		late, more := l.takeLate(k, m)
		var in []byte
		if k.gc.InboundBuffered() > 0 {
			in, _ = k.gc.Peek(-1)
		}
		l.batch.Reset()
		l.batch.Late = hub
		l.turn = protocols.Turn{
			In: in, Late: late, Out: l.out[l.gathered.end:l.gathered.end], Room: router.Room, CanTail: true, Now: now, Batch: l.batch, Loop: l.index,
			Leaving: l.s.closing.Load(), Overdue: k.c.Overdue(now.Wall),
		}
		p := k.c.Session.Step(&l.turn)
		out, tail := l.turn.Out, l.turn.Tail
		if l.gathered.end == 0 && cap(out) > cap(l.out) && cap(out) <= 1<<20 {
			l.out = out[:0]
		}
		clear(late)
		l.late = late[:0]
		if p.Used > 0 { // Discard(0) would throw away everything
			l.traffic.Read.Add(uint64(p.Used))
			_, _ = k.gc.Discard(p.Used)
		}
		if p.Next == protocols.Switch {
			k.c.Session.Close()
			k.c.Session = p.To
		}
		k.c.Amid(p.Amid, p.Used, k.gc.InboundBuffered(), now.Wall)
		k.c.Keeps(p.Held, p.Kept)
		k.need, k.parked = int32(min(p.Need, router.MaxNeed)), p.Next == protocols.Park
		spoke := len(out) > 0
		if i == 0 && len(tail) == 0 && !more && l.gather(k, &p, out) {
			if k.gone { // what was put aside had to be written at once, and who did not take it has moved
				return gnet.Close
			}
			return l.retain(k)
		}
		out, tail, ok := l.write(k, out, tail)
		if !ok {
			return gnet.Close
		}
		if len(out)+len(tail) > 0 {
			b := k.backlog()
			b.out, b.tail = bytes.Clone(out), tail // out is the loop's
			k.ending = p.Next == protocols.Close
			if p.Next == protocols.HandOff {
				return l.move(k)
			}
			return l.wait(k, now.Wall)
		}
		switch {
		case p.Next == protocols.Close && spoke:
			return l.bye(k, now.Wall)
		case p.Next == protocols.Close:
			return gnet.Close
		case p.Need > router.MaxNeed:
			hub.Overflows.Add(1)
			return gnet.Close
		case p.Next == protocols.HandOff:
			return l.move(k)
		case p.Next == protocols.Switch, more:
			continue
		case p.Next == protocols.Flush:
			// A second step costs little where a large value was all there was to send.
			if i == 0 || i < flushes && hub.Clock.Now().Mono-now.Mono < int64(share) {
				continue
			}
			hub.Yields.Add(1)
			l.rest(k)
			return l.retain(k)
		}
		// Only who was told takes leave; who was not, because closing began meanwhile, is looked at once more.
		if l.turn.Leaving && p.Held == 0 && k.gc.InboundBuffered() == 0 {
			return gnet.Close
		}
		return l.retain(k)
	}
}

// retain counts what the connection keeps.
func (l *loop) retain(k *conn) gnet.Action {
	n := k.gc.InboundBuffered()
	if b := k.back; b != nil {
		n += len(b.out)
		for i := range b.inbox {
			n += len(b.inbox[i].Res.Value)
		}
	}
	if !k.c.Retain(n) {
		return gnet.Close
	}
	return gnet.None
}

// wait leaves what is unwritten until the client takes more.
func (l *loop) wait(k *conn, now int64) gnet.Action {
	if !l.s.watcher.watch(k) {
		l.s.hub.SlowReaders.Add(1)
		return l.move(k)
	}
	l.s.hub.Waits.Add(1)
	k.c.Await(router.Reading, now)
	return l.retain(k)
}

// bye ends a connection whose last words have just been written. Were it closed with anything unread, its client would
// get a reset, and perhaps not the words. So only our side is closed, and the client gets some time to close its own.
func (l *loop) bye(k *conn, now int64) gnet.Action {
	k.c.Session.Close()
	k.c.Session = router.Closed{}
	k.c.Keeps(0, 0)
	k.c.Await(router.Closing, now) // before the client can know
	if l.s.closing.Load() || unix.Shutdown(k.gc.Fd(), unix.SHUT_WR) != nil {
		return gnet.Close
	}
	l.s.hub.Lingers.Add(1)
	k.linger = router.LingerBytes
	return l.lingering(k, k.gc.InboundBuffered())
}

func (l *loop) lingering(k *conn, buffered int) gnet.Action {
	if l.s.closing.Load() {
		return gnet.Close
	}
	if int(k.linger) <= buffered {
		l.s.hub.LingersCut.Add(1)
		return gnet.Close
	}
	if buffered > 0 {
		_, _ = k.gc.Discard(buffered)
		k.linger -= int32(buffered)
	}
	return l.retain(k)
}

// write sends out, then tail. What the client's window does not take is returned. Not ok: the connection is broken.
func (l *loop) write(k *conn, out, tail []byte) (rest, restTail []byte, ok bool) {
	sent := 0
	for len(out)+len(tail) > 0 {
		var n int
		var err error
		switch {
		case len(tail) == 0:
			n, err = send(k.gc.Fd(), out)
		case len(out) == 0:
			n, err = send(k.gc.Fd(), tail)
		default:
			n, err = unix.Writev(k.gc.Fd(), [][]byte{out, tail})
		}
		switch err {
		case nil:
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			l.traffic.Written.Add(uint64(sent))
			return out, tail, true
		default:
			return nil, nil, false
		}
		sent += n
		fromOut := min(n, len(out))
		out, tail = out[fromOut:], tail[n-fromOut:]
	}
	if sent > 0 {
		l.traffic.Written.Add(uint64(sent))
	}
	return nil, nil, true
}

// move hands a connection to a goroutine and has gnet close its own descriptor, which does not shut the socket down.
func (l *loop) move(k *conn) gnet.Action {
	l.handOff(k, false)
	return gnet.Close
}

func (l *loop) handOff(k *conn, eof bool) bool {
	fd, err := k.gc.Dup()
	if err != nil {
		return false
	}
	f := os.NewFile(uintptr(fd), "")
	nc, err := net.FileConn(f)
	_ = f.Close()
	if err != nil {
		return false
	}
	var in []byte
	if k.gc.InboundBuffered() > 0 {
		in, _ = k.gc.Peek(-1)
	}
	if k.ending {
		k.c.Session.Close()
		k.c.Session = router.Closed{}
	}
	rest := stream.Rest{Unread: bytes.Clone(in), EOF: eof}
	if b := k.back; b != nil {
		rest.Unwritten, rest.Tail, rest.Late = b.out, b.tail, b.inbox
	}
	l.s.watcher.forget(k)
	if !l.s.streams.Serve(k.c, nc, rest) {
		_ = nc.Close()
		return false
	}
	k.gone, k.back = true, nil
	return true
}
