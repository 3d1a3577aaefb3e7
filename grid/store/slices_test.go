package store

import (
	"encoding/binary"
	"testing"

	"github.com/latticed/latticed/grid"
)

// counted is a store and how many entries its ops evicted.
type counted struct {
	s                *Store
	b                *grid.Batch
	evicted          uint64
	worst, overSlice uint64 // the most that one op did, and how many ops evicted more than payMost
}

func (c *counted) put(n int, size int) {
	c.b.Reset()
	*c.b.Add() = grid.Op{Kind: grid.Put, Key: binary.LittleEndian.AppendUint64(nil, uint64(n)), Value: make([]byte, size)}
	c.s.Do(c.b)
	before := c.evicted
	c.evicted = 0
	for i := range c.s.shards {
		for k := range c.s.shards[i].classes {
			c.evicted += c.s.shards[i].classes[k].Evicted
		}
	}
	n64 := c.evicted - before
	c.worst = max(c.worst, n64)
	if n64 > payMost {
		c.overSlice++
	}
}

// TestPaysInSlices fills a store with tiny entries, where the index has a good part of the memory, far beyond the limit:
// ops evict some entries each, not many once in a while.
func TestPaysInSlices(t *testing.T) {
	s, err := New(Options{Limit: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	c := counted{s: s, b: grid.NewBatch(0)}
	for i := range 300_000 {
		c.put(i, 0)
	}
	if c.evicted < 100_000 || c.overSlice > 20 {
		t.Errorf("%d entries were evicted; %d ops evicted more than %d at once, want at most 20", c.evicted, c.overSlice, payMost)
	}
}

// TestLowerLimitInSlices stores while a much lower limit is not reached yet: no op does what Sweep is there for.
func TestLowerLimitInSlices(t *testing.T) {
	const limit = 16 << 20
	s, err := New(Options{Limit: limit})
	if err != nil {
		t.Fatal(err)
	}
	c := counted{s: s, b: grid.NewBatch(0)}
	for i := range 100_000 {
		c.put(i, 150)
	}
	if !s.SetLimit(limit / 8) {
		t.Fatal("SetLimit: got false")
	}
	memory := s.a.memory()
	for i := range 40_000 {
		c.put(1<<30+i, 150)
		if m, moving := s.a.memory(), uint64(s.a.hard()*(s.a.segSize()+infoSize)); m > max(memory+moving, limit/8) {
			t.Fatalf("got %d bytes after %d", m, memory)
		}
		if i%1000 == 0 {
			s.Sweep(grid.Time{}, 100)
			memory = s.a.memory()
		}
	}
	if m := s.a.memory(); m > limit/8 {
		t.Errorf("got %d bytes taken, want at most %d", m, limit/8)
	}
	if c.worst > forceMost {
		t.Errorf("an op evicted %d entries", c.worst)
	}
	verify(t, s)
}
