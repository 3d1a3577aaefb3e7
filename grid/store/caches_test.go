package store_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/grid/gridtest"
	"github.com/latticed/latticed/grid/store"
)

// beside is a Store whose cache called "it" is shown as the default one. Whenever something is done to it, the real default
// one is written to, evicted from and now and then flushed.
type beside struct {
	*store.Store
	n     atomic.Uint64
	batch sync.Pool
}

type noisy struct {
	grid.Cache
	b *beside
}

func (b *beside) Open(name string, p grid.Principal) (grid.Cache, error) {
	c, err := b.Store.Open(it(name), p)
	if err != nil {
		return nil, err
	}
	return noisy{c, b}, nil
}

func (b *beside) Admin(name string, p grid.Principal) (grid.Admin, error) {
	return b.Store.Admin(it(name), p)
}

func (b *beside) Events(name string, p grid.Principal) (grid.Events, error) {
	return b.Store.Events(it(name), p)
}

func it(name string) string {
	if name == "" || name == "default" {
		return "it"
	}
	return name
}

func (n noisy) Do(batch *grid.Batch) int {
	b, _ := n.b.batch.Get().(*grid.Batch)
	if b == nil {
		b = grid.NewBatch(0)
	}
	defer n.b.batch.Put(b)
	b.Reset()
	b.Now = batch.Now
	i := n.b.n.Add(1)
	for j := range uint64(2) {
		*b.Add() = grid.Op{Kind: grid.Put, Key: fmt.Append(nil, "k", i*3+j), Value: make([]byte, 3000)}
	}
	n.b.Store.Do(b)
	if i%20_000 == 0 {
		n.b.Flush(0, grid.Ticket{Now: batch.Now})
	}
	return n.Cache.Do(batch)
}

// TestNamedCache has a cache pass the suite beside one that is busy.
func TestNamedCache(t *testing.T) {
	gridtest.TestCaches(t, func(t *testing.T, o gridtest.Options) grid.Caches {
		s := newStore(t, store.Options{
			Limit: max(4*o.Limit, 64<<20), MaxValue: o.MaxValue, MaxPinned: o.MaxPinned, Segments: o.Segments, Segment: o.Segment,
		})
		with := store.CacheOptions{MaxBytes: int64(o.Limit)}
		if o.Limit == 0 || o.NoEvict {
			with.WhenFull = store.Refuse // nothing of it is given to the other one
		}
		create(t, s, "it", with)
		return &beside{Store: s}
	})
}

func create(t testing.TB, s *store.Store, name string, o store.CacheOptions) {
	t.Helper()
	if err := s.Create(name, o); err != nil {
		t.Fatal(err)
	}
}

// named is a rig for one cache of a store.
type named struct {
	t     testing.TB
	c     grid.Cache
	admin grid.Admin
	b     *grid.Batch
	now   int64
}

func at(t testing.TB, s *store.Store, name string) *named {
	t.Helper()
	c, err := s.Open(name, grid.Principal{})
	if err != nil {
		t.Fatal(err)
	}
	a, err := s.Admin(name, grid.Principal{})
	if err != nil {
		t.Fatal(err)
	}
	return &named{t, c, a, grid.NewBatch(1 << 16), 1_000_000}
}

func (n *named) do(op grid.Op) *grid.Result {
	n.b.Reset()
	n.b.Now.Wall = n.now
	*n.b.Add() = op
	n.c.Do(n.b)
	return &n.b.Res[0]
}

func (n *named) put(key string, size int) grid.Code {
	op := grid.Op{Kind: grid.Put, Key: []byte(key), Value: make([]byte, size)}
	if size > grid.StreamMin {
		slot, code := n.c.Reserve(&op, size, grid.Ticket{Now: grid.Time{Wall: n.now}})
		if code != grid.OK {
			return code
		}
		for left := size; left > 0; {
			w := slot.Window()
			left -= len(w)
			slot.Wrote(len(w))
		}
		op.Value, op.Body = nil, slot
	}
	return n.do(op).Code
}

func (n *named) has(key string) bool {
	return n.do(grid.Op{Kind: grid.Get, Key: []byte(key)}).Code == grid.OK
}

