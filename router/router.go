// Package router brings connections to protocols: what a listener is, who may connect, how the first bytes choose a
// protocol, and the table of connections that all drivers share. It opens no socket itself: router/evloop drives
// connections on gnet's event loops, router/stream on goroutines.
//
// Lock order: Hub.mu, then Conn.mu. Neither is held while a session steps.
package router

import (
	"context"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/protocols"
	"github.com/latticed/latticed/router/secure"
)

// Listener is one address and what is spoken there.
type Listener struct {
	Net         net.Listener
	Protocols   []protocols.Protocol // asked in this order; a single one gets every connection unsniffed
	Rules       Rules
	Trusted     []netip.Prefix // who has to begin with a PROXY protocol header; none: nobody may
	IdleTimeout time.Duration  // 0: none
	TLS         *secure.Server // nil: none is spoken
	TLSOnly     bool           // with TLS: clear text is refused
	// ALPN has the protocols that a client gets unsniffed when the handshake has agreed on their names. Those of others
	// are sniffed.
	ALPN  map[string]protocols.Protocol
	Local bool // see protocols.Env
	Admin bool // likewise
}

// Rules say which addresses may connect. Deny wins; where Allow has entries, an address must be in one of them. They
// do not concern Unix sockets.
type Rules struct{ Allow, Deny []netip.Prefix }

// Allows tells whether addr may connect.
func (r Rules) Allows(addr netip.Addr) bool {
	if !addr.IsValid() {
		return true
	}
	return !contains(r.Deny, addr) && (len(r.Allow) == 0 || contains(r.Allow, addr))
}

