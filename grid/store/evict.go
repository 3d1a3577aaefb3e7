package store

import (
	"github.com/latticed/latticed/grid"
)

// Eviction is S3-FIFO by log segments. What is new goes to probation; what was used there again by the time it comes to
// the old end moves to main, the rest is evicted and remembered by the ghost, and what comes back while it is remembered
// goes to main at once. An entry at the old end of main that was used since is written anew at the young end, up to three
// times (two bits of frequency in the index slot), otherwise it goes. Probation keeps about a tenth.
//
// A segment is emptied by walking through it, some entries at a time, so that no op does much of it: when memory is tight
// (arena.tight) every op that writes pays by walking until as much has come free as it wrote. Before that, segments that
// hold more than a third of dead bytes are cleaned: all their live entries are moved, none is evicted.

const (
	// payMost bounds the entries that one op walks through as long as there is a free segment.
	payMost = 64
	// forceMost bounds them when there is none, before other shards are asked.
	forceMost = 1 << 14
	// turnMost bounds them under one lock: then others have their turn.
	turnMost = 256

	// fairTries bounds how often a cache is asked in its turn before all are.
	fairTries = 16

	probationShare = 10 // percent
)

// choose picks the next segment to walk, one with live entries that are worth evicting only if evict. False: there is none
// that would give anything.
func (sh *shard) choose(evict bool) bool {
	a := sh.c.a
	sh.step(1)
	for i := range sh.queues {
		// those that were begun before a flush stand first, and are dead from end to end
		if q := sh.queues[i].segs; len(q) > 0 && a.info[q[0]].epoch != sh.epoch {
			sh.begin(q[0], true)
			return true
		}
	}
	least := cleanFrom
	if sh.c.noEvict {
		least = packFrom
	}
	best := sh.dirt.dirtiest(least)
	cleaning := best != 0
	if !cleaning {
		if sh.c.noEvict || !evict {
			return false
		}
		p, m := &sh.queues[probation], &sh.queues[main]
		q := m
		if len(p.segs) > 0 && (len(m.segs) == 0 || p.weight*100 > (p.weight+m.weight)*probationShare) {
			q = p
		}
		if len(q.segs) == 0 {
			return false
		}
		best = q.segs[0]
	}
	sh.begin(best, cleaning)
	return true
}

func (sh *shard) begin(seg uint32, cleaning bool) {
	sh.walking, sh.cleaning = seg, cleaning // first, so that tidy lets it be
	if s := &sh.c.a.info[seg]; s.open {
		sh.seal(s.queue, s.term)
	}
	sh.soil(seg)
}

// walk goes through up to n entries of segments that are being emptied, until gain bytes came free, and returns how many
// did and whether it did anything at all. Without evict it only cleans.
func (sh *shard) walk(n, gain int, evict bool) (gained int, any bool) {
	a := sh.c.a
	for n > 0 && gained < gain && !sh.c.closed.Load() {
		if sh.walking == 0 && !sh.choose(evict) || !evict && !sh.cleaning {
			return gained, any
		}
		seg := sh.walking
		s := &a.info[seg]
		for ; n > 0 && gained < gain && s.hand < s.used; n-- {
			var it item
			off := uint64(seg)<<a.shift + uint64(s.hand)
			a.load(&it, off)
			size, weight := it.alloc, it.weight()
			sh.step(1)
			if a.u32(off)&gone != 0 {
				gained += size
			} else {
				kept := off == sh.keep
				moved, ok := sh.judge(&it)
				if !ok {
					return gained, any
				}
				if !moved {
					gained += weight
				} else if kept {
					n = 1 // there is nothing older here
				}
			}
			s.hand += uint32(size)
			any = true
		}
		if s.hand >= s.used {
			sh.walking = 0
			if s.dead != s.used {
				panic("BUG: a segment that was walked through is not empty")
			}
			sh.drop(seg)
			any = true
		}
	}
	return gained, any
}

// judge moves or removes the entry that walk came to. Not ok: it can be neither.
func (sh *shard) judge(it *item) (moved, ok bool) {
	hash := sh.c.hash(sh.key(it))
	if dead, flushed := sh.dead(it, sh.now); dead {
		sh.reclaim(hash, it, flushed)
		return false, true
	}
	slot := sh.slotOf(hash, it.off)
	freq := *slot >> freqShift & 3
	queue := sh.c.a.seg(it.off).queue
	switch {
	case it.off == sh.keep:
		if sh.move(it, slot, queue, freq) {
			sh.keep = it.off
			return true, true
		}
		if sh.c.noEvict {
			return false, false
		}
	case sh.cleaning:
		if sh.move(it, slot, queue, freq) {
			return true, true
		}
		if sh.c.noEvict {
			return false, false
		}
	case queue == probation && freq > 0:
		if sh.move(it, slot, main, 0) {
			return true, true
		}
	case queue == main && freq > 0:
		if sh.move(it, slot, main, freq-1) {
			return true, true
		}
	case queue == probation:
		sh.ghost.remember(hash, sh.index.count)
	}
	sh.evict(hash, it)
	return false, true
}

