package store

import (
	"cmp"
	"math/bits"
	"slices"

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
		st.Entries += sh.counts.entries
		st.Stored += sh.counts.stored
		st.GetExpired += sh.counts.getExpired
		st.GetFlushed += sh.counts.getFlushed
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
		sh.counts = counts{entries: sh.counts.entries}
		for n := range sh.classes {
			k := &sh.classes[n].ClassStats
			*k = grid.ClassStats{Entries: k.Entries, Bytes: k.Bytes, OldestUse: k.OldestUse, EvictedIdle: k.EvictedIdle}
		}
		sh.mu.Unlock()
	}
}

// A scan goes through the shards and in each through the entries in the order of their position: the bits of the hash
// that choose the group, reversed, then its tag, then the rest. That order is the same however large the index is, since
// a group that splits becomes two that follow each other in it. So the cursor is a shard and the position to go on from.
const (
	positionBits = 64 - 8
	scanGroups   = 16 // groups that one Scan looks at
)

func position(hash uint64) uint64 {
	return uint64(bits.Reverse32(uint32(hash>>16)))<<24 | hash&0xffff<<8 | hash>>56
}

// Scan implements grid.Admin.
func (c *cache) Scan(p *grid.Page, now grid.Time) (more bool) {
	c.tick(now.Wall)
	p.Entries, p.Mem = p.Entries[:0], p.Mem[:0]
	for n, look := p.Cursor>>positionBits, scanGroups; n < uint64(len(c.shards)); look-- {
		if look == 0 {
			return true
		}
		sh := &c.shards[n]
		sh.mu.Lock()
		sh.at(now.Wall)
		next, full, done := sh.scan(p, p.Cursor&(1<<positionBits-1), now.Wall)
		sh.mu.Unlock()
		if done {
			n, next = n+1, 0
		}
		p.Cursor = n<<positionBits | next
		if full {
			return true
		}
	}
	return false
}

type found struct{ position, off uint64 }

// scan goes through the group that a position lies in and reports where to go on, whether the page is full, and whether that
// was the last group.
func (sh *shard) scan(p *grid.Page, from uint64, now int64) (next uint64, full, done bool) {
	a := sh.c.a
	if sh.c.closed.Load() {
		return 0, false, true
	}
	first := bits.Reverse32(uint32(from >> 24))
	g := sh.index.group(uint64(first) << 16)
	level := bits.Len32(g.stride) - 1
	end := uint64(0) // where the group ends; 0: it is the last
	if level > 0 {
		end = (from>>(positionBits-level) + 1) << (positionBits - level) & (1<<positionBits - 1)
	}
	all := sh.found[:0]
	sh.index.each(uint64(first)<<16, func(slot uint64) {
		sh.step(1)
		off := slot & offsetMask
		if at := position(sh.hashAt(off)); at >= from {
			all = append(all, found{at, off})
		}
	})
	sh.found = all
	slices.SortFunc(all, func(x, y found) int { return cmp.Compare(x.position, y.position) })
	for _, f := range all {
		var it item
		a.load(&it, f.off)
		if p.Class != 0 && int(p.Class) != grid.Class(it.charge()) {
			continue
		}
		if dead, _ := sh.dead(&it, now); dead {
			continue
		}
		n := len(p.Entries)
		if n == cap(p.Entries) || n > 0 && len(p.Mem)+it.keyLen > cap(p.Mem) {
			return f.position, true, false
		}
		start := len(p.Mem)
		p.Mem = append(p.Mem, sh.key(&it)...)
		p.Entries = append(p.Entries, grid.Entry{
			Key: p.Mem[start:len(p.Mem):len(p.Mem)], Flags: it.flags, Attr: it.attr, State: state(it.bits),
			Version: it.version, Expires: it.expires, LastUse: it.lastUse, Size: it.size,
		})
	}
	return end, false, end == 0
}
