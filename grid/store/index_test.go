package store

import (
	"math/rand/v2"
	"testing"
)

// plainIndex is an index of entries that are nothing but a hash: entry n, from 1, is at base+n.
type plainIndex struct {
	index
	base   uint64
	hashes []uint64
}

func newPlainIndex(t testing.TB, limit uint64) *plainIndex {
	t.Helper()
	a, err := newArena(limit, maxSegShift, false)
	if err != nil {
		t.Fatal(err)
	}
	x := &plainIndex{base: uint64(a.first) << a.shift, hashes: make([]uint64, 1)}
	if err := a.commit(x.base + limit); err != nil { // grow reads some of what an entry has at its place
		t.Fatal(err)
	}
	if !x.init(a, func(off uint64) uint64 { return x.hashes[off-x.base] }) {
		t.Fatal("no memory")
	}
	return x
}

func (x *plainIndex) add(t testing.TB, hash uint64) (n int) {
	t.Helper()
	if !x.room() {
		t.Fatal("no memory")
	}
	n = len(x.hashes)
	x.hashes = append(x.hashes, hash)
	x.insert(hash, 0, x.base+uint64(n))
	return n
}

func (x *plainIndex) longestList() (longest int) {
	for _, first := range x.spill.lists {
		length := 0
		for n := first; n != 0; n = x.spill.all[n].next {
			length++
		}
		longest = max(longest, length)
	}
	return longest
}

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
				t.Fatalf("with %d entries, %d spilled: an entry is not found", x.count, x.spill.count)
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
		spilled = max(spilled, x.spill.count)
		check()
	}
	if spilled == 0 {
		t.Error("no group was ever full, so little was tested")
	}
}

// TestSpillIsShort holds what finds its group full to what is said of spill: in an index that grows, and in a million groups
// of every length.
func TestSpillIsShort(t *testing.T) {
	const most, share = 64, 400
	for seed := range uint64(3) {
		x := newPlainIndex(t, 64<<20)
		rng := rand.New(rand.NewPCG(seed, 1))
		for n := 1; n <= 200_000; n++ {
			x.add(t, rng.Uint64())
			if n%1000 == 0 && (x.spill.count*share > max(n, 20_000) || x.longestList() > most) {
				t.Errorf("seed %d, %d entries: %d have no room in their group, %d of them in one", seed, n, x.spill.count, x.longestList())
			}
		}
	}
	const groups = 1 << 14
	longest, all, full := 0, 0, 0
	counts := make([]uint16, groups)
	rng := rand.New(rand.NewPCG(1, 1))
	for k := groupLen; k < 2*groupLen; k++ {
		for next := groups / 8; next <= groups; next += groups / 4 { // where the round of adding a bucket to each group is
			clear(counts)
			slots := (groups*k + next) * bucketLen
			for n := slots * loadNumerator / loadDenominator; n > 0; n -= 4 {
				for h := rng.Uint64(); h != 0; h >>= 16 {
					counts[h%groups]++
				}
			}
			over := 0
			for _, n := range counts[next:] { // those that have not got one yet
				over += max(0, int(n)-k*bucketLen)
				longest = max(longest, int(n)-k*bucketLen)
			}
			if next < groups && over > 0 {
				full++
			}
			if all += groups; over*share > slots {
				t.Errorf("%d of %d groups of %d buckets: %d entries of %d have no room", groups-next, groups, k, over, slots)
			}
		}
	}
	if longest > most || all < 1e6 || full < 30 {
		t.Errorf("the longest list of %d groups has %d entries, want at most %d; %d times there were some", all, longest, most, full)
	}
}
