// Package store holds the entries of one node. This first engine keeps them on the Go heap in sharded maps; it is
// bounded, evicts what was not used for longest, and has the surface that an engine outside the heap will have.
//
// Any goroutine may call it. Each shard has a mutex; no call holds two of them, and nothing is called while one is held.
package store

import (
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"

	"github.com/latticed/latticed/grid"
)

// Options configure a Store. The zero value of a field means its default.
type Options struct {
	Limit     uint64 // bytes of all entries by grid.Charge; default 64 MiB
	MaxValue  int    // bytes of one value; default 128 MiB
	MaxPinned uint64 // bytes reserved and pinned together; default a quarter of Limit, or one largest value
	NoEvict   bool   // refuse what does not fit instead of evicting
	Seed      uint64 // of the hash; 0: a random one, as it should be where strangers choose keys
}

const (
	shardBits = 6
	numShards = 1 << shardBits
	chunkSize = 1 << 20 // bytes of a large value that lie together
)

// Store is the default cache of one node. It implements grid.Caches, grid.Cache and grid.Admin.
type Store struct {
	maxValue  int
	noEvict   bool
	maxPinned int64
	seed      uint64 // of the hash, so that nobody outside can aim at a shard

	limit    atomic.Uint64
	used     atomic.Int64 // bytes charged
	reserved atomic.Int64 // bytes of slots being filled
	pinned   atomic.Int64 // bytes of runs that left the index and are still read
	busy     atomic.Uint64
	flushAt  atomic.Int64 // when a delayed flush is due, ms since 1970; 0 for none
	flushed  atomic.Int64 // the latest such moment that has come: what was last used before it is gone for good
	victim   atomic.Uint32

	shards [numShards]shard
}

// New returns an empty store.
func New(o Options) *Store {
	if o.Limit == 0 {
		o.Limit = 64 << 20
	}
	if o.MaxValue == 0 {
		o.MaxValue = 128 << 20
	}
	s := &Store{maxValue: o.MaxValue, noEvict: o.NoEvict, seed: o.Seed}
	if s.seed == 0 {
		s.seed = maphash.Bytes(maphash.MakeSeed(), nil)
	}
	s.limit.Store(o.Limit)
	if s.maxPinned = int64(o.MaxPinned); s.maxPinned == 0 {
		s.maxPinned = max(int64(o.Limit/4), int64(o.MaxValue))
	}
	for i := range s.shards {
		sh := &s.shards[i]
		sh.entries = make(map[string]*entry)
		sh.number = uint64(i)
		sh.ring.next, sh.ring.prev = &sh.ring, &sh.ring
	}
	return s
}

// Open implements grid.Caches: there is one cache, called "" or "default".
func (s *Store) Open(name string, _ grid.Principal) (grid.Cache, error) {
	if name != "" && name != "default" {
		return nil, fmt.Errorf("grid/store: no cache %q", name)
	}
	return s, nil
}

// Admin implements grid.Caches.
func (s *Store) Admin(name string, who grid.Principal) (grid.Admin, error) {
	if _, err := s.Open(name, who); err != nil {
		return nil, err
	}
	return s, nil
}

// entry is one entry, in its shard's map and on its ring of use.
type entry struct {
	key                             string
	value                           []byte
	run                             *run // instead of value above grid.StreamMin
	version                         uint64
	expires, lastUse, created, idle int64 // ms
	flags, generation               uint32
	attr                            uint16
	state                           grid.State // Fetched, Stale, Claimed
	class                           uint8
	prev, next                      *entry
}

func (e *entry) size() int {
	if e.run != nil {
		return e.run.size
	}
	return len(e.value)
}

func (e *entry) charge() int { return grid.Charge(len(e.key), e.size(), e.flags) }

// shard is the entries whose hashes share their high bits, and what is counted about them. mu guards all of it.
type shard struct {
	mu         sync.Mutex
	entries    map[string]*entry
	ring       entry // sentinel: next is the most recently used, prev the least
	number     uint64
	sequence   uint64
	generation uint32 // entries of an older one are flushed

	stored, getExpired, getFlushed uint64
	classes                        [grid.NumClasses]grid.ClassStats
}

