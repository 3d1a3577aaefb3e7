package gridtest

import "github.com/latticed/latticed/grid"

// slot is a reservation of a Model. Its buffer is the session's until Do or Abort.
type slot struct {
	m      *Model
	b      []byte
	filled int
	key    int // length
	flags  uint32
	charge int
	done   bool // under m.mu
}

// Reserve implements grid.Cache.
func (m *Model) Reserve(op *grid.Op, size int, t grid.Ticket) (grid.Slot, grid.Code) {
	m.mu.Lock()
	defer m.unlock()
	m.tick(t.Now.Wall)
	if size > m.opt.MaxValue || len(op.Key) > grid.MaxKey {
		return nil, grid.TooLarge
	}
	s := &slot{m: m, b: make([]byte, size), key: len(op.Key), flags: op.Flags}
	if code := m.reserve(s, size, t); code != grid.OK {
		return nil, code
	}
	return s, grid.OK
}

// reserve changes what s has reserved to what a value of size bytes takes.
func (m *Model) reserve(s *slot, size int, t grid.Ticket) grid.Code {
	charge := grid.Charge(s.key, size, s.flags)
	others := m.stats.Reserved + m.stats.PinnedDead - uint64(s.charge)
	if m.opt.MaxPinned != 0 && charge > s.charge && others != 0 && others+uint64(charge) > m.opt.MaxPinned {
		m.stats.ReserveBusy++
		return grid.Busy
	}
	if charge > s.charge && !m.fits(charge-s.charge, 0, t.Now.Wall) {
		return grid.Full
	}
	m.stats.Reserved += uint64(charge) - uint64(s.charge)
	s.charge = charge
	return grid.OK
}

func (s *slot) Resize(size int, t grid.Ticket) grid.Code {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	switch {
	case s.done || size < s.filled:
		panic("BUG: Resize of a Slot that ended, or below what is filled")
	case size > s.m.opt.MaxValue:
		return grid.TooLarge
	}
	code := s.m.reserve(s, size, t)
	if code == grid.OK {
		s.b = append(make([]byte, 0, size), s.b[:s.filled]...)[:size]
	}
	return code
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

// giveBack takes back what end did.
func (s *slot) giveBack() {
	s.done = false
	s.m.stats.Reserved += uint64(s.charge)
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
