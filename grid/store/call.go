package store

import (
	"fmt"
	"math"
	"strconv"

	"github.com/latticed/latticed/grid"
)

// call is one op being run. Its methods are called with the shard locked, but do.
type call struct {
	c    *cache
	a    *arena
	b    *grid.Batch
	now  int64
	op   *grid.Op
	r    *grid.Result
	sh   *shard
	val  []byte // the value, if it was not in a Slot
	body uint64 // the run that was; 0 for none, or once it is an entry's
	size int    // of the value

	// The entry as the op found it (it.off is 0 for none) and its slot in the index.
	it   item
	slot *uint64

	// Room is taken before anything is changed: what cannot be had is needs, do makes room, and runs the op again from its
	// beginning. spare and keyRun are runs that were taken for it.
	needs     need
	spare     uint64
	spareSize int
	ahead     ahead
	keyRun    uint64
	at        uint64 // where the entry will be written; 0: in its place
	alloc     int
	wrote     int    // bytes of log
	last      uint64 // the entry that was

	// what was added to the cache's bounds for an entry that is not there yet
	addCount, addBytes int64
}

// attempts bounds how often an op is run again because others took the room that was made for it.
const attempts = 16

func (c *call) do(op *grid.Op, r *grid.Result) {
	if op.Kind < grid.Get || op.Kind > grid.Touch {
		panic(fmt.Sprintf("BUG: op of kind %d", op.Kind))
	}
	c.op, c.r, c.sh = op, r, c.c.shard(uint64(op.Segment))
	c.val, c.size, c.body, c.spare, c.keyRun, c.wrote = op.Value, len(op.Value), 0, 0, 0, 0
	c.addCount, c.addBytes = 0, 0
	var lent *slot // of which the session may keep the run
	if op.Body != nil {
		lent = c.c.filledSlot(op.Body)
		c.body = lent.at.run
		c.val, c.size = nil, c.a.runSize(c.body)
	}
	mem := len(c.b.Mem)
	sh, s := c.sh, c.c.s
	sh.mu.Lock()
	sh.at(c.now)
	for try := 1; ; try++ {
		if sh.c.closed.Load() {
			r.Code = grid.Denied
			break
		}
		c.needs = need{}
		c.run()
		if !c.needs.some() {
			break
		}
		if r.Body != nil {
			r.Body.Close()
		}
		*r, c.b.Mem = grid.Result{}, c.b.Mem[:mem]
		c.unadmit()
		if c.needs.copy {
			sh.mu.Unlock()
			c.copy()
			sh.mu.Lock()
			sh.at(c.now)
			continue
		}
		made := false
		if c.needs.bound != 0 {
			sh.mu.Unlock()
			made = try < boundAttempts && c.c.makeBound(sh, c.needs, c.now)
			sh.mu.Lock()
			sh.at(c.now)
		} else {
			if (!s.many.Load() || try > attempts/2) && sh.force(c.needs, c.now) && try < attempts { // not to have others take it
				continue
			}
			sh.mu.Unlock()
			made = try < attempts && s.makeRoom(c.needs, c.now)
			sh.mu.Lock()
			sh.at(c.now)
		}
		if !made && !c.c.closed.Load() {
			r.Code = grid.Full
			key := len(op.Key)
			sh.classes[grid.Class(grid.Charge(key, c.size, op.Flags))].NoMemory++
			break
		}
	}
	tax := 0
	if c.wrote > 0 {
		tax = sh.pay(c.wrote, c.last)
	}
	sh.unlock()
	if tax > 0 {
		s.tax(tax, c.now)
	}
	if lent != nil && !op.KeepsBody(r.Code) {
		lent.end()
		if c.body != 0 {
			c.a.freeRun(c.body)
		}
	}
	if c.ahead.tries > 0 {
		c.ahead.drop(c.c)
		c.ahead = ahead{}
	}
	if c.spare != 0 {
		c.a.freeRun(c.spare)
	}
	if c.keyRun != 0 {
		c.a.freeRun(c.keyRun)
	}
}

