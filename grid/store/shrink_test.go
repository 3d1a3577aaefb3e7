package store

import (
	"encoding/binary"
	"fmt"
	"sync"
	"testing"

	"github.com/latticed/latticed/grid"
)

func key64(n int) []byte { return binary.LittleEndian.AppendUint64(nil, uint64(n)) }

func (s *Store) pages() (n int) {
	for i := range s.shards {
		n += len(*s.shards[i].index.table.Load())
	}
	return n
}

// TestIndexShrinks has most entries go in all the ways there are: the memory of the index comes back with Sweep, and what
// is left is found.
func TestIndexShrinks(t *testing.T) {
	const entries, left = 200_000, 2000
	for name, empty := range map[string]func(s *Store, b *grid.Batch){
		"removed": func(s *Store, b *grid.Batch) {
			for n := left; n < entries; n++ {
				b.Reset()
				*b.Add() = grid.Op{Kind: grid.Remove, Key: key64(n)}
				s.Do(b)
			}
		},
		"expired": func(s *Store, b *grid.Batch) { b.Now.Wall += 1000 },
		"flushed": func(s *Store, b *grid.Batch) {
			s.Flush(0, grid.Ticket{Now: b.Now})
			for n := range left {
				if put(s, b, n, 10) != grid.OK {
					t.Fatal("put failed")
				}
			}
		},
		"evicted": func(s *Store, b *grid.Batch) {
			for n := range 5000 {
				if put(s, b, n%500, 100_000) != grid.OK {
					t.Fatal("put failed")
				}
			}
			for n := range left {
				if put(s, b, n, 10) != grid.OK {
					t.Fatal("put failed")
				}
			}
		},
	} {
		s, err := New(Options{Limit: 32 << 20})
		if err != nil {
			t.Fatal(err)
		}
		b := grid.NewBatch(0)
		b.Now.Wall = 1_700_000_000_000
		for n := range entries {
			wall := b.Now.Wall
			b.Reset()
			b.Now.Wall = wall
			op := grid.Op{Kind: grid.Put, Key: key64(n)}
			if n >= left {
				op.TTL = 1000
			}
			*b.Add() = op
			s.Do(b)
		}
		before, memory := s.pages(), s.a.memory()
		wall := b.Now.Wall
		empty(s, b)
		if wall = max(wall, b.Now.Wall); name == "expired" {
			wall += 1000
		}
		for range 200 {
			s.Sweep(grid.Time{Wall: wall}, 8192)
		}
		verify(t, s)
		if n := s.pages(); n > 2*s.count()/(pageShare*bucketLen)+2*len(s.shards) {
			t.Errorf("%s: the index has %d pages left of %d, for %d entries", name, n, before, s.count())
		}
		if name != "evicted" {
			if m := s.a.memory(); m > memory/4 {
				t.Errorf("%s: %d bytes of %d are still taken", name, m, memory)
			}
		} else if n, entries := len(s.shards[0].ghost.buckets), s.shards[0].index.count; n > 4*ghostLen(entries) {
			t.Errorf("%s: ghosts of %d entries are kept beside %d", name, 4*n, entries)
		}
		there := 0
		for n := range left {
			b.Reset()
			b.Now.Wall = wall
			*b.Add() = grid.Op{Kind: grid.Get, Key: key64(n)}
			if s.Do(b); b.Res[0].Code == grid.OK {
				there++
			}
		}
		if there != left {
			t.Errorf("%s: %d entries are found, want %d", name, there, left)
		}
		if name == "evicted" {
			continue
		}
		for n := range entries { // and grows again
			b.Reset()
			b.Now.Wall = wall
			*b.Add() = grid.Op{Kind: grid.Put, Key: key64(n)}
			if s.Do(b); b.Res[0].Code != grid.OK {
				t.Fatalf("%s: put failed", name)
			}
		}
		verify(t, s)
		if got := s.count(); got != entries {
			t.Errorf("%s: filled again: got %d entries, want %d", name, got, entries)
		}
	}
}

func (s *Store) count() (n int) {
	for i := range s.shards {
		n += s.shards[i].index.count
	}
	return n
}

