package gridtest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/latticed/latticed/grid"
)

// TestCaches holds an implementation to the contract. open returns an empty Caches of its own for every call; it may
// answer late if something delivers by itself (Late.Start). It stops with the test that asked for it.
func TestCaches(t *testing.T, open func(t *testing.T, o Options) grid.Caches) {
	for _, test := range []struct {
		name string
		f    func(t *testing.T, open func(t *testing.T, o Options) grid.Caches)
	}{
		{"Ops", testOps},
		{"Cuts", testCuts},
		{"Names", testNames},
		{"OneBatch", testOneBatch},
		{"Whole", testWhole},
		{"LargeEndsBatch", testLargeEndsBatch},
		{"LargeReplaced", testLargeReplaced},
		{"Reservations", testReservations},
		{"Growing", testGrowing},
		{"Bounded", testBounded},
		{"Scan", testScan},
		{"Counters", testCounters},
		{"Flush", testFlush},
		{"Expiry", testExpiry},
		{"Extreme", testExtreme},
		{"Segments", testSegments},
		{"SegmentsApart", testSegmentsApart},
		{"Events", testEvents},
		{"EventsLost", testEventsLost},
		{"EventsOrder", testEventsOrder},
	} {
		t.Run(test.name, func(t *testing.T) { test.f(t, open) })
	}
}

func testNames(t *testing.T, open func(t *testing.T, o Options) grid.Caches) {
	c := open(t, Options{})
	if _, err := c.Open("no such cache", grid.Principal{}); err == nil {
		t.Error("Open of a cache that does not exist: got no error")
	}
	if _, err := c.Admin("no such cache", grid.Principal{}); err == nil {
		t.Error("Admin of a cache that does not exist: got no error")
	}
	if _, err := c.Events("no such cache", grid.Principal{}); err == nil {
		t.Error("Events of a cache that does not exist: got no error")
	}
	one, two := newConn(t, c, 1), newConn(t, c, 2)
	one.store("k", []byte("v"))
	two.has("k", []byte("v"))
}

// testOneBatch has ops on one key follow each other in a batch: what is read is not what a later op makes of it.
func testOneBatch(t *testing.T, open func(t *testing.T, o Options) grid.Caches) {
	c := newConn(t, open(t, Options{}), 1)
	put := func(v string) grid.Op { return grid.Op{Kind: grid.Put, Key: []byte("k"), Value: []byte(v)} }
	incr := grid.Op{Kind: grid.Incr, Key: []byte("k"), Arg: 1}
	r := c.run(put("11"), get("k"), put("22"), get("k"), incr, get("k"), put("3"), get("k"),
		grid.Op{Kind: grid.Append, Key: []byte("k"), Value: []byte("4")}, get("k"), grid.Op{Kind: grid.Remove, Key: []byte("k")}, get("k"))
	for i, want := range map[int]string{1: "11", 3: "22", 5: "23", 7: "3", 9: "34"} {
		if got := string(r[i].Value); got != want {
			t.Errorf("op %d: got %q, want %q", i, got, want)
		}
	}
	if r[11].Code != grid.Missing {
		t.Errorf("get after remove: got code %d, want Missing", r[11].Code)
	}
}

// pattern is a value that shows by itself whether it is one version whole.
func pattern(x uint64, n int) []byte {
	b := make([]byte, max(n, 16))
	binary.LittleEndian.PutUint64(b, x)
	binary.LittleEndian.PutUint64(b[8:], uint64(len(b)))
	for i := 16; i < len(b); i++ {
		b[i] = byte(x + uint64(i)*31)
	}
	return b
}

func whole(b []byte) bool {
	return len(b) >= 16 && bytes.Equal(b, pattern(binary.LittleEndian.Uint64(b), int(min(binary.LittleEndian.Uint64(b[8:]), 1<<20))))
}

