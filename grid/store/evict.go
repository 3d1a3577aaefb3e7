package store

import (
	"math/bits"

	"github.com/latticed/latticed/grid"
)

// Eviction is FIFO with a second chance, per shard and size class: an entry that is stored is queued, a use only sets a
// bit, and an entry that comes to the old end with the bit set is queued again without it. Of the classes the one whose
// oldest entry was not used for the longest gives its entry, so small and large ones compete by age alone. A lookup
// therefore touches no neighbour, and what is next in line of each class is known at any time, as grid.Stats wants.

// queue is the entries of one class in a shard, and their statistics.
type queue struct {
	young, old     uint32 // the ends
	entries, bytes uint64
	stats          grid.ClassStats // the counters, and EvictedIdle
	evictedAt      int64           // when that was, ms since 1970
}

// patience is how many second chances one search for a victim gives.
const patience = 64

// link queues i as the youngest.
func (sh *shard) link(i uint32, r *record) {
	q := &sh.queues[r.class]
	r.prev, r.next = 0, q.young
	if q.young != 0 {
		sh.records.at(q.young).prev = i
	} else {
		q.old = i
		sh.inUse |= 1 << r.class
	}
	q.young = i
}

func (sh *shard) unlink(i uint32, r *record) {
	q := &sh.queues[r.class]
	if r.prev != 0 {
		sh.records.at(r.prev).next = r.next
	} else {
		q.young = r.next
	}
	if r.next != 0 {
		sh.records.at(r.next).prev = r.prev
	} else {
		q.old = r.prev
	}
	if q.young == 0 {
		sh.inUse &^= 1 << r.class
	}
}

// evict removes the entry that is next in line, other than keep. False: there is none. With NoEvict only dead ones are
// in line.
func (sh *shard) evict(keep uint32, now int64) bool {
	victim, chances := uint32(0), patience
	var oldest int64
	for rest := sh.inUse; rest != 0; rest &= rest - 1 {
		q := &sh.queues[bits.TrailingZeros64(rest)]
		i := q.old
		r := sh.records.at(i)
		for (r.bits&used != 0 || i == keep) && chances > 0 && q.young != q.old {
			chances--
			if i == keep {
				r.bits |= used
			} else {
				r.bits &^= used
			}
			sh.unlink(i, r)
			sh.link(i, r)
			i = q.old
			r = sh.records.at(i)
		}
		if i == keep {
			continue
		}
		if dead, _ := sh.dead(r, now); dead {
			sh.reclaim(i, r)
			return true
		}
		if victim == 0 || r.lastUse < oldest {
			victim, oldest = i, r.lastUse
		}
	}
	if victim == 0 || sh.s.noEvict {
		return false
	}
	r := sh.records.at(victim)
	q := &sh.queues[r.class]
	c := &q.stats
	c.Evicted++
	if r.expires != 0 {
		c.EvictedTTL++
	}
	if r.bits&fetched == 0 {
		c.EvictedUnfetched++
	}
	c.EvictedIdle, q.evictedAt = max(0, now-r.lastUse), now
	sh.remove(victim)
	return true
}

// reclaim removes a dead entry that nobody asked for.
func (sh *shard) reclaim(i uint32, r *record) {
	c := &sh.queues[r.class].stats
	c.Reclaimed++
	if r.bits&fetched == 0 {
		c.ExpiredUnfetched++
	}
	sh.remove(i)
}

// sweep looks at the next n records, reclaims those that are dead, and returns how many.
func (sh *shard) sweep(n int, now int64) (reclaimed int) {
	for range min(n, int(sh.records.top)) {
		sh.hand++
		if sh.hand >= sh.records.top {
			sh.hand = 0
			continue
		}
		r := sh.records.at(sh.hand)
		if !r.inUse() {
			continue
		}
		if dead, _ := sh.dead(r, now); dead {
			sh.reclaim(sh.hand, r)
			reclaimed++
		}
	}
	return reclaimed
}

// evictFor makes room for n bytes in this shard and takes it.
func (sh *shard) evictFor(n int64, keep uint32, now int64) bool {
	for range patience {
		if !sh.evict(keep, now) && (!sh.s.noEvict || sh.sweep(patience, now) == 0) {
			return false
		}
		if sh.s.take(n) {
			return true
		}
	}
	return false
}

// makeRoom makes room for n bytes and takes it, from all shards in turn. No shard may be locked. False: everything that
// may go is gone, or with NoEvict, the records looked at were all alive.
func (s *Store) makeRoom(n, now int64) bool {
	if n > s.limit.Load() {
		return false
	}
	idle := 0 // shards in a row that gave nothing
	for !s.take(n) {
		sh := &s.shards[s.room.Add(1)%numShards]
		sh.mu.Lock()
		gave := false
		for range 4 {
			if !sh.evict(0, now) && (!s.noEvict || sh.sweep(8, now) == 0) {
				break
			}
			gave = true
		}
		sh.mu.Unlock()
		idle++
		if gave {
			idle = 0
		}
		if idle == 2*numShards {
			return s.take(n)
		}
	}
	return true
}

// Sweep looks at the next n records of the store, removes entries that are expired or flushed, and returns how many. It
// also goes on with what SetLimit could not evict at once. The daemon calls it from time to time.
func (s *Store) Sweep(now grid.Time, n int) (removed int) {
	s.tick(now.Wall)
	const turn = 256 // records under one lock
	for left := n; left > 0; left -= turn {
		sh := &s.shards[s.sweepAt.Load()%numShards]
		sh.mu.Lock()
		before := sh.hand
		removed += sh.sweep(min(left, turn), now.Wall)
		if sh.hand <= before {
			s.sweepAt.Add(1)
		}
		sh.mu.Unlock()
	}
	s.shrink(n, now.Wall)
	return removed
}

// shrink evicts up to n entries of what is above the limit.
func (s *Store) shrink(n int, now int64) {
	limit := s.limit.Load()
	for idle := 0; n > 0 && idle < numShards && s.used.Load() > limit; n-- {
		sh := &s.shards[s.room.Add(1)%numShards]
		sh.mu.Lock()
		idle++
		if sh.evict(0, max(now, sh.now)) {
			idle = 0
		}
		sh.mu.Unlock()
	}
	for {
		ceiling := s.ceiling.Load()
		if ceiling == limit || s.ceiling.CompareAndSwap(ceiling, max(limit, min(ceiling, s.used.Load()))) {
			return
		}
	}
}
