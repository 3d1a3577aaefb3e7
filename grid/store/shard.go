package store

import (
	"slices"
	"sync"

	"github.com/latticed/latticed/grid"
)

// shard is one part of the entries. Everything but s is guarded by mu.
type shard struct {
	s *Store

	mu       sync.Mutex
	index    index
	records  records
	queues   [grid.NumClasses]queue
	inUse    uint64 // bit c: queues[c] is not empty
	hand     uint32 // the record sweep goes on with
	now      int64  // of the last op, for SetLimit, which is not told the time
	versions uint64 // the last one given out; the shard's number is in its low bits, so that they are unique in the cache
	counts   counts

	_ [64]byte // keeps the next shard's mutex off this one's cache lines
}

// counts are the counters of grid.Stats.
type counts struct {
	entries    uint64 // gauges
	stored     uint64
	getExpired uint64
	getFlushed uint64
}

func (sh *shard) init(s *Store, number int) {
	sh.s = s
	sh.versions = uint64(number)
	sh.index.resize(minSlots)
	sh.records.top = 1
	sh.records.blocks.Store(&[]*block{})
}

func (sh *shard) version() uint64 {
	sh.versions += numShards
	return sh.versions
}

// find returns the number of key's record, 0 for none.
func (sh *shard) find(hash uint64, key []byte) uint32 {
	tag := uint32(hash)
	mask := sh.index.mask()
	for i := tag & mask; ; i = (i + 1) & mask {
		slot := sh.index.slots[i]
		if slot == 0 {
			return 0
		}
		if uint32(slot>>32) == tag {
			if r := sh.records.at(uint32(slot)); string(r.key()) == string(key) {
				return uint32(slot)
			}
		}
	}
}

// dead tells whether r may not be seen any more, and whether a flush did that.
func (sh *shard) dead(r *record, now int64) (dead, flushed bool) {
	if r.epoch != sh.s.epoch.Load() || r.lastUse < sh.s.before.Load() {
		return true, true
	}
	return r.expires != 0 && r.expires <= now || r.idle != 0 && now-r.lastUse >= r.idle, false
}

// create makes an entry with an empty value that is in the index, but neither counted nor queued before settle.
// Its buffer has room for small bytes of value.
func (sh *shard) create(hash uint64, key []byte, small int) (uint32, *record) {
	i := sh.records.alloc()
	r := sh.records.at(i)
	r.entry = entry{keyLen: uint16(len(key)), tag: uint32(hash)}
	r.move(append(slices.Grow([]byte(nil), len(key)+small), key...))
	sh.index.insert(r.tag, i)
	return i, r
}

// settle counts and queues entry i under the class it has now, after a change.
func (sh *shard) settle(i uint32, r *record) {
	charge := r.charge()
	if c := uint8(grid.Class(charge)); c == r.class {
		r.bits |= used
	} else {
		if r.class != 0 {
			sh.unlink(i, r)
			r.bits &^= used
		}
		r.class = c
		sh.link(i, r)
	}
	q := &sh.queues[r.class]
	q.entries++
	q.bytes += uint64(charge)
	sh.counts.entries++
}

// unsettle undoes the counting, before a change.
func (sh *shard) unsettle(r *record) {
	charge := uint64(r.charge())
	q := &sh.queues[r.class]
	q.entries--
	q.bytes -= charge
	sh.counts.entries--
}

// remove ends entry i and gives its room back.
func (sh *shard) remove(i uint32) {
	r := sh.records.at(i)
	sh.s.used.Add(-int64(r.charge()))
	sh.unsettle(r)
	sh.unlink(i, r)
	sh.index.remove(r.tag, i)
	sh.s.letGo(r.run)
	sh.records.release(i)
}
