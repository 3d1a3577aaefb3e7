package gridtest

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/latticed/latticed/grid"
)

// conn is a connection as the grid sees it: it sends batches, waits for what is late, and spoils all memory it lent.
type conn struct {
	t     testing.TB
	where func() string // says for a failure where in the test it is
	other bool          // not the test's own goroutine
	cache grid.Cache
	admin grid.Admin
	event grid.Events
	id    uint64
	seq   uint32
	b     *grid.Batch
	cut   int // ops a batch
	room  int
	now   int64
	kept  []grid.Slot // of ops that failed with KeepBody

	mu      sync.Mutex
	answers map[uint32]grid.Result
	wakes   int
	signal  chan struct{} // something of the above has come
}

// patience is how long an answer may take before the test fails.
const patience = 30 * time.Second

func newConn(t testing.TB, c grid.Caches, id uint64) *conn {
	t.Helper()
	cache, err := c.Open("", grid.Principal{})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	admin, err := c.Admin("default", grid.Principal{})
	if err != nil {
		t.Fatalf("Admin: %v", err)
	}
	events, err := c.Events("", grid.Principal{})
	if err != nil {
		t.Fatalf("Events: %v", err)
	}
	return &conn{
		t: t, where: func() string { return "" }, cache: cache, admin: admin, event: events, id: id,
		b: grid.NewBatch(64), cut: grid.MaxBatch, room: 64 << 10, now: 1_700_000_000_000,
		answers: map[uint32]grid.Result{}, signal: make(chan struct{}, 1),
	}
}

func (c *conn) fatalf(format string, args ...any) {
	c.t.Helper()
	text := c.where() + fmt.Sprintf(format, args...)
	if !c.other {
		c.t.Fatal(text)
	}
	c.t.Error(text)
	runtime.Goexit()
}

// Answer implements grid.Late.
func (c *conn) Answer(id uint64, seq uint32, r *grid.Result) {
	c.mu.Lock()
	_, twice := c.answers[seq]
	own := *r
	own.Value = append([]byte(nil), r.Value...)
	c.answers[seq] = own
	c.mu.Unlock()
	if id != c.id || twice {
		c.t.Errorf("answer %d for connection %d: twice or not ours (%d)", seq, id, c.id)
	}
	c.poke()
}

// Wake implements grid.Late.
func (c *conn) Wake(id uint64) {
	c.mu.Lock()
	c.wakes++
	c.mu.Unlock()
	if id != c.id {
		c.t.Errorf("wake for connection %d, want %d", id, c.id)
	}
	c.poke()
}

func (c *conn) poke() {
	select {
	case c.signal <- struct{}{}:
	default:
	}
}

// await waits until ok, which is called with the lock held.
func (c *conn) await(what string, ok func() bool) {
	c.t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		c.mu.Lock()
		done := ok()
		c.mu.Unlock()
		if done {
			return
		}
		select {
		case <-c.signal:
		case <-timeout.C:
			c.fatalf("%s did not come", what)
		}
	}
}

func (c *conn) ticket() grid.Ticket {
	c.seq++
	return grid.Ticket{Conn: c.id, Seq: c.seq, Late: c, Now: grid.Time{Wall: c.now, Mono: c.now * 1e6}}
}

