package store

import (
	"sync"

	"github.com/latticed/latticed/grid"
)

// shard is one part of a cache's entries. Everything but c and the atomic fields of index is guarded by mu.
type shard struct {
	// What nearly every op writes to is in one cache line, so that a processor that comes after another one waits for one.
	mu       sync.Mutex
	now      int64  // of the last op, for those who are not told the time
	epoch    uint32 // cache.epoch and
	late     uint32 // cache.late, of when the shard was locked last
	versions uint64 // the last one given out; the shard's number is in its low bits, so that they are unique in the cache
	entries  uint64 // gauge
	stored   uint64
	steps    int32 // entries and segments looked at since the shard was locked, by the loops that could go on
	told     bool  // feeds are to be woken
	bounded  bool  // the entries count towards the cache's bounds; stores read it
	_        [lineSize - 54]byte

	c        *cache
	index    index
	keyOf    func(off uint64) []byte // keyAt, made once
	queues   [numQueues]queue
	ghost    ghost
	dirt     dirt
	walking  uint32 // the segment that is being emptied (evict.go); 0 for none
	cleaning bool   // its live entries stay, all of them
	keep     uint64 // the entry that pay's op has written; 0 for none
	debt     int    // bytes written while memory was tight for which nothing was evicted yet

	rest int // bytes to be written before dead ones are looked for again, beside other caches

	sweepIn   uint8  // the queue that sweep goes through, plus 1; 0: it has not begun
	sweepNext int    // the segment that it goes on with, by its place there
	sweepEnd  int    // how many were there when it began
	sweeping  uint32 // the segment, if it has begun
	sweepOff  uint32 // where in it
	sweepLate uint32 // cache.late when it began
	dues      dues

	gone    counts // by the way, when they were asked for
	classes [grid.NumClasses]class
	scratch []byte  // a key that is in a run
	value   []byte  // a value that is made of parts
	found   []found // what a scan is to bring

	mostSteps int32 // the most that steps has been; tests hold it to what doc.go says

	_ [8]byte // to whole cache lines
}

const lineSize = 64 // bytes of a cache line

// counts are entries that ops found dead.
type counts struct{ expired, flushed uint64 }

// class is the statistics of a size class.
type class struct {
	grid.ClassStats       // Entries, Bytes and OldestUse are kept here, too
	evictedAt       int64 // when that was, ms since 1970
}

// at tells the shard, which was just locked, what time it is and what has been flushed. That is looked up once: what is
// found alive must not be written into a segment that is begun after another flush, or it would outlive it.
func (sh *shard) at(now int64) {
	sh.steps = 0
	sh.now = max(sh.now, now)
	sh.late = sh.c.late.Load()
	sh.epoch = sh.c.epoch.Load()
}

// step counts what is looked at under one lock.
func (sh *shard) step(n int32) {
	sh.steps += n
	sh.mostSteps = max(sh.mostSteps, sh.steps)
}

func (sh *shard) version() uint64 {
	sh.versions += uint64(len(sh.c.shards))
	return sh.versions
}

// key returns the key of an entry: in the arena, or if it is in a run, in the shard's scratch.
func (sh *shard) key(it *item) []byte {
	if it.keyRun != 0 {
		sh.scratch = sh.c.a.appendRun(sh.scratch[:0], it.keyRun)
		return sh.scratch
	}
	return sh.c.a.bytes(it.keyAt, it.keyLen)
}

// keyAt is the key of the entry at off.
func (sh *shard) keyAt(off uint64) []byte {
	var it item
	sh.c.a.load(&it, off)
	return sh.key(&it)
}

// find looks for an entry and takes it apart. nil: there is none.
func (sh *shard) find(hash uint64, key []byte, it *item) *uint64 {
	slot := sh.index.find(hash, key, sh.keyOf)
	if slot != nil {
		sh.c.a.load(it, *slot&offsetMask)
	}
	return slot
}

// slotOf returns the slot of an entry that is there.
func (sh *shard) slotOf(hash, off uint64) *uint64 {
	return sh.index.seek(hash, func(o uint64) bool { return o == off })
}

// dead tells whether an entry may not be seen any more, and whether a flush did that.
func (sh *shard) dead(it *item, now int64) (dead, flushed bool) {
	if sh.c.a.seg(it.off).epoch != sh.epoch || it.lastUse < sh.c.before.Load() {
		return true, true
	}
	return it.expired(now), false
}

// count and discount keep the gauges.
func (sh *shard) count(it *item) {
	n := it.charge()
	k := &sh.classes[grid.Class(n)]
	if k.Entries == 0 {
		k.OldestUse = it.lastUse
	}
	k.Entries++
	k.Bytes += uint64(n)
	sh.entries++
}

func (sh *shard) discount(it *item) {
	n := it.charge()
	k := &sh.classes[grid.Class(n)]
	k.Entries--
	k.Bytes -= uint64(n)
	sh.entries--
}

// recount keeps them where it takes the place of old. Mostly nothing changes, and nothing is written.
func (sh *shard) recount(old, it *item) {
	was, is := old.charge(), it.charge()
	if was == is && sh.classes[grid.Class(is)].Entries > 1 {
		return
	}
	sh.discount(old)
	sh.count(it)
}

// remove ends an entry and gives its room back.
func (sh *shard) remove(hash uint64, it *item) {
	sh.discount(it)
	sh.index.remove(hash, it.off)
	sh.bury(it)
	sh.leave(it)
}

// leave has the cache's bounds, and the runs, know of an entry no more.
func (sh *shard) leave(it *item) {
	if sh.bounded {
		sh.c.bounds.take(1, it.cost())
	}
	if it.bits&inRun != 0 {
		sh.c.letGo(it.run)
	}
	if it.keyRun != 0 {
		sh.c.a.freeRun(it.keyRun)
	}
}
