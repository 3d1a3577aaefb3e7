package http2

import (
	"slices"

	"github.com/latticed/latticed/protocols/rest"
)

// write sends what is ready, as far as room and windows go. What stays is copied, since the batch is not ours behind the
// Step. True: something was sent.
func (w *work) write() (moved bool) {
	s := w.s
	for waiting := 0; waiting < len(s.ready) && len(w.Out) < w.Room && !s.closing; {
		st := s.ready[0]
		s.ready = slices.Delete(s.ready, 0, 1)
		st.queued = false
		if st.id == 0 { // dropped meanwhile
			s.p.pool.Put(st)
			continue
		}
		more, sent := w.send(st)
		if more {
			st.queued = true
			s.ready = append(s.ready, st)
		}
		if moved = moved || sent; more && !sent {
			waiting++
		}
	}
	for _, st := range s.ready {
		w.keep(st)
	}
	return moved
}

// keep has a stream copy what it has from the batch.
func (w *work) keep(st *stream) {
	if st.id != 0 && st.kept == 0 && len(st.Body) > 0 {
		st.Keep()
		st.kept = len(st.Body)
		w.s.kept += st.kept
	}
}

// send writes the head of a stream's answer if it is due, and one frame of its body. more: it can go on. sent: it has
// written something, or goes on otherwise.
func (w *work) send(st *stream) (more, sent bool) {
	s := w.s
	if st.State != rest.Ready {
		return false, false
	}
	length := len(st.Body)
	if st.Blob != nil {
		length = st.Blob.Len()
	}
	if !st.begun {
		st.begun, sent = true, true
		last := length == 0 && !st.Partial && !st.Broken
		if w.sendHead(st, last); last {
			w.done(st)
			return false, true
		}
	}
	if st.off == length && st.Partial {
		w.resume(st)
		return false, true // there is something to compute
	}
	if st.Broken {
		w.Out = appendReset(w.Out, st.id, internalError)
		s.drop(st, true)
		return false, true
	}
	if st.off == length { // of an answer in parts whose last one is empty
		w.Out = appendHead(w.Out, 0, fData, flagEndStream, st.id)
		w.done(st)
		return false, true
	}
	n := min(int64(length-st.off), int64(s.sendFrame), s.send, st.send)
	if n <= 0 {
		w.keep(st)
		return st.send > 0, sent // until a window opens; who waits for the connection's keeps its turn
	}
	var p []byte
	if st.Blob != nil {
		if p = st.Blob.Piece(st.off, int(n)); len(p) == 0 {
			w.park = true
			return true, sent
		}
	} else {
		p = st.Body[st.off : st.off+int(n)]
	}
	st.off += len(p)
	st.Sent += len(p)
	st.send -= int64(len(p))
	s.send -= int64(len(p))
	var flags byte
	if st.off == length && !st.Partial && !st.Broken {
		flags = flagEndStream
	}
	w.Out = appendHead(w.Out, len(p), fData, flags, st.id)
	w.Out = append(w.Out, p...)
	if flags != 0 {
		w.done(st)
		return false, true
	}
	return true, true
}

// resume has the next part of an answer made. It is queued again when that is ready.
func (w *work) resume(st *stream) {
	w.s.kept -= st.kept
	st.off, st.kept = 0, 0
	st.Resume()
}

// version is what the access log calls the protocol.
const version = "HTTP/2.0"

// done ends a stream whose answer is written. Where the client is still sending, the stream stays open for its part: not
// all clients see an answer that a reset follows at once.
func (w *work) done(st *stream) {
	switch {
	case st.ended:
		w.s.drop(st, false)
		return
	case st.late:
		w.enough(st)
		return
	}
	st.answered = true
	w.s.kept -= st.kept
	st.kept = 0
	st.Release()
}

// enough tells a client that has got its answer and goes on sending that it need not.
func (w *work) enough(st *stream) {
	w.Out = appendReset(w.Out, st.id, noError)
	w.s.drop(st, true)
}

// sendHead writes the HEADERS frame of an answer, and CONTINUATION where that is not enough.
func (w *work) sendHead(st *stream, last bool) {
	s := w.s
	s.fields = s.fields[:0]
	if s.resized {
		s.resized = false
		s.fields = append(s.fields, 0x20) // the dynamic table has 0 bytes from now on
	}
	s.fields = s.appendAnswer(s.fields, &st.Exchange, w.Now.Wall)
	kind, flags := fHeaders, byte(0)
	if last {
		flags = flagEndStream
	}
	for left := s.fields; ; kind, flags = fContinuation, 0 {
		p := left[:min(len(left), s.sendFrame)]
		if left = left[len(p):]; len(left) == 0 {
			flags |= flagEndHeaders
		}
		w.Out = append(appendHead(w.Out, len(p), kind, flags, st.id), p...)
		if len(left) == 0 {
			return
		}
	}
}

// wake queues the streams that a window has opened for.
func (w *work) wake() {
	for _, st := range w.s.streams {
		w.settle(st)
	}
}
