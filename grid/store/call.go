package store

import (
	"fmt"
	"math"
	"strconv"

	"github.com/latticed/latticed/grid"
)

// call is one op being run. Its methods are called with the shard locked, but do.
type call struct {
	s    *Store
	b    *grid.Batch
	now  int64
	op   *grid.Op
	r    *grid.Result
	sh   *shard
	val  []byte // the value, if it is small
	body *run   // if it is large

	// Room is taken before anything is changed. What the shard cannot give without others, do finds with the shard
	// unlocked, and runs the op again from its beginning.
	credit int64 // bytes of Store.used that this op holds
	short  int64 // bytes it needs beyond that
	class  int   // of the entry it needs them for
}

// attempts bounds how often an op is run again because the entry changed while room was made for it.
const attempts = 8

func (c *call) do(op *grid.Op, r *grid.Result) {
	if op.Kind < grid.Get || op.Kind > grid.Touch {
		panic(fmt.Sprintf("BUG: op of kind %d", op.Kind))
	}
	c.op, c.r, c.sh = op, r, c.s.shard(op.Hash)
	c.val, c.body, c.credit = op.Value, nil, 0
	if op.Body != nil {
		c.body, c.credit = c.s.takeSlot(op.Body)
	} else if len(c.val) > grid.StreamMin {
		c.body = newRun(c.val)
	}
	if c.body != nil && c.body.size <= grid.StreamMin {
		c.val, c.body = c.body.piece(0, grid.StreamMin), nil
	}
	mem := len(c.b.Mem)
	for try := 1; ; try++ {
		c.short = 0
		c.sh.mu.Lock()
		c.sh.now = c.now
		c.run()
		c.sh.mu.Unlock()
		if c.short == 0 {
			break
		}
		if try == attempts || !c.s.makeRoom(c.short, c.now) {
			r.Code = grid.Full
			c.sh.mu.Lock()
			c.sh.queues[c.class].stats.NoMemory++
			c.sh.mu.Unlock()
			break
		}
		c.credit += c.short
		*r, c.b.Mem = grid.Result{}, c.b.Mem[:mem]
	}
	if c.credit != 0 {
		c.s.used.Add(-c.credit)
	}
}

func (c *call) run() {
	i := c.lookup()
	switch c.op.Kind {
	case grid.Get:
		c.get(i)
	case grid.Put:
		c.put(i)
	case grid.Append, grid.Prepend:
		c.extend(i)
	case grid.Incr, grid.Decr:
		c.count(i)
	case grid.Remove:
		c.remove(i)
	case grid.Touch:
		c.touch(i)
	}
}

func (c *call) asks(a grid.Ask) bool { return c.op.Ask&a != 0 }

// lookup returns the record of the op's key, 0 for none. A dead one is removed.
func (c *call) lookup() uint32 {
	i := c.sh.find(c.op.Hash, c.op.Key)
	if i == 0 {
		return 0
	}
	dead, flushed := c.sh.dead(c.sh.records.at(i), c.now)
	if !dead {
		return i
	}
	if flushed {
		c.sh.counts.getFlushed++
	} else {
		c.sh.counts.getExpired++
	}
	c.sh.remove(i)
	return 0
}

// found describes the entry as the op finds it.
func (c *call) found(r *record) {
	c.r.State = grid.HadValue
	if r.bits&(fetched|stale|claimed) != 0 {
		if r.bits&fetched != 0 {
			c.r.State |= grid.Fetched
		}
		if r.bits&stale != 0 {
			c.r.State |= grid.Stale
		}
		if r.bits&claimed != 0 {
			c.r.State |= grid.Claimed
		}
	}
	c.times(r)
	c.describe(r)
}

func (c *call) describe(r *record) {
	c.r.Version, c.r.Expires, c.r.Num = r.version, r.expires, uint64(r.size())
	c.r.Flags, c.r.Attr = r.flags, r.attr
}

func (c *call) times(r *record) {
	if c.asks(grid.WantTimes) {
		c.r.Created, c.r.LastUse, c.r.MaxIdle = r.created, r.lastUse, r.idle
	}
}