func (sh *shard) version() uint64 {
	sh.sequence++
	return sh.sequence<<shardBits | sh.number
}

func (sh *shard) front(e *entry) {
	e.prev, e.next = &sh.ring, sh.ring.next
	e.prev.next, e.next.prev = e, e
}

func (e *entry) unlink() { e.prev.next, e.next.prev = e.next, e.prev }

// count adds e to or takes it from the gauges of its class, and returns the change of bytes.
func (sh *shard) count(e *entry, sign int) int64 {
	n := e.charge()
	e.class = uint8(grid.Class(n))
	c := &sh.classes[e.class]
	c.Entries += uint64(sign)
	c.Bytes += uint64(sign * n)
	return int64(sign * n)
}

// drop takes e out of the shard.
func (s *Store) drop(sh *shard, e *entry) {
	delete(sh.entries, e.key)
	e.unlink()
	s.used.Add(sh.count(e, -1))
	s.leave(e.run)
}

type liveness uint8

const (
	live liveness = iota
	expired
	flushed
)

func (s *Store) judge(sh *shard, e *entry, now int64) liveness {
	if e.generation != sh.generation {
		return flushed
	}
	if at := s.flushAt.Load(); at != 0 && now >= at && e.lastUse < at || e.lastUse < s.flushed.Load() {
		return flushed
	}
	if e.expires != 0 && now >= e.expires || e.idle != 0 && now-e.lastUse >= e.idle {
		return expired
	}
	return live
}

// reclaim drops a dead entry and counts why.
func (s *Store) reclaim(sh *shard, e *entry, why liveness) {
	if why == expired {
		c := &sh.classes[e.class]
		c.Reclaimed++
		if e.state&grid.Fetched == 0 {
			c.ExpiredUnfetched++
		}
	}
	s.drop(sh, e)
}

// find returns the live entry under key, or nil. A dead one is dropped and counted.
func (s *Store) find(sh *shard, key []byte, now int64) *entry {
	e := sh.entries[string(key)]
	if e == nil {
		return nil
	}
	switch why := s.judge(sh, e, now); why {
	case expired:
		sh.getExpired++
		s.reclaim(sh, e, why)
		return nil
	case flushed:
		sh.getFlushed++
		s.reclaim(sh, e, why)
		return nil
	}
	return e
}

func (s *Store) hash(key []byte) uint64 {
	h := xxhash.Sum64(key) ^ s.seed
	h ^= h >> 32
	return h * 0x9e3779b97f4a7c15
}

// makeRoom evicts until the entries fit the limit again. keep is not evicted; it may be nil.
func (s *Store) makeRoom(home *shard, keep *entry, now int64) {
	if s.used.Load() <= int64(s.limit.Load()) {
		return
	}
	for tried := 0; tried < numShards; tried++ {
		sh := home
		if tried > 0 {
			sh = &s.shards[s.victim.Add(1)%numShards]
		}
		sh.mu.Lock()
		for n := 0; s.used.Load() > int64(s.limit.Load()); n++ {
			e := sh.ring.prev
			if e == keep {
				e = e.prev
			}
			if e == &sh.ring || n == 64 && tried == 0 {
				break
			}
			s.evict(sh, e, now)
		}
		sh.mu.Unlock()
		if s.used.Load() <= int64(s.limit.Load()) {
			return
		}
	}
}

func (s *Store) evict(sh *shard, e *entry, now int64) {
	if why := s.judge(sh, e, now); why != live {
		s.reclaim(sh, e, why)
		return
	}
	c := &sh.classes[e.class]
	c.Evicted++
	if e.expires != 0 {
		c.EvictedTTL++
	}
	if e.state&grid.Fetched == 0 {
		c.EvictedUnfetched++
	}
	c.EvictedIdle = max(0, now-e.lastUse)
	s.drop(sh, e)
}
