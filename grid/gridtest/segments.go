package gridtest

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/latticed/latticed/grid"
)

// clear carries a clear on to its end and returns how many entries it removed.
func (c *conn) clear(segment int, quiet bool) uint64 {
	c.t.Helper()
	p := grid.Page{Segment: segment}
	for turns := 0; c.admin.Clear(&p, grid.Time{Wall: c.now}, quiet); turns++ {
		if turns > 100_000 {
			c.fatalf("a clear that does not end")
		}
	}
	return p.Count
}

func (c *conn) count(segment int, class uint8) uint64 {
	p := grid.Page{Segment: segment, Class: class}
	for c.admin.Count(&p, grid.Time{Wall: c.now}) {
	}
	return p.Count
}

// testSegments scans, counts and clears grid segments while entries come and go in all of them.
func testSegments(t *testing.T, open func(t *testing.T, o Options) grid.Caches) {
	const segments, stay = 5, 500
	segment := func(key []byte) uint16 { return uint16(key[len(key)-1]+key[0]) % segments }
	c := newConn(t, open(t, Options{Limit: 1 << 26, Segments: segments, Segment: segment}), 1)
	if got := c.admin.Segments(); got != segments {
		t.Errorf("Segments: got %d, want %d", got, segments)
	}
	var ops []grid.Op
	want := [segments]int{}
	for i := range stay {
		key := fmt.Append(nil, "stay", i)
		want[segment(key)]++
		ops = append(ops, grid.Op{Kind: grid.Put, Key: key})
	}
	ops = append(ops, grid.Op{Kind: grid.Put, Key: []byte("expired"), TTL: grid.TTLPast})
	c.run(ops...)
	for s := range segments {
		seen := map[string]int{}
		c.scanAmid(s+1, func(e grid.Entry) {
			if int(segment(e.Key)) != s {
				t.Fatalf("a scan of segment %d brought %s", s, e.Key)
			}
			seen[string(e.Key)]++
		})
		found := 0
		for i := range stay {
			key := fmt.Append(nil, "stay", i)
			switch n := seen[string(key)]; {
			case int(segment(key)) != s:
			case n != 1:
				t.Errorf("segment %d: %s was brought %d times, want once", s, key, n)
			default:
				found++
			}
		}
		if found != want[s] || seen["expired"] != 0 {
			t.Errorf("segment %d: got %d of the entries, %d expired, want %d and 0", s, found, seen["expired"], want[s])
		}
	}
	for i := range 2000 {
		c.run(grid.Op{Kind: grid.Remove, Key: fmt.Append(nil, "extra", i)})
	}

	// counts, of all, by segment, by class
	if got := c.count(0, 0); got != stay {
		t.Errorf("Count: got %d, want %d", got, stay)
	}
	if got := c.count(0, 1); got != stay {
		t.Errorf("Count of class 1: got %d, want %d", got, stay)
	}
	if got := c.count(0, 2); got != 0 {
		t.Errorf("Count of class 2: got %d, want 0", got)
	}
	check := func(gone ...int) {
		t.Helper()
		left := want
		for _, s := range gone {
			left[s] = 0
		}
		for s := range segments {
			if got := c.count(s+1, 0); got != uint64(left[s]) {
				t.Errorf("Count of segment %d: got %d, want %d", s, got, left[s])
			}
		}
		addUp(c, c.stats())
	}
	check()
	if got := c.count(segments+1, 0) + c.clear(segments+1, false); got != 0 {
		t.Errorf("Count and Clear of a segment that is not: got %d entries", got)
	}

	// clear, telling listeners or not
	l := c.listen(allKinds, false)
	told := func(want int) {
		t.Helper()
		seen := map[string]bool{}
		for _, e := range l.all(10, 1000) {
			if e.Kind != grid.Removed || seen[string(e.Key)] {
				t.Errorf("got event of kind %d on %s, twice: %t; want Removed, once", e.Kind, e.Key, seen[string(e.Key)])
			}
			seen[string(e.Key)] = true
		}
		if len(seen) != want {
			t.Errorf("got %d events, want %d", len(seen), want)
		}
	}
	if got := c.clear(2+1, false); got != uint64(want[2]) {
		t.Errorf("Clear: got %d, want %d", got, want[2])
	}
	check(2)
	told(want[2])
	if got := c.clear(4+1, true); got != uint64(want[4]) {
		t.Errorf("Clear: got %d, want %d", got, want[4])
	}
	check(2, 4)
	told(0)
	for i := range stay {
		key := fmt.Append(nil, "stay", i)
		code := grid.OK
		if s := segment(key); s == 2 || s == 4 {
			code = grid.Missing
		}
		c.want(grid.Op{Kind: grid.Get, Key: key}, code)
	}
	c.store("stay2", nil)
	c.has("stay2", nil)
	c.clear(0, true)
	if s := c.stats(); s.Entries != 0 || s.Bytes != 0 {
		t.Errorf("all cleared: got %d entries of %d bytes, want none", s.Entries, s.Bytes)
	}
	l.feed.Close()
}

