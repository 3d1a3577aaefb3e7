package router

import (
	"context"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"

	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/protocols"
	"github.com/latticed/latticed/router/secure"
)

// Hub is the table of connections. It implements grid.Late.
type Hub struct {
	Options
	Counters
	traffic [protocols.MaxLoops]Traffic
	table   [parts]part
	share   int // who keeps no more is not closed when buffers run short

	mu      sync.Mutex
	next    uint64
	listed  int           // connections that count against the limit
	open    int           // connections that have not left
	silent  ring          // those of listed that never sent anything, the oldest first
	shaking ring          // those in a TLS handshake, likewise
	empty   chan struct{} // Drain waits; closed when the last connection leaves
}

// The table is cut in parts, so that nobody holds a lock for as long as it takes to look at every connection.
const parts = 64

type part struct {
	mu    sync.RWMutex
	conns map[uint64]*Conn
	_     [32]byte
}

// ring is a list of connections in the order in which they came, linked through them.
type ring struct{ first, last *Conn }

// listed says which ring a connection is in.
type listed uint8

const (
	nowhere listed = iota
	inSilent
	inShaking
)

func (r *ring) push(c *Conn, in listed) {
	c.in, c.before, c.after = in, r.last, nil
	if r.last != nil {
		r.last.after = c
	} else {
		r.first = c
	}
	r.last = c
}

// unring takes c out of the ring that it is in.
func (h *Hub) unring(c *Conn) {
	var r *ring
	switch c.in {
	case nowhere:
		return
	case inSilent:
		r = &h.silent
	case inShaking:
		r = &h.shaking
	}
	if c.before != nil {
		c.before.after = c.after
	} else {
		r.first = c.after
	}
	if c.after != nil {
		c.after.before = c.before
	} else {
		r.last = c.before
	}
	c.in, c.before, c.after = nowhere, nil, nil
}

// NewHub returns an empty table.
func NewHub(o Options) *Hub {
	if o.MaxConns == 0 {
		o.MaxConns = 1024
	}
	if o.MaxStreams == 0 {
		o.MaxStreams = 1024
	}
	if o.MaxBuffers == 0 {
		o.MaxBuffers = 256 << 20
	}
	h := &Hub{Options: o}
	h.share = int(min(max(o.MaxBuffers/2/int64(o.MaxConns), leastShare), mostShare))
	for i := range h.table {
		h.table[i].conns = make(map[uint64]*Conn)
	}
	return h
}

// Traffic returns what loop counts.
func (h *Hub) Traffic(loop int) *Traffic { return &h.traffic[loop] }

// Bytes returns how many bytes sessions have taken and how many were written.
func (h *Hub) Bytes() (read, written uint64) {
	for i := range h.traffic {
		read += h.traffic[i].Read.Load()
		written += h.traffic[i].Written.Load()
	}
	return read, written
}

// Gathered returns how many replies were written together with those to other clients.
func (h *Hub) Gathered() (n uint64) {
	for i := range h.traffic {
		n += h.traffic[i].Gathered.Load()
	}
	return n
}

func (h *Hub) part(id uint64) *part { return &h.table[id%parts] }

func (h *Hub) find(id uint64) *Conn {
	p := h.part(id)
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.conns[id]
}

func (h *Hub) unlist(c *Conn) {
	p := h.part(c.Env.Conn)
	p.mu.Lock()
	delete(p.conns, c.Env.Conn)
	p.mu.Unlock()
}

// Admit takes an accepted connection into the table. Without ok, say, if not empty, is for the client, and the
// connection is to be closed.
func (h *Hub) Admit(l *Listener, remote, local net.Addr) (c *Conn, say string, ok bool) {
	h.Accepted.Add(1)
	addr := addrPort(remote)
	behind := contains(l.Trusted, addr.Addr()) // a sender whose PROXY header will say who it is that is judged
	if !l.Open() || !behind && !l.lets(addr.Addr()) {
		h.Refused.Add(1)
		return nil, "", false
	}
	if _, unix := local.(*net.UnixAddr); unix && l.Net != nil {
		local = l.Net.Addr() // that of the connection is its driver's: gnet writes a name of its own into it
	}
	now := h.Clock.Now().Wall
	c = &Conn{hub: h, l: l, Local: local, created: now, behind: behind}
	c.Last.Store(now)
	h.mu.Lock()
	var victim *Conn
	if h.listed >= h.MaxConns {
		if victim = h.silent.first; victim == nil {
			h.mu.Unlock()
			h.Rejected.Add(1)
			return nil, TooMany, false
		}
		h.unring(victim)
		victim.kicked = true
	} else {
		h.listed++
	}
	h.open++
	h.next++
	id := h.next
	h.silent.push(c, inSilent)
	h.mu.Unlock()
	h.Conns.Add(1)
	l.conns.Add(1)
	if victim != nil {
		h.SilentKicks.Add(1)
		victim.Kill()
	}
	c.Env = protocols.Env{
		Conn: id, Caches: h.Caches, Remote: addr, Local: l.Local, Admin: l.Admin, Door: &l.Door, Limits: protocols.DefaultLimits,
	}
	c.Env.Owner = c
	c.Session = open(l, c)
	p := h.part(id)
	p.mu.Lock()
	p.conns[id] = c
	p.mu.Unlock()
	if !c.let() { // any more: Expel may not have seen it
		h.expel(c)
	}
	return c, "", true
}

// Expel closes the connections of l that it no longer lets in.
func (h *Hub) Expel(l *Listener) {
	h.Each(func(c *Conn) {
		if c.l == l && !c.let() {
			h.expel(c)
		}
	})
}