// testWhole reads values while others overwrite, resize and remove them.
func testWhole(t *testing.T, open func(t *testing.T, o Options) grid.Caches) {
	caches := open(t, Options{})
	const workers, turns = 4, 400
	sizes := []int{16, 32, 32, 32, 100, 4000, 4001, grid.StreamMin, grid.StreamMin + 1, 40_000}
	var all sync.WaitGroup
	for w := range workers {
		c := newConn(t, caches, uint64(w+1))
		c.other = true
		c.where = func() string { return fmt.Sprintf("worker %d: ", w) }
		rng := rand.New(rand.NewPCG(uint64(w), 3))
		key := func() string { return string(rune('a' + rng.IntN(4))) }
		all.Go(func() {
			var open []grid.Blob
			for turn := range turns {
				switch rng.IntN(8) {
				case 0, 1, 2:
					c.store(key(), pattern(rng.Uint64(), sizes[rng.IntN(len(sizes))]))
				case 3:
					c.run(grid.Op{Kind: grid.Remove, Key: []byte(key())})
				case 4:
					if turn%16 == 0 {
						c.flush(0)
					}
				default:
					for _, r := range c.run(get(key()), get(key()), get(key())) {
						if r.Body != nil && rng.IntN(2) == 0 {
							open = append(open, r.Body)
						} else if v := c.value(r); r.Code == grid.OK && !whole(v) {
							c.fatalf("read %d bytes that are no version whole", len(v))
						}
					}
				}
				for len(open) > 5 || len(open) > 0 && turn == turns-1 {
					if !whole(c.read(open[0])) {
						c.fatalf("a Blob is no version whole")
					}
					open = open[1:]
				}
			}
		})
	}
	all.Wait()
	c := newConn(t, caches, workers+1)
	if s := c.stats(); s.Reserved != 0 || s.PinnedDead != 0 {
		t.Errorf("in the end: got %d bytes reserved, %d pinned, want 0 and 0", s.Reserved, s.PinnedDead)
	}
	addUp(c, c.stats())
}

func testLargeEndsBatch(t *testing.T, open func(t *testing.T, o Options) grid.Caches) {
	c := newConn(t, open(t, Options{}), 1)
	large := pattern(1, 100_000)
	c.store("small", []byte("s"))
	c.store("large", large)
	// conn.run checks that Do ends where it must
	r := c.run(get("small"), get("large"), get("small"), get("none"), get("large"), get("large"))
	for i, want := range []string{"s", string(large), "s", "", string(large), string(large)} {
		if got := c.value(r[i]); string(got) != want {
			t.Errorf("get %d: got %d bytes, want %d", i, len(got), len(want))
		}
	}
	// what a Put or Remove brings is a Body too
	r = c.run(grid.Op{Kind: grid.Put, Ask: grid.WantPrevious, Key: []byte("large"), Value: []byte("new")}, get("large"))
	if got := c.value(r[0]); !bytes.Equal(got, large) {
		t.Errorf("previous value: got %d bytes, want %d", len(got), len(large))
	}
	if got := string(r[1].Value); got != "new" {
		t.Errorf("get after Put: got %q, want %q", got, "new")
	}
}

// testLargeReplaced reads a value to its end whatever happens to the entry.
func testLargeReplaced(t *testing.T, open func(t *testing.T, o Options) grid.Caches) {
	c := newConn(t, open(t, Options{}), 1)
	f := func(name string, change func()) {
		t.Helper()
		value := pattern(7, 300_000)
		c.store("k", value)
		before := c.stats()
		r := c.want(get("k"), grid.OK)
		if r.Body == nil || r.Body.Len() != len(value) || r.Num != uint64(len(value)) {
			c.fatalf("%s: get of %d bytes: got Num %d, Body %t", name, len(value), r.Num, r.Body != nil)
		}
		change()
		if s := c.stats(); s.PinnedDead == 0 {
			t.Errorf("%s: got 0 bytes pinned while the old value is read", name)
		}
		if got := c.read(r.Body); !bytes.Equal(got, value) {
			t.Errorf("%s: the value changed while it was read", name)
		}
		if s := c.stats(); s.PinnedDead != 0 || s.Reserved != 0 || s.Bytes > before.Bytes+1 {
			t.Errorf("%s: got %d bytes pinned, %d reserved, %d in all, want 0, 0 and at most %d", name, s.PinnedDead, s.Reserved, s.Bytes, before.Bytes+1)
		}
	}
	f("replaced", func() { c.store("k", pattern(8, 300_000)) })
	f("made small", func() { c.store("k", []byte("s")) })
	f("removed", func() { c.want(grid.Op{Kind: grid.Remove, Key: []byte("k")}, grid.OK) })
	f("hollowed", func() { c.want(grid.Op{Kind: grid.Remove, Ask: grid.Hollow, Key: []byte("k")}, grid.OK) })
	f("appended to", func() { c.want(grid.Op{Kind: grid.Append, Key: []byte("k"), Value: []byte("x")}, grid.OK) })
	f("flushed", func() { c.flush(0); c.gone("k") })
	f("expired", func() {
		c.want(grid.Op{Kind: grid.Touch, Key: []byte("k"), TTL: grid.TTLPast}, grid.OK)
		c.gone("k")
	})
}

