package gridtest

import (
	"fmt"
	"hash/crc32"
	"math"
	"slices"
	"strconv"
	"sync"

	"github.com/latticed/latticed/grid"
)

// Model is a Caches with one cache ("" and "default") that is obviously right: one mutex, one map, whole values. The
// other implementations are compared with it, and protocols are tested on it. It evicts nothing: at its limit a store
// is Full.
//
// Where a protocol can see a difference it does what memcached 1.6.45 does: an append, or an incr that needs a longer
// value, makes a new entry (not fetched, not stale, not claimed), an incr that fits keeps it; Hollow leaves the
// version alone unless told otherwise; a failed IfAbsent is a use, but no fetch.
type Model struct {
	opt Options

	mu       sync.Mutex // guards all below, and the readers and gone of every value
	entries  map[string]*entry
	ids      uint64 // of entries, ascending: the order of Scan
	versions uint64
	flushAt  int64 // a delayed flush waits for this moment; 0 for none
	limit    uint64
	feeds    []*feed
	wakes    []grid.Ticket // connections to wake when mu is unlocked
	stats    grid.Stats    // counters, and the gauges Reserved and PinnedDead
}

type entry struct {
	id                             uint64
	key                            string
	val                            *value
	flags                          uint32
	attr                           uint16
	version                        uint64
	created, lastUse, expires      int64
	idle                           int64
	fetched, stale, claimed, flush bool // flush: stored before a flush
}

// value is never changed once it is in an entry, so a Blob only has to hold on to it.
type value struct {
	b       []byte
	readers int
	gone    bool // no entry has it any more
}

// NewModel returns an empty Model.
func NewModel(o Options) *Model {
	if o.MaxValue == 0 {
		o.MaxValue = math.MaxInt
	}
	if o.Waiting == 0 {
		o.Waiting = 1000
	}
	if o.Segments == 0 {
		o.Segments = 256
	}
	if o.Segment == nil {
		o.Segment = func(key []byte) uint16 { return uint16(crc32.ChecksumIEEE(key) % uint32(o.Segments)) }
	}
	m := &Model{opt: o, limit: o.Limit, entries: map[string]*entry{}}
	if o.Limit == 0 {
		m.limit = math.MaxUint64
	}
	return m
}

// Open returns the model itself; names other than "" and "default" are errors.
func (m *Model) Open(name string, _ grid.Principal) (grid.Cache, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	return m, nil
}

// Admin returns the model itself, as Open does.
func (m *Model) Admin(name string, _ grid.Principal) (grid.Admin, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	return m, nil
}

func checkName(name string) error {
	if name != "" && name != "default" {
		return fmt.Errorf("grid/gridtest: open cache %q: no such cache", name)
	}
	return nil
}

// Do implements grid.Cache.
func (m *Model) Do(b *grid.Batch) (n int) {
	m.mu.Lock()
	defer m.unlock()
	m.tick(b.Now.Wall)
	b.Mem = b.Mem[:0]
	clear(b.Res[:len(b.Ops)])
	for n < len(b.Ops) {
		op, r := &b.Ops[n], &b.Res[n]
		op.Segment = m.opt.Segment(op.Key)
		x := exec{m: m, b: b, op: op, r: r, now: b.Now.Wall, val: op.Value}
		if op.Body != nil {
			x.val = m.takeSlot(op.Body)
		}
		x.run()
		if op.KeepsBody(r.Code) {
			op.Body.(*slot).giveBack()
		}
		n++
		if r.Body != nil || len(r.Value) > 0 && len(b.Mem) >= b.Room {
			break
		}
	}
	return n
}

// tick carries out the flush that waited for now.
func (m *Model) tick(now int64) {
	if m.flushAt != 0 && m.flushAt <= now {
		for _, e := range m.entries {
			e.flush = e.flush || e.lastUse < m.flushAt
		}
		m.flushAt = 0
		m.tell(grid.Cleared, nil)
	}
}

func (e *entry) charge() int { return grid.Charge(len(e.key), len(e.val.b), e.flags) }

func (e *entry) expired(now int64) bool {
	return e.expires != 0 && e.expires <= now || e.idle != 0 && now-e.lastUse >= e.idle
}

func (e *entry) dead(now int64) bool { return e.flush || e.expired(now) }

// lookup returns the live entry of key or nil; a dead one is dropped.
func (m *Model) lookup(key []byte, now int64) *entry {
	e := m.entries[string(key)]
	switch {
	case e == nil:
		return nil
	case e.flush:
		m.stats.GetFlushed++
	case e.expired(now):
		m.stats.GetExpired++
		m.tell(grid.Expired, e)
	default:
		return e
	}
	m.drop(e)
	return nil
}

