package store

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/latticed/latticed/grid"
)

// TestSweepGoesOn has a sweep stop amid a segment, which then becomes empty and is written to anew, in other places.
func TestSweepGoesOn(t *testing.T) {
	for _, dropped := range []bool{false, true} {
		s, err := New(Options{Limit: 1 << 20, Segments: 1})
		if err != nil {
			t.Fatal(err)
		}
		b := grid.NewBatch(1 << 16)
		now := int64(1_700_000_000_000)
		do := func(op grid.Op) {
			b.Reset()
			b.Now.Wall = now
			*b.Add() = op
			s.Do(b)
		}
		const entries = 100
		put := func(size int, ttl int64) {
			for i := range entries {
				do(grid.Op{Kind: grid.Put, Key: fmt.Append(nil, i), Value: bytes.Repeat([]byte{0, 0, 0, 0x10}, size), TTL: ttl})
			}
		}
		put(12, 1)
		do(grid.Op{Kind: grid.Put, Key: []byte("keeps the segment"), TTL: 1 << 40})
		now += 10
		if n := s.Sweep(grid.Time{Wall: now}, 64); n == 0 || n == entries {
			t.Fatalf("the sweep removed %d entries, so it did not stop amid the segment", n)
		}
		for i := range entries {
			do(grid.Op{Kind: grid.Remove, Key: fmt.Append(nil, i)})
		}
		if dropped { // by another segment being opened
			s.shards[0].mu.Lock()
			s.shards[0].seal(probation)
			s.shards[0].mu.Unlock()
		}
		do(grid.Op{Kind: grid.Remove, Key: []byte("keeps the segment")})
		put(20, 1)
		put(20, 1)
		now += 10
		s.Sweep(grid.Time{Wall: now}, 1000)
		verify(t, s)
		if n := s.shards[0].counts.entries; n != 0 {
			t.Errorf("dropped %t: %d expired entries are still there", dropped, n)
		}
	}
}

// TestFlushOutpaces has a flush come while an entry that was found alive is moved.
func TestFlushOutpaces(t *testing.T) {
	s, err := New(Options{Limit: 1 << 20, Segments: 1})
	if err != nil {
		t.Fatal(err)
	}
	b := grid.NewBatch(1 << 16)
	key := []byte("key")
	do := func(kind grid.Kind) grid.Code {
		b.Reset()
		*b.Add() = grid.Op{Kind: kind, Key: key}
		s.Do(b)
		return b.Res[0].Code
	}
	do(grid.Put)
	sh := &s.shards[0]
	sh.mu.Lock()
	sh.at(0)
	var it item
	slot := sh.find(s.hash(key), key, &it)
	if dead, _ := sh.dead(&it, 0); dead {
		t.Fatal("the entry is dead before the flush")
	}
	s.Flush(0, grid.Ticket{})
	if !sh.move(&it, slot, main, 0) {
		t.Fatal("the entry could not be moved")
	}
	sh.mu.Unlock()
	if code := do(grid.Get); code != grid.Missing {
		t.Errorf("get of what was moved when a flush came: got code %d, want Missing", code)
	}
	do(grid.Put)
	if code := do(grid.Get); code != grid.OK {
		t.Errorf("get of what was stored after the flush: got code %d, want OK", code)
	}
	verify(t, s)
}
