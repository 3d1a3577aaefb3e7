package store

import (
	"slices"
	"sync/atomic"
	"unsafe"
)

// index finds entries by hash. It is an array of buckets of one cache line, 8 slots each, that grows by one bucket at a
// time and so never pauses, and shrinks likewise. A slot is
//
//	tag 16 | frequency 2 | offset of the entry 46
//
// and 0 when it is free. Plain linear hashing leaves half of the buckets twice as full as the others; this is Larson's
// variant with partial expansions, which keeps all nearly equally full. Buckets form groups of k, from groupLen to
// 2*groupLen-1: there are N = 1<<level groups, and group g has the buckets g, g+N, g+2N, ... A group's tags are spread
// over its buckets in order. Growing adds one bucket to the groups in turn, from group 0 to N-1 (next is the one whose
// turn it is), and redistributes that group by tags alone. When a group gets its 2*groupLen-th bucket it becomes two of
// groupLen, by one more bit of the hash: only then are keys read.
//
// Shrinking is the same backwards: the bucket that was added last goes, from its group, or when two groups become one.
// Which entries are before which in the order of a scan (position in admin.go) does not change either way.
//
// An entry whose bucket is full lies in the next one of its group that is not, and everything between is full; removing
// keeps it so by moving entries back. The few that find a whole group full are in the group's list in spill (spill.go).
//
// Of a hash, the low 16 bits are the tag, the 32 above choose the group, and the rest the grid segment.
//
// The shard's mutex guards it. table and state are atomic for cache.touch, which looks without the lock.
type index struct {
	a     *arena
	table atomic.Pointer[[]uint64]
	layout
	hash  func(off uint64) uint64 // of the key of the entry at off
	state atomic.Uint64           // level 8 | k 8 | next 32
	count int
	razed int // pages given back, of a removed cache
	spill spill
}

type layout struct {
	level, k, next uint32
}

const (
	bucketLen  = 8
	groupLen   = 16
	pageShare  = pageSize / 64 // buckets a page
	tagShift   = 48
	freqShift  = 46
	freqMask   = 3 << freqShift
	freqOne    = 1 << freqShift
	offsetMask = 1<<freqShift - 1

	// Buckets are added when this share of the slots is taken,
	loadNumerator, loadDenominator = 85, 100
	// and may go when it is this. It is so much less that an index does not grow and shrink by turns.
	idleNumerator, idleDenominator = 60, 100
)

type bucket [bucketLen]uint64

// free tells whether a slot is.
func (b *bucket) free() bool {
	free := false
	for _, s := range b {
		free = free || s == 0
	}
	return free
}

func slotOf(hash, freq, off uint64) uint64 { return hash<<tagShift | freq<<freqShift | off }

func (x *index) setLayout(l layout) {
	x.layout = l
	x.state.Store(uint64(l.level)<<56 | uint64(l.k)<<48 | uint64(l.next))
}

// init takes memory for the first group. False: there is none.
func (x *index) init(a *arena, hash func(off uint64) uint64) bool {
	x.a, x.hash = a, hash
	page := a.page()
	if page == 0 {
		return false
	}
	clear(a.bytes(page, pageSize))
	x.table.Store(&[]uint64{page})
	x.setLayout(layout{0, groupLen, 0})
	return true
}

// group is where a hash belongs: buckets first, first+stride, ... (len of them), beginning with number home.
type group struct{ first, stride, len, home uint32 }

func (l *layout) group(hash uint64) (g group) {
	h := uint32(hash >> 16)
	n := uint32(1) << l.level
	g = group{h & (n - 1), n, l.k, 0}
	if g.first < l.next {
		if l.k+1 == 2*groupLen {
			g = group{h & (2*n - 1), 2 * n, groupLen, 0}
		} else {
			g.len++
		}
	}
	g.home = g.homeOf(hash)
	return g
}

func (g *group) homeOf(hash uint64) uint32 { return uint32(hash&0xffff) * g.len >> 16 }

// slotHome is homeOf of an entry in slot.
func (g *group) slotHome(slot uint64) uint32 { return uint32(slot>>tagShift) * g.len >> 16 }

func (x *index) buckets() int {
	return int(x.k)<<x.level + int(x.next)
}

func (x *index) bucket(n uint32) *bucket {
	return x.a.bucket((*x.table.Load())[n/pageShare], n)
}

// bucket is number n, which lies in that page. The buckets of a group are a power of two apart and would all fall into
// the same sets of the processor's caches, so their order differs from page to page.
func (a *arena) bucket(page uint64, n uint32) *bucket {
	n ^= n / pageShare * 0x9e3779b1 >> 26
	return (*bucket)(unsafe.Add(a.base, page+uint64(n%pageShare)*64))
}

