package store_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/grid/store"
)

// TestSegmentsChurn scans and clears grid segments while the index grows and shrinks by others' doing, in memory that the race
// detector watches: what stays is brought exactly once, and is there in the end.
func TestSegmentsChurn(t *testing.T) {
	const segments, stay, churn = 8, 2000, 12_000
	s := newStore(t, store.Options{Limit: 32 << 20, Heap: true, Segments: segments})
	put := func(b *grid.Batch, kind grid.Kind, prefix string, from, n int) {
		for i := from; i < from+n; {
			b.Reset()
			for ; i < from+n; i++ {
				op := b.Add()
				if op == nil {
					break
				}
				*op = grid.Op{Kind: kind, Key: fmt.Append(nil, prefix, i)}
			}
			s.Do(b)
		}
	}
	put(grid.NewBatch(0), grid.Put, "stay", 0, stay)
	var done atomic.Bool
	var all sync.WaitGroup
	for w := range 2 {
		all.Go(func() {
			b := grid.NewBatch(0)
			for !done.Load() {
				put(b, grid.Put, "churn", w*churn, churn)
				put(b, grid.Remove, "churn", w*churn, churn)
				s.Sweep(grid.Time{}, 1<<14)
			}
		})
	}
	for range 3 {
		seen := map[string]int{}
		for segment := range segments {
			p := grid.Page{Segment: segment + 1, Entries: make([]grid.Entry, 0, 40), Mem: make([]byte, 0, 400)}
			for more := true; more; {
				more = s.Scan(&p, grid.Time{})
				for _, e := range p.Entries {
					seen[string(e.Key)]++
				}
			}
		}
		for i := range stay {
			if n := seen[fmt.Sprint("stay", i)]; n != 1 {
				t.Errorf("stay%d was brought %d times, want once", i, n)
			}
		}
	}
	const cleared = 5
	p := grid.Page{Segment: cleared + 1}
	for s.Clear(&p, grid.Time{}, true) {
	}
	done.Store(true)
	all.Wait()
	b := grid.NewBatch(0)
	gone := 0
	for i := range stay {
		b.Reset()
		*b.Add() = grid.Op{Kind: grid.Get, Key: fmt.Append(nil, "stay", i)}
		s.Do(b)
		want := grid.OK
		if b.Ops[0].Segment == cleared {
			want = grid.Missing
			gone++
		}
		if b.Res[0].Code != want {
			t.Errorf("stay%d of segment %d: got code %d, want %d", i, b.Ops[0].Segment, b.Res[0].Code, want)
		}
	}
	if p.Count < uint64(gone) || gone == 0 {
		t.Errorf("Clear: got %d removed, want at least the %d that stayed", p.Count, gone)
	}
}
