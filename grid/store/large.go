package store

import (
	"sync/atomic"

	"github.com/latticed/latticed/grid"
)

// run is a large value: chunks that are filled once and never change after it was stored. It is counted by reference,
// one for the entry and one for each Blob, only to know what is still read though its entry is gone; the memory itself
// is the garbage collector's.
type run struct {
	size   int
	chunks [][]byte // all of chunkLen but the last; made as they are filled
	filled int
	refs   atomic.Int32
}

const (
	chunkBits = 20
	chunkLen  = 1 << chunkBits
)

func newRun(value []byte) *run {
	v := &run{size: len(value)}
	v.write(value)
	return v
}

// window returns what is next to be filled.
func (v *run) window() []byte {
	if v.filled == v.size {
		return nil
	}
	c := v.filled >> chunkBits
	if c == len(v.chunks) {
		v.chunks = append(v.chunks, make([]byte, min(chunkLen, v.size-v.filled)))
	}
	return v.chunks[c][v.filled&(chunkLen-1):]
}

func (v *run) write(p []byte) {
	for len(p) > 0 {
		n := copy(v.window(), p)
		v.filled += n
		p = p[n:]
	}
}

func (v *run) copy(from *run) {
	if from != nil {
		for _, c := range from.chunks {
			v.write(c)
		}
	}
}

func (v *run) piece(off, n int) []byte {
	if off >= v.size {
		return nil
	}
	p := v.chunks[off>>chunkBits][off&(chunkLen-1):]
	n = min(n, len(p))
	return p[:n:n]
}

// open returns a reader; the shard of the entry is locked, so the entry's reference is still there.
func (v *run) open(s *Store) grid.Blob {
	v.refs.Add(1)
	return &blob{s: s, run: v}
}

// letGo drops the entry's reference; run may be nil. refs does not count that one, it is there until now.
func (s *Store) letGo(v *run) {
	if v != nil {
		s.pinned.Add(int64(v.size))
		s.drop(v)
	}
}

// drop drops a reference. refs is one less than there are, so that a new run needs no setting up. Who drops the last
// one takes back what letGo has counted before.
func (s *Store) drop(v *run) {
	if v.refs.Add(-1) < 0 {
		s.pinned.Add(-int64(v.size))
	}
}

type blob struct {
	s   *Store
	run *run
}

func (b *blob) Len() int                { return b.run.size }
func (b *blob) Piece(off, n int) []byte { return b.run.piece(off, n) }

func (b *blob) Close() {
	if b.run == nil {
		panic("BUG: a Blob closed twice")
	}
	b.s.drop(b.run)
	b.run = nil
}

// slot is room for a value; it is one session's until Do or Abort.
type slot struct {
	s      *Store
	run    *run
	charge int64
}

// Reserve implements grid.Cache. Chunks are made when they are needed, so a client that announces much and sends
// nothing takes from the budget, not from the memory.
func (s *Store) Reserve(op *grid.Op, size int, t grid.Ticket) (grid.Slot, grid.Code) {
	if size > s.maxValue || len(op.Key) > grid.MaxKey {
		return nil, grid.TooLarge
	}
	charge := int64(grid.Charge(len(op.Key), size, op.Flags))
	held := s.reserved.Add(charge) + s.pinned.Load()
	if held > s.maxPinned && held != charge { // a single one may be larger than the bound
		s.reserved.Add(-charge)
		s.busy.Add(1)
		return nil, grid.Busy
	}
	s.tick(t.Now.Wall)
	if !s.makeRoom(charge, t.Now.Wall) {
		s.reserved.Add(-charge)
		sh := &s.shards[0]
		sh.mu.Lock()
		sh.queues[grid.Class(int(charge))].stats.NoMemory++
		sh.mu.Unlock()
		return nil, grid.Full
	}
	return &slot{s: s, run: &run{size: size}, charge: charge}, grid.OK
}

func (w *slot) Window() []byte { return w.run.window() }

func (w *slot) Wrote(n int) {
	if n < 0 || n > len(w.run.window()) {
		panic("BUG: Wrote beyond the Window")
	}
	w.run.filled += n
}

func (w *slot) Abort() {
	w.end()
	w.s.used.Add(-w.charge)
}

func (w *slot) end() {
	if w.run == nil {
		panic("BUG: a Slot ended twice")
	}
	w.run = nil
	w.s.reserved.Add(-w.charge)
}

// takeSlot ends a reservation and returns the value and the bytes of Store.used that are now the op's.
func (s *Store) takeSlot(body grid.Slot) (*run, int64) {
	w := body.(*slot)
	v := w.run
	if w.s != s || v == nil || v.filled != v.size {
		panic("BUG: an op with a Slot that is foreign, ended or not filled")
	}
	w.end()
	return v, w.charge
}