func testReservations(t *testing.T, open func(t *testing.T, o Options) grid.Caches) {
	const size, most = 100_000, 1_000_000
	c := newConn(t, open(t, Options{MaxValue: 2 * size, Limit: 1 << 26, MaxPinned: most}), 1)
	value := pattern(3, size)

	if _, code := c.reserve("k", make([]byte, 2*size+1), 0); code != grid.TooLarge {
		t.Errorf("Reserve over the limit for one value: got code %d, want TooLarge", code)
	}
	var slots []grid.Slot
	for len(slots) <= most/size {
		s, code := c.reserve("k", value, 0)
		if code == grid.Busy {
			break
		}
		if code != grid.OK {
			c.fatalf("Reserve: got code %d, want OK or Busy", code)
		}
		slots = append(slots, s)
	}
	if n := len(slots); n < 5 || n > most/size {
		t.Errorf("got %d reservations of %d bytes within %d", n, size, most)
	}
	if s := c.stats(); s.Reserved < uint64(len(slots)*size) || s.ReserveBusy != 1 || s.Bytes != 0 {
		t.Errorf("got %d bytes reserved, %d times busy, %d bytes of entries, want at least %d, 1 and 0", s.Reserved, s.ReserveBusy, s.Bytes, len(slots)*size)
	}
	slots[0].Abort()
	slots[0], _ = c.reserve("k", value, 0)
	c.gone("k") // invisible until an op has it as Body
	for i, s := range slots {
		switch i {
		case 0: // fails its condition: taken over all the same
			c.want(grid.Op{Kind: grid.Put, Cond: grid.IfPresent, Key: []byte("k"), Body: s}, grid.Missing)
		case 1:
			c.want(grid.Op{Kind: grid.Put, Key: []byte("k"), Body: s}, grid.OK)
		case 2:
			c.want(grid.Op{Kind: grid.Append, Key: []byte("k"), Body: s}, grid.OK)
		case 3: // too large in the end
			c.want(grid.Op{Kind: grid.Append, Key: []byte("k"), Body: s}, grid.TooLarge)
		default:
			s.Abort()
		}
	}
	c.has("k", slices.Concat(value, value))
	if s := c.stats(); s.Reserved != 0 || s.Entries != 1 {
		t.Errorf("got %d bytes reserved, %d entries, want 0 and 1", s.Reserved, s.Entries)
	}

	// a Put with KeepBody whose condition fails can be run again, unless it was answered late
	s, _ := c.reserve("k", value, 0)
	c.want(grid.Op{Kind: grid.Put, Cond: grid.IfAbsent, Ask: grid.KeepBody, Key: []byte("k"), Body: s}, grid.Exists)
	if len(c.kept) == 1 {
		if n := c.stats().Reserved; n < size {
			t.Errorf("got %d bytes reserved for a Body that was kept, want %d", n, size)
		}
		c.want(grid.Op{Kind: grid.Put, Cond: grid.IfPresent, Ask: grid.KeepBody, Key: []byte("none"), Body: c.kept[0]}, grid.Missing)
		s, c.kept = c.kept[0], nil
		c.want(grid.Op{Kind: grid.Put, Cond: grid.IfPresent, Ask: grid.KeepBody, Key: []byte("k"), Body: s}, grid.OK)
		c.has("k", value)
	}
	c.abortKept()
	if s := c.stats(); s.Reserved != 0 || s.Entries != 1 {
		t.Errorf("got %d bytes reserved, %d entries, want 0 and 1", s.Reserved, s.Entries)
	}

	// values that are gone but still read count likewise
	var blobs []grid.Blob
	for {
		if r := c.put("k", value); r.Code == grid.Busy {
			break
		} else if r.Code != grid.OK || len(blobs) > most/size {
			c.fatalf("put with %d readers: got code %d, want OK or Busy", len(blobs), r.Code)
		}
		blobs = append(blobs, c.want(get("k"), grid.OK).Body)
	}
	if s := c.stats(); s.PinnedDead > most || s.PinnedDead == 0 {
		t.Errorf("got %d bytes pinned, want more than 0 and at most %d", s.PinnedDead, most)
	}
	for _, b := range blobs {
		b.Close()
	}
	if s := c.stats(); s.PinnedDead != 0 {
		t.Errorf("got %d bytes pinned, want 0", s.PinnedDead)
	}
	c.store("k", value)
}

