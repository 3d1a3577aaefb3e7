package store

import (
	"math/bits"
	"sync/atomic"
	"unsafe"
)

// pages hands out pages of log segments that are cut up: for runs, which hold large values and long keys, and for the
// index. arena.mu guards it.
//
// A run is a chain of extents, each a number of pages in a row. An extent begins with
//
//	0  next extent, 8 bytes, 0 for none
//	8  pages of this one, 4 bytes
//	12 references to the run, 4 bytes, atomic; of the first extent
//	16 bytes of the run, 8 bytes; of the first extent
//	32 the bytes
type pages struct {
	per     int      // pages a log segment
	partial []uint32 // cut segments with free pages
	free    int
}

const (
	pageShift    = 12
	pageSize     = 1 << pageShift
	extentHeader = 32
)

func (p *pages) init(a *arena) { p.per = a.segSize() >> pageShift }

// pagesFor is how many pages a run of n bytes takes at most.
func pagesFor(n int) int { return max(1, (n+pageSize-extentHeader-1)/(pageSize-extentHeader)) }

// carve takes up to want pages in a row. 0: there is none.
func (a *arena) carve(want int) (off uint64, got int) {
	p := &a.pages
	if len(p.partial) == 0 || want >= p.per {
		if seg := a.takeLocked(false); seg != 0 {
			i := &a.info[seg]
			for w := 0; w < p.per; w += 64 {
				i.free()[w/64] = ^uint64(0) >> max(0, 64-(p.per-w))
			}
			i.freePages, i.place = int32(p.per), int32(len(p.partial))
			p.free += p.per
			p.partial = append(p.partial, seg)
		} else if len(p.partial) == 0 {
			return 0, 0
		}
	}
	best, at, length := uint32(0), 0, 0
	for n := range min(8, len(p.partial)) { // the first that fits, else the longest of those looked at
		seg := p.partial[len(p.partial)-1-n]
		if f, l := a.info[seg].longest(p.per, want); l > length {
			best, at, length = seg, f, l
		}
		if length >= want {
			break
		}
	}
	got = min(length, want)
	i := &a.info[best]
	for n := at; n < at+got; n++ {
		i.free()[n/64] &^= 1 << (n % 64)
	}
	p.free -= got
	if i.freePages -= int32(got); i.freePages == 0 {
		a.unlist(i)
	}
	return uint64(best)<<a.shift + uint64(at)<<pageShift, got
}

// longest returns the first want free pages in a row, or else the longest row of free pages.
func (i *info) longest(per, want int) (at, length int) {
	for n := 0; n < per; {
		w := i.free()[n/64] >> (n % 64)
		if w == 0 {
			n = (n/64 + 1) * 64
			continue
		}
		n += bits.TrailingZeros64(w)
		start := n
		for n < per && n-start < want && i.free()[n/64]>>(n%64)&1 != 0 {
			n++
		}
		if n-start > length {
			at, length = start, n-start
		}
		if length >= want {
			break
		}
	}
	return at, length
}

func (a *arena) unlist(i *info) {
	p := &a.pages
	last := p.partial[len(p.partial)-1]
	p.partial[i.place] = last
	a.info[last].place = i.place
	p.partial = p.partial[:len(p.partial)-1]
}

func (a *arena) uncarve(off uint64, n int) {
	for n > 0 { // an extent may go over several segments
		here := min(n, (a.segSize()-int(off&uint64(a.segSize()-1)))>>pageShift)
		a.uncarveOne(off, here)
		off += uint64(here) << pageShift
		n -= here
	}
}

func (a *arena) uncarveOne(off uint64, n int) {
	p := &a.pages
	seg := uint32(off >> a.shift)
	i := &a.info[seg]
	at := int(off&uint64(a.segSize()-1)) >> pageShift
	for b := at; b < at+n; b++ {
		i.free()[b/64] |= 1 << (b % 64)
	}
	if i.freePages == 0 {
		i.place = int32(len(p.partial))
		p.partial = append(p.partial, seg)
	}
	i.freePages += int32(n)
	p.free += n
	if int(i.freePages) == p.per {
		a.unlist(i)
		p.free -= p.per
		a.giveLocked(seg)
	}
}

// page takes one page for the index. 0: there is none.
func (a *arena) page() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	off, _ := a.carve(1)
	return off
}

// roomFor tells whether n pages can be had.
func (a *arena) roomFor(n int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.roomLocked(n)
}

