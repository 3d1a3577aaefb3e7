package store

import (
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"math/bits"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/latticed/latticed/grid"
)

// Options shape a Store.
type Options struct {
	Limit     uint64 // bytes of memory to take: log segments and what is known about them; 0 for as much as can be addressed
	MaxValue  int    // longest value; 0 for no bound
	NoEvict   bool   // at the limit stores are Full instead of evicting
	MaxPinned uint64 // bytes reserved or gone but still being read, then Reserve is Busy; 0 for a quarter of Limit

	// Segments is how many grid segments there are, from 1 to 32768; 0 for 256. Segment gives a key's, by a hash that
	// clients know; nil for one of the store's own. A grid segment lies in one shard.
	Segments int
	Segment  func(key []byte) uint16

	// Heap puts the arena on Go's heap, where the race detector watches it. For tests.
	Heap bool
}

const (
	maxShardBits = 6
	maxShards    = 1 << maxShardBits

	// Bytes of address space: 512 GiB (what a slot can address is 64 TiB), or 1.75 GiB of the 4 that a 32-bit process has.
	maxReserve = 7<<28 + (512<<30-7<<28)*(bits.UintSize/64)
)

// Store is the entries of one node: grid.Caches (caches.go). The Store itself is its default cache.
type Store struct {
	*cache
	roster    atomic.Pointer[roster]
	many      atomic.Bool // there are other caches than the default one
	maxPinned atomic.Int64
	pinnedSet bool          // maxPinned does not follow the limit
	limit     atomic.Uint64 // as it was asked for
	maxShards int           // of the default cache, which has the most

	mu     sync.Mutex // guards changes of roster; taken first
	razing razing

	_ [64]byte // what is above is read by every op, what is below written by many

	held    atomic.Int64  // reserved and pinned of all caches
	rings   atomic.Int64  // bytes of events
	sweepAt atomic.Uint32 // the shard Sweep goes on with
	sweeps  sweeps
	roomAt  atomic.Uint32 // the shard makeRoom goes on with
	turn    turn
}

// cache is one named cache.
type cache struct {
	s         *Store
	a         *arena
	maxValue  int
	noEvict   bool
	bounds    bounds
	ttl, idle atomic.Int64 // of entries that come without; 0 for none
	seed      maphash.Seed
	segments  uint64
	segment   func(key []byte) uint16

	epoch     atomic.Uint32 // number of flushes; what is in a segment of an earlier one is dead
	flushedAt atomic.Int64  // when the last of them was
	before    atomic.Int64  // an entry last used before this moment is dead
	late      atomic.Uint32 // how often before was moved
	flushAt   atomic.Int64  // the moment a flush waits for; 0 for none
	flushing  sync.Mutex    // guards changes of the five above
	closed    atomic.Bool   // removed; set before the shards are

	events    atomic.Pointer[events] // nil: nobody listens
	listening sync.Mutex             // guards changes of events

	_ [64]byte // what is above is read by every op, what is below written by many

	reserved  atomic.Int64 // charges of reservations
	pinned    atomic.Int64 // bytes of runs that are gone but still being read
	busy      atomic.Uint64
	roomAt    atomic.Uint32 // the shard nextShard goes on with
	shards    []shard
	shardMask uint64
}

// New returns an empty Store. An error says that there is no memory for it.
func New(o Options) (*Store, error) {
	limit := o.Limit
	switch {
	case limit == 0 && (o.Heap || !lazyMemory || bits.UintSize == 32):
		limit = 64 << 20
	case limit == 0:
		limit = maxReserve / 8
	}
	limit = min(limit, maxReserve/2)
	shards, shift := shape(int(limit), runtime.GOMAXPROCS(0))
	if o.Limit == 0 {
		shift = min(shift, 17)
	}
	segments := o.Segments
	if segments == 0 {
		segments = 256
	}
	for shards > segments {
		shards /= 2
	}
	a, err := newArena(limit, shift, o.Heap)
	if err != nil {
		return nil, err
	}
	maxValue := o.MaxValue
	if maxValue == 0 {
		maxValue = math.MaxInt
	}
	s := &Store{pinnedSet: o.MaxPinned != 0, maxShards: shards}
	s.limit.Store(limit)
	s.setPinned(limit)
	if s.pinnedSet {
		s.maxPinned.Store(int64(min(o.MaxPinned, math.MaxInt64)))
	}
	s.cache = &cache{
		s: s, a: a, maxValue: maxValue, noEvict: o.NoEvict, seed: maphash.MakeSeed(), segments: uint64(segments), segment: o.Segment,
	}
	if !s.init(shards) {
		if s.Refused() > 0 {
			return nil, errors.New("grid/store: the system refuses memory; lower the memory limit, or let the system give more")
		}
		return nil, fmt.Errorf("grid/store: a limit of %d bytes is too low", limit)
	}
	s.enlist(map[string]*cache{defaultName: s.cache})
	return s, nil
}

// init makes the shards of a cache. False: there is no memory for their indexes.
func (c *cache) init(shards int) bool {
	c.shards, c.shardMask = make([]shard, shards), uint64(shards-1)
	c.s.razing.mu.Lock()
	versions := c.s.razing.versions / uint64(shards) * uint64(shards)
	c.s.razing.mu.Unlock()
	if versions > 0 {
		versions += uint64(shards)
	}
	for i := range c.shards {
		sh := &c.shards[i]
		sh.c = c
		sh.versions = versions + uint64(i) // a version of a removed cache of the same name is none of its
		sh.keyOf = sh.keyAt
		sh.bounded = c.bounds.set
		sh.dues.expires = math.MaxInt64
		if !sh.index.init(c.a, sh.hashAt) {
			return false
		}
	}
	return true
}

