package store

import (
	"math"
	"slices"
)

// A shard writes its entries into log segments, one after the other. Segments stand in two queues, in the order they
// were begun: probation, where what is new goes, and main.
const (
	probation = iota
	main
	numQueues
)

type queue struct {
	segs   []uint32      // the oldest first
	open   [terms]uint32 // the segments that are written to; 0 for none
	parted bool          // terms were told apart before
	weight int64         // of its entries
}

// What expires at about the same time is written to the same segments, as far as that is cheap: they become free as a whole, and
// nothing has to be moved out of them. The terms are coarse, and there are few, since each may have an open segment in each
// queue; and only a shard that has many segments keeps terms apart. What has no lifespan is of term 0, like what has a long one.
const (
	terms     = 5
	termsFrom = 96 // segments of a shard
)

var termEnds = [terms - 1]int64{16_000, 128_000, 1024_000, 8192_000} // ms that are left

// term is that of an entry that is to be written to a queue. The first one there takes over what was open for all: where all
// are of one term, no segment is left half empty.
func (sh *shard) term(queue uint8, it *item) uint8 {
	if it.expires == 0 || len(sh.queues[probation].segs)+len(sh.queues[main].segs) < termsFrom {
		return 0
	}
	left := it.expires - sh.now
	for i, end := range termEnds {
		if left < end {
			term := uint8(i + 1)
			if q := &sh.queues[queue]; !q.parted {
				q.parted = true
				if open := q.open[0]; open != 0 {
					q.open[0], q.open[term], sh.c.a.info[open].term = 0, open, term
				}
			}
			return term
		}
	}
	return 0
}

// alloc returns room for an entry of n bytes, or 0. A segment for moving may be one of those kept for that.
func (sh *shard) alloc(queue, term uint8, n int, moving bool) uint64 {
	a, q := sh.c.a, &sh.queues[queue]
	if open := q.open[term]; open != 0 {
		s := &a.info[open]
		if int(s.used)+n <= a.segSize() && s.epoch == sh.epoch && s.reaches(sh.now+startBias/2) {
			off := uint64(open)<<a.shift + uint64(s.used)
			s.used += uint32(n)
			return off
		}
	}
	seg := a.take(moving)
	if seg == 0 {
		return 0
	}
	sh.seal(queue, term)
	s := &a.info[seg]
	s.queue, s.term, s.open = queue, term, true
	sh.fresh(s)
	s.used = uint32(n)
	q.open[term] = seg
	q.segs = append(q.segs, seg)
	return uint64(seg) << a.shift
}

// seal ends writing to the open segment of a queue.
func (sh *shard) seal(queue, term uint8) {
	q := &sh.queues[queue]
	if seg := q.open[term]; seg != 0 {
		q.open[term] = 0
		sh.c.a.info[seg].open = false
		sh.tidy(seg)
	}
}

// tidy frees a segment in which nothing is left.
func (sh *shard) tidy(seg uint32) {
	s := &sh.c.a.info[seg]
	if s.dead < s.used || seg == sh.walking {
		sh.soil(seg)
		return
	}
	if s.open { // goes on from its beginning
		sh.unswept(seg)
		sh.fresh(s)
		return
	}
	sh.drop(seg)
}

func (sh *shard) fresh(s *info) {
	s.used, s.dead, s.hand = 0, 0, 0
	s.start, s.expires, s.expiresNext = sh.now-startBias, math.MaxInt64, math.MaxInt64
	s.epoch, s.swept = sh.epoch, sh.late
}

// unswept has the sweep begin that segment anew if it stands in it: what comes to be there lies in other places.
func (sh *shard) unswept(seg uint32) {
	if seg == sh.sweeping {
		sh.sweeping = 0
	}
}

// drop gives a segment back.
func (sh *shard) drop(seg uint32) {
	sh.unswept(seg)
	sh.c.a.info[seg].dead = 0
	sh.soil(seg)
	queue := sh.c.a.info[seg].queue
	q := &sh.queues[queue]
	i := slices.Index(q.segs, seg)
	if sh.sweepIn == queue+1 { // the sweep passes over none, and over none twice
		if i < sh.sweepNext {
			sh.sweepNext--
		}
		if i < sh.sweepEnd {
			sh.sweepEnd--
		}
	}
	q.segs = slices.Delete(q.segs, i, i+1)
	sh.c.a.give(seg)
}

// bury makes the bytes of an entry dead, not the entry's run.
func (sh *shard) bury(it *item) {
	a := sh.c.a
	a.put32(it.off, a.u32(it.off)|gone)
	s := a.seg(it.off)
	s.dead += uint32(it.alloc)
	sh.queues[s.queue].weight -= int64(it.weight())
	sh.tidy(uint32(it.off >> a.shift))
}

// move writes an entry anew at the end of a queue. False: there is no room.
func (sh *shard) move(it *item, slot *uint64, queue uint8, freq uint64) bool {
	a := sh.c.a
	// the form depends on the segment; the longest is 9 bytes longer
	n := it.measure(a, sh.now-startBias)
	term := sh.term(queue, it)
	if open := sh.queues[queue].open[term]; open != 0 {
		n = max(n, it.measure(a, a.info[open].start))
	}
	off := sh.alloc(queue, term, n, true)
	if off == 0 {
		return false
	}
	from := *it
	if from.keyLen <= a.maxKey() {
		a.write(it, off, n, a.bytes(from.keyAt, from.keyLen))
	} else {
		a.write(it, off, n, nil)
	}
	if it.bits&inRun == 0 {
		copy(a.bytes(it.valueAt, it.size), a.bytes(from.valueAt, it.size))
	}
	*slot = *slot&^(freqMask|offsetMask) | freq<<freqShift | off
	sh.queues[queue].weight += int64(it.weight())
	sh.dues.note(it)
	sh.bury(&from)
	return true
}