// testSegmentsApart clears grid segments, by whatever hash the implementation has, while others write: no other segment
// loses anything, and in each, what is left was stored since.
func testSegmentsApart(t *testing.T, open func(t *testing.T, o Options) grid.Caches) {
	const segments, keys, workers, turns = 3, 300, 3, 60
	caches := open(t, Options{Limit: 1 << 26, Segments: segments})
	c := newConn(t, caches, 1)
	var ops []grid.Op
	for i := range keys {
		ops = append(ops, grid.Op{Kind: grid.Put, Key: fmt.Append(nil, "k", i), Value: []byte("before")})
	}
	c.run(ops...)
	of := map[string]int{}
	for s := range segments {
		p := grid.Page{Segment: s + 1, Entries: make([]grid.Entry, 0, keys), Mem: make([]byte, 0, keys*8)}
		for more := true; more; {
			more = c.admin.Scan(&p, grid.Time{Wall: c.now})
			for _, e := range p.Entries {
				if was, twice := of[string(e.Key)]; twice {
					t.Errorf("%s is in segments %d and %d", e.Key, was, s)
				}
				of[string(e.Key)] = s
			}
		}
	}
	if len(of) != keys {
		t.Fatalf("all segments together have %d entries, want %d", len(of), keys)
	}
	const cleared = 1
	var stop atomic.Bool
	var last [workers][keys]string // what a worker stored last; the keys are shared out
	var all sync.WaitGroup
	for w := range workers {
		c := newConn(t, caches, uint64(w+2))
		c.other = true
		rng := rand.New(rand.NewPCG(uint64(w), 5))
		all.Go(func() {
			for turn := 0; turn < turns || !stop.Load(); turn++ {
				var ops []grid.Op
				for range 8 {
					n := rng.IntN(keys/3/workers)*workers + w // a third of the keys: the others stay as they were
					last[w][n] = fmt.Sprint(turn)
					ops = append(ops, grid.Op{Kind: grid.Put, Key: fmt.Append(nil, "k", n), Value: []byte(last[w][n])})
				}
				c.run(ops...)
			}
		})
	}
	for range 3 {
		c.clear(cleared+1, false)
	}
	stop.Store(true)
	all.Wait()
	for n := range keys {
		key := fmt.Sprint("k", n)
		want := last[n%workers][n]
		r := c.one(get(key))
		switch {
		case want == "" && of[key] == cleared:
			if r.Code != grid.Missing {
				t.Errorf("%s was there before its segment was cleared and not stored since: got code %d, want Missing", key, r.Code)
			}
		case want == "":
			if r.Code != grid.OK || string(r.Value) != "before" {
				t.Errorf("%s, of another segment: got code %d, value %q, want what was stored", key, r.Code, r.Value)
			}
		case r.Code == grid.OK && string(r.Value) != want || r.Code != grid.OK && of[key] != cleared:
			t.Errorf("%s: got code %d, value %q, want %q", key, r.Code, r.Value, want)
		}
	}
	c.clear(cleared+1, false)
	if n := c.count(cleared+1, 0); n != 0 {
		t.Errorf("a segment that was cleared with nobody there: got %d entries", n)
	}
}
