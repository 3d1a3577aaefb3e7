package store

import (
	"math"

	"github.com/latticed/latticed/grid"
)

// An entry lies in one piece in a log segment, unaligned:
//
//	0  what it is made of, 4 bytes (the bits below)
//	4  version, 8 bytes
//	12 last use, 4 bytes
//	16 only what there is of: length of a long key, 2; flags, 4; lifespan, 7 or 16; max-idle, 16; attr, 2
//	   the key, or the run that holds it, 8
//	   the value, or the run that holds it and its length, 8 + 8
//	   slack, if it was overwritten by something shorter
//
// So an entry without flags, lifespan and max-idle costs 16 bytes beside key and value, plus its slot in the index.
// Nothing in it is an address of this process. Times are milliseconds; 4 bytes of them count from info.start, which is
// 2^31 ms before the segment was begun. The short lifespan is its end, 4 bytes, and its length, 3 bytes: seconds if the
// highest bit is set, else milliseconds; the long one is end and beginning, 8 bytes each. Max-idle comes with an own last
// use of 8 bytes, so that it is exact whatever the age of the segment.
//
// Slack is its own length: one byte, or 255 and two bytes.
const (
	sizeMask  = 1<<14 - 1 // length of the value; 0 if it is in a run
	keyShift  = 14
	keyMask   = 1<<7 - 1 // length of the key; keyMask: see the option
	gone      = 1 << 21
	fetched   = 1 << 22
	stale     = 1 << 23
	claimed   = 1 << 24
	inRun     = 1 << 25
	hasSlack  = 1 << 26
	hasFlags  = 1 << 27
	shortLife = 1 << 28
	longLife  = 1 << 29
	hasIdle   = 1 << 30
	hasAttr   = 1 << 31

	options = inRun | hasSlack | hasFlags | shortLife | longLife | hasIdle | hasAttr

	headerSize = 16
	maxHeader  = headerSize + 2 + 4 + 16 + 16 + 2
	startBias  = 1 << 31

	// A value of an overwritten entry is written in its place if it fills this share of it.
	fitNumerator, fitDenominator = 3, 4
)

// item is an entry taken apart. It is a value on the stack: nothing on the heap is kept for an entry.
type item struct {
	off     uint64 // where it lies; 0: nowhere
	bits    uint32 // fetched, stale, claimed, inRun; the others are worked out
	keyLen  int
	version uint64
	lastUse int64
	expires int64
	created int64
	idle    int64
	flags   uint32
	attr    uint16
	size    int    // of the value
	run     uint64 // with inRun
	keyRun  uint64 // of a key that is longer than arena.maxKey
	keyAt   uint64
	valueAt uint64
	total   int // bytes without slack
	alloc   int // with slack
}

// maxKey is the longest key that lies beside its value.
func (a *arena) maxKey() int { return a.segSize() / 16 }

// maxInline is the longest value that lies beside a key of that length.
func (a *arena) maxInline(keyLen int) int {
	return max(0, min(sizeMask, a.segSize()/8-min(keyLen, a.maxKey())-maxHeader))
}