// testGrowing fills slots whose size is not known before: they grow and shrink, bytes stay what they are, what they do not need
// they give back, and what they cannot have leaves them as they are.
func testGrowing(t *testing.T, open func(t *testing.T, o Options) grid.Caches) {
	const most = 1_000_000
	c := newConn(t, open(t, Options{MaxValue: 400_000, Limit: 1 << 26, MaxPinned: most}), 1)
	value := pattern(5, 300_000)
	reserved := func() int { return int(c.stats().Reserved) }
	for _, test := range []struct{ first, more int }{{1, 1000}, {4064, 4064}, {4096, 4096}, {20_000, 100_000}, {299_999, 1}, {300_000, 1}, {16_385, 283_616}} {
		s, code := c.reserveBit("k", value, 0, test.first, test.more)
		if code != grid.OK {
			c.fatalf("%+v: got code %d, want OK", test, code)
		}
		if got, want := reserved(), grid.Charge(1, len(value), 0); got != want {
			c.fatalf("%+v: got %d bytes reserved, want %d", test, got, want)
		}
		c.want(grid.Op{Kind: grid.Put, Key: []byte("k"), Body: s}, grid.OK)
		c.has("k", value)
	}
	s, code := c.reserve("k", value[:100_000], 0)
	if code != grid.OK {
		c.fatalf("Reserve: got code %d, want OK", code)
	}
	before := reserved()
	others := []grid.Slot{}
	for range 2 {
		o, code := c.reserve("other", value, 0)
		if code != grid.OK {
			c.fatalf("Reserve: got code %d, want OK", code)
		}
		others = append(others, o)
	}
	if code := s.Resize(400_001, c.ticket()); code != grid.TooLarge {
		t.Errorf("Resize over the limit for one value: got code %d, want TooLarge", code)
	}
	if code := s.Resize(399_000, c.ticket()); code != grid.OK {
		t.Errorf("Resize within what may be reserved: got code %d, want OK", code)
	}
	if code := s.Resize(100_000, c.ticket()); code != grid.OK {
		t.Errorf("Resize to what is filled: got code %d, want OK", code)
	}
	if o, code := c.reserve("other", value[:200_000], 0); code != grid.OK {
		c.fatalf("Reserve: got code %d, want OK", code)
	} else {
		others = append(others, o)
	}
	if code := s.Resize(300_000, c.ticket()); code != grid.Busy {
		t.Errorf("Resize beyond what may be reserved: got code %d, want Busy", code)
	}
	for _, o := range others {
		o.Abort()
	}
	if got := reserved(); got != before {
		t.Errorf("got %d bytes reserved, want %d as before", got, before)
	}
	if code := s.Resize(200_000, c.ticket()); code != grid.OK {
		t.Errorf("Resize: got code %d, want OK", code)
	}
	c.fill(s, value[100_000:200_000])
	c.want(grid.Op{Kind: grid.Put, Key: []byte("k"), Body: s}, grid.OK)
	c.has("k", value[:200_000])
	c.want(grid.Op{Kind: grid.Remove, Key: []byte("k")}, grid.OK)
	s, _ = c.reserve("k", value[:1], 0)
	if code := s.Resize(300_000, c.ticket()); code != grid.OK {
		t.Errorf("Resize: got code %d, want OK", code)
	}
	s.Abort()
	if st := c.stats(); st.Reserved != 0 || st.Entries != 0 {
		t.Errorf("got %d bytes reserved and %d entries, want none", st.Reserved, st.Entries)
	}
}

