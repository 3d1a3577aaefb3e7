package http2

import (
	"slices"

	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/protocols"
	"github.com/latticed/latticed/protocols/rest"
)

// work is one Step.
type work struct {
	*protocols.Turn
	s    *session
	pos  int // input used
	need int // input wanted behind pos
	park bool
}

// Step implements protocols.Session.
func (s *session) Step(t *protocols.Turn) protocols.Progress {
	w := work{Turn: t, s: s}
	next := w.run()
	kept := s.table + cap(s.block) + cap(s.fields)
	for _, st := range s.streams {
		kept += st.Kept()
	}
	return protocols.Progress{Used: w.pos, Need: w.need, Next: next, Held: s.held, Kept: kept, Amid: next == protocols.More && w.amid()}
}

// amid tells whether the client has sent a part of something.
func (w *work) amid() bool {
	return w.inFrame() || w.s.inData || slices.ContainsFunc(w.s.streams, func(st *stream) bool { return !st.ended })
}

// inFrame tells whether that is a part of a frame that belongs to no request, or of a header section.
func (w *work) inFrame() bool {
	s := w.s
	if s.inData {
		_, st := s.find(s.open.stream)
		return st == nil
	}
	return w.pos < len(w.In) || len(s.preface) > 0 || s.blocks > 0
}

// ticket is new each time: what is answered late is found by it.
func (w *work) ticket() grid.Ticket {
	w.s.seq++
	return grid.Ticket{Conn: w.s.peer.Env.Conn, Seq: w.s.seq, Late: w.Batch.Late, Now: w.Now}
}

func (w *work) run() protocols.Next {
	s := w.s
	if !s.greeted {
		w.greet()
	}
	if w.Leaving && !s.leaving {
		s.leaving, s.told = true, true
		w.Out = appendGoAway(w.Out, s.last, noError, "")
	}
	w.takeLate()
	for {
		w.need, w.park = 0, false
		wants := w.read()
		if st := s.first; st != nil && s.preface == "" {
			s.first = nil
			s.seq++
			if st.Admit(version, w.Now) {
				st.Head(0, w.ticket())
				st.End(w.Now)
			}
			w.settle(st)
			wants = wants || st.State == rest.Wants
		}
		working, heavy := w.compute()
		moved := w.perform(wants)
		if w.write() {
			moved = true
		}
		switch {
		case s.closing:
			w.pos = len(w.In)
			return protocols.Close
		case heavy:
			return protocols.HandOff
		case len(w.Out) >= w.Room, working:
			return protocols.Flush
		case moved:
			continue
		case w.park, s.held >= s.peer.Env.Limits.Held:
			w.pause()
			return protocols.Park
		case s.leaving && !slices.ContainsFunc(s.streams, func(st *stream) bool { return !st.answered }):
			if !s.told {
				w.end(noError, "") // who is told so may send on until it ends as well, instead of being reset
			}
			return protocols.Close
		case w.judge():
			continue
		}
		return protocols.More
	}
}

// pause gives all streams time again: it is we who do not read.
func (w *work) pause() {
	for _, st := range w.s.streams {
		st.since, st.came = w.Now.Wall, 0
	}
}

// judge gives up the requests whose rest does not come: they are answered and reset. Where it is no request that does not
// come, but a frame, the connection ends. True: there is something to write.
func (w *work) judge() (moved bool) {
	s, now := w.s, w.Now.Wall
	if !w.Overdue && now < s.judged+1000 {
		return false
	}
	s.judged = now
	for i := 0; i < len(s.streams); i++ {
		st := s.streams[i]
		if st.ended || now-st.since <= protocols.FinishTimeout.Milliseconds() {
			continue
		}
		moved = true
		if st.since = now; st.State == rest.Receiving {
			st.Refuse(408, "the body did not come in time")
			st.late = true
			w.settle(st)
			continue
		}
		if i--; st.answered {
			w.enough(st)
		} else {
			w.fail(st, cancel)
		}
	}
	if w.Overdue && !moved && w.inFrame() {
		w.end(enhanceYourCalm, "a frame did not come in time")
		moved = true
	}
	w.Overdue = false
	return moved
}

