package gridtest_test

import (
	"testing"

	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/grid/gridtest"
)

// The expectations below were seen on the wire of memcached 1.6.45.

type rig struct {
	t   *testing.T
	c   grid.Cache
	b   *grid.Batch
	now int64
}

func newRig(t *testing.T) *rig {
	c, err := gridtest.NewModel(gridtest.Options{}).Open("", grid.Principal{})
	if err != nil {
		t.Fatal(err)
	}
	return &rig{t: t, c: c, b: grid.NewBatch(1 << 20), now: 1_000_000}
}

func (g *rig) do(op grid.Op) grid.Result {
	g.b.Reset()
	*g.b.Add() = op
	g.b.Now.Wall = g.now
	if n := g.c.Do(g.b); n != 1 {
		g.t.Fatalf("Do: got %d, want 1", n)
	}
	return g.b.Res[0]
}

func (g *rig) set(key, value string) uint64 {
	g.t.Helper()
	return g.want(grid.Op{Kind: grid.Put, Key: []byte(key), Value: []byte(value)}, grid.OK).Version
}

func (g *rig) want(op grid.Op, code grid.Code) grid.Result {
	g.t.Helper()
	r := g.do(op)
	if r.Code != code {
		g.t.Fatalf("op %+v: got code %d, want %d", op, r.Code, code)
	}
	return r
}

// peek is what describes the entry, without a use of it.
func (g *rig) peek(key string) grid.Result {
	return g.do(grid.Op{Kind: grid.Get, Ask: grid.WantValue | grid.NoBump | grid.WantTimes, Key: []byte(key)})
}

func (g *rig) value(key, want string) {
	g.t.Helper()
	if r := g.peek(key); r.Code != grid.OK || string(r.Value) != want {
		g.t.Fatalf("value of %s: got %q (code %d), want %q", key, r.Value, r.Code, want)
	}
}

func (g *rig) state(key string, want grid.State) {
	g.t.Helper()
	if r := g.peek(key); r.State != want|grid.HadValue {
		g.t.Fatalf("state of %s: got %b, want %b", key, r.State, want|grid.HadValue)
	}
}

func TestModelNumbers(t *testing.T) {
	g := newRig(t)
	f := func(value string, kind grid.Kind, arg uint64, code grid.Code, left string) {
		t.Helper()
		g.set("n", value)
		g.want(grid.Op{Kind: kind, Key: []byte("n"), Arg: arg}, code)
		g.value("n", left)
	}
	f("10", grid.Incr, 1, grid.OK, "11")
	f("99", grid.Incr, 1, grid.OK, "100")
	f("100", grid.Decr, 1, grid.OK, "99 ")
	f("99 7", grid.Incr, 1, grid.OK, "100 ")
	f("5", grid.Decr, 6, grid.OK, "0")
	f("18446744073709551615", grid.Incr, 1, grid.OK, "0                   ")
	f(" +007 a", grid.Incr, 1, grid.OK, "8      ")
	f("\t 7", grid.Incr, 1, grid.OK, "8  ")
	f("5\x00ab", grid.Incr, 1, grid.OK, "6   ")
	f("-0", grid.Incr, 5, grid.OK, "5 ")
	f("-18446744073709551615", grid.Incr, 5, grid.OK, "6                    ")
	for _, bad := range []string{"", "-1", "5a", "18446744073709551616", " ", "+", "a5"} {
		f(bad, grid.Incr, 1, grid.NotNumber, bad)
	}
	g.set("n", "")
	g.want(grid.Op{Kind: grid.Incr, Key: []byte("n"), Cond: grid.IfVersion, Version: 9999}, grid.NotNumber)
	r := g.want(grid.Op{Kind: grid.Incr, Key: []byte("new"), Ask: grid.Vivify, Initial: 7, VivifyTTL: 50}, grid.OK)
	if r.Num != 7 || r.State != grid.Vivified || r.Expires != g.now+50 {
		t.Errorf("vivified number: got %+v", r)
	}
}

