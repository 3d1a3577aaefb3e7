package store

import (
	"math"

	"github.com/latticed/latticed/grid"
)

// Readers see no expired entry. Those that nobody reads are found by the sweep, which goes through log segments in the
// order they lie in memory. It passes over those in which nothing can have expired (info.expires) without a look, so
// entries without lifespan cost it nothing.

// Sweep looks at the next n entries of the store, removes those that are expired or flushed, and returns how many. It
// also goes on with what SetLimit could not evict at once, has indexes that are far larger than they have to be lose n/8
// buckets, each with room for 8 entries, and gives memory that is not needed back to the system. The daemon calls it from time
// to time.
func (s *Store) Sweep(now grid.Time, n int) (removed int) {
	const turn = 64 // entries under one lock
	buckets := n / 8
	r := s.roster.Load()
	for _, c := range r.caches {
		c.tick(now.Wall)
	}
	for n > 0 && s.razing.raze(turn) {
		n -= turn
	}
	for passed := 0; n > 0 && passed < len(r.shards); {
		sh := r.shards[int(s.sweepAt.Load())%len(r.shards)]
		sh.mu.Lock()
		sh.at(now.Wall)
		looked, gone, end := sh.sweepSome(min(n, turn))
		sh.unlock()
		removed += gone
		n -= looked + 1
		if end {
			passed++
			s.sweepAt.Add(1)
		}
	}
	s.shrink(now.Wall)
	for _, sh := range r.shards {
		for buckets > 0 && sh.shrink(2) {
			buckets -= 2
		}
	}
	s.a.cool()
	return removed
}

// shrink takes up to n buckets from the shard's index. False: it is not larger than it has to be.
func (sh *shard) shrink(n int) bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.c.closed.Load() {
		return false
	}
	for ; n > 0; n-- {
		if !sh.index.shrink() {
			sh.ghost.trim(sh.index.count)
			return false
		}
	}
	return true
}

// sweepSome looks at up to n entries of the next segment in which something may have expired, or passes turnMost others, and
// tells whether it passed the shard's last one.
func (sh *shard) sweepSome(n int) (looked, removed int, end bool) {
	a := sh.c.a
	if sh.c.closed.Load() {
		return 0, 0, true
	}
	p, m := sh.queues[probation].segs, sh.queues[main].segs
	var seg uint32
	for passed := 0; ; passed++ {
		if passed == turnMost {
			return 0, 0, false
		}
		sh.step(1)
		switch i := sh.sweepNext; {
		case i < len(p):
			seg = p[i]
		case i-len(p) < len(m):
			seg = m[i-len(p)]
		default:
			sh.sweepNext, sh.sweeping = 0, 0
			return looked, removed, true
		}
		s := &a.info[seg]
		if s.expires <= sh.now || s.epoch != sh.epoch || s.swept != sh.late {
			break
		}
		sh.sweepNext++
	}
	s := &a.info[seg]
	if seg != sh.sweeping {
		sh.sweeping, sh.sweepOff, sh.sweepLate = seg, 0, sh.late
		s.expiresNext = math.MaxInt64
	}
	epoch := s.epoch
	for ; looked < n && sh.sweepOff < s.used; looked++ {
		var it item
		off := uint64(seg)<<a.shift + uint64(sh.sweepOff)
		a.load(&it, off)
		sh.sweepOff += uint32(it.alloc)
		sh.step(1)
		if a.u32(off)&gone != 0 {
			continue
		}
		dead, flushed := sh.dead(&it, sh.now)
		if !dead {
			s.expiresNext = min(s.expiresNext, it.end())
			continue
		}
		removed++
		sh.reclaim(sh.c.hash(sh.key(&it)), &it, flushed)
		if !sh.has(seg) || s.epoch != epoch || s.used == 0 { // nothing was left in it
			sh.sweeping = 0
			return looked + 1, removed, false
		}
	}
	if sh.sweepOff >= s.used {
		s.expires, s.swept = s.expiresNext, sh.sweepLate
		sh.sweeping = 0
		sh.sweepNext++
	}
	return looked, removed, false
}

// has tells whether seg is where the sweep stands.
func (sh *shard) has(seg uint32) bool {
	p, m := sh.queues[probation].segs, sh.queues[main].segs
	i := sh.sweepNext
	return i < len(p) && p[i] == seg || i >= len(p) && i-len(p) < len(m) && m[i-len(p)] == seg
}

// shrink evicts some of what is above the limit.
func (s *Store) shrink(now int64) {
	for n := 0; n < 64 && !s.a.lowered(); n++ {
		if s.razing.raze(turnMost) {
			continue
		}
		sh, gain := s.victim()
		sh.mu.Lock()
		sh.at(now)
		gained, _ := sh.walk(turnMost, gain, true)
		sh.unlock()
		s.turn.gave(gained)
	}
}
