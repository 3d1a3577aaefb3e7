package store

import (
	"bytes"
	"fmt"
	"math/rand/v2"
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
		sh := &s.shards[0]
		sh.mu.Lock()
		sh.at(now)
		if _, _, n, _ := sh.sweepSome(64, now); n == 0 || n == entries {
			t.Fatalf("the sweep removed %d entries, so it did not stop amid the segment", n)
		}
		sh.mu.Unlock()
		for i := range entries {
			do(grid.Op{Kind: grid.Remove, Key: fmt.Append(nil, i)})
		}
		if dropped { // by another segment being opened
			sh.mu.Lock()
			sh.seal(probation, 0)
			sh.mu.Unlock()
		}
		do(grid.Op{Kind: grid.Remove, Key: []byte("keeps the segment")})
		put(20, 1)
		put(20, 1)
		now += 10
		s.Sweep(grid.Time{Wall: now}, 1000)
		verify(t, s)
		if n := s.shards[0].entries; n != 0 {
			t.Errorf("dropped %t: %d expired entries are still there", dropped, n)
		}
	}
}

// TestSweepRound has entries expire that nobody reads: SweepRound calls later they are gone, however little each call is to look
// at, and while others write, overwrite and remove.
func TestSweepRound(t *testing.T) {
	for i, o := range []Options{{Limit: 4 << 20}, {Limit: 4 << 20, Segments: 1}, {Limit: 4 << 20, NoEvict: true}, {Limit: 64 << 20}, {Limit: 64 << 20}} {
		all, entries := i == 4, 30_000
		if all { // many segments, and all of them go
			entries = 400_000
		}
		s, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(8, o.Limit))
		b := grid.NewBatch(0)
		now := int64(1_700_000_000_000)
		do := func(op grid.Op) {
			b.Reset()
			b.Now.Wall = now
			*b.Add() = op
			s.Do(b)
		}
		key := func(n int) []byte { return fmt.Append(nil, "key", n) }
		for i := range entries {
			op := grid.Op{Kind: grid.Put, Key: key(i), Value: make([]byte, rng.IntN(60)), TTL: int64(rng.IntN(2000)), Idle: int64(rng.IntN(2) * 1500)}
			if all || i/3000%2 == 0 { // whole segments go
				op.TTL = 500
			}
			if all {
				op.Value = make([]byte, 60)
			}
			do(op)
			do(grid.Op{Kind: grid.Get, Key: key(rng.IntN(i + 1))}) // some get to main
		}
		now += 1000
		expired := func() (n int) {
			for i := range s.shards {
				sh := &s.shards[i]
				for b := range uint32(sh.index.buckets()) {
					for _, slot := range sh.index.bucket(b) {
						var it item
						if slot != 0 {
							if s.a.load(&it, slot&offsetMask); it.expired(now) {
								n++
							}
						}
					}
				}
			}
			return n
		}
		before := expired()
		if before < entries/10 {
			t.Fatalf("limit %d: only %d entries have expired, so the test says nothing", o.Limit, before)
		}
		for i := range SweepRound {
			s.Sweep(grid.Time{Wall: now}, 1)
			for range 20 {
				do(grid.Op{Kind: grid.Put, Key: key(entries + rng.IntN(entries)), Value: make([]byte, rng.IntN(60)), TTL: 1000})
				do(grid.Op{Kind: grid.Remove, Key: key(entries + rng.IntN(entries))})
			}
			if i == 10 && expired() == 0 {
				t.Errorf("limit %d: nothing is left after %d calls, so the test does not show when the last goes", o.Limit, i)
			}
		}
		if n := expired(); n > 0 {
			t.Errorf("limit %d: %d of %d expired entries are still there after %d calls", o.Limit, n, before, SweepRound)
		}
		verify(t, s)
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

// TestSweepOfThePast has a sweep leave what dies after the moment that it is told, so that requests find and count it.
func TestSweepOfThePast(t *testing.T) {
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
	put := func(key string, ttl int64) { do(grid.Op{Kind: grid.Put, Key: []byte(key), TTL: ttl}) }
	stats := func(removed int, want grid.Stats) {
		t.Helper()
		got := 0
		for range SweepRound {
			got += s.Sweep(grid.Time{Wall: now - 1000}, 1000)
		}
		var st grid.Stats
		s.Stats(&st, grid.Time{Wall: now})
		if got != removed || st.Entries != want.Entries || st.GetExpired != want.GetExpired || st.GetFlushed != want.GetFlushed {
			t.Errorf("at %d: got %d removed, %d entries, %d expired, %d flushed, want %d, %d, %d, %d", now, got, st.Entries, st.GetExpired,
				st.GetFlushed, removed, want.Entries, want.GetExpired, want.GetFlushed)
		}
	}
	get := func(key string) { do(grid.Op{Kind: grid.Get, Key: []byte(key)}) }
	for _, key := range []string{"a", "b", "c"} {
		put(key, 1000)
	}
	now += 1999
	stats(0, grid.Stats{Entries: 3})
	get("a")
	stats(0, grid.Stats{Entries: 2, GetExpired: 1})
	now++
	stats(2, grid.Stats{GetExpired: 1})

	put("a", 0)
	put("b", 0)
	s.Flush(0, grid.Ticket{Now: grid.Time{Wall: now}})
	put("c", 0)
	now += 999
	stats(0, grid.Stats{Entries: 3, GetExpired: 1})
	get("a")
	stats(0, grid.Stats{Entries: 2, GetExpired: 1, GetFlushed: 1})
	s.Flush(0, grid.Ticket{Now: grid.Time{Wall: now}}) // the second flush bounds how long the first's are left
	stats(1, grid.Stats{Entries: 1, GetExpired: 1, GetFlushed: 1})
	now += 1000
	stats(1, grid.Stats{GetExpired: 1, GetFlushed: 1})
}
