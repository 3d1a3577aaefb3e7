// Package rest is what HTTP requests mean, once for all framings: routing, conditions, media types, caches, health. It
// knows no bytes on the wire: a framing (protocols/http1) fills an Exchange with a request, runs the ops it wants, and
// sends the answer it becomes.
//
// The yardstick is Infinispan Server 16.0.7, whose clients and scripts are to work without a change. Where it is wrong
// about HTTP, loses updates or trusts what it should not, this package does what the standards say;
// docs/compatibility.md lists each difference.
package rest

import (
	"sync/atomic"

	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/protocols"
)

// Options configure the service. The zero value of a field means its default.
type Options struct {
	MaxContent int // largest request body in bytes; default 10 MB
	MaxCollect int // bytes of request bodies held in memory at a time, over all connections; default 8 * MaxContent

	AllowedHosts   []string // names, without ports, that a local listener answers to beside those of this machine
	AllowedOrigins []string // whose pages may use the server, such as https://app.example.com
}

// contentSlack is what a body may have beyond MaxContent, as Infinispan counts it.
const contentSlack = 12 << 10

// Service is shared by all connections and framings.
type Service struct {
	opt       Options
	collected atomic.Int64 // bytes of bodies held, of MaxCollect
}

// New returns the service.
func New(o Options) *Service {
	if o.MaxContent == 0 {
		o.MaxContent = 10_000_000
	}
	if o.MaxCollect == 0 {
		o.MaxCollect = 8 * o.MaxContent
	}
	return &Service{opt: o}
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
