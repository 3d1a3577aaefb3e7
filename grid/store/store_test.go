package store_test

import (
	"bytes"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/grid/store"
)

// rig is a store with a hand clock.
type rig struct {
	t   *testing.T
	s   *store.Store
	b   *grid.Batch
	now int64
}

func newRig(t *testing.T, o store.Options) *rig {
	return &rig{t: t, s: newStore(t, o), b: grid.NewBatch(1 << 16), now: 1_000_000}
}

func (g *rig) do(ops ...grid.Op) []grid.Result {
	g.t.Helper()
	g.b.Reset()
	for _, op := range ops {
		*g.b.Add() = op
	}
	g.b.Now.Wall = g.now
	if n := g.s.Do(g.b); n != len(ops) {
		g.t.Fatalf("Do: got %d, want %d", n, len(ops))
	}
	return g.b.Res[:len(ops)]
}

func (g *rig) put(key string, value []byte) grid.Code {
	g.t.Helper()
	op := grid.Op{Kind: grid.Put, Key: []byte(key), Value: value}
	if len(value) > grid.StreamMin {
		slot, code := g.s.Reserve(&op, len(value), grid.Ticket{Now: grid.Time{Wall: g.now}})
		if code != grid.OK {
			return code
		}
		for left := value; len(left) > 0; {
			n := copy(slot.Window(), left)
			slot.Wrote(n)
			left = left[n:]
		}
		op.Value, op.Body = nil, slot
	}
	return g.do(op)[0].Code
}

func (g *rig) store(key string, value []byte) {
	g.t.Helper()
	if code := g.put(key, value); code != grid.OK {
		g.t.Fatalf("put %s: got code %d, want OK", key, code)
	}
}

func (g *rig) has(key string) bool {
	g.t.Helper()
	return g.do(grid.Op{Kind: grid.Get, Key: []byte(key)})[0].Code == grid.OK
}

func (g *rig) stats() (s grid.Stats) {
	g.s.Stats(&s, grid.Time{Wall: g.now})
	return s
}

// TestAllocs counts allocations: none, but for the scratch of a shard.
func TestAllocs(t *testing.T) {
	g := newRig(t, store.Options{Limit: 1 << 30})
	value := bytes.Repeat([]byte("v"), 100)
	keys := make([][]byte, 16)
	for i := range keys {
		keys[i] = fmt.Append(nil, "key", i)
	}
	f := func(name string, want float64, op func(i int) grid.Op) {
		t.Helper()
		if got := testing.AllocsPerRun(200, func() {
			g.b.Reset()
			for i := range 16 {
				*g.b.Add() = op(i)
			}
			g.s.Do(g.b)
		}); got > want {
			t.Errorf("%s: got %v allocations for 16 ops, want %v", name, got, want)
		}
	}
	f("put", 0, func(i int) grid.Op { return grid.Op{Kind: grid.Put, Key: keys[i], Value: value} })
	f("put smaller", 0, func(i int) grid.Op { return grid.Op{Kind: grid.Put, Key: keys[i], Value: value[:60]} })
	f("get", 0, func(i int) grid.Op { return grid.Op{Kind: grid.Get, Ask: grid.WantValue, Key: keys[i]} })
	f("touch", 0, func(i int) grid.Op { return grid.Op{Kind: grid.Touch, TTL: 1000, Key: keys[i]} })
	f("get none", 0, func(int) grid.Op { return grid.Op{Kind: grid.Get, Ask: grid.WantValue, Key: value} })
	f("number", 0, func(i int) grid.Op { return grid.Op{Kind: grid.Put, Key: keys[i], Value: value[:0]} })
	f("incr", 0, func(i int) grid.Op {
		if i%2 == 0 {
			return grid.Op{Kind: grid.Put, Key: keys[0], Value: keys[9][3:]}
		}
		return grid.Op{Kind: grid.Incr, Arg: 1, Key: keys[0]}
	})
	fresh := make([][]byte, 0, 201*16)
	for i := range cap(fresh) {
		fresh = append(fresh, fmt.Append(nil, "new", i))
	}
	f("new", 0, func(int) grid.Op {
		key := fresh[0]
		fresh = fresh[1:]
		return grid.Op{Kind: grid.Put, Key: key, Value: value}
	})
}

// TestVersions looks for a version given twice, in all shards.
func TestVersions(t *testing.T) {
	g := newRig(t, store.Options{})
	seen := map[uint64]bool{0: true}
	for i := range 5000 {
		v := g.do(grid.Op{Kind: grid.Put, Key: fmt.Append(nil, i%1000)})[0].Version
		if seen[v] {
			t.Fatalf("version %d was given twice", v)
		}
		seen[v] = true
	}
}

