package store

import (
	"bytes"
	"math"
	"strconv"

	"github.com/latticed/latticed/grid"
)

// Do implements grid.Cache.
func (s *Store) Do(b *grid.Batch) (n int) {
	b.Mem = b.Mem[:0]
	for i := range b.Ops {
		b.Ops[i].Hash = s.hash(b.Ops[i].Key)
	}
	for i := range b.Ops {
		op, r := &b.Ops[i], &b.Res[i]
		*r = grid.Result{}
		sh := &s.shards[op.Hash>>(64-shardBits)]
		sh.mu.Lock()
		w := work{s: s, sh: sh, op: op, r: r, b: b, now: b.Now.Wall}
		w.run()
		sh.mu.Unlock()
		if sl, ok := op.Body.(*slot); ok && !sl.taken {
			sl.Abort()
		}
		if w.grew {
			s.makeRoom(sh, w.e, w.now)
		}
		if len(b.Mem) >= b.Room && len(r.Value) > 0 || r.Body != nil {
			return i + 1
		}
	}
	return len(b.Ops)
}

// work is one op in its shard, with the lock held.
type work struct {
	s    *Store
	sh   *shard
	op   *grid.Op
	r    *grid.Result
	b    *grid.Batch
	e    *entry // the entry found or made
	now  int64
	grew bool
}

func (w *work) run() {
	op := w.op
	w.e = w.s.find(w.sh, op.Key, w.now)
	switch op.Kind {
	case grid.Get:
		w.get()
		return
	case grid.Touch:
		if w.e == nil {
			w.r.Code = grid.Missing
			return
		}
		w.describe()
		w.touch()
		w.used()
		w.r.Code = grid.OK
		return
	}
	if op.Ask&(grid.WantPrevious|grid.WantTimes) != 0 && w.e != nil {
		w.previous()
	}
	if code := w.condition(); code != grid.OK {
		w.r.Code = code
		return
	}
	switch op.Kind {
	case grid.Put:
		w.put()
	case grid.Append, grid.Prepend:
		w.join()
	case grid.Incr, grid.Decr:
		w.arith()
	case grid.Remove:
		w.remove()
	default:
		panic("BUG: an op without a kind")
	}
}

// describe fills what is told about the entry as it was found.
func (w *work) describe() {
	e, r := w.e, w.r
	r.Version, r.Expires, r.Flags, r.Attr = e.version, e.expires, e.flags, e.attr
	r.State |= e.state & (grid.Fetched | grid.Stale | grid.Claimed)
	r.Num = uint64(e.size())
	if w.op.Ask&grid.WantTimes != 0 {
		r.Created, r.LastUse, r.MaxIdle = e.created, e.lastUse, e.idle
	}
}

// value brings the entry's value: copied, or as a blob.
func (w *work) value() {
	e := w.e
	if e.run != nil {
		e.run.refs.Add(1)
		w.r.Body = &blob{s: w.s, run: e.run}
		return
	}
	n := len(w.b.Mem)
	w.b.Mem = append(w.b.Mem, e.value...)
	w.r.Value = w.b.Mem[n:len(w.b.Mem):len(w.b.Mem)]
}

func (w *work) previous() {
	w.describe()
	if w.op.Ask&grid.WantPrevious != 0 {
		w.r.State |= grid.HadValue
		w.value()
	}
}

func (w *work) used() {
	if w.op.Ask&grid.NoBump != 0 {
		return
	}
	w.e.lastUse = w.now
	if w.sh.ring.next != w.e {
		w.e.unlink()
		w.sh.front(w.e)
	}
}

func (w *work) touch() {
	if w.op.TTL != grid.TTLDefault {
		w.e.expires = deadline(w.op.TTL, w.now)
	}
	if w.op.Idle != 0 {
		w.e.idle = max(0, w.op.Idle)
	}
}

func deadline(ttl, now int64) int64 {
	switch {
	case ttl > math.MaxInt64-now:
		return math.MaxInt64
	case ttl > 0:
		return now + ttl
	case ttl <= grid.TTLPast:
		return max(now, 1)
	}
	return 0
}

func (w *work) condition() grid.Code {
	switch {
	case w.op.Cond == grid.IfAbsent && w.e != nil:
		w.used()
		if w.r.Num == 0 {
			w.describe()
		}
		return grid.Exists
	case w.op.Cond == grid.IfPresent && w.e == nil:
		return grid.Missing
	case w.op.Cond == grid.IfVersion:
		if w.e == nil && w.op.Ask&grid.Vivify == 0 {
			return grid.Missing
		}
		if w.e != nil && w.e.version != w.op.Version {
			if w.op.Kind == grid.Put && w.op.Ask&grid.MarkStale != 0 && w.op.Version < w.e.version {
				return grid.OK // stored, but stale
			}
			w.describe()
			return grid.Conflict
		}
	}
	return grid.OK
}

