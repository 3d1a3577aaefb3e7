package store

import (
	"slices"

	"github.com/latticed/latticed/grid"
)

// Flush implements grid.Admin; it is never Pending.
func (s *Store) Flush(at int64, t grid.Ticket) grid.Code {
	if due := s.flushAt.Load(); due != 0 && due <= t.Now.Wall {
		s.flushed.Store(max(due, s.flushed.Load())) // a flush that has come is not undone by the next
	}
	if at > t.Now.Wall {
		s.flushAt.Store(at)
		return grid.OK
	}
	s.flushAt.Store(0)
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.Lock()
		sh.generation++
		sh.mu.Unlock()
	}
	return grid.OK
}

// SetLimit implements grid.Admin.
func (s *Store) SetLimit(bytes uint64) bool {
	s.limit.Store(bytes)
	s.makeRoom(&s.shards[0], nil, 0)
	return true
}

// Stats implements grid.Admin.
func (s *Store) Stats(st *grid.Stats, _ grid.Time) {
	*st = grid.Stats{
		Limit:       s.limit.Load(),
		Bytes:       uint64(max(0, s.used.Load())),
		Reserved:    uint64(s.reserved.Load()),
		PinnedDead:  uint64(max(0, s.pinned.Load())),
		ReserveBusy: s.busy.Load(),
	}
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.Lock()
		st.Entries += uint64(len(sh.entries))
		st.Stored += sh.stored
		st.GetExpired += sh.getExpired
		st.GetFlushed += sh.getFlushed
		if e := sh.ring.prev; e != &sh.ring {
			c := &st.Classes[e.class]
			if c.OldestUse == 0 || e.lastUse < c.OldestUse {
				c.OldestUse = e.lastUse
			}
		}
		for c := range sh.classes {
			from, to := &sh.classes[c], &st.Classes[c]
			to.Entries += from.Entries
			to.Bytes += from.Bytes
			to.Evicted += from.Evicted
			to.EvictedTTL += from.EvictedTTL
			to.EvictedUnfetched += from.EvictedUnfetched
			to.EvictedIdle = max(to.EvictedIdle, from.EvictedIdle)
			to.NoMemory += from.NoMemory
			to.Reclaimed += from.Reclaimed
			to.ExpiredUnfetched += from.ExpiredUnfetched
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
		sh.stored, sh.getExpired, sh.getFlushed = 0, 0, 0
		for c := range sh.classes {
			sh.classes[c] = grid.ClassStats{Entries: sh.classes[c].Entries, Bytes: sh.classes[c].Bytes}
		}
		sh.mu.Unlock()
	}
}

// Scan implements grid.Admin. The order is by shard, and within a shard by hash: the cursor is the shard and the hash
// to go on from, so that entries that come and go move nothing. A piece costs one pass over its shard's keys.
func (s *Store) Scan(p *grid.Page, now grid.Time) (more bool) {
	p.Entries, p.Mem = p.Entries[:0], p.Mem[:0]
	for number := p.Cursor >> (64 - shardBits); number < numShards; number++ {
		sh := &s.shards[number]
		sh.mu.Lock()
		full := s.scanShard(sh, p, now.Wall)
		sh.mu.Unlock()
		if full {
			return true
		}
		if number+1 < numShards {
			p.Cursor = (number + 1) << (64 - shardBits)
		}
		if len(p.Entries) > 0 {
			return number+1 < numShards
		}
	}
	return false
}

type found struct {
	hash uint64
	e    *entry
}

func (s *Store) scanShard(sh *shard, p *grid.Page, now int64) (full bool) {
	var list []found
	var key []byte
	for _, e := range sh.entries {
		if p.Class != 0 && e.class != p.Class || s.judge(sh, e, now) != live {
			continue
		}
		key = append(key[:0], e.key...)
		if h := s.hash(key); h >= p.Cursor {
			list = append(list, found{h, e})
		}
	}
	slices.SortFunc(list, func(a, b found) int {
		if a.hash != b.hash {
			if a.hash < b.hash {
				return -1
			}
			return 1
		}
		if a.e.key < b.e.key {
			return -1
		}
		return 1
	})
	for i, f := range list {
		// Entries whose hashes are equal stay in one piece: the cursor cannot name a place between them.
		same := i > 0 && list[i-1].hash == f.hash
		if !same && len(p.Entries) > 0 && (len(p.Entries) == cap(p.Entries) || len(p.Mem)+len(f.e.key) > cap(p.Mem)) {
			p.Cursor = f.hash
			return true
		}
		n := len(p.Mem)
		p.Mem = append(p.Mem, f.e.key...)
		p.Entries = append(p.Entries, grid.Entry{
			Key: p.Mem[n:len(p.Mem):len(p.Mem)], Flags: f.e.flags, Attr: f.e.attr, State: f.e.state,
			Version: f.e.version, Expires: f.e.expires, LastUse: f.e.lastUse, Size: f.e.size(),
		})
	}
	return false
}

// Sweep drops expired and flushed entries of one shard, the one that cursor names, and returns the cursor of the next.
// Called in turn from one goroutine it reclaims what nobody reads.
func (s *Store) Sweep(cursor uint64, now grid.Time) (next uint64) {
	sh := &s.shards[cursor%numShards]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for _, e := range sh.entries {
		if why := s.judge(sh, e, now.Wall); why != live {
			s.reclaim(sh, e, why)
		}
	}
	return cursor + 1
}