func (s *Store) setPinned(limit uint64) {
	if !s.pinnedSet {
		s.maxPinned.Store(int64(limit / 4))
	}
}

// hash is keyed and keyed anew in every process, so nobody can choose keys that fall together. It is the runtime's own,
// not xxhash: with a secret seed XXH64 still has collisions that do not depend on it (two changes in one lane that
// cancel out whatever the state is, with probability 1/2), for keys of 64 bytes and more; a client could fill one bucket
// with them.
func (c *cache) hash(key []byte) uint64 { return maphash.Bytes(c.seed, key) }

// segmentOf is the grid segment of a key.
func (c *cache) segmentOf(hash uint64, key []byte) uint64 {
	if c.segment != nil {
		return uint64(c.segment(key))
	}
	return hash >> 48 * c.segments >> 16
}

func (c *cache) shard(segment uint64) *shard { return &c.shards[segment&c.shardMask] }

func (c *cache) nextShard() *shard { return &c.shards[uint64(c.roomAt.Add(1))&c.shardMask] }

// hashAt is the hash of the key of the entry at off.
func (sh *shard) hashAt(off uint64) uint64 {
	return sh.c.hash(sh.keyAt(off))
}

// Do implements grid.Cache.
func (c *cache) Do(b *grid.Batch) (n int) {
	b.Mem = b.Mem[:0]
	c.tick(b.Now.Wall)
	for i := range b.Ops {
		op := &b.Ops[i]
		op.Hash = c.hash(op.Key)
		op.Segment = uint16(c.segmentOf(op.Hash, op.Key))
	}
	if len(b.Ops) > 1 && !c.a.heap {
		c.touch(b.Ops)
	}
	k := call{c: c, a: c.a, b: b, now: b.Now.Wall}
	for n < len(b.Ops) {
		r := &b.Res[n]
		*r = grid.Result{}
		k.do(&b.Ops[n], r)
		n++
		if r.Body != nil || len(r.Value) > 0 && len(b.Mem) >= b.Room {
			clear(b.Res[n:len(b.Ops)])
			break
		}
	}
	return n
}

// touch loads what the lookups of ops will need, for all of them side by side, so that the processor waits for memory
// once and not once per op: the buckets, then what is known about each entry's segment and the entry's lines. It takes no
// lock (a lock would put the loads in order again), so what it sees is a hint, which nothing depends on; whatever a slot
// says lies in the arena. What goes far is loaded by loops of their own, which are short: a processor looks only some
// hundred instructions ahead of the first load that is not there yet.
func (c *cache) touch(ops []grid.Op) {
	var at [grid.MaxBatch]unsafe.Pointer
	for i := range ops {
		at[i] = c.bucketOf(&ops[i], 0)
	}
	sum := load(at[:len(ops)], 0)
	var offsets [grid.MaxBatch]uint64
	var later [grid.MaxBatch]int // ops that are not in their first bucket, which is full
	entries, late := 0, 0
	end := c.a.ready.Load() - 64
	for i := range ops {
		off, full := (*bucket)(at[i]).peek(ops[i].Hash)
		switch {
		case off != 0 && off < end:
			offsets[entries] = off
			entries++
		case full:
			later[late] = i
			late++
		}
	}
	for n, i := range later[:late] {
		at[n] = c.bucketOf(&ops[i], 1)
	}
	sum += load(at[:late], 0)
	for n, i := range later[:late] {
		if off, _ := (*bucket)(at[n]).peek(ops[i].Hash); off != 0 && off < end {
			offsets[entries] = off
			entries++
		}
	}
	for i, off := range offsets[:entries] {
		at[i] = unsafe.Add(c.a.base, off)
	}
	sum += load(at[:entries], 0)
	sum += load(at[:entries], 64)
	for i, off := range offsets[:entries] {
		at[i] = unsafe.Pointer(c.a.seg(off))
	}
	sum += load(at[:entries], 0)
	long := 0
	for _, off := range offsets[:entries] { // what follows of a value that is not small
		until := min(end, off+headerSize+uint64(c.a.u32(off)&sizeMask))
		for p := off + 128; p < until && p < off+512 && long < len(at); p += 64 {
			at[long] = unsafe.Add(c.a.base, p)
			long++
		}
	}
	if sum += load(at[:long], 0); sum > 1<<20 {
		panic("BUG: bytes above 255") // it cannot be, but so the compiler keeps the loads
	}
}

// bucketOf returns the bucket that op's entry lies in, or the one that many behind it. It may be out of date.
func (c *cache) bucketOf(op *grid.Op, behind uint32) unsafe.Pointer {
	x := &c.shard(uint64(op.Segment)).index
	s := x.state.Load()
	l := layout{uint32(s >> 56), uint32(s >> 48 & 0xff), uint32(s)}
	g := l.group(op.Hash)
	t := *x.table.Load()
	j := g.home + behind
	if j >= g.len {
		j -= g.len
	}
	n := g.first + g.stride*j
	if int(n/pageShare) >= len(t) { // the layout is of after the table grew
		n = 0
	}
	return unsafe.Pointer(c.a.bucket(t[n/pageShare], n))
}

// peek looks for hash's tag in a bucket that others may be writing to.
func (b *bucket) peek(hash uint64) (off uint64, full bool) {
	full = true
	for j := range b {
		s := atomic.LoadUint64(&b[j])
		if s>>tagShift == hash&0xffff && s != 0 {
			return s & offsetMask, full
		}
		full = full && s != 0
	}
	return 0, full
}

// load loads the lines at those addresses.
func load(at []unsafe.Pointer, plus int) (sum int) {
	for _, p := range at {
		sum += int(*(*byte)(unsafe.Add(p, plus)))
	}
	return sum
}