// bring hands out the value.
func (c *call) bring(r *record) {
	if r.run != nil {
		c.r.Body = r.run.open(c.s)
		return
	}
	start := len(c.b.Mem)
	c.b.Mem = append(c.b.Mem, r.data[r.keyLen:]...)
	c.r.Value = c.b.Mem[start:len(c.b.Mem):len(c.b.Mem)]
}

func (c *call) cond(i uint32, r *record) grid.Code {
	switch c.op.Cond {
	case grid.IfAbsent:
		if i != 0 {
			return grid.Exists
		}
	case grid.IfPresent:
		if i == 0 {
			return grid.Missing
		}
	case grid.IfVersion:
		if i == 0 {
			return grid.Missing
		}
		if r.version != c.op.Version {
			return grid.Conflict
		}
	}
	return grid.OK
}

func (c *call) version() uint64 {
	if c.asks(grid.OwnVersion) && c.op.NewVersion != 0 {
		return c.op.NewVersion
	}
	return c.sh.version()
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
func (c *call) lifespan(r *record, ttl int64) {
	r.expires, r.created = expiry(ttl, c.now), 0
	if r.expires != 0 {
		r.created = c.now
	}
}

// live changes lifespan and max-idle where the op says so.
func (c *call) live(r *record) {
	if c.op.TTL != grid.TTLDefault {
		c.lifespan(r, c.op.TTL)
	}
	if c.op.Idle != 0 {
		r.idle = max(0, c.op.Idle)
	}
}

func (c *call) use(r *record) {
	if !c.asks(grid.NoBump) {
		r.lastUse = c.now
		r.bits |= fetched | used
	}
}

func (c *call) tooLarge(n int) bool {
	if n > c.s.maxValue || len(c.op.Key) > grid.MaxKey {
		c.r.Code = grid.TooLarge
		return true
	}
	return false
}

// room takes the bytes that entry i (0: a new one) needs beyond what it has for a value of n bytes. If it says false
// nothing may be changed.
func (c *call) room(i uint32, n int, flags uint32) bool {
	charge := grid.Charge(len(c.op.Key), n, flags)
	need := int64(charge) - c.credit
	if i != 0 {
		need -= int64(c.sh.records.at(i).charge())
	}
	c.class = grid.Class(charge)
	if need > 0 && !c.s.take(need) && (need > grid.StreamMin || !c.sh.evictFor(need, i, c.now)) {
		c.short = need
		return false
	}
	c.credit = max(0, -need)
	return true
}

// begin and end enclose a change that makes of entry i (0: none yet) what memcached calls a new item. Room for it was
// taken before. A new entry gets a buffer for small bytes of value.
func (c *call) begin(i uint32, small int) (uint32, *record) {
	if i == 0 {
		return c.sh.create(c.op.Hash, c.op.Key, small)
	}
	r := c.sh.records.at(i)
	c.sh.unsettle(r)
	return i, r
}

func (c *call) end(i uint32, r *record, version uint64) {
	r.version, r.epoch = version, c.s.epoch.Load()
	r.lastUse = c.now
	r.bits &^= fetched | stale | claimed
	c.sh.settle(i, r)
	c.sh.counts.stored++
}

// set makes val or body the value.
func (c *call) set(r *record, val []byte, body *run) {
	c.s.letGo(r.run)
	if r.run = body; body != nil {
		r.fit(0)
		return
	}
	copy(r.fit(len(val)), val)
}

// size of the op's value
func (c *call) size() int {
	if c.body != nil {
		return c.body.size
	}
	return len(c.val)
}

// vivify creates the entry that the op did not find.
func (c *call) vivify(val []byte, body *run) (r *record) {
	n := len(val)
	if body != nil {
		n = body.size
	}
	if c.tooLarge(n) || !c.room(0, n, c.op.Flags) {
		return nil
	}
	i, r := c.begin(0, len(val))
	c.set(r, val, body)
	r.flags, r.attr = c.op.Flags, c.op.Attr
	c.lifespan(r, c.op.VivifyTTL)
	r.idle = max(0, c.op.Idle)
	c.end(i, r, c.version())
	c.r.Code = grid.OK
	c.r.State |= grid.Vivified
	c.times(r)
	c.describe(r)
	return r
}

func (c *call) get(i uint32) {
	if i == 0 {
		c.r.Code = grid.Missing
		if c.asks(grid.Vivify) {
			if r := c.vivify(nil, nil); r != nil {
				c.r.State |= grid.Won
				r.bits |= claimed
				c.use(r)
			}
		}
		return
	}
	r := c.sh.records.at(i)
	c.r.Code = grid.OK
	c.found(r)
	if c.asks(grid.WantValue) {
		c.bring(r)
	}
	if c.asks(grid.Recache) && r.bits&claimed == 0 &&
		(r.bits&stale != 0 || r.expires != 0 && uint64(r.expires-c.now) < c.op.Arg) {
		r.bits |= claimed
		c.r.State |= grid.Won
	}
	c.live(r)
	c.use(r)
}

func (c *call) touch(i uint32) {
	if i == 0 {
		c.r.Code = grid.Missing
		return
	}
	r := c.sh.records.at(i)
	c.r.Code = grid.OK
	c.found(r)
	c.live(r)
	c.use(r)
}

func (c *call) put(i uint32) {
	if c.tooLarge(c.size()) {
		return
	}
	var r *record
	if i != 0 {
		r = c.sh.records.at(i)
		c.found(r)
	}
	code := c.cond(i, r)
	outdated := code == grid.Conflict && c.asks(grid.MarkStale) && c.op.Version != 0 && c.op.Version < r.version
	if outdated {
		code = grid.OK
	}
	if code == grid.OK && !c.room(i, c.size(), c.op.Flags) {
		return
	}
	c.r.Code = code
	previous := i != 0 && c.asks(grid.WantPrevious)
	if previous {
		c.bring(r)
	}
	if code == grid.Exists && !c.asks(grid.NoBump) {
		r.lastUse = c.now
		r.bits |= used
	}
	if code != grid.OK {
		return
	}
	fresh := i == 0
	i, r = c.begin(i, len(c.val))
	flags, attr, was := r.flags, r.attr, r.bits
	c.set(r, c.val, c.body)
	r.flags, r.attr = c.op.Flags, c.op.Attr
	c.end(i, r, c.version())
	if outdated {
		r.bits |= stale | was&claimed
	} else {
		c.lifespan(r, c.op.TTL)
		r.idle = max(0, c.op.Idle)
	}
	if fresh {
		c.times(r)
	}
	c.describe(r)
	if previous {
		c.r.Flags, c.r.Attr = flags, attr
	}
}

// remove also marks and hollows.
func (c *call) remove(i uint32) {
	if i == 0 {
		c.r.Code = grid.Missing
		return
	}
	r := c.sh.records.at(i)
	c.found(r)
	code := c.cond(i, r)
	if code == grid.OK && c.asks(grid.Hollow) && !c.room(i, 0, c.op.Flags) {
		return
	}
	c.r.Code = code
	if c.asks(grid.WantPrevious) {
		c.bring(r)
	}
	flags, attr := r.flags, r.attr
	switch {
	case code != grid.OK:
		return
	case c.asks(grid.Hollow):
		version := r.version
		if c.asks(grid.MarkStale | grid.OwnVersion) {
			version = c.version()
		}
		c.begin(i, 0)
		c.set(r, nil, nil)
		r.flags, r.attr = c.op.Flags, c.op.Attr
		c.end(i, r, version)
		if c.asks(grid.MarkStale) {
			r.bits |= stale
		}
		c.live(r)
	case c.asks(grid.MarkStale):
		r.bits = r.bits&^claimed | stale
		r.version = c.version()
		c.live(r)
	default:
		c.sh.remove(i)
		c.r.Num = 0
		return
	}
	c.describe(r)
	if c.asks(grid.WantPrevious) {
		c.r.Flags, c.r.Attr = flags, attr
	}
}

// extend appends and prepends.
func (c *call) extend(i uint32) {
	if c.tooLarge(c.size()) {
		return
	}
	if i == 0 {
		switch {
		case !c.asks(grid.Vivify):
			c.r.Code = grid.Missing
		case c.op.Arg != 0 && uint64(c.size()) > c.op.Arg:
			c.r.Code = grid.TooLarge
		default:
			c.vivify(c.val, c.body)
		}
		return
	}
	r := c.sh.records.at(i)
	c.found(r)
	if code := c.cond(i, r); code != grid.OK {
		c.r.Code = code
		return
	}
	old := r.size()
	n := old + c.size()
	if c.tooLarge(n) || c.op.Arg != 0 && uint64(n) > c.op.Arg {
		c.r.Code = grid.TooLarge
		return
	}
	if !c.room(i, n, r.flags) {
		return
	}
	c.begin(i, 0)
	switch {
	case n > grid.StreamMin:
		c.set(r, nil, c.join(r, n))
	case c.op.Kind == grid.Append:
		copy(r.fit(n)[old:], c.val)
	default:
		v := r.fit(n)
		copy(v[len(c.val):], v[:old])
		copy(v, c.val)
	}
	c.end(i, r, c.version())
	c.live(r)
	c.describe(r)
	c.r.Code = grid.OK
}

// join makes a large value of n bytes from the one there is and the op's.
func (c *call) join(r *record, n int) *run {
	to := &run{size: n}
	theirs := func() {
		to.write(c.val)
		to.copy(c.body)
	}
	if c.op.Kind == grid.Prepend {
		theirs()
	}
	to.write(r.data[r.keyLen:])
	to.copy(r.run)
	if c.op.Kind == grid.Append {
		theirs()
	}
	return to
}

// count increments and decrements.
func (c *call) count(i uint32) {
	var text [20]byte
	if i == 0 {
		c.r.Code = grid.Missing
		if c.asks(grid.Vivify) && c.vivify(strconv.AppendUint(text[:0], c.op.Initial, 10), nil) != nil {
			c.r.Num = c.op.Initial
		}
		return
	}
	r := c.sh.records.at(i)
	c.found(r)
	code := c.cond(i, r)
	var n uint64
	if r.run != nil {
		if code == grid.OK {
			code = grid.NotNumber
		}
	} else if v := r.data[r.keyLen:]; len(v) == 0 {
		code = grid.NotNumber // whatever the condition: so does memcached
	} else if code == grid.OK {
		var ok bool
		if n, ok = number(v); !ok {
			code = grid.NotNumber
		}
	}
	if code != grid.OK {
		c.r.Code = code
		return
	}
	switch {
	case c.op.Kind == grid.Incr:
		n += c.op.Arg
	case n < c.op.Arg:
		n = 0
	default:
		n -= c.op.Arg
	}
	digits := strconv.AppendUint(text[:0], n, 10)
	if size := r.size(); len(digits) <= size { // the same item, changed in place
		v := r.data[r.keyLen:]
		for j := copy(v, digits); j < size; j++ {
			v[j] = ' '
		}
		r.version, r.lastUse = c.version(), c.now
		r.bits |= used
	} else {
		if !c.room(i, len(digits), r.flags) {
			return
		}
		c.begin(i, 0)
		c.set(r, digits, nil)
		c.end(i, r, c.version())
	}
	c.live(r)
	c.describe(r)
	c.r.Code, c.r.Num = grid.OK, n
}

// number reads what memcached takes for one: white space, a sign, digits, and then the end, white space or NUL. What is
// negative counts as its two's complement if that is below 2^63, so in practice not.
func number(b []byte) (n uint64, ok bool) {
	i := 0
	for i < len(b) && space(b[i]) {
		i++
	}
	minus := false
	if i < len(b) && (b[i] == '-' || b[i] == '+') {
		minus = b[i] == '-'
		i++
	}
	start := i
	for ; i < len(b) && '0' <= b[i] && b[i] <= '9'; i++ {
		d := uint64(b[i] - '0')
		if n > (math.MaxUint64-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	if i == start || i < len(b) && b[i] != 0 && !space(b[i]) {
		return 0, false
	}
	if minus {
		n = -n
		return n, n <= math.MaxInt64
	}
	return n, true
}

func space(c byte) bool { return c == ' ' || '\t' <= c && c <= '\r' }
