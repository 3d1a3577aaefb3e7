package gridtest

import (
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/latticed/latticed/grid"
)

// Late wraps a Caches so that it answers as a cluster does: Do says Pending and the answers come later, in any order,
// or never (Timeout in the end). A test delivers them itself (Deliver, DeliverAll) or has a goroutine do it (Start,
// Stop). What is random comes from the seed.
//
// By default an op takes effect in Do and only its answer is late, so that the same ops give the same answers as
// without Late, down to the versions. With Defer it takes effect when its answer is delivered; then the order per
// connection and key is kept, as the contract wants. Either way an op on a key whose last answer is outstanding waits
// behind it.
//
// The fields are set before first use.
type Late struct {
	Share int  // percent of ops that are answered late; NewLate says 100
	Lose  int  // percent of late answers that are Timeout, delivered after all others; such an op may have run or not
	Defer bool // see above
	Slow  bool // Windows and Pieces come bit by bit, each after a Wake

	inner grid.Caches

	mu    sync.Mutex // guards all below, held while inner works, never while grid.Late is called
	more  sync.Cond  // queue grew, or stop
	rng   *rand.Rand
	now   grid.Time
	queue []*parcel
	held  map[connKey]int // answers outstanding
	batch *grid.Batch     // scratch

	stop bool
	done sync.WaitGroup
}

type connKey struct {
	conn uint64
	key  string
}

// parcel is something that is on its way.
type parcel struct {
	to   connKey
	seq  uint32
	late grid.Late
	run  func() // what is left to do, under mu; nil for nothing
	res  grid.Result
	lost bool
	wake bool // no answer, only Wake
}

// NewLate returns a Late around inner. It delivers nothing by itself before Start.
func NewLate(inner grid.Caches, seed uint64) *Late {
	l := &Late{
		Share: 100,
		inner: inner,
		rng:   rand.New(rand.NewPCG(seed, 1)),
		held:  map[connKey]int{},
		batch: grid.NewBatch(0),
	}
	l.more.L = &l.mu
	return l
}

// Start has a goroutine deliver whatever comes, until Stop.
func (l *Late) Start() {
	l.done.Go(func() {
		for {
			l.mu.Lock()
			for len(l.queue) == 0 && !l.stop {
				l.more.Wait()
			}
			stop := l.stop
			l.mu.Unlock()
			if stop {
				return
			}
			l.Deliver()
		}
	})
}

// Stop ends the goroutine of Start and delivers what is left.
func (l *Late) Stop() {
	l.mu.Lock()
	l.stop = true
	l.more.Broadcast()
	l.mu.Unlock()
	l.done.Wait()
	l.DeliverAll()
}

// Outstanding is how many deliveries are waiting.
func (l *Late) Outstanding() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.queue)
}

// DeliverAll delivers until nothing is waiting and returns how many deliveries that took.
func (l *Late) DeliverAll() (n int) {
	for l.Deliver() {
		n++
	}
	return n
}

// Deliver delivers one answer or wake-up; false when none is waiting.
func (l *Late) Deliver() bool {
	l.mu.Lock()
	p := l.pick()
	if p != nil && p.run != nil {
		p.run()
	}
	l.mu.Unlock()
	switch {
	case p == nil:
		return false
	case p.wake:
		p.late.Wake(p.to.conn)
	default:
		p.late.Answer(p.to.conn, p.seq, &p.res)
	}
	return true
}

// pick takes a random parcel from the queue: a lost one only when there is no other, with Defer only the first of its
// connection and key.
func (l *Late) pick() *parcel {
	var ready, lost []int
	first := map[connKey]bool{}
	for i, p := range l.queue {
		if l.Defer && !p.wake && p.to.key != "" && first[p.to] {
			continue
		}
		first[p.to] = first[p.to] || !p.wake
		if p.lost {
			lost = append(lost, i)
		} else {
			ready = append(ready, i)
		}
	}
	if len(ready) == 0 {
		ready = lost
	}
	if len(ready) == 0 {
		return nil
	}
	i := ready[l.rng.IntN(len(ready))]
	p := l.queue[i]
	l.queue = slices.Delete(l.queue, i, i+1)
	if !p.wake {
		if l.held[p.to]--; l.held[p.to] == 0 {
			delete(l.held, p.to)
		}
	}
	return p
}

