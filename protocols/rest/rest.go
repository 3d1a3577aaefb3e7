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

	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/protocols"
)

// Options configure the service. The zero value of a field means its default.
type Options struct {
	MaxContent int // largest request body in bytes; default 10 MB
	MaxCollect int // bytes that bodies of requests and values being converted take at a time, over all connections; default 8 * MaxContent

	Host    func() Host                                    // what only the process knows; called by several at a time
	Metrics func(accept string) (text []byte, kind string) // nil: there are none

	AllowedHosts   []string // names, without ports, that a local listener answers to beside those of this machine
	AllowedOrigins []string // whose pages may use the server, such as https://app.example.com
}

// Host is what the process knows about itself.
type Host struct {
	Version, Node, Cluster       string
	Addresses, Protocols, Caches []string
	Started                      int64 // ms since 1970
	Stopping                     bool
	Connections                  int64
	Entries, Bytes, Limit        uint64 // of all caches
	Ops                          Ops
}

// Ops is what clients of all protocols did.
type Ops struct{ Hits, Misses, Stores, RemoveHits, RemoveMisses uint64 }

// contentSlack is what a body may have beyond MaxContent, as Infinispan counts it.
const contentSlack = 12 << 10

// Service is shared by all connections and framings.
type Service struct {
	opt       Options
	collected atomic.Int64 // bytes of bodies held, of MaxCollect

	date      atomic.Pointer[date] // the last one written
	squeezes  squeezes
	gathering sync.Mutex // guards last
	last      gathering

	unimplemented atomic.Uint64
	counters      [64]counters // by connection, so that loops do not share a line
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

type counters struct {
	n [numCounters]atomic.Uint64
	_ [64 - numCounters*8]byte
}

func (x *Exchange) count(c counter) { x.s.counters[x.peer.Env.Conn%64].n[c].Add(1) }

// Counts returns what HTTP clients did and how many requests were for what is not implemented. Stores are the cache's
// to count.
func (s *Service) Counts() (ops Ops, unimplemented uint64) {
	for i := range s.counters {
		n := &s.counters[i].n
		ops.Hits += n[hits].Load()
		ops.Misses += n[misses].Load()
		ops.RemoveHits += n[removeHits].Load()
		ops.RemoveMisses += n[removeMisses].Load()
	}
	return ops, s.unimplemented.Load()
}

// New returns the service.
func New(o Options) *Service {
	if o.MaxContent == 0 {
		o.MaxContent = 10_000_000
	}
	if o.MaxCollect == 0 {
		o.MaxCollect = 8 * o.MaxContent
	}
	if o.Host == nil {
		o.Host = func() Host { return Host{Version: "unknown", Node: "local", Caches: []string{"default"}} }
	}
	return &Service{opt: o}
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
	Env *protocols.Env

	name  string // of cache: the last one used is kept
	cache grid.Cache
}

// open returns the handle on a cache; nil: there is none of that name.
func (p *Peer) open(name []byte) grid.Cache {
	if p.cache != nil && p.name == string(name) {
		return p.cache
	}
	c, err := p.Env.Caches.Open(string(name), grid.Principal{})
	if err != nil {
		return nil
	}
	p.name, p.cache = string(name), c
	return c
}
