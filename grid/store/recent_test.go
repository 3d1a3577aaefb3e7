package store_test

import (
	"fmt"
	"testing"

	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/grid/store"
)

// TestRecentStoresStay stores large values, and small ones between them, at limits that hold few of them: what was stored
// last, and shortly before, is not what eviction takes.
func TestRecentStoresStay(t *testing.T) {
	const size = 560_000
	b := grid.NewBatch(1 << 20)
	for _, limit := range []int{8 << 20, 18 << 20, 30 << 20, 64 << 20, 256 << 20} {
		s := newStore(t, store.Options{Limit: uint64(limit)})
		do := func(op grid.Op) grid.Code {
			b.Reset()
			*b.Add() = op
			s.Do(b)
			if b.Res[0].Body != nil {
				b.Res[0].Body.Close()
			}
			return b.Res[0].Code
		}
		large := func(i int) []byte { return fmt.Appendf(nil, "large %d", i) }
		for i := range 4 * limit / size {
			op := grid.Op{Kind: grid.Put, Key: large(i)}
			slot, code := s.Reserve(&op, size, grid.Ticket{})
			if code != grid.OK {
				t.Fatalf("limit %d: Reserve %d: code %d", limit, i, code)
			}
			for w := slot.Window(); len(w) > 0; w = slot.Window() {
				slot.Wrote(len(w))
			}
			op.Body = slot
			small := fmt.Appendf(nil, "small %d", i)
			if do(op) != grid.OK || do(grid.Op{Kind: grid.Put, Key: small, Value: make([]byte, 100)}) != grid.OK {
				t.Fatalf("limit %d: a store was refused", limit)
			}
			if do(grid.Op{Kind: grid.Get, Key: small, Ask: grid.NoBump}) != grid.OK {
				t.Errorf("limit %d: %q is gone at once", limit, small)
			}
			for age := range min(2, i) {
				if do(grid.Op{Kind: grid.Get, Key: large(i - age), Ask: grid.NoBump}) != grid.OK {
					t.Errorf("limit %d: %q is gone after %d others", limit, large(i-age), age)
				}
			}
		}
	}
}
