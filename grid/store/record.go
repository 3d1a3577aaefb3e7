package store

import (
	"slices"
	"sync/atomic"
	"unsafe"

	"github.com/latticed/latticed/grid"
)

// record is an entry, or free. Its place never changes, so an index stays good while the table grows and a scan can go
// by it.
type record struct {
	// first is &data[0], or nil with an empty key. It is there for Store.touch, which reads it without the lock: it is set
	// with the buffer, and the key in a buffer never changes.
	first atomic.Pointer[byte]
	entry

	// Never written, so that touch may read it: it is on the record's second cache line, and makes it end there.
	second [2]uint64
}

// entry is all of a record that only the lock guards.
type entry struct {
	data    []byte // the key, then the value unless it is in run; nobody but the record holds it
	version uint64
	expires int64 // ms since 1970; 0 for never
	lastUse int64
	epoch   uint32
	keyLen  uint16
	bits    uint8
	class   uint8 // grid.Class of the charge; 0 while the record is free
	flags   uint32
	attr    uint16
	tag     uint32 // of the index
	run     *run   // the value, above grid.StreamMin
	created int64
	idle    int64  // max-idle in ms; 0 for none
	prev    uint32 // towards the young end of the class's queue
	next    uint32 // towards the old end; of a free record, the next free one
}

// The bits of a record.
const (
	fetched = 1 << iota
	stale
	claimed
	used // since it was queued
)

func (r *record) key() []byte { return r.data[:r.keyLen] }

func (r *record) size() int {
	if r.run != nil {
		return r.run.size
	}
	return len(r.data) - int(r.keyLen)
}

func (r *record) charge() int { return grid.Charge(int(r.keyLen), r.size(), r.flags) }

// fit makes room for a small value of n bytes after the key and returns it. What was there stays as far as it fits. A
// buffer is kept as long as it is at most half empty.
func (r *record) fit(n int) []byte {
	n += int(r.keyLen)
	if have := cap(r.data); n <= have && have-n <= max(n, 64) {
		r.data = r.data[:n]
	} else {
		r.move(append(slices.Grow([]byte(nil), n), r.data[:min(n, len(r.data))]...)[:n])
	}
	return r.data[r.keyLen:]
}

// move makes data, which begins with the key, the buffer.
func (r *record) move(data []byte) {
	r.data = data
	if r.keyLen > 0 {
		r.first.Store(unsafe.SliceData(data))
	}
}

// Records come in blocks, so that a shard grows without copying any.
const (
	blockBits = 8
	blockLen  = 1 << blockBits
)

type block [blockLen]record

// records are the entries of a shard by number, from 1 on.
type records struct {
	blocks atomic.Pointer[[]*block] // replaced, never changed, for Store.touch
	free   uint32                   // the first free record
	top    uint32                   // the first that was never used
}

func (rs *records) at(i uint32) *record { return &(*rs.blocks.Load())[i>>blockBits][i%blockLen] }

func (rs *records) alloc() uint32 {
	i := rs.free
	if i != 0 {
		rs.free = rs.at(i).next
		return i
	}
	i = rs.top
	if int(i>>blockBits) == len(*rs.blocks.Load()) {
		rs.grow()
	}
	rs.top++
	return i
}

func (rs *records) grow() {
	blocks := append(*rs.blocks.Load(), new(block))
	rs.blocks.Store(&blocks)
}

func (rs *records) release(i uint32) {
	r := rs.at(i)
	r.first.Store(nil)
	r.entry = entry{next: rs.free}
	rs.free = i
}

// inUse tells whether the record is an entry.
func (r *record) inUse() bool { return r.class != 0 }
