package store

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"sync"

	"github.com/latticed/latticed/grid"
)

// A cache that somebody listens to has a ring of events in the arena, which all its feeds read, each from its own place:
// an event is written once, however many listen. What is overwritten before a feed came to it is lost to that feed; counts
// of each kind, of what was written and of what was overwritten, say how much that was of what it asked for.
//
// Events are written with the entry's shard locked, so those on one key are in the order of its ops. A flush locks no
// shard, and an op that began before may write its event behind. So events know how many flushes their op has seen: what
// is told too late is left out, as it concerns an entry that the flush has ended; and who knows of a flush that is not
// told yet tells it first.
//
// Feeds are woken when the shard is unlocked again (shard.unlock).
type events struct {
	c    *cache
	ring []uint64 // its pages

	mu         sync.Mutex // guards all below and the pages
	feeds      []*feed
	kinds      grid.EventKind // that anybody asked for
	values     int            // how many want values
	head, tail uint64         // positions of the next event and of the oldest
	told, gone tally          // before head and before tail
	resting    [numKinds]int  // feeds that are to be woken by that kind
	flushes    uint32         // how many are told
	ended      bool           // the cache was removed
}

const (
	numKinds   = 5 // without Lost
	maxFeeds   = 1024
	eventHead  = 32        // bytes of an event before its key
	eventPage  = 1024      // events that one Next looks at
	eventBytes = 64 << 10  // and bytes that it brings, by about one event
	minRing    = 128 << 10 // more than the longest event
	maxRing    = 4 << 20
	ringShare  = 256 // of the limit, one ring
	ringsShare = 8   // of the limit, all of them
)

// tally counts events by kind.
type tally [numKinds]uint64

func kindOf(k grid.EventKind) int { return bits.TrailingZeros8(uint8(k)) }

// of is how many there are of kinds.
func (t *tally) of(kinds grid.EventKind) (n uint64) {
	for i := range t {
		if kinds>>i&1 != 0 {
			n += t[i]
		}
	}
	return n
}

