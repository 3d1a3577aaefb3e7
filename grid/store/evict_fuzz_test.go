package store

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/latticed/latticed/grid"
)

// FuzzEvicting makes ops from the fuzzer's bytes on a store of half a megabyte to four, so that entries are evicted, moved,
// expire and are flushed all the time, while the index grows and shrinks, values stream in and out, the limit changes and the
// system refuses memory. Beside it is a map: what is found must be what was stored last, whole, and what was removed must not
// be found. gridtest.FuzzOps is for what ops answer; this is for where the bytes are.
//
// Go ends a worker whose input takes ten seconds of the clock, and says no more than "exit status 2": also where the machine left it
// no CPU for so long. The input that is blamed then passes. By default it also spends a minute on making each input that finds a new
// path smaller, so give it -fuzzminimizetime 10x.
func FuzzEvicting(f *testing.F) {
	for seed := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, 3))
		script := make([]byte, 200<<(seed%3))
		for i := range script {
			script[i] = byte(r.Uint32())
		}
		f.Add(script)
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		if len(script) > 1<<10 {
			script = script[:1<<10]
		}
		next := func() int {
			if len(script) == 0 {
				return 0
			}
			n := script[0]
			script = script[1:]
			return int(n)
		}
		shapes := [...]Options{{Limit: 512 << 10}, {Limit: 1 << 20, Segments: 1}, {Limit: 4 << 20, Segments: 1}, {Limit: 2 << 20, NoEvict: true}}
		o := shapes[next()%len(shapes)]
		s, refuse := refusing(t, o)
		v := evicting{t: t, s: s, b: grid.NewBatch(1 << 16), now: 1_700_000_000_000, there: map[int]stored{}}
		for rounds := 0; len(script) > 0; rounds++ {
			key := next()<<4 | next()&15
			switch what := next(); what % 16 {
			case 0, 1, 2:
				v.put(key, next(), 0)
			case 3:
				v.put(key, 256+next()<<4, 0)
			case 4:
				v.put(key, next()<<9, int64(next()))
			case 5: // many at once
				for n := range 3 * next() {
					v.put(key+n, n&7, int64(what&16))
				}
			case 6:
				for n := range 3 * next() {
					v.remove(key + n)
				}
			case 7:
				v.remove(key)
			case 8:
				v.stream(key, 1+next()<<10, next()%4)
			case 9:
				v.get(key, true)
			case 10:
				v.closeOne(next())
			case 11:
				v.now += int64(next())
				s.Sweep(grid.Time{Wall: v.now}, next()<<4)
			case 12:
				v.append(key, next()<<(2+what>>4&7))
			case 13:
				if what&0xf0 == 0 {
					s.Flush(0, grid.Ticket{Now: grid.Time{Wall: v.now}})
					clear(v.there)
				}
			case 14:
				s.SetLimit(o.Limit / 8 * uint64(4+next()%9))
			case 15:
				*refuse = what&16 != 0
			}
			v.get(key, false)
			if rounds%256 == 0 {
				verify(t, s)
			}
		}
		for len(v.open) > 0 {
			v.closeOne(0)
		}
		for key := range v.there {
			v.get(key, false)
		}
		verify(t, s)
		if held := s.held.Load(); held != 0 {
			t.Errorf("%d bytes are reserved or pinned in the end", held)
		}
		for n := range 64 { // whatever it went through, it can be emptied
			if s.Flush(0, grid.Ticket{Now: grid.Time{Wall: v.now}}); n > 0 && s.count() == 0 {
				break
			}
			s.Sweep(grid.Time{Wall: v.now}, 100_000)
		}
		if s.count() != 0 {
			t.Errorf("%d entries are left after a flush", s.count())
		}
		verify(t, s)
		if pages := s.a.used*s.a.pages.per - s.a.pages.free; len(s.shards)*groupLen*64/pageSize+len(s.shards) < s.pages() || s.pages() > pages {
			t.Errorf("%d pages of index are left for nothing, in %d", s.pages(), pages)
		}
	})
}

// stored is what an entry should be: size bytes, of which the last are zeros and the others of seed.
type stored struct {
	seed, size, zeros int
	expires           int64
}

func (w stored) bytes() []byte {
	b := make([]byte, w.size+8)
	seeded := w.size - w.zeros
	for i := 0; i < seeded; i += 8 {
		binary.LittleEndian.PutUint64(b[i:], uint64(w.seed)*0x9e3779b97f4a7c15+uint64(i))
	}
	clear(b[seeded:])
	return b[:w.size]
}

// evicting is a store and what should be in it, if it is in it.
type evicting struct {
	t     *testing.T
	s     *Store
	b     *grid.Batch
	now   int64
	seed  int
	there map[int]stored
	open  []openBlob
}

type openBlob struct {
	b    grid.Blob
	want stored
}

func (v *evicting) do(op grid.Op) *grid.Result {
	v.b.Reset()
	v.b.Now.Wall = v.now
	*v.b.Add() = op
	v.s.Do(v.b)
	return &v.b.Res[0]
}