func (m *Model) drop(e *entry) {
	delete(m.entries, e.key)
	m.letGo(e.val)
}

func (m *Model) letGo(v *value) {
	v.gone = true
	if v.readers > 0 {
		m.stats.PinnedDead += uint64(len(v.b))
	}
}

func (m *Model) used() (n uint64) {
	for _, e := range m.entries {
		n += uint64(e.charge())
	}
	return n + m.stats.Reserved
}

// fits tells whether an entry of that charge may take the place of one with the charge old, or of none (0).
func (m *Model) fits(charge, old int, now int64) bool {
	if m.used()-uint64(old)+uint64(charge) <= m.limit {
		return true
	}
	for _, e := range m.entries {
		if e.dead(now) {
			c := &m.stats.Classes[grid.Class(e.charge())]
			c.Reclaimed++
			if !e.fetched {
				c.ExpiredUnfetched++
			}
			if !e.flush {
				m.tell(grid.Expired, e)
			}
			m.drop(e)
		}
	}
	if m.used()-uint64(old)+uint64(charge) <= m.limit {
		return true
	}
	m.stats.Classes[grid.Class(charge)].NoMemory++
	return false
}

// exec is one op being run.
type exec struct {
	m   *Model
	b   *grid.Batch
	op  *grid.Op
	r   *grid.Result
	now int64
	val []byte // of Op.Value or Op.Body
}

func (x *exec) run() {
	switch x.op.Kind {
	case grid.Get:
		x.get()
	case grid.Put:
		x.put()
	case grid.Append, grid.Prepend:
		x.extend()
	case grid.Incr, grid.Decr:
		x.count()
	case grid.Remove:
		x.remove()
	case grid.Touch:
		x.touch()
	default:
		panic(fmt.Sprintf("BUG: op of kind %d", x.op.Kind))
	}
}

func (x *exec) asks(a grid.Ask) bool { return x.op.Ask&a != 0 }

// found describes e as this op found it.
func (x *exec) found(e *entry) {
	r := x.r
	r.State |= grid.HadValue
	for _, s := range []struct {
		is  bool
		bit grid.State
	}{{e.fetched, grid.Fetched}, {e.stale, grid.Stale}, {e.claimed, grid.Claimed}} {
		if s.is {
			r.State |= s.bit
		}
	}
	x.times(e)
	x.after(e)
}

// after describes e as this op leaves it.
func (x *exec) after(e *entry) {
	r := x.r
	r.Version, r.Expires, r.Num = e.version, e.expires, uint64(len(e.val.b))
	r.Flags, r.Attr = e.flags, e.attr
}

func (x *exec) times(e *entry) {
	if x.asks(grid.WantTimes) {
		x.r.Created, x.r.LastUse, x.r.MaxIdle = e.created, e.lastUse, e.idle
	}
}

// bring hands out the value of e.
func (x *exec) bring(e *entry) {
	v := e.val
	if len(v.b) > grid.StreamMin {
		v.readers++
		x.r.Body = &blob{m: x.m, v: v}
		return
	}
	start := len(x.b.Mem)
	x.b.Mem = append(x.b.Mem, v.b...)
	x.r.Value = x.b.Mem[start:len(x.b.Mem):len(x.b.Mem)]
}

func (x *exec) cond(e *entry) grid.Code {
	switch c := x.op.Cond; {
	case e == nil && (c == grid.IfPresent || c == grid.IfVersion):
		return grid.Missing
	case e != nil && c == grid.IfAbsent:
		return grid.Exists
	case e != nil && c == grid.IfVersion && x.op.Version != e.version:
		return grid.Conflict
	}
	return grid.OK
}

func (x *exec) version() uint64 {
	if x.asks(grid.OwnVersion) && x.op.NewVersion != 0 {
		return x.op.NewVersion
	}
	x.m.versions++
	return x.m.versions
}

func expiry(ttl, now int64) int64 {
	switch {
	case ttl == grid.TTLDefault || ttl == grid.TTLForever:
		return 0
	case ttl < 0:
		return now
	case ttl > math.MaxInt64-now:
		return math.MaxInt64
	}
	return now + ttl
}

// lifespan has a lifespan begin now.
func (x *exec) lifespan(e *entry, ttl int64) {
	e.expires, e.created = expiry(ttl, x.now), 0
	if e.expires != 0 {
		e.created = x.now
	}
}

// live changes the lifespan and max-idle of e where the op says so.
func (x *exec) live(e *entry) {
	if x.op.TTL != grid.TTLDefault {
		x.lifespan(e, x.op.TTL)
	}
	if x.op.Idle != 0 {
		e.idle = max(0, x.op.Idle)
	}
}