func (n *named) stats() (s grid.Stats) {
	n.admin.Stats(&s, grid.Time{Wall: n.now})
	return s
}

// TestCachesApart has nothing that is done to one cache be felt in another.
func TestCachesApart(t *testing.T) {
	s := newStore(t, store.Options{Limit: 64 << 20})
	for _, name := range []string{"", "default", strings.Repeat("x", 256)} {
		if s.Create(name, store.CacheOptions{}) == nil {
			t.Errorf("Create(%q): got no error", name)
		}
	}
	create(t, s, "one", store.CacheOptions{Lifespan: 1000, MaxIdle: 500, MaxBytes: 1 << 20})
	create(t, s, "two", store.CacheOptions{})
	if s.Create("two", store.CacheOptions{}) == nil {
		t.Error("Create of what exists: got no error")
	}
	if got, want := s.Names(), []string{"default", "one", "two"}; !slices.Equal(got, want) {
		t.Errorf("Names: got %q, want %q", got, want)
	}
	one, two, def := at(t, s, "one"), at(t, s, "two"), at(t, s, "")
	for _, n := range []*named{one, two, def} {
		if n.has("k") {
			t.Error("got another cache's entry")
		}
		n.put("k", 10)
		n.put("other", 10)
	}
	one.do(grid.Op{Kind: grid.Remove, Key: []byte("other")})
	if one.has("other") || !two.has("other") || !def.has("other") {
		t.Error("a removal was felt in another cache, or not in its own")
	}
	r := one.do(grid.Op{Kind: grid.Get, Key: []byte("k"), Ask: grid.WantTimes})
	if r.Expires != one.now+1000 || r.MaxIdle != 500 {
		t.Errorf("the cache's lifespan and max-idle: got %d, %d, want %d, 500", r.Expires, r.MaxIdle, one.now+1000)
	}
	one.do(grid.Op{Kind: grid.Put, Key: []byte("k"), TTL: grid.TTLForever, Idle: -1})
	if r := one.do(grid.Op{Kind: grid.Get, Key: []byte("k"), Ask: grid.WantTimes}); r.Expires != 0 || r.MaxIdle != 0 {
		t.Errorf("own ones: got %d, %d, want none", r.Expires, r.MaxIdle)
	}
	if r := two.do(grid.Op{Kind: grid.Get, Key: []byte("k"), Ask: grid.WantTimes}); r.Expires != 0 || r.MaxIdle != 0 {
		t.Errorf("another cache's: got %d, %d, want none", r.Expires, r.MaxIdle)
	}
	if a, b, c := one.stats(), two.stats(), def.stats(); a.Entries != 1 || b.Entries != 2 || c.Entries != 2 || a.Stored != 3 || b.Stored != 2 || a.Limit != 1<<20 || b.Limit != 64<<20 {
		t.Errorf("got %d, %d, %d entries, %d, %d stored, limits %d, %d", a.Entries, b.Entries, c.Entries, a.Stored, b.Stored, a.Limit, b.Limit)
	}
	two.admin.ResetStats()
	if a, b := one.stats(), two.stats(); a.Stored != 3 || b.Stored != 0 {
		t.Errorf("after a reset of the second: got %d, %d stored, want 3, 0", a.Stored, b.Stored)
	}
	two.admin.Flush(0, grid.Ticket{})
	if !one.has("k") || two.has("k") || !def.has("k") {
		t.Error("a flush was felt in another cache, or not in its own")
	}
	if !one.admin.SetLimit(2<<20) || two.admin.SetLimit(1<<20) || one.stats().Limit != 2<<20 || def.stats().Limit != 64<<20 {
		t.Error("SetLimit: want the bound of one changed, and none of two, which has none")
	}
}

