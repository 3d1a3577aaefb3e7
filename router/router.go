// Package router brings connections to protocols: what a listener is, who may connect, how the first bytes choose a
// protocol, and the table of connections that all drivers share. It opens no socket itself: router/evloop drives
// connections on gnet's event loops, router/stream on goroutines.
//
// Lock order: the lock of a part of the table, then Conn.mu. Hub.mu is taken while no other is held, and takes none. None
// is held while a session steps.
package router

import (
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/protocols"
	"github.com/latticed/latticed/router/secure"
)

// Listener is one address and what is spoken there.
type Listener struct {
	Net       net.Listener
	Protocols []protocols.Protocol // asked in this order; a single one gets every connection unsniffed
	Trusted   []netip.Prefix       // who has to begin with a PROXY protocol header; none: nobody may
	TLS       *secure.Server       // nil: none is spoken
	TLSOnly   bool                 // with TLS: clear text is refused
	// ALPN has the protocols that a client gets unsniffed when the handshake has agreed on their names. Those of others
	// are sniffed.
	ALPN  map[string]protocols.Protocol
	Local bool           // see protocols.Env
	Admin bool           // likewise
	Door  protocols.Door // likewise; for Trusts see Within

	policy atomic.Pointer[Policy]
	closed atomic.Bool
	conns  atomic.Int64
}

// Conns is how many connections there are.
func (l *Listener) Conns() int64 { return l.conns.Load() }

// Open tells whether connections are let in.
func (l *Listener) Open() bool { return !l.closed.Load() }

// SetOpen lets connections in, or closes each at once that comes. Those that are there stay; see Hub.Expel.
func (l *Listener) SetOpen(open bool) { l.closed.Store(!open) }

// lets tells whether a connection from addr may be there.
func (l *Listener) lets(addr netip.Addr) bool { return l.Open() && l.Policy().Rules.Allows(addr) }

// Policy is what can change while a listener serves.
type Policy struct {
	Rules       Rules         // for connections that come from now on; see Hub.Expel for those that are there
	IdleTimeout time.Duration // for all connections; 0: none
}

// SetPolicy makes p the listener's policy.
func (l *Listener) SetPolicy(p Policy) { l.policy.Store(&p) }

// Change has change make the policy another one. It may be called more than once, if others do the same.
func (l *Listener) Change(change func(p *Policy)) {
	for {
		was := l.policy.Load()
		var p Policy
		if was != nil {
			p = *was
		}
		if change(&p); l.policy.CompareAndSwap(was, &p) {
			return
		}
	}
}

// Policy returns the policy, the zero one when none was set.
func (l *Listener) Policy() Policy {
	if p := l.policy.Load(); p != nil {
		return *p
	}
	return Policy{}
}

// Rules say which addresses may connect: the first one that an address is in decides, and one that is in none may. They do
// not concern Unix sockets.
type Rules []Rule

// Rule is one range of addresses. One of version 4 is not in a range of version 6.
type Rule struct {
	From   netip.Prefix
	Accept bool
}

// Ranges are the rules by which those in deny may not connect, and, where there is any, only those in allow may.
func Ranges(allow, deny []netip.Prefix) (r Rules) {
	for _, p := range deny {
		r = append(r, Rule{From: p})
	}
	for _, p := range allow {
		r = append(r, Rule{From: p, Accept: true})
	}
	if len(allow) > 0 {
		r = append(r, Rule{From: netip.MustParsePrefix("0.0.0.0/0")}, Rule{From: netip.MustParsePrefix("::/0")})
	}
	return r
}

// Allows tells whether addr may connect.
func (r Rules) Allows(addr netip.Addr) bool {
	rule, ok := r.Match(addr)
	return !ok || rule.Accept
}

// Match returns the rule that decides about addr; there may be none.
func (r Rules) Match(addr netip.Addr) (Rule, bool) {
	if addr.IsValid() {
		addr = plain(addr)
		for _, rule := range r {
			if rule.From.Contains(addr) {
				return rule, true
			}
		}
	}
	return Rule{}, false
}

// Within returns what tells whether an address is in one of the ranges; nil for none of them.
func Within(list []netip.Prefix) func(netip.Addr) bool {
	if len(list) == 0 {
		return nil
	}
	return func(addr netip.Addr) bool { return contains(list, addr) }
}

// plain is addr as prefixes have it: they contain no address that has a zone.
func plain(addr netip.Addr) netip.Addr { return addr.Unmap().WithZone("") }

func contains(list []netip.Prefix, addr netip.Addr) bool {
	addr = plain(addr)
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
	MaxBuffers int64                                      // bytes that connections may keep between Steps, all together; 0: 256 MiB
	OnPanic    func(conn uint64, cause any, stack []byte) // a session panicked; its connection was closed
}

// Counters are what the router counts, beside Traffic. All but Conns, Streams and Buffered only grow.
type Counters struct {
	Accepted, Rejected, Refused         atomic.Uint64 // Rejected by the limit, Refused by a rule, or by a listener that lets nobody in
	Unrecognised, Ambiguous             atomic.Uint64
	IdleKicks, SilentKicks              atomic.Uint64
	SlowRequests                        atomic.Uint64 // that took too long to come
	HandshakeKicks                      atomic.Uint64 // closed in a TLS handshake, when buffers ran short
	Waits                               atomic.Uint64 // for a client to read, on a loop
	SlowReaders, HalfClosed, LongParked atomic.Uint64 // hand-offs by reason
	HandOffRefused, Stalled             atomic.Uint64
	Lingers, LingersCut                 atomic.Uint64 // closes that waited for the client to take the last words; that gave up
	BufferCuts, Overflows               atomic.Uint64 // closed for want of buffers; for answers or a request beyond any bound
	Yields                              atomic.Uint64
	LateDropped, Panics, Descriptors    atomic.Uint64 // Descriptors: clients refused, or accepts that failed, for want of one
	Expelled                            atomic.Uint64 // closed because their listener no longer lets them in
	BadProxy, Cut                       atomic.Uint64 // Cut: closed by Shutdown with something in flight
	Conns, Streams                      atomic.Int64  // now; Streams of these are on goroutines
	Buffered                            atomic.Int64  // bytes that connections keep between Steps: unread, unwritten, late answers
}

// Traffic is what one loop counts for each event. It has its cache lines for itself.
type Traffic struct {
	Read, Written atomic.Uint64 // bytes
	Gathered      atomic.Uint64 // replies that were written together with those to others
	_             [104]byte
}

// Limits of a connection.
const (
	Room        = 64 << 10         // bytes of replies before they are written
	MaxParked   = 256 << 10        // unread input of a connection on a loop
	MaxNeed     = 8 << 20          // what a session may want to see at once
	leastShare  = 1 << 10          // bytes of buffers that no connection is closed for; a daemon plans for more than that
	mostShare   = 16 << 10         // as many, where they are not more than half of all for all connections there may be
	sniffPeriod = 10 * time.Second // for first bytes that stay ambiguous
	// StallTimeout ends a connection whose client takes nothing of what is written to it.
	StallTimeout = 60 * time.Second
	// LingerTimeout and LingerBytes bound what a closing connection still takes from its client, so that the client
	// gets the last words instead of a reset.
	LingerTimeout = 2 * time.Second
	LingerBytes   = 1 << 20
)
