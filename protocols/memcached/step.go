package memcached

import (
	"bytes"

	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/protocols"
)

// verb is what a request is rendered as.
type verb uint8

const (
	vText verb = iota + 1 // no op: text is the reply
	vGet
	vGets
	vGat
	vGats
	vEnd // END of a get line whose last key was answered in an earlier batch
	vStore
	vCas
	vTooLarge // the Remove that a refused set leaves behind
	vDelete
	vIncr
	vDecr
	vTouch
	vMetaGet
	vMetaSet
	vMetaDelete
	vMetaArith
	vMetaDebug
)

// req is what rendering needs beside the op. Its slices point into the input.
type req struct {
	verb  verb
	op    int8 // index in the batch, -1 for none
	quiet bool // noreply, or meta q
	last  bool // the last key of a get line: END follows
	ask   metaAsk
	key   []byte // as sent
	flags []byte // meta: the words behind the key
	text  string
	size  int    // of the value sent
	ttl   int64  // that the op set, for meta t
	equal uint64 // with metaUnique: no value when the version is this
	end   int    // how much input is used once this is answered
	list  verb   // the list that is open then
}

// turn is one Step at work: the driver's Turn, and what has been gathered from its input.
type turn struct {
	*protocols.Turn
	s     *session
	pos   int // input parsed
	need  int // input wanted before it is worth parsing on
	reqs  [grid.MaxBatch + 8]req
	n     int
	count tally
	block bool // the gathering stopped at something that must run alone
}

// Step implements protocols.Session.
func (s *session) Step(pt *protocols.Turn) protocols.Progress {
	if s.cache == nil {
		c, err := s.env.Caches.Open("", grid.Principal{})
		if err != nil {
			pt.Out = append(pt.Out, "SERVER_ERROR no cache\r\n"...)
			return protocols.Progress{Next: protocols.Close}
		}
		s.cache = c
	}
	t := turn{Turn: pt, s: s}
	next := t.run()
	s.p.flush(pt.Loop, &t.count)
	held := 0
	if s.late != nil {
		held = s.late.open
	}
	if next == protocols.More && held >= s.env.Limits.Held && held > 0 {
		next = protocols.Park
	}
	return protocols.Progress{Used: t.pos, Need: t.need, Next: next, Held: held}
}

func (t *turn) full() bool { return len(t.Out) >= t.Room }

// run goes on until the input, the room or the patience of the grid is used up.
func (t *turn) run() protocols.Next {
	s := t.s
	if s.late != nil {
		if next, done := t.takeLate(); done {
			return next
		}
	}
	for {
		switch {
		case s.send != nil:
			if next, done := t.sendOn(); done {
				return next
			}
			continue
		case t.full():
			return protocols.Flush
		case s.dump != nil:
			t.dumpOn()
			continue
		case s.closing:
			if s.late != nil {
				return protocols.Park
			}
			return protocols.Close
		case s.late != nil && s.late.open >= s.env.Limits.Held:
			return protocols.Park
		case s.fill != nil:
			if next, done := t.fillOn(); done {
				return next
			}
			continue
		case s.swallow > 0:
			n := min(s.swallow, len(t.In)-t.pos)
			t.pos += n
			if s.swallow -= n; s.swallow > 0 {
				t.need = 1
				return protocols.More
			}
		}
		t.need, t.block = 0, false
		from := t.pos
		t.gather()
		switch {
		case t.n > 0:
			t.perform(from)
		case t.block && s.late != nil:
			return protocols.Park // runs alone: what is outstanding comes first
		case t.block:
			t.alone()
		case s.closing || s.fill != nil || s.swallow > 0:
		case t.need > 0:
			return protocols.More
		}
	}
}