// TestMaxCount has many put into one cache at once. At no moment there are more entries, or bytes, than it may have; none
// is refused where others can go, and where none can, exactly those above the bound are.
func TestMaxCount(t *testing.T) {
	const most, keys, each = 100, 4, 500
	f := func(name string, o store.CacheOptions, size int, heap bool) {
		t.Helper()
		s := newStore(t, store.Options{Limit: 32 << 20, Heap: heap})
		create(t, s, "c", o)
		var all sync.WaitGroup
		var ok, full atomic.Int64
		for w := range keys {
			n := at(t, s, "c")
			all.Go(func() {
				for i := range each {
					switch code := n.put(fmt.Sprintf("%d %04d", w, i), size); code {
					case grid.OK:
						ok.Add(1)
					case grid.Full:
						full.Add(1)
					default:
						t.Errorf("%s: put: got code %d", name, code)
					}
					if st := n.stats(); st.Entries > most+keys { // Stats looks at shards one after the other
						t.Errorf("%s: got %d entries, want at most %d", name, st.Entries, most)
					}
				}
			})
		}
		all.Wait()
		n := at(t, s, "c")
		if st := n.stats(); st.Entries != most {
			t.Errorf("%s: got %d entries, want %d", name, st.Entries, most)
		}
		if o.WhenFull == store.Refuse && (ok.Load() != most || full.Load() != keys*each-most) || o.WhenFull == store.Evict && full.Load() != 0 {
			t.Errorf("%s: got %d stored, %d refused", name, ok.Load(), full.Load())
		}
		if o.WhenFull == store.Refuse {
			n.now += 5000 // all that is there expires; what is in the way is found
			if code := n.put("new", size); o.Lifespan != 0 && code != grid.OK {
				t.Errorf("%s: put when others have expired: got code %d", name, code)
			}
		}
		if o.MaxBytes != 0 {
			if code := n.put("large", int(o.MaxBytes)); code != grid.Full {
				t.Errorf("%s: put of more than the bound: got code %d, want Full", name, code)
			}
			if n.stats().Entries < most/2 {
				t.Errorf("%s: entries went for one that has no room anyway", name)
			}
		}
	}
	f("evict", store.CacheOptions{MaxCount: most}, 50, false)
	f("refuse", store.CacheOptions{MaxCount: most, WhenFull: store.Refuse}, 50, true)
	f("refuse, expire", store.CacheOptions{MaxCount: most, WhenFull: store.Refuse, Lifespan: 5000}, 50, false)
	const cost = 6 + 50 + store.Overhead
	f("bytes, evict", store.CacheOptions{MaxBytes: most * cost}, 50, true)
	f("bytes, refuse", store.CacheOptions{MaxBytes: most * cost, WhenFull: store.Refuse}, 50, false)
	const large = 6 + 20_000 + store.Overhead
	f("large, evict", store.CacheOptions{MaxBytes: most * large}, 20_000, false)
	const larger = 6 + 85_000 + store.Overhead // there are four shards for so many bytes
	f("shards, evict", store.CacheOptions{MaxBytes: most * larger}, 85_000, false)
	f("shards, refuse", store.CacheOptions{MaxBytes: most * larger, WhenFull: store.Refuse}, 85_000, false)
}

// TestBoundsFollow has all that can change an entry's size do so; in the end the bounds know.
func TestBoundsFollow(t *testing.T) {
	s := newStore(t, store.Options{Limit: 16 << 20})
	create(t, s, "c", store.CacheOptions{MaxBytes: 4 << 20})
	n := at(t, s, "c")
	want := 0
	entry := func(key string, size int) { want += len(key) + size + store.Overhead }
	n.put("a", 1000)
	n.put("a", 10)
	n.put("b", 10)
	n.do(grid.Op{Kind: grid.Append, Key: []byte("a"), Value: make([]byte, 20)})
	entry("a", 30)
	n.do(grid.Op{Kind: grid.Remove, Key: []byte("b")})
	n.put("large", 100_000)
	entry("large", 100_000)
	n.do(grid.Op{Kind: grid.Incr, Key: []byte("n"), Ask: grid.Vivify, Initial: 99})
	n.do(grid.Op{Kind: grid.Incr, Key: []byte("n"), Arg: 1})
	entry("n", 3)
	n.put("hollow", 100)
	n.do(grid.Op{Kind: grid.Remove, Key: []byte("hollow"), Ask: grid.Hollow})
	entry("hollow", 0)
	n.put("touched", 5)
	n.do(grid.Op{Kind: grid.Touch, Key: []byte("touched"), TTL: 10})
	n.put(strings.Repeat("k", 40_000), 5)
	entry(strings.Repeat("k", 40_000), 5)
	n.now += 10
	n.has("touched") // expired
	if got := n.stats().Memory; got != uint64(want) {
		t.Errorf("got %d bytes counted, want %d", got, want)
	}
	n.admin.Flush(0, grid.Ticket{})
	s.Sweep(grid.Time{Wall: n.now}, 1000)
	if got := n.stats().Memory; got != 0 {
		t.Errorf("flushed: got %d bytes counted, want 0", got)
	}
}