// at is the group's bucket number j.
func (x *index) at(g *group, j uint32) *bucket { return x.bucket(g.first + g.stride*j) }

// find returns the slot of the entry with that key, or nil. keyOf gives keys that are not short and beside their value.
func (x *index) find(hash uint64, key []byte, keyOf func(off uint64) []byte) *uint64 {
	g := x.group(hash)
	tag := hash & 0xffff
	for n, j := uint32(0), g.home; n < g.len; n++ {
		b := x.at(&g, j)
		for i, s := range b {
			if s>>tagShift == tag && s != 0 && x.a.holds(s&offsetMask, key, keyOf) {
				return &b[i]
			}
		}
		if b.free() {
			return nil
		}
		if j++; j == g.len {
			j = 0
		}
	}
	for n := x.spill.first(g.first); n != 0; {
		s := &x.spill.all[n]
		if s.hash == hash && x.a.holds(s.slot&offsetMask, key, keyOf) {
			return &s.slot
		}
		n = s.next
	}
	return nil
}

// seek goes through the slots with hash's tag until found says so, and returns that slot, or nil.
func (x *index) seek(hash uint64, found func(off uint64) bool) *uint64 {
	g := x.group(hash)
	tag := hash & 0xffff
	for n, j := uint32(0), g.home; n < g.len; n++ {
		b := x.at(&g, j)
		free := false
		for i := range b {
			s := b[i]
			if s>>tagShift == tag && s&offsetMask != 0 && found(s&offsetMask) {
				return &b[i]
			}
			free = free || s == 0
		}
		if free {
			return nil
		}
		if j++; j == g.len {
			j = 0
		}
	}
	for n := x.spill.first(g.first); n != 0; {
		s := &x.spill.all[n]
		if s.hash == hash && found(s.slot&offsetMask) {
			return &s.slot
		}
		n = s.next
	}
	return nil
}

// room makes sure that one more entry can be inserted. False: there is no memory for that.
func (x *index) room() bool {
	for (x.count+1)*loadDenominator > x.buckets()*bucketLen*loadNumerator {
		if !x.grow() {
			return false
		}
	}
	return true
}

func (x *index) insert(hash, freq, off uint64) {
	x.count++
	x.place(hash, slotOf(hash, freq, off))
}

// place puts slot into the group of hash, or its list if it is full.
func (x *index) place(hash, slot uint64) {
	g := x.group(hash)
	for n, j := uint32(0), g.home; n < g.len; n++ {
		b := x.at(&g, j)
		for i := range b {
			if b[i] == 0 {
				b[i] = slot
				return
			}
		}
		if j++; j == g.len {
			j = 0
		}
	}
	x.spill.put(g.first, hash, slot)
}

// remove frees the slot of the entry with that hash at off.
func (x *index) remove(hash, off uint64) {
	g := x.group(hash)
	tag := hash & 0xffff
	x.count--
	for n, j := uint32(0), g.home; n < g.len; n++ {
		b := x.at(&g, j)
		full, hole := true, -1
		for i := range b {
			if s := b[i]; s == 0 {
				full = false
			} else if s>>tagShift == tag && s&offsetMask == off {
				hole = i
			}
		}
		if hole >= 0 {
			b[hole] = 0
			if full {
				x.fill(&g, j, hole)
			}
			return
		}
		if !full {
			break
		}
		if j++; j == g.len {
			j = 0
		}
	}
	if !x.spill.remove(g.first, off) {
		panic("BUG: an entry is not in the index")
	}
}

// fill moves an entry that lies behind its home because bucket j was full into the slot that is free there now, and so
// on from the bucket it came from.
func (x *index) fill(g *group, j uint32, hole int) {
	to := x.at(g, j)
	from := j
	for range g.len - 1 {
		if from++; from == g.len {
			from = 0
		}
		b := x.at(g, from)
		full := true
		moved := -1
		for i := range b {
			s := b[i]
			if s == 0 {
				full = false
			} else if moved < 0 && (from+g.len-g.slotHome(s))%g.len >= (from+g.len-j)%g.len {
				moved = i
			}
		}
		if moved >= 0 {
			to[hole], b[moved] = b[moved], 0
			to, j, hole = b, from, moved
		}
		if !full {
			return
		}
	}
	if s, ok := x.spill.take(g.first); ok { // the whole group was full
		to[hole] = s.slot
	}
}