func (w *work) get() {
	op, r := w.op, w.r
	if w.e == nil {
		if op.Ask&grid.Vivify == 0 {
			r.Code = grid.Missing
			return
		}
		if !w.store(nil, nil, 0, op.VivifyTTL) {
			return
		}
		w.e.state |= grid.Claimed
		w.describe()
		r.State = grid.Won | grid.Vivified
		r.Code = grid.OK
		return
	}
	e := w.e
	w.describe()
	r.State &^= grid.Claimed
	switch {
	case e.state&grid.Claimed != 0:
		r.State |= grid.Claimed
	case op.Ask&grid.Recache != 0 && (e.state&grid.Stale != 0 || e.expires != 0 && e.expires-w.now < int64(op.Arg)):
		e.state |= grid.Claimed
		r.State |= grid.Won
	}
	if op.Ask&grid.WantValue != 0 {
		w.value()
	}
	w.touch()
	if op.Ask&grid.NoBump == 0 {
		e.state |= grid.Fetched
		w.used()
	}
	r.Code = grid.OK
}

// store makes value or body the entry's, which is created when there is none. False: r.Code says why not.
func (w *work) store(value []byte, body *run, flags uint32, ttl int64) bool {
	s, sh, e := w.s, w.sh, w.e
	size := len(value)
	if body != nil {
		size = body.size
	}
	charge := grid.Charge(len(w.op.Key), size, flags)
	old := 0
	if e != nil {
		old = e.charge()
	}
	switch limit := s.limit.Load(); {
	case size > s.maxValue:
		w.r.Code = grid.TooLarge
		return false
	case uint64(charge) > limit, s.noEvict && charge > old && s.used.Load()+int64(charge-old) > int64(limit):
		sh.classes[grid.Class(charge)].NoMemory++
		w.r.Code = grid.Full
		return false
	}
	if e == nil {
		e = &entry{key: string(w.op.Key), created: w.now, generation: sh.generation}
		sh.entries[e.key] = e
		sh.front(e)
		w.e = e
	} else {
		s.used.Add(sh.count(e, -1))
		s.leave(e.run)
		e.unlink()
		sh.front(e)
	}
	e.run = body
	switch {
	case body != nil:
		e.value = nil
	case size <= cap(e.value) && size >= cap(e.value)/2:
		e.value = append(e.value[:0], value...)
	default:
		e.value = append(make([]byte, 0, size), value...)
	}
	e.flags, e.lastUse = flags, w.now
	if ttl != grid.TTLDefault {
		e.expires = deadline(ttl, w.now)
	}
	w.renew()
	s.used.Add(sh.count(e, 1))
	sh.stored++
	w.grew = true
	return true
}

// renew gives the entry its next version.
func (w *work) renew() {
	if w.op.Ask&grid.OwnVersion != 0 && w.op.NewVersion != 0 {
		w.e.version = w.op.NewVersion
	} else {
		w.e.version = w.sh.version()
	}
}

// done reports the entry after a change.
func (w *work) done() {
	w.r.Code = grid.OK
	w.r.Version, w.r.Expires = w.e.version, w.e.expires
	if w.op.Kind != grid.Incr && w.op.Kind != grid.Decr {
		w.r.Num = uint64(w.e.size())
	}
	if w.op.Ask&(grid.WantPrevious|grid.WantTimes) == 0 {
		w.r.Flags, w.r.Attr = w.e.flags, w.e.attr
	}
}

func (w *work) put() {
	op := w.op
	stale := w.e != nil && op.Cond == grid.IfVersion && w.e.version != op.Version
	ttl := op.TTL
	if ttl == grid.TTLDefault {
		ttl = grid.TTLForever
	}
	var keep grid.State
	if stale {
		ttl, keep = grid.TTLDefault, grid.Stale|w.e.state&grid.Claimed
	}
	var body *run
	if op.Body != nil {
		body = op.Body.(*slot).take()
	}
	if !w.store(op.Value, body, op.Flags, ttl) {
		return
	}
	e := w.e
	e.state, e.attr, e.created = keep, op.Attr, w.now
	if !stale {
		e.idle = max(0, op.Idle)
	}
	w.done()
}

