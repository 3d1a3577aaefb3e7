package gridtest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/latticed/latticed/grid"
)

const allKinds = grid.Created | grid.Modified | grid.Removed | grid.Expired | grid.Cleared

// listener reads a feed.
type listener struct {
	c    *conn
	feed grid.Feed
}

func (c *conn) listen(kinds grid.EventKind, values bool) *listener {
	c.t.Helper()
	f, code := c.event.Listen(grid.Interest{Kinds: kinds, Values: values}, c.ticket())
	if code != grid.OK {
		c.fatalf("Listen: got code %d, want OK", code)
	}
	return &listener{c, f}
}

// all returns the events that are there, whose bytes are the caller's, by pages of that size.
func (l *listener) all(entries, mem int) (all []grid.Event) {
	l.c.t.Helper()
	p := grid.EventPage{Events: make([]grid.Event, 0, entries), Mem: make([]byte, 0, mem)}
	for {
		room := cap(p.Mem)
		code := l.feed.Next(&p)
		if code != grid.OK && code != grid.Pending {
			l.c.fatalf("Next: got code %d, want OK or Pending", code)
		}
		if len(p.Events) > entries {
			l.c.fatalf("a page of %d events, want at most %d", len(p.Events), entries)
		}
		if cap(p.Mem) != room && (len(p.Events) == 0 || len(p.Events[0].Key)+len(p.Events[0].Value) <= room) {
			l.c.fatalf("Next grew Mem from %d bytes for %d events", room, len(p.Events))
		}
		for _, e := range p.Events {
			e.Key, e.Value = bytes.Clone(e.Key), bytes.Clone(e.Value)
			all = append(all, e)
		}
		spoil(p.Mem)
		if code == grid.Pending {
			return all
		}
	}
}

// told checks which events came, as kinds writes them.
func (l *listener) told(want string) []grid.Event {
	l.c.t.Helper()
	all := l.all(3, 1000)
	if got := kinds(all); got != want {
		l.c.t.Errorf("%sgot events %q, want %q", l.c.where(), got, want)
	}
	return all
}

// kinds writes events down: a sign for the kind, and the key.
func kinds(events []grid.Event) string {
	var s []string
	for _, e := range events {
		sign := map[grid.EventKind]string{
			grid.Created: "+", grid.Modified: "~", grid.Removed: "-", grid.Expired: "x", grid.Cleared: "!", grid.Lost: "?",
		}[e.Kind]
		s = append(s, sign+string(e.Key))
	}
	return strings.Join(s, " ")
}

// testEvents has each op tell what it should, once, to whom it should.
func testEvents(t *testing.T, open func(t *testing.T, o Options) grid.Caches) {
	caches := open(t, Options{Limit: 1 << 26})
	c := newConn(t, caches, 1)
	l := c.listen(allKinds, true)
	op := func(kind grid.Kind, set ...func(op *grid.Op)) {
		t.Helper()
		o := grid.Op{Kind: kind, Key: []byte("k"), Value: []byte("7")}
		for _, f := range set {
			f(&o)
		}
		if kind == grid.Get || kind == grid.Remove || kind == grid.Incr || kind == grid.Touch {
			o.Value = nil
		}
		c.one(o)
	}
	ask := func(a grid.Ask) func(*grid.Op) { return func(o *grid.Op) { o.Ask |= a } }
	cond := func(k grid.Cond) func(*grid.Op) { return func(o *grid.Op) { o.Cond = k } }
	ttl := func(n int64) func(*grid.Op) { return func(o *grid.Op) { o.TTL, o.VivifyTTL = n, n } }

	op(grid.Get)
	op(grid.Put, cond(grid.IfPresent))
	op(grid.Remove)
	op(grid.Touch)
	op(grid.Append)
	op(grid.Incr)
	l.told("")
	op(grid.Put)
	l.told("+k")
	op(grid.Get)
	op(grid.Put, cond(grid.IfAbsent))
	op(grid.Put, cond(grid.IfVersion))
	op(grid.Touch, ttl(1000))
	l.told("")
	op(grid.Put)
	op(grid.Incr)
	op(grid.Append)
	op(grid.Prepend)
	op(grid.Remove, ask(grid.MarkStale))
	op(grid.Get, ask(grid.Recache))
	op(grid.Remove, ask(grid.Hollow))
	op(grid.Remove)
	l.told("~k ~k ~k ~k ~k ~k -k")
	op(grid.Get, ask(grid.Vivify))
	op(grid.Remove)
	op(grid.Append, ask(grid.Vivify))
	op(grid.Remove)
	op(grid.Incr, ask(grid.Vivify))
	op(grid.Remove)
	l.told("+k -k +k -k +k -k")
	for _, kind := range []grid.Kind{grid.Put, grid.Put, grid.Incr, grid.Append, grid.Prepend, grid.Remove} {
		op(kind, ask(grid.NoEvents))
	}
	l.told("")

	// what has expired is told once, whoever comes upon it, and before what takes its place
	op(grid.Put, ttl(10))
	c.now += 10
	op(grid.Get)
	op(grid.Get)
	op(grid.Remove)
	l.told("+k xk")
	op(grid.Put, ttl(10))
	c.now += 10
	op(grid.Put, ttl(grid.TTLPast))
	op(grid.Get, ask(grid.NoEvents))
	l.told("+k xk +k xk")
	op(grid.Put, func(o *grid.Op) { o.Idle = 10 })
	c.now += 10
	op(grid.Put, cond(grid.IfPresent))
	l.told("+k xk")

	// a flush is one event, and what it took none
	op(grid.Put, ttl(10))
	c.store("other", nil)
	c.flush(0)
	op(grid.Get)
	c.now += 10
	op(grid.Put)
	l.told("+k +other ! +k")
	c.flush(c.now + 10)
	c.flush(c.now + 20)
	l.told("")
	c.now += 20
	op(grid.Put)
	l.told("! +k")
	c.flush(0)
	c.flush(0)
	l.told("! !")

	contents(t, c, l)
	interests(c, l, op)
}

