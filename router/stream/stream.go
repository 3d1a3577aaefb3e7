// Package stream drives a connection on a goroutine of its own, with blocking reads and writes, which give
// back-pressure for nothing. It takes what an event loop cannot do well (a client that does not read its replies, a
// half-closed one with answers outstanding), and everything where there are no event loops.
package stream

import (
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
	buffers sync.Pool // of *buffers, held only while stepping or reading
	wg      sync.WaitGroup
	mu      sync.Mutex // guards ended
	ended   bool       // no connection starts any more
	closing chan struct{}
	once    sync.Once
}

// NewServer returns a server whose connections are in hub.
func NewServer(hub *router.Hub) *Server {
	s := &Server{hub: hub, closing: make(chan struct{})}
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

// Rest is what another driver leaves undone: bytes read and not used, bytes rendered and not written, whether the
// client has closed its side.
type Rest struct {
	Unread, Unwritten, Tail []byte
	EOF                     bool
}

// conn implements router.Driver.
type conn struct {
	s    *Server
	c    *router.Conn
	nc   net.Conn
	in   []byte
	eof  bool
	more bool // answers were left in the inbox
	wake chan struct{}
}

// Notify implements router.Driver: it ends a read that is waiting, and a park.
func (k *conn) Notify(*router.Conn) {
	select {
	case k.wake <- struct{}{}:
	default:
	}
	_ = k.nc.SetReadDeadline(time.Unix(1, 0))
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
	k := &conn{s: s, c: c, nc: nc, in: rest.Unread, eof: rest.EOF, wake: make(chan struct{}, 1)}
	go func() {
		defer s.wg.Done()
		defer s.hub.Streams.Add(-1)
		defer nc.Close()
		defer s.hub.Leave(c)
		defer func() {
			if cause := recover(); cause != nil {
				s.hub.Panicked(c, cause)
			}
		}()
		c.Drive(k)
		if k.write(rest.Unwritten) && k.write(rest.Tail) {
			k.run()
		}
	}()
	return true
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

func (k *conn) write(b []byte) bool {
	for len(b) > 0 {
		_ = k.nc.SetWriteDeadline(time.Now().Add(router.StallTimeout))
		n, err := k.nc.Write(b[:min(len(b), 256<<10)])
		k.s.hub.BytesWritten.Add(uint64(n))
		b = b[n:]
		if err != nil && !(n > 0 && errors.Is(err, os.ErrDeadlineExceeded)) {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				k.s.hub.Stalled.Add(1)
			}
			return false
		}
	}
	return true
}

func (k *conn) run() {
	for {
		p, ok := k.step()
		if !ok {
			return
		}
		switch p.Next {
		case protocols.Close:
			return
		case protocols.Flush, protocols.Switch:
			continue
		}
		if k.more {
			continue
		}
		if p.Next == protocols.Park {
			if !k.park() {
				return
			}
			continue
		}
		if k.eof && p.Held == 0 {
			return
		}
		select {
		case <-k.s.closing:
			if p.Held == 0 && len(k.in) == 0 {
				return
			}
		default:
		}
		if k.eof {
			if !k.park() {
				return
			}
			continue
		}
		if !k.read(max(p.Need, len(k.in)+1)) {
			return
		}
	}
}

// park waits for a wake.
func (k *conn) park() bool {
	<-k.wake
	_ = k.nc.SetReadDeadline(time.Time{})
	return true
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
			k.s.hub.BytesRead.Add(uint64(n))
			k.c.Spoke.Store(true)
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

func (k *conn) step() (p protocols.Progress, ok bool) {
	b := k.s.buffers.Get().(*buffers)
	defer k.s.buffers.Put(b)
	defer b.batch.Reset()
	now := k.s.hub.Clock.Now()
	k.c.Last.Store(now.Wall)
	late, more, killed := k.c.Take(b.late[:0], router.Room)
	if killed {
		return p, false
	}
	k.more = more
	b.batch.Late = k.s.hub
	b.turn = protocols.Turn{
		In: k.in, EOF: k.eof, Late: late, Out: b.out[:0], Room: router.Room, CanTail: true,
		Now: now, Batch: b.batch, Loop: protocols.MaxLoops - 1,
	}
	p = k.c.Session.Step(&b.turn)
	if p.Next == protocols.Switch {
		k.c.Session.Close()
		k.c.Session = p.To
	}
	k.in = k.in[:copy(k.in, k.in[p.Used:])]
	k.c.Held = p.Held
	ok = k.write(b.turn.Out) && k.write(b.turn.Tail)
	clear(late)
	b.late, b.turn = late[:0], protocols.Turn{}
	return p, ok
}
