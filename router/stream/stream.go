// Package stream drives a connection on a goroutine of its own, with blocking reads and writes, which give
// back-pressure for nothing. It takes what an event loop cannot do well (a client that does not read its replies, a
// half-closed one with answers outstanding), and everything where there are no event loops.
package stream

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/protocols"
	"github.com/latticed/latticed/router"
)

// Server runs connections on goroutines.
type Server struct {
	hub     *router.Hub
	traffic *router.Traffic
	buffers sync.Pool // of *buffers, held only while stepping or reading
	wg      sync.WaitGroup
	mu      sync.Mutex // guards ended
	ended   bool       // no connection starts any more
	closing chan struct{}
	once    sync.Once
}

// NewServer returns a server whose connections are in hub.
func NewServer(hub *router.Hub) *Server {
	s := &Server{hub: hub, traffic: hub.Traffic(protocols.MaxLoops - 1), closing: make(chan struct{})}
	s.buffers.New = func() any {
		return &buffers{out: make([]byte, 0, router.Room+2*grid.StreamMin), batch: grid.NewBatch(router.Room)}
	}
	return s
}

type buffers struct {
	out   []byte
	batch *grid.Batch
	late  []protocols.Answer
	turn  protocols.Turn
}

// Rest is what another driver leaves undone: bytes read and not used, bytes rendered and not written, answers not given
// to the session, whether the client has closed its side. It belongs to the connection, but for Tail, which the session
// pins.
type Rest struct {
	Unread, Unwritten, Tail []byte
	Late                    []protocols.Answer
	EOF                     bool
}

// maxInbox bounds the values of late answers that wait for one connection, in bytes. A session that keeps to its limits
// has 256 of at most 16 KiB outstanding.
const maxInbox = 8 << 20

// conn implements router.Driver.
type conn struct {
	s    *Server
	c    *router.Conn
	nc   net.Conn
	in   []byte
	eof  bool
	more bool // answers were left in the inbox
	told bool // the session knows that the node is stopping
	wake chan struct{}

	mu      sync.Mutex
	inbox   []protocols.Answer // their values are theirs
	inboxed int                // bytes of the values
}

// Notify implements router.Driver: it ends a read that is waiting, and a park.
func (k *conn) Notify(*router.Conn) {
	select {
	case k.wake <- struct{}{}:
	default:
	}
	_ = k.nc.SetReadDeadline(time.Unix(1, 0))
}

// Deliver implements router.Driver.
func (k *conn) Deliver(c *router.Conn, seq uint32, r *grid.Result) bool {
	k.mu.Lock()
	full := k.inboxed+len(r.Value) > maxInbox
	if !full {
		a := protocols.Answer{Seq: seq, Res: *r}
		a.Res.Value = bytes.Clone(r.Value)
		k.inbox = append(k.inbox, a)
		k.inboxed += len(r.Value)
	}
	k.mu.Unlock()
	if !full {
		k.Notify(c)
	}
	return !full
}

// take appends to dst the answers that fit one Step.
func (k *conn) take(dst []protocols.Answer) []protocols.Answer {
	k.mu.Lock()
	defer k.mu.Unlock()
	room, n := router.Room, 0
	for ; n < len(k.inbox) && room > 0; n++ {
		room -= len(k.inbox[n].Res.Value) + 64
		k.inboxed -= len(k.inbox[n].Res.Value)
	}
	dst = append(dst, k.inbox[:n]...)
	left := copy(k.inbox, k.inbox[n:])
	clear(k.inbox[left:])
	if k.inbox = k.inbox[:left]; left == 0 {
		k.inbox = nil
	}
	k.more = left > 0
	return dst
}

// Kill implements router.Driver: closing ends a read, and a write that waits for its client.
func (k *conn) Kill(c *router.Conn) {
	k.Notify(c)
	_ = k.nc.Close()
}

// Serve starts to drive c over nc. False: there are too many, or the server has ended, and nothing was done.
func (s *Server) Serve(c *router.Conn, nc net.Conn, rest Rest) bool {
	if s.hub.Streams.Add(1) > int64(s.hub.MaxStreams) {
		s.hub.Streams.Add(-1)
		s.hub.HandOffRefused.Add(1)
		return false
	}
	s.mu.Lock()
	ended := s.ended
	if !ended {
		s.wg.Add(1)
	}
	s.mu.Unlock()
	if ended {
		s.hub.Streams.Add(-1)
		return false
	}
	k := &conn{s: s, c: c, nc: nc, in: rest.Unread, eof: rest.EOF, wake: make(chan struct{}, 1), inbox: rest.Late}
	for i := range rest.Late {
		k.inboxed += len(rest.Late[i].Res.Value)
	}
	c.Drive(k) // before this returns: what comes for c from now on comes here
	go func() {
		defer s.wg.Done()
		defer s.hub.Streams.Add(-1)
		defer nc.Close()
		if k.serve(rest.Unwritten, rest.Tail) {
			k.linger()
		}
	}()
	return true
}

// serve drives the connection until it ends. lastWords: the last thing that happened is that something was written to a
// client that may still be sending.
func (k *conn) serve(unwritten, tail []byte) (lastWords bool) {
	defer func() {
		k.s.hub.Leave(k.c)
		for i := range k.inbox { // nobody delivers any more
			k.c.Drop(&k.inbox[i].Res)
		}
	}()
	defer func() {
		if cause := recover(); cause != nil {
			k.s.hub.Panicked(k.c, cause)
		}
	}()
	spoke := len(unwritten) > 0
	return k.write(unwritten) && k.write(tail) && k.run(spoke)
}

