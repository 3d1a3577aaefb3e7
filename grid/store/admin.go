package store

import (
	"github.com/latticed/latticed/grid"
)

// tick carries out the flush that waited for now.
func (c *cache) tick(now int64) {
	if at := c.flushAt.Load(); at != 0 && at <= now {
		c.flushing.Lock()
		c.due(now)
		c.flushing.Unlock()
		c.wake()
	}
}

func (c *cache) due(now int64) {
	if at := c.flushAt.Load(); at != 0 && at <= now {
		c.before.Store(max(at, c.before.Load()))
		c.late.Add(1)
		c.flushAt.Store(0)
		c.cleared()
	}
}

// Flush implements grid.Admin. It takes no time: what it takes is found dead by whoever comes upon it.
func (c *cache) Flush(at int64, t grid.Ticket) grid.Code {
	if c.closed.Load() {
		return grid.Denied
	}
	c.flushing.Lock()
	c.due(t.Now.Wall)
	c.flushAt.Store(max(0, at))
	if at <= 0 {
		c.flushedAt.Store(t.Now.Wall)
		c.epoch.Add(1)
		c.cleared()
	}
	c.due(t.Now.Wall)
	c.flushing.Unlock()
	c.wake()
	return grid.OK
}

// SetLimit implements grid.Admin. Of what is above a lower limit it evicts as much as takes some milliseconds; Sweep
// does the rest. A limit below what may not be evicted is refused, as is one above what was reserved at the start.
func (s *Store) SetLimit(limit uint64) bool {
	if limit == 0 || s.noEvict && s.a.memory() > limit || s.fixed() > limit {
		return false
	}
	if !s.a.setLimit(limit) {
		return false
	}
	s.limit.Store(limit)
	s.setPinned(limit)
	s.shrink(0)
	return true
}

// Refused is how many bytes of the limit the system refuses to give. The store makes do with the rest and evicts as if that were
// the limit; each Sweep asks again.
func (s *Store) Refused() uint64 {
	a := s.a
	a.mu.Lock()
	defer a.mu.Unlock()
	return uint64(max(0, a.target-a.given)) * uint64(a.segSize()+infoSize)
}

// Stats implements grid.Admin. Memory and Limit are the store's, which all caches share, but where a cache has a bound on
// its bytes of its own.
func (c *cache) Stats(st *grid.Stats, _ grid.Time) {
	*st = grid.Stats{
		Memory:      c.a.memory(),
		Limit:       c.s.limit.Load(),
		Reserved:    uint64(c.reserved.Load()),
		PinnedDead:  uint64(max(0, c.pinned.Load())),
		ReserveBusy: c.busy.Load(),
	}
	if n := c.bounds.maxBytes.Load(); n != 0 {
		st.Memory, st.Limit = uint64(c.bounds.used()), uint64(n)
	}
	var evictedAt [grid.NumClasses]int64
	for i := range c.shards {
		sh := &c.shards[i]
		sh.mu.Lock()
		st.Entries += sh.entries
		st.Stored += sh.stored
		st.GetExpired += sh.gone.expired
		st.GetFlushed += sh.gone.flushed
		for n := range sh.classes {
			k, to := &sh.classes[n], &st.Classes[n]
			if k.Entries > 0 && (to.OldestUse == 0 || k.OldestUse < to.OldestUse) {
				to.OldestUse = k.OldestUse
			}
			to.Entries += k.Entries
			to.Bytes += k.Bytes
			st.Bytes += k.Bytes
			to.Evicted += k.Evicted
			to.EvictedTTL += k.EvictedTTL
			to.EvictedUnfetched += k.EvictedUnfetched
			to.NoMemory += k.NoMemory
			to.Reclaimed += k.Reclaimed
			to.ExpiredUnfetched += k.ExpiredUnfetched
			if k.evictedAt > evictedAt[n] {
				evictedAt[n], to.EvictedIdle = k.evictedAt, k.EvictedIdle
			}
		}
		sh.mu.Unlock()
	}
}

// ResetStats implements grid.Admin.
func (c *cache) ResetStats() {
	c.busy.Store(0)
	for i := range c.shards {
		sh := &c.shards[i]
		sh.mu.Lock()
		sh.stored, sh.gone = 0, counts{}
		for n := range sh.classes {
			k := &sh.classes[n].ClassStats
			*k = grid.ClassStats{Entries: k.Entries, Bytes: k.Bytes, OldestUse: k.OldestUse, EvictedIdle: k.EvictedIdle}
		}
		sh.mu.Unlock()
	}
}