// testBounded stores more than fits: the limit holds at every moment, and room that is given back is there.
func testBounded(t *testing.T, open func(t *testing.T, o Options) grid.Caches) {
	for _, o := range []Options{{Limit: 2 << 20}, {Limit: 2 << 20, NoEvict: true}} {
		c := newConn(t, open(t, o), 1)
		c.where = func() string { return fmt.Sprintf("NoEvict %t: ", o.NoEvict) }
		rng := rand.New(rand.NewPCG(5, 5))
		full := 0
		f := func(code grid.Code) {
			t.Helper()
			if code == grid.Full {
				full++
			} else if code != grid.OK {
				c.fatalf("got code %d, want OK or Full", code)
			}
			if s := c.stats(); s.Memory > o.Limit || s.Limit != o.Limit {
				c.fatalf("got %d bytes taken, limit %d, want at most %d", s.Memory, s.Limit, o.Limit)
			}
		}
		for i := range 3000 {
			n := rng.IntN(3000)
			if i%100 == 0 {
				n = grid.StreamMin + rng.IntN(200_000)
			}
			r := c.put(fmt.Sprint("key", rng.IntN(2000)), pattern(1, n))
			f(r.Code)
			long := grid.Op{Kind: grid.Append, Ask: grid.Vivify, Key: []byte("long"), Value: pattern(1, rng.IntN(1000)), Arg: 100_000}
			if r := c.one(long); r.Code != grid.TooLarge {
				f(r.Code)
			}
		}
		if o.NoEvict && full == 0 {
			t.Error("got no Full")
		}
		s := c.stats()
		addUp(c, s)
		if s.Bytes < o.Limit*3/4 {
			t.Errorf("got %d bytes used of %d", s.Bytes, o.Limit)
		}
		var refused uint64
		for _, k := range s.Classes {
			refused += k.NoMemory
		}
		if refused != uint64(full) {
			t.Errorf("got %d counted as refused, want %d", refused, full)
		}
		if _, code := c.cache.Reserve(&grid.Op{Key: []byte("k")}, int(o.Limit)+1, c.ticket()); code == grid.OK {
			t.Error("Reserve of more than the limit: got OK")
		}
		c.flush(0)
		c.store("after", pattern(1, 1_500_000))
		for key := range 2000 {
			c.run(grid.Op{Kind: grid.Remove, Key: fmt.Append(nil, "key", key)}, grid.Op{Kind: grid.Remove, Key: []byte("after")})
		}
		c.run(grid.Op{Kind: grid.Remove, Key: []byte("long")})
		if s := c.stats(); s.Bytes != 0 || s.Entries != 0 {
			t.Errorf("emptied: got %d bytes, %d entries, want 0 and 0", s.Bytes, s.Entries)
		}
		if !c.admin.SetLimit(1 << 20) {
			t.Error("SetLimit: got false")
		}
		if s := c.stats(); s.Limit != 1<<20 {
			t.Errorf("SetLimit: got a limit of %d, want %d", s.Limit, 1<<20)
		}
	}
}

// scanAmid scans small pages of a segment, or of all for 0, while others than the scanned entries come and go between them: up to
// 2000 more, down again, and so on, so many that any table grows and shrinks. After 80 pages nothing changes any more.
func (c *conn) scanAmid(segment int, f func(e grid.Entry)) {
	c.t.Helper()
	p := grid.Page{Segment: segment, Entries: make([]grid.Entry, 0, 5), Mem: make([]byte, 0, 100)}
	page, extra := 0, 0
	for more := true; more; page++ {
		if page > 10_000 {
			c.fatalf("a scan that does not end")
		}
		more = c.admin.Scan(&p, grid.Time{Wall: c.now})
		for _, e := range p.Entries {
			f(e)
		}
		spoil(p.Mem)
		if page >= 80 {
			continue
		}
		var ops []grid.Op
		for range 100 {
			extra++
			op := grid.Op{Kind: grid.Put, Key: fmt.Append(nil, "extra", extra%2000)}
			if extra/2000%2 == 1 {
				op.Kind = grid.Remove
			}
			ops = append(ops, op)
		}
		c.run(ops...)
	}
}