func (h *Hub) expel(c *Conn) {
	if c.Kill() {
		h.Expelled.Add(1)
	}
}

// Where returns the listener of a connection, and its client's address; nil: there is no such connection any more.
func (h *Hub) Where(conn uint64) (*Listener, netip.AddrPort) {
	if c := h.find(conn); c != nil {
		return c.l, c.Remote()
	}
	return nil, netip.AddrPort{}
}

func addrPort(a net.Addr) netip.AddrPort {
	if t, ok := a.(*net.TCPAddr); ok {
		ap := t.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return netip.AddrPort{}
}

// spoke takes c from those that may have to give way to a newcomer.
func (h *Hub) spoke(c *Conn) {
	h.mu.Lock()
	h.unring(c)
	h.mu.Unlock()
}

// shakes says that c has begun a TLS handshake; until shook, c gives way when buffers run short.
func (h *Hub) shakes(c *Conn) {
	h.mu.Lock()
	if c.in == nowhere && !c.kicked {
		h.shaking.push(c, inShaking)
	}
	h.mu.Unlock()
}

func (h *Hub) shook(c *Conn) { h.spoke(c) }

// makeRoom closes TLS handshakes, the oldest first, that keep n bytes of buffers, for c, which is not among them. False:
// there are not so many.
func (h *Hub) makeRoom(c *Conn, n int64) bool {
	for n > 0 {
		h.mu.Lock()
		victim := h.shaking.first
		if victim == c {
			victim = c.after
		}
		if victim != nil {
			h.unring(victim)
		}
		h.mu.Unlock()
		if victim == nil {
			return false
		}
		n -= secure.HandshakeKept
		if victim.Kill() {
			h.HandshakeKicks.Add(1)
		}
	}
	return true
}

// Leave ends c: its session is closed and it goes from the table. Called once, by its driver.
func (h *Hub) Leave(c *Conn) {
	h.unlist(c)
	c.mu.Lock()
	c.driver = nil
	c.mu.Unlock()
	c.kept = 0
	c.Retain(0)
	defer func() {
		if cause := recover(); cause != nil {
			h.Panicked(c, cause)
		}
		h.Conns.Add(-1)
		c.l.conns.Add(-1)
		h.mu.Lock()
		h.unring(c)
		if !c.kicked {
			h.listed--
		}
		if h.open--; h.open == 0 && h.empty != nil {
			close(h.empty)
			h.empty = nil
		}
		h.mu.Unlock()
	}()
	c.Session.Close()
}

// Panicked counts and reports that c's session panicked. It is called where that was recovered, by the deferred
// function itself, so that the stack is the session's.
func (h *Hub) Panicked(c *Conn, cause any) {
	h.Panics.Add(1)
	if h.OnPanic != nil {
		h.OnPanic(c.Env.Conn, cause, debug.Stack())
	}
}

// Drain waits until no connection is left. When ctx ends first, those that are left are cut.
func (h *Hub) Drain(ctx context.Context) {
	h.mu.Lock()
	if h.open == 0 {
		h.mu.Unlock()
		return
	}
	if h.empty == nil {
		h.empty = make(chan struct{})
	}
	empty := h.empty
	h.mu.Unlock()
	select {
	case <-empty:
	case <-ctx.Done():
		h.Each(func(c *Conn) {
			if c.Kill() {
				h.Cut.Add(1)
			}
		})
	}
}

// Answer implements grid.Late.
func (h *Hub) Answer(conn uint64, seq uint32, r *grid.Result) {
	if c := h.find(conn); c != nil {
		c.Deliver(seq, r)
	} else {
		h.drop(r)
	}
}

func (h *Hub) drop(r *grid.Result) {
	h.LateDropped.Add(1)
	if r.Body != nil {
		r.Body.Close()
	}
}

// Wake implements grid.Late.
func (h *Hub) Wake(conn uint64) {
	if c := h.find(conn); c != nil {
		c.Wake()
	}
}

// Sweep closes what has waited for too long. It is called about once a second.
func (h *Hub) Sweep() {
	now := h.Clock.Now().Wall
	h.Each(func(c *Conn) {
		if count := c.overdue(now); count != nil && c.Kill() {
			count.Add(1)
		} else if c.isOverdue(now) {
			c.Wake() // its session knows what to say
		}
	})
}

// Row is a connection as others than its driver see it.
type Row struct {
	ID      uint64
	Created int64 // ms
	Remote  netip.AddrPort
	Local   net.Addr
	About   About
}

// IDs appends the connections that are in one part of the table, counted from 0. more: there is another part.
func (h *Hub) IDs(part int, ids []uint64) (_ []uint64, more bool) {
	p := &h.table[part]
	p.mu.RLock()
	defer p.mu.RUnlock()
	for id := range p.conns {
		ids = append(ids, id)
	}
	return ids, part+1 < parts
}

// Row returns a connection; false: it is not there any more.
func (h *Hub) Row(id uint64) (Row, bool) {
	c := h.find(id)
	if c == nil {
		return Row{}, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return Row{ID: id, Created: c.created, Remote: c.Env.Remote, Local: c.Local, About: c.known()}, true
}

// Each calls f for every connection, in no order. f may not close connections itself, nor block.
func (h *Hub) Each(f func(c *Conn)) {
	for i := range h.table {
		p := &h.table[i]
		p.mu.RLock()
		for _, c := range p.conns {
			f(c)
		}
		p.mu.RUnlock()
	}
}