// done notes what a store of w answered. Where nothing may be evicted it may be refused; then all is as it was.
func (v *evicting) done(key int, w stored, code grid.Code) {
	switch code {
	case grid.OK:
		v.there[key] = w
	case grid.Full, grid.Busy:
		if code == grid.Full && !v.s.noEvict && w.size+int(v.s.held.Load()) < int(v.s.limit.Load()/4) {
			v.t.Fatalf("a store of %d bytes is refused, limit %d, %d taken, %d of it held", w.size, v.s.limit.Load(), v.s.a.memory(), v.s.held.Load())
		}
	default:
		v.t.Fatalf("a store of %d bytes: got code %d", w.size, code)
	}
}

func (v *evicting) put(key, size int, ttl int64) {
	if size > grid.StreamMin {
		v.stream(key, size, 3)
		return
	}
	v.seed++
	w := stored{seed: v.seed, size: size}
	if ttl > 0 {
		w.expires = v.now + ttl
	}
	v.done(key, w, v.do(grid.Op{Kind: grid.Put, Key: key64(key), Value: w.bytes(), TTL: ttl, Flags: uint32(size & 1)}).Code)
}

func (v *evicting) remove(key int) {
	v.do(grid.Op{Kind: grid.Remove, Key: key64(key)})
	delete(v.there, key)
}

// stream stores by a Slot, gives up halfway if how is 0, or has it grow while it is filled if that is 1.
func (v *evicting) stream(key, size, how int) {
	v.seed++
	w := stored{seed: v.seed, size: size}
	op := grid.Op{Kind: grid.Put, Key: key64(key)}
	first := size
	if how == 1 {
		first = size/2 + 1
	}
	at := grid.Ticket{Now: grid.Time{Wall: v.now}}
	slot, code := v.s.Reserve(&op, first, at)
	if code != grid.OK {
		v.done(key, w, code)
		return
	}
	for left := w.bytes(); len(left) > 0; {
		n := copy(slot.Window(), left)
		if n == 0 {
			if code := slot.Resize(size, at); code != grid.OK {
				slot.Abort()
				v.done(key, w, code)
				return
			}
			continue
		}
		slot.Wrote(n)
		left = left[n:]
		if how == 0 && len(left) < size/2 {
			slot.Abort()
			return
		}
	}
	op.Body = slot
	v.done(key, w, v.do(op).Code)
}

func (v *evicting) append(key, size int) {
	w, ok := v.there[key]
	op := grid.Op{Kind: grid.Append, Key: key64(key)}
	if size <= grid.StreamMin {
		op.Value = make([]byte, size)
	} else {
		slot, code := v.s.Reserve(&op, size, grid.Ticket{Now: grid.Time{Wall: v.now}})
		if code != grid.OK {
			return
		}
		for left := size; left > 0; {
			n := len(slot.Window())
			clear(slot.Window())
			slot.Wrote(n)
			left -= n
		}
		op.Body = slot
	}
	r := v.do(op)
	switch {
	case r.Code == grid.OK && ok:
		w.size += size
		w.zeros += size
		v.there[key] = w
	case r.Code == grid.OK && !ok:
		v.t.Fatalf("append to what is not there: got OK")
	case r.Code == grid.Full && !v.s.noEvict && w.size+size+int(v.s.held.Load()) < int(v.s.limit.Load()/4):
		v.t.Fatalf("an append to %d bytes is refused", w.size)
	}
}

// get checks an entry. keep leaves a large one open.
func (v *evicting) get(key int, keep bool) {
	w, ok := v.there[key]
	r := v.do(grid.Op{Kind: grid.Get, Ask: grid.WantValue, Key: key64(key)})
	if r.Code != grid.OK {
		if ok && v.s.noEvict && (w.expires == 0 || w.expires > v.now) {
			v.t.Fatalf("an entry of %d bytes is gone, and none may be evicted", w.size)
		}
		delete(v.there, key)
		return
	}
	if !ok || w.expires != 0 && w.expires <= v.now {
		v.t.Fatalf("an entry that was removed, or has expired, is found")
	}
	if r.Body == nil {
		if !bytes.Equal(r.Value, w.bytes()) {
			v.t.Fatalf("an entry of %d bytes is found with %d, or others", w.size, len(r.Value))
		}
		return
	}
	v.open = append(v.open, openBlob{r.Body, w})
	if !keep || len(v.open) > 4 {
		v.closeOne(len(v.open) - 1)
	}
}

// closeOne reads one of the values that are open to its end, whatever has become of its entry.
func (v *evicting) closeOne(n int) {
	if len(v.open) == 0 {
		return
	}
	n %= len(v.open)
	o := v.open[n]
	v.open[n] = v.open[len(v.open)-1]
	v.open = v.open[:len(v.open)-1]
	want := o.want.bytes()
	if o.b.Len() != len(want) {
		v.t.Fatalf("a value of %d bytes is %d long", len(want), o.b.Len())
	}
	for off := 0; off < len(want); {
		p := o.b.Piece(off, 10_000)
		if !bytes.Equal(p, want[off:off+len(p)]) {
			v.t.Fatalf("a value of %d bytes has others at %d", len(want), off)
		}
		off += len(p)
	}
	o.b.Close()
}
