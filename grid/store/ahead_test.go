package store

import (
	"bytes"
	"testing"

	"github.com/latticed/latticed/grid"
)

// TestCopiesAhead has others use the entry, and its shard, while a large value is written anew.
func TestCopiesAhead(t *testing.T) {
	const large, small = 200_000, 1000
	value := func(n int, b byte) []byte { return bytes.Repeat([]byte{b}, n) }
	key := []byte("key")
	for name, f := range map[string]struct {
		first  int                           // length of the value
		tail   int                           // of what is appended or prepended
		middle func(v *evicting, times int)  // what comes between
		want   func(times int) (mine []byte) // the value that the result has; nil: there is no entry
		copies int
	}{
		"nothing":                    {large, small, func(*evicting, int) {}, func(int) []byte { return value(large, 'a') }, 1},
		"nothing, small":             {small, large, func(*evicting, int) {}, func(int) []byte { return value(small, 'a') }, 1},
		"use":                        {large, small, func(v *evicting, _ int) { v.do(grid.Op{Kind: grid.Touch, Key: key, TTL: 1000}) }, func(int) []byte { return value(large, 'a') }, 1},
		"use, small":                 {small, large, func(v *evicting, _ int) { v.do(grid.Op{Kind: grid.Touch, Key: key, TTL: 1000}) }, func(int) []byte { return value(small, 'a') }, 1},
		"another value, once":        {large, small, func(v *evicting, n int) { v.fill(key, large, 'b', n == 1) }, func(int) []byte { return value(large, 'b') }, 2},
		"another value, small, once": {small, large, func(v *evicting, n int) { v.fill(key, small, 'b', n == 1) }, func(int) []byte { return value(small, 'b') }, 2},
		"a longer value, once":       {large, small, func(v *evicting, n int) { v.fill(key, large+1, 'b', n == 1) }, func(int) []byte { return value(large+1, 'b') }, 2},
		"a small value, once":        {large, large, func(v *evicting, n int) { v.fill(key, small, 'b', n == 1) }, func(int) []byte { return value(small, 'b') }, 2},
		"a large value, once":        {small, large, func(v *evicting, n int) { v.fill(key, large, 'b', n == 1) }, func(int) []byte { return value(large, 'b') }, 2},
		"so small that it is inline": {large, small, func(v *evicting, n int) { v.fill(key, small, 'b', n == 1) }, func(int) []byte { return value(small, 'b') }, 1},
		"another value each time":    {large, small, func(v *evicting, n int) { v.fill(key, large, byte('b'+n), true) }, func(n int) []byte { return value(large, byte('b'+n)) }, copyTries},
		"removed":                    {large, small, func(v *evicting, _ int) { v.do(grid.Op{Kind: grid.Remove, Key: key}) }, nil, 1},
	} {
		for _, kind := range []grid.Kind{grid.Append, grid.Prepend} {
			s, err := New(Options{Limit: 16 << 20, Segments: 1})
			if err != nil {
				t.Fatal(err)
			}
			v := evicting{t: t, s: s, b: grid.NewBatch(1 << 16), now: 1}
			v.fill(key, f.first, 'a', true)
			other := evicting{t: t, s: s, b: grid.NewBatch(1 << 16), now: 1} // as another goroutine has
			copies := 0
			s.a.copied = func() {
				if !s.shards[0].mu.TryLock() {
					t.Fatalf("%s: the shard is locked while a value is copied", name)
				}
				s.shards[0].mu.Unlock()
				copies++
				f.middle(&other, copies)
			}
			op := grid.Op{Kind: kind, Key: key}
			v.give(&op, f.tail, 'z')
			r := v.do(op)
			if copies != f.copies {
				t.Errorf("%s: it was copied %d times, want %d", name, copies, f.copies)
			}
			if f.want == nil {
				if r.Code != grid.Missing {
					t.Errorf("%s: got code %d, want Missing", name, r.Code)
				}
			} else {
				want := append(f.want(copies), value(f.tail, 'z')...)
				if kind == grid.Prepend {
					want = append(value(f.tail, 'z'), f.want(copies)...)
				}
				if got := v.value(key); r.Code != grid.OK || !bytes.Equal(got, want) {
					t.Errorf("%s, kind %d: got code %d and %d bytes, want %d, or others", name, kind, r.Code, len(got), len(want))
				}
			}
			verify(t, s)
			v.do(grid.Op{Kind: grid.Remove, Key: key})
			if free := s.a.used*s.a.pages.per - s.a.pages.free; s.held.Load() != 0 || s.pages() != free-len(s.shards[0].queues[probation].segs)*s.a.pages.per-len(s.shards[0].queues[main].segs)*s.a.pages.per {
				t.Errorf("%s: %d bytes are held in the end, %d pages are in use, of which %d are the index's", name, s.held.Load(), free, s.pages())
			}
		}
	}
}

// give makes n times c the op's value.
func (v *evicting) give(op *grid.Op, n int, c byte) {
	b := bytes.Repeat([]byte{c}, n)
	if n <= grid.StreamMin {
		op.Value = b
		return
	}
	slot, code := v.s.Reserve(op, n, grid.Ticket{})
	if code != grid.OK {
		v.t.Fatalf("Reserve: code %d", code)
	}
	for len(b) > 0 {
		n := copy(slot.Window(), b)
		slot.Wrote(n)
		b = b[n:]
	}
	op.Body = slot
}

// fill stores n times c, if it is to.
func (v *evicting) fill(key []byte, n int, c byte, really bool) {
	if !really {
		return
	}
	op := grid.Op{Kind: grid.Put, Key: key}
	v.give(&op, n, c)
	if r := v.do(op); r.Code != grid.OK {
		v.t.Fatalf("put: code %d", r.Code)
	}
}

// value is what is stored there now.
func (v *evicting) value(key []byte) (b []byte) {
	r := v.do(grid.Op{Kind: grid.Get, Ask: grid.WantValue, Key: key})
	if r.Body == nil {
		return bytes.Clone(r.Value)
	}
	for len(b) < r.Body.Len() {
		b = append(b, r.Body.Piece(len(b), 1<<20)...)
	}
	r.Body.Close()
	return b
}