// run sends ops and returns their results, whose values are the caller's.
func (c *conn) run(ops ...grid.Op) []grid.Result {
	c.t.Helper()
	res := make([]grid.Result, len(ops))
	seqs := make([]uint32, len(ops))
	for i := 0; i < len(ops); {
		c.b.Reset()
		c.b.Room, c.b.Conn, c.b.Late = c.room, c.id, c
		c.b.Now = grid.Time{Wall: c.now, Mono: c.now * 1e6}
		n := min(c.cut, len(ops)-i)
		var lent [][]byte
		for j := range n {
			op := c.b.Add()
			*op = ops[i+j]
			c.seq++
			op.Seq, seqs[i+j] = c.seq, c.seq
			op.Key, op.Value = append([]byte(nil), op.Key...), append([]byte(nil), op.Value...)
			lent = append(lent, op.Key, op.Value)
		}
		did := c.cache.Do(c.b)
		if did < 1 || did > n {
			c.fatalf("Do ran %d of %d ops", did, n)
		}
		for _, m := range lent {
			spoil(m)
		}
		brought := 0
		for j := range n {
			r := &c.b.Res[j]
			if j >= did {
				if r.Code != grid.None {
					c.fatalf("op %d of %d was not run (%d were), but has code %d, want None", j, n, did, r.Code)
				}
				continue
			}
			if r.Code == grid.None {
				c.fatalf("op %d of %d was run but has code None", j, n)
			}
			brought += len(r.Value)
			spent, last := r.Body != nil || len(r.Value) > 0 && brought >= c.room, j == did-1
			if spent && !last || !spent && last && did < n {
				c.fatalf("op %d of %d with Room %d, %d bytes brought, Body %t: Do ended after %d", j, n, c.room, brought, r.Body != nil, did)
			}
			if len(r.Value) > grid.StreamMin {
				c.fatalf("a value of %d bytes came without a Body", len(r.Value))
			}
			res[i+j] = *r
			if op := &ops[i+j]; op.KeepsBody(r.Code) {
				c.kept = append(c.kept, op.Body)
			}
			res[i+j].Value = append([]byte(nil), r.Value...)
		}
		spoil(c.b.Mem)
		i += did
	}
	for i := range res {
		if res[i].Code == grid.Pending {
			res[i] = c.late(seqs[i])
		}
	}
	return res
}

// abortKept ends the Slots that failed ops have left.
func (c *conn) abortKept() {
	for _, s := range c.kept {
		s.Abort()
	}
	c.kept = c.kept[:0]
}

// late waits for the answer with that ticket.
func (c *conn) late(seq uint32) (r grid.Result) {
	c.t.Helper()
	c.await("a late answer", func() (ok bool) {
		if r, ok = c.answers[seq]; ok {
			c.answers[seq] = grid.Result{} // only to notice a second one
		}
		return ok
	})
	return r
}

func spoil(b []byte) {
	for i := range b {
		b[i] = 0xdb
	}
}

// reserve takes room for a value and fills it.
func (c *conn) reserve(key string, value []byte, flags uint32) (grid.Slot, grid.Code) {
	c.t.Helper()
	k := []byte(key)
	s, code := c.cache.Reserve(&grid.Op{Kind: grid.Put, Key: k, Flags: flags}, len(value), c.ticket())
	spoil(k)
	if code != grid.OK {
		return nil, code
	}
	c.fill(s, value)
	return s, code
}

// reserveBit is reserve for who does not know how long the value will be: it reserves first bytes of it, and then so many more,
// until all of it is there, and gives back what it has too much.
func (c *conn) reserveBit(key string, value []byte, flags uint32, first, more int) (grid.Slot, grid.Code) {
	c.t.Helper()
	size := min(first, len(value))
	s, code := c.reserve(key, value[:size], flags)
	for filled := size; code == grid.OK && filled < len(value); {
		if size += more; size < filled {
			c.fatalf("a Slot of %d bytes is filled with %d", size, filled)
		}
		if code = s.Resize(size, c.ticket()); code == grid.OK {
			part := value[filled:min(size, len(value))]
			c.fill(s, part)
			filled += len(part)
		}
	}
	if code == grid.OK {
		if code = s.Resize(len(value), c.ticket()); code == grid.OK {
			return s, code
		}
	}
	if s != nil {
		s.Abort()
	}
	return nil, code
}

func (c *conn) fill(s grid.Slot, value []byte) {
	c.t.Helper()
	for len(value) > 0 {
		w := s.Window()
		if len(w) == 0 {
			w = c.windows(s)
		}
		n := copy(w, value)
		if n > 1000 && n < 5000 { // sometimes not all at once
			n /= 2
		}
		s.Wrote(n)
		value = value[n:]
	}
}

func (c *conn) windows(s grid.Slot) (w []byte) {
	c.t.Helper()
	for {
		c.mu.Lock()
		seen := c.wakes
		c.mu.Unlock()
		if w = s.Window(); len(w) > 0 {
			return w
		}
		c.await("a Window", func() bool { return c.wakes > seen })
	}
}

