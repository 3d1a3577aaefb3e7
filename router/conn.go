package router

import (
	"crypto/tls"
	"math"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"unique"

	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/protocols"
)

// Conn is one connection as every driver sees it.
type Conn struct {
	Env     protocols.Env
	Session protocols.Session
	Local   net.Addr
	Held    int32        // answers outstanding, as of the last Step; the driver's
	kept    uint32       // bytes that the session keeps, likewise
	Last    atomic.Int64 // when it was last stepped, ms
	created int64        // ms

	hub      *Hub
	l        *Listener
	heard    bool         // has sent anything; the driver's
	retained uint32       // bytes, as counted in Buffered; the driver's
	await    atomic.Int64 // what it waits for, and since when; 0: nothing
	used     uint32       // bytes of input that Steps have used, and
	mark     uint32       // how many had come when it began to wait for the rest of a request; these wrap, and are the driver's
	pending  atomic.Bool  // woken or killed

	mu     sync.Mutex
	woken  bool
	killed bool
	behind bool // a PROXY header is still to tell whose it is
	driver Driver
	about  unique.Handle[About] // zero: nothing is known

	before, after *Conn // in a list of Hub; with the two below guarded by Hub.mu
	in            listed
	kicked        bool
}

// Driver is told that a connection has something to look at. Any goroutine; no method blocks. They are called with the
// connection's mutex held.
type Driver interface {
	Notify(c *Conn)
	// Deliver takes a late answer; it copies r and its value. False: there is no room for it.
	Deliver(c *Conn, seq uint32, r *grid.Result) bool
	// Kill ends the connection also where it waits for its client to read.
	Kill(c *Conn)
}

// Await is what a connection waits for that it may not wait for too long.
type Await int64

// The waits.
const (
	FirstBytes Await = iota + 1 // enough of them to tell the protocol
	Reading                     // its client takes what was written
	Closing                     // its client closes too
	Finishing                   // the rest of a request
	awaits     = 5
)

// Await says that from now on, in ms, c waits for a. A wait for the same goes on as it was.
func (c *Conn) Await(a Await, now int64) {
	if Await(c.await.Load()%awaits) != a {
		c.await.Store(now*awaits + int64(a))
	}
}

// Settle ends the wait for a.
func (c *Conn) Settle(a Await) {
	if Await(c.await.Load()%awaits) == a {
		c.await.Store(0)
	}
}

// Amid says after a Step, which has used and left unread as many bytes, whether its client has sent a part of a request. If
// so, c waits for the rest.
func (c *Conn) Amid(amid bool, used, unread int, now int64) {
	c.used += uint32(used)
	switch {
	case !amid:
		c.Settle(Finishing)
	case Await(c.await.Load()%awaits) != Finishing || c.isOverdue(now):
		c.await.Store(now*awaits + int64(Finishing))
		c.mark = c.used + uint32(unread)
	default:
		c.Came(unread, now)
	}
}

// Came says that so much input is unread. Each protocols.FinishBytes that come of a request give it as much time again.
func (c *Conn) Came(unread int, now int64) {
	if n := c.used + uint32(unread); n-c.mark >= protocols.FinishBytes && Await(c.await.Load()%awaits) == Finishing {
		c.await.Store(now*awaits + int64(Finishing))
		c.mark = n
	}
}

// Overdue tells, before a Step, whether the rest of a request has been awaited for too long.
func (c *Conn) Overdue(now int64) bool {
	if !c.isOverdue(now) {
		return false
	}
	c.hub.SlowRequests.Add(1)
	return true
}

func (c *Conn) isOverdue(now int64) bool {
	w := c.await.Load()
	return Await(w%awaits) == Finishing && now-w/awaits > protocols.FinishTimeout.Milliseconds()
}

// overdue returns where to count that c has waited for too long; nil: it has not.
func (c *Conn) overdue(now int64) *atomic.Uint64 {
	w := c.await.Load()
	since := now - w/awaits
	switch Await(w % awaits) {
	case FirstBytes:
		if since > sniffPeriod.Milliseconds() {
			return &c.hub.Ambiguous
		}
	case Reading:
		if since > StallTimeout.Milliseconds() {
			return &c.hub.Stalled
		}
	case Closing:
		if since > LingerTimeout.Milliseconds() {
			return &c.hub.LingersCut
		}
		return nil
	}
	if idle := c.l.Policy().IdleTimeout; idle > 0 && now-c.Last.Load() > idle.Milliseconds() {
		return &c.hub.IdleKicks
	}
	return nil
}