func (s *Server) leaving() bool {
	select {
	case <-s.closing:
		return true
	default:
		return false
	}
}

// linger closes our side and gives the client some time to close its own: closed with anything unread, the client would
// get a reset, and perhaps not the last words.
func (k *conn) linger() {
	if k.s.leaving() {
		return
	}
	if router.Linger(k.nc) {
		k.s.hub.Lingers.Add(1)
	} else {
		k.s.hub.LingersCut.Add(1)
	}
}

// Shutdown closes all connections of the hub as soon as nothing is in flight on them, or when ctx ends, and waits for
// the goroutines of those that are here.
func (s *Server) Shutdown(ctx context.Context) {
	s.once.Do(func() { close(s.closing) })
	s.hub.Each(func(c *router.Conn) { c.Wake() })
	s.hub.Drain(ctx)
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	s.wg.Wait()
}

// piece is how much is written at once. A client that does not take so much in router.StallTimeout is given up.
const piece = 64 << 10

func (k *conn) write(b []byte) bool {
	for len(b) > 0 {
		k.c.Await(router.Reading, k.s.hub.Clock.Now().Wall)
		n, err := k.nc.Write(b[:min(len(b), piece)])
		k.c.Settle(router.Reading)
		k.s.traffic.Written.Add(uint64(n))
		b = b[n:]
		if err != nil {
			return false
		}
	}
	return true
}

// run steps the session until it ends. lastWords is as of serve; spoke: there were some before.
func (k *conn) run(spoke bool) (lastWords bool) {
	for {
		p, said, ok := k.step()
		if !ok {
			return false
		}
		switch p.Next {
		case protocols.Close:
			return (said || spoke) && !k.eof
		case protocols.Flush, protocols.Switch:
			continue
		}
		spoke = false
		if p.Need > router.MaxNeed {
			k.s.hub.Overflows.Add(1)
			return false
		}
		if len(k.in) == 0 && cap(k.in) > 32<<10 {
			k.in = nil
		}
		if !k.c.Retain(cap(k.in) + k.waiting()) {
			return false
		}
		if k.more {
			continue
		}
		if p.Next == protocols.Park {
			k.park()
			continue
		}
		if k.eof && p.Held == 0 {
			return false
		}
		if p.Held == 0 && len(k.in) == 0 && k.told {
			return false
		}
		if k.eof {
			k.park()
			continue
		}
		if !k.read(max(p.Need, len(k.in)+1)) {
			return false
		}
	}
}

// waiting returns the bytes of answers in the inbox.
func (k *conn) waiting() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.inboxed
}

// park waits for a wake.
func (k *conn) park() {
	<-k.wake
	_ = k.nc.SetReadDeadline(time.Time{})
}

// read fills k.in to need bytes, or less when something else has to be looked at.
func (k *conn) read(need int) bool {
	if free := cap(k.in) - len(k.in); free == 0 || cap(k.in) < need {
		k.in = append(make([]byte, 0, max(need, 2*len(k.in), 32<<10)), k.in...)
	}
	for len(k.in) < need {
		n, err := k.nc.Read(k.in[len(k.in):cap(k.in)])
		if n > 0 {
			k.in = k.in[:len(k.in)+n]
			k.c.Heard()
			k.c.Came(len(k.in), k.s.hub.Clock.Now().Wall)
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			select {
			case <-k.wake:
			default:
			}
			_ = k.nc.SetReadDeadline(time.Time{})
			return true
		case errors.Is(err, io.EOF):
			k.eof = true
			return true
		case err != nil:
			return false
		}
	}
	return true
}

func (k *conn) step() (p protocols.Progress, said, ok bool) {
	b := k.s.buffers.Get().(*buffers)
	defer k.s.buffers.Put(b)
	defer b.batch.Reset()
	now := k.s.hub.Clock.Now()
	k.c.Stepped(now.Wall)
	if k.c.Look() {
		return p, false, false
	}
	late := k.take(b.late[:0])
	b.batch.Late = k.s.hub
	b.turn = protocols.Turn{
		In: k.in, EOF: k.eof, Late: late, Out: b.out[:0], Room: router.Room, CanTail: true,
		Now: now, Batch: b.batch, Loop: protocols.MaxLoops - 1, Leaving: k.s.leaving(), Overdue: k.c.Overdue(now.Wall),
	}
	k.told = b.turn.Leaving // before it is known to the session, nobody takes leave
	p = k.c.Session.Step(&b.turn)
	if p.Next == protocols.Switch {
		k.c.Session.Close()
		k.c.Session = p.To
	}
	k.s.traffic.Read.Add(uint64(p.Used))
	k.in = k.in[:copy(k.in, k.in[p.Used:])]
	k.c.Keeps(p.Held, p.Kept)
	k.c.Amid(p.Amid, p.Used, len(k.in), now.Wall)
	said = len(b.turn.Out) > 0
	// Until the client has taken the replies, they and the buffer that they are in are kept.
	ok = !said || k.c.Retain(cap(k.in)+k.waiting()+cap(b.turn.Out))
	ok = ok && k.write(b.turn.Out) && k.write(b.turn.Tail)
	clear(late)
	b.late, b.turn = late[:0], protocols.Turn{}
	return p, said, ok
}