// post puts p on its way.
func (l *Late) post(p *parcel) {
	if !p.wake {
		l.held[p.to]++
		p.lost = l.rng.IntN(100) < l.Lose
	}
	l.queue = append(l.queue, p)
	l.more.Broadcast()
}

// advance takes note of the time; what is run later is run at the latest seen.
func (l *Late) advance(now grid.Time) {
	l.now.Wall, l.now.Mono = max(l.now.Wall, now.Wall), max(l.now.Mono, now.Mono)
}

// Open wraps the handle of the inner Caches.
func (l *Late) Open(name string, who grid.Principal) (grid.Cache, error) {
	c, err := l.inner.Open(name, who)
	if err != nil {
		return nil, err
	}
	return &lateCache{l: l, inner: c}, nil
}

// Admin wraps the administration of the inner Caches; only its Flush is late.
func (l *Late) Admin(name string, who grid.Principal) (grid.Admin, error) {
	a, err := l.inner.Admin(name, who)
	if err != nil {
		return nil, err
	}
	return &lateAdmin{Admin: a, l: l}, nil
}

// Events returns that of the inner Caches: events come when the ops take effect.
func (l *Late) Events(name string, who grid.Principal) (grid.Events, error) {
	return l.inner.Events(name, who)
}

type lateCache struct {
	l     *Late
	inner grid.Cache
}

func (c *lateCache) Do(b *grid.Batch) (n int) {
	l := c.l
	l.mu.Lock()
	defer l.mu.Unlock()
	l.advance(b.Now)
	b.Mem = b.Mem[:0]
	clear(b.Res[:len(b.Ops)])
	for n < len(b.Ops) {
		op, r := &b.Ops[n], &b.Res[n]
		n++
		if l.held[connKey{b.Conn, string(op.Key)}] > 0 || l.rng.IntN(100) < l.Share {
			c.postpone(b, op)
			r.Code = grid.Pending
			continue
		}
		c.run(op, r, b.Conn, b.Late)
		if len(r.Value) > 0 {
			start := len(b.Mem)
			b.Mem = append(b.Mem, r.Value...)
			r.Value = b.Mem[start:len(b.Mem):len(b.Mem)]
		}
		if r.Body != nil || len(r.Value) > 0 && len(b.Mem) >= b.Room {
			break
		}
	}
	return n
}

// run runs op on the inner cache now. The value of r is in the scratch batch.
func (c *lateCache) run(op *grid.Op, r *grid.Result, conn uint64, late grid.Late) {
	l := c.l
	l.batch.Reset()
	l.batch.Now, l.batch.Conn = l.now, conn
	o := l.batch.Add()
	*o = *op
	if s, ok := op.Body.(*lateSlot); ok {
		o.Body = s.inner
	}
	c.inner.Do(l.batch)
	*r = l.batch.Res[0]
	if r.Code == grid.Pending {
		panic("BUG: Late around something that is late itself")
	}
	if r.Body != nil && l.Slow {
		r.Body = &lateBlob{Blob: r.Body, tap: tap{l: l, conn: conn, late: late}}
	}
}