// Heard says that the client has sent something.
func (c *Conn) Heard() {
	if !c.heard {
		c.heard = true
		c.hub.spoke(c)
	}
}

// Stepped says that c is stepped now.
func (c *Conn) Stepped(now int64) {
	if c.Last.Load() != now {
		c.Last.Store(now)
	}
}

// Keeps says after a Step how many answers are outstanding and how many bytes the session keeps.
func (c *Conn) Keeps(held, kept int) {
	c.Held, c.kept = int32(held), uint32(min(uint64(kept), math.MaxUint32))
}

// Retain says that c keeps n bytes between Steps, beside what its session does. False: there is no room for them, and c is to
// be closed. Only the driver calls it.
func (c *Conn) Retain(n int) bool {
	all := min(int64(n)+int64(c.kept), math.MaxUint32)
	more := all - int64(c.retained)
	if more == 0 {
		return true
	}
	c.retained = uint32(all)
	total := c.hub.Buffered.Add(more)
	if more < 0 || total <= c.hub.MaxBuffers || all <= int64(c.hub.share) || c.hub.makeRoom(c, total-c.hub.MaxBuffers) {
		return true
	}
	c.hub.BufferCuts.Add(1)
	return false
}

// Deliver brings c a late answer. One for a connection without a driver is dropped and counted.
func (c *Conn) Deliver(seq uint32, r *grid.Result) {
	c.mu.Lock()
	ok := c.driver != nil
	if ok && !c.driver.Deliver(c, seq, r) {
		ok = false
		if c.kill() {
			c.hub.Overflows.Add(1)
		}
	}
	c.mu.Unlock()
	if !ok {
		c.hub.drop(r)
	}
}

// Drop drops an answer that c took and cannot use.
func (c *Conn) Drop(r *grid.Result) { c.hub.drop(r) }

// Wake implements protocols.Waker.
func (c *Conn) Wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.woken && c.driver != nil {
		c.woken = true
		c.pending.Store(true)
		c.driver.Notify(c)
	}
}

// About is what is known of a connection beside its addresses. Connections of which the same is known share it.
type About struct {
	Protocol, Client string // as protocols.Owner has them
	TLS, Suite       uint16 // as crypto/tls has them; 0: none
	ALPN             string
}

// maxClient bounds what is kept of what a client says that it is, in bytes.
const maxClient = 128

// Describe implements protocols.Owner.
func (c *Conn) Describe(protocol, client string) {
	client = strings.ToValidUTF8(client[:min(len(client), maxClient)], "")
	c.learn(func(a *About) { a.Protocol, a.Client = protocol, client })
}

// secured says that a handshake has succeeded.
func (c *Conn) secured(state *tls.ConnectionState) {
	c.learn(func(a *About) { a.TLS, a.Suite, a.ALPN = state.Version, state.CipherSuite, state.NegotiatedProtocol })
}

func (c *Conn) learn(change func(a *About)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.known()
	change(&a)
	c.about = unique.Make(a)
}

func (c *Conn) known() (a About) {
	if c.about != (unique.Handle[About]{}) {
		a = c.about.Value()
	}
	return a
}

// Kill has the driver close the connection. False: that was asked for before.
func (c *Conn) Kill() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.kill()
}

func (c *Conn) kill() bool {
	if c.killed {
		return false
	}
	c.killed = true
	c.pending.Store(true)
	if c.driver != nil {
		c.driver.Kill(c)
	}
	return true
}

// Drive makes d the driver of c. What was asked of the one before is asked of d.
func (c *Conn) Drive(d Driver) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.driver = d
	switch {
	case c.killed:
		d.Kill(c)
	case c.woken:
		d.Notify(c)
	}
}

// Look ends the wake; it comes before a Step. True: the connection is to be closed.
func (c *Conn) Look() (killed bool) {
	if !c.pending.Load() {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.woken = false
	c.pending.Store(c.killed)
	return c.killed
}

// Remote is the client's address, for others than the session: a PROXY header changes it while the connection is in
// the table.
func (c *Conn) Remote() netip.AddrPort {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.Env.Remote
}

// let tells whether the connection may be there, as far as it is known whose it is.
func (c *Conn) let() bool {
	c.mu.Lock()
	addr, behind := c.Env.Remote.Addr(), c.behind
	c.mu.Unlock()
	return behind && c.l.Open() || c.l.lets(addr)
}

// Closed is the session of a connection that has nothing left to say.
type Closed struct{}

// Step implements protocols.Session.
func (Closed) Step(*protocols.Turn) protocols.Progress {
	return protocols.Progress{Next: protocols.Close}
}

// Close implements protocols.Session.
func (Closed) Close() {}
