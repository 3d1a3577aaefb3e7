// Package secure puts TLS between a driver and a session. It is a session itself: ciphertext comes in, ciphertext goes
// out, and the session of the protocol behind it sees the clear text in a Turn of the same shape. So TLS runs on event
// loops and on goroutines alike, and no connection has a goroutine of its own once its handshake is done.
//
// crypto/tls works on a connection in memory. Its Read there ends with a temporary error when the input is used up,
// which crypto/tls does not remember, so the next Step carries on. The handshake cannot be interrupted like that: it
// runs in a coroutine that yields where it would wait for input. Each run of the coroutine is on a goroutine beside the
// loop, of which only so many compute at a time, because a signature takes as long as hundreds of requests.
//
// Ownership: what is decrypted lives in a buffer that a Step borrows; what the inner session leaves unread is copied
// into the session and waits there. What the inner session renders is encrypted into the driver's output at once.
package secure

import (
	"crypto/tls"
	"errors"
	"io"
	"iter"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/protocols"
)

// RecordHandshake is the first byte of every TLS connection: the type of the record that opens it.
const RecordHandshake = 0x16

// maxHello bounds what one run of a handshake is given to read. A client's flight is shorter, but for huge certificates.
const maxHello = 64 << 10

// plainLen is how much clear text one Step decrypts at a time: as much as a loop reads.
const plainLen = 64 << 10

// Counters are what a Server counts. All but Handshaking only grow.
type Counters struct {
	Handshakes, Resumed, Failed atomic.Uint64
	Handshaking                 atomic.Int64 // now
}

// Server is what the connections of one listener share. Use NewServer.
type Server struct {
	Counters
	base    *tls.Config                // holds the keys of session tickets, which outlive a Reload
	current atomic.Pointer[identities] // what new handshakes use
	cpu     chan struct{}              // one place for each handshake that computes
	scratch sync.Pool                  // of *scratch
}

// scratch is what a Step borrows.
type scratch struct {
	plain, out []byte
	turn       protocols.Turn
}

// NewServer returns a server for the certificates and rules in o.
func NewServer(o Options) (*Server, error) {
	s := &Server{cpu: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))}
	if err := s.Reload(o); err != nil {
		return nil, err
	}
	s.base = &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		return s.current.Load().choose(hello), nil
	}}
	s.scratch.New = func() any { return &scratch{plain: make([]byte, 0, plainLen)} }
	return s, nil
}

// Reload replaces certificates and rules for the handshakes to come; connections that are there stay. An error changes
// nothing.
func (s *Server) Reload(o Options) error {
	ids, err := load(o)
	if err != nil {
		return err
	}
	s.current.Store(ids)
	return nil
}

// Open starts a connection. inner is called once the handshake is done and returns the session that sees the clear
// text. w has to cause a Step; it is the connection's.
func (s *Server) Open(w protocols.Waker, inner func(tls.ConnectionState) protocols.Session) protocols.Session {
	k := &session{s: s, open: inner, hs: &handshake{waker: w}}
	k.conn = tls.Server(&k.mem, s.base)
	k.hs.next, k.hs.stop = iter.Pull(func(yield func(struct{}) bool) {
		k.mem.yield = yield
		k.hs.err = k.conn.Handshake()
	})
	s.Handshaking.Add(1)
	return k
}

// session implements protocols.Session.
type session struct {
	s     *Server
	open  func(tls.ConnectionState) protocols.Session
	hs    *handshake // nil once it is done
	inner protocols.Session
	conn  *tls.Conn
	mem   memConn
	plain []byte // decrypted, and not yet used by inner
	need  int    // of clear text, for inner to be worth a call
	eof   bool   // nothing follows plain
}

// handshake is the part of a session that ends with its handshake.
type handshake struct {
	waker protocols.Waker
	next  func() (struct{}, bool)
	stop  func()

	mu     sync.Mutex
	flying bool // next runs on another goroutine, and with it mem belongs to that
	ended  bool // next has said that the handshake is over
	closed bool
	err    error
}

// What a connection takes during its handshake, with the stack of its coroutine, and from then on, in bytes. A handshake that
// has only begun takes less.
const (
	HandshakeKept = 24 << 10
	sessionKept   = 8 << 10
)

