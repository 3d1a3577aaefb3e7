package bench

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync/atomic"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// work is one thread's part of a run: random numbers, counts. It belongs to that thread, done excepted.
type work struct {
	r      *run
	d      dialect
	rnd    *rand.PCG
	coin   uint64        // gets are drawn below it
	next   *atomic.Int64 // of a preload
	source source
	quota  int64         // requests that may still be begun while measuring; below 0: any number
	done   atomic.Uint64 // requests begun since start, for the progress and for the warm-up's end
	begun  uint64        // the same, this thread's; what cache-aside stores does not count

	count
}

// count is what a thread counts while measuring.
type count struct {
	requests, ops, gets, sets, hits, in, out uint64
	lat, late                                *hdrhistogram.Histogram
	errs                                     Errors // of the whole run
}

// newHistogram counts nanoseconds up to longest, to three digits.
func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, longest, 3) }

const longest = 100e9

func record(h *hdrhistogram.Histogram, ns int64) {
	_ = h.RecordValue(min(max(ns, 0), longest)) // within its range
}

func newWork(r *run, i int, next *atomic.Int64) *work {
	o := &r.o
	w := &work{r: r, d: newDialect(o), rnd: rand.NewPCG(o.Seed, uint64(i)), next: next, source: newSource(r, i), quota: -1}
	w.coin = uint64(o.GetShare * (1 << 53))
	w.lat, w.late = newHistogram(), newHistogram()
	if o.Requests > 0 {
		w.quota = int64(o.Requests+o.Threads-1-i) / int64(o.Threads)
	}
	return w
}

// request is one that awaits its reply; its keys are the next n of lane.ids.
type request struct {
	at   int64
	n    int32
	hits int32 // keys that were found
	set  bool

	// By HTTP/2, where several are answered at once:
	over, wrong bool // it has been answered; with a value of other bytes
	status      int16
	got         int32 // bytes of the value
}

// lane is one connection's side of the conversation: bytes out, bytes in, no socket.
type lane struct {
	w        *work
	ask      asker    // the thread's dialect, or h2
	h2       *streams // with HTTP/2
	pending  []request
	ids      []uint32
	head, id int // of the above
	left     int // bytes of a value, with its tail, still to come
	size     int // of that value
	tail     string
	last     bool // its request ends with it
	verify   bool
	valueID  uint32
	missed   []uint32 // to be stored, in cache-aside mode
	broken   bool
	over     bool // has nothing more to send

	// In an open loop: due is when the next request is to be sent, owed how many are due.
	due, every int64
}

func (l *lane) outstanding() int { return len(l.pending) - l.head }

// fill appends the next requests to out: in a closed loop a batch when nothing is outstanding, in an open loop those
// that are due.
func (l *lane) fill(out []byte, now int64) []byte {
	if l.h2 == nil || l.over {
		return l.requests(out, now)
	}
	begin := len(out)
	out = l.h2.open(out)
	n := len(out)
	if out = l.requests(out, now); l.over && len(out) == n {
		return out[:begin] // nobody needs to be answered any more
	}
	return out
}

// held says whether the server does not take a request now.
func (l *lane) held() bool { return l.h2 != nil && !l.h2.ready(l.outstanding()) }

func (l *lane) requests(out []byte, now int64) []byte {
	w, o := l.w, &l.w.r.o
	if l.over {
		return out
	}
	if l.outstanding() == 0 {
		l.pending, l.ids, l.head, l.id = l.pending[:0], l.ids[:0], 0, 0
	} else if l.head >= 1024 {
		l.pending = l.pending[:copy(l.pending, l.pending[l.head:])]
		l.ids = l.ids[:copy(l.ids, l.ids[l.id:])]
		l.head, l.id = 0, 0
	}
	stored := 0
	for ; stored < len(l.missed) && !l.held(); stored++ {
		out = l.appendSet(out, l.missed[stored], now)
	}
	l.missed = l.missed[:copy(l.missed, l.missed[stored:])]
	n := o.Pipeline
	if l.every > 0 {
		n -= l.outstanding()
	}
	for ; n > 0 && !l.held(); n-- {
		at := now
		if l.every > 0 {
			if l.due > now {
				break
			}
			at = l.due
			l.due += l.every
			if w.r.phase.Load() == measuring {
				record(w.late, now-at)
			}
		}
		if w.r.preload {
			id := w.next.Add(1) - 1
			if id >= int64(o.Keys) {
				l.over = true
				return out
			}
			w.begun++
			out = l.appendSet(out, uint32(id), at)
			continue
		}
		if w.quota >= 0 && w.r.phase.Load() == measuring {
			if w.quota == 0 {
				l.over = l.outstanding() == 0
				return out
			}
			w.quota--
		}
		w.begun++
		if w.rnd.Uint64()>>11 >= w.coin {
			out = l.appendSet(out, w.source.pick(w.rnd), at)
			continue
		}
		l.pending = append(l.pending, request{at: at, n: int32(o.MultiGet)})
		from := len(l.ids)
		for range o.MultiGet {
			l.ids = append(l.ids, w.source.pick(w.rnd))
		}
		out = l.ask.get(out, l.ids[from:])
	}
	return out
}

