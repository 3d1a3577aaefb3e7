//go:build unix

// Package evloop drives connections on gnet's event loops. It is the only package that imports gnet.
//
// Three rules answer what gnet does not do. Listeners are ours: gnet ends its whole engine when accept runs out of
// descriptors, so connections are accepted by package router and enrolled into loops that have no listener. gnet never
// holds our output: a loop writes to the descriptor itself, once for each readable event, and a connection whose
// client does not take what is written moves to router/stream, where blocking is back-pressure. And what is unread
// stays bounded: a connection that cannot be stepped while its input grows moves there too, and so does one whose
// client has closed its side while answers are outstanding.
package evloop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"

	"github.com/panjf2000/gnet/v2"
	"github.com/panjf2000/gnet/v2/pkg/logging"
	"golang.org/x/sys/unix"

	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/protocols"
	"github.com/latticed/latticed/router"
	"github.com/latticed/latticed/router/stream"
)

// flushes is how many full output buffers one event may write before others get a turn.
const flushes = 16

// Server runs connections on event loops, and those that do not fit there on goroutines.
type Server struct {
	gnet.BuiltinEventEngine
	hub     *router.Hub
	streams *stream.Server
	client  *gnet.Client

	mu      sync.Mutex
	loops   []*loop
	closing atomic.Bool
}

// loop is what one event loop owns. Only its own goroutine touches it, but for the mailbox.
type loop struct {
	s     *Server
	el    gnet.EventLoop
	index int
	turn  protocols.Turn
	batch *grid.Batch
	out   []byte
	late  []protocols.Answer

	mu     sync.Mutex
	posted []*conn // to be looked at; a task is on its way when not empty
	spare  []*conn
}

// conn ties a gnet connection to ours. It is gnet's context of the connection.
type conn struct {
	c      *router.Conn
	l      *loop
	gc     gnet.Conn
	need   int
	parked bool
	again  bool // a posted step goes on with unread input
	gone   bool // moved to a goroutine
}