// Events implements grid.Caches.
func (s *Store) Events(name string, _ grid.Principal) (grid.Events, error) {
	c, err := s.lookup(name)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Listen implements grid.Events. The first listener takes a ring of a 256th of the limit, 128 KiB to 4 MiB, the last one
// gives it back. All rings together are at most an eighth of the limit.
func (c *cache) Listen(i grid.Interest, t grid.Ticket) (grid.Feed, grid.Code) {
	c.listening.Lock()
	defer c.listening.Unlock()
	if c.closed.Load() {
		return nil, grid.Denied
	}
	e := c.events.Load()
	if e == nil {
		var code grid.Code
		if e, code = c.newEvents(t.Now.Wall); code != grid.OK {
			return nil, code
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.feeds) == maxFeeds {
		return nil, grid.Busy
	}
	f := &feed{e: e, kinds: i.Kinds & (1<<numKinds - 1), values: i.Values, late: t.Late, conn: t.Conn, at: e.head, seen: e.told}
	e.feeds = append(e.feeds, f)
	e.interests()
	f.rest(true)
	c.events.Store(e)
	return f, grid.OK
}

// newEvents takes the memory for a ring.
func (c *cache) newEvents(now int64) (*events, grid.Code) {
	limit := c.s.limit.Load()
	size := int64(1) << (bits.Len64(min(max(limit/ringShare, minRing), maxRing)) - 1)
	if n := c.s.rings.Add(size); n != size && uint64(n) > limit/ringsShare {
		c.s.rings.Add(-size)
		return nil, grid.Busy
	}
	e := &events{c: c, ring: make([]uint64, 0, size>>pageShift), flushes: c.flushes()}
	for try := 0; len(e.ring) < cap(e.ring); {
		if page := c.a.page(); page != 0 {
			e.ring = append(e.ring, page)
			continue
		}
		if try++; try > attempts || !c.s.makeRoom(need{pages: cap(e.ring) - len(e.ring)}, now) {
			e.free()
			return nil, grid.Busy
		}
	}
	return e, grid.OK
}

// free gives the ring back.
func (e *events) free() {
	a := e.c.a
	a.mu.Lock()
	for _, page := range e.ring {
		a.uncarve(page, 1)
	}
	a.mu.Unlock()
	e.c.s.rings.Add(-int64(cap(e.ring)) << pageShift)
	e.ring = nil
}

func (e *events) interests() {
	e.kinds, e.values = 0, 0
	for _, f := range e.feeds {
		e.kinds |= f.kinds
		if f.values {
			e.values++
		}
	}
}

// flushes is how many there were, counted so that they can be told apart before and after.
func (c *cache) flushes() uint32 { return c.late.Load() + c.epoch.Load() }

// tell tells what happened to an entry of the shard, which is locked. While that is told, it is still there.
func (e *events) tell(sh *shard, kind grid.EventKind, it *item, key []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	flushes := sh.late + sh.epoch
	if int32(flushes-e.flushes) < 0 || kind&(grid.Created|grid.Modified) != 0 && it.lastUse < e.c.before.Load() {
		return
	}
	told := e.flushed(flushes)
	if e.kinds&kind != 0 && e.ring != nil {
		size := 0
		if e.values > 0 && it.size <= grid.StreamMin {
			size = it.size
		}
		e.begin(kind, it, len(key), size)
		e.put(key)
		if size > 0 && it.bits&inRun == 0 {
			e.put(e.c.a.bytes(it.valueAt, size))
		} else if size > 0 {
			from := e.c.a.start(it.run)
			for off := 0; off < size; {
				b := from.at(e.c.a, off)
				e.put(b)
				off += len(b)
			}
		}
		told = told || e.resting[kindOf(kind)] > 0
	}
	sh.told = sh.told || told
}

// flushed tells of the flushes that are not told yet, and whether anybody is to be woken by that.
func (e *events) flushed(flushes uint32) bool {
	if int32(flushes-e.flushes) <= 0 {
		return false
	}
	for ; e.flushes != flushes; e.flushes++ {
		if e.kinds&grid.Cleared != 0 && e.ring != nil {
			e.begin(grid.Cleared, &item{}, 0, 0)
		}
	}
	return e.resting[kindOf(grid.Cleared)] > 0
}

// cleared tells of a flush. flushing is locked.
func (c *cache) cleared() {
	if e := c.events.Load(); e != nil {
		e.mu.Lock()
		e.flushed(c.flushes())
		e.mu.Unlock()
	}
}

// begin writes what comes before the key, and makes room for all of it.
func (e *events) begin(kind grid.EventKind, it *item, key, value int) {
	size := uint64(len(e.ring)) << pageShift
	for e.head+uint64(eventHead+key+value)-e.tail > size {
		var h eventHeader
		e.read(&h, e.tail)
		e.gone[kindOf(h.kind)]++
		e.tail += h.len()
	}
	e.told[kindOf(kind)]++
	var b [eventHead]byte
	le := binary.LittleEndian
	b[0] = byte(kind)
	le.PutUint16(b[1:], it.attr)
	le.PutUint32(b[3:], it.flags)
	le.PutUint16(b[7:], uint16(key))
	le.PutUint16(b[9:], uint16(value))
	le.PutUint64(b[11:], it.version)
	le.PutUint64(b[19:], uint64(it.size))
	e.put(b[:])
}

type eventHeader struct {
	kind       grid.EventKind
	attr       uint16
	flags      uint32
	key, value int
	version    uint64
	size       int
}

func (h *eventHeader) len() uint64 { return uint64(eventHead + h.key + h.value) }

func (e *events) read(h *eventHeader, at uint64) {
	var mem [eventHead]byte
	b := e.get(mem[:0], at, eventHead)
	le := binary.LittleEndian
	*h = eventHeader{
		kind: grid.EventKind(b[0]), attr: le.Uint16(b[1:]), flags: le.Uint32(b[3:]),
		key: int(le.Uint16(b[7:])), value: int(le.Uint16(b[9:])), version: le.Uint64(b[11:]), size: int(le.Uint64(b[19:])),
	}
}

// at is the bytes of the ring from a position to the end of its page.
func (e *events) at(at uint64) []byte {
	page := e.ring[at>>pageShift&uint64(len(e.ring)-1)]
	off := int(at & (pageSize - 1))
	return e.c.a.bytes(page+uint64(off), pageSize-off)
}

func (e *events) put(b []byte) {
	for len(b) > 0 {
		n := copy(e.at(e.head), b)
		e.head += uint64(n)
		b = b[n:]
	}
}

// get appends n bytes at a position to b.
func (e *events) get(b []byte, at uint64, n int) []byte {
	for n > 0 {
		p := e.at(at)
		p = p[:min(n, len(p))]
		b = append(b, p...)
		at += uint64(len(p))
		n -= len(p)
	}
	return b
}

// wake wakes the feeds that rest though there is something for them. No shard may be locked.
func (c *cache) wake() {
	if e := c.events.Load(); e != nil {
		e.wake()
	}
}

func (e *events) wake() {
	for {
		var to [16]struct {
			late grid.Late
			conn uint64
		}
		n := 0
		e.mu.Lock()
		for _, f := range e.feeds {
			if n == len(to) {
				break
			}
			if f.resting && (e.ended || f.seen.of(f.kinds) != e.told.of(f.kinds)) {
				f.rest(false)
				to[n].late, to[n].conn = f.late, f.conn
				n++
			}
		}
		e.mu.Unlock()
		for _, w := range to[:n] {
			w.late.Wake(w.conn)
		}
		if n < len(to) {
			return
		}
	}
}

// endEvents ends all feeds of a cache that was closed.
func (c *cache) endEvents() {
	c.listening.Lock()
	defer c.listening.Unlock()
	if e := c.events.Load(); e != nil {
		e.mu.Lock()
		e.ended = true
		e.mu.Unlock()
		e.wake()
	}
}

// unlock unlocks the shard and wakes whom what was done meanwhile is for.
func (sh *shard) unlock() {
	told := sh.told
	if told {
		sh.told = false
	}
	sh.mu.Unlock()
	if told {
		sh.c.wake()
	}
}

// expired tells that an entry expired. It is still there.
func (sh *shard) expired(it *item) {
	if e := sh.c.events.Load(); e != nil {
		e.tell(sh, grid.Expired, it, sh.key(it))
	}
}

// tell tells what the op does to an entry.
func (c *call) tell(kind grid.EventKind, it *item) {
	if e := c.c.events.Load(); e != nil && !c.asks(grid.NoEvents) {
		e.tell(c.sh, kind, it, c.op.Key)
	}
}

// feed is one listener. e.mu guards it.
type feed struct {
	e       *events
	kinds   grid.EventKind
	values  bool
	late    grid.Late
	conn    uint64
	at      uint64 // position of the next event
	seen    tally  // before at
	resting bool   // to be woken
	closed  bool
}

// rest has the feed be woken, or not any more.
func (f *feed) rest(on bool) {
	if f.resting == on || f.late == nil {
		return
	}
	f.resting = on
	for i := range f.e.resting {
		if f.kinds>>i&1 != 0 {
			if on {
				f.e.resting[i]++
			} else {
				f.e.resting[i]--
			}
		}
	}
}

// Next implements grid.Feed.
func (f *feed) Next(p *grid.EventPage) grid.Code {
	e := f.e
	e.mu.Lock()
	defer e.mu.Unlock()
	p.Events, p.Mem = p.Events[:0], p.Mem[:0]
	if f.closed {
		panic("BUG: a Feed is read after it was closed")
	}
	if f.at < e.tail && cap(p.Events) > 0 {
		if n := e.gone.of(f.kinds) - f.seen.of(f.kinds); n > 0 {
			p.Events = append(p.Events, grid.Event{Kind: grid.Lost, Count: n})
		}
		f.at, f.seen = e.tail, e.gone
	}
	for look := 0; f.at != e.head; look++ {
		var h eventHeader
		e.read(&h, f.at)
		if f.kinds&h.kind != 0 {
			n, value := len(p.Events), 0
			if f.values {
				value = h.value
			}
			if n == cap(p.Events) || n > 0 && len(p.Mem)+h.key+value > min(cap(p.Mem), eventBytes) {
				return grid.OK
			}
			start := len(p.Mem)
			p.Mem = e.get(p.Mem, f.at+eventHead, h.key+value)
			key := start + h.key
			p.Events = append(p.Events, grid.Event{
				Kind: h.kind, Attr: h.attr, Flags: h.flags, Size: h.size, Version: h.version,
				Key: p.Mem[start:key:key], Value: p.Mem[key:len(p.Mem):len(p.Mem)],
			})
		}
		f.at += h.len()
		f.seen[kindOf(h.kind)]++
		if look == eventPage {
			return grid.OK
		}
	}
	if e.ended {
		return grid.Denied
	}
	f.rest(true)
	return grid.Pending
}

// Close implements grid.Feed.
func (f *feed) Close() {
	e := f.e
	c := e.c
	c.listening.Lock()
	defer c.listening.Unlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	if f.closed {
		panic("BUG: a Feed closed twice")
	}
	f.closed = true
	f.rest(false)
	i := slices.Index(e.feeds, f)
	e.feeds = slices.Delete(e.feeds, i, i+1)
	e.interests()
	if len(e.feeds) == 0 {
		c.events.Store(nil)
		e.free()
	}
}