// TestRemoveCache ends caches while others write to them, fill slots and read blobs: the handles are denied, the blobs stay
// whole, and all memory comes back.
func TestRemoveCache(t *testing.T) {
	for _, heap := range []bool{true, false} {
		s := newStore(t, store.Options{Limit: 16 << 20, Heap: heap})
		create(t, s, "kept", store.CacheOptions{WhenFull: store.Refuse})
		def, kept := at(t, s, ""), at(t, s, "kept")
		kept.put("k", 10)
		before := def.stats().Memory
		for round := range 3 {
			create(t, s, "c", store.CacheOptions{MaxBytes: []int64{0, 1 << 30, 1 << 20}[round]})
			n := at(t, s, "c")
			pattern := bytes.Repeat([]byte("0123456789abcdef"), 20_000)
			op := grid.Op{Kind: grid.Put, Key: []byte("blob")}
			slot, _ := n.c.Reserve(&op, len(pattern), grid.Ticket{})
			for left := pattern; len(left) > 0; {
				k := copy(slot.Window(), left)
				slot.Wrote(k)
				left = left[k:]
			}
			op.Body = slot
			version := n.do(op).Version
			blob := n.do(grid.Op{Kind: grid.Get, Ask: grid.WantValue, Key: []byte("blob")}).Body
			open, _ := n.c.Reserve(&grid.Op{Key: []byte("x")}, 100_000, grid.Ticket{})
			var all sync.WaitGroup
			started := make(chan struct{}, 3)
			for w := range 3 {
				n := at(t, s, "c")
				all.Go(func() {
					for i := 0; ; i++ {
						size := []int{10, 3000, 20_000}[i%3]
						switch code := n.put(fmt.Sprint(strings.Repeat("k", i%3*2000), w, i), size); code {
						case grid.OK, grid.Busy:
						case grid.Denied:
							if n.do(grid.Op{Kind: grid.Get, Key: []byte("blob")}).Code != grid.Denied {
								t.Error("get after the end: want Denied")
							}
							return
						default:
							t.Errorf("put: got code %d", code)
							return
						}
						if i == 200 {
							started <- struct{}{}
						}
					}
				})
			}
			for range 3 {
				<-started
			}
			if err := s.Remove("c"); err != nil {
				t.Fatal(err)
			}
			all.Wait()
			if _, err := s.Open("c", grid.Principal{}); err == nil {
				t.Error("Open after the end: got no error")
			}
			if _, code := n.c.Reserve(&op, 100_000, grid.Ticket{}); code != grid.Denied || n.admin.Flush(0, grid.Ticket{}) != grid.Denied || n.admin.SetLimit(1) {
				t.Error("want everything denied")
			}
			page := grid.Page{Entries: make([]grid.Entry, 0, 10), Mem: make([]byte, 0, 1000)}
			if n.admin.Scan(&page, grid.Time{}) || len(page.Entries) > 0 {
				t.Error("Scan after the end: want nothing")
			}
			slots := 0
			for open.Window() != nil {
				open.Wrote(len(open.Window()))
				slots++
			}
			if r := n.do(grid.Op{Kind: grid.Put, Key: []byte("x"), Body: open}); r.Code != grid.Denied || slots == 0 {
				t.Errorf("put of a slot: got code %d, want Denied", r.Code)
			}
			pieces := 0
			for s.Sweep(grid.Time{Wall: 1}, 1); n.stats().Entries > 0; pieces++ {
				s.Sweep(grid.Time{Wall: 1}, 1)
			}
			if round < 2 && pieces < 2 {
				t.Errorf("the memory came back in %d pieces", pieces)
			}
			create(t, s, "c", store.CacheOptions{})
			again := at(t, s, "c")
			if again.has("blob") {
				t.Error("a new cache has an entry")
			}
			if v := again.do(grid.Op{Kind: grid.Put, Key: []byte("blob")}).Version; v <= version {
				t.Errorf("version %d in a new cache, after %d in the one before", v, version)
			}
			if err := s.Remove("c"); err != nil {
				t.Fatal(err)
			}
			var whole []byte
			for len(whole) < blob.Len() {
				whole = append(whole, blob.Piece(len(whole), 1<<20)...)
			}
			if !bytes.Equal(whole, pattern) {
				t.Error("the blob has changed")
			}
			blob.Close()
			s.Sweep(grid.Time{Wall: 1}, 1_000_000)
			if st := def.stats(); st.Memory != before || st.Reserved != 0 || st.PinnedDead != 0 {
				t.Errorf("round %d: got %d bytes taken, %d reserved, %d pinned, want %d, 0, 0", round, st.Memory, st.Reserved, st.PinnedDead, before)
			}
			if st := n.stats(); st.Entries != 0 || st.Bytes != 0 || st.Reserved != 0 || st.PinnedDead != 0 {
				t.Errorf("the cache that was: got %+v", st)
			}
		}
		if !kept.has("k") {
			t.Error("another cache has lost its entry")
		}
	}
}

