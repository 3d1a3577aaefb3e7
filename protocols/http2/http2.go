// Package http2 frames HTTP/2 (RFC 9113): bytes to requests and answers to bytes, as a state machine that opens no
// socket, starts no goroutine and keeps no input. What the requests mean is protocols/rest's.
//
// One Step reads frames (read.go) until as many requests want ops as fit a batch, runs them with one Do, and writes what
// is ready (write.go): all streams' answers leave in one write. Answers leave in the order in which they are ready, and
// large ones take turns, a frame each.
//
// Nothing a client does makes more of the connection than this: Streams requests under way, each with a header section of
// at most MaxHeader and a body within its window; keepMax bytes of answers that its windows do not take, behind which
// further requests are not run; and what it makes us write for nothing (pings, settings, resets) only while it reads, and
// only so often (calm.go).
package http2

import (
	"bytes"
	"encoding/base64"
	"sync"

	"github.com/valyala/fasthttp"
	"golang.org/x/net/http2/hpack"

	"github.com/latticed/latticed/protocols"
	"github.com/latticed/latticed/protocols/rest"
)

// Preface is what a client sends first (RFC 9113 section 3.4).
const Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// What our SETTINGS say, and other bounds of a connection.
const (
	streamWindow = 256 << 10 // body bytes a client may send ahead on one stream
	connWindow   = 1 << 20   // and on all together
	firstWindow  = 1<<16 - 1 // both, before anything is said
	keepMax      = 64 << 10
	tableMax     = 4096 // of the client's compression, which is the default
)

// Options configure the protocol. The zero value of a field means its default.
type Options struct {
	Service   *rest.Service
	Streams   int // requests under way on one connection; default 100
	MaxHeader int // longest header section in bytes, as RFC 9113 counts it; default 8192
}

// Protocol implements protocols.Protocol. One serves all connections.
type Protocol struct {
	opt  Options
	pool sync.Pool // of *stream
}

// New returns the protocol.
func New(o Options) *Protocol {
	if o.Streams == 0 {
		o.Streams = 100
	}
	if o.MaxHeader == 0 {
		o.MaxHeader = 8192
	}
	p := &Protocol{opt: o}
	p.pool.New = func() any { return new(stream) }
	return p
}

// Name implements protocols.Protocol. It is HTTP/1's too: a listener that speaks one speaks the other.
func (p *Protocol) Name() string { return "http" }

// Sniff implements protocols.Protocol.
func (p *Protocol) Sniff(prefix []byte) protocols.Match {
	n := min(len(prefix), len(Preface))
	switch {
	case string(prefix[:n]) != Preface[:n]:
		return protocols.No
	case n < len("PRI * "):
		return protocols.Maybe
	}
	return protocols.Yes
}

// Open implements protocols.Protocol.
func (p *Protocol) Open(env *protocols.Env) protocols.Session { return p.open(env) }

// OpenUpgraded starts a session behind a request of HTTP/1.1 with `Upgrade: h2c` (RFC 7540 section 3.2): req is answered
// on stream 1, and settings is the value of its HTTP2-Settings field. req is copied. False: the settings are malformed.
func (p *Protocol) OpenUpgraded(env *protocols.Env, settings []byte, req *fasthttp.RequestHeader) (protocols.Session, bool) {
	s := p.open(env)
	list, err := base64.RawURLEncoding.AppendDecode(nil, settings)
	if err != nil || len(list)%6 != 0 || s.setAll(list) != nil {
		return nil, false
	}
	s.last = 1
	s.first = s.newStream(1)
	s.first.ended, s.first.announce = true, 0
	s.first.Start(req.Method(), req.RequestURI())
	for name, value := range req.All() {
		switch string(bytes.ToLower(name)) {
		case "connection", "upgrade", "http2-settings":
		default:
			s.first.Field(name, value)
		}
	}
	s.streams = append(s.streams, s.first)
	return s, true
}

func (p *Protocol) open(env *protocols.Env) *session {
	s := &session{
		p: p, peer: rest.Peer{Env: env, Speaks: "HTTP/2"}, preface: Preface,
		sendFrame: maxFrame, sendFirst: firstWindow, send: firstWindow, recv: connWindow,
	}
	s.dec = hpack.NewDecoder(tableMax, s.field)
	s.dec.SetMaxStringLength(maxBlock)
	return s
}

