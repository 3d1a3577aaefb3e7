package store

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/latticed/latticed/grid"
)

// TestTurns has stores do everything that may take long, and counts what is looked at while one shard is locked.
func TestTurns(t *testing.T) {
	const most = 2*turnMost + payMost
	run := func(name string, o Options, f func(s *Store, b *grid.Batch)) {
		t.Helper()
		s, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		b := grid.NewBatch(0)
		b.Now.Wall = 1_700_000_000_000
		f(s, b)
		worst := 0
		for _, sh := range s.roster.Load().shards {
			worst = max(worst, int(sh.mostSteps))
		}
		if worst < payMost || worst > most {
			t.Errorf("%s: %d entries and segments were looked at under one lock, want at most %d, and not nearly none", name, worst, most)
		}
		verify(t, s)
	}
	fill := func(s *Store, b *grid.Batch, from, n, size int, ttl int64) (full int) {
		for i := from; i < from+n; i++ {
			wall := b.Now.Wall
			b.Reset()
			b.Now.Wall = wall
			*b.Add() = grid.Op{Kind: grid.Put, Key: binary.LittleEndian.AppendUint64(nil, uint64(i)), Value: make([]byte, size), TTL: ttl}
			if s.Do(b); b.Res[0].Code == grid.Full {
				full++
			}
		}
		return full
	}
	large := func(s *Store, b *grid.Batch, n, size int) {
		wall := b.Now.Wall
		for i := range n {
			if code := put(s, b, 1<<30+1<<29+i, size); code != grid.OK {
				t.Errorf("put of %d bytes: got code %d", size, code)
			}
			b.Now.Wall = wall
		}
	}
	for _, segments := range []int{1, 256} {
		run("a large value among small ones", Options{Limit: 4 << 20, Segments: segments}, func(s *Store, b *grid.Batch) {
			fill(s, b, 0, 60_000, 0, 0)
			large(s, b, 1, 5<<19)
			fill(s, b, 0, 60_000, 0, 0)
			large(s, b, 20, 15_000)
		})
		run("among some that were read", Options{Limit: 4 << 20, Segments: segments}, func(s *Store, b *grid.Batch) {
			for range 3 {
				fill(s, b, 0, 20_000, 50, 0)
			}
			large(s, b, 10, 1<<19)
		})
		run("no evicting", Options{Limit: 4 << 20, Segments: segments, NoEvict: true}, func(s *Store, b *grid.Batch) {
			rng := rand.New(rand.NewPCG(1, 1))
			if fill(s, b, 0, 70_000, 20, 1000+rng.Int64N(100)) == 0 {
				t.Error("all entries had room")
			}
			b.Now.Wall += 1100
			if full := fill(s, b, 1<<30, 20_000, 20, 0); full > 0 {
				t.Errorf("%d were refused after all others had expired", full)
			}
			if fill(s, b, 1<<30+1<<28, 70_000, 20, 0) == 0 {
				t.Error("all entries had room")
			}
		})
		run("lowering, scanning, sweeping", Options{Limit: 16 << 20, Segments: segments}, func(s *Store, b *grid.Batch) {
			fill(s, b, 0, 60_000, 0, 0)
			fill(s, b, 1<<30, 60_000, 0, 1)
			p := grid.Page{Entries: make([]grid.Entry, 0, 10_000), Mem: make([]byte, 0, 1<<20)}
			scanned := 0
			for more := true; more; {
				more = s.Scan(&p, b.Now)
				scanned += len(p.Entries)
			}
			if scanned != 120_000 {
				t.Errorf("%d entries were scanned, want 120000", scanned)
			}
			b.Now.Wall += 10
			s.Sweep(b.Now, 150_000)
			s.SetLimit(2 << 20)
			for range 50 {
				s.Sweep(b.Now, 10_000)
			}
			s.Flush(0, grid.Ticket{Now: b.Now})
			fill(s, b, 0, 1000, 10_000, 0)
		})
		run("clearing", Options{Limit: 16 << 20, Segments: segments}, func(s *Store, b *grid.Batch) {
			fill(s, b, 0, 60_000, 0, 0)
			fill(s, b, 1<<30, 60_000, 0, 1)
			b.Now.Wall += 10
			p := grid.Page{Segment: segments}
			for s.Count(&p, b.Now) {
			}
			one := p.Count
			clear := func(segment int, want uint64) {
				p = grid.Page{Segment: segment}
				for s.Clear(&p, b.Now, true) {
				}
				if p.Count != want {
					t.Errorf("clearing segment %d less 1: got %d, want %d", segment, p.Count, want)
				}
			}
			clear(segments, one)
			clear(segments, 0)
			clear(0, 60_000-one)
		})
	}
	run("caches with bounds", Options{Limit: 8 << 20}, func(s *Store, b *grid.Batch) {
		if err := s.Create("c", CacheOptions{MaxBytes: 2 << 20}); err != nil {
			t.Fatal(err)
		}
		fill(s, b, 0, 60_000, 0, 0)
		c, err := s.Open("c", grid.Principal{})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 100_000 {
			b.Reset()
			*b.Add() = grid.Op{Kind: grid.Put, Key: binary.LittleEndian.AppendUint64(nil, uint64(i))}
			if i == 99_999 {
				b.Ops[0].Value = make([]byte, 1<<20)
			}
			if c.Do(b); b.Res[0].Code != grid.OK {
				t.Fatalf("put %d: got code %d", i, b.Res[0].Code)
			}
		}
		large(s, b, 3, 2<<20)
	})
}