// TestRemoveGivesRoom stores into a full arena that is all a removed cache's.
func TestRemoveGivesRoom(t *testing.T) {
	s := newStore(t, store.Options{Limit: 8 << 20})
	create(t, s, "c", store.CacheOptions{WhenFull: store.Refuse})
	c, def := at(t, s, "c"), at(t, s, "")
	for i := 0; c.put(fmt.Sprint(i), 1000) == grid.OK; i++ {
	}
	if def.put("k", 3_000_000) != grid.Full {
		t.Error("there is room beside a cache that gives nothing")
	}
	if err := s.Remove("c"); err != nil {
		t.Fatal(err)
	}
	if code := def.put("k", 6_000_000); code != grid.OK {
		t.Errorf("put after Remove: got code %d", code)
	}
}

// TestCachesGiveInTurn fills the arena with one cache, and writes to others: they come to hold what they store, and nobody
// loses much more than its share.
func TestCachesGiveInTurn(t *testing.T) {
	const limit = 16 << 20
	s := newStore(t, store.Options{Limit: limit})
	create(t, s, "fixed", store.CacheOptions{WhenFull: store.Refuse})
	create(t, s, "small", store.CacheOptions{})
	create(t, s, "busy", store.CacheOptions{})
	def, fixed, small, busy := at(t, s, ""), at(t, s, "fixed"), at(t, s, "small"), at(t, s, "busy")
	for i := range 2000 {
		fixed.put(fmt.Sprint(i), 300)
		small.put(fmt.Sprint(i), 300)
	}
	for i := 0; i < 2*limit/1000; i++ {
		def.put(fmt.Sprint(i), 1000)
	}
	if n := fixed.stats().Entries; n != 2000 {
		t.Errorf("got %d entries where nothing may be evicted, want 2000", n)
	}
	whole, left := def.stats().Entries, small.stats().Entries
	if left < 300 { // its share of what was written goes: about two thirds
		t.Errorf("got %d entries of a small cache, want some hundred", left)
	}
	for i := range limit / 4 / 1000 {
		busy.put(fmt.Sprint(i), 1000)
		for range 3 {
			busy.put("again", 1000+i%2) // written over, which costs nobody anything
		}
	}
	n, now := busy.stats().Entries, def.stats().Entries
	if n < limit/4/1000*7/10 || now < whole*6/10 || now > whole*9/10 || small.stats().Entries < left*6/10 {
		t.Errorf("got %d of %d entries in the busy cache, %d after %d in the other, %d after %d in the small one", n, limit/4/1000, now, whole, small.stats().Entries, left)
	}
	if st := def.stats(); st.Memory > limit {
		t.Errorf("got %d bytes taken, want at most %d", st.Memory, limit)
	}
}

