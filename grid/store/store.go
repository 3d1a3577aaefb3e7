// Package store holds the entries of one node, on the Go heap. It is the first engine and its surface is small on
// purpose: what Store implements of package grid, New, and Sweep.
//
// Entries are spread over 64 shards by their hash. A shard is a mutex, an index (index.go), the records (record.go)
// and a queue per size class for eviction (evict.go). Small values are copied in and out under the mutex; large ones
// are runs of chunks that never change and are counted by reference (large.go), so they are read without it.
//
// All methods may be called from any goroutine; none blocks for longer than a bounded piece of work, except that room
// for one large value may cost the eviction of many small ones. There are no goroutines here: the daemon calls Sweep.
//
// Lock order: Store.flushing, then one shard. No shard is locked while another one is.
package store

import (
	"fmt"
	"hash/maphash"
	"math"
	"sync"
	"sync/atomic"

	"github.com/latticed/latticed/grid"
)

// Options bound a Store. The zero Options are unbounded, which is of use to tests only.
type Options struct {
	Limit     uint64 // bytes of all entries and reservations by grid.Charge; 0 for no bound
	MaxValue  int    // longest value; 0 for no bound
	NoEvict   bool   // at the limit stores are Full instead of evicting
	MaxPinned uint64 // bytes reserved or gone but still being read, then Reserve is Busy; 0 for a quarter of Limit
}

const (
	shardBits = 6
	numShards = 1 << shardBits
)

// Store is the entries of one cache: grid.Caches for the names "" and "default", with itself as grid.Cache and
// grid.Admin.
type Store struct {
	maxValue  int
	maxPinned int64
	noEvict   bool
	seed      maphash.Seed // random, so that nobody can choose keys that collide

	limit    atomic.Int64  // what the entries are to keep to
	ceiling  atomic.Int64  // what they keep to: above limit while SetLimit's excess is being evicted
	epoch    atomic.Uint32 // number of flushes; an entry of an earlier one is dead
	before   atomic.Int64  // an entry last used before this moment is dead
	flushAt  atomic.Int64  // the moment a flush waits for; 0 for none
	flushing sync.Mutex    // guards changes of the three above

	_ [64]byte // what is above is read by every op, what is below written by many

	used     atomic.Int64 // charges of all entries and reservations, and of ops on their way; at most ceiling
	reserved atomic.Int64 // of that, reservations
	pinned   atomic.Int64 // bytes of runs that are gone but still being read
	busy     atomic.Uint64
	room     atomic.Uint32 // the shard makeRoom goes on with
	sweepAt  atomic.Uint32 // the shard Sweep goes on with

	shards [numShards]shard
}

// New returns an empty Store.
func New(o Options) *Store {
	s := &Store{maxValue: o.MaxValue, noEvict: o.NoEvict, seed: maphash.MakeSeed()}
	if s.maxValue == 0 {
		s.maxValue = math.MaxInt
	}
	limit := clampLimit(o.Limit)
	s.limit.Store(limit)
	s.ceiling.Store(limit)
	s.maxPinned = clampLimit(o.MaxPinned)
	if o.MaxPinned == 0 {
		s.maxPinned = limit / 4
	}
	for i := range s.shards {
		s.shards[i].init(s, i)
	}
	return s
}

func clampLimit(n uint64) int64 {
	if n == 0 || n > math.MaxInt64/2 {
		return math.MaxInt64 / 2
	}
	return int64(n)
}

// Open returns the store itself. Names other than "" and "default" are errors.
func (s *Store) Open(name string, _ grid.Principal) (grid.Cache, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	return s, nil
}

// Admin returns the store itself. Names other than "" and "default" are errors.
func (s *Store) Admin(name string, _ grid.Principal) (grid.Admin, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	return s, nil
}

func checkName(name string) error {
	if name != "" && name != "default" {
		return fmt.Errorf("grid/store: open cache %q: no such cache", name)
	}
	return nil
}

func (s *Store) shard(hash uint64) *shard { return &s.shards[hash>>(64-shardBits)] }

// Do implements grid.Cache.
func (s *Store) Do(b *grid.Batch) (n int) {
	b.Mem = b.Mem[:0]
	clear(b.Res[:len(b.Ops)])
	s.tick(b.Now.Wall)
	for i := range b.Ops {
		b.Ops[i].Hash = maphash.Bytes(s.seed, b.Ops[i].Key)
	}
	if len(b.Ops) > 1 {
		s.touch(b.Ops)
	}
	c := call{s: s, b: b, now: b.Now.Wall}
	for n < len(b.Ops) {
		r := &b.Res[n]
		c.do(&b.Ops[n], r)
		n++
		if r.Body != nil || len(r.Value) > 0 && len(b.Mem) >= b.Room {
			break
		}
	}
	return n
}

// touch loads what the lookups of ops will need, for all of them side by side, so that the processor waits for memory
// once and not once per op: the slots, then the records, then the buffers. It takes no lock (a lock would put the loads
// in order again), so what it sees is a hint, which nothing depends on; all it reads is read atomically or never changes.
func (s *Store) touch(ops []grid.Op) {
	var slots [grid.MaxBatch]uint64
	var first [grid.MaxBatch]*byte
	sum := uint64(0)
	for i := range ops {
		x := &s.shard(ops[i].Hash).index
		t := *x.table.Load()
		tag := uint32(ops[i].Hash)
		slots[i] = atomic.LoadUint64(&t[tag&uint32(len(t)-1)])
	}
	for i := range ops {
		sh := s.shard(ops[i].Hash)
		slot, tag := slots[i], uint32(ops[i].Hash)
		if uint32(slot>>32) != tag { // somewhere behind, nearly always in the same line
			t := *sh.index.table.Load()
			for j := range uint32(8) {
				if slot = atomic.LoadUint64(&t[(tag+j)&uint32(len(t)-1)]); slot == 0 || uint32(slot>>32) == tag {
					break
				}
			}
		}
		rec := uint32(slot)
		if blocks := *sh.records.blocks.Load(); rec != 0 && int(rec>>blockBits) < len(blocks) {
			r := &blocks[rec>>blockBits][rec%blockLen]
			first[i] = r.first.Load()
			sum += r.second[0]
		}
	}
	for _, p := range first {
		if p != nil {
			sum += uint64(*p)
		}
	}
	if sum > 255*grid.MaxBatch {
		panic("BUG: bytes above 255") // it cannot be, but so the compiler keeps the loads
	}
}

// take charges n bytes if they fit.
func (s *Store) take(n int64) bool {
	for {
		used := s.used.Load()
		if used+n > s.ceiling.Load() {
			return false
		}
		if s.used.CompareAndSwap(used, used+n) {
			return true
		}
	}
}