// contents looks at what events of ops carry, for a listener to all of them and their values, and for one without.
func contents(t *testing.T, c *conn, full *listener) {
	small, large := pattern(1, grid.StreamMin), pattern(2, grid.StreamMin+1)
	long := strings.Repeat("x", grid.MaxKey)
	f := func(e grid.Event, kind grid.EventKind, key string, value []byte, size int, r grid.Result) {
		t.Helper()
		if e.Kind != kind || string(e.Key) != key || !bytes.Equal(e.Value, value) || e.Size != size || e.Version != r.Version || e.Flags != r.Flags || e.Attr != r.Attr || e.Count != 0 {
			t.Errorf("event of kind %d on %.20q, %d of %d bytes, version %d, flags %d, attr %d; want kind %d on %.20q, %d of %d bytes, version %d, flags %d, attr %d",
				e.Kind, e.Key, len(e.Value), e.Size, e.Version, e.Flags, e.Attr, kind, key, len(value), size, r.Version, r.Flags, r.Attr)
		}
	}
	quiet := c.listen(allKinds, false)
	one := c.want(grid.Op{Kind: grid.Put, Key: []byte(long), Value: small, Flags: 5, Attr: 6, TTL: 10}, grid.OK)
	two := c.put("k", large)
	three := c.want(grid.Op{Kind: grid.Put, Key: []byte("k"), Value: []byte("v"), Flags: 7}, grid.OK)
	c.want(grid.Op{Kind: grid.Remove, Key: []byte("k")}, grid.OK)
	four := c.put("k", large)
	c.now += 10
	c.gone(long)
	c.want(grid.Op{Kind: grid.Remove, Key: []byte("k")}, grid.OK)
	for _, l := range []*listener{full, quiet} {
		all := l.all(2, 100)
		if got := len(all); got != 7 {
			t.Fatalf("got %d events, want 7", got)
		}
		v, small := []byte("v"), small
		if l == quiet {
			v, small = nil, nil
		}
		f(all[0], grid.Created, long, small, grid.StreamMin, one)
		f(all[1], grid.Created, "k", nil, len(large), two)
		f(all[2], grid.Modified, "k", v, 1, three)
		f(all[3], grid.Removed, "k", v, 1, three)
		f(all[4], grid.Created, "k", nil, len(large), four)
		f(all[5], grid.Expired, long, small, grid.StreamMin, one)
		f(all[6], grid.Removed, "k", nil, len(large), four)
	}
	quiet.feed.Close()
}

// interests has only what is asked for told, and only from then on, with a wake-up when there is any. other is a listener that goes.
func interests(c *conn, other *listener, op func(kind grid.Kind, set ...func(*grid.Op))) {
	some := c.listen(grid.Removed|grid.Cleared, false)
	wakes := func(want int) {
		c.t.Helper()
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.wakes != want {
			c.t.Errorf("got %d wake-ups, want %d", c.wakes, want)
		}
		c.wakes = 0
	}
	other.feed.Close()
	c.mu.Lock()
	c.wakes = 0
	c.mu.Unlock()
	op(grid.Put)
	op(grid.Put)
	wakes(0)
	op(grid.Remove)
	op(grid.Put)
	op(grid.Remove)
	wakes(1)
	some.told("-k -k")
	op(grid.Put)
	some.told("")
	wakes(0)
	c.flush(0)
	wakes(1)
	some.told("!")
	some.feed.Close()
	op(grid.Put)
	op(grid.Remove)
	wakes(0)
	c.listen(allKinds, false).feed.Close()
}