// Step implements protocols.Session.
func (k *session) Step(t *protocols.Turn) protocols.Progress {
	used := 0
	if k.hs != nil {
		p, done := k.shake(t)
		if !done {
			p.Kept = HandshakeKept
			return p
		}
		used = p.Used
	}
	b := k.s.scratch.Get().(*scratch)
	b.plain = append(b.plain[:0], k.plain...)
	k.mem.in, k.mem.eof, k.mem.out = t.In[used:], t.EOF, t.Out
	p := k.run(t, b)
	if k.eof {
		k.mem.in = nil // behind the end means nothing
	}
	p.Used = len(t.In) - len(k.mem.in)
	t.Out = k.mem.out
	k.mem.in, k.mem.out = nil, nil
	if len(b.plain) == 0 {
		k.plain = nil
	} else {
		k.plain = append(k.plain[:0], b.plain...)
	}
	p.Kept += sessionKept + cap(k.plain) + k.mem.partial()
	if cap(b.plain) > 4*plainLen {
		b.plain = make([]byte, 0, plainLen)
	}
	b.turn = protocols.Turn{}
	k.s.scratch.Put(b)
	return p
}

// run decrypts, steps the inner session and encrypts, until the input or the room is used up.
func (k *session) run(t *protocols.Turn, b *scratch) protocols.Progress {
	late, limit := t.Late, t.Room+2*grid.StreamMin
	if cap(b.out) < limit {
		b.out = make([]byte, 0, limit)
	}
	for {
		drained, err := k.decrypt(b)
		if err != nil { // crypto/tls has written the alert
			return protocols.Progress{Next: protocols.Close}
		}
		t.Batch.Reset()
		b.turn = protocols.Turn{
			In: b.plain, EOF: k.eof && drained, Late: late, Out: b.out[:0], Room: max(1, t.Room-len(k.mem.out)),
			Now: t.Now, Batch: t.Batch, Loop: t.Loop, Leaving: t.Leaving, Overdue: t.Overdue && drained,
		}
		late = nil
		p := k.inner.Step(&b.turn)
		b.plain = b.plain[:copy(b.plain, b.plain[p.Used:])]
		if out := b.turn.Out; len(out) > 0 {
			if _, err := k.conn.Write(out); err != nil {
				return protocols.Progress{Next: protocols.Close}
			}
			if cap(out) > cap(b.out) && cap(out) <= 1<<20 {
				b.out = out[:0]
			}
		}
		k.need = p.Need
		switch p.Next {
		case protocols.Switch:
			k.inner.Close()
			k.inner, k.need = p.To, 0
			continue
		case protocols.Close:
			_ = k.conn.CloseWrite() // into memory
			return protocols.Progress{Next: protocols.Close}
		case protocols.More:
		default:
			return protocols.Progress{Next: p.Next, Held: p.Held, Kept: p.Kept}
		}
		switch {
		case drained && p.Held == 0 && (k.eof || t.Leaving && len(b.plain) == 0):
			_ = k.conn.CloseWrite()
			return protocols.Progress{Next: protocols.Close}
		case drained && t.Overdue && k.mem.partial() > 0 && !p.Amid: // what has come for too long is a record
			_ = k.conn.CloseWrite()
			return protocols.Progress{Next: protocols.Close}
		case drained:
			return protocols.Progress{Need: 1, Held: p.Held, Kept: p.Kept, Amid: p.Amid || k.mem.partial() > 0}
		case len(k.mem.out) >= t.Room:
			return protocols.Progress{Next: protocols.Flush, Held: p.Held, Kept: p.Kept}
		}
	}
}

// decrypt fills b.plain. drained: there is no more input; otherwise the buffer is full.
func (k *session) decrypt(b *scratch) (drained bool, err error) {
	if k.need > cap(b.plain) { // how much a session may want is its own limit
		b.plain = append(make([]byte, 0, k.need+plainLen/4), b.plain...)
	}
	for !k.eof && len(b.plain) < cap(b.plain) {
		n, err := k.conn.Read(b.plain[len(b.plain):cap(b.plain)])
		b.plain = b.plain[:len(b.plain)+n]
		switch {
		case err == nil:
		case errors.Is(err, errDrained):
			return true, nil
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			k.eof = true
		default:
			return false, err
		}
	}
	return k.eof, nil
}

// shake carries the handshake on. done: it has succeeded, and there is an inner session.
func (k *session) shake(t *protocols.Turn) (p protocols.Progress, done bool) {
	h := k.hs
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.flying {
		return protocols.Progress{Next: protocols.Park}, false
	}
	t.Out = append(t.Out, k.mem.out...)
	k.mem.out = k.mem.out[:0]
	switch {
	case h.ended && h.err != nil:
		return protocols.Progress{Used: len(t.In), Next: protocols.Close}, false
	case h.ended:
		k.mem.early, k.mem.in, k.mem.out, k.mem.yield = k.mem.in, nil, nil, nil
		k.hs = nil
		k.done()
		k.s.Handshakes.Add(1)
		state := k.conn.ConnectionState()
		if state.DidResume {
			k.s.Resumed.Add(1)
		}
		k.inner, k.open = k.open(state), nil
		return protocols.Progress{}, true
	case len(t.In) == 0 && !t.EOF:
		return protocols.Progress{Need: 1}, false
	}
	n := min(len(t.In), maxHello)
	k.mem.in = append(k.mem.in, t.In[:n]...)
	k.mem.eof = t.EOF && n == len(t.In)
	h.flying = true
	go k.fly(h)
	return protocols.Progress{Used: n, Next: protocols.Park}, false
}