func (a *arena) roomLocked(n int) bool {
	return n <= a.pages.free+max(0, a.most()-a.used-a.hard())*a.pages.per
}

// newRun takes a run of n bytes with one reference. 0: there is no room.
func (a *arena) newRun(n int) uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.roomLocked(pagesFor(n)) {
		return 0
	}
	run, ok := a.chain(0, n)
	switch {
	case ok:
		a.put64(run+16, uint64(n))
		a.refs(run).Store(1)
		return run
	case run != 0:
		a.freeLocked(run)
	}
	return 0
}

// chain takes extents for left bytes and links them behind last, or one to the other where that is 0; then first is the
// first of them. Not ok: the system has no memory for what the limit allows, and what was taken so far is linked.
func (a *arena) chain(last uint64, left int) (first uint64, ok bool) {
	for {
		off, got := a.carve((left + extentHeader + pageSize - 1) >> pageShift)
		if got == 0 {
			return first, false
		}
		if last != 0 && off == last+uint64(a.u32(last+8))<<pageShift { // the longer a piece, the fewer writes to a socket
			a.put32(last+8, a.u32(last+8)+uint32(got))
			if left -= got << pageShift; left <= 0 {
				return first, true
			}
			continue
		}
		a.put64(off, 0)
		a.put32(off+8, uint32(got))
		if last == 0 {
			first = off
		} else {
			a.put64(last, off)
		}
		last = off
		if left -= got<<pageShift - extentHeader; left <= 0 {
			return first, true
		}
	}
}

// resizeRun makes a run size bytes long. False: there is no room, and nothing was changed.
func (a *arena) resizeRun(run uint64, size int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	last, room := run, 0
	for {
		room += int(a.u32(last+8))<<pageShift - extentHeader
		next := a.u64(last)
		if next == 0 {
			break
		}
		last = next
	}
	if size > room {
		if !a.roomLocked(pagesFor(size - room)) {
			return false
		}
		if _, ok := a.chain(last, size-room); !ok {
			a.trim(run, a.runSize(run))
			return false
		}
	} else {
		a.trim(run, size)
	}
	a.put64(run+16, uint64(size))
	return true
}

// trim frees the pages of a run that lie behind its first size bytes.
func (a *arena) trim(run uint64, size int) {
	for {
		pages := int(a.u32(run + 8))
		need := (size + extentHeader + pageSize - 1) >> pageShift
		if next := a.u64(run); need > pages && next != 0 {
			size -= pages<<pageShift - extentHeader
			run = next
			continue
		}
		if need < pages {
			a.put32(run+8, uint32(need))
			a.uncarve(run+uint64(need)<<pageShift, pages-need)
		}
		rest := a.u64(run)
		a.put64(run, 0)
		a.freeLocked(rest)
		return
	}
}

func (a *arena) freeRun(run uint64) {
	a.mu.Lock()
	a.freeLocked(run)
	a.mu.Unlock()
}

func (a *arena) freeLocked(run uint64) {
	for run != 0 {
		next := a.u64(run)
		a.uncarve(run, int(a.u32(run+8)))
		run = next
	}
}

func (a *arena) refs(run uint64) *atomic.Uint32 {
	return (*atomic.Uint32)(unsafe.Add(a.base, run+12))
}

func (a *arena) runSize(run uint64) int { return int(a.u64(run + 16)) }

// cursor is a place in a run. It only moves forward, but by start.
type cursor struct {
	run, extent uint64
	skipped     int // bytes of the extents before
	size        int
}

func (a *arena) start(run uint64) cursor { return cursor{run, run, 0, a.runSize(run)} }

// at returns the bytes at off up to the end of the extent or run.
func (c *cursor) at(a *arena, off int) []byte {
	if off >= c.size {
		return nil
	}
	if off < c.skipped {
		c.extent, c.skipped = c.run, 0
	}
	for {
		n := int(a.u32(c.extent+8))<<pageShift - extentHeader
		if off < c.skipped+n {
			at := off - c.skipped
			return a.bytes(c.extent+extentHeader+uint64(at), min(n-at, c.size-off))
		}
		c.skipped += n
		c.extent = a.u64(c.extent)
	}
}

// appendRun appends the bytes of a run to dst.
func (a *arena) appendRun(dst []byte, run uint64) []byte {
	c := a.start(run)
	for off := 0; off < c.size; {
		p := c.at(a, off)
		dst = append(dst, p...)
		off += len(p)
	}
	return dst
}