func (a *arena) load(it *item, off uint64) {
	m := a.u32(off)
	s := a.seg(off)
	*it = item{
		off: off, bits: m & (fetched | stale | claimed | inRun), keyLen: int(m >> keyShift & keyMask),
		version: a.u64(off + 4), lastUse: s.start + int64(a.u32(off+12)), size: int(m & sizeMask),
	}
	p := off + headerSize
	if it.keyLen == keyMask {
		it.keyLen = int(a.u16(p))
		p += 2
	}
	if m&options != 0 {
		if m&hasFlags != 0 {
			it.flags = a.u32(p)
			p += 4
		}
		if m&shortLife != 0 {
			it.expires = s.start + int64(a.u32(p))
			it.created = it.expires - unpackSpan(uint32(a.u16(p+4))|uint32(a.bytes(p+6, 1)[0])<<16)
			p += 7
		}
		if m&longLife != 0 {
			it.expires, it.created = int64(a.u64(p)), int64(a.u64(p+8))
			p += 16
		}
		if m&hasIdle != 0 {
			it.idle, it.lastUse = int64(a.u64(p)), int64(a.u64(p+8))
			p += 16
		}
		if m&hasAttr != 0 {
			it.attr = a.u16(p)
			p += 2
		}
	}
	it.keyAt = p
	if it.keyLen > a.maxKey() {
		it.keyRun = a.u64(p)
		p += 8
	} else {
		p += uint64(it.keyLen)
	}
	it.valueAt = p
	if m&inRun != 0 {
		it.run, it.size = a.u64(p), int(a.u64(p+8))
		p += 16
	} else {
		p += uint64(it.size)
	}
	it.total = int(p - off)
	it.alloc = it.total
	if m&hasSlack != 0 {
		it.alloc += a.slack(p)
	}
}

// optionLen is how many bytes the options of a short key take, by the five highest bits.
var optionLen = func() (n [32]uint8) {
	for i := range n {
		for bit, size := range [5]uint8{4, 7, 16, 16, 2} {
			n[i] += size * uint8(i>>bit&1)
		}
	}
	return n
}()

// holds tells whether the entry at off has that key.
func (a *arena) holds(off uint64, key []byte, keyOf func(off uint64) []byte) bool {
	m := a.u32(off)
	n := int(m >> keyShift & keyMask)
	if n == keyMask {
		return string(keyOf(off)) == string(key)
	}
	return n == len(key) && string(a.bytes(off+headerSize+uint64(optionLen[m>>27]), n)) == string(key)
}

func (a *arena) slack(p uint64) int {
	if n := a.bytes(p, 1)[0]; n < 255 {
		return int(n)
	}
	return int(a.u16(p + 1))
}

func packSpan(ms int64) (uint32, bool) {
	switch {
	case ms < 0:
	case ms < 1<<23:
		return uint32(ms), true
	case ms%1000 == 0 && ms/1000 < 1<<23:
		return uint32(ms/1000) | 1<<23, true
	}
	return 0, false
}

func unpackSpan(v uint32) int64 {
	if v&(1<<23) != 0 {
		return int64(v&^(1<<23)) * 1000
	}
	return int64(v)
}

// life tells how the lifespan is written in a segment with that start.
func (it *item) life(start int64) uint32 {
	if it.expires == 0 {
		return 0
	}
	if _, ok := packSpan(it.expires - it.created); ok && it.expires >= start && it.expires-start <= math.MaxUint32 {
		return shortLife
	}
	return longLife
}

// measure works out the bytes that the item takes in a segment with that start.
func (it *item) measure(a *arena, start int64) int {
	n := headerSize
	if it.keyLen >= keyMask {
		n += 2
	}
	if it.flags != 0 {
		n += 4
	}
	switch it.life(start) {
	case shortLife:
		n += 7
	case longLife:
		n += 16
	}
	if it.idle != 0 {
		n += 16
	}
	if it.attr != 0 {
		n += 2
	}
	if it.keyLen > a.maxKey() {
		n += 8
	} else {
		n += it.keyLen
	}
	if it.bits&inRun != 0 {
		return n + 16
	}
	return n + it.size
}