// testScan scans while other entries come and go.
func testScan(t *testing.T, open func(t *testing.T, o Options) grid.Caches) {
	c := newConn(t, open(t, Options{Limit: 1 << 26}), 1)
	const stay = 300
	seen := map[string]int{}
	var ops []grid.Op
	for i := range stay {
		ops = append(ops, grid.Op{Kind: grid.Put, Key: fmt.Append(nil, "stay", i), Value: pattern(1, i), Flags: uint32(i)})
	}
	ops = append(ops, grid.Op{Kind: grid.Put, Key: []byte("expired"), TTL: grid.TTLPast})
	c.run(ops...)
	c.scanAmid(0, func(e grid.Entry) {
		seen[string(e.Key)]++
		var i int
		if n, _ := fmt.Sscanf(string(e.Key), "stay%d", &i); n == 1 && (e.Flags != uint32(i) || e.Size != max(i, 16) || e.Version == 0) {
			t.Errorf("entry %+v", e)
		}
	})
	for i := range stay {
		if n := seen[fmt.Sprint("stay", i)]; n != 1 {
			t.Errorf("entry %d was brought %d times, want once", i, n)
		}
	}
	if seen["expired"] != 0 {
		t.Error("an expired entry was brought")
	}

	// by class: each entry in one of them, once
	n := 0
	for class := 1; class < grid.NumClasses; class++ {
		c.scan(uint8(class), 10, 1000, func(e grid.Entry) {
			if bytes.HasPrefix(e.Key, []byte("stay")) {
				n++
			}
			if got := grid.Class(grid.Charge(len(e.Key), e.Size, e.Flags)); got != class {
				t.Errorf("class %d: got an entry of class %d", class, got)
			}
		})
	}
	if n != stay {
		t.Errorf("all classes: got %d entries, want %d", n, stay)
	}
	// a key longer than Mem still comes
	long := bytes.Repeat([]byte("x"), 200)
	c.store(string(long), nil)
	found := false
	c.scan(0, 1, 10, func(e grid.Entry) { found = found || bytes.Equal(e.Key, long) })
	if !found {
		t.Error("an entry with a key longer than Page.Mem was not brought")
	}
}

func testCounters(t *testing.T, open func(t *testing.T, o Options) grid.Caches) {
	c := newConn(t, open(t, Options{}), 1)
	c.store("a", []byte("10"))
	class := grid.Class(grid.Charge(1, 2, 0))
	f := func(want grid.Stats, op ...grid.Op) {
		t.Helper()
		c.run(op...)
		s := c.stats()
		got := grid.Stats{Entries: s.Entries, Bytes: s.Bytes, Stored: s.Stored, GetExpired: s.GetExpired, GetFlushed: s.GetFlushed}
		if got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
		addUp(c, s)
	}
	a, b := []byte("a"), []byte("b")
	f(grid.Stats{Entries: 1, Bytes: 62, Stored: 1}, get("a"), get("b"))
	f(grid.Stats{Entries: 1, Bytes: 62, Stored: 1}, grid.Op{Kind: grid.Incr, Key: a, Arg: 1})
	f(grid.Stats{Entries: 1, Bytes: 63, Stored: 2}, grid.Op{Kind: grid.Incr, Key: a, Arg: 100})
	f(grid.Stats{Entries: 1, Bytes: 64, Stored: 3}, grid.Op{Kind: grid.Append, Key: a, Value: a})
	f(grid.Stats{Entries: 2, Bytes: 64 + 64, Stored: 4}, grid.Op{Kind: grid.Put, Key: b, Flags: 1, TTL: 10})
	if s := c.stats(); s.Classes[class].OldestUse != c.now {
		t.Errorf("oldest use: got %d, want %d", s.Classes[class].OldestUse, c.now)
	}
	c.now += 10
	f(grid.Stats{Entries: 1, Bytes: 64, Stored: 4, GetExpired: 1}, get("b"), get("b"))
	c.flush(0)
	f(grid.Stats{Stored: 4, GetExpired: 1, GetFlushed: 1}, get("a"), get("a"))
	c.store("a", nil)
	c.admin.ResetStats()
	f(grid.Stats{Entries: 1, Bytes: 60})
}

func testFlush(t *testing.T, open func(t *testing.T, o Options) grid.Caches) {
	c := newConn(t, open(t, Options{}), 1)
	v := []byte("v")
	c.store("a", v)
	c.flush(0)
	c.store("b", v) // in the same millisecond
	c.gone("a")
	c.has("b", v)

	start := c.now
	c.flush(start + 200)
	c.flush(start + 100) // replaces the one before
	c.now = start + 99
	c.store("a", v)
	c.has("a", v)
	c.has("b", v)
	c.now = start + 100
	c.gone("a")
	c.gone("b")
	c.store("a", v)
	c.now = start + 300
	c.has("a", v) // the one at 200 came never

	c.flush(c.now + 10)
	c.flush(0) // replaces the one that waits, too
	c.gone("a")
	c.store("a", v)
	c.now += 10
	c.has("a", v)

	// one that has come is over: what it took stays gone when another is put off
	c.store("old", v)
	c.flush(c.now + 10)
	c.now += 10
	c.store("new", v)
	c.flush(c.now + 1000)
	c.gone("old")
	c.has("new", v)
	var keys []string
	c.scan(0, 10, 1000, func(e grid.Entry) { keys = append(keys, string(e.Key)) })
	if fmt.Sprint(keys) != "[new]" {
		t.Errorf("Scan: got %q, want only new", keys)
	}

	// used is as good as stored, a look without a bump is not
	c.flush(0)
	c.store("used", v)
	c.store("seen", v)
	at := c.now + 10
	c.flush(at)
	c.now = at + 5
	c.gone("used")
	c.gone("seen")
}

