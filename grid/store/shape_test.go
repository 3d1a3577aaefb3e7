package store

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"unsafe"

	"github.com/latticed/latticed/grid"
)

// Nothing that there is one of for each entry, bucket or log segment has a pointer: the collector would follow it.
func TestNoPointers(t *testing.T) {
	var pointers func(t reflect.Type) bool
	pointers = func(t reflect.Type) bool {
		switch t.Kind() {
		case reflect.Struct:
			for i := range t.NumField() {
				if pointers(t.Field(i).Type) {
					return true
				}
			}
			return false
		case reflect.Array:
			return pointers(t.Elem())
		}
		return t.Kind() > reflect.Complex128 || t.Kind() == reflect.Uintptr
	}
	for _, v := range []any{item{}, info{}, bucket{}, spilled{}, uint32(0)} {
		if pointers(reflect.TypeOf(v)) {
			t.Errorf("%T has a pointer", v)
		}
	}
	if !pointers(reflect.TypeOf(cursor{})) && !pointers(reflect.TypeOf(shard{})) {
		t.Error("shard has no pointer, so the test looks at nothing")
	}
	if infoSize != lineSize {
		t.Errorf("info is %d bytes, want a cache line", infoSize)
	}
	if n, at := unsafe.Sizeof(shard{}), unsafe.Offsetof(shard{}.c); bits.UintSize == 64 && (n%lineSize != 0 || at != lineSize) {
		t.Errorf("a shard is %d bytes, of which %d are what ops write to, want whole cache lines, and one", n, at)
	}
}

func (sh *shard) listed(seg uint32) bool {
	last := uint32(0)
	for n := sh.dirt[sh.c.a.info[seg].dirt]; n != 0; last, n = n, sh.c.a.info[n].next {
		if sh.c.a.info[n].prev != last {
			return false
		}
		if n == seg {
			return true
		}
	}
	return false
}

