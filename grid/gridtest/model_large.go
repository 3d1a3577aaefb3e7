package gridtest

import "github.com/latticed/latticed/grid"

// slot is a reservation of a Model. Its buffer is the session's until Do or Abort.
type slot struct {
	m      *Model
	b      []byte
	filled int
	charge int
	done   bool // under m.mu
}

// Reserve implements grid.Cache.
func (m *Model) Reserve(op *grid.Op, size int, t grid.Ticket) (grid.Slot, grid.Code) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tick(t.Now.Wall)
	if size > m.opt.MaxValue || len(op.Key) > grid.MaxKey {
		return nil, grid.TooLarge
	}
	charge := grid.Charge(len(op.Key), size, op.Flags)
	if held := m.stats.Reserved + m.stats.PinnedDead; m.opt.MaxPinned != 0 && held != 0 && held+uint64(charge) > m.opt.MaxPinned {
		m.stats.ReserveBusy++
		return nil, grid.Busy
	}
	if !m.fits(charge, 0, t.Now.Wall) {
		return nil, grid.Full
	}
	m.stats.Reserved += uint64(charge)
	return &slot{m: m, b: make([]byte, size), charge: charge}, grid.OK
}

func (s *slot) Window() []byte {
	w := s.b[s.filled:]
	if c := s.m.opt.Chunk; c > 0 && len(w) > c {
		w = w[:c:c]
	}
	return w
}

func (s *slot) Wrote(n int) {
	if n < 0 || n > len(s.Window()) {
		panic("BUG: Wrote beyond the Window")
	}
	s.filled += n
}

func (s *slot) Abort() {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	s.end()
}

func (s *slot) end() {
	if s.done {
		panic("BUG: a Slot ended twice")
	}
	s.done = true
	s.m.stats.Reserved -= uint64(s.charge)
}

// takeSlot ends a reservation and returns what was filled in.
func (m *Model) takeSlot(body grid.Slot) []byte {
	s := body.(*slot)
	if s.m != m || s.filled != len(s.b) {
		panic("BUG: an op with a foreign or unfilled Slot")
	}
	s.end()
	return s.b
}

// blob reads one value.
type blob struct {
	m *Model
	v *value // nil once closed
}

func (b *blob) Len() int { return len(b.v.b) }

func (b *blob) Piece(off, n int) []byte {
	if c := b.m.opt.Chunk; c > 0 {
		n = min(n, c)
	}
	end := min(off+n, len(b.v.b))
	return b.v.b[off:end:end]
}

func (b *blob) Close() {
	b.m.mu.Lock()
	defer b.m.mu.Unlock()
	v := b.v
	b.v = nil
	v.readers--
	if v.gone && v.readers == 0 {
		b.m.stats.PinnedDead -= uint64(len(v.b))
	}
}
