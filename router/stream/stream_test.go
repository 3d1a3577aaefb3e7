package stream_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/protocols"
	"github.com/latticed/latticed/router"
	"github.com/latticed/latticed/router/loopback"
	"github.com/latticed/latticed/router/routertest"
	"github.com/latticed/latticed/router/stream"
)

// echo answers lines with themselves, `late` with what comes late, `quit` with a close, `boom` with a panic.
type echo struct{ asked chan *protocols.Env }

func (*echo) Name() string                                { return "echo" }
func (*echo) Sniff([]byte) protocols.Match                { return protocols.Yes }
func (p *echo) Open(env *protocols.Env) protocols.Session { return &session{p: p, env: env} }

type session struct {
	p    *echo
	env  *protocols.Env
	held int
}

func (s *session) Step(t *protocols.Turn) (p protocols.Progress) {
	for _, a := range t.Late {
		s.held--
		t.Out = append(t.Out, a.Res.Value...)
	}
	for {
		p.Held = s.held
		if len(t.Out) >= t.Room {
			p.Next = protocols.Flush
			return p
		}
		end := bytes.IndexByte(t.In[p.Used:], '\n')
		if end < 0 {
			return p
		}
		line := t.In[p.Used : p.Used+end+1]
		p.Used += len(line)
		switch string(line) {
		case "late\n":
			s.held++
			s.p.asked <- s.env
		case "quit\n":
			p.Next = protocols.Close
			return p
		case "boom\n":
			panic("boom")
		default:
			t.Out = append(t.Out, line...)
		}
	}
}

func (s *session) Close() {}

type fixture struct {
	*echo
	hub      *router.Hub
	clock    routertest.Clock
	streams  *stream.Server
	listener *router.Listener
	loop     *loopback.Listener
}

func start(t *testing.T) *fixture {
	f := &fixture{echo: &echo{asked: make(chan *protocols.Env, 100)}, loop: loopback.Listen()}
	f.hub = router.NewHub(router.Options{Clock: &f.clock})
	f.streams = stream.NewServer(f.hub)
	f.listener = &router.Listener{Net: f.loop, Protocols: []protocols.Protocol{f.echo}}
	served := make(chan error, 1)
	go func() {
		served <- f.hub.Accept(f.listener, func(c *router.Conn, nc net.Conn) { f.serve(t, c, nc, stream.Rest{}) })
	}()
	t.Cleanup(func() {
		f.loop.Close()
		if err := <-served; err != nil {
			t.Errorf("Accept: %v", err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		f.streams.Shutdown(ctx)
		if n, b := f.hub.Conns.Load(), f.hub.Buffered.Load(); n != 0 || b != 0 {
			t.Errorf("%d connections and %d bytes are left", n, b)
		}
	})
	return f
}

func (f *fixture) serve(t *testing.T, c *router.Conn, nc net.Conn, rest stream.Rest) {
	if !f.streams.Serve(c, nc, rest) {
		t.Error("not served")
	}
}

func (f *fixture) dial(t *testing.T) net.Conn {
	t.Helper()
	c, err := f.loop.Dial(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

func ask(t *testing.T, c net.Conn, send, want string) {
	t.Helper()
	if send != "" { // a pipe waits for a reader even then
		if _, err := io.WriteString(c, send); err != nil {
			t.Fatal(err)
		}
	}
	got := make([]byte, len(want))
	if n, err := io.ReadFull(c, got); string(got[:n]) != want {
		t.Fatalf("%q: got %.80q (%v), want %.80q", send, got[:n], err, want)
	}
}

// TestHandOffAtEveryByte takes connections over in every state that another driver may leave them in: a reply written to
// any byte, input read to any byte, an answer taken or still to come.
func TestHandOffAtEveryByte(t *testing.T) {
	f := start(t)
	const reply, input = "a reply\n", "first\nlate\nlast\n"
	at := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}
	for written := range len(reply) + 1 {
		for read := range len(input) + 1 {
			for _, taken := range []bool{false, true} {
				c, _, ok := f.hub.Admit(f.listener, at, at)
				if !ok {
					t.Fatal("not admitted")
				}
				rest := stream.Rest{Unwritten: []byte(reply[written:]), Unread: []byte(input[:read])}
				want, more := reply[written:]+"first\nlast\n", input[read:]
				if taken {
					c.Session.(*session).held = 1
					rest.Late = []protocols.Answer{{Res: grid.Result{Value: []byte("taken\n")}}}
					want = reply[written:] + "taken\nfirst\nlast\n"
				}
				client, server := net.Pipe()
				_ = client.SetDeadline(time.Now().Add(30 * time.Second))
				f.serve(t, c, server, rest)
				sent := make(chan error, 1)
				go func() {
					_, err := io.WriteString(client, more)
					sent <- err
				}()
				ask(t, client, "", want)
				if err := <-sent; err != nil {
					t.Fatal(err)
				}
				f.hub.Answer((<-f.asked).Conn, 0, &grid.Result{Value: []byte("late\n")})
				ask(t, client, "", "late\n")
				client.Close()
			}
		}
	}
}

// TestWhoDoesNotRead is about the clock; that time alone does not do it is shown in router/evloop.
func TestWhoDoesNotRead(t *testing.T) {
	f := start(t)
	c := f.dial(t)
	ask(t, c, "one\n", "one\n")
	if _, err := io.WriteString(c, "two\n"); err != nil {
		t.Fatal(err)
	}
	// The pipe takes nothing until it is read. Whether the connection is writing yet cannot be seen, so time goes on in
	// steps of less than the limit until it has been waiting for longer.
	routertest.Eventually(t, "the end", func() bool {
		f.clock.Advance(router.StallTimeout/2 + time.Second)
		f.hub.Sweep()
		return f.hub.Stalled.Load() == 1
	})
	routertest.ExpectEnd(t, c)
	ask(t, f.dial(t), "three\n", "three\n")
}

func TestIdleAndPanic(t *testing.T) {
	f := start(t)
	const timeout = router.StallTimeout / 2 // a write that is not settled yet is no stall by then
	f.listener.SetPolicy(router.Policy{IdleTimeout: timeout})
	idle, busy, bad := f.dial(t), f.dial(t), f.dial(t)
	ask(t, idle, "a\n", "a\n")
	ask(t, bad, "boom\n", "")
	routertest.ExpectEnd(t, bad)
	f.clock.Advance(timeout)
	ask(t, busy, "a\n", "a\n")
	f.hub.Sweep()
	if n := f.hub.IdleKicks.Load(); n != 0 {
		t.Fatalf("%d were closed after exactly the time-out, want 0", n)
	}
	f.clock.Advance(time.Millisecond)
	f.hub.Sweep()
	routertest.ExpectEnd(t, idle)
	ask(t, busy, "b\n", "b\n")
	if i, p := f.hub.IdleKicks.Load(), f.hub.Panics.Load(); i != 1 || p != 1 {
		t.Errorf("%d were idle and %d panicked, want 1 and 1", i, p)
	}
}

// TestInboxIsBounded has a grid that answers more than was asked.
func TestInboxIsBounded(t *testing.T) {
	f := start(t)
	c := f.dial(t)
	ask(t, c, "late\nx\n", "")
	env := <-f.asked // its reply to x is not read: the session is not stepped on
	value := make([]byte, grid.StreamMin)
	routertest.Eventually(t, "the close", func() bool {
		f.hub.Answer(env.Conn, 0, &grid.Result{Value: value})
		return f.hub.Overflows.Load() == 1
	})
	routertest.Eventually(t, "it is gone", func() bool { return f.hub.Conns.Load() == 0 })
}
