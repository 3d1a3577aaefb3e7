package store

import (
	"sync/atomic"

	"github.com/latticed/latticed/grid"
)

// run is one version of one large value: written once through a slot, then read only. refs counts the index and every
// blob; bytes that are only pinned by blobs are counted against the bound on reservations.
type run struct {
	size   int
	filled int
	chunks [][]byte
	refs   atomic.Int32
	gone   atomic.Bool // left the index
}

// leave takes r out of the index.
func (s *Store) leave(r *run) {
	if r == nil {
		return
	}
	s.pinned.Add(int64(r.size))
	r.gone.Store(true)
	s.unref(r)
}

func (s *Store) unref(r *run) {
	if r.refs.Add(-1) == 0 && r.gone.Load() {
		s.pinned.Add(-int64(r.size))
	}
}

// slot implements grid.Slot.
type slot struct {
	s     *Store
	run   *run
	taken bool
}

// Reserve implements grid.Cache. Memory is taken as the value arrives, so that a client that announces a value and
// sends nothing costs nothing but its reservation.
func (s *Store) Reserve(op *grid.Op, size int, _ grid.Ticket) (grid.Slot, grid.Code) {
	switch {
	case size > s.maxValue, len(op.Key) > grid.MaxKey:
		return nil, grid.TooLarge
	case uint64(grid.Charge(len(op.Key), size, op.Flags)) > s.limit.Load():
		return nil, grid.Full
	}
	if s.reserved.Add(int64(size))+s.pinned.Load() > s.maxPinned {
		s.reserved.Add(-int64(size))
		s.busy.Add(1)
		return nil, grid.Busy
	}
	return &slot{s: s, run: &run{size: size}}, grid.OK
}

func (w *slot) Window() []byte {
	r := w.run
	if r.filled == r.size {
		return nil
	}
	i := r.filled / chunkSize
	if i == len(r.chunks) {
		r.chunks = append(r.chunks, make([]byte, min(chunkSize, r.size-i*chunkSize)))
	}
	return r.chunks[i][r.filled%chunkSize:]
}

func (w *slot) Wrote(n int) { w.run.filled += n }

func (w *slot) Abort() {
	if !w.taken {
		w.taken = true
		w.s.reserved.Add(-int64(w.run.size))
	}
}

// take ends the slot and returns its run with the index's reference.
func (w *slot) take() *run {
	if w.taken || w.run.filled != w.run.size {
		panic("BUG: a slot was stored twice or before it was full")
	}
	w.Abort()
	w.run.refs.Store(1)
	return w.run
}

// blob implements grid.Blob.
type blob struct {
	s   *Store
	run *run
}

func (b *blob) Len() int { return b.run.size }

func (b *blob) Piece(off, n int) []byte {
	if off >= b.run.size {
		return nil
	}
	c := b.run.chunks[off/chunkSize][off%chunkSize:]
	return c[:min(n, len(c))]
}

func (b *blob) Close() {
	if b.run != nil {
		b.s.unref(b.run)
		b.run = nil
	}
}

// appendTo appends the bytes of e's value to dst.
func (e *entry) appendTo(dst []byte) []byte {
	if e.run == nil {
		return append(dst, e.value...)
	}
	for _, c := range e.run.chunks {
		dst = append(dst, c...)
	}
	return dst
}
