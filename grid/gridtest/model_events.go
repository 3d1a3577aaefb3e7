package gridtest

import (
	"slices"

	"github.com/latticed/latticed/grid"
)

// feed is one listener of a Model. m.mu guards it.
type feed struct {
	m      *Model
	want   grid.Interest
	t      grid.Ticket
	queue  []grid.Event
	lost   uint64
	rests  bool // wants a wake-up
	closed bool
}

// Events returns the model itself, as Open does.
func (m *Model) Events(name string, _ grid.Principal) (grid.Events, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	return m, nil
}

// Listen implements grid.Events.
func (m *Model) Listen(i grid.Interest, t grid.Ticket) (grid.Feed, grid.Code) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i.Kinds &^= grid.Lost
	f := &feed{m: m, want: i, t: t, rests: true}
	m.feeds = append(m.feeds, f)
	return f, grid.OK
}

// tell tells of an op, unless it wants that nobody is told.
func (x *exec) tell(kind grid.EventKind, e *entry) {
	if !x.asks(grid.NoEvents) {
		x.m.tell(kind, e)
	}
}

// unlock unlocks m.mu, then wakes whom something has come for.
func (m *Model) unlock() {
	wakes := m.wakes
	m.wakes = nil
	m.mu.Unlock()
	for _, t := range wakes {
		t.Late.Wake(t.Conn)
	}
}

func (m *Model) tell(kind grid.EventKind, e *entry) {
	for _, f := range m.feeds {
		if f.want.Kinds&kind == 0 {
			continue
		}
		v := grid.Event{Kind: kind}
		if e != nil {
			v.Attr, v.Flags, v.Key, v.Size, v.Version = e.attr, e.flags, []byte(e.key), len(e.val.b), e.version
			if f.want.Values && len(e.val.b) <= grid.StreamMin {
				v.Value = e.val.b
			}
		}
		if len(f.queue) == m.opt.Waiting {
			f.queue = f.queue[1:]
			f.lost++
		}
		f.queue = append(f.queue, v)
		if f.rests && f.t.Late != nil {
			f.rests = false
			m.wakes = append(m.wakes, f.t)
		}
	}
}

// Next implements grid.Feed.
func (f *feed) Next(p *grid.EventPage) grid.Code {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if f.closed {
		panic("BUG: a Feed is read after it was closed")
	}
	p.Events, p.Mem = p.Events[:0], p.Mem[:0]
	if f.lost > 0 && cap(p.Events) > 0 {
		p.Events = append(p.Events, grid.Event{Kind: grid.Lost, Count: f.lost})
		f.lost = 0
	}
	for len(f.queue) > 0 {
		v := f.queue[0]
		n := len(p.Events)
		if n == cap(p.Events) || n > 0 && len(p.Mem)+len(v.Key)+len(v.Value) > cap(p.Mem) {
			return grid.OK
		}
		start := len(p.Mem)
		p.Mem = append(append(p.Mem, v.Key...), v.Value...)
		key := start + len(v.Key)
		v.Key, v.Value = p.Mem[start:key:key], p.Mem[key:len(p.Mem):len(p.Mem)]
		p.Events = append(p.Events, v)
		f.queue = f.queue[1:]
	}
	f.rests = true
	return grid.Pending
}

// Close implements grid.Feed.
func (f *feed) Close() {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if f.closed {
		panic("BUG: a Feed closed twice")
	}
	f.closed = true
	f.m.feeds = slices.DeleteFunc(f.m.feeds, func(g *feed) bool { return g == f })
}
