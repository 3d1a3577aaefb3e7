package http1

import (
	"slices"
	"strconv"

	"github.com/valyala/fasthttp"

	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/protocols"
	"github.com/latticed/latticed/protocols/rest"
)

// largeRoom is how much of a large value goes into one write where Tail cannot be used.
const largeRoom = 256 << 10

// send writes what is ready, in order. done: the Step ends with next.
func (w *work) send() (next protocols.Next, done bool) {
	s := w.s
	n := 0
	for n < len(s.owed) && !done {
		m := s.owed[n]
		if m.held && !m.Holding {
			w.resume(m)
		}
		if m.expect && !m.Holding {
			w.Out = append(w.Out, "HTTP/1.1 100 Continue\r\n\r\n"...)
			m.expect = false
		}
		if m.State != rest.Ready {
			break
		}
		if !m.begun || m.Length < 0 || len(m.Body) > 0 {
			if len(w.Out) >= w.Room {
				next, done = protocols.Flush, true
				break
			}
			if !m.begun {
				if m.Length < 0 && m.minor == 0 {
					w.end(m) // the end of the connection is the end of the body
				}
				w.Out = s.p.appendHead(w.Out, m, w.Now.Wall)
				m.begun = true
			}
			w.sendBody(m)
			if m.Broken {
				w.end(m)
			} else if m.Partial {
				m.Resume()
				break
			} else if len(m.Body) > 0 {
				next, done = protocols.Flush, true
				break
			}
		}
		if m.Blob != nil {
			if next, done = w.sendBlob(m); done {
				break
			}
		}
		if !m.received {
			break // the rest of its body is still to be thrown away
		}
		if m.to != nil {
			w.to, m.to = m.to, nil
			next, done = protocols.Switch, true
		}
		last := m.last
		m.Record()
		s.p.put(m)
		if n++; last && !done {
			for ; n < len(s.owed); n++ { // asked for before it was known: behind a body that ends with the connection
				s.p.put(s.owed[n])
			}
			w.pos = len(w.In)
			next, done = protocols.Close, true
		}
	}
	s.owed = slices.Delete(s.owed, 0, n)
	if len(s.owed) == 0 && cap(s.owed) > 32 {
		s.owed = nil
	}
	return next, done
}

// versions are what the access log calls the protocol.
var versions = [2]string{"HTTP/1.0", "HTTP/1.1"}

// sendBody writes the body of an answer, or a part of it. What is left in m.Body comes when that is written: many may share a
// large one, and each client that does not read would have it copied.
func (w *work) sendBody(m *message) {
	if m.Length >= 0 || m.minor == 0 {
		n := len(m.Body)
		if m.Length >= 0 { // others come in parts anyway
			n = min(n, max(w.Room, grid.StreamMin))
		}
		m.Sent += n
		w.Out = append(w.Out, m.Body[:n]...)
		if m.Body = m.Body[n:]; len(m.Body) == 0 {
			m.Body = nil
		}
		return
	}
	m.Sent += len(m.Body)
	if len(m.Body) > 0 {
		w.Out = strconv.AppendInt(w.Out, int64(len(m.Body)), 16)
		w.Out = append(w.Out, '\r', '\n')
		w.Out = append(w.Out, m.Body...)
		w.Out = append(w.Out, '\r', '\n')
		m.Body = nil
	}
	if !m.Partial && !m.Broken {
		w.Out = append(w.Out, "0\r\n\r\n"...)
	}
}

// sendBlob hands out the next piece of a large value.
func (w *work) sendBlob(m *message) (next protocols.Next, done bool) {
	m.off += m.tail
	m.tail = 0
	for m.off < m.Blob.Len() {
		if !w.CanTail && len(w.Out) >= max(w.Room, min(largeRoom, 4*w.Room)) {
			return protocols.Flush, true
		}
		want := m.Blob.Len() - m.off
		if !w.CanTail {
			want = min(want, largeRoom)
		}
		p := m.Blob.Piece(m.off, want)
		if len(p) == 0 {
			return protocols.Park, true
		}
		m.Sent += len(p)
		if w.CanTail {
			w.Tail, m.tail = p, len(p)
			return protocols.Flush, true
		}
		w.Out = append(w.Out, p...)
		m.off += len(p)
	}
	m.Blob.Close()
	m.Blob = nil
	return 0, false
}

// appendHead appends status line and fields. What is about the connection is decided here, the rest was by rest.
func (p *Protocol) appendHead(dst []byte, m *message, now int64) []byte {
	status := m.Res.StatusCode()
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(status), 10)
	dst = append(dst, ' ')
	dst = append(dst, fasthttp.StatusMessage(status)...)
	dst = append(dst, "\r\nDate: "...)
	dst = append(dst, p.opt.Service.Date(now)...)
	dst = append(dst, '\r', '\n')
	for name, value := range m.Res.All() {
		dst = append(dst, name...)
		dst = append(dst, ':', ' ')
		dst = append(dst, value...)
		dst = append(dst, '\r', '\n')
	}
	switch {
	case !m.HasContent():
	case m.Length < 0 && m.minor > 0:
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
	case m.Length >= 0:
		dst = append(dst, "Content-Length: "...)
		dst = strconv.AppendInt(dst, int64(m.Length), 10)
		dst = append(dst, '\r', '\n')
	}
	switch {
	case m.to != nil:
		dst = append(dst, "Connection: Upgrade\r\n"...)
	case m.last:
		dst = append(dst, "Connection: close\r\n"...)
	case m.minor == 0:
		dst = append(dst, "Connection: keep-alive\r\n"...)
	}
	return append(dst, '\r', '\n')
}
