//go:build unix

package evloop

import (
	"context"
	"net"
	"sync"
	"testing"
	"unsafe"

	"github.com/panjf2000/gnet/v2"

	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/protocols"
	"github.com/latticed/latticed/router"
)

// idle is an event loop that only counts how often it was asked to run something.
type idle struct {
	gnet.EventLoop
	asked int
}

func (i *idle) Execute(context.Context, gnet.Runnable) error {
	i.asked++
	return nil
}

// inbox is a driver that counts what it gets.
type inbox struct{ got, bytes int }

func (i *inbox) Notify(*router.Conn) {}
func (i *inbox) Kill(*router.Conn)   {}
func (i *inbox) Deliver(_ *router.Conn, _ uint32, r *grid.Result) bool {
	i.got++
	i.bytes += len(r.Value)
	return true
}

type nobody struct{ protocols.Protocol }

func (nobody) Open(*protocols.Env) protocols.Session { return router.Closed{} }

type still struct{}

func (still) Now() grid.Time { return grid.Time{} }

// TestManyThatMovedOrClosed empties a mailbox whose connections have all moved or closed since: each answer is handed on
// or dropped once, in one pass over the mailbox. Were the mailbox searched for each connection, this would take minutes.
func TestManyThatMovedOrClosed(t *testing.T) {
	n := 100_000
	if raceDetector {
		n = 10_000
	}
	hub := router.NewHub(router.Options{Clock: still{}, MaxConns: n})
	el := &idle{}
	l := &loop{s: &Server{hub: hub}, el: el}
	listener := &router.Listener{Protocols: []protocols.Protocol{nobody{}}}
	at := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}
	moved := &inbox{}
	conns := make([]*conn, n)
	for i := range conns {
		c, _, ok := hub.Admit(listener, at, at)
		if !ok {
			t.Fatal("not admitted")
		}
		conns[i] = &conn{c: c, l: l}
		c.Drive(conns[i])
	}
	value := []byte("value")
	for seq := range uint32(3) {
		for _, k := range conns {
			hub.Answer(k.c.Env.Conn, seq, &grid.Result{Value: value})
		}
	}
	if el.asked != 1 {
		t.Errorf("%d answers asked for %d tasks, want 1", 3*n, el.asked)
	}
	for i, k := range conns {
		k.gone = true
		if i%2 == 0 {
			k.c.Drive(moved)
		} else {
			hub.Leave(k.c)
		}
	}
	_ = l.Run(context.Background())
	_ = l.Run(context.Background()) // nothing is left
	if moved.got != 3*n/2 || moved.bytes != 3*n/2*len(value) {
		t.Errorf("%d answers with %d bytes were handed on, want %d and %d", moved.got, moved.bytes, 3*n/2, 3*n/2*len(value))
	}
	if got := hub.LateDropped.Load(); got != uint64(3*n/2) {
		t.Errorf("%d answers were dropped, want %d", got, 3*n/2)
	}
}

// TestMailboxIsBounded has a loop that does not get round to its mailbox.
func TestMailboxIsBounded(t *testing.T) {
	hub := router.NewHub(router.Options{Clock: still{}})
	l := &loop{s: &Server{hub: hub}, el: &idle{}}
	at := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}
	c, _, _ := hub.Admit(&router.Listener{Protocols: []protocols.Protocol{nobody{}}}, at, at)
	c.Drive(&conn{c: c, l: l})
	value := make([]byte, 1<<20)
	for seq := range uint32(maxMail>>20 + 1) {
		hub.Answer(c.Env.Conn, seq, &grid.Result{Value: value})
	}
	if len(l.box.mem) > maxMail || hub.LateDropped.Load() != 1 || hub.Overflows.Load() != 1 || !c.Look() {
		t.Errorf("%d bytes are kept, %d dropped, %d overflows, killed: %v; want %d at most, 1, 1 and true",
			len(l.box.mem), hub.LateDropped.Load(), hub.Overflows.Load(), c.Look(), maxMail)
	}
}

// TestAnswersFromMany is for the race detector: answers for connections that close at the same time, while the loop
// empties its mailbox.
func TestAnswersFromMany(t *testing.T) {
	hub := router.NewHub(router.Options{Clock: still{}, MaxConns: 200})
	l := &loop{s: &Server{hub: hub}, el: quietLoop{}}
	at := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}
	var answers sync.WaitGroup
	var conns []*conn
	for range 200 {
		c, _, _ := hub.Admit(&router.Listener{Protocols: []protocols.Protocol{nobody{}}}, at, at)
		k := &conn{c: c, l: l, gone: true}
		c.Drive(k)
		conns = append(conns, k)
	}
	first := conns[0].c.Env.Conn
	for range 4 {
		answers.Go(func() {
			for i := range uint64(200) {
				hub.Answer(first+i, 0, &grid.Result{Value: []byte("v")})
			}
		})
	}
	for _, k := range conns { // as the loop does it, on the loop's goroutine
		hub.Leave(k.c)
		_ = l.Run(context.Background())
	}
	answers.Wait()
	_ = l.Run(context.Background())
	if got := hub.LateDropped.Load(); got != 800 {
		t.Errorf("%d answers were dropped, want 800", got)
	}
}

type quietLoop struct{ gnet.EventLoop }

func (quietLoop) Execute(context.Context, gnet.Runnable) error { return nil }

// TestIdleConnectionsAreSmall holds what an idle connection costs beside gnet's part and its session.
func TestIdleConnectionsAreSmall(t *testing.T) {
	if a, b := unsafe.Sizeof(conn{}), unsafe.Sizeof(router.Conn{}); a > 64 || b > 256 {
		t.Errorf("%d and %d bytes, want at most 64 and 256", a, b)
	}
}