func (c *lateCache) postpone(b *grid.Batch, op *grid.Op) {
	l := c.l
	p := &parcel{to: connKey{b.Conn, string(op.Key)}, seq: op.Seq, late: b.Late}
	l.post(p)
	own := *op
	own.Key, own.Value = slices.Clone(op.Key), slices.Clone(op.Value)
	own.Ask &^= grid.KeepBody // nobody is there to have it back
	run := func() {
		switch {
		case !p.lost:
			c.run(&own, &p.res, p.to.conn, p.late)
			p.res.Value = slices.Clone(p.res.Value)
			return
		case l.rng.IntN(2) == 0: // in doubt: it did happen
			c.run(&own, &p.res, p.to.conn, p.late)
			if p.res.Body != nil {
				p.res.Body.Close()
			}
		case own.Body != nil:
			own.Body.Abort()
		}
		p.res = grid.Result{Code: grid.Timeout}
	}
	if l.Defer {
		p.run = run
	} else {
		run()
	}
}

func (c *lateCache) Reserve(op *grid.Op, size int, t grid.Ticket) (grid.Slot, grid.Code) {
	c.l.mu.Lock()
	c.l.advance(t.Now)
	t.Now = c.l.now
	c.l.mu.Unlock()
	s, code := c.inner.Reserve(op, size, t)
	if code != grid.OK || !c.l.Slow {
		return s, code
	}
	return &lateSlot{inner: s, size: size, tap: tap{l: c.l, conn: t.Conn, late: t.Late}}, code
}

// tap lets bytes through bit by bit: whenever nothing more is open it posts a wake-up that opens some more.
type tap struct {
	l    *Late
	conn uint64
	late grid.Late
	open int // bytes, from the start
	wait bool
}

// take returns how many of n bytes at off are open.
func (t *tap) take(off, n int) int {
	t.l.mu.Lock()
	defer t.l.mu.Unlock()
	n = min(n, t.open-off)
	if n <= 0 && !t.wait {
		t.wait = true
		t.l.post(&parcel{to: connKey{conn: t.conn}, late: t.late, wake: true, run: func() {
			t.wait = false
			t.open += 1 + t.l.rng.IntN(1<<t.l.rng.IntN(20))
		}})
	}
	return max(0, n)
}

type lateSlot struct {
	inner   grid.Slot
	tap     tap
	written int
	size    int
}

func (s *lateSlot) Window() []byte {
	if s.written == s.size {
		return nil
	}
	w := s.inner.Window()
	n := s.tap.take(s.written, len(w))
	return w[:n:n]
}

func (s *lateSlot) Wrote(n int) {
	s.inner.Wrote(n)
	s.written += n
}

func (s *lateSlot) Resize(size int, t grid.Ticket) grid.Code {
	s.tap.l.mu.Lock()
	s.tap.l.advance(t.Now)
	t.Now = s.tap.l.now
	s.tap.l.mu.Unlock()
	code := s.inner.Resize(size, t)
	if code == grid.OK {
		s.size = size
	}
	return code
}

func (s *lateSlot) Abort() { s.inner.Abort() }

type lateBlob struct {
	grid.Blob
	tap tap
}

func (b *lateBlob) Piece(off, n int) []byte {
	p := b.Blob.Piece(off, n)
	if len(p) == 0 {
		return nil
	}
	n = b.tap.take(off, len(p))
	return p[:n:n]
}

type lateAdmin struct {
	grid.Admin
	l *Late
}

func (a *lateAdmin) Flush(at int64, t grid.Ticket) grid.Code {
	l := a.l
	l.mu.Lock()
	defer l.mu.Unlock()
	l.advance(t.Now)
	inner := func() grid.Code { return a.Admin.Flush(at, grid.Ticket{Now: l.now}) }
	if t.Late == nil || l.rng.IntN(100) >= l.Share {
		return inner()
	}
	p := &parcel{to: connKey{conn: t.Conn}, seq: t.Seq, late: t.Late}
	p.run = func() { p.res.Code = inner() }
	if !l.Defer {
		p.run()
		p.run = nil
	}
	l.post(p)
	if p.lost {
		p.run, p.res.Code = nil, grid.Timeout
	}
	return grid.Pending
}