// grow adds a bucket. False: there is no memory for it.
func (x *index) grow() bool {
	n := x.buckets()
	if n == len(*x.table.Load())*pageShare {
		page := x.a.page()
		if page == 0 {
			return false
		}
		clear(x.a.bytes(page, pageSize))
		t := append(*x.table.Load(), page) // of its own: it goes to the heap, once a page and not once a bucket
		x.table.Store(&t)
	}
	l := x.layout
	old := group{l.next, 1 << l.level, l.k, 0}
	var slots [2 * groupLen * bucketLen]uint64
	all := x.empty(&old, slots[:0])
	splits := l.k+1 == 2*groupLen
	list := x.spill.cut(old.first)
	if l.next++; l.next == 1<<l.level {
		l.next = 0
		if l.k++; splits {
			l.level, l.k = l.level+1, groupLen
		}
	}
	x.setLayout(l)
	if splits {
		sum := byte(0)
		for _, s := range all { // side by side
			sum |= *(*byte)(unsafe.Add(x.a.base, s&offsetMask+headerSize))
		}
		if sum == 0 && len(all) > 1<<20 {
			panic("BUG: too many entries in a group") // it cannot be, but so the compiler keeps the loads
		}
		for _, s := range all {
			x.place(x.hash(s&offsetMask), s)
		}
	} else {
		x.spread(group{old.first, old.stride, old.len + 1, 0}, all)
	}
	x.replace(list)
	return true
}

// shrink takes a bucket away, and gives back the page that has none any more. False: the index is not larger than it has to
// be.
func (x *index) shrink() bool {
	l := x.layout
	if x.count*idleDenominator >= x.buckets()*bucketLen*idleNumerator || x.buckets() == groupLen {
		return false
	}
	if l.next == 0 {
		if l.k--; l.k < groupLen {
			l.level, l.k = l.level-1, 2*groupLen-1
		}
		l.next = 1 << l.level
	}
	l.next--
	whole := group{l.next, 1 << l.level, l.k + 1, 0} // or the two groups that become one
	var slots [2 * groupLen * bucketLen]uint64
	all := x.empty(&whole, slots[:0])
	list, other := x.spill.cut(whole.first), uint32(0)
	if whole.len == 2*groupLen {
		other = x.spill.cut(whole.first + whole.stride)
	}
	x.setLayout(l)
	whole.len--
	x.spread(whole, all)
	x.replace(list)
	x.replace(other)
	// For cache.touch nothing is freed: whatever is in the page later, or in the table, lies in the arena.
	if n := len(*x.table.Load()) - 1; x.buckets() <= n*pageShare {
		t := *x.table.Load()
		page := t[n]
		if t = t[:n:n]; n&(n-1) == 0 { // a smaller array each time that half has gone
			t = slices.Clone(t)
		}
		x.table.Store(&t)
		x.a.mu.Lock()
		x.a.uncarve(page, 1)
		x.a.mu.Unlock()
	}
	return true
}

// empty takes the slots out of a group's buckets, and appends them to all.
func (x *index) empty(g *group, all []uint64) []uint64 {
	for j := range g.len {
		b := x.at(g, j)
		for i := range b {
			if b[i] != 0 {
				all = append(all, b[i])
				b[i] = 0
			}
		}
	}
	return all
}

// replace has the entries of a list that was cut off find their places anew.
func (x *index) replace(list uint32) {
	for list != 0 {
		var s spilled
		s, list = x.spill.free(list)
		x.place(s.hash, s.slot)
	}
}

// spread puts slots into a group that is empty.
func (x *index) spread(g group, slots []uint64) {
	var buckets [2 * groupLen]*bucket
	var lens [2 * groupLen]uint8
	for j := range g.len {
		buckets[j] = x.at(&g, j)
	}
	for _, s := range slots {
		j := g.slotHome(s)
		tries := uint32(0)
		for ; lens[j] == bucketLen && tries < g.len; tries++ {
			if j++; j == g.len {
				j = 0
			}
		}
		if tries == g.len {
			x.spill.put(g.first, x.hash(s&offsetMask), s)
			continue
		}
		buckets[j][lens[j]] = s
		lens[j]++
	}
}

// each calls f with the slots of the group with that hash.
func (x *index) each(hash uint64, f func(slot uint64)) {
	g := x.group(hash)
	for j := range g.len {
		for _, s := range x.at(&g, j) {
			if s != 0 {
				f(s)
			}
		}
	}
	for n := x.spill.first(g.first); n != 0; n = x.spill.all[n].next {
		f(x.spill.all[n].slot)
	}
}
