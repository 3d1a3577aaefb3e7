package memcached

import (
	"bytes"

	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/protocols"
)

// fill is a value above grid.StreamMin that is arriving. It owns copies of what the line said.
type fill struct {
	verb verb
	op   grid.Op
	req  req
	slot grid.Slot
	used int // bytes of the line
	left int // bytes of the value still to come
	end  [2]byte
	got  int // of the CRLF behind the value
}

func (f *fill) abort() {
	if f.slot != nil {
		f.slot.Abort()
		f.slot = nil
	}
}

// openFill starts to receive the large value of r and op, which were added last and leave the batch again: what was
// gathered before them runs first.
func (t *turn) openFill(r *req, op *grid.Op, used, n int) {
	slot, code := t.s.cache.Reserve(op, n, t.ticket())
	f := &fill{verb: r.verb, op: *op, req: *r, slot: slot, left: n}
	t.drop(used)
	if code != grid.OK {
		line := codeLine(&grid.Result{Code: code})
		if code == grid.Full {
			t.count.n[noMemory]++
		}
		quiet := f.req.quiet && f.verb != vMetaSet
		if f.verb == vSet || f.verb == vMetaSet {
			t.clearOld(line, f.op.Key, used, n, quiet)
		} else {
			t.refuse(line, used, n, quiet)
		}
		return
	}
	f.op.Key = bytes.Clone(f.op.Key)
	f.req.flags = bytes.Clone(f.req.flags)
	f.req.key = bytes.Clone(f.req.key)
	f.used = used
	t.pos += used
	t.s.fill = f
}

// ticket is what an answer or a wake comes back by.
func (t *turn) ticket() grid.Ticket {
	return grid.Ticket{Conn: t.s.env.Conn, Seq: t.s.seq, Late: t.Batch.Late, Now: t.Now}
}

// fillOn copies what has arrived to where it will stay.
func (t *turn) fillOn() (next protocols.Next, done bool) {
	s := t.s
	f := s.fill
	for f.left > 0 {
		if t.pos == len(t.In) {
			t.need = 1
			return protocols.More, true
		}
		w := f.slot.Window()
		if len(w) == 0 {
			return protocols.Park, true
		}
		n := copy(w[:min(len(w), f.left)], t.In[t.pos:])
		f.slot.Wrote(n)
		f.left -= n
		t.pos += n
	}
	for f.got < 2 {
		if t.pos == len(t.In) {
			t.need = 1
			return protocols.More, true
		}
		f.end[f.got] = t.In[t.pos]
		f.got++
		t.pos++
	}
	s.fill = nil
	t.n = 0
	t.Batch.Reset()
	if f.end != [2]byte{'\r', '\n'} {
		f.abort()
		t.text(badChunk, 0, f.req.quiet && f.verb != vMetaSet)
	} else {
		f.op.Body = f.slot
		r, op := t.op(f.verb, f.op.Kind, f.op.Key, 0)
		*op = f.op
		f.req.op, f.req.end = r.op, t.pos
		*r = f.req
	}
	// What the access log should count as this request's input lies before what is left of the input.
	t.perform(t.pos - f.used - f.req.size - 2)
	return 0, false
}

// send is a value above grid.StreamMin that is leaving.
type send struct {
	body   grid.Blob
	off    int
	tail   int // bytes of the last Tail, written by now
	suffix string
}

// largeRoom is how much of a large value goes into one write where Tail cannot be used.
const largeRoom = 256 << 10

// sendOn hands out the next piece.
func (t *turn) sendOn() (next protocols.Next, done bool) {
	s := t.s
	o := s.send
	o.off += o.tail
	o.tail = 0
	for o.off < o.body.Len() {
		if !t.CanTail && len(t.Out) >= max(t.Room, min(largeRoom, 4*t.Room)) {
			return protocols.Flush, true
		}
		want := o.body.Len() - o.off
		if !t.CanTail {
			want = min(want, largeRoom)
		}
		p := o.body.Piece(o.off, want)
		if len(p) == 0 {
			return protocols.Park, true
		}
		if t.CanTail {
			t.Tail, o.tail = p, len(p)
			return protocols.Flush, true
		}
		t.Out = append(t.Out, p...)
		o.off += len(p)
	}
	o.body.Close()
	t.Out = append(t.Out, o.suffix...)
	s.send = nil
	if s.late != nil {
		return t.takeLate()
	}
	return 0, false
}
