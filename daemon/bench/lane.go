package bench

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
)

// work is one thread's part of a run: random numbers, templates, counts. It belongs to that thread, done excepted.
type work struct {
	r       *run
	rnd     *rand.PCG
	coin    uint64 // gets are drawn below it
	next    *atomic.Int64
	digits  int
	done    atomic.Uint64 // operations since start, for the progress
	settled uint64        // the same, this thread's

	get, key, set, hit []byte // templates: a request or reply around a key, whose last digits are overwritten
	getKey, setKey     int    // where the key ends in them
	hitKey             int

	count
}

// count is what a thread counts while measuring.
type count struct {
	requests, ops, gets, sets, hits, in, out uint64
	lat                                      histogram
	errs                                     Errors // of the whole run
}

func newWork(r *run, i uint64, next *atomic.Int64) *work {
	o := r.o
	w := &work{r: r, rnd: rand.NewPCG(o.Seed, i), next: next, digits: len(fmt.Sprint(o.Keys - 1))}
	w.coin = uint64(o.GetShare * (1 << 53))
	key := bytes.Repeat([]byte{'0'}, o.KeySize)
	if o.Meta {
		w.get = fmt.Appendf(nil, "mg %s v", key)
		w.getKey = 3 + len(key)
		w.set = fmt.Appendf(nil, "ms %s %d", key, o.ValueSize)
		w.setKey = 3 + len(key)
		if o.TTL != 0 {
			w.set = fmt.Appendf(w.set, " T%d", o.TTL)
		}
		w.hit = fmt.Appendf(nil, "VA %d", o.ValueSize)
		if o.MultiGet > 1 {
			w.get = append(w.get, " k q"...)
			w.hit = fmt.Appendf(w.hit, " k%s", key)
			w.hitKey = len(w.hit)
		}
		w.get = append(w.get, "\r\n"...)
	} else {
		w.get = append([]byte("get "), key...)
		w.getKey = len(w.get)
		w.key = append([]byte{' '}, key...)
		w.set = fmt.Appendf(nil, "set %s 0 %d %d", key, o.TTL, o.ValueSize)
		w.setKey = 4 + len(key)
		w.hit = append([]byte("VALUE "), key...)
		w.hitKey = len(w.hit)
		w.hit = fmt.Appendf(w.hit, " 0 %d", o.ValueSize)
	}
	w.set = append(w.set, "\r\n"...)
	w.hit = append(w.hit, "\r\n"...)
	return w
}

func (w *work) stamp(tmpl []byte, end int, id uint32) []byte {
	putDigits(tmpl[:end], w.digits, id)
	return tmpl
}

// request is one that awaits its reply; its keys are the next n of lane.ids.
type request struct {
	at  int64
	n   int32
	set bool
}

// lane is one connection's side of the conversation: bytes out, bytes in, no socket.
type lane struct {
	w        *work
	pending  []request
	ids      []uint32
	head, id int // of the above
	left     int // bytes of a value, with its line end, still to come
	verify   bool
	valueID  uint32
	broken   bool
	over     bool // a preload has nothing more to send
}

func (l *lane) outstanding() int { return len(l.pending) - l.head }

// fill appends the next Pipeline requests to out. Nothing may be outstanding.
func (l *lane) fill(out []byte, now int64) []byte {
	w, o := l.w, &l.w.r.o
	l.pending, l.ids, l.head, l.id = l.pending[:0], l.ids[:0], 0, 0
	for range o.Pipeline {
		if w.r.preload {
			id := w.next.Add(1) - 1
			if id >= int64(o.Keys) {
				l.over = true
				return out
			}
			out = l.appendSet(out, uint32(id), now)
			continue
		}
		if w.rnd.Uint64()>>11 >= w.coin {
			out = l.appendSet(out, w.r.gen.pick(w.rnd), now)
			continue
		}
		l.pending = append(l.pending, request{at: now, n: int32(o.MultiGet)})
		for k := range o.MultiGet {
			id := w.r.gen.pick(w.rnd)
			l.ids = append(l.ids, id)
			if o.Meta || k == 0 {
				out = append(out, w.stamp(w.get, w.getKey, id)...)
			} else {
				out = append(out, w.stamp(w.key, len(w.key), id)...)
			}
		}
		switch {
		case !o.Meta:
			out = append(out, "\r\n"...)
		case o.MultiGet > 1:
			out = append(out, "mn\r\n"...)
		}
	}
	return out
}

func (l *lane) appendSet(out []byte, id uint32, now int64) []byte {
	w := l.w
	l.pending = append(l.pending, request{at: now, n: 1, set: true})
	l.ids = append(l.ids, id)
	out = append(out, w.stamp(w.set, w.setKey, id)...)
	at := valueAt(id)
	out = append(out, w.r.pattern[at:at+w.r.o.ValueSize]...)
	return append(out, "\r\n"...)
}

// maxLine is longer than any reply line a server sends.
const maxLine = 2048

var (
	stored = []byte("STORED\r\n")
	hd     = []byte("HD\r\n")
	end    = []byte("END\r\n")
)

