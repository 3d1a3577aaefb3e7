package store

import (
	"math/rand/v2"
	"testing"
)

// TestIndex inserts and removes at random beside a map, with all groups as full as they get, and looks for everything
// that must be there.
func TestIndex(t *testing.T) {
	a, err := newArena(32<<20, maxSegShift, false)
	if err != nil {
		t.Fatal(err)
	}
	hashes := map[uint64]uint64{} // by offset
	var x index
	if !x.init(a, func(off uint64) uint64 { return hashes[off] }) {
		t.Fatal("no memory")
	}
	rng := rand.New(rand.NewPCG(1, 2))
	var there []uint64
	check := func() {
		t.Helper()
		for _, off := range there {
			if x.seek(hashes[off], func(o uint64) bool { return o == off }) == nil {
				t.Fatalf("with %d entries, %d spilled: an entry is not found", x.count, len(x.spill))
			}
		}
	}
	next := uint64(a.first+1) << a.shift
	spilled := 0
	for size := 1000; size <= 20_000; size += 1000 {
		for len(there) < size {
			off := next
			next++
			hashes[off] = rng.Uint64()
			if !x.room() {
				t.Fatal("no memory")
			}
			x.insert(hashes[off], 0, off)
			there = append(there, off)
		}
		for range size { // as many removed as inserted: the index does not grow
			i := rng.IntN(len(there))
			off := there[i]
			x.remove(hashes[off], off)
			there[i] = next
			hashes[next] = rng.Uint64()
			x.insert(hashes[next], 0, next)
			next++
		}
		spilled = max(spilled, len(x.spill))
		check()
	}
	if spilled == 0 {
		t.Error("no group was ever full, so little was tested")
	}
}