// testEventsLost lets more happen than a feed holds: what is missing is told and counted, in its place.
func testEventsLost(t *testing.T, open func(t *testing.T, o Options) grid.Caches) {
	c := newConn(t, open(t, Options{Limit: 1 << 26, Waiting: 100}), 1)
	l := c.listen(grid.Created|grid.Modified, true)
	some := c.listen(grid.Removed, false)
	const ops = 800
	var all []grid.Event
	for i := range ops {
		c.store(fmt.Sprint("k", i), pattern(1, grid.StreamMin))
		if i == ops/2 {
			c.want(grid.Op{Kind: grid.Remove, Key: []byte("k0")}, grid.OK)
			all = l.all(10, 100)
		}
	}
	all = append(all, l.all(10, 100)...)
	next, losses := uint64(0), 0
	for _, e := range all {
		if e.Kind == grid.Lost {
			losses++
			next += e.Count
			continue
		}
		if want := fmt.Sprint("k", next); string(e.Key) != want {
			t.Fatalf("got event on %q, want %q", e.Key, want)
		}
		next++
	}
	if next != ops || losses != 2 {
		t.Errorf("got %d events brought or lost, in %d places, want %d and 2", next, losses, ops)
	}
	// what it has not asked for it cannot lose, what it has may be gone
	if got := some.all(10, 100); len(got) != 1 || got[0].Kind == grid.Lost && got[0].Count != 1 {
		t.Errorf("a listener to what was removed: got %v, want one event", got)
	}
	l.feed.Close()
	some.feed.Close()
}

// testEventsOrder follows the events of ops, expiries and flushes that happen side by side: at no time do they
// contradict themselves, and in the end they say what there is.
func testEventsOrder(t *testing.T, open func(t *testing.T, o Options) grid.Caches) {
	caches := open(t, Options{Limit: 1 << 26, Waiting: 1 << 20})
	const workers, turns, keys = 4, 160, 40
	var clock atomic.Int64
	clock.Store(1_700_000_000_000)
	reader := newConn(t, caches, 100)
	l := reader.listen(allKinds, true)
	var all sync.WaitGroup
	var alone sync.RWMutex // a flush put off to a moment that others have passed spares what they have stored since
	for w := range workers {
		c := newConn(t, caches, uint64(w+1))
		c.other = true
		rng := rand.New(rand.NewPCG(uint64(w), 11))
		key := func() []byte { return fmt.Append(nil, "k", rng.IntN(keys)) }
		all.Go(func() {
			for turn := range turns {
				switch turn % 30 {
				case 7:
					c.flush(0)
				case 17:
					alone.Lock()
					c.now = clock.Load()
					c.flush(c.now + 1 + int64(rng.IntN(20)))
					alone.Unlock()
				}
				alone.RLock()
				c.now = clock.Add(int64(rng.IntN(2)))
				var ops []grid.Op
				for range 1 + rng.IntN(8) {
					ops = append(ops, grid.Op{
						Kind: []grid.Kind{grid.Put, grid.Put, grid.Remove, grid.Get, grid.Append}[rng.IntN(5)],
						Key:  key(), Value: fmt.Append(nil, rng.Uint64()), TTL: []int64{0, 0, 1, 20}[rng.IntN(4)],
					})
					if op := &ops[len(ops)-1]; op.Kind == grid.Get || op.Kind == grid.Remove {
						op.Value, op.TTL = nil, 0
					}
				}
				c.run(ops...)
				alone.RUnlock()
			}
		})
	}
	all.Go(func() {
		c := newConn(t, caches, workers+1)
		c.other = true
		for segment := range c.admin.Segments() + 1 {
			c.now = clock.Load()
			c.clear(segment, false)
		}
	})
	all.Wait()
	reader.now = clock.Load() + 1000
	is := map[string]grid.Event{}
	read := func() {
		for i, e := range l.all(100, 10_000) {
			key := string(e.Key)
			was, there := is[key]
			switch e.Kind {
			case grid.Created:
				if there {
					t.Fatalf("event %d: %s was created again", i, key)
				}
				is[key] = e
			case grid.Modified:
				if !there || was.Version == e.Version {
					t.Fatalf("event %d: %s was modified (version %d after %d), there before: %t", i, key, e.Version, was.Version, there)
				}
				is[key] = e
			case grid.Removed, grid.Expired:
				if !there || was.Version != e.Version || string(was.Value) != string(e.Value) {
					t.Fatalf("event %d: %s ended (kind %d) with version %d, there before: %t, version %d", i, key, e.Kind, e.Version, there, was.Version)
				}
				delete(is, key)
			case grid.Cleared:
				clear(is)
			default:
				t.Fatalf("event %d: got kind %d", i, e.Kind)
			}
		}
	}
	read()
	for n := range keys {
		reader.run(get(fmt.Sprint("k", n))) // what has expired without anybody noticing
	}
	read()
	for n := range keys {
		key := fmt.Sprint("k", n)
		e, told := is[key]
		r := reader.one(get(key))
		if told != (r.Code == grid.OK) || told && (e.Version != r.Version || string(e.Value) != string(r.Value)) {
			t.Errorf("%s: got code %d, version %d, events say it is there: %t, version %d", key, r.Code, r.Version, told, e.Version)
		}
	}
	l.feed.Close()
}