func testExpiry(t *testing.T, open func(t *testing.T, o Options) grid.Caches) {
	c := newConn(t, open(t, Options{}), 1)
	put := func(key string, ttl, idle int64) {
		t.Helper()
		c.want(grid.Op{Kind: grid.Put, Key: []byte(key), TTL: ttl, Idle: idle}, grid.OK)
	}
	put("past", grid.TTLPast, 0)
	c.gone("past")
	put("ten", 10, 0)
	put("idle", 0, 10)
	put("both", 25, 10)
	put("ever", grid.TTLForever, 0)
	c.now += 9
	c.run(get("idle"), get("both"), get("ever"))
	if r := c.want(get("ten"), grid.OK); r.Expires != c.now+1 {
		t.Errorf("Expires: got %d, want %d", r.Expires, c.now+1)
	}
	c.now++
	c.gone("ten")
	c.now += 8
	c.has("idle", nil)
	c.has("both", nil)
	c.now += 7
	c.gone("both")
	look := get("idle")
	look.Ask |= grid.NoBump
	c.want(look, grid.OK)
	c.now += 3
	c.gone("idle") // the look did not count
	c.has("ever", nil)

	// changing it
	put("k", 10, 10)
	c.want(grid.Op{Kind: grid.Touch, Key: []byte("k"), TTL: 100, Idle: -1}, grid.OK)
	c.now += 99
	c.has("k", nil)
	c.want(grid.Op{Kind: grid.Get, Key: []byte("k"), TTL: grid.TTLPast}, grid.OK)
	c.gone("k")
	put("k", 10, 0)
	c.want(grid.Op{Kind: grid.Append, Key: []byte("k"), Value: []byte("x")}, grid.OK)
	c.now += 10
	c.gone("k")
	put("k", 10, 0)
	put("k", 0, 0)
	c.now += 10
	c.has("k", nil)
}

// testExtreme sends what protocols might by mistake or malice.
func testExtreme(t *testing.T, open func(t *testing.T, o Options) grid.Caches) {
	c := newConn(t, open(t, Options{MaxValue: 100}), 1)
	k := []byte("k")
	c.want(grid.Op{Kind: grid.Put, Key: k, Value: pattern(1, 101)}, grid.TooLarge)
	c.gone("k")
	c.store("k", pattern(1, 100))
	c.want(grid.Op{Kind: grid.Put, Key: k, Value: pattern(1, 101)}, grid.TooLarge)
	c.want(grid.Op{Kind: grid.Append, Key: k, Value: []byte("x")}, grid.TooLarge)
	c.has("k", pattern(1, 100))
	c.want(grid.Op{Kind: grid.Put, Key: k, TTL: 1<<63 - 1, Idle: 1<<63 - 1}, grid.OK)
	c.now += 1 << 40
	c.has("k", nil)
	c.want(grid.Op{Kind: grid.Put, Key: k, TTL: -1 << 63}, grid.OK)
	c.gone("k")
	c.store("", []byte("the empty key"))
	c.has("", []byte("the empty key"))
	long := string(bytes.Repeat([]byte("x"), 65535))
	c.store(long, nil)
	c.has(long, nil)
	c.want(grid.Op{Kind: grid.Put, Key: []byte(long + "x")}, grid.TooLarge)
	c.want(grid.Op{Kind: grid.Get, Key: []byte(long + "x"), Ask: grid.Vivify}, grid.TooLarge)
	c.gone(long + "x")
	if _, code := c.cache.Reserve(&grid.Op{Key: []byte(long + "x")}, 20_000, c.ticket()); code != grid.TooLarge {
		t.Errorf("Reserve for a key of 64 KiB: got code %d, want TooLarge", code)
	}
}