// TestManyCaches makes as many caches as there may be; each costs little, and together they leave room.
func TestManyCaches(t *testing.T) {
	s := newStore(t, store.Options{Limit: 256 << 20})
	before := at(t, s, "").stats().Memory
	n := 1
	for ; s.Create(fmt.Sprint("c", n), store.CacheOptions{MaxCount: 1000}) == nil; n++ {
		at(t, s, fmt.Sprint("c", n)).put("k", 100)
	}
	if want := min(store.MaxCaches, 256<<20/(32<<10)/4/2); n < want-2 || n > want+2 {
		t.Errorf("got %d caches, want %d", n, want)
	}
	each := (at(t, s, "").stats().Memory - before) / uint64(n-1)
	if each > 40<<10 {
		t.Errorf("a cache with an entry takes %d bytes", each)
	}
	low := newStore(t, store.Options{Limit: 2 << 20})
	for n = 0; low.Create(fmt.Sprint("c", n), store.CacheOptions{}) == nil; n++ {
	}
	if def := at(t, low, ""); n == 0 || def.put("k", 1<<20) != grid.OK {
		t.Errorf("got %d caches in 2 MiB, and no room left", n)
	}
}

func TestSaveCaches(t *testing.T) {
	s := newStore(t, store.Options{Limit: 16 << 20})
	for _, name := range []string{"a", "b", "gone"} {
		create(t, s, name, store.CacheOptions{})
		n := at(t, s, name)
		for i := range 100 {
			n.put(fmt.Sprint(name, i), i)
		}
	}
	at(t, s, "").put("k", 1)
	var file bytes.Buffer
	if n, err := s.Save(&file, grid.Time{Wall: 1_000_000}); n != 301 || err != nil {
		t.Fatalf("Save: got %d, %v, want 301", n, err)
	}
	s = newStore(t, store.Options{Limit: 16 << 20})
	create(t, s, "a", store.CacheOptions{Lifespan: 10, MaxIdle: 10})
	create(t, s, "b", store.CacheOptions{MaxCount: 50})
	if n, err := s.Load(bytes.NewReader(file.Bytes()), grid.Time{Wall: 1_000_000}); n != 201 || err != nil {
		t.Errorf("Load: got %d, %v, want 201: nothing of a cache that is not there", n, err)
	}
	a, b, def := at(t, s, "a"), at(t, s, "b"), at(t, s, "")
	if x, y, z := a.stats().Entries, b.stats().Entries, def.stats().Entries; x != 100 || y != 50 || z != 1 {
		t.Errorf("got %d, %d, %d entries, want 100, 50, 1", x, y, z)
	}
	r := a.do(grid.Op{Kind: grid.Get, Key: []byte("a7"), Ask: grid.WantTimes})
	if r.Code != grid.OK || r.Num != 7 || r.Expires != 0 || r.MaxIdle != 0 {
		t.Errorf("a7: got code %d, %d bytes, until %d, max-idle %d, want OK, 7, 0, 0", r.Code, r.Num, r.Expires, r.MaxIdle)
	}
}

// A cache's options change while it is used: what comes later has the new lifespan, what is above lower bounds goes.
func TestAlter(t *testing.T) {
	s := newStore(t, store.Options{Limit: 32 << 20})
	now := grid.Time{Wall: 1_000_000}
	create(t, s, "c", store.CacheOptions{MaxCount: 1000, Lifespan: 50})
	create(t, s, "full", store.CacheOptions{MaxCount: 1000, WhenFull: store.Refuse})
	n, full := at(t, s, "c"), at(t, s, "full")
	for i := range 1000 {
		n.put(fmt.Sprint("k", i), 10)
		full.put(fmt.Sprint("k", i), 10)
	}
	alter := func(name, want string, o store.CacheOptions) {
		t.Helper()
		if err := s.Alter(name, o, now); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s to %+v: got %v, want %q", name, o, err, want)
		}
	}
	count := func(n *named) uint64 {
		var st grid.Stats
		n.admin.Stats(&st, now)
		return st.Entries
	}
	alter("c", "", store.CacheOptions{MaxCount: 100, Lifespan: 7000, MaxIdle: 3000})
	if got := count(n); got > 100 || got < 50 {
		t.Errorf("got %d entries under a bound of 100", got)
	}
	n.put("new", 10)
	if r := n.do(grid.Op{Kind: grid.Get, Key: []byte("new"), Ask: grid.WantTimes}); r.Expires != n.now+7000 || r.MaxIdle != 3000 {
		t.Errorf("got an entry until %d, idle %d", r.Expires, r.MaxIdle)
	}
	alter("c", "", store.CacheOptions{MaxBytes: 20_000})
	n.put("large", 19_000)
	if got := count(n); got > 60 {
		t.Errorf("got %d entries under a bound of 20,000 bytes", got)
	}
	alter("c", "", store.CacheOptions{})
	for i := range 2000 {
		n.put(fmt.Sprint("k", i), 10)
	}
	if got := count(n); got < 2000 {
		t.Errorf("got %d entries without a bound", got)
	}
	alter("c", "", store.CacheOptions{MaxCount: 1500})
	if got := count(n); got > 1500 {
		t.Errorf("got %d entries under a bound of 1500", got)
	}
	alter("full", "holds more", store.CacheOptions{MaxCount: 999, WhenFull: store.Refuse})
	alter("full", "cannot change", store.CacheOptions{MaxCount: 2000})
	alter("full", "", store.CacheOptions{MaxCount: 1001, WhenFull: store.Refuse})
	if a, b := full.put("x", 10), full.put("y", 10); a != grid.OK || b != grid.Full {
		t.Errorf("got %d, %d", a, b)
	}
	alter("default", "", store.CacheOptions{Lifespan: 9})
	alter("default", "no bounds of its own", store.CacheOptions{MaxCount: 9})
	alter("none", "no such cache", store.CacheOptions{})
	alter("c", "negative", store.CacheOptions{MaxCount: -1})
}

