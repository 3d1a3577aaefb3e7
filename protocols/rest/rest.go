// Package rest is what HTTP requests mean, once for all framings: routing, conditions, media types, caches, health. It
// knows no bytes on the wire: a framing (protocols/http1) fills an Exchange with a request, runs the ops it wants, and
// sends the answer it becomes.
//
// The yardstick is Infinispan Server 16.0.7, whose clients and scripts are to work without a change. Where it is wrong
// about HTTP, loses updates or trusts what it should not, this package does what the standards say;
// docs/compatibility.md lists each difference.
package rest

import (
	"sync"
	"sync/atomic"

	"github.com/latticed/latticed/conf/infinispan"
	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/protocols"
	"github.com/latticed/latticed/protocols/media"
)

// Options configure the service. The zero value of a field means its default.
type Options struct {
	MaxContent int // largest request body in bytes; default 10 MB
	MaxCollect int // bytes that bodies of requests and values being converted take at a time, over all connections; default 8 * MaxContent

	Host    func() Host                                    // what only the process knows; called by several at a time
	Catalog Catalog                                        // which caches there are; nil: the default one alone, as it is
	Metrics func(accept string) (text []byte, kind string) // nil: there are none
	Stop    func()                                         // asks for an orderly end of the process, and does not wait; nil: nobody may
	Log     Log                                            // nil: nothing is known of it

	Connectors  Connectors  // nil: nothing is known of them
	Connections Connections // likewise
	Process     Process     // likewise

	Config func() *infinispan.Server // what of the server's configuration has a name there, as it is now; nil: it is not told

	AllowedHosts   []string // names, without ports, that a local listener answers to beside those of this machine
	AllowedOrigins []string // whose pages may use the server, such as https://app.example.com
	CORS           []CORS   // what others may do; the first that names an origin decides
}

// Host is what the process knows about itself.
type Host struct {
	Version, Node, Cluster string
	Addresses, Protocols   []string
	Started                int64 // ms since 1970
	Stopping               bool
	Connections            int64
	Entries, Bytes, Limit  uint64 // of all caches
	Stores                 uint64 // in all caches
	Others                 Ops    // what clients of other protocols did, on the default cache
}

// Ops is what clients did.
type Ops struct{ Hits, Misses, RemoveHits, RemoveMisses uint64 }

// Plus adds what other clients did.
func (o Ops) Plus(p Ops) Ops {
	return Ops{o.Hits + p.Hits, o.Misses + p.Misses, o.RemoveHits + p.RemoveHits, o.RemoveMisses + p.RemoveMisses}
}

// MaxBody is how many bytes a body may have.
func (s *Service) MaxBody() int { return s.opt.MaxContent + contentSlack }

// contentSlack is what a body may have beyond MaxContent, as Infinispan counts it.
const contentSlack = 12 << 10

// Service is shared by all connections and framings.
type Service struct {
	opt       Options
	collected atomic.Int64 // bytes of bodies held, of MaxCollect

	date       atomic.Pointer[date] // the last one written
	sharings   []sharing            // of Options.CORS
	squeezes   squeezes
	gatherings gatherings
	parsing    sync.Mutex // one document at a time
	reporting  sync.Mutex // one report at a time is made

	unimplemented atomic.Uint64

	document func() []byte // about all that is served
}

// counter is one of the figures that are counted here.
type counter uint8

const (
	hits counter = iota
	misses
	removeHits
	removeMisses
	numCounters
)

// Tally is what HTTP clients did with one cache.
type Tally struct {
	parts [8]struct { // by connection, so that loops seldom share a line
		n [numCounters]atomic.Uint64
		_ [64 - numCounters*8]byte
	}
	reset atomic.Pointer[reset] // nil: never
}

func (x *Exchange) count(c counter) {
	if t := x.tally; t != nil {
		t.parts[x.peer.Env.Conn%8].n[c].Add(1)
	}
}

// Ops returns the sums. Stores are the cache's to count.
func (t *Tally) Ops() (ops Ops) {
	if t == nil {
		return ops
	}
	for i := range t.parts {
		n := &t.parts[i].n
		ops.Hits += n[hits].Load()
		ops.Misses += n[misses].Load()
		ops.RemoveHits += n[removeHits].Load()
		ops.RemoveMisses += n[removeMisses].Load()
	}
	return ops
}

// reset is when the statistics of a cache began anew, and what had been done by then. What is counted goes on, for those who watch
// how it grows.
type reset struct {
	at  int64 // ms since 1970
	ops Ops   // of all clients
}

// Reset has Since begin at now, where ops is all that was done.
func (t *Tally) Reset(now int64, ops Ops) {
	if t != nil {
		t.reset.Store(&reset{now, ops})
	}
}

// Since returns what of ops was done since Reset, and when that was; at if it never was. Where others have reset what they count,
// that is all of it.
func (t *Tally) Since(ops Ops, at int64) (Ops, int64) {
	if t == nil || t.reset.Load() == nil {
		return ops, at
	}
	r := t.reset.Load()
	less := func(n, was uint64) uint64 {
		if n < was {
			return n
		}
		return n - was
	}
	return Ops{
		less(ops.Hits, r.ops.Hits), less(ops.Misses, r.ops.Misses), less(ops.RemoveHits, r.ops.RemoveHits), less(ops.RemoveMisses, r.ops.RemoveMisses),
	}, r.at
}

// Unimplemented counts requests for what is not implemented.
func (s *Service) Unimplemented() uint64 { return s.unimplemented.Load() }

// New returns the service.
func New(o Options) *Service {
	if o.MaxContent == 0 {
		o.MaxContent = 10_000_000
	}
	if o.MaxCollect == 0 {
		o.MaxCollect = 8 * o.MaxContent
	}
	if o.Host == nil {
		o.Host = func() Host { return Host{Version: "unknown", Node: "local"} }
	}
	if o.Catalog == nil {
		o.Catalog = fixed{}
	}
	s := &Service{opt: o, document: sync.OnceValue(func() []byte { return openAPI(o.Host().Version) })}
	for _, r := range o.CORS {
		s.sharings = append(s.sharings, newSharing(r))
	}
	return s
}

// date is a Date field as it was last written.
type date struct {
	second int64
	text   []byte
}

// Date returns what an answer's Date field says at ms since 1970. It is not to be changed.
func (s *Service) Date(ms int64) []byte {
	d := s.date.Load()
	if d == nil || d.second != ms/1000 {
		d = &date{second: ms / 1000, text: appendDate(nil, ms)}
		s.date.Store(d)
	}
	return d.text
}

// Peer is what the exchanges of one connection have in common. A framing keeps one for each connection.
type Peer struct {
	Env    *protocols.Env
	Speaks string // HTTP, with its version
	known  bool   // the connection is described

	host    string // a name of this machine, or an allowed one, that was asked for: the first one is kept
	name    string // what cache was asked for by: the last one used is kept
	version uint64 // of the catalog when it was opened
	found   Cache
	storage media.ID
	cache   grid.Cache
}

// open returns the handle on a cache; nil: there is none of that name.
func (x *Exchange) open(name []byte) grid.Cache {
	p, catalog := x.peer, x.s.opt.Catalog
	version := catalog.Version()
	if p.cache != nil && p.version == version && p.name == string(name) {
		return p.cache
	}
	found, ok := catalog.Find(string(name))
	if !ok {
		return nil
	}
	c, err := p.Env.Caches.Open(string(name), grid.Principal{})
	if err != nil {
		return nil
	}
	p.name, p.version, p.found, p.storage, p.cache = string(name), version, found, found.storage(), c
	return c
}