// feed takes what has arrived and returns how much of it is finished with; the rest is a line that is not whole. After
// bytes that no server should send, the lane is broken.
func (l *lane) feed(in []byte, now int64) (used int) {
	w := l.w
	for used < len(in) && !l.broken {
		p := in[used:]
		if l.left > 0 {
			used += l.value(p, now)
			continue
		}
		if l.outstanding() == 0 {
			l.fail(&w.errs.Framing, "bytes nobody asked for: %.60q", p)
			l.broken = true
			return used
		}
		req := &l.pending[l.head]
		if req.set {
			ok := stored
			if w.r.o.Meta {
				ok = hd
			}
			if bytes.HasPrefix(p, ok) {
				used += len(ok)
				l.settle(req, 0, now)
				continue
			}
		} else if req.n > 0 {
			id := l.ids[l.id]
			hit := w.hit
			if w.hitKey > 0 {
				w.stamp(hit, w.hitKey, id)
			}
			if bytes.HasPrefix(p, hit) {
				used += len(hit)
				l.id++
				req.n--
				l.left, l.verify, l.valueID = w.r.o.ValueSize+2, true, id
				continue
			}
		} else if bytes.HasPrefix(p, end) {
			used += len(end)
			l.settle(req, 0, now)
			continue
		}
		n := bytes.IndexByte(p[:min(len(p), maxLine)], '\n')
		if n < 0 {
			if len(p) >= maxLine {
				l.fail(&w.errs.Framing, "a reply line of more than %d bytes", maxLine)
				l.broken = true
			}
			return used
		}
		l.line(req, p[:n+1], now)
		used += n + 1
	}
	return used
}

// value takes bytes of a value and the line end behind it.
func (l *lane) value(p []byte, now int64) int {
	w := l.w
	n := min(len(p), l.left)
	if l.verify {
		off := w.r.o.ValueSize + 2 - l.left
		body := min(n, max(0, l.left-2))
		at := valueAt(l.valueID) + off
		if body > 0 && !bytes.Equal(p[:body], w.r.pattern[at:at+body]) {
			l.fail(&w.errs.WrongValue, "another value than was stored under key %d", l.valueID)
			l.verify = false
		}
	}
	for i := max(0, l.left-2); i < n; i++ {
		if p[i] != "\r\n"[2-(l.left-i)] {
			l.fail(&w.errs.Framing, "no line end behind a value: %q", p[i])
			l.broken = true
			return n
		}
	}
	l.left -= n
	if l.left == 0 {
		if w.r.phase.Load() == measuring {
			w.hits++
		}
		if req := &l.pending[l.head]; w.r.o.Meta && w.r.o.MultiGet == 1 {
			l.settle(req, 0, now)
		}
	}
	return n
}

// line takes a reply line that is not the one for the next key found.
func (l *lane) line(req *request, line []byte, now int64) {
	w := l.w
	text := bytes.TrimRight(line, "\r\n")
	word, rest, _ := bytes.Cut(text, []byte{' '})
	switch string(word) {
	case "END", "EN", "MN":
		want := "END"
		switch {
		case w.r.o.Meta && w.r.o.MultiGet > 1:
			want = "MN"
		case w.r.o.Meta:
			want = "EN"
		}
		if !req.set && string(word) == want {
			l.settle(req, int(req.n), now)
			return
		}
	case "VALUE", "VA":
		if req.set {
			break
		}
		var key []byte
		size, fields := -1, bytes.Fields(rest)
		if string(word) == "VALUE" && len(fields) >= 3 {
			key, size = fields[0], atoi(fields[2])
		} else if string(word) == "VA" && len(fields) >= 1 {
			size = atoi(fields[0])
			if w.hitKey > 0 && len(fields) >= 2 {
				key = fields[1][1:]
			}
		}
		if size < 0 {
			break
		}
		// Keys that were not found are left out: look for this one among the rest.
		for k := 0; k < int(req.n); k++ {
			id := l.ids[l.id+k]
			w.stamp(w.set, w.setKey, id)
			if key != nil && !bytes.Equal(key, w.set[w.setKey-w.r.o.KeySize:w.setKey]) {
				continue
			}
			l.id += k + 1
			req.n -= int32(k + 1)
			l.left, l.verify, l.valueID = size+2, size == w.r.o.ValueSize, id
			if !l.verify {
				l.fail(&w.errs.WrongSize, "a value of %d bytes, %d were stored", size, w.r.o.ValueSize)
			} else if !w.r.o.Meta && string(fields[1]) != "0" {
				l.fail(&w.errs.WrongValue, "flags %s, 0 were stored", fields[1])
			}
			return
		}
		l.fail(&w.errs.WrongKey, "a value for a key that was not asked for: %.60q", text)
		l.left, l.verify = size+2, false
		return
	case "ERROR", "CLIENT_ERROR", "SERVER_ERROR", "NOT_STORED", "EXISTS", "NOT_FOUND", "NS", "EX", "NF":
		l.fail(&w.errs.Refused, "%.100s", text)
		l.settle(req, int(req.n), now)
		return
	}
	l.fail(&w.errs.Framing, "not a reply: %.100q", text)
	l.broken = true
}

// settle ends the request at the head; skip of its keys were not found.
func (l *lane) settle(req *request, skip int, now int64) {
	w := l.w
	if req.set {
		l.id++
	} else {
		l.id += skip
	}
	l.head++
	n := uint64(1)
	if !req.set {
		n = uint64(w.r.o.MultiGet)
	}
	w.settled += n
	if w.r.phase.Load() != measuring {
		return
	}
	w.requests++
	w.ops += n
	if req.set {
		w.sets++
	} else {
		w.gets += n
	}
	w.lat.record(now - req.at)
}

func (l *lane) fail(n *uint64, format string, args ...any) {
	*n++
	if l.w.errs.First == "" {
		l.w.errs.First = fmt.Sprintf(format, args...)
	}
}

func atoi(b []byte) int {
	n := 0
	for _, c := range b {
		if c < '0' || c > '9' || n > 1<<30 {
			return -1
		}
		n = n*10 + int(c-'0')
	}
	if len(b) == 0 {
		return -1
	}
	return n
}