func (c *call) run() {
	c.slot = c.sh.index.find(c.op.Hash, c.op.Key, c.sh.keyOf)
	if c.slot != nil && c.op.Kind == grid.Get && c.glance() {
		return
	}
	there := c.lookup()
	switch c.op.Kind {
	case grid.Get:
		c.get(there)
	case grid.Put:
		c.put(there)
	case grid.Append, grid.Prepend:
		c.extend(there)
	case grid.Incr, grid.Decr:
		c.count(there)
	case grid.Remove:
		c.remove(there)
	case grid.Touch:
		c.touch(there)
	}
}

func (c *call) asks(a grid.Ask) bool { return c.op.Ask&a != 0 }

// glance is get for what is asked nearly always: an entry that has no options, for its value or only whether it is there.
// False: it is not such a one.
func (c *call) glance() bool {
	a, op, r := c.a, c.op, c.r
	off := *c.slot & offsetMask
	m := a.u32(off)
	keyLen := m >> keyShift & keyMask
	if m&(options&^hasFlags) != 0 || keyLen == keyMask || op.TTL|op.Idle != 0 || op.Ask&(grid.Recache|grid.WantTimes) != 0 {
		return false
	}
	s := a.seg(off)
	use := a.u32(off + 12)
	if s.epoch != c.sh.epoch || s.start+int64(use) < c.c.before.Load() {
		return false
	}
	r.Code = grid.OK
	r.State = grid.HadValue | state(m)
	r.Version = a.u64(off + 4)
	size := uint64(m & sizeMask)
	r.Num = size
	at := off + headerSize + uint64(keyLen)
	if m&hasFlags != 0 {
		r.Flags = a.u32(off + headerSize)
		at += 4
	}
	if op.Ask&grid.WantValue != 0 {
		start := len(c.b.Mem)
		c.b.Mem = append(c.b.Mem, a.bytes(at, int(size))...)
		r.Value = c.b.Mem[start:len(c.b.Mem):len(c.b.Mem)]
	}
	if op.Ask&grid.NoBump == 0 {
		if *c.slot&freqMask != freqMask {
			*c.slot += freqOne
		}
		if m&fetched == 0 {
			a.put32(off, m|fetched)
		}
		if now := s.relative(c.now); now > use {
			a.put32(off+12, now)
		}
	}
	return true
}

// lookup takes apart the entry that was found. A dead one is removed.
func (c *call) lookup() (there bool) {
	if c.slot == nil {
		c.it.off = 0
		return false
	}
	c.a.load(&c.it, *c.slot&offsetMask)
	dead, flushed := c.sh.dead(&c.it, c.now)
	if !dead {
		return true
	}
	if flushed {
		c.sh.gone.flushed++
	} else {
		c.sh.gone.expired++
		c.sh.expired(&c.it)
	}
	c.sh.remove(c.op.Hash, &c.it)
	c.it.off, c.slot = 0, nil
	return false
}

// found describes the entry as the op finds it.
func (c *call) found() {
	c.r.State = grid.HadValue | state(c.it.bits)
	c.describe(&c.it)
	c.times(&c.it)
}

func state(bits uint32) (s grid.State) {
	if bits&(fetched|stale|claimed) != 0 {
		if bits&fetched != 0 {
			s |= grid.Fetched
		}
		if bits&stale != 0 {
			s |= grid.Stale
		}
		if bits&claimed != 0 {
			s |= grid.Claimed
		}
	}
	return s
}

func (c *call) describe(it *item) {
	c.r.Version, c.r.Expires, c.r.Num = it.version, it.expires, uint64(it.size)
	c.r.Flags, c.r.Attr = it.flags, it.attr
}

func (c *call) times(it *item) {
	if c.asks(grid.WantTimes) {
		c.r.Created, c.r.LastUse, c.r.MaxIdle = it.created, it.lastUse, it.idle
	}
}

// bring hands out the value that was found.
func (c *call) bring() {
	start := len(c.b.Mem)
	switch {
	case c.it.bits&inRun == 0:
		c.b.Mem = append(c.b.Mem, c.a.bytes(c.it.valueAt, c.it.size)...)
	case c.it.size > grid.StreamMin:
		c.r.Body = c.c.open(c.it.run)
		return
	default:
		c.b.Mem = c.a.appendRun(c.b.Mem, c.it.run)
	}
	c.r.Value = c.b.Mem[start:len(c.b.Mem):len(c.b.Mem)]
}