// session is one connection.
type session struct {
	p       *Protocol
	peer    rest.Peer
	preface string  // what of it is still to come
	first   *stream // the request that HTTP/1.1 has brought, until the client's preface is there: curl 7.88 has 32 KiB for 101 and all behind it
	greeted bool    // our SETTINGS are written
	settled bool    // the client's SETTINGS have come
	closing bool    // GOAWAY is written: nothing further is read
	leaving bool    // the client has said GOAWAY, or we have: no further streams
	told    bool    // we have
	resized bool    // the client has said how large a table we may use, and has not heard yet that we use none

	gone    [64]gone  // streams that are over, the latest ones
	goneAt  int       // where the next one goes
	streams []*stream // under way, by number
	last    uint32    // highest number that the client has used
	ready   []*stream // have something to write that their windows take
	seq     uint32
	held    int   // ops outstanding, also those of streams that are gone
	turn    int   // where in streams whose turn it is to compute
	kept    int   // bytes of answers that were copied to wait
	judged  int64 // when streams were last looked at for being slow, ms

	send      int64 // what the client takes on all streams together
	sendFirst int64 // what it takes on a new stream
	sendFrame int   // the longest frame it takes
	recv      int   // what it may still send on all streams together

	dec    *hpack.Decoder
	table  int    // bytes that dec has for its table, at most
	block  []byte // of a header section that CONTINUATION goes on with
	blocks int    // frames of it
	head   head   // of the section that is being decoded
	open   frame  // the HEADERS frame that began it, or the DATA frame that is being read
	left   int    // bytes of that DATA frame still to come; its padding is in pad
	pad    int
	inData bool

	calm   calm
	number []byte
	fields []byte // scratch for an answer's head
}

// stream is one request and its answer. It is pooled.
type stream struct {
	rest.Exchange
	id       uint32
	ended    bool  // the client has sent all
	begun    bool  // the head of the answer is written
	queued   bool  // is in ready
	late     bool  // the client has sent too little for too long
	answered bool  // the answer is written, and the client still sends: what it sends is judged and thrown away
	announce int   // length of the body, -1 for unknown
	got      int   // bytes of the body that have come
	send     int64 // what the client takes
	recv     int   // what it may still send
	off      int   // bytes of the answer's body that are written
	kept     int   // of session.kept
	since    int64 // when its rest began to be awaited, ms
	came     int   // bytes of it since then
}

func (s *session) newStream(id uint32) *stream {
	st := s.p.pool.Get().(*stream)
	st.Exchange.Reset(s.p.opt.Service, &s.peer)
	st.id, st.ended, st.begun, st.queued, st.late, st.answered = id, false, false, false, false, false
	st.announce, st.got, st.off, st.kept = -1, 0, 0, 0
	st.send, st.recv = s.sendFirst, streamWindow
	return st
}

// find returns where stream id is, or would be.
func (s *session) find(id uint32) (at int, st *stream) {
	lo, hi := 0, len(s.streams)
	for lo < hi {
		mid := (lo + hi) / 2
		if s.streams[mid].id < id {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo < len(s.streams) && s.streams[lo].id == id {
		return lo, s.streams[lo]
	}
	return lo, nil
}

// gone is a stream that is over. What its client had on the way when we ended it is forgiven; what comes for one that
// the client has ended itself is not.
type gone struct {
	id   uint32
	ours bool // we have reset it
}

// over finds a stream that is over.
func (s *session) over(id uint32) (g gone, ok bool) {
	for _, g := range s.gone {
		if g.id == id {
			return g, true
		}
	}
	return g, false
}

// closed notes that the client has reset a stream that is over: it has nothing on the way for it any more.
func (s *session) closed(id uint32) {
	for i := range s.gone {
		if s.gone[i].id == id {
			s.gone[i].ours = false
		}
	}
}

// drop ends a stream. Who has it in a list has to look at its id: 0 means gone. ours: we have reset it.
func (s *session) drop(st *stream, ours bool) {
	s.gone[s.goneAt] = gone{st.id, ours}
	s.goneAt = (s.goneAt + 1) % len(s.gone)
	if at, found := s.find(st.id); found == st {
		s.streams = append(s.streams[:at], s.streams[at+1:]...)
	}
	s.kept -= st.kept
	st.kept, st.id = 0, 0
	st.Release()
	if !st.queued {
		s.p.pool.Put(st)
	}
}

// Close implements protocols.Session.
func (s *session) Close() {
	for len(s.streams) > 0 {
		s.drop(s.streams[0], false)
	}
}