func contains(list []netip.Prefix, addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("") // a prefix contains no address that has a zone
	for _, p := range list {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// Options are what all connections of a daemon share.
type Options struct {
	Caches     grid.Caches
	Clock      grid.Clock
	MaxConns   int                                        // 0: 1024
	MaxStreams int                                        // connections on goroutines at once; 0: 1024
	OnPanic    func(conn uint64, cause any, stack []byte) // a session panicked; its connection was closed
}

// Counters are what the router counts. All but Conns and Streams only grow.
type Counters struct {
	Accepted, Rejected, Refused         atomic.Uint64 // Rejected by the limit, Refused by a rule
	Unrecognised, Ambiguous             atomic.Uint64
	IdleKicks, SilentKicks              atomic.Uint64
	SlowReaders, HalfClosed, LongParked atomic.Uint64 // hand-offs by reason
	HandOffRefused, Stalled             atomic.Uint64
	BytesRead, BytesWritten, Yields     atomic.Uint64
	LateDropped, Panics, Descriptors    atomic.Uint64 // Descriptors: clients refused, or accepts that failed, for want of one
	BadProxy, Cut                       atomic.Uint64 // Cut: closed by Shutdown with something in flight
	Conns, Streams                      atomic.Int64  // now; Streams of these are on goroutines
}

// Limits of a connection.
const (
	Room        = 64 << 10         // bytes of replies before they are written
	MaxParked   = 256 << 10        // unread input of a connection on a loop
	sniffPeriod = 10 * time.Second // for first bytes that stay ambiguous
	// StallTimeout ends a connection whose client takes nothing of what is written to it.
	StallTimeout = 60 * time.Second
)

// Hub is the table of connections. It implements grid.Late.
type Hub struct {
	Options
	Counters

	mu    sync.RWMutex
	conns map[uint64]*Conn
	next  uint64
	empty chan struct{} // Drain waits; closed when the last connection leaves
}

// NewHub returns an empty table.
func NewHub(o Options) *Hub {
	if o.MaxConns == 0 {
		o.MaxConns = 1024
	}
	if o.MaxStreams == 0 {
		o.MaxStreams = 1024
	}
	return &Hub{Options: o, conns: make(map[uint64]*Conn)}
}

// Conn is one connection as every driver sees it.
type Conn struct {
	Env     protocols.Env
	Session protocols.Session
	Idle    time.Duration // timeout, 0 for none
	Network string
	Local   net.Addr
	Held    int         // answers outstanding, as of the last Step; the driver's
	Spoke   atomic.Bool // has sent anything
	Last    atomic.Int64
	Since   atomic.Int64 // when ambiguous first bytes came, ms; 0: they did not, or are settled

	hub    *Hub
	mu     sync.Mutex
	inbox  []protocols.Answer
	woken  bool
	killed bool
	driver Driver
}

// Driver is told that a connection has something to look at. Any goroutine; neither method blocks. They are called
// with the connection's mutex held.
type Driver interface {
	Notify(c *Conn)
	// Kill ends the connection also where it waits for its client to read.
	Kill(c *Conn)
}

// Admit takes an accepted connection into the table. Without ok, say, if not empty, is for the client, and the
// connection is to be closed.
func (h *Hub) Admit(l *Listener, remote, local net.Addr) (c *Conn, say string, ok bool) {
	h.Accepted.Add(1)
	addr := addrPort(remote)
	if !l.Rules.Allows(addr.Addr()) {
		h.Refused.Add(1)
		return nil, "", false
	}
	c = &Conn{hub: h, Idle: l.IdleTimeout, Local: local, Network: remote.Network()}
	c.Last.Store(h.Clock.Now().Wall)
	h.mu.Lock()
	if len(h.conns) >= h.MaxConns {
		silent := h.longestSilent()
		if silent == nil {
			h.mu.Unlock()
			h.Rejected.Add(1)
			return nil, TooMany, false
		}
		delete(h.conns, silent.Env.Conn)
		h.SilentKicks.Add(1)
		defer silent.Kill()
	}
	h.next++
	c.Env = protocols.Env{
		Conn: h.next, Caches: h.Caches, Remote: addr, Local: l.Local, Admin: l.Admin, Limits: protocols.DefaultLimits,
	}
	c.Env.Waker = c
	h.conns[h.next] = c
	h.mu.Unlock()
	h.Conns.Add(1)
	c.Session = open(l, c)
	return c, "", true
}

// longestSilent returns the connection that has waited longest without ever sending anything.
func (h *Hub) longestSilent() (oldest *Conn) {
	for _, c := range h.conns {
		if !c.Spoke.Load() && (oldest == nil || c.Last.Load() < oldest.Last.Load()) {
			oldest = c
		}
	}
	return oldest
}

func addrPort(a net.Addr) netip.AddrPort {
	if t, ok := a.(*net.TCPAddr); ok {
		ap := t.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	return netip.AddrPort{}
}

// Leave ends c: its session is closed and it goes from the table. Called once, by its driver.
func (h *Hub) Leave(c *Conn) {
	h.mu.Lock()
	delete(h.conns, c.Env.Conn)
	if len(h.conns) == 0 && h.empty != nil {
		close(h.empty)
		h.empty = nil
	}
	h.mu.Unlock()
	h.Conns.Add(-1)
	c.mu.Lock()
	late := c.inbox
	c.inbox, c.driver = nil, nil
	c.mu.Unlock()
	h.dropped(late)
	defer func() {
		if cause := recover(); cause != nil {
			h.Panicked(c, cause)
		}
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
	if len(h.conns) == 0 {
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

func (h *Hub) dropped(late []protocols.Answer) {
	for i := range late {
		h.LateDropped.Add(1)
		if late[i].Res.Body != nil {
			late[i].Res.Body.Close()
		}
	}
}

// Answer implements grid.Late.
func (h *Hub) Answer(conn uint64, seq uint32, r *grid.Result) {
	h.mu.RLock()
	c := h.conns[conn]
	h.mu.RUnlock()
	a := protocols.Answer{Seq: seq, Res: *r}
	if c == nil || !c.post(a) {
		h.dropped([]protocols.Answer{a})
	}
}

// Wake implements grid.Late.
func (h *Hub) Wake(conn uint64) {
	h.mu.RLock()
	c := h.conns[conn]
	h.mu.RUnlock()
	if c != nil {
		c.Wake()
	}
}

func (c *Conn) post(a protocols.Answer) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.driver == nil {
		return false
	}
	if len(a.Res.Value) > 0 {
		a.Res.Value = append([]byte(nil), a.Res.Value...)
	}
	c.inbox = append(c.inbox, a)
	c.notify()
	return true
}

// notify is called with c.mu held.
func (c *Conn) notify() {
	if !c.woken && c.driver != nil {
		c.woken = true
		c.driver.Notify(c)
	}
}

// Wake implements protocols.Waker.
func (c *Conn) Wake() {
	c.mu.Lock()
	c.notify()
	c.mu.Unlock()
}

// Kill has the driver close the connection. False: that was asked for before.
func (c *Conn) Kill() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.killed {
		return false
	}
	c.killed = true
	if c.driver != nil {
		c.woken = true
		c.driver.Kill(c)
	}
	return true
}

// Drive makes d the driver of c. What is waiting for c is notified at once.
func (c *Conn) Drive(d Driver) {
	c.mu.Lock()
	c.driver, c.woken = d, false
	if c.killed {
		c.woken = true
		d.Kill(c)
	} else if len(c.inbox) > 0 {
		c.notify()
	}
	c.mu.Unlock()
}

// Take appends to dst the answers that came for c, as many as fit room bytes of values, and ends the wake. more: there
// are others. killed: the connection is to be closed.
func (c *Conn) Take(dst []protocols.Answer, room int) (late []protocols.Answer, more, killed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for n < len(c.inbox) && (n == 0 || room > 0) {
		room -= len(c.inbox[n].Res.Value) + 64
		n++
	}
	dst = append(dst, c.inbox[:n]...)
	c.inbox = c.inbox[:copy(c.inbox, c.inbox[n:])]
	if len(c.inbox) == 0 {
		c.inbox = nil
	}
	c.woken = len(c.inbox) > 0
	return dst, c.woken, c.killed
}

// Remote is the client's address, for others than the session: a PROXY header changes it while the connection is in
// the table.
func (c *Conn) Remote() netip.AddrPort {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.Env.Remote
}

// Sweep closes what has been idle or ambiguous for too long. It is called about once a second.
func (h *Hub) Sweep() {
	now := h.Clock.Now().Wall
	h.mu.RLock()
	defer h.mu.RUnlock()
	for _, c := range h.conns {
		if since := c.Since.Load(); since != 0 && now-since > sniffPeriod.Milliseconds() {
			if c.Kill() {
				h.Ambiguous.Add(1)
			}
		} else if c.Idle > 0 && now-c.Last.Load() > c.Idle.Milliseconds() {
			if c.Kill() {
				h.IdleKicks.Add(1)
			}
		}
	}
}

// Each calls f for every connection, in no order.
func (h *Hub) Each(f func(c *Conn)) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	for _, c := range h.conns {
		f(c)
	}
}