// write puts the item down at off, where there are alloc bytes, and key, unless it is in a run. The value's bytes are
// the caller's to write, at valueAt. key may be nil if it is there already.
func (a *arena) write(it *item, off uint64, alloc int, key []byte) {
	s := a.seg(off)
	m := it.bits
	p := off + headerSize
	if it.keyLen < keyMask {
		m |= uint32(it.keyLen) << keyShift
	} else {
		m |= keyMask << keyShift
		a.put16(p, uint16(it.keyLen))
		p += 2
	}
	if it.flags != 0 {
		m |= hasFlags
		a.put32(p, it.flags)
		p += 4
	}
	switch life := it.life(s.start); life {
	case shortLife:
		m |= life
		a.put32(p, uint32(it.expires-s.start))
		span, _ := packSpan(it.expires - it.created)
		a.put16(p+4, uint16(span))
		a.bytes(p+6, 1)[0] = byte(span >> 16)
		p += 7
	case longLife:
		m |= life
		a.put64(p, uint64(it.expires))
		a.put64(p+8, uint64(it.created))
		p += 16
	}
	if it.idle != 0 {
		m |= hasIdle
		a.put64(p, uint64(it.idle))
		a.put64(p+8, uint64(it.lastUse))
		p += 16
	}
	if it.attr != 0 {
		m |= hasAttr
		a.put16(p, it.attr)
		p += 2
	}
	it.keyAt = p
	if it.keyLen > a.maxKey() {
		a.put64(p, it.keyRun)
		p += 8
	} else {
		if key != nil {
			copy(a.bytes(p, it.keyLen), key)
		}
		p += uint64(it.keyLen)
	}
	it.valueAt = p
	if m&inRun != 0 {
		a.put64(p, it.run)
		a.put64(p+8, uint64(it.size))
		p += 16
	} else {
		m |= uint32(it.size)
		p += uint64(it.size)
	}
	it.off, it.total, it.alloc = off, int(p-off), alloc
	if n := alloc - it.total; n > 0 {
		m |= hasSlack
		if n < 255 {
			a.bytes(p, 1)[0] = byte(n)
		} else {
			a.bytes(p, 1)[0] = 255
			a.put16(p+1, uint16(n))
		}
	} else if n < 0 {
		panic("BUG: an entry is larger than its place")
	}
	a.put32(off, m)
	a.put64(off+4, it.version)
	a.put32(off+12, s.relative(it.lastUse))
	s.note(it)
}

// relative is t as it is written in entries. Beyond the range, 24 days before the segment was begun and 24 after, it
// is the nearest in it: what is written in an older segment goes to a new one, a mere use stays at the end of the range.
func (s *info) relative(t int64) uint32 { return uint32(min(max(0, t-s.start), math.MaxUint32)) }

// reaches tells whether t is not behind the range.
func (s *info) reaches(t int64) bool { return t-s.start <= math.MaxUint32 }

// note keeps info.expires true.
func (s *info) note(it *item) { lower(it.end(), &s.expires, &s.expiresNext) }

// lower keeps moments true, before which nothing expires: of all there is, and of what a pass has come by.
func lower(at int64, all, passed *int64) {
	if at < *all { // mostly it is not, and nothing is written
		*all = at
	}
	if at < *passed {
		*passed = at
	}
}

// end is when the entry expires if nobody uses it.
func (it *item) end() int64 {
	at := int64(math.MaxInt64)
	if it.expires != 0 {
		at = it.expires
	}
	if it.idle != 0 && it.lastUse <= math.MaxInt64-it.idle {
		at = min(at, it.lastUse+it.idle)
	}
	return at
}

// settle writes down what a use or a touch changes, if the form stays the same. False: it has to be written anew.
func (a *arena) settle(it *item) bool {
	if s := a.seg(it.off); !s.reaches(it.lastUse) || it.measure(a, s.start) != it.total {
		return false
	}
	a.write(it, it.off, it.alloc, nil)
	return true
}

// used notes a use. Ops that read the clock a little earlier than others may come after them, and must not set the last use
// back: what was stored since a flush would be taken for older.
func (it *item) used(now int64) { it.lastUse = max(it.lastUse, now) }

func (it *item) charge() int { return grid.Charge(it.keyLen, it.size, it.flags) }

// weight is what the entry takes of a queue.
func (it *item) weight() int {
	if it.bits&inRun != 0 {
		return it.alloc + it.size
	}
	return it.alloc
}

func (it *item) expired(now int64) bool {
	return it.expires != 0 && it.expires <= now || it.idle != 0 && now-it.lastUse >= it.idle
}