// gather parses requests until the batch is full, the input is used up, or something must run alone.
func (t *turn) gather() {
	t.n = 0
	t.Batch.Reset()
	s := t.s
	for t.n < grid.MaxBatch && !t.block && t.need == 0 && !s.closing && s.fill == nil && s.swallow == 0 {
		if s.list != 0 {
			t.listOn()
			continue
		}
		in := t.In[t.pos:]
		eol := bytes.IndexByte(in, '\n')
		if eol < 0 {
			t.unfinished(in)
			return
		}
		line := in[:eol]
		if eol > 0 && line[eol-1] == '\r' {
			line = line[:eol-1]
		}
		if eol >= maxLine && !longLine(line) {
			s.closing = true
			return
		}
		t.command(line, eol+1)
	}
}

// longLine tells whether a line may be longer than maxLine.
func longLine(line []byte) bool {
	line = bytes.TrimLeft(line[:min(len(line), 105)], " ")
	return bytes.HasPrefix(line, []byte("get ")) || bytes.HasPrefix(line, []byte("gets ")) ||
		bytes.HasPrefix(line, []byte("gat ")) || bytes.HasPrefix(line, []byte("gats "))
}

// unfinished judges a line whose end has not come. It goes by the length of the line alone, so that the answer does
// not depend on how the input was cut.
func (t *turn) unfinished(in []byte) {
	switch {
	case len(in) == 0:
		t.need = 1
	case len(in) <= maxLine || longLine(in) && len(in) <= maxGetLine:
		t.need = len(in) + 1
	default:
		t.s.closing = true
		t.pos = len(t.In)
	}
}

// add appends a request without an op. used is how much of the input belongs to it.
func (t *turn) add(v verb, used int) *req {
	t.pos += used
	r := &t.reqs[t.n]
	t.n++
	*r = req{verb: v, op: -1, end: t.pos}
	return r
}

// text answers with a fixed line. Errors are fixed lines too.
func (t *turn) text(line string, used int, quiet bool) {
	r := t.add(vText, used)
	r.text, r.quiet = line, quiet
}

// op appends a request with an op.
func (t *turn) op(v verb, kind grid.Kind, key []byte, used int) (*req, *grid.Op) {
	r := t.add(v, used)
	r.op, r.key = int8(len(t.Batch.Ops)), key
	op := t.Batch.Add()
	op.Kind, op.Key = kind, key
	return r, op
}

// put appends a request that was prepared beside the batch.
func (t *turn) put(v verb, op *grid.Op, r *req, used int) {
	to, dst := t.op(v, op.Kind, op.Key, used)
	*dst = *op
	end, index, key := to.end, to.op, to.key
	*to = *r
	to.verb, to.end, to.op = v, end, index
	if to.key == nil {
		to.key = key
	}
}

// perform runs the batch and renders what was answered. What was not run is given back to the input: it counts as
// never parsed.
func (t *turn) perform(from int) {
	s, b := t.s, t.Batch
	ran := 0
	if len(b.Ops) > 0 {
		b.Room = max(1, t.Room-len(t.Out))
		b.Now, b.Conn = t.Now, s.env.Conn
		for i := range b.Ops {
			s.seq++
			b.Ops[i].Seq = s.seq
		}
		ran = s.cache.Do(b)
	}
	for i := 0; i < t.n; i++ {
		r := &t.reqs[i]
		if int(r.op) >= ran {
			// Not run: the input goes back to the end of the request before.
			t.pos, s.list = from, 0
			if i > 0 {
				t.pos, s.list = t.reqs[i-1].end, t.reqs[i-1].list
			}
			if s.list != 0 {
				s.listTTL = b.Ops[t.reqs[i-1].op].TTL
			}
			s.closing, t.block, t.need, s.swallow = false, false, 0, 0
			if s.fill != nil {
				s.fill.abort()
				s.fill = nil
			}
			break
		}
		var res *grid.Result
		if r.op >= 0 {
			res = &b.Res[r.op]
		}
		t.answer(r, res)
	}
}

// Close implements protocols.Session.
func (s *session) Close() {
	if s.fill != nil {
		s.fill.abort()
		s.fill = nil
	}
	if s.send != nil {
		s.send.body.Close()
		s.send = nil
	}
	if s.late != nil {
		s.late.close()
		s.late = nil
	}
}