func (l *lane) appendSet(out []byte, id uint32, at int64) []byte {
	w := l.w
	l.pending = append(l.pending, request{at: at, n: 1, set: true})
	l.ids = append(l.ids, id)
	from := valueAt(id)
	return l.ask.set(out, id, w.r.pattern[from:from+w.r.o.ValueSize.of(id, 0)], w.r.o.TTL.pick(w.rnd))
}

// feed takes what has arrived and returns how much of it is finished with; the rest is a piece that is not whole. After
// bytes that no server should send, the lane is broken.
func (l *lane) feed(in []byte, now int64) (used int) {
	if l.h2 != nil {
		return l.h2.feed(l, in, now)
	}
	w := l.w
	for used < len(in) && !l.broken {
		b := in[used:]
		if l.left > 0 {
			used += l.value(b, now)
			continue
		}
		if l.outstanding() == 0 {
			l.fail(&w.errs.Framing, "bytes nobody asked for: %s", excerpt(b))
			l.broken = true
			return used
		}
		req := &l.pending[l.head]
		ids := l.ids[l.id : l.id+int(req.n)]
		p := w.d.reply(b, req.set, ids)
		switch p.kind {
		case more:
			return used
		case found:
			id := ids[p.index]
			l.miss(ids[:p.index])
			l.id += p.index + 1
			req.n -= int32(p.index + 1)
			want := w.r.o.ValueSize.of(id, 0)
			l.verify, l.valueID = p.size == want || w.r.o.CacheAside && p.size <= len(w.r.pattern)-patternSpread, id
			switch {
			case !l.verify:
				l.fail(&w.errs.WrongSize, "a value of %d bytes, %d were stored", p.size, want)
			case p.flags:
				l.fail(&w.errs.WrongValue, "flags where none were stored: %s", excerpt(b))
			}
			l.await(p)
		case foreign:
			l.fail(&w.errs.WrongKey, "a value for a key that was not asked for: %s", excerpt(b))
			l.verify = false
			l.await(p)
		case missed:
			l.miss(ids)
			l.settle(now)
		case stored:
			l.settle(now)
		case refused:
			l.fail(&w.errs.Refused, "%s", excerpt(b))
			l.settle(now)
		default:
			l.fail(&w.errs.Framing, "not a reply: %s", excerpt(b))
			l.broken = true
			return used
		}
		used += p.used
		if p.kind == found && l.left == 0 { // an empty value without a tail
			l.valueDone(now)
		}
	}
	return used
}

// await makes the value of p what comes next.
func (l *lane) await(p piece) {
	l.size, l.tail, l.last, l.left = p.size, p.tail, p.last, p.size+len(p.tail)
}

// miss notes that ids were not found.
func (l *lane) miss(ids []uint32) {
	if l.w.r.o.CacheAside {
		l.missed = append(l.missed, ids...)
	}
}

// value takes bytes of a value and the tail behind it.
func (l *lane) value(b []byte, now int64) int {
	w := l.w
	n := min(len(b), l.left)
	whole := l.size + len(l.tail)
	if l.verify {
		off := whole - l.left
		if body := min(n, l.size-off); body > 0 {
			at := valueAt(l.valueID) + off
			if !bytes.Equal(b[:body], w.r.pattern[at:at+body]) {
				l.fail(&w.errs.WrongValue, "another value than was stored under key %d", l.valueID)
				l.verify = false
			}
		}
	}
	for i := max(0, l.left-len(l.tail)); i < n; i++ {
		if b[i] != l.tail[len(l.tail)-(l.left-i)] {
			l.fail(&w.errs.Framing, "no line end behind a value: %q", b[i])
			l.broken = true
			return n
		}
	}
	l.left -= n
	if l.left == 0 {
		l.valueDone(now)
	}
	return n
}

func (l *lane) valueDone(now int64) {
	l.pending[l.head].hits++
	if l.last {
		l.settle(now)
	}
}

// settle ends the request at the head.
func (l *lane) settle(now int64) {
	req := &l.pending[l.head]
	l.id += int(req.n)
	l.head++
	l.count(req, now)
}

// count counts a request that has been answered.
func (l *lane) count(req *request, now int64) {
	w := l.w
	if w.r.phase.Load() != measuring {
		return
	}
	w.requests++
	w.hits += uint64(req.hits)
	if req.set {
		w.sets++
		w.ops++
	} else {
		w.gets += uint64(w.r.o.MultiGet)
		w.ops += uint64(w.r.o.MultiGet)
	}
	record(w.lat, now-req.at)
}

func (l *lane) fail(n *uint64, format string, args ...any) {
	*n++
	if l.w.errs.First == "" {
		l.w.errs.First = fmt.Sprintf(format, args...)
	}
}