func (c *call) cond(there bool) grid.Code {
	switch c.op.Cond {
	case grid.IfAbsent:
		if there {
			return grid.Exists
		}
	case grid.IfPresent:
		if !there {
			return grid.Missing
		}
	case grid.IfVersion:
		if !there {
			return grid.Missing
		}
		if c.it.version != c.op.Version {
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
func (it *item) lifespan(ttl, now int64) {
	it.expires, it.created = expiry(ttl, now), 0
	if it.expires != 0 {
		it.created = now
	}
}

// begin gives an entry that is stored its lifespan and max-idle: the op's, or else the cache's.
func (c *call) begin(it *item, ttl int64) {
	if ttl == grid.TTLDefault {
		ttl = c.c.ttl.Load()
	}
	it.lifespan(ttl, c.now)
	if it.idle = c.op.Idle; it.idle == 0 {
		it.idle = c.c.idle.Load()
	}
	it.idle = max(0, it.idle)
}

// live changes lifespan and max-idle where the op says so.
func (c *call) live(it *item) {
	if c.op.TTL != grid.TTLDefault {
		it.lifespan(c.op.TTL, c.now)
	}
	if c.op.Idle != 0 {
		it.idle = max(0, c.op.Idle)
	}
}

// use marks a use of it. Of the entry that was found, it is for eviction to see at once.
func (c *call) use(it *item) {
	if !c.asks(grid.NoBump) {
		it.used(c.now)
		it.bits |= fetched
		c.bump()
	}
}

// bump has the index slot tell eviction of a use.
func (c *call) bump() {
	if c.slot != nil && *c.slot&freqMask != freqMask {
		*c.slot += freqOne
	}
}

func (c *call) tooLarge(n int) bool {
	if n > c.c.maxValue || len(c.op.Key) > grid.MaxKey {
		c.r.Code = grid.TooLarge
		return true
	}
	return false
}

// place takes the room that it needs, which is to take the place of what was found, or of nothing. False: there is none,
// and nothing may be changed.
func (c *call) place(it *item) bool {
	it.keyLen = len(c.op.Key)
	a := c.a
	if c.sh.bounded && !c.admit(it) {
		return false
	}
	if it.bits&inRun == 0 && it.size > a.maxInline(it.keyLen) {
		it.bits |= inRun
		if it.run = c.body; it.run == 0 || it.size != c.size || c.op.Kind != grid.Put && c.it.off != 0 {
			if !c.room(it.size) {
				return false
			}
			it.run = c.spare
		}
	}
	if it.keyLen > a.maxKey() && c.it.off == 0 {
		if c.keyRun == 0 {
			c.keyRun = a.newRun(it.keyLen)
		}
		if it.keyRun = c.keyRun; it.keyRun == 0 {
			c.needs.pages = pagesFor(it.keyLen)
			return false
		}
	}
	queue := uint8(probation)
	if c.it.off != 0 {
		s := a.seg(c.it.off)
		n := it.measure(a, s.start)
		if s.reaches(it.lastUse) && n <= c.it.alloc && n*fitDenominator >= c.it.alloc*fitNumerator {
			c.at = 0
			return true
		}
		queue = s.queue
	} else if c.c.noEvict || c.sh.ghost.recall(c.op.Hash) {
		queue = main
	}
	// as in shard.move
	term := c.sh.term(queue, it)
	n := it.measure(a, c.sh.now-startBias)
	if open := c.sh.queues[queue].open[term]; open != 0 {
		n = max(n, it.measure(a, a.info[open].start))
	}
	ok := c.it.off != 0 || c.sh.index.room()
	if ok {
		c.at, c.alloc = c.sh.alloc(queue, term, n, false), n
		ok = c.at != 0
	}
	c.needs.seg = !ok
	return ok
}

// room has spare be a run of size bytes. False: there is none.
func (c *call) room(size int) bool {
	if c.spare != 0 && c.spareSize == size {
		return true
	}
	if c.ahead.done = false; c.spare != 0 {
		c.a.freeRun(c.spare)
	}
	if c.spare, c.spareSize = c.a.newRun(size), size; c.spare == 0 {
		c.needs.pages = pagesFor(size)
		return false
	}
	return true
}

// enter writes what place took room for. parts are the value's bytes, a run among them if it is large; with none, what is
// in the run is there already.
func (c *call) enter(it *item, parts ...part) {
	a, sh := c.a, c.sh
	c.addCount, c.addBytes = 0, 0
	old := c.it
	if c.at == 0 {
		was := old.weight()
		a.write(it, old.off, old.alloc, c.op.Key)
		if is := it.weight(); is != was {
			sh.queues[a.seg(old.off).queue].weight += int64(is - was)
		}
	} else {
		c.wrote, c.last = c.wrote+c.alloc, c.at
		a.write(it, c.at, c.alloc, c.op.Key)
		sh.queues[a.seg(it.off).queue].weight += int64(it.weight())
		if old.off != 0 {
			*c.slot = *c.slot&^offsetMask | it.off
			sh.bury(&old)
		} else {
			if it.keyRun != 0 {
				a.fill(it.keyRun, 0, part{b: c.op.Key})
				c.keyRun = 0
			}
			sh.index.insert(c.op.Hash, 0, it.off)
		}
	}
	switch {
	case it.bits&inRun == 0:
		to := a.bytes(it.valueAt, it.size)
		for _, p := range parts {
			to = to[copy(to, p.b):]
		}
	case it.run == c.body:
		c.body = 0
	case it.run == c.spare:
		if !c.ahead.done {
			a.fill(c.spare, 0, parts...)
		}
		c.spare = 0
	}
	if old.off != 0 && old.bits&inRun != 0 && (it.bits&inRun == 0 || it.run != old.run) {
		c.c.letGo(old.run)
	}
	sh.dues.note(it)
	if old.off != 0 {
		sh.recount(&old, it)
	} else {
		sh.count(it)
	}
}

// part is some of a value: bytes, or a run.
type part struct {
	b   []byte
	run uint64
}

// fill fills a run from off on.
func (a *arena) fill(run uint64, off int, parts ...part) {
	to := a.start(run)
	put := func(b []byte) {
		for len(b) > 0 {
			n := copy(to.at(a, off), b)
			off += n
			b = b[n:]
		}
	}
	for _, p := range parts {
		put(p.b)
		if p.run != 0 {
			from := a.start(p.run)
			for at := 0; at < from.size; {
				b := from.at(a, at)
				put(b)
				at += len(b)
			}
		}
	}
}

// small makes the parts of an inline value safe to be written over where they come from: bytes of a run are copied out,
// and those of the entry itself.
func (c *call) small(parts ...part) part {
	b := c.sh.value[:0]
	for _, p := range parts {
		b = append(b, p.b...)
		if p.run != 0 {
			b = c.a.appendRun(b, p.run)
		}
	}
	c.sh.value = b
	return part{b: b}
}

// renew makes of it what memcached calls a new item.
func (c *call) renew(it *item, version uint64) {
	c.bump()
	it.version = version
	it.used(c.now)
	it.bits &^= fetched | stale | claimed
}

// with makes a value of n bytes it.
func (it *item) with(n int) {
	it.size, it.run = n, 0
	it.bits &^= inRun
}

// theirs is the op's value.
func (c *call) theirs() part { return part{c.val, c.body} }

// vivify creates the entry that the op did not find.
func (c *call) vivify(n int, won bool, parts ...part) bool {
	if c.tooLarge(n) {
		return false
	}
	var it item
	it.with(n)
	it.flags, it.attr = c.op.Flags, c.op.Attr
	c.begin(&it, c.op.VivifyTTL)
	it.lastUse = c.now
	if !c.place(&it) {
		return false
	}
	it.version = c.version()
	c.r.Code = grid.OK
	c.r.State |= grid.Vivified
	c.times(&it)
	c.describe(&it)
	if won {
		c.r.State |= grid.Won
		it.bits |= claimed
		c.use(&it)
	}
	if it.bits&inRun == 0 {
		parts = append(parts[:0], c.small(parts...))
	}
	c.enter(&it, parts...)
	c.sh.stored++
	c.tell(grid.Created, &it)
	return true
}

// amend writes a change of what was found that leaves its value alone. False: there is no room for it.
func (c *call) amend(it *item) bool {
	if c.settle(it) {
		return true
	}
	if !c.place(it) {
		return false
	}
	if it.bits&inRun != 0 {
		c.enter(it)
	} else {
		c.enter(it, c.small(part{b: c.a.bytes(c.it.valueAt, c.it.size)}))
	}
	return true
}

// settle writes down what a use or a touch changes, if the form stays the same. False: it has to be written anew.
func (c *call) settle(it *item) bool {
	if !c.a.settle(it) {
		return false
	}
	c.sh.dues.note(it)
	return true
}

func (c *call) get(there bool) {
	if !there {
		c.r.Code = grid.Missing
		if c.asks(grid.Vivify) {
			c.vivify(0, true)
		}
		return
	}
	c.r.Code = grid.OK
	c.found()
	if c.asks(grid.WantValue) {
		c.bring()
	}
	if c.op.TTL == 0 && c.op.Idle == 0 && c.op.Ask&grid.Recache == 0 && c.it.idle == 0 { // nearly always
		if c.op.Ask&grid.NoBump == 0 {
			c.bump()
			off := c.it.off
			if c.it.bits&fetched == 0 {
				c.a.put32(off, c.a.u32(off)|fetched)
			}
			if c.it.lastUse < c.now {
				c.a.put32(off+12, c.a.seg(off).relative(c.now))
			}
		}
		return
	}
	it := c.it
	won := c.asks(grid.Recache) && it.bits&claimed == 0 &&
		(it.bits&stale != 0 || it.expires != 0 && uint64(it.expires-c.now) < c.op.Arg)
	if won {
		it.bits |= claimed
	}
	c.live(&it)
	c.use(&it)
	if c.amend(&it) && won {
		c.r.State |= grid.Won
	}
}

func (c *call) touch(there bool) {
	if !there {
		c.r.Code = grid.Missing
		return
	}
	c.r.Code = grid.OK
	c.found()
	it := c.it
	c.live(&it)
	c.use(&it)
	c.amend(&it)
}

func (c *call) put(there bool) {
	if c.tooLarge(c.size) {
		return
	}
	if there {
		c.found()
	}
	code := c.cond(there)
	outdated := code == grid.Conflict && c.asks(grid.MarkStale) && c.op.Version != 0 && c.op.Version < c.it.version
	if outdated {
		code = grid.OK
	}
	if code != grid.OK {
		c.r.Code = code
		if there && c.asks(grid.WantPrevious) {
			c.bring()
		}
		if code == grid.Exists && !c.asks(grid.NoBump) {
			it := c.it
			it.used(c.now)
			c.bump()
			c.settle(&it)
		}
		return
	}
	var it item
	if there {
		it = c.it
	}
	was := it.bits
	it.with(c.size)
	it.flags, it.attr = c.op.Flags, c.op.Attr
	c.renew(&it, 0)
	if outdated {
		it.bits |= stale | was&claimed
	} else {
		c.begin(&it, c.op.TTL)
	}
	if !c.place(&it) {
		return
	}
	c.r.Code = code
	flags, attr := c.it.flags, c.it.attr
	previous := there && c.asks(grid.WantPrevious)
	if previous {
		c.bring()
	}
	it.version = c.version()
	if !there {
		c.times(&it)
	}
	if c.body != 0 && it.bits&inRun == 0 {
		c.enter(&it, c.small(c.theirs()))
	} else {
		c.enter(&it, c.theirs())
	}
	c.sh.stored++
	if there {
		c.tell(grid.Modified, &it)
	} else {
		c.tell(grid.Created, &it)
	}
	c.describe(&it)
	if previous {
		c.r.Flags, c.r.Attr = flags, attr
	}
}

// remove also marks and hollows.
func (c *call) remove(there bool) {
	if !there {
		c.r.Code = grid.Missing
		return
	}
	c.found()
	code := c.cond(there)
	it := c.it
	hollow := code == grid.OK && c.asks(grid.Hollow)
	mark := code == grid.OK && !hollow && c.asks(grid.MarkStale)
	if hollow {
		it.with(0)
		it.flags, it.attr = c.op.Flags, c.op.Attr
		c.renew(&it, it.version)
		if c.asks(grid.MarkStale) {
			it.bits |= stale
		}
	}
	if mark {
		it.bits = it.bits&^claimed | stale
	}
	if hollow || mark {
		c.live(&it)
	}
	if hollow && !c.place(&it) {
		return
	}
	c.r.Code = code
	if c.asks(grid.WantPrevious) {
		c.bring()
	}
	flags, attr := c.it.flags, c.it.attr
	switch {
	case code != grid.OK:
		return
	case hollow:
		if c.asks(grid.MarkStale | grid.OwnVersion) {
			it.version = c.version()
		}
		c.enter(&it)
		c.sh.stored++
		c.tell(grid.Modified, &it)
	case mark:
		it.version = c.version()
		if !c.amend(&it) {
			return
		}
		c.tell(grid.Modified, &it)
	default:
		c.tell(grid.Removed, &c.it)
		c.sh.remove(c.op.Hash, &c.it)
		return
	}
	c.describe(&it)
	if c.asks(grid.WantPrevious) {
		c.r.Flags, c.r.Attr = flags, attr
	}
}

// extend appends and prepends.
func (c *call) extend(there bool) {
	if c.tooLarge(c.size) {
		return
	}
	if !there {
		switch {
		case !c.asks(grid.Vivify):
			c.r.Code = grid.Missing
		case c.op.Arg != 0 && uint64(c.size) > c.op.Arg:
			c.r.Code = grid.TooLarge
		default:
			c.vivify(c.size, false, c.theirs())
		}
		return
	}
	c.found()
	if code := c.cond(there); code != grid.OK {
		c.r.Code = code
		return
	}
	n := c.it.size + c.size
	if c.tooLarge(n) || c.op.Arg != 0 && uint64(n) > c.op.Arg {
		c.r.Code = grid.TooLarge
		return
	}
	if n > copyMost && !c.prepare(n) {
		return
	}
	it := c.it
	it.with(n)
	c.renew(&it, 0)
	c.live(&it)
	if !c.place(&it) {
		return
	}
	it.version = c.version()
	first, second := c.mine(), c.theirs()
	if c.op.Kind == grid.Prepend {
		first, second = second, first
	}
	if it.bits&inRun == 0 {
		c.enter(&it, c.small(first, second))
	} else {
		if c.it.bits&inRun == 0 { // the entry may be written over before the run is filled
			if c.op.Kind == grid.Append {
				first = c.small(first)
			} else {
				second = c.small(second)
			}
		}
		c.enter(&it, first, second)
	}
	c.sh.stored++
	c.tell(grid.Modified, &it)
	c.describe(&it)
	c.r.Code = grid.OK
}

// mine is the value that was found.
func (c *call) mine() part {
	if c.it.bits&inRun != 0 {
		return part{run: c.it.run}
	}
	return part{b: c.a.bytes(c.it.valueAt, c.it.size)}
}

// count increments and decrements.
func (c *call) count(there bool) {
	if !there {
		c.r.Code = grid.Missing
		if c.asks(grid.Vivify) {
			digits := c.digits(c.op.Initial)
			if c.vivify(len(digits), false, part{b: digits}) {
				c.r.Num = c.op.Initial
			}
		}
		return
	}
	c.found()
	code := c.cond(there)
	var n uint64
	if c.it.size > grid.StreamMin {
		if code == grid.OK {
			code = grid.NotNumber
		}
	} else if c.it.size == 0 {
		code = grid.NotNumber // whatever the condition: so does memcached
	} else if code == grid.OK {
		var ok bool
		v := c.mine()
		if v.run != 0 {
			v = c.small(v)
		}
		if n, ok = number(v.b); !ok {
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
	digits := c.digits(n)
	it := c.it
	same := len(digits) <= it.size // the same item, changed in place
	it.with(max(len(digits), it.size))
	if same {
		it.used(c.now)
		c.bump()
	} else {
		c.renew(&it, 0)
	}
	c.live(&it)
	if !c.place(&it) {
		return
	}
	it.version = c.version()
	for len(digits) < it.size {
		digits = append(digits, ' ')
	}
	c.sh.value = digits
	c.enter(&it, part{b: digits})
	if !same {
		c.sh.stored++
	}
	c.tell(grid.Modified, &it)
	c.describe(&it)
	c.r.Code, c.r.Num = grid.OK, n
}

// digits is n in decimal, in the shard's scratch.
func (c *call) digits(n uint64) []byte {
	c.sh.value = strconv.AppendUint(c.sh.value[:0], n, 10)
	return c.sh.value
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