// Start starts n event loops.
func Start(hub *router.Hub, n int) (*Server, error) {
	s := &Server{hub: hub, streams: stream.NewServer(hub)}
	client, err := gnet.NewClient(s, gnet.WithNumEventLoop(n), gnet.WithReadBufferCap(64<<10), gnet.WithTCPNoDelay(gnet.TCPNoDelay),
		gnet.WithLogger(quiet{}), gnet.WithLogLevel(logging.ErrorLevel))
	if err != nil {
		return nil, fmt.Errorf("router/evloop: create loops: %w", err)
	}
	s.client = client
	if err := client.Start(); err != nil {
		return nil, fmt.Errorf("router/evloop: start loops: %w", err)
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
	if err := s.client.Stop(); err != nil {
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
		s: s, el: el, index: min(len(s.loops), protocols.MaxLoops-2),
		batch: grid.NewBatch(router.Room), out: make([]byte, 0, router.Room+2*grid.StreamMin),
	}
	s.loops = append(s.loops, l)
	return l
}

// OnOpen implements gnet.EventHandler.
func (s *Server) OnOpen(gc gnet.Conn) ([]byte, gnet.Action) {
	k := gc.Context().(*conn)
	k.gc, k.l = gc, s.loopOf(gc.EventLoop())
	k.c.Drive(k)
	return nil, gnet.None
}

// Notify implements router.Driver: the connection is looked at after the events of this round.
func (k *conn) Notify(*router.Conn) {
	l := k.l
	l.mu.Lock()
	first := len(l.posted) == 0
	l.posted = append(l.posted, k)
	l.mu.Unlock()
	if first {
		_ = l.el.Execute(context.Background(), l) // fails only when the loops are ending
	}
}

// Kill implements router.Driver. A loop waits for no client, so the next look at the connection is soon enough.
func (k *conn) Kill(c *router.Conn) { k.Notify(c) }

// Run implements gnet.Runnable: it steps what was posted.
func (l *loop) Run(context.Context) error {
	l.mu.Lock()
	list := l.posted
	l.posted = l.spare[:0]
	l.mu.Unlock()
	for i, k := range list {
		list[i] = nil
		if !k.gone && l.event(k, true) == gnet.Close {
			_ = l.el.Close(k.gc)
		}
	}
	l.mu.Lock()
	l.spare = list[:0]
	l.mu.Unlock()
	return nil
}

// OnTraffic implements gnet.EventHandler.
func (s *Server) OnTraffic(gc gnet.Conn) gnet.Action {
	k := gc.Context().(*conn)
	if k.gone {
		return gnet.Close
	}
	return k.l.event(k, false)
}

// OnClose implements gnet.EventHandler.
func (s *Server) OnClose(gc gnet.Conn, err error) gnet.Action {
	k := gc.Context().(*conn)
	if k.gone {
		return gnet.None
	}
	if errors.Is(err, io.EOF) && (k.c.Held > 0 || k.again || k.parked) {
		in, _ := gc.Peek(-1)
		if k.l.handOff(k, stream.Rest{Unread: append([]byte(nil), in...), EOF: true}) {
			s.hub.HalfClosed.Add(1)
			return gnet.None
		}
	}
	if !k.gone {
		k.gone = true
		s.hub.Leave(k.c)
	}
	return gnet.None
}

// event steps a connection's session for one readable event, or for a wake.
func (l *loop) event(k *conn, woken bool) (action gnet.Action) {
	hub := l.s.hub
	defer func() {
		if cause := recover(); cause != nil {
			hub.Panicked(k.c, cause)
			action = gnet.Close
		}
	}()
	buffered := k.gc.InboundBuffered()
	if !woken {
		k.c.Spoke.Store(true)
		if k.parked || k.again || buffered < k.need {
			if (k.parked || k.again) && buffered > router.MaxParked {
				hub.LongParked.Add(1)
				return l.move(k, nil, nil)
			}
			return gnet.None
		}
	}
	k.again = false
	now := hub.Clock.Now()
	k.c.Last.Store(now.Wall)
	for i := 0; ; i++ {
		late, more, killed := k.c.Take(l.late[:0], router.Room)
		if killed {
			return gnet.Close
		}
		var in []byte
		if k.gc.InboundBuffered() > 0 {
			in, _ = k.gc.Peek(-1)
		}
		l.batch.Reset()
		l.batch.Late = hub
		l.turn = protocols.Turn{
			In: in, Late: late, Out: l.out[:0], Room: router.Room, CanTail: true, Now: now, Batch: l.batch, Loop: l.index,
		}
		p := k.c.Session.Step(&l.turn)
		out, tail := l.turn.Out, l.turn.Tail
		if cap(out) > cap(l.out) && cap(out) <= 1<<20 {
			l.out = out[:0]
		}
		clear(late)
		l.late = late[:0]
		if p.Used > 0 { // Discard(0) would throw away everything
			hub.BytesRead.Add(uint64(p.Used))
			_, _ = k.gc.Discard(p.Used)
		}
		if p.Next == protocols.Switch {
			k.c.Session.Close()
			k.c.Session = p.To
		}
		k.c.Held, k.need, k.parked = p.Held, p.Need, p.Next == protocols.Park
		if rest, restTail, ok := l.write(k, out, tail); !ok {
			return gnet.Close
		} else if len(rest)+len(restTail) > 0 {
			if p.Next == protocols.Close && len(restTail) == 0 {
				k.c.Session.Close()
				k.c.Session = closer{}
			}
			hub.SlowReaders.Add(1)
			return l.move(k, rest, restTail)
		}
		switch {
		case p.Next == protocols.Close:
			return gnet.Close
		case p.Next == protocols.HandOff:
			return l.move(k, nil, nil)
		case p.Next == protocols.Switch, more:
			continue
		case p.Next == protocols.Flush:
			if i < flushes {
				continue
			}
			hub.Yields.Add(1)
			k.again = true
			// Not from here: gnet runs tasks until none is left, also those that tasks post, before it looks at its
			// sockets again.
			go k.c.Wake()
			return gnet.None
		}
		if l.s.closing.Load() && p.Held == 0 && k.gc.InboundBuffered() == 0 {
			return gnet.Close
		}
		return gnet.None
	}
}

// closer is the session of a connection that only has its last output to write.
type closer struct{}

func (closer) Step(*protocols.Turn) protocols.Progress {
	return protocols.Progress{Next: protocols.Close}
}
func (closer) Close() {}

// write sends out, then tail. What the client's window does not take is returned. False: the connection is broken.
func (l *loop) write(k *conn, out, tail []byte) (rest, restTail []byte, ok bool) {
	sent := 0
	defer func() { l.s.hub.BytesWritten.Add(uint64(sent)) }()
	for len(out)+len(tail) > 0 {
		var n int
		var err error
		switch {
		case len(tail) == 0:
			n, err = unix.Write(k.gc.Fd(), out)
		case len(out) == 0:
			n, err = unix.Write(k.gc.Fd(), tail)
		default:
			n, err = unix.Writev(k.gc.Fd(), [][]byte{out, tail})
		}
		switch err {
		case nil:
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return out, tail, true
		default:
			return nil, nil, false
		}
		sent += n
		fromOut := min(n, len(out))
		out, tail = out[fromOut:], tail[n-fromOut:]
	}
	return nil, nil, true
}

// move hands a connection to a goroutine and has gnet close its own descriptor, which does not shut the socket down.
func (l *loop) move(k *conn, unwritten, tail []byte) gnet.Action {
	var in []byte
	if k.gc.InboundBuffered() > 0 {
		in, _ = k.gc.Peek(-1)
	}
	l.handOff(k, stream.Rest{
		Unread: append([]byte(nil), in...), Unwritten: append([]byte(nil), unwritten...), Tail: tail,
	})
	return gnet.Close
}

func (l *loop) handOff(k *conn, rest stream.Rest) bool {
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
	if !l.s.streams.Serve(k.c, nc, rest) {
		_ = nc.Close()
		return false
	}
	k.gone = true
	return true
}
