package gridtest

import (
	"cmp"
	"slices"

	"github.com/latticed/latticed/grid"
)

// Flush implements grid.Admin.
func (m *Model) Flush(at int64, t grid.Ticket) grid.Code {
	m.mu.Lock()
	defer m.unlock()
	m.tick(t.Now.Wall)
	m.flushAt = max(0, at)
	if m.flushAt == 0 {
		for _, e := range m.entries {
			e.flush = true
		}
		m.tell(grid.Cleared, nil)
	}
	m.tick(t.Now.Wall)
	return grid.OK
}

// SetLimit implements grid.Admin. As nothing is evicted, a limit below what is there is not possible.
func (m *Model) SetLimit(bytes uint64) bool {
	m.mu.Lock()
	defer m.unlock()
	if m.used() > bytes {
		return false
	}
	m.limit = bytes
	return true
}

// Stats implements grid.Admin.
func (m *Model) Stats(s *grid.Stats, now grid.Time) {
	m.mu.Lock()
	defer m.unlock()
	m.tick(now.Wall)
	*s = m.stats
	s.Memory, s.Limit = m.used(), m.limit
	for _, e := range m.entries {
		n := uint64(e.charge())
		s.Entries++
		s.Bytes += n
		c := &s.Classes[grid.Class(e.charge())]
		c.Entries++
		c.Bytes += n
		if c.OldestUse == 0 || e.lastUse < c.OldestUse {
			c.OldestUse = e.lastUse
		}
	}
}

// ResetStats implements grid.Admin.
func (m *Model) ResetStats() {
	m.mu.Lock()
	defer m.unlock()
	m.stats = grid.Stats{Reserved: m.stats.Reserved, PinnedDead: m.stats.PinnedDead}
}

// Scan implements grid.Admin. The cursor is the id of the entry before.
func (m *Model) Scan(p *grid.Page, now grid.Time) (more bool) {
	m.mu.Lock()
	defer m.unlock()
	p.Entries, p.Mem = p.Entries[:0], p.Mem[:0]
	for _, e := range m.rest(p, now.Wall) {
		if e.dead(now.Wall) {
			continue
		}
		full := len(p.Entries) == cap(p.Entries)
		if full || len(p.Entries) > 0 && len(p.Mem)+len(e.key) > cap(p.Mem) {
			return true
		}
		start := len(p.Mem)
		p.Mem = append(p.Mem, e.key...)
		d := grid.Entry{
			Key: p.Mem[start:len(p.Mem):len(p.Mem)], Flags: e.flags, Attr: e.attr, Version: e.version,
			Expires: e.expires, LastUse: e.lastUse, Size: len(e.val.b),
		}
		for bit, is := range map[grid.State]bool{grid.Fetched: e.fetched, grid.Stale: e.stale, grid.Claimed: e.claimed} {
			if is {
				d.State |= bit
			}
		}
		p.Entries = append(p.Entries, d)
		p.Cursor = e.id
	}
	return false
}

// rest is the entries that a scan has still to go through, in order.
func (m *Model) rest(p *grid.Page, now int64) (rest []*entry) {
	m.tick(now)
	for _, e := range m.entries {
		if e.id > p.Cursor && (p.Class == 0 || int(p.Class) == grid.Class(e.charge())) &&
			(p.Segment == 0 || p.Segment == int(m.opt.Segment([]byte(e.key)))+1) {
			rest = append(rest, e)
		}
	}
	slices.SortFunc(rest, func(a, b *entry) int { return cmp.Compare(a.id, b.id) })
	return rest
}

const modelPiece = 100 // entries that one Count or Clear goes through

// Count implements grid.Admin.
func (m *Model) Count(p *grid.Page, now grid.Time) (more bool) {
	m.mu.Lock()
	defer m.unlock()
	for i, e := range m.rest(p, now.Wall) {
		if i == modelPiece {
			return true
		}
		if !e.dead(now.Wall) {
			p.Count++
		}
		p.Cursor = e.id
	}
	return false
}

// Clear implements grid.Admin.
func (m *Model) Clear(p *grid.Page, now grid.Time, quiet bool) (more bool) {
	m.mu.Lock()
	defer m.unlock()
	for i, e := range m.rest(p, now.Wall) {
		if i == modelPiece {
			return true
		}
		dead := e.dead(now.Wall)
		if !dead {
			p.Count++
		}
		switch {
		case quiet || e.flush:
		case dead:
			m.tell(grid.Expired, e)
		default:
			m.tell(grid.Removed, e)
		}
		m.drop(e)
		p.Cursor = e.id
	}
	return false
}

// Segments implements grid.Admin.
func (m *Model) Segments() int { return m.opt.Segments }