// TestEvictsOld reads some entries over and over while others come: those that are read stay, the others go.
func TestEvictsOld(t *testing.T) {
	const entries = 10_000
	value := make([]byte, 100)
	g := newRig(t, store.Options{Limit: uint64(entries * grid.Charge(9, 100, 0))})
	for i := range 3 * entries {
		g.now++
		g.store(fmt.Sprintf("key%06d", i), value)
		if i%10 == 0 {
			g.has(fmt.Sprintf("key%06d", i/10%500))
		}
	}
	hot, old, fresh := 0, 0, 0
	for i := range 3 * entries {
		if !g.has(fmt.Sprintf("key%06d", i)) {
			continue
		}
		switch {
		case i < 500:
			hot++
		case i < 2*entries-entries/5:
			old++
		case i > 2*entries+entries/2:
			fresh++
		}
	}
	if hot < 490 || old > entries/50 || fresh < entries/2-entries/50 {
		t.Errorf("there are %d of 500 read ones, %d old, %d of %d fresh", hot, old, fresh, entries/2)
	}
	s := g.stats()
	c := s.Classes[grid.Class(grid.Charge(9, 100, 0))]
	if want := uint64(3*entries) - s.Entries; c.Evicted != want || c.EvictedTTL != 0 || c.EvictedIdle < entries/2 {
		t.Errorf("got %d evicted, %d with a lifespan, the last unused for %d ms, want %d, 0 and at least %d", c.Evicted, c.EvictedTTL, c.EvictedIdle, want, entries/2)
	}
	if want := c.Evicted; c.EvictedUnfetched != want {
		t.Errorf("got %d evicted without having been read, want %d", c.EvictedUnfetched, want)
	}
}

// TestEvictsAnywhere stores a large value among small ones, and small ones among large ones, at the limit.
func TestEvictsAnywhere(t *testing.T) {
	const limit = 8 << 20
	g := newRig(t, store.Options{Limit: limit})
	for i := range 100_000 {
		g.store(fmt.Sprint("small", i), nil)
	}
	large := make([]byte, limit*3/4)
	for range 3 {
		g.store("large", large)
		if s := g.stats(); s.Memory > limit || !g.has("large") {
			t.Fatalf("got %d bytes taken, large value there: %t, want at most %d and true", s.Memory, g.has("large"), limit)
		}
		for i := range 1000 {
			g.store(fmt.Sprint("small", i), nil)
		}
	}
	if code := g.put("larger", append(large, large...)); code != grid.Full {
		t.Errorf("put of more than the limit: got code %d, want Full", code)
	}
	// an append that grows into everything
	g.store("grow", make([]byte, grid.StreamMin))
	piece := make([]byte, grid.StreamMin)
	for n := grid.StreamMin; n < limit*3/4; n += len(piece) {
		if r := g.do(grid.Op{Kind: grid.Append, Key: []byte("grow"), Value: piece})[0]; r.Code != grid.OK && r.Code != grid.Missing {
			t.Fatalf("append at %d bytes: got code %d", n, r.Code)
		}
	}
}

// TestSmallerKeepsLittle overwrites values with much smaller ones: the memory must not stay with the entries.
func TestSmallerKeepsLittle(t *testing.T) {
	const entries, size = 2000, 10_000
	g := newRig(t, store.Options{Limit: 1 << 30})
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	for i := range entries {
		g.store(fmt.Sprint("key", i), make([]byte, size))
		g.store(fmt.Sprint("key", i), nil)
	}
	if grown := int64(heap()) - int64(before); grown > entries*size/4 {
		t.Errorf("%d empty values that were of %d bytes take %d bytes", entries, size, grown)
	}
	runtime.KeepAlive(g)
}

func TestSweep(t *testing.T) {
	g := newRig(t, store.Options{})
	const entries = 5000
	for i := range entries {
		ttl := int64(0)
		if i%2 == 0 {
			ttl = 100
		}
		g.do(grid.Op{Kind: grid.Put, Key: fmt.Append(nil, i), TTL: ttl})
	}
	sweep := func(n int) int { return g.s.Sweep(grid.Time{Wall: g.now}, n) }
	if n := sweep(100_000); n != 0 {
		t.Errorf("Sweep before anything expired: got %d removed, want 0", n)
	}
	g.now += 100
	if n := sweep(1000); n == 0 || n > 1000 {
		t.Errorf("Sweep of 1000: got %d removed", n)
	}
	sweep(100_000)
	s := g.stats()
	var reclaimed, unfetched uint64
	for _, c := range s.Classes {
		reclaimed, unfetched = reclaimed+c.Reclaimed, unfetched+c.ExpiredUnfetched
	}
	if s.Entries != entries/2 || reclaimed != entries/2 || unfetched != entries/2 || s.GetExpired != 0 {
		t.Errorf("got %d entries, %d reclaimed, %d unfetched, %d seen by gets, want %d each and 0", s.Entries, reclaimed, unfetched, s.GetExpired, entries/2)
	}
	g.s.Flush(0, grid.Ticket{Now: grid.Time{Wall: g.now}})
	g.store("new", nil)
	sweep(100_000)
	if s := g.stats(); s.Entries != 1 || !g.has("new") {
		t.Errorf("after a flush: got %d entries, want 1", s.Entries)
	}
}