// read returns the bytes of a blob and closes it.
func (c *conn) read(b grid.Blob) []byte {
	c.t.Helper()
	defer b.Close()
	out := make([]byte, 0, b.Len())
	for step := 1; len(out) < b.Len(); step = min(step*3+7, 1<<20) {
		c.mu.Lock()
		seen := c.wakes
		c.mu.Unlock()
		p := b.Piece(len(out), step)
		if len(p) > step {
			c.fatalf("Piece(%d, %d): got %d bytes", len(out), step, len(p))
		}
		if len(p) == 0 {
			c.await("a Piece", func() bool { return c.wakes > seen })
		}
		out = append(out, p...)
	}
	return out
}

// value returns what a result brought, as one slice.
func (c *conn) value(r grid.Result) []byte {
	c.t.Helper()
	if r.Body == nil {
		return r.Value
	}
	if len(r.Value) > 0 || r.Body.Len() <= grid.StreamMin {
		c.fatalf("Body of %d bytes beside %d bytes of Value", r.Body.Len(), len(r.Value))
	}
	return c.read(r.Body)
}

func (c *conn) one(op grid.Op) grid.Result {
	c.t.Helper()
	return c.run(op)[0]
}

func (c *conn) want(op grid.Op, code grid.Code) grid.Result {
	c.t.Helper()
	r := c.one(op)
	if r.Code != code {
		c.fatalf("op of kind %d on %.20q: got code %d, want %d", op.Kind, op.Key, r.Code, code)
	}
	return r
}

// put stores a value of any size.
func (c *conn) put(key string, value []byte) grid.Result {
	c.t.Helper()
	op := grid.Op{Kind: grid.Put, Key: []byte(key), Value: value}
	if len(value) > grid.StreamMin {
		s, code := c.reserve(key, value, 0)
		if code != grid.OK {
			return grid.Result{Code: code}
		}
		op.Value, op.Body = nil, s
	}
	return c.one(op)
}

func (c *conn) store(key string, value []byte) {
	c.t.Helper()
	if r := c.put(key, value); r.Code != grid.OK {
		c.fatalf("put %.20q of %d bytes: got code %d, want OK", key, len(value), r.Code)
	}
}

func get(key string) grid.Op {
	return grid.Op{Kind: grid.Get, Ask: grid.WantValue, Key: []byte(key)}
}

func (c *conn) gone(key string) {
	c.t.Helper()
	c.want(get(key), grid.Missing)
}

func (c *conn) has(key string, value []byte) {
	c.t.Helper()
	if got := c.value(c.want(get(key), grid.OK)); string(got) != string(value) {
		c.fatalf("value of %.20q: got %.40q (%d bytes), want %.40q (%d bytes)", key, got, len(got), value, len(value))
	}
}

func (c *conn) flush(at int64) {
	c.t.Helper()
	t := c.ticket()
	code := c.admin.Flush(at, t)
	if code == grid.Pending {
		code = c.late(t.Seq).Code
	}
	if code != grid.OK {
		c.fatalf("Flush(%d): got code %d, want OK", at, code)
	}
}

func (c *conn) stats() (s grid.Stats) {
	c.admin.Stats(&s, grid.Time{Wall: c.now})
	return s
}

// scan brings one page after the other to f.
func (c *conn) scan(class uint8, entries, mem int, f func(e grid.Entry)) {
	c.t.Helper()
	p := grid.Page{Class: class, Entries: make([]grid.Entry, 0, entries), Mem: make([]byte, 0, mem)}
	for more := true; more; {
		room := cap(p.Mem)
		more = c.admin.Scan(&p, grid.Time{Wall: c.now})
		if len(p.Entries) > entries {
			c.fatalf("a page of %d entries, want at most %d", len(p.Entries), entries)
		}
		if cap(p.Mem) != room && (len(p.Entries) == 0 || len(p.Entries[0].Key) <= room) {
			c.fatalf("Scan grew Mem from %d bytes for %d entries", room, len(p.Entries))
		}
		for _, e := range p.Entries {
			f(e)
		}
		spoil(p.Mem)
	}
}