func (x *exec) use(e *entry) {
	if !x.asks(grid.NoBump) {
		e.lastUse, e.fetched = x.now, true
	}
}

// room tells whether e (nil: a new entry) may get a value of n bytes; otherwise the op is Full.
func (x *exec) room(e *entry, n int, flags uint32) bool {
	old := 0
	if e != nil {
		old = e.charge()
	}
	if !x.m.fits(grid.Charge(len(x.op.Key), n, flags), old, x.now) {
		x.r.Code = grid.Full
		return false
	}
	return true
}

// store gives e (nil: a new entry) a new value, which makes it what memcached calls a new item. Ask room first.
func (x *exec) store(e *entry, val []byte, flags uint32, version uint64) *entry {
	m := x.m
	if e == nil {
		m.ids++
		e = &entry{id: m.ids, key: string(x.op.Key)}
		m.entries[e.key] = e
	} else {
		m.letGo(e.val)
	}
	e.val, e.flags, e.version = &value{b: slices.Clone(val)}, flags, version
	e.lastUse = x.now
	e.fetched, e.stale, e.claimed = false, false, false
	m.stats.Stored++
	return e
}

// tooLarge tells whether a value of n bytes may not be stored under the op's key.
func (x *exec) tooLarge(n int) bool {
	if n > x.m.opt.MaxValue || len(x.op.Key) > grid.MaxKey {
		x.r.Code = grid.TooLarge
		return true
	}
	return false
}

// vivify creates the entry that the op did not find; nil when there is no room.
func (x *exec) vivify(val []byte) *entry {
	if x.tooLarge(len(val)) || !x.room(nil, len(val), x.op.Flags) {
		return nil
	}
	e := x.store(nil, val, x.op.Flags, x.version())
	x.lifespan(e, x.op.VivifyTTL)
	e.attr, e.idle = x.op.Attr, max(0, x.op.Idle)
	x.r.Code = grid.OK
	x.r.State |= grid.Vivified
	x.times(e)
	x.after(e)
	x.tell(grid.Created, e)
	return e
}

func (x *exec) get() {
	e := x.m.lookup(x.op.Key, x.now)
	if e == nil {
		x.r.Code = grid.Missing
		if x.asks(grid.Vivify) {
			if e = x.vivify(nil); e != nil {
				x.r.State |= grid.Won
				e.claimed = true
				x.use(e)
			}
		}
		return
	}
	x.r.Code = grid.OK
	x.found(e)
	if x.asks(grid.WantValue) {
		x.bring(e)
	}
	if x.asks(grid.Recache) && !e.claimed && (e.stale || e.expires != 0 && uint64(e.expires-x.now) < x.op.Arg) {
		e.claimed = true
		x.r.State |= grid.Won
	}
	x.live(e)
	x.use(e)
}

func (x *exec) touch() {
	e := x.m.lookup(x.op.Key, x.now)
	if e == nil {
		x.r.Code = grid.Missing
		return
	}
	x.r.Code = grid.OK
	x.found(e)
	x.live(e)
	x.use(e)
}

func (x *exec) put() {
	if x.tooLarge(len(x.val)) {
		return
	}
	e := x.m.lookup(x.op.Key, x.now)
	if e != nil {
		x.found(e)
	}
	code := x.cond(e)
	outdated := code == grid.Conflict && x.asks(grid.MarkStale) && x.op.Version != 0 && x.op.Version < e.version
	if outdated {
		code = grid.OK
	}
	if code == grid.OK && !x.room(e, len(x.val), x.op.Flags) {
		return
	}
	x.r.Code = code
	if e != nil && x.asks(grid.WantPrevious) {
		x.bring(e)
	}
	if code == grid.Exists && !x.asks(grid.NoBump) {
		e.lastUse = x.now
	}
	if code != grid.OK {
		return
	}
	var was entry
	if e != nil {
		was = *e
	}
	e = x.store(e, x.val, x.op.Flags, x.version())
	e.attr = x.op.Attr
	if outdated {
		e.stale, e.claimed = true, was.claimed
	} else {
		x.lifespan(e, x.op.TTL)
		e.idle = max(0, x.op.Idle)
	}
	if was.val == nil {
		x.times(e)
		x.tell(grid.Created, e)
	} else {
		x.tell(grid.Modified, e)
	}
	x.after(e)
	x.previous(&was)
}

