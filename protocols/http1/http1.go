// Package http1 frames HTTP/1.1 and HTTP/1.0: bytes to requests and answers to bytes, as a state machine that opens no
// socket, starts no goroutine and keeps no input. What the requests mean is protocols/rest's.
//
// One Step reads every complete request (head.go, body.go), runs the ops they want in one batch, and writes the answers
// in order (step.go, answer.go). A request that waits for another node keeps its place in the session's list, and what
// is behind it is answered behind it.
package http1

import (
	"bytes"
	"sync"

	"github.com/latticed/latticed/protocols"
	"github.com/latticed/latticed/protocols/http2"
	"github.com/latticed/latticed/protocols/rest"
)

// Options configure the protocol. The zero value of a field means its default.
type Options struct {
	Service   *rest.Service
	MaxLine   int // longest request line in bytes, without its end; default 4096
	MaxHeader int // longest header section in bytes; default 8192
	// Upgrades are what a connection may become by the Upgrade field, by the protocol's name or one of its other names.
	Upgrades []protocols.Protocol
	HTTP2    *http2.Protocol // what h2c in that field means; nil: nothing
}

// otherNames are what Infinispan calls the protocols in ALPN.
var otherNames = map[string]string{"memcached": "mb", "hotrod": "hr", "resp": "rp"}

// upgrade finds the protocol that an Upgrade field names; nil: none that is spoken here.
func (p *Protocol) upgrade(list []byte) protocols.Protocol {
	for len(list) > 0 {
		var one []byte
		one, list = cut(list)
		for _, u := range p.opt.Upgrades {
			if is(one, u.Name()) || is(one, otherNames[u.Name()]) && len(one) > 0 {
				return u
			}
		}
	}
	return nil
}

// Protocol implements protocols.Protocol. One serves all connections.
type Protocol struct {
	opt  Options
	pool sync.Pool // of *message
}

// New returns the protocol.
func New(o Options) *Protocol {
	if o.MaxLine == 0 {
		o.MaxLine = 4096
	}
	if o.MaxHeader == 0 {
		o.MaxHeader = 8192
	}
	p := &Protocol{opt: o}
	p.pool.New = func() any { return new(message) }
	return p
}

// maxDrain is how much of a body that nobody wants is read.
func (p *Protocol) maxDrain() int { return max(minDrain, p.opt.Service.MaxBody()) }

// Name implements protocols.Protocol.
func (p *Protocol) Name() string { return "http" }

// Sniff implements protocols.Protocol: a request begins with a method in capitals, a space and a path. HTTP/2 has a
// preface that looks like one, and so have a few things that are not HTTP.
func (p *Protocol) Sniff(prefix []byte) protocols.Match {
	n := bytes.IndexByte(prefix, ' ')
	verb := prefix
	if n >= 0 {
		verb = prefix[:n]
	}
	for _, c := range verb {
		if (c < 'A' || c > 'Z') && c != '-' {
			return protocols.No
		}
	}
	switch {
	case n == 0, n < 0 && len(prefix) >= protocols.SniffMax, string(verb) == "PRI", string(verb) == "PROXY":
		return protocols.No
	case n < 0 || len(prefix) == n+1:
		return protocols.Maybe
	}
	switch prefix[n+1] {
	case '/', '*', 'h', 'H':
		return protocols.Yes
	}
	return protocols.No
}

// Open implements protocols.Protocol.
func (p *Protocol) Open(env *protocols.Env) protocols.Session {
	return &session{p: p, peer: rest.Peer{Env: env, Speaks: "HTTP/1.1"}}
}

// session is one connection. An idle one owns no message.
type session struct {
	p       *Protocol
	peer    rest.Peer
	owed    []*message // requests whose answers are not yet written, in order
	seq     uint32
	closing bool // nothing further is read
}

// message is one request and its answer. It is pooled.
type message struct {
	rest.Exchange
	body     body
	received bool              // the request is complete, or not going to be
	held     bool              // its body was not wanted yet when its head was there
	minor    byte              // of the client's version
	keep     bool              // HTTP/1.0: the client wants the connection kept
	last     bool              // the connection closes behind the answer
	expect   bool              // 100 Continue is owed
	begun    bool              // the head of the answer is written
	off      int               // of Blob, written
	tail     int               // bytes of Blob in the last Tail
	drained  int               // bytes of the body that nobody wanted
	to       protocols.Session // what goes on behind the answer, nil for this one
}

func (p *Protocol) get(peer *rest.Peer) *message {
	m := p.pool.Get().(*message)
	m.Exchange.Reset(p.opt.Service, peer)
	m.body, m.to = body{}, nil
	m.held = false
	m.received, m.minor, m.keep, m.last, m.expect, m.begun, m.off, m.tail, m.drained = false, 1, false, false, false, false, 0, 0, 0
	return m
}

func (p *Protocol) put(m *message) {
	if m.to != nil {
		m.to.Close()
		m.to = nil
	}
	m.Release()
	p.pool.Put(m)
}

// Close implements protocols.Session.
func (s *session) Close() {
	for _, m := range s.owed {
		s.p.put(m)
	}
	s.owed = nil
}