// fly runs the handshake until it needs input or ends. One that was closed while it waited for a place costs nothing.
func (k *session) fly(h *handshake) {
	k.s.cpu <- struct{}{}
	h.mu.Lock()
	closed := h.closed // while it waited
	h.mu.Unlock()
	more := closed || h.resume()
	<-k.s.cpu
	if !more && h.err != nil {
		k.s.Failed.Add(1)
	}
	h.mu.Lock()
	h.flying, h.ended = false, !more
	closed = h.closed
	h.mu.Unlock()
	if closed {
		k.end(h)
	} else {
		h.waker.Wake()
	}
}

// resume runs the coroutine. A panic in it ends the handshake, not the process.
func (h *handshake) resume() (more bool) {
	defer func() {
		if cause := recover(); cause != nil {
			more, h.err = false, errPanic
		}
	}()
	_, more = h.next()
	return more
}

// end gives up a handshake that is not flying.
func (k *session) end(h *handshake) {
	h.stop()
	k.done()
}

func (k *session) done() { k.s.Handshaking.Add(-1) }

// Close implements protocols.Session.
func (k *session) Close() {
	if h := k.hs; h != nil {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.closed = true
		if !h.flying {
			k.end(h)
		}
		return
	}
	k.inner.Close()
}

var (
	errDrained error = drained{}
	errPanic         = errors.New("secure: the handshake panicked")
)

// drained is a temporary net.Error, the only kind that crypto/tls forgets.
type drained struct{}

func (drained) Error() string   { return "secure: no more input" }
func (drained) Timeout() bool   { return false }
func (drained) Temporary() bool { return true }

// memConn is the connection in memory that crypto/tls works on.
type memConn struct {
	early []byte // came with the handshake, before in
	in    []byte
	eof   bool // nothing follows in
	out   []byte
	yield func(struct{}) bool // while the handshake runs; false: it is given up

	head [recordHead]byte // of the record that is being read
	got  int              // bytes of it, and of its head
	body int              // its length without the head
}

// recordHead is the length of what precedes each record: a type, a version, a length.
const recordHead = 5

// partial is how many bytes of a record crypto/tls holds until the rest of it comes.
func (m *memConn) partial() int { return m.got }

// passed says that crypto/tls has read p.
func (m *memConn) passed(p []byte) {
	for len(p) > 0 {
		n := 0
		if m.got < recordHead {
			n = copy(m.head[m.got:], p)
		} else {
			n = min(len(p), recordHead+m.body-m.got)
		}
		p = p[n:]
		if m.got += n; m.got == recordHead {
			m.body = int(m.head[3])<<8 | int(m.head[4])
		}
		if m.got >= recordHead && m.got == recordHead+m.body {
			m.got = 0
		}
	}
}

// Read implements net.Conn.
func (m *memConn) Read(p []byte) (int, error) {
	for {
		if n := copy(p, m.early); n > 0 {
			m.early = m.early[n:]
			m.passed(p[:n])
			return n, nil
		}
		m.early = nil
		if n := copy(p, m.in); n > 0 {
			m.in = m.in[n:]
			m.passed(p[:n])
			return n, nil
		}
		switch {
		case m.eof:
			return 0, io.EOF
		case m.yield == nil:
			return 0, errDrained
		case !m.yield(struct{}{}):
			return 0, net.ErrClosed
		}
	}
}

// Write implements net.Conn.
func (m *memConn) Write(p []byte) (int, error) {
	m.out = append(m.out, p...)
	return len(p), nil
}

// The rest of net.Conn means nothing in memory.

func (m *memConn) Close() error                     { return nil }
func (m *memConn) LocalAddr() net.Addr              { return memAddr{} }
func (m *memConn) RemoteAddr() net.Addr             { return memAddr{} }
func (m *memConn) SetDeadline(time.Time) error      { return nil }
func (m *memConn) SetReadDeadline(time.Time) error  { return nil }
func (m *memConn) SetWriteDeadline(time.Time) error { return nil }

type memAddr struct{}

func (memAddr) Network() string { return "memory" }
func (memAddr) String() string  { return "memory" }