// verify holds a store to its invariants.
func verify(t *testing.T, s *Store) {
	t.Helper()
	a := s.a
	taken := 0
	for n := range s.shards {
		sh := &s.shards[n]
		sh.mu.Lock()
		there := map[uint64]bool{}
		var weights [numQueues]int64
		for q := range sh.queues {
			for term, open := range sh.queues[q].open {
				if open != 0 && (!a.info[open].open || int(a.info[open].term) != term || !slices.Contains(sh.queues[q].segs, open)) {
					t.Errorf("shard %d: the open segment of term %d is not one", n, term)
				}
			}
			for _, seg := range sh.queues[q].segs {
				taken++
				i := &a.info[seg]
				dead := uint32(0)
				for at := uint32(0); at < i.used; {
					var it item
					off := uint64(seg)<<a.shift + uint64(at)
					a.load(&it, off)
					if a.u32(off)&gone != 0 {
						dead += uint32(it.alloc)
					} else {
						there[off] = true
						weights[q] += int64(it.weight())
						if slot := sh.slotOf(s.hash(sh.key(&it)), off); slot == nil {
							t.Fatalf("shard %d: an entry is not in the index", n)
						}
						if it.end() < i.expires {
							t.Errorf("shard %d: an entry ends at %d, its segment says not before %d", n, it.end(), i.expires)
						}
					}
					at += uint32(it.alloc)
				}
				step := uint8(dead * dirtSteps >> a.shift)
				if i.open || seg == sh.walking {
					step = 0
				}
				if i.dirt != step || step != 0 && !sh.listed(seg) {
					t.Errorf("shard %d: a segment with %d dead bytes is in list %d, or in none", n, dead, i.dirt)
				}
				if dead != i.dead {
					t.Errorf("shard %d: %d bytes are dead, counted as %d", n, dead, i.dead)
				}
			}
			if weights[q] != sh.queues[q].weight {
				t.Errorf("shard %d: queue %d weighs %d, counted as %d", n, q, weights[q], sh.queues[q].weight)
			}
		}
		slots := 0
		for b := range uint32(sh.index.buckets()) {
			for _, s := range sh.index.bucket(b) {
				if s != 0 {
					slots++
					if !there[s&offsetMask] {
						t.Fatalf("shard %d: a slot names no entry", n)
					}
				}
			}
		}
		slots += sh.index.spill.count
		if slots != len(there) || slots != sh.index.count || uint64(slots) != sh.entries {
			t.Errorf("shard %d: %d entries, %d slots, counted as %d and %d", n, len(there), slots, sh.index.count, sh.entries)
		}
		sh.mu.Unlock()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for seg := a.first; seg < a.top; seg++ {
		if a.info[seg].freePages > 0 && a.info[seg].place < int32(len(a.pages.partial)) && a.pages.partial[a.info[seg].place] == seg {
			taken++
		}
	}
	if taken > a.used {
		t.Errorf("%d segments in use, counted as %d", taken, a.used)
	}
}

// TestOptions runs the same random ops on stores of many shapes, small enough to evict all the time, beside a map. What
// is there must be what was stored last; what was removed must not be there.
func TestOptions(t *testing.T) {
	for seed, o := range []Options{
		{Limit: 256 << 10}, {Limit: 1 << 20}, {Limit: 3 << 20}, {Limit: 16 << 20}, {Limit: 64 << 20}, {},
		{Limit: 1 << 20, NoEvict: true}, {Limit: 4 << 20, Segments: 1}, {Limit: 4 << 20, Heap: true},
		{Limit: 8 << 20, Segments: 3, Segment: func(key []byte) uint16 { return uint16(len(key)) % 3 }},
	} {
		t.Run(fmt.Sprintf("%+v", o.Limit), func(t *testing.T) {
			s, err := New(o)
			if err != nil {
				t.Fatal(err)
			}
			rng := rand.New(rand.NewPCG(uint64(seed), 9))
			type want struct {
				value   []byte
				version uint64
				expires int64
			}
			model := map[string]want{}
			b := grid.NewBatch(1 << 16)
			now := int64(1_700_000_000_000)
			one := func(op grid.Op) grid.Result {
				b.Reset()
				b.Now.Wall = now
				*b.Add() = op
				s.Do(b)
				return b.Res[0]
			}
			keys := 3000
			key := func() []byte {
				n := rng.IntN(keys)
				k := fmt.Appendf(nil, "key%d", n)
				for n%50 == 0 && len(k) < n*20%40_000 { // some are long
					k = append(k, k...)
				}
				return k
			}
			hits := 0
			for i := range 10_000 {
				k := key()
				switch rng.IntN(10) {
				case 0:
					one(grid.Op{Kind: grid.Remove, Key: k})
					delete(model, string(k))
				case 1, 2, 3, 4:
					n := rng.IntN(100)
					switch rng.IntN(40) {
					case 0:
						n = rng.IntN(30_000)
					case 1, 2:
						n = rng.IntN(3000)
					}
					v := make([]byte, n)
					for j := range v {
						v[j] = byte(i + j)
					}
					op := grid.Op{Kind: grid.Put, Key: k, Value: v, Flags: uint32(rng.IntN(2)), TTL: int64(rng.IntN(3) * rng.IntN(3000))}
					r := one(op)
					delete(model, string(k))
					if r.Code == grid.OK {
						model[string(k)] = want{v, r.Version, r.Expires}
					} else if !o.NoEvict {
						t.Fatalf("put of %d bytes: got code %d", n, r.Code)
					} else if r.Code == grid.Full && one(grid.Op{Kind: grid.Remove, Key: k}).Code == grid.OK {
						continue
					}
				case 5:
					if r := one(grid.Op{Kind: grid.Append, Key: k, Value: []byte("tail")}); r.Code == grid.OK {
						w := model[string(k)]
						model[string(k)] = want{append(append([]byte(nil), w.value...), "tail"...), r.Version, w.expires}
					}
				case 6:
					if r := one(grid.Op{Kind: grid.Touch, Key: k, TTL: int64(1 + rng.IntN(5000)), Idle: int64(rng.IntN(2) * 2000)}); r.Code == grid.OK {
						w := model[string(k)]
						w.expires = one(grid.Op{Kind: grid.Get, Key: k, Ask: grid.NoBump}).Expires
						model[string(k)] = w
					}
				default:
					r := one(grid.Op{Kind: grid.Get, Ask: grid.WantValue, Key: k})
					w, ok := model[string(k)]
					if r.Code != grid.OK {
						delete(model, string(k))
						continue
					}
					hits++
					v := r.Value
					if r.Body != nil {
						v = nil
						for len(v) < r.Body.Len() {
							v = append(v, r.Body.Piece(len(v), 1<<20)...)
						}
						r.Body.Close()
					}
					if !ok || string(v) != string(w.value) || r.Version != w.version || r.Expires != w.expires {
						t.Fatalf("get %.20q: got %d bytes, version %d, expires %d; want %t, %d, %d, %d", k, len(v), r.Version, r.Expires, ok, len(w.value), w.version, w.expires)
					}
					if w.expires != 0 && w.expires <= now {
						t.Fatalf("get %.20q: it expired %d ms ago", k, now-w.expires)
					}
				}
				if i%100 == 0 {
					now += int64(rng.IntN(300))
					s.Sweep(grid.Time{Wall: now}, rng.IntN(500))
				}
				if i%2000 == 0 {
					verify(t, s)
					if m := s.a.memory(); m > s.limit.Load() {
						t.Fatalf("got %d bytes taken, limit %d", m, s.limit.Load())
					}
				}
				switch i % 5000 {
				case 4999:
					s.Flush(0, grid.Ticket{Now: grid.Time{Wall: now}})
					clear(model)
				case 2500:
					keys = 3000 + 7000*(i/5000%2)
				}
			}
			if hits == 0 {
				t.Error("there was no hit, so nothing was tested")
			}
			verify(t, s)
		})
	}
}