// TestScanWhileShrinking goes through entries while the index shrinks, and grows, between any two pages: what is there
// throughout comes exactly once.
func TestScanWhileShrinking(t *testing.T) {
	const entries, kept = 60_000, 3000
	s, err := New(Options{Limit: 64 << 20, Segments: 4})
	if err != nil {
		t.Fatal(err)
	}
	b := grid.NewBatch(0)
	for n := range entries {
		put(s, b, n, 0)
	}
	for n := kept; n < entries; n++ {
		b.Reset()
		*b.Add() = grid.Op{Kind: grid.Remove, Key: key64(n)}
		s.Do(b)
	}
	seen := map[string]int{}
	p := grid.Page{Entries: make([]grid.Entry, 0, 5), Mem: make([]byte, 0, 100)}
	before := s.pages()
	least, turns, added := before, 0, 0
	for more, growing := true, false; more; {
		more = s.Scan(&p, grid.Time{})
		for _, e := range p.Entries {
			seen[string(e.Key)]++
		}
		was := s.pages()
		if growing {
			for range 300 {
				added++
				put(s, b, entries+added, 0)
			}
			if added%15_000 == 0 {
				growing = false
				turns++
				for n := entries + 1; n <= entries+added; n++ {
					b.Reset()
					*b.Add() = grid.Op{Kind: grid.Remove, Key: key64(n)}
					s.Do(b)
				}
			}
		} else {
			s.Sweep(grid.Time{}, 200)
			growing = s.pages() == was && s.pages() < before/8 && turns < 5
			least = min(least, s.pages())
		}
	}
	for n := range kept {
		if got := seen[string(key64(n))]; got != 1 {
			t.Errorf("entry %d came %d times", n, got)
		}
	}
	for key, n := range seen {
		if n > 1 {
			t.Errorf("%x came %d times", key, n)
		}
	}
	if least > before/8 || turns < 2 {
		t.Errorf("the index went from %d pages to %d, and grew again %d times, so little was tested", before, least, turns)
	}
	verify(t, s)
}

// TestLookWhileShrinking looks up batches, which is done partly without a lock, while the index shrinks and grows and its
// pages are used for other things.
func TestLookWhileShrinking(t *testing.T) {
	const kept = 1000
	s, err := New(Options{Limit: 16 << 20, Segments: 2})
	if err != nil {
		t.Fatal(err)
	}
	b := grid.NewBatch(0)
	for n := range kept {
		put(s, b, n, 8)
	}
	var all sync.WaitGroup
	stop := make(chan struct{})
	for w := range 2 {
		all.Go(func() {
			b := grid.NewBatch(1 << 16)
			for n := w; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				b.Reset()
				for i := range 32 {
					*b.Add() = grid.Op{Kind: grid.Get, Ask: grid.WantValue, Key: key64((n*32 + i) % kept)}
				}
				s.Do(b)
				for i := range b.Res[:len(b.Ops)] {
					if r := &b.Res[i]; r.Code != grid.OK || string(r.Value) != string(make([]byte, 8)) {
						t.Errorf("get: got code %d, %x", r.Code, r.Value)
						return
					}
				}
			}
		})
	}
	for round := range 4 {
		for n := kept; n < 40_000; n++ {
			put(s, b, n, 0)
		}
		most := s.pages()
		for n := kept; n < 40_000; n++ {
			b.Reset()
			*b.Add() = grid.Op{Kind: grid.Remove, Key: key64(n)}
			s.Do(b)
		}
		for range 20 {
			s.Sweep(grid.Time{}, 4096)
			large := fmt.Append(nil, "large", round)
			op := grid.Op{Kind: grid.Put, Key: large}
			slot, _ := s.Reserve(&op, 400_000, grid.Ticket{})
			for len(slot.Window()) > 0 {
				w := slot.Window()
				for i := range w {
					w[i] = 0xff
				}
				slot.Wrote(len(w))
			}
			slot.Abort()
		}
		if n := s.pages(); n > most/4 {
			t.Errorf("round %d: the index has %d pages of %d", round, n, most)
		}
	}
	close(stop)
	all.Wait()
	verify(t, s)
}