// greet writes our side's preface.
func (w *work) greet() {
	w.s.greeted = true
	w.Out = appendHead(w.Out, 3*6, fSettings, 0, 0)
	w.Out = appendSetting(w.Out, setStreams, uint32(w.s.p.opt.Streams))
	w.Out = appendSetting(w.Out, setWindow, streamWindow)
	w.Out = appendSetting(w.Out, setHeaderList, uint32(w.s.p.opt.MaxHeader))
	w.Out = appendWindow(w.Out, 0, connWindow-firstWindow)
}

// takeLate gives late answers to the streams that wait for them.
func (w *work) takeLate() {
	for i := range w.Late {
		a := &w.Late[i]
		w.s.held--
		k := slices.IndexFunc(w.s.streams, func(st *stream) bool { return st.State == rest.Waiting && st.Seq == a.Seq })
		if k < 0 {
			if a.Res.Body != nil {
				a.Res.Body.Close()
			}
			continue
		}
		st := w.s.streams[k]
		st.Result(&a.Res, w.Now)
		w.keep(st) // the answer's bytes are gone behind this Step
		w.settle(st)
	}
	w.Late = nil
}

// compute carries on what takes longer: a piece for one stream, as an event loop has others to serve. Streams take turns.
// more: there is more of it. heavy: some of it is not for an event loop.
func (w *work) compute() (more, heavy bool) {
	s := w.s
	full := s.full()
	for i := range s.streams {
		at := (s.turn + i) % len(s.streams)
		st := s.streams[at]
		if st.State != rest.Working || full && !st.begun && !st.Holding { // as in perform
			continue
		}
		if st.Heavy && w.Loop != protocols.MaxLoops-1 {
			heavy = true
			continue
		}
		if st.Endless && w.Leaving {
			st.Finish()
		} else if !st.Work(w.ticket()) {
			w.park = w.park || !st.Endless
			continue
		}
		if st.State == rest.Waiting {
			s.held++
		}
		w.settle(st)
		s.turn = at + 1
		return true, heavy
	}
	return false, heavy
}

// settle queues a stream whose answer is ready.
func (w *work) settle(st *stream) {
	if st.State == rest.Ready && !st.queued && !st.answered {
		st.queued = true
		w.s.ready = append(w.s.ready, st)
	}
}

// full tells whether so much waits for the client's windows that nothing further is run.
func (s *session) full() bool { return s.kept >= keepMax }

// perform runs what is wanted with one Do. False: nothing is, or what waits to be sent has to go first.
func (w *work) perform(wants bool) bool {
	s, b := w.s, w.Batch
	if !wants || s.held >= s.peer.Env.Limits.Held || len(w.Out) >= w.Room {
		return false
	}
	var list [grid.MaxBatch]*stream
	var cache grid.Cache
	b.Reset()
	full := s.full()
	for _, st := range s.streams {
		if st.State != rest.Wants || full && !st.Holding { // what is Holding keeps us from reading on
			continue
		}
		if cache == nil {
			cache = st.Cache()
		} else if cache != st.Cache() {
			break
		}
		op := b.Add()
		if op == nil {
			break
		}
		st.Fill(op)
		s.seq++
		op.Seq, st.Seq = s.seq, s.seq
		list[len(b.Ops)-1] = st
	}
	if cache == nil {
		return false
	}
	b.Room = max(1, w.Room-len(w.Out))
	b.Now, b.Conn = w.Now, s.peer.Env.Conn
	n := cache.Do(b)
	for i, st := range list[:n] {
		st.Result(&b.Res[i], w.Now)
		if st.State == rest.Waiting {
			s.held++
		}
		w.settle(st)
	}
	return true
}