func (w *work) join() {
	op := w.op
	if w.e == nil {
		if op.Ask&grid.Vivify == 0 {
			w.r.Code = grid.Missing
			return
		}
		var body *run
		if op.Body != nil {
			body = op.Body.(*slot).take()
		}
		if w.store(op.Value, body, op.Flags, orForever(op.VivifyTTL)) {
			w.e.attr = op.Attr
			w.done()
			w.r.State |= grid.Vivified
		}
		return
	}
	add := op.Value
	if op.Body != nil {
		add = (&entry{run: op.Body.(*slot).take()}).appendTo(nil)
	}
	size := w.e.size() + len(add)
	if op.Arg != 0 && uint64(size) > op.Arg || size > w.s.maxValue {
		w.r.Code = grid.TooLarge
		return
	}
	joined := make([]byte, 0, size)
	if op.Kind == grid.Prepend {
		joined = w.e.appendTo(append(joined, add...))
	} else {
		joined = append(w.e.appendTo(joined), add...)
	}
	var body *run
	if size > grid.StreamMin {
		body = newRun(joined)
		joined = nil
	}
	if w.store(joined, body, w.e.flags, grid.TTLDefault) {
		w.done()
	}
}

// newRun cuts value, which it takes over, into a run with the index's reference.
func newRun(value []byte) *run {
	r := &run{size: len(value), filled: len(value)}
	for len(value) > chunkSize {
		r.chunks = append(r.chunks, value[:chunkSize:chunkSize])
		value = value[chunkSize:]
	}
	r.chunks = append(r.chunks, value)
	r.refs.Store(1)
	return r
}

func orForever(ttl int64) int64 {
	if ttl == grid.TTLDefault {
		return grid.TTLForever
	}
	return ttl
}

func (w *work) arith() {
	op := w.op
	var text [20]byte
	if w.e == nil {
		if op.Ask&grid.Vivify == 0 {
			w.r.Code = grid.Missing
			return
		}
		if w.store(strconv.AppendUint(text[:0], op.Initial, 10), nil, op.Flags, orForever(op.VivifyTTL)) {
			w.e.attr = op.Attr
			w.r.Num = op.Initial
			w.done()
			w.r.State |= grid.Vivified
		}
		return
	}
	n, ok := number(w.e.value)
	if !ok || w.e.run != nil {
		w.r.Code = grid.NotNumber
		return
	}
	switch {
	case op.Kind == grid.Incr:
		n += op.Arg
	case n < op.Arg:
		n = 0
	default:
		n -= op.Arg
	}
	digits := strconv.AppendUint(text[:0], n, 10)
	// A shorter number keeps the old width, as memcached overwrites it in place.
	if width := len(w.e.value); len(digits) < width {
		if width <= len(text) {
			for len(digits) < width {
				digits = append(digits, ' ')
			}
		} else {
			digits = append(digits, bytes.Repeat([]byte{' '}, width-len(digits))...)
		}
	}
	if w.store(digits, nil, w.e.flags, op.TTL) {
		w.r.Num = n
		w.done()
	}
}

// number reads a decimal number as memcached's strtoull does: white space before it, a plus, leading zeros, and
// anything after white space behind it are accepted.
func number(v []byte) (uint64, bool) {
	i := 0
	for i < len(v) && space(v[i]) {
		i++
	}
	if i < len(v) && v[i] == '+' {
		i++
	}
	start, n := i, uint64(0)
	for ; i < len(v) && v[i] >= '0' && v[i] <= '9'; i++ {
		d := uint64(v[i] - '0')
		if n > (1<<64-1-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n, i > start && (i == len(v) || space(v[i]))
}

func space(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

func (w *work) remove() {
	op, e := w.op, w.e
	if e == nil {
		w.r.Code = grid.Missing
		return
	}
	if op.Ask&(grid.MarkStale|grid.Hollow) == 0 {
		w.describeUnlessAsked()
		w.s.drop(w.sh, e)
		w.r.Code = grid.OK
		return
	}
	if op.Ask&grid.Hollow != 0 {
		version := e.version
		if !w.store(nil, nil, op.Flags, op.TTL) {
			return
		}
		e.attr = op.Attr
		if op.Ask&grid.MarkStale == 0 && (op.Ask&grid.OwnVersion == 0 || op.NewVersion == 0) {
			e.version = version
		}
	} else {
		w.touch()
		w.renew()
	}
	if op.Ask&grid.MarkStale != 0 {
		e.state = e.state&^grid.Claimed | grid.Stale
	}
	w.done()
}

func (w *work) describeUnlessAsked() {
	if w.op.Ask&(grid.WantPrevious|grid.WantTimes) == 0 {
		w.describe()
	}
}