// remove also marks and hollows.
func (x *exec) remove() {
	e := x.m.lookup(x.op.Key, x.now)
	if e == nil {
		x.r.Code = grid.Missing
		return
	}
	x.found(e)
	was := *e
	code := x.cond(e)
	if code == grid.OK && x.asks(grid.Hollow) && !x.room(e, 0, x.op.Flags) {
		return
	}
	x.r.Code = code
	if x.asks(grid.WantPrevious) {
		x.bring(e)
	}
	switch {
	case code != grid.OK:
		return
	case x.asks(grid.Hollow):
		version := e.version
		if x.asks(grid.MarkStale | grid.OwnVersion) {
			version = x.version()
		}
		x.store(e, nil, x.op.Flags, version)
		e.attr, e.stale = x.op.Attr, x.asks(grid.MarkStale)
		x.live(e)
	case x.asks(grid.MarkStale):
		e.stale, e.claimed, e.version = true, false, x.version()
		x.live(e)
	default:
		x.m.drop(e)
		x.tell(grid.Removed, e)
		return
	}
	x.tell(grid.Modified, e)
	x.after(e)
	x.previous(&was)
}

// previous makes flags and attribute those of the value that the result brings.
func (x *exec) previous(was *entry) {
	if was.val != nil && x.asks(grid.WantPrevious) {
		x.r.Flags, x.r.Attr = was.flags, was.attr
	}
}

// extend appends and prepends.
func (x *exec) extend() {
	if x.tooLarge(len(x.val)) {
		return
	}
	e := x.m.lookup(x.op.Key, x.now)
	var old []byte
	if e != nil {
		x.found(e)
		if code := x.cond(e); code != grid.OK {
			x.r.Code = code
			return
		}
		old = e.val.b
	} else if !x.asks(grid.Vivify) {
		x.r.Code = grid.Missing
		return
	}
	if n := len(old) + len(x.val); x.tooLarge(n) || x.op.Arg != 0 && uint64(n) > x.op.Arg {
		x.r.Code = grid.TooLarge
		return
	}
	if e == nil {
		x.vivify(x.val)
		return
	}
	val := slices.Concat(old, x.val)
	if x.op.Kind == grid.Prepend {
		val = slices.Concat(x.val, old)
	}
	if !x.room(e, len(val), e.flags) {
		return
	}
	x.store(e, val, e.flags, x.version())
	x.live(e)
	x.tell(grid.Modified, e)
	x.after(e)
	x.r.Code = grid.OK
}

// count increments and decrements.
func (x *exec) count() {
	e := x.m.lookup(x.op.Key, x.now)
	if e == nil {
		x.r.Code = grid.Missing
		if x.asks(grid.Vivify) && x.vivify(strconv.AppendUint(nil, x.op.Initial, 10)) != nil {
			x.r.Num = x.op.Initial
		}
		return
	}
	x.found(e)
	code := x.cond(e)
	n, ok := number(e.val.b)
	if len(e.val.b) == 0 || code == grid.OK && !ok {
		code = grid.NotNumber
	}
	if code != grid.OK {
		x.r.Code = code
		return
	}
	switch {
	case x.op.Kind == grid.Incr:
		n += x.op.Arg
	case n < x.op.Arg:
		n = 0
	default:
		n -= x.op.Arg
	}
	text := strconv.AppendUint(nil, n, 10)
	was := *e
	for len(text) < len(was.val.b) {
		text = append(text, ' ')
	}
	if !x.room(e, len(text), e.flags) {
		return
	}
	x.store(e, text, e.flags, x.version())
	if len(text) == len(was.val.b) { // the same item, changed in place
		e.fetched, e.stale, e.claimed = was.fetched, was.stale, was.claimed
		x.m.stats.Stored--
	}
	x.live(e)
	x.tell(grid.Modified, e)
	x.after(e)
	x.r.Code, x.r.Num = grid.OK, n
}

// number reads what memcached takes for a number: white space, a sign, digits, then the end, white space or NUL. What
// is negative counts as its two's complement and only if that is below 2^63, so in practice as no number. Values that
// are not held in one piece are none.
func number(b []byte) (n uint64, ok bool) {
	space := func(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }
	if len(b) > grid.StreamMin {
		return 0, false
	}
	i := 0
	for i < len(b) && space(b[i]) {
		i++
	}
	minus := i < len(b) && b[i] == '-'
	if minus || i < len(b) && b[i] == '+' {
		i++
	}
	start := i
	for i < len(b) && b[i] >= '0' && b[i] <= '9' {
		i++
	}
	n, err := strconv.ParseUint(string(b[start:i]), 10, 64)
	if err != nil || i < len(b) && b[i] != 0 && !space(b[i]) {
		return 0, false
	}
	if minus {
		n = -n
		ok = n < 1<<63
	}
	return n, !minus || ok
}
