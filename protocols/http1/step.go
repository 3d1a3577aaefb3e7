package http1

import (
	"slices"

	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/protocols"
	"github.com/latticed/latticed/protocols/rest"
)

// minDrain is how much of a body that nobody wants is read in any case, so that the connection can go on and the client, which
// may look for the answer only when it has sent everything, gets it. It is more if a body may have more.
const minDrain = 64 << 20

// work is one Step.
type work struct {
	*protocols.Turn
	s    *session
	pos  int  // input used
	need int  // input wanted behind pos
	kept int  // bytes of answers that wait for those before them
	park bool // no input is wanted: something is outstanding first
	to   protocols.Session
}

// Step implements protocols.Session.
func (s *session) Step(t *protocols.Turn) protocols.Progress {
	w := work{Turn: t, s: s}
	next := w.run()
	held, kept := 0, 0
	for _, m := range s.owed {
		kept += m.Kept()
		if m.State == rest.Waiting {
			held++
		}
	}
	return protocols.Progress{Used: w.pos, Need: w.need, Next: next, Held: held, Kept: kept, To: w.to, Amid: next == protocols.More && w.amid()}
}

// amid tells whether a request has begun to come.
func (w *work) amid() bool { return w.pos < len(w.In) || w.coming() != nil }

// coming is the request whose body has not come to its end; nil: there is none.
func (w *work) coming() *message {
	if n := len(w.s.owed); n > 0 && !w.s.owed[n-1].received {
		return w.s.owed[n-1]
	}
	return nil
}

// ticket is new each time: what is answered late is found by it.
func (w *work) ticket() grid.Ticket {
	w.s.seq++
	return grid.Ticket{Conn: w.s.peer.Env.Conn, Seq: w.s.seq, Late: w.Batch.Late, Now: w.Now}
}

func (w *work) run() protocols.Next {
	s := w.s
	w.takeLate()
	for {
		next, done := w.send()
		w.keep()
		switch {
		case done:
			return next
		case s.closing && len(s.owed) == 0:
			w.pos = len(w.In)
			return protocols.Close
		}
		w.need, w.park = 0, false
		moved := w.gather()
		for _, m := range s.owed {
			if m.Alone && w.unsettled(m) {
				break // what is before it comes first
			}
			if m.State == rest.Working {
				if m.Heavy && w.Loop != protocols.MaxLoops-1 {
					return protocols.HandOff
				}
				if m.Endless && w.Leaving {
					m.Finish()
				} else if !m.Work(w.ticket()) {
					w.park = true
					break
				}
				if m.State == rest.Working {
					return protocols.Flush // large: others get their turn
				}
				moved = true
			}
		}
		if w.perform() || moved {
			continue
		}
		switch {
		case len(s.owed) == 1 && s.owed[0].Endless && s.owed[0].begun:
			w.pos, w.need = len(w.In), 1 // nothing that comes can be answered, but that the client leaves is to be seen
			return protocols.More
		case w.park:
			return protocols.Park
		case w.Overdue && !s.closing && w.amid():
			w.giveUp()
		default:
			return protocols.More
		}
	}
}

// unsettled tells whether the outcome of a request before m is open.
func (w *work) unsettled(m *message) bool {
	for _, before := range w.s.owed {
		if before == m {
			return false
		}
		if before.State != rest.Ready {
			return true
		}
	}
	return false
}

// takeLate gives late answers to the messages that wait for them.
func (w *work) takeLate() {
	for i := range w.Late {
		a := &w.Late[i]
		k := slices.IndexFunc(w.s.owed, func(m *message) bool { return m.State == rest.Waiting && m.Seq == a.Seq })
		if k >= 0 {
			w.s.owed[k].Result(&a.Res, w.Now)
		} else if a.Res.Body != nil {
			a.Res.Body.Close()
		}
	}
	w.Late = nil
}

// keep has the messages that were not sent copy what they have from the batch.
func (w *work) keep() {
	w.kept = 0
	for _, m := range w.s.owed {
		m.Keep()
		w.kept += len(m.Body)
	}
}

// gather reads requests until a batch is full, the input is used up, or something has to come first. False: nothing
// came of it.
func (w *work) gather() (moved bool) {
	s := w.s
	wants := 0
	for _, m := range s.owed {
		if m.State == rest.Wants {
			wants++
		}
	}
	for {
		if n := len(s.owed); n > 0 {
			m := s.owed[n-1]
			if !m.received {
				if w.receive(m) {
					moved = true
				}
				if !m.received {
					return moved
				}
				if m.State == rest.Wants {
					wants++
				}
				continue
			}
			if m.Alone && m.State != rest.Ready {
				w.park = true
				return moved
			}
		}
		switch {
		case s.closing, len(s.owed) >= s.peer.Env.Limits.Held, w.kept >= w.Room:
			w.park = len(s.owed) > 0
			return moved
		case wants >= grid.MaxBatch:
			return moved
		}
		for len(w.In)-w.pos >= 2 && w.In[w.pos] == '\r' && w.In[w.pos+1] == '\n' {
			w.pos += 2 // before a request, empty lines mean nothing
		}
		in := w.In[w.pos:]
		if len(in) == 0 {
			w.need = 1
			return moved
		}
		var h head
		h.parse(in, s.p.opt.MaxLine, s.p.opt.MaxHeader)
		if h.status == 0 && h.size == 0 {
			w.need = h.need
			return moved
		}
		moved = true
		w.open(&h, in)
		if m := s.owed[len(s.owed)-1]; m.received && m.State == rest.Wants {
			wants++
		}
	}
}

