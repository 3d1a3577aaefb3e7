package store

import (
	"math"

	"github.com/latticed/latticed/grid"
)

// A large value is a run (pages.go), filled once and never changed after it was stored. It is counted by reference, one
// for the entry and one for each Blob; who drops the last one frees it. So it is read without a lock, and whole, whatever
// happens to the entry.

// letGo drops the entry's reference. While others are there, its bytes are pinned.
func (c *cache) letGo(run uint64) {
	n := int64(c.a.runSize(run))
	c.pinned.Add(n)
	c.s.held.Add(n)
	c.unref(run, n)
}

// unref drops a reference. Who drops the last one takes back what letGo has counted before.
func (c *cache) unref(run uint64, size int64) {
	if c.a.refs(run).Add(math.MaxUint32) == 0 {
		c.a.freeRun(run)
		c.pinned.Add(-size)
		c.s.held.Add(-size)
	}
}

type blob struct {
	c    *cache
	at   cursor
	size int
}

// open returns a reader; the shard of the entry is locked, so the entry's reference is still there.
func (c *cache) open(run uint64) grid.Blob {
	c.a.refs(run).Add(1)
	b := &blob{c: c, at: c.a.start(run)}
	b.size = b.at.size
	return b
}

func (b *blob) Len() int { return b.size }

func (b *blob) Piece(off, n int) []byte {
	p := b.at.at(b.c.a, off)
	n = min(n, len(p))
	return p[:n:n]
}

func (b *blob) Close() {
	if b.at.run == 0 {
		panic("BUG: a Blob closed twice")
	}
	b.c.unref(b.at.run, int64(b.size))
	b.at.run = 0
}

// slot is room for a value; it is one session's until Do or Abort.
type slot struct {
	c      *cache
	at     cursor
	filled int
	key    int // length
	flags  uint32
	charge int64
}

// Reserve implements grid.Cache. The whole run is taken at once, but its memory is not used before it is filled.
func (c *cache) Reserve(op *grid.Op, size int, t grid.Ticket) (grid.Slot, grid.Code) {
	if c.closed.Load() {
		return nil, grid.Denied
	}
	if len(op.Key) > grid.MaxKey {
		return nil, grid.TooLarge
	}
	w := &slot{c: c, key: len(op.Key), flags: op.Flags}
	run := uint64(0)
	code := w.reserve(size, pagesFor(size), t, func() bool {
		run = c.a.newRun(size)
		return run != 0
	})
	if code != grid.OK {
		return nil, code
	}
	w.at = c.a.start(run)
	return w, grid.OK
}

// reserve changes the reservation to what a value of size bytes takes. take takes the pages, of which it wants so many.
func (w *slot) reserve(size, pages int, t grid.Ticket, take func() bool) grid.Code {
	c := w.c
	if c.closed.Load() {
		return grid.Denied
	}
	if size > c.maxValue {
		return grid.TooLarge
	}
	if most := c.bounds.maxBytes.Load(); most != 0 && cost(w.key, size, w.flags) > most {
		return w.full(size)
	}
	charge := int64(grid.Charge(w.key, size, w.flags))
	more := charge - w.charge
	held := c.reserve(more)
	if more > 0 && held > c.s.maxPinned.Load() && held != charge { // a single one may be larger than the bound
		c.reserve(-more)
		c.busy.Add(1)
		return grid.Busy
	}
	c.tick(t.Now.Wall)
	for range attempts {
		if take() {
			w.charge = charge
			return grid.OK
		}
		if !c.s.makeRoom(need{pages: pages}, t.Now.Wall) {
			break
		}
	}
	c.reserve(-more)
	if c.closed.Load() {
		return grid.Denied
	}
	return w.full(size)
}

// reserve counts a reservation and returns what is held now.
func (c *cache) reserve(charge int64) (held int64) {
	c.reserved.Add(charge)
	return c.s.held.Add(charge)
}

// full counts a reservation that there is no room for.
func (w *slot) full(size int) grid.Code {
	sh := &w.c.shards[0]
	sh.mu.Lock()
	sh.classes[grid.Class(grid.Charge(w.key, size, w.flags))].NoMemory++
	sh.mu.Unlock()
	return grid.Full
}

// Resize implements grid.Slot: the run gets further extents, or gives back what it does not need.
func (w *slot) Resize(size int, t grid.Ticket) grid.Code {
	run, a := w.at.run, w.c.a
	if run == 0 || size < w.filled {
		panic("BUG: Resize of a Slot that ended, or below what is filled")
	}
	code := w.reserve(size, pagesFor(max(0, size-w.at.size)), t, func() bool { return a.resizeRun(run, size) })
	if code == grid.OK {
		w.at = a.start(run)
	}
	return code
}

func (w *slot) Window() []byte { return w.at.at(w.c.a, w.filled) }

func (w *slot) Wrote(n int) {
	if n < 0 || n > len(w.Window()) {
		panic("BUG: Wrote beyond the Window")
	}
	w.filled += n
}

func (w *slot) Abort() { w.c.a.freeRun(w.end()) }

// end ends the reservation; the run is the caller's.
func (w *slot) end() uint64 {
	run := w.at.run
	if run == 0 {
		panic("BUG: a Slot ended twice")
	}
	w.at.run = 0
	w.c.reserve(-w.charge)
	return run
}

// filledSlot is the slot that an op has as its Body.
func (c *cache) filledSlot(body grid.Slot) *slot {
	w := body.(*slot)
	if w.c != c || w.filled != w.at.size {
		panic("BUG: an op with a Slot that is foreign or not filled")
	}
	return w
}
