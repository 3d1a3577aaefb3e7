package store

import (
	"testing"

	"github.com/latticed/latticed/grid"
)

// TestRefusesAtOnce fills a store that may not evict with what expires later, and then asks in vain: no store looks at more than a
// few segments of each shard, until something has expired. That is found by the first that it is in the way of, by whatever way
// it came to expire.
func TestRefusesAtOnce(t *testing.T) {
	for name, o := range map[string]struct {
		ttl, idle int64
		end       func(v *evicting) // has some entries end
	}{
		"lifespan": {ttl: 10_000, end: func(v *evicting) { v.now += 10_001 }},
		"idle":     {idle: 10_000, end: func(v *evicting) { v.now += 10_001 }},
		"none":     {end: nil},
		"touched": {ttl: 10_000, end: func(v *evicting) {
			for n := range 200 {
				v.do(grid.Op{Kind: grid.Touch, Key: key64(n), TTL: 5})
			}
			v.now += 6
		}},
		"flushed": {end: func(v *evicting) { v.s.Flush(0, grid.Ticket{Now: grid.Time{Wall: v.now}}) }},
		"will be": {end: func(v *evicting) { v.s.Flush(v.now+10, grid.Ticket{Now: grid.Time{Wall: v.now}}); v.now += 11 }},
		"flushed, and swept too early": {end: func(v *evicting) {
			v.now += 10
			v.s.Flush(0, grid.Ticket{Now: grid.Time{Wall: v.now}})
			v.s.Sweep(grid.Time{Wall: v.now - 5}, 1<<20)
		}},
	} {
		s, err := New(Options{Limit: 16 << 20, NoEvict: true, Segments: 2})
		if err != nil {
			t.Fatal(err)
		}
		v := evicting{t: t, s: s, b: grid.NewBatch(1 << 16), now: 1_700_000_000_000}
		n := 0
		put := func() grid.Code {
			n++
			return v.do(grid.Op{Kind: grid.Put, Key: key64(n), Value: make([]byte, 1000), TTL: o.ttl, Idle: o.idle}).Code
		}
		for refused := 0; refused < 100; refused++ { // of one shard and the other
			if put() == grid.OK {
				refused = 0
			}
		}
		if n < 1000 {
			t.Fatalf("%s: only %d entries had room", name, n)
		}
		refused := func() (most int) {
			for i := range s.shards {
				s.shards[i].mostSteps = 0
			}
			for range 1000 {
				v.now++
				if code := put(); code != grid.Full {
					t.Fatalf("%s: got code %d, want Full", name, code)
				}
			}
			for i := range s.shards {
				most = max(most, int(s.shards[i].mostSteps))
			}
			return most
		}
		if most := refused(); most > 8 {
			t.Errorf("%s: %d entries and segments were looked at to refuse a store", name, most)
		}
		if o.end == nil {
			continue
		}
		o.end(&v)
		if code := put(); code != grid.OK {
			t.Errorf("%s: got code %d after something had ended, want OK", name, code)
		}
		verify(t, s)
	}
}

// BenchmarkRefused asks a full cache that may not evict for room.
func BenchmarkRefused(b *testing.B) {
	s, err := New(Options{Limit: 1 << 30, NoEvict: true})
	if err != nil {
		b.Fatal(err)
	}
	bt := grid.NewBatch(0)
	bt.Now.Wall = 1_700_000_000_000
	do := func(n int) grid.Code {
		bt.Ops = bt.Ops[:0]
		*bt.Add() = grid.Op{Kind: grid.Put, Key: key64(n), Value: make([]byte, 10_000), TTL: 1 << 40}
		s.Do(bt)
		return bt.Res[0].Code
	}
	n := 0
	for do(n) == grid.OK {
		n++
	}
	for b.Loop() {
		do(n)
	}
}
