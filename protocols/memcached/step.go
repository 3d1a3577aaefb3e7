package memcached

import (
	"bytes"
	"time"
	"unsafe"

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
	vSet
	vAdd
	vReplace
	vAppend
	vPrepend
	vCas
	vTooLarge // the Remove that a refused set leaves behind
	vDelete
	vIncr
	vDecr
	vTouch
	vMetaGet // from here on quiet hides nothing but the nominal answer
	vMetaSet
	vMetaDelete
	vMetaArith
	vMetaDebug
)

// req is what rendering needs beside the op. Its slices point into the input.
type req struct {
	verb   verb
	op     int8 // index in the batch, -1 for none
	list   verb // the list that is open when this is answered
	ask    metaAsk
	keyLen uint8 // of the op's key
	quiet  bool  // noreply, or meta q
	last   bool  // the last key of a get line: END follows
	key    []byte
	flags  []byte // meta: the words behind the key
	text   string
	size   int    // of the value sent
	ttl    int64  // that the op set, for meta t
	equal  uint64 // with metaUnique: no value when the version is this
	end    int    // how much input is used once this is answered
}

// turn is one Step at work: the driver's Turn, and what has been gathered from its input. It is kept by the loop from
// Step to Step, because it is large.
type turn struct {
	*protocols.Turn
	s       *session
	loop    *loop
	pos     int // input parsed
	need    int // input wanted before it is worth parsing on
	n       int // requests gathered
	block   bool
	waiting bool      // for the end of a long line
	began   time.Time // what took that long; zero without a log
	took    time.Duration
	count   tally
	words   words
	reqs    [grid.MaxBatch + 8]req
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
		s.env.Describe(s.p.Name(), "")
	}
	l := s.p.loop(pt.Loop)
	t := l.turn.Swap(nil)
	if t == nil {
		t = &turn{}
	}
	t.Turn, t.s, t.loop = pt, s, l
	t.pos, t.need, t.n, t.block, t.waiting = 0, 0, 0, false, false
	next := t.run()
	if pt.Overdue && next == protocols.More && t.amid() {
		s.closing = true
		if s.late == nil {
			pt.Out = append(pt.Out, "SERVER_ERROR the rest of the request did not come in time\r\n"...)
		}
		next = t.run()
	}
	t.count.flush(l)
	if s.long > 0 && !t.waiting && s.list == 0 {
		s.release()
	}
	p := protocols.Progress{Used: t.pos, Need: t.need, Next: next}
	p.Amid = next == protocols.More && t.amid()
	if s.dump != nil {
		p.Kept = s.dump.kept()
	}
	if s.fill != nil {
		p.Kept += int(unsafe.Sizeof(fill{})) + len(s.fill.op.Key)
	}
	if s.late != nil {
		p.Held = s.late.open
		p.Kept += s.late.bytes + cap(s.late.queue)*int(unsafe.Sizeof(held{}))
		if next == protocols.More && s.crowded() {
			p.Next = protocols.Park
		}
	}
	t.Turn, t.s = nil, nil
	l.turn.Store(t)
	return p
}

// amid tells whether a request has begun to come.
func (t *turn) amid() bool { return t.pos < len(t.In) || t.s.fill != nil || t.s.swallow > 0 }

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
		case s.crowded():
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
		case t.need > 0 && t.waiting && len(t.In)-t.pos > loopLine && t.Loop != protocols.MaxLoops-1:
			return protocols.HandOff
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
		eol := bytes.IndexByte(in[s.scanned:], '\n')
		if eol < 0 {
			t.unfinished(in)
			return
		}
		eol += s.scanned
		s.scanned = 0
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
// not depend on how the input was cut; but long lines wait in memory that all connections share.
func (t *turn) unfinished(in []byte) {
	s := t.s
	switch {
	case len(in) == 0:
		t.need = 1
	case len(in) <= maxLine:
		t.need = len(in) + 1
		s.scanned = len(in)
	case !longLine(in) || len(in) > maxGetLine:
		s.closing = true
		t.pos = len(t.In)
	case !s.reserve(len(in)):
		t.count.n[noLineMemory]++
		t.text("SERVER_ERROR out of memory reading request\r\n", len(in), false)
		s.closing = true
	default:
		t.need, t.waiting = len(in)+1, true
		s.scanned = len(in)
	}
}

// reserve takes n bytes of Options.LongLines, in steps, for a line that is waiting.
func (s *session) reserve(n int) bool {
	n = (n + 1<<16 - 1) &^ (1<<16 - 1)
	more := n - s.long
	if more <= 0 {
		return true
	}
	if s.p.long.Add(int64(more)) > int64(s.p.opt.LongLines) {
		s.p.long.Add(-int64(more))
		return false
	}
	s.long = n
	return true
}

func (s *session) release() {
	s.p.long.Add(-int64(s.long))
	s.long = 0
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
	r.op, r.key, r.keyLen = int8(len(t.Batch.Ops)), key, uint8(len(key))
	op := t.Batch.Add()
	op.Kind, op.Key = kind, key
	return r, op
}

// drop takes back what op appended last, with the same used.
func (t *turn) drop(used int) {
	t.pos -= used
	t.n--
	t.Batch.Ops = t.Batch.Ops[:len(t.Batch.Ops)-1]
}

// perform runs the batch and renders what was answered. What was not run is given back to the input: it counts as
// never parsed.
func (t *turn) perform(from int) {
	s, b := t.s, t.Batch
	ran := 0
	admitted := true
	if t.s.env.Log() != nil {
		admitted = t.s.env.Log().Admit(t.n)
		t.began = time.Now()
	}
	switch {
	case len(b.Ops) == 0:
	case !admitted:
		ran = t.busy()
	default:
		b.Room = max(1, t.Room-len(t.Out))
		b.Now, b.Conn = t.Now, s.env.Conn
		for i := range b.Ops {
			s.seq++
			b.Ops[i].Seq = s.seq
		}
		ran = s.cache.Do(b)
	}
	if t.s.env.Log() != nil {
		t.took = time.Since(t.began)
	}
	for i := 0; i < t.n; i++ {
		r := &t.reqs[i]
		if int(r.op) >= ran {
			t.giveBack(i, from)
			return
		}
		var res *grid.Result
		if r.op >= 0 {
			res = &b.Res[r.op]
		}
		begin := from
		if i > 0 {
			begin = t.reqs[i-1].end
		}
		t.answer(r, res, r.end-begin)
	}
}

// giveBack gives request i and all behind it back to the input.
func (t *turn) giveBack(i, from int) {
	s := t.s
	t.pos, s.list = from, 0
	if i > 0 {
		t.pos, s.list = t.reqs[i-1].end, t.reqs[i-1].list
	}
	if s.list != 0 {
		s.listTTL = t.Batch.Ops[t.reqs[i-1].op].TTL
	}
	s.closing, t.block, t.need, s.swallow, s.scanned, t.waiting = false, false, 0, 0, 0, false
	if s.fill != nil {
		s.fill.abort()
		s.fill = nil
	}
}

// busy answers all ops of the batch without running them.
func (t *turn) busy() int {
	b := t.Batch
	for i := range b.Ops {
		if body := b.Ops[i].Body; body != nil {
			body.Abort()
		}
		b.Res[i] = grid.Result{Code: grid.Busy}
	}
	return len(b.Ops)
}

// Close implements protocols.Session.
func (s *session) Close() {
	s.recordLost()
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
	s.release()
}