func TestSetLimit(t *testing.T) {
	const limit = 16 << 20
	g := newRig(t, store.Options{Limit: limit})
	fill := func(n int) {
		for i := range n {
			g.store(fmt.Sprint("key", i), make([]byte, 1000))
		}
	}
	fill(20_000)
	if s := g.stats(); s.Memory > limit || s.Memory < limit*9/10 {
		t.Fatalf("filled: got %d bytes taken, want at most %d and nearly that", s.Memory, limit)
	}
	if !g.s.SetLimit(limit / 2) {
		t.Fatal("SetLimit: got false")
	}
	// The rest comes bit by bit. Meanwhile stores never add up to more; but a walk that is to go on later may have moved some
	// entries out of a segment that it has not freed yet.
	const moving = 128 << 10
	for rounds, least := 0, g.stats().Memory; least > limit/2; rounds++ {
		g.store("new", make([]byte, 1000))
		if s := g.stats(); s.Memory > least+moving {
			t.Fatalf("got %d bytes after %d, limit %d", s.Memory, least, s.Limit)
		}
		g.s.Sweep(grid.Time{Wall: g.now}, 10_000)
		if least = min(least, g.stats().Memory); rounds == 1000 {
			t.Fatalf("got no less than %d bytes in %d Sweeps, limit %d", least, rounds, limit/2)
		}
	}
	fill(10_000)
	if s := g.stats(); s.Memory > limit/2 || s.Memory < limit*4/10 || s.Limit != limit/2 {
		t.Errorf("lowered: got %d bytes taken, limit %d, want nearly %d", s.Memory, s.Limit, limit/2)
	}
	g.s.SetLimit(4 * limit)
	fill(70_000)
	if s := g.stats(); s.Memory < limit*36/10 || s.Memory > 4*limit {
		t.Errorf("raised: got %d bytes taken, want nearly %d", s.Memory, 4*limit)
	}
	if g.s.SetLimit(1 << 62) {
		t.Error("SetLimit above what was reserved: got true")
	}
	n := newRig(t, store.Options{Limit: 1 << 20, NoEvict: true})
	n.store("k", make([]byte, 1000))
	if n.s.SetLimit(100) || n.stats().Limit != 1<<20 {
		t.Error("SetLimit below what is there, with NoEvict: got true")
	}
}

// TestOldSegments writes to an entry whose segment was begun so long ago that its last use cannot be told there: a flush
// that was put off must not take what was stored after it.
func TestOldSegments(t *testing.T) {
	const day = 24 * 3600 * 1000
	g := newRig(t, store.Options{Limit: 1 << 20})
	key, value := []byte("key"), []byte("value")
	for i, write := range []grid.Op{
		{Kind: grid.Put, Key: key, Value: value}, {Kind: grid.Append, Key: key, Value: value[:1]}, {Kind: grid.Touch, Key: key, TTL: 90 * day},
		{Kind: grid.Incr, Key: key, Arg: 1},
	} {
		g.do(grid.Op{Kind: grid.Put, Key: key, Value: []byte("10")})
		g.now += 60 * day
		g.do(write)
		g.s.Flush(g.now-1, grid.Ticket{Now: grid.Time{Wall: g.now}})
		if r := g.do(grid.Op{Kind: grid.Get, Ask: grid.WantTimes, Key: key})[0]; r.Code != grid.OK || r.LastUse != g.now {
			t.Errorf("write %d: got code %d, last use %d, want OK and %d", i, r.Code, r.LastUse, g.now)
		}
	}
}

// TestBudget has goroutines fill, evict, reserve and remove at the limit; in the end nothing is left over.
func TestBudget(t *testing.T) {
	const limit = 4 << 20
	s := newStore(t, store.Options{Limit: limit, Heap: true})
	var all sync.WaitGroup
	for w := range 4 {
		g := &rig{t: t, s: s, b: grid.NewBatch(1 << 16), now: 1_000_000}
		all.Go(func() {
			for i := range 1000 {
				n := i * 7 % 2000
				switch {
				case i%50 == 0:
					n = 300_000
				case i%10 == 0:
					n = 20_000
				}
				if code := g.put(fmt.Sprint(w, i%500), make([]byte, n)); code != grid.OK && code != grid.Busy {
					t.Errorf("put of %d bytes: got code %d", n, code)
				}
				g.do(grid.Op{Kind: grid.Append, Key: fmt.Append(nil, "shared", i%5), Ask: grid.Vivify, Value: make([]byte, 500), Arg: 40_000})
				if st := g.stats(); st.Memory > limit {
					t.Errorf("got %d bytes taken, want at most %d", st.Memory, limit)
				}
			}
		})
	}
	all.Wait()
	g := &rig{t: t, s: s, b: grid.NewBatch(1 << 16), now: 1_000_000}
	s.Flush(0, grid.Ticket{})
	s.Sweep(grid.Time{Wall: g.now}, 1_000_000)
	if st := g.stats(); st.Bytes != 0 || st.Entries != 0 || st.Reserved != 0 {
		t.Errorf("emptied: got %d bytes, %d entries, %d reserved, want 0", st.Bytes, st.Entries, st.Reserved)
	}
	g.store("all", make([]byte, limit*7/8)) // nothing of the budget was lost
}