// TestBoundsForWhoHadNone gives a cache bounds while others store and remove in it: whatever is there then counts, and nothing
// else.
func TestBoundsForWhoHadNone(t *testing.T) {
	const keys = 3000
	for _, o := range []store.CacheOptions{{MaxCount: 200}, {MaxBytes: 40_000}, {MaxCount: 2500, MaxBytes: 1 << 20}} {
		s := newStore(t, store.Options{Limit: 32 << 20})
		create(t, s, "c", store.CacheOptions{})
		store1 := func(n *named, i int) {
			op := grid.Op{Kind: grid.Put, Key: fmt.Append(nil, "key", i%keys), Value: make([]byte, i*7%300), Flags: uint32(i % 2)}
			switch {
			case i%5 == 0:
				op = grid.Op{Kind: grid.Remove, Key: op.Key}
			case i%7 == 0:
				op = grid.Op{Kind: grid.Append, Key: op.Key, Value: op.Value, Ask: grid.Vivify}
			}
			n.do(op)
		}
		n := at(t, s, "c")
		for i := range 2 * keys {
			store1(n, i)
		}
		var wg sync.WaitGroup
		for w := range 4 {
			other := at(t, s, "c")
			wg.Go(func() {
				for i := range 4 * keys {
					store1(other, i*(w+3))
				}
			})
		}
		if err := s.Alter("c", o, grid.Time{Wall: n.now}); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		var st grid.Stats
		n.admin.Stats(&st, grid.Time{Wall: n.now})
		if o.MaxCount != 0 && st.Entries > uint64(o.MaxCount) || o.MaxBytes != 0 && st.Memory > uint64(o.MaxBytes) || st.Entries < 100 {
			t.Errorf("%+v: %d entries, %d bytes", o, st.Entries, st.Memory)
		}
		for i := range keys {
			n.do(grid.Op{Kind: grid.Remove, Key: fmt.Append(nil, "key", i)})
		}
		// If something is still counted, or was not, there is not just this much room.
		if err := s.Alter("c", store.CacheOptions{MaxCount: 10, MaxBytes: 10 * (14 + store.Overhead)}, grid.Time{Wall: n.now}); err != nil {
			t.Fatal(err)
		}
		n.admin.Stats(&st, grid.Time{Wall: n.now})
		if st.Memory != 0 || st.Entries != 0 {
			t.Errorf("%+v: an empty cache has %d entries of %d bytes", o, st.Entries, st.Memory)
		}
		for i := range 10 {
			n.put(fmt.Sprint("new", i), 10)
		}
		if n.admin.Stats(&st, grid.Time{Wall: n.now}); st.Entries != 10 {
			t.Errorf("%+v: %d of 10 entries are there", o, st.Entries)
		}
	}
}
