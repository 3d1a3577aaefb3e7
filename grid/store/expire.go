package store

import (
	"math"
	"sync/atomic"

	"github.com/latticed/latticed/grid"
)

// Readers see no expired entry. Those that nobody reads are found by the sweep, which goes through the log segments of one shard
// after the other. It passes over those in which nothing can have expired (info.expires) without a look, so entries without
// lifespan cost it nothing. What is written to a shard while it is gone through is left for the next round.

// SweepRound is how many calls of Sweep go through the whole store, however few entries each is to look at: what has expired
// before the first of them is gone after the last. Only where caches are created or removed meanwhile it may take a round more.
const SweepRound = 256

// sweepShare is the part of all log segments that one call goes through. Some more may come to be while it does.
const sweepShare = SweepRound * 3 / 4

// sweeps tells how many log segments each call of Sweep goes through. They are a share of the most that there were in this
// round and in the one before: while most of what there is goes, calls must not become slower with it.
type sweeps struct{ most, before atomic.Int64 }

func (w *sweeps) share(taken int64) int {
	w.most.Store(max(w.most.Load(), taken))
	return int(max(w.most.Load(), w.before.Load()))/sweepShare + 1
}

func (w *sweeps) round(taken int64) {
	w.before.Store(w.most.Load())
	w.most.Store(taken)
}

// Sweep looks at the next n entries of the store, but at not less than a share of it (SweepRound), removes those that were
// expired or flushed by now, which need not be the present, and returns how many. It also goes on with what SetLimit could not evict at once, has indexes that are far larger than they have to be lose n/8
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
	segs := s.sweeps.share(s.a.taken.Load())
	for passed := 0; (n > 0 || segs > 0) && passed <= len(r.shards); { // the rest of a round and one more, if n allows
		sh := r.shards[int(s.sweepAt.Load())%len(r.shards)]
		sh.mu.Lock()
		sh.at(now.Wall)
		looked, done, gone, end := sh.sweepSome(turn, now.Wall)
		sh.unlock()
		removed += gone
		n -= looked + 1
		segs -= done
		if end {
			passed++
			if int(s.sweepAt.Add(1))%len(r.shards) == 0 {
				s.sweeps.round(s.a.taken.Load())
			}
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

// sweepSome looks at up to n entries of the next segment in which something may have expired by now, or passes turnMost others. It
// returns how many entries it looked at, how many segments it came to the end of, how many entries it removed, and whether it
// passed the shard's last segment.
func (sh *shard) sweepSome(n int, now int64) (looked, segs, removed int, end bool) {
	a := sh.c.a
	if sh.c.closed.Load() {
		return 0, 0, 0, true
	}
	var seg uint32
	for {
		if segs == turnMost {
			return 0, segs, 0, false
		}
		sh.step(1)
		if sh.sweepIn == 0 || sh.sweepNext == sh.sweepEnd {
			switch sh.sweepIn {
			case 0:
				sh.dues.begin(sh)
			case numQueues:
				sh.dues.end()
				sh.sweepIn = 0
				return 0, segs, 0, true
			}
			sh.sweepNext, sh.sweepEnd, sh.sweeping = 0, len(sh.queues[sh.sweepIn].segs), 0
			sh.sweepIn++
			continue
		}
		seg = sh.queues[sh.sweepIn-1].segs[sh.sweepNext]
		s := &a.info[seg]
		if s.expires <= now || s.epoch != sh.epoch || s.swept != sh.late {
			break
		}
		sh.dues.pass(s.expires)
		sh.sweepNext++
		segs++
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
		dead, flushed := sh.dead(&it, now)
		if !dead || flushed && s.epoch == sh.epoch-1 && now < sh.c.flushedAt.Load() {
			s.expiresNext = min(s.expiresNext, it.end())
			if dead && flushed {
				sh.dues.pass(math.MinInt64)
			}
			continue
		}
		removed++
		sh.reclaim(sh.c.hash(sh.key(&it)), &it, flushed)
		if !sh.has(seg) || s.epoch != epoch || s.used == 0 { // nothing was left in it
			sh.sweeping = 0
			return looked + 1, segs + 1, removed, false
		}
	}
	if sh.sweepOff >= s.used {
		s.expires, s.swept = s.expiresNext, sh.sweepLate
		sh.dues.pass(s.expires)
		sh.sweeping = 0
		sh.sweepNext++
		segs++
	}
	return looked, segs, removed, false
}

// dues tell when something in a shard may have to go, so that who asks in vain, again and again, need not look at every segment:
// each store that is refused by a full cache does.
type dues struct {
	expires     int64  // no entry expires before
	next        int64  // the same for what the pass that is under way has come by, and what was written since it began
	epoch, late uint32 // of the flushes that the last pass knew of when it began
	nextEpoch   uint32 // and this one
	nextLate    uint32
}

func (d *dues) begin(sh *shard) { d.next, d.nextEpoch, d.nextLate = math.MaxInt64, sh.epoch, sh.late }

func (d *dues) end() { d.expires, d.epoch, d.late = d.next, d.nextEpoch, d.nextLate }

// pass is told of a segment that the pass has come by, in which no entry expires before that moment.
func (d *dues) pass(expires int64) { d.next = min(d.next, expires) }

// note is told of an entry that was written.
func (d *dues) note(it *item) { lower(it.end(), &d.expires, &d.next) }

// none tells whether nothing is due in the shard, which was told the time.
func (d *dues) none(sh *shard) bool {
	return d.expires > sh.now && d.epoch == sh.epoch && d.late == sh.late
}

// has tells whether seg is where the sweep stands.
func (sh *shard) has(seg uint32) bool {
	return sh.sweepNext < sh.sweepEnd && sh.queues[sh.sweepIn-1].segs[sh.sweepNext] == seg
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
