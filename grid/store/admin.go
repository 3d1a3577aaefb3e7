package store

import "github.com/latticed/latticed/grid"

// tick carries out the flush that waited for now.
func (s *Store) tick(now int64) {
	if at := s.flushAt.Load(); at != 0 && at <= now {
		s.flushing.Lock()
		s.due(now)
		s.flushing.Unlock()
	}
}

func (s *Store) due(now int64) {
	if at := s.flushAt.Load(); at != 0 && at <= now {
		s.before.Store(max(at, s.before.Load()))
		s.flushAt.Store(0)
	}
}

// Flush implements grid.Admin. It takes no time: what it takes is found dead by whoever comes upon it.
func (s *Store) Flush(at int64, t grid.Ticket) grid.Code {
	s.flushing.Lock()
	defer s.flushing.Unlock()
	s.due(t.Now.Wall)
	s.flushAt.Store(max(0, at))
	if at <= 0 {
		s.epoch.Add(1)
	}
	s.due(t.Now.Wall)
	return grid.OK
}

// SetLimit implements grid.Admin. Of what is above a lower limit it evicts as much as takes some milliseconds; Sweep
// does the rest. With NoEvict a limit below what is there is refused.
func (s *Store) SetLimit(bytes uint64) bool {
	limit := clampLimit(bytes)
	if s.noEvict && s.used.Load() > limit {
		return false
	}
	s.limit.Store(limit)
	s.ceiling.Store(max(limit, s.used.Load()))
	s.shrink(1<<15, 0)
	return true
}

// Stats implements grid.Admin. Bytes is taken from the budget, not added up from the shards as they are visited, so that
// it is never above the limit because something moved meanwhile; when nothing moves it is the sum of the classes.
func (s *Store) Stats(st *grid.Stats, _ grid.Time) {
	*st = grid.Stats{
		Bytes:       uint64(max(0, s.used.Load()-s.reserved.Load())),
		Memory:      uint64(max(0, s.used.Load())),
		Limit:       uint64(s.limit.Load()),
		Reserved:    uint64(s.reserved.Load()),
		PinnedDead:  uint64(s.pinned.Load()),
		ReserveBusy: s.busy.Load(),
	}
	var evictedAt [grid.NumClasses]int64
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.Lock()
		st.Entries += sh.counts.entries
		st.Stored += sh.counts.stored
		st.GetExpired += sh.counts.getExpired
		st.GetFlushed += sh.counts.getFlushed
		for c := range sh.queues {
			q, to := &sh.queues[c], &st.Classes[c]
			to.Entries += q.entries
			to.Bytes += q.bytes
			if q.old != 0 {
				if use := sh.records.at(q.old).lastUse; to.OldestUse == 0 || use < to.OldestUse {
					to.OldestUse = use
				}
			}
			to.Evicted += q.stats.Evicted
			to.EvictedTTL += q.stats.EvictedTTL
			to.EvictedUnfetched += q.stats.EvictedUnfetched
			to.NoMemory += q.stats.NoMemory
			to.Reclaimed += q.stats.Reclaimed
			to.ExpiredUnfetched += q.stats.ExpiredUnfetched
			if q.evictedAt > evictedAt[c] {
				evictedAt[c], to.EvictedIdle = q.evictedAt, q.stats.EvictedIdle
			}
		}
		sh.mu.Unlock()
	}
}

// ResetStats implements grid.Admin.
func (s *Store) ResetStats() {
	s.busy.Store(0)
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.Lock()
		sh.counts = counts{entries: sh.counts.entries}
		for c := range sh.queues {
			sh.queues[c].stats = grid.ClassStats{EvictedIdle: sh.queues[c].stats.EvictedIdle}
		}
		sh.mu.Unlock()
	}
}

// Scan implements grid.Admin. The cursor is a shard and a record in it.
func (s *Store) Scan(p *grid.Page, now grid.Time) (more bool) {
	s.tick(now.Wall)
	p.Entries, p.Mem = p.Entries[:0], p.Mem[:0]
	look := 4096 // records and shards
	for ; p.Cursor>>32 < numShards; p.Cursor = (p.Cursor>>32 + 1) << 32 {
		sh := &s.shards[p.Cursor>>32]
		sh.mu.Lock()
		done := sh.scan(p, now.Wall, &look)
		sh.mu.Unlock()
		if !done {
			return true
		}
	}
	return false
}

// scan goes on in this shard and reports whether it came to its end.
func (sh *shard) scan(p *grid.Page, now int64, look *int) bool {
	for i := max(1, uint32(p.Cursor)); i < sh.records.top; i++ {
		r := sh.records.at(i)
		p.Cursor = p.Cursor>>32<<32 | uint64(i)
		if *look--; *look < 0 {
			return false
		}
		if !r.inUse() || p.Class != 0 && p.Class != r.class {
			continue
		}
		if dead, _ := sh.dead(r, now); dead {
			continue
		}
		n := len(p.Entries)
		if n == cap(p.Entries) || n > 0 && len(p.Mem)+int(r.keyLen) > cap(p.Mem) {
			return false
		}
		start := len(p.Mem)
		p.Mem = append(p.Mem, r.key()...)
		var state grid.State
		if r.bits&fetched != 0 {
			state |= grid.Fetched
		}
		if r.bits&stale != 0 {
			state |= grid.Stale
		}
		if r.bits&claimed != 0 {
			state |= grid.Claimed
		}
		p.Entries = append(p.Entries, grid.Entry{
			Key: p.Mem[start:len(p.Mem):len(p.Mem)], Flags: r.flags, Attr: r.attr, State: state, Version: r.version,
			Expires: r.expires, LastUse: r.lastUse, Size: r.size(),
		})
	}
	return true
}
