package store

import "sync/atomic"

// index finds records by hash: open addressing, linear probing, removal by moving back what follows. A slot is a tag
// (the low 32 bits of the hash, which also give the slot to begin with) and the number of a record; 0 is free.
//
// Slots are written atomically under the lock, because Store.touch reads them without it.
type index struct {
	table atomic.Pointer[[]uint64] // a power of two of slots
	slots []uint64                 // the same
	count int
}

const minSlots = 8

func (x *index) mask() uint32 { return uint32(len(x.slots) - 1) }

func (x *index) insert(tag, rec uint32) {
	if x.count >= len(x.slots)-len(x.slots)/4 {
		x.resize(max(minSlots, 2*len(x.slots)))
	}
	x.count++
	x.place(tag, rec)
}

func (x *index) place(tag, rec uint32) {
	mask := x.mask()
	i := tag & mask
	for x.slots[i] != 0 {
		i = (i + 1) & mask
	}
	atomic.StoreUint64(&x.slots[i], uint64(tag)<<32|uint64(rec))
}

func (x *index) remove(tag, rec uint32) {
	mask := x.mask()
	i := tag & mask
	for x.slots[i] != uint64(tag)<<32|uint64(rec) {
		i = (i + 1) & mask
	}
	for j := i; ; {
		j = (j + 1) & mask
		slot := x.slots[j]
		if slot == 0 {
			break
		}
		// slot may move back to the gap i if its probe passes there
		if home := uint32(slot>>32) & mask; (j-home)&mask >= (j-i)&mask {
			atomic.StoreUint64(&x.slots[i], slot)
			i = j
		}
	}
	atomic.StoreUint64(&x.slots[i], 0)
	x.count--
	if len(x.slots) > minSlots && x.count < len(x.slots)/8 {
		x.resize(len(x.slots) / 2)
	}
}

func (x *index) resize(n int) {
	old, slots := x.slots, make([]uint64, n)
	x.slots = slots
	for _, slot := range old {
		if slot != 0 {
			x.place(uint32(slot>>32), uint32(slot))
		}
	}
	x.table.Store(&slots)
}
