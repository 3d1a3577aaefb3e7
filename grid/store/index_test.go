package store

import (
	"math/rand/v2"
	"slices"
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
	x.insert(hash, uint64(n)&3, x.base+uint64(n))
	return n
}

// check holds the index to its shape: every entry of there is found, and lies where whoever looks for it stops; nothing
// else is in it; and it has as many pages as its buckets need, all others were given back.
func (x *plainIndex) check(t testing.TB, there []int) {
	t.Helper()
	for _, n := range there {
		slot := x.seek(x.hashes[n], func(off uint64) bool { return off == x.base+uint64(n) })
		if slot == nil || *slot>>freqShift&3 != uint64(n)&3 {
			t.Fatalf("%d entries, %d buckets: one is not found, or has another frequency", x.count, x.buckets())
		}
	}
	slots := 0
	count := func(slot uint64) {
		if slot != 0 {
			slots++
		}
	}
	for n := range uint32(x.buckets()) {
		for _, slot := range x.bucket(n) {
			count(slot)
		}
	}
	x.spill.each(count)
	if slots != len(there) || x.count != len(there) {
		t.Fatalf("%d entries: %d slots, counted as %d", len(there), slots, x.count)
	}
	listed := 0
	for group, first := range x.spill.lists {
		for n := first; n != 0; n = x.spill.all[n].next {
			listed++
			g := x.group(x.spill.all[n].hash)
			if int(g.first) != group {
				t.Fatalf("an entry of group %d is in the list of %d", g.first, group)
			}
			for j := range g.len {
				if slices.Contains(x.at(&g, j)[:], 0) {
					t.Fatalf("an entry of group %d is in its list, but the group has room", group)
				}
			}
		}
	}
	if listed != x.spill.count {
		t.Fatalf("%d entries are in lists, counted as %d", listed, x.spill.count)
	}
	table := *x.table.Load()
	if want := (x.buckets() + pageShare - 1) / pageShare; len(table) != want {
		t.Fatalf("%d buckets have %d pages, want %d", x.buckets(), len(table), want)
	}
	taken := x.a.used*x.a.pages.per - x.a.pages.free
	if taken != len(table) {
		t.Fatalf("%d pages are taken, the index has %d", taken, len(table))
	}
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

// A FuzzIndex input is a list of bytes: what to do, and how often. Entries are added and removed, buckets added and taken
// away, also such that are needed, so that groups come to be full; then everything must be where it is looked for.
func FuzzIndex(f *testing.F) {
	f.Add(uint64(1), []byte{0, 255, 0, 255, 1, 255, 2, 255, 0, 9, 1, 255, 2, 255})
	f.Add(uint64(2), []byte{0, 255, 0, 255, 0, 255, 4, 200, 1, 200, 2, 255, 3, 40, 0, 255, 2, 255})
	f.Add(uint64(3), []byte{3, 255, 0, 255, 4, 255, 0, 255, 5, 100, 2, 255, 1, 255, 2, 255, 3, 3})
	f.Add(uint64(4), []byte{0, 255, 0, 255, 0, 255, 0, 255, 0, 255, 0, 255, 1, 255, 1, 255, 1, 255, 2, 255, 2, 255, 0, 255, 5, 255, 1, 255, 2, 255})
	f.Add(uint64(8), []byte{0, 255, 0, 255, 0, 255, 3, 20, 1, 200, 2, 255, 4, 255, 2, 255, 1, 100, 0, 200, 2, 255})
	f.Fuzz(func(t *testing.T, seed uint64, ops []byte) {
		x := newPlainIndex(t, 8<<20)
		rng := rand.New(rand.NewPCG(seed, 1))
		var there []int
		// of the bits that choose the group, few differ in some inputs: groups are then as unlike as they never are
		alike := uint64(0)
		if seed%8 == 0 {
			alike = 0x3f0 << 16
		}
		remove := func() {
			if len(there) == 0 {
				return
			}
			i := rng.IntN(len(there))
			n := there[i]
			there[i] = there[len(there)-1]
			there = there[:len(there)-1]
			x.remove(x.hashes[n], x.base+uint64(n))
		}
		for ; len(ops) >= 2 && len(x.hashes) < 100_000; ops = ops[2:] {
			for range 8 * int(ops[1]) {
				switch ops[0] % 6 {
				case 0:
					there = append(there, x.add(t, rng.Uint64()&^alike))
				case 1:
					remove()
				case 2:
					x.shrink()
				case 3:
					if !x.grow() {
						t.Fatal("no memory")
					}
				case 4: // without a look at how full it is
					if len(there) < 8*bucketLen*x.buckets() {
						x.hashes = append(x.hashes, rng.Uint64()&^alike)
						n := len(x.hashes) - 1
						x.insert(x.hashes[n], uint64(n)&3, x.base+uint64(n))
						there = append(there, n)
					}
				case 5:
					remove()
					there = append(there, x.add(t, rng.Uint64()&^alike))
				}
			}
			x.check(t, there)
		}
		for x.shrink() {
		}
		x.check(t, there)
		for len(there) > 0 {
			remove()
			x.shrink()
		}
		x.check(t, nil)
		if x.layout != (layout{0, groupLen, 0}) {
			t.Errorf("empty: got %d buckets, want %d", x.buckets(), groupLen)
		}
	})
}