func TestModelStates(t *testing.T) {
	g := newRig(t)
	k := []byte("k")
	meta := grid.Op{Kind: grid.Get, Key: k, Ask: grid.Recache}

	v := g.set("k", "10")
	g.want(grid.Op{Kind: grid.Touch, Key: k}, grid.OK)
	g.state("k", grid.Fetched) // touch is a fetch
	g.want(grid.Op{Kind: grid.Incr, Key: k, Arg: 1}, grid.OK)
	g.state("k", grid.Fetched)
	g.want(grid.Op{Kind: grid.Incr, Key: k, Arg: 100}, grid.OK)
	g.state("k", 0) // grown: a new item
	g.want(grid.Op{Kind: grid.Put, Cond: grid.IfAbsent, Key: k}, grid.Exists)
	g.state("k", 0)

	// md I, then the first asker wins; a classic get does not count.
	if r := g.want(grid.Op{Kind: grid.Remove, Ask: grid.MarkStale, Key: k}, grid.OK); r.Version <= v {
		t.Errorf("version of a stale entry: got %d, want more than %d", r.Version, v)
	}
	g.want(grid.Op{Kind: grid.Get, Key: k}, grid.OK)
	f := func(want grid.State) {
		t.Helper()
		if r := g.want(meta, grid.OK); r.State&^(grid.Fetched|grid.HadValue) != want {
			t.Errorf("state: got %b, want %b", r.State, want)
		}
	}
	f(grid.Stale | grid.Won)
	f(grid.Stale | grid.Claimed)
	last := g.peek("k").Version
	g.want(grid.Op{Kind: grid.Put, Cond: grid.IfVersion, Version: last + 1, Ask: grid.MarkStale, Key: k}, grid.Conflict)
	g.want(grid.Op{Kind: grid.Put, Cond: grid.IfVersion, Ask: grid.MarkStale, Key: k}, grid.Conflict)
	g.want(grid.Op{Kind: grid.Put, Cond: grid.IfVersion, Version: last - 1, Ask: grid.MarkStale, Key: k}, grid.OK)
	f(grid.Stale | grid.Claimed)
	g.set("k", "plain")
	f(0)

	// Recache
	g.want(grid.Op{Kind: grid.Touch, Key: k, TTL: 1000}, grid.OK)
	g.now += 500
	meta.Arg = 500
	f(0)
	meta.Arg = 501
	f(grid.Won)
	f(grid.Claimed)

	// mg N: the creating get is a fetch already
	r := g.want(grid.Op{Kind: grid.Get, Key: []byte("viv"), Ask: grid.Vivify | grid.WantValue | grid.WantTimes, VivifyTTL: 50}, grid.OK)
	if r.State != grid.Vivified|grid.Won || r.LastUse != g.now || r.Expires != g.now+50 || r.Version == 0 {
		t.Errorf("vivified: got %+v", r)
	}
	g.state("viv", grid.Claimed|grid.Fetched)
}

func TestModelHollow(t *testing.T) {
	g := newRig(t)
	k := []byte("k")
	v := g.want(grid.Op{Kind: grid.Put, Key: k, Value: []byte("hello"), Flags: 7, TTL: 100}, grid.OK).Version
	g.want(grid.Op{Kind: grid.Get, Key: k}, grid.OK)
	g.want(grid.Op{Kind: grid.Remove, Ask: grid.Hollow, Key: k, TTL: grid.TTLForever}, grid.OK)
	if r := g.peek("k"); r.Version != v || r.Flags != 0 || r.Expires != 0 || len(r.Value) != 0 || r.State != grid.HadValue {
		t.Errorf("hollow: got %+v", r)
	}
	g.want(grid.Op{Kind: grid.Remove, Ask: grid.Hollow | grid.MarkStale, Key: k}, grid.OK)
	if r := g.peek("k"); r.Version == v || r.State != grid.HadValue|grid.Stale {
		t.Errorf("tombstone: got %+v", r)
	}
}

func TestModelTime(t *testing.T) {
	g := newRig(t)
	k := []byte("k")
	put := func(ttl, idle int64) {
		t.Helper()
		g.want(grid.Op{Kind: grid.Put, Key: k, TTL: ttl, Idle: idle}, grid.OK)
	}
	get := func(after int64, want grid.Code) {
		t.Helper()
		g.now += after
		g.want(grid.Op{Kind: grid.Get, Key: k}, want)
	}
	put(grid.TTLPast, 0)
	get(0, grid.Missing)
	put(10, 0)
	get(9, grid.OK)
	get(1, grid.Missing)
	put(grid.TTLDefault, 10)
	get(9, grid.OK)
	get(9, grid.OK)
	get(10, grid.Missing)
	put(1<<62, 0)
	get(1<<40, grid.OK)
}

func TestModelFlush(t *testing.T) {
	g := newRig(t)
	m := g.c.(grid.Admin)
	f := func(key string, want grid.Code) {
		t.Helper()
		g.want(grid.Op{Kind: grid.Get, Ask: grid.NoBump, Key: []byte(key)}, want)
	}
	ticket := func() grid.Ticket { return grid.Ticket{Now: grid.Time{Wall: g.now}} }
	g.set("a", "")
	m.Flush(0, ticket())
	g.set("b", "")
	f("a", grid.Missing)
	f("b", grid.OK)

	m.Flush(g.now+100, ticket())
	m.Flush(g.now+50, ticket()) // replaces the one before
	g.now += 49
	g.set("a", "")
	f("a", grid.OK)
	f("b", grid.OK)
	g.now++
	f("a", grid.Missing)
	f("b", grid.Missing)
	g.set("a", "")
	g.now += 100
	f("a", grid.OK)

	m.Flush(g.now+10, ticket())
	m.Flush(0, ticket()) // replaces too
	g.set("a", "")
	g.now += 10
	f("a", grid.OK)
	var s grid.Stats
	m.Stats(&s, grid.Time{Wall: g.now})
	if s.GetFlushed != 4 || s.Entries != 1 {
		t.Errorf("stats: got %d flushed, %d entries, want 4 and 1", s.GetFlushed, s.Entries)
	}
}