func (sh *shard) evict(hash uint64, it *item) {
	k := &sh.classes[grid.Class(it.charge())]
	k.Evicted++
	if it.expires != 0 {
		k.EvictedTTL++
	}
	if it.bits&fetched == 0 {
		k.EvictedUnfetched++
	}
	k.EvictedIdle, k.evictedAt = max(0, sh.now-it.lastUse), sh.now
	k.OldestUse = max(k.OldestUse, it.lastUse)
	sh.remove(hash, it)
}

// reclaim removes a dead entry that nobody asked for.
func (sh *shard) reclaim(hash uint64, it *item, flushed bool) {
	if !flushed {
		sh.expired(it)
	}
	k := &sh.classes[grid.Class(it.charge())]
	k.Reclaimed++
	if it.bits&fetched == 0 {
		k.ExpiredUnfetched++
	}
	sh.remove(hash, it)
}

// pay has an op that wrote n bytes make room for others, and returns what it is to have other caches make. What it wrote is at
// keep, and stays.
func (sh *shard) pay(n int, keep uint64) (tax int) {
	many := sh.c.s.many.Load()
	if !sh.c.a.tight() || !many && sh.lean() {
		sh.debt = 0
		return 0
	}
	sh.debt = min(sh.debt+n, sh.c.a.segSize())
	sh.keep = keep
	defer func() { sh.keep = 0 }()
	if many {
		// its own dead bytes first; when there were not enough of them anywhere, they are looked for again after some writing
		if sh.rest -= n; sh.rest <= 0 {
			if gained, any := sh.walk(payMost, sh.debt, false); any {
				sh.debt -= min(gained, sh.debt)
				return 0
			}
			sh.rest = sh.c.a.segSize()
		}
		tax, sh.debt = sh.debt, 0
		return tax
	}
	gained, _ := sh.walk(payMost, sh.debt, true)
	sh.debt -= min(gained, sh.debt)
	return 0
}

// lean tells whether the shard has clearly less than its share of what all have. Where a shard holds few entries, because
// they are large, some shards are; what they hold is younger than what others could give, so those give first.
func (sh *shard) lean() bool {
	a := sh.c.a
	p, m := &sh.queues[probation], &sh.queues[main]
	has := max(p.weight+m.weight, int64((len(p.segs)+len(m.segs))*a.segSize())) // dead bytes count, too: they are for it to clean
	has += int64(sh.index.buckets() * bucketLen * 8)
	return has*4*int64(len(sh.c.shards)) < int64(a.most()-a.low())*int64(a.segSize())*3
}

// need is what an op could not have.
type need struct {
	seg   bool // a log segment
	pages int

	copy bool // nothing: what is prepared is to be copied while the shard is not locked

	bound        uint8 // the cache is as full as it may be, or the entry alone would be too much for it
	count, bytes int64 // what there must be room for then
}

func (n *need) some() bool { return n.seg || n.pages != 0 || n.bound != 0 || n.copy }

func (a *arena) has(n need) bool {
	return (!n.seg || int(a.spared.Load()) > a.hard()) && (n.pages == 0 || a.roomFor(n.pages))
}

// force makes room in this shard, which is locked; others have their turn in between. False: there was nothing more to be had
// here.
func (sh *shard) force(n need, now int64) bool {
	a := sh.c.a
	for left := forceMost; left > 0 && !a.has(n); left -= turnMost {
		_, any := sh.walk(turnMost, a.segSize(), true)
		if a.has(n) {
			break
		}
		sh.mu.Unlock()
		if !any && sh.c.noEvict {
			any = sh.expire(now)
		}
		sh.mu.Lock()
		sh.at(now)
		if !any {
			break
		}
	}
	return a.has(n)
}

// makeRoom makes room in all caches in turn. No shard may be locked. False: everything that may go is gone.
func (s *Store) makeRoom(n need, now int64) bool {
	if n.pages > 0 && (n.pages+s.a.pages.per-1)/s.a.pages.per > s.a.most()-s.a.hard() {
		return false
	}
	idle := 0 // shards in a row that gave nothing
	for !s.a.has(n) {
		if s.razing.raze(turnMost) {
			continue
		}
		all := s.roster.Load().shards
		sh, gain := all[int(s.roomAt.Add(1))%len(all)], s.a.segSize()
		fair := s.many.Load() && idle < fairTries
		if fair {
			sh, gain = s.victim()
		}
		sh.mu.Lock()
		sh.at(now)
		gained, any := 0, false
		if fair || idle > len(all) || !sh.lean() {
			gained, any = sh.walk(turnMost, gain, true)
		}
		sh.unlock()
		if !any && sh.c.noEvict {
			any = sh.expire(now)
		}
		if fair {
			s.turn.gave(gained)
		}
		idle++
		if any {
			idle = 0
		}
		if idle > fairTries+3*len(all) {
			return s.a.has(n)
		}
	}
	return true
}
