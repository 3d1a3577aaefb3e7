package store

import (
	"encoding/binary"
	"testing"

	"github.com/latticed/latticed/grid"
)

// TestTerms stores what expires soon among what does not: it leaves no dead bytes that somebody would have to clean up.
func TestTerms(t *testing.T) {
	s, err := New(Options{Limit: 16 << 20, Segments: 1})
	if err != nil {
		t.Fatal(err)
	}
	b := grid.NewBatch(0)
	now := int64(1_700_000_000_000)
	put := func(n int, ttl int64) {
		b.Reset()
		b.Now.Wall = now
		*b.Add() = grid.Op{Kind: grid.Put, Key: binary.LittleEndian.AppendUint64(nil, uint64(n)), Value: make([]byte, 80), TTL: ttl}
		if s.Do(b); b.Res[0].Code != grid.OK {
			t.Fatalf("put: got code %d", b.Res[0].Code)
		}
	}
	share := func() (used, dead uint64) {
		for i := range s.shards {
			for _, q := range s.shards[i].queues {
				for _, seg := range q.segs {
					used += uint64(s.a.info[seg].used)
					dead += uint64(s.a.info[seg].dead)
				}
			}
		}
		return used, dead
	}
	n := 0
	fill := func(entries int) {
		for range entries {
			put(n, [4]int64{0, 10_000, 100_000, 1000_000}[n%4])
			n++
		}
	}
	for len(s.shards[0].queues[probation].segs) < termsFrom { // until then all terms lie together
		fill(100)
	}
	mixed, _ := share()
	for range 4 {
		fill(10_000)
		now += 11_000
		for range SweepRound {
			s.Sweep(grid.Time{Wall: now}, 1)
		}
	}
	if used, dead := share(); dead > mixed/4+used/20 {
		t.Errorf("%d of %d bytes are dead, want at most a quarter of the first %d and a twentieth", dead, used, mixed)
	}
	for term, seg := range s.shards[0].queues[probation].open[:4] {
		if seg == 0 {
			t.Errorf("no segment is open for term %d", term)
		}
	}
	verify(t, s)
}

// TestTermsOfFew has a shard without many segments keep all terms in one.
func TestTermsOfFew(t *testing.T) {
	s, err := New(Options{Limit: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	b := grid.NewBatch(0)
	for i := range 20_000 {
		b.Reset()
		*b.Add() = grid.Op{Kind: grid.Put, Key: binary.LittleEndian.AppendUint64(nil, uint64(i)), TTL: [4]int64{0, 10_000, 100_000, 1000_000}[i%4]}
		s.Do(b)
	}
	for _, q := range s.shards[0].queues {
		for _, seg := range q.open[1:] {
			if seg != 0 {
				t.Errorf("a shard of %d segments has one open for a term", len(q.segs))
			}
		}
	}
	verify(t, s)
}
