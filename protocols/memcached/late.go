package memcached

import (
	"slices"
	"time"

	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/protocols"
)

// late is the queue that exists while answers are outstanding. Replies leave in the order of the requests, so from the
// first Pending op on everything waits here: as text where it is known, as a copied request where it is not.
type late struct {
	queue []held
	open  int // entries without their answer
	bytes int // of text
}

type held struct {
	seq    uint32
	open   bool
	req    req    // with copies of its slices, while open
	text   []byte // the reply
	body   grid.Blob
	suffix string
	in     int // bytes of input, and when they came: for the access log
	start  grid.Time
	began  time.Time // likewise, where there is one
}

// Limits of the queue: so many bytes of replies may wait, or be expected to; but leastHeld answers may be outstanding
// however large they are.
const (
	heldBytes = 256 << 10
	leastHeld = 16
)

func (p *Protocol) newLate() *late {
	if l, ok := p.queues.Get().(*late); ok {
		return l
	}
	return &late{}
}

// crowded tells whether so much waits that no further request should be parsed. Requests behind the first outstanding
// answer count whether theirs is there or not, because both are kept here.
func (s *session) crowded() bool {
	l := s.late
	if l == nil || len(l.queue) == 0 {
		return false
	}
	limit := min(s.env.Limits.Held, max(leastHeld, heldBytes/max(1, s.mean)))
	return len(l.queue) >= limit || l.bytes >= heldBytes
}

func (l *late) close() {
	for i := range l.queue {
		if l.queue[i].body != nil {
			l.queue[i].body.Close()
		}
	}
}

// hold queues one request.
func (t *turn) hold(r *req, res *grid.Result, in int) {
	s := t.s
	if s.late == nil {
		s.late = s.p.newLate()
	}
	h := held{in: in, start: t.Now, began: t.began}
	if res != nil && res.Code == grid.Pending {
		h.open, h.seq = true, t.Batch.Ops[r.op].Seq
		h.req = *r
		h.req.key = slices.Clone(r.key)
		h.req.flags = slices.Clone(r.flags)
		s.late.open++
	} else {
		t.settle(&h, r, res, int64(t.took))
	}
	s.late.queue = append(s.late.queue, h)
}

// settle renders the reply of h.
func (t *turn) settle(h *held, r *req, res *grid.Result, nanos int64) {
	h.text, h.suffix = t.render(nil, r, res)
	if res != nil {
		h.body = res.Body
	}
	if t.s.env.Log() != nil {
		t.record(r, res, h.text, h.suffix, h.in, h.start, nanos)
	}
	t.s.late.bytes += len(h.text)
	h.open, h.req = false, req{}
}

// takeLate renders the answers that came and sends what is complete at the head of the queue.
func (t *turn) takeLate() (next protocols.Next, done bool) {
	s := t.s
	l := s.late
	for i := range t.Late {
		a := &t.Late[i]
		k := slices.IndexFunc(l.queue, func(h held) bool { return h.open && h.seq == a.Seq })
		if k < 0 {
			if a.Res.Body != nil {
				a.Res.Body.Close()
			}
			continue
		}
		h := &l.queue[k]
		r := h.req
		t.settle(h, &r, &a.Res, t.Now.Mono-h.start.Mono)
		s.mean += (len(h.text) - s.mean) / 8
		l.open--
	}
	t.Late = nil
	n := 0
	for n < len(l.queue) && !l.queue[n].open && s.send == nil {
		if t.full() {
			l.queue = slices.Delete(l.queue, 0, n)
			return protocols.Flush, true
		}
		h := &l.queue[n]
		t.Out = append(t.Out, h.text...)
		l.bytes -= len(h.text)
		if h.body != nil {
			s.send = &send{body: h.body, suffix: h.suffix}
			h.body = nil
		}
		n++
	}
	l.queue = slices.Delete(l.queue, 0, n)
	if len(l.queue) == 0 {
		s.late = nil
		s.p.queues.Put(l)
	}
	return 0, false
}
