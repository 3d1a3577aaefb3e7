package memcached

import (
	"slices"

	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/protocols"
)

// late is the queue that exists while answers are outstanding. Replies leave in the order of the requests, so from the
// first Pending op on everything waits here: as text where it is known, as a copied request where it is not.
type late struct {
	queue []held
	open  int // entries without their answer
}

type held struct {
	seq    uint32
	open   bool
	req    req    // with copies of its slices, while open
	text   []byte // the reply
	body   grid.Blob
	suffix string
}

func (l *late) close() {
	for i := range l.queue {
		if l.queue[i].body != nil {
			l.queue[i].body.Close()
		}
	}
}

// hold queues one request.
func (t *turn) hold(r *req, res *grid.Result) {
	s := t.s
	if s.late == nil {
		s.late = &late{}
	}
	h := held{}
	if res != nil && res.Code == grid.Pending {
		h.open, h.seq = true, t.Batch.Ops[r.op].Seq
		h.req = *r
		h.req.key = slices.Clone(r.key)
		h.req.flags = slices.Clone(r.flags)
		s.late.open++
	} else {
		h.settle(t, r, res)
	}
	s.late.queue = append(s.late.queue, h)
}

func (h *held) settle(t *turn, r *req, res *grid.Result) {
	h.text, h.suffix = t.render(nil, r, res)
	if res != nil {
		h.body = res.Body
	}
	h.open, h.req = false, req{}
}

// takeLate renders the answers that came and sends what is complete at the head of the queue.
func (t *turn) takeLate() (next protocols.Next, done bool) {
	l := t.s.late
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
		h.settle(t, &h.req, &a.Res)
		l.open--
	}
	t.Late = nil
	n := 0
	for n < len(l.queue) && !l.queue[n].open && t.s.send == nil {
		if t.full() {
			l.queue = slices.Delete(l.queue, 0, n)
			return protocols.Flush, true
		}
		h := &l.queue[n]
		t.Out = append(t.Out, h.text...)
		if h.body != nil {
			t.s.send = &send{body: h.body, suffix: h.suffix}
			h.body = nil
		}
		n++
	}
	l.queue = slices.Delete(l.queue, 0, n)
	if len(l.queue) == 0 {
		t.s.late = nil
	}
	return 0, false
}