// open begins with a request whose head is judged.
func (w *work) open(h *head, in []byte) {
	s := w.s
	m := s.p.get(&s.peer)
	s.owed = append(s.owed, m)
	admitted := m.Admit(versions[m.minor], w.Now)
	if h.status != 0 {
		m.Refuse(h.status, h.reason)
		w.end(m)
		return
	}
	m.Start(h.method, h.target)
	for pos := h.fields; pos < h.size-2; {
		var name, value []byte
		name, value, pos = h.next(in, pos)
		m.Field(name, value)
	}
	w.pos += h.size
	m.minor, m.keep, m.Protocol = h.minor, h.keepAlive, versions[h.minor]
	m.last = h.close || h.minor == 0 && !h.keepAlive || w.Leaving
	if admitted && h.upgrading && h.minor > 0 && !h.chunked && h.length <= 0 {
		if name, to := w.upgrade(m, h); to != nil {
			if m.Upgrade(name) {
				m.to = to
			} else {
				to.Close()
			}
			w.end(m)
			return
		}
	}
	m.body = body{chunked: h.chunked, left: max(h.length, 0)}
	length := max(h.length, 0)
	if h.chunked {
		length = -1
	}
	if admitted {
		m.Head(length, w.ticket())
	}
	if length == 0 {
		w.received(m)
		return
	}
	m.held = m.Holding
	if m.State == rest.Receiving || m.held {
		m.expect = h.expect
	} else if h.expect {
		w.end(m) // whether the body comes is the client's secret
	} else {
		w.drain(m)
	}
}

// upgrade finds what the connection becomes by an Upgrade field; nil: nothing that is spoken here.
func (w *work) upgrade(m *message, h *head) (name string, to protocols.Session) {
	s := w.s
	if p := s.p.upgrade(h.upgrade); p != nil {
		return p.Name(), p.Open(s.peer.Env)
	}
	if s.p.opt.HTTP2 == nil || s.peer.Env.TLS || !hasToken(h.upgrade, "h2c") || h.given != 1 {
		return "", nil
	}
	if to, ok := s.p.opt.HTTP2.OpenUpgraded(s.peer.Env, h.settings, &m.Req); ok {
		return "h2c", to
	}
	return "", nil
}

// received says that all of the request is there.
func (w *work) received(m *message) {
	m.received = true
	m.End(w.Now)
	if m.last = m.last || m.Endless; m.last {
		w.s.closing = true
	}
}

// end gives up on what follows: the connection closes behind the answer.
func (w *work) end(m *message) {
	m.received, m.last, w.s.closing = true, true, true
}

// giveUp answers a request whose rest does not come.
func (w *work) giveUp() {
	m := w.coming()
	if m == nil {
		m = w.s.p.get(&w.s.peer)
		w.s.owed = append(w.s.owed, m)
		m.Admit(versions[m.minor], w.Now)
		m.Refuse(408, "the request did not come in time")
	} else if m.State == rest.Receiving {
		m.Refuse(408, "the body did not come in time")
	}
	w.end(m)
}

// resume goes on with a body that was not wanted before, or is not wanted now.
func (w *work) resume(m *message) {
	m.held = false
	switch {
	case m.State != rest.Ready || m.received:
	case m.expect:
		m.expect = false
		w.end(m)
	default:
		w.drain(m)
	}
}

// drain decides what becomes of the rest of a body that nobody wants.
func (w *work) drain(m *message) {
	if m.body.chunked && m.Res.StatusCode() == 413 || m.body.left > w.s.p.maxDrain() {
		w.end(m)
	}
}

// receive takes what has come of a body. False: nothing has.
func (w *work) receive(m *message) (moved bool) {
	for {
		if m.Holding {
			w.park = true
			return moved
		}
		data, skip, need, bad := m.body.next(w.In[w.pos:])
		w.pos += skip
		moved = moved || skip > 0
		switch {
		case bad:
			if m.State == rest.Receiving {
				m.Refuse(400, "the chunks of the body are malformed")
			}
			w.end(m)
			return true
		case m.body.done:
			w.received(m)
			return true
		case len(data) == 0:
			w.need = need
			return moved
		}
		n := len(data)
		if m.State == rest.Receiving {
			n = m.Write(data, w.ticket())
			m.held = m.held || m.Holding
			if n < len(data) && m.State != rest.Ready {
				w.park = true
			}
		}
		if m.State == rest.Ready {
			m.drained += n
		}
		m.body.took(n)
		w.pos += n
		moved = moved || n > 0
		if w.park {
			return moved
		}
		if n < len(data) || m.drained > w.s.p.maxDrain() {
			if w.drain(m); m.drained > w.s.p.maxDrain() {
				w.end(m)
			}
			if m.received {
				return true
			}
		}
	}
}

// perform runs what is wanted with one Do. False: nothing is.
func (w *work) perform() bool {
	s, b := w.s, w.Batch
	var list [grid.MaxBatch]*message
	var cache grid.Cache
	b.Reset()
	for _, m := range s.owed {
		if m.State != rest.Wants {
			continue
		}
		if cache == nil {
			cache = m.Cache()
		} else if cache != m.Cache() {
			break
		}
		op := b.Add()
		if op == nil {
			break
		}
		m.Fill(op)
		s.seq++
		op.Seq, m.Seq = s.seq, s.seq
		list[len(b.Ops)-1] = m
	}
	if cache == nil {
		return false
	}
	b.Room = max(1, w.Room-len(w.Out)-w.kept)
	b.Now, b.Conn = w.Now, s.peer.Env.Conn
	n := cache.Do(b)
	for i, m := range list[:n] {
		m.Result(&b.Res[i], w.Now)
	}
	return true
}
