package gridtest

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/latticed/latticed/grid"
)

// choices is where random ops come from: a generator with a seed, or the bytes of a fuzzer.
type choices interface {
	pick(n int) int // below n
	more() bool
}

type seeded struct{ *rand.Rand }

func (s seeded) pick(n int) int { return s.IntN(n) }
func (s seeded) more() bool     { return true }

type scripted struct{ script []byte }

func (s *scripted) pick(n int) int {
	v := 0
	for m := 1; m < n && len(s.script) > 0; m <<= 8 {
		v = v<<8 | int(s.script[0])
		s.script = s.script[1:]
	}
	return v % n
}

func (s *scripted) more() bool { return len(s.script) > 0 }

// duel sends the same ops to a model, one by one, and to an implementation, in batches, and compares all results.
// Versions need not be the same numbers: each of the model's stands for one of the other's.
type duel struct {
	t        testing.TB
	choices  choices
	model    *conn
	other    *conn
	keys     []string
	versions map[uint64]uint64   // the model's -> the other's
	known    map[uint64]bool     // the other's
	seen     map[string][]uint64 // versions that a key had, the model's
	held     []heldBlob

	modelFeed, otherFeed *listener
}

// heldBlob is kept open for a while.
type heldBlob struct {
	b    grid.Blob
	want []byte
}

// ownVersions is where versions begin that clients choose: above all that an implementation chooses itself.
const ownVersions = 1 << 62

func newDuel(t testing.TB, where func() string, ch choices, model, other grid.Caches) *duel {
	d := &duel{
		t: t, choices: ch, model: newConn(t, model, 1), other: newConn(t, other, 1),
		keys: []string{
			"a", "b", "c", "dd", "key:5", "key:6", "\x00\xff", "with space", strings.Repeat("k", 250),
			strings.Repeat("k", 249), strings.Repeat("l", 1000), "z",
		},
		versions: map[uint64]uint64{0: 0}, known: map[uint64]bool{0: true}, seen: map[string][]uint64{},
	}
	d.model.cut = 1
	d.model.where, d.other.where = where, where
	d.modelFeed, d.otherFeed = d.model.listen(allKinds, true), d.other.listen(allKinds, true)
	return d
}

func (d *duel) fatalf(format string, args ...any) {
	d.t.Helper()
	d.other.fatalf(format, args...)
}

func oneOf[T any](d *duel, of ...T) T { return of[d.choices.pick(len(of))] }

// round sends up to n ops at one moment, then perhaps does something to all entries, then moves time on.
func (d *duel) round(n int) {
	var ops, theirs []grid.Op
	for range n {
		if !d.choices.more() {
			break
		}
		op := d.op()
		other := op
		if op.Cond == grid.IfVersion && op.Version < ownVersions {
			other.Version = d.versions[op.Version]
		}
		if op.Body != nil {
			value := op.Value
			key, flags := string(op.Key), op.Flags
			first, more := len(value), 1
			if d.choices.pick(3) == 0 {
				first, more = oneOf(d, 1, 4000, 20_000), oneOf(d, 4096, 10_000, 300_000)
			}
			a, codeA := d.model.reserveBit(key, value, flags, first, more)
			b, codeB := d.other.reserveBit(key, value, flags, first, more)
			if codeA != codeB {
				d.fatalf("Reserve %d bytes for %.20q: got code %d, want %d", len(value), key, codeB, codeA)
			}
			if codeA != grid.OK {
				continue
			}
			if d.choices.pick(10) == 0 {
				a.Abort()
				b.Abort()
				continue
			}
			op.Value, op.Body = nil, a
			other.Value, other.Body = nil, b
		}
		ops, theirs = append(ops, op), append(theirs, other)
	}
	want, got := d.model.run(ops...), d.other.run(theirs...)
	d.model.abortKept()
	d.other.abortKept()
	for i := range ops {
		d.compare(i, &ops[i], &want[i], &got[i])
	}
	d.events()
	for len(d.held) > 0 && d.choices.pick(3) == 0 {
		d.closeOne()
	}
	switch d.choices.pick(24) {
	case 0:
		d.flush(0)
	case 1:
		d.flush(d.model.now + int64(d.choices.pick(300)))
	case 2, 3:
		d.look()
	case 4:
		segment, quiet := d.choices.pick(duelOptions.Segments+1), d.choices.pick(2) == 0
		if want, got := d.model.clear(segment, quiet), d.other.clear(segment, quiet); got != want {
			d.fatalf("Clear of segment %d less 1: got %d, want %d", segment, got, want)
		}
	case 5:
		segment := d.choices.pick(duelOptions.Segments + 1)
		if want, got := d.model.count(segment, 0), d.other.count(segment, 0); got != want {
			d.fatalf("Count of segment %d less 1: got %d, want %d", segment, got, want)
		}
	}
	step := int64(oneOf(d, 0, 0, 0, 1, 1, 10, 50, 100, 1000))
	d.model.now += step
	d.other.now += step
}

func (d *duel) flush(at int64) {
	d.model.flush(at)
	d.other.flush(at)
}

func (d *duel) closeOne() {
	i := d.choices.pick(len(d.held))
	h := d.held[i]
	d.held = slices.Delete(d.held, i, i+1)
	if got := d.other.read(h.b); !bytes.Equal(got, h.want) {
		d.fatalf("a Blob of %d bytes changed while it was open", len(h.want))
	}
}

// end closes what is open and looks at everything once more.
func (d *duel) end() {
	for len(d.held) > 0 {
		d.closeOne()
	}
	d.look()
	d.events()
	d.modelFeed.feed.Close()
	d.otherFeed.feed.Close()
	if s := d.other.stats(); s.Reserved != 0 || s.PinnedDead != 0 {
		d.fatalf("in the end: got %d bytes reserved, %d pinned, want 0 and 0", s.Reserved, s.PinnedDead)
	}
}

var allAsks = []grid.Ask{
	grid.WantPrevious, grid.WantTimes, grid.NoBump, grid.Vivify, grid.Recache, grid.MarkStale, grid.Hollow, grid.OwnVersion,
	grid.NoEvents, grid.NoLoad, grid.NoStore, grid.KeepBody,
}

// op makes up one op. A Body is only announced by a mark, its bytes are in Value.
func (d *duel) op() (op grid.Op) {
	c := d.choices
	key := d.keys[c.pick(len(d.keys))]
	op = grid.Op{
		Key: []byte(key),
		Kind: oneOf(d, grid.Get, grid.Get, grid.Get, grid.Get, grid.Put, grid.Put, grid.Put, grid.Put, grid.Append, grid.Prepend,
			grid.Incr, grid.Decr, grid.Remove, grid.Touch),
		Cond:      oneOf(d, grid.Always, grid.Always, grid.Always, grid.IfAbsent, grid.IfPresent, grid.IfVersion, grid.IfVersion),
		Flags:     oneOf[uint32](d, 0, 0, 1, 1<<32-1),
		Attr:      oneOf[uint16](d, 0, 0, 1, 65535),
		TTL:       oneOf[int64](d, 0, 0, 0, 0, grid.TTLForever, grid.TTLPast, 1, 50, 500, math.MaxInt64),
		Idle:      oneOf[int64](d, 0, 0, 0, 0, 0, -1, 1, 60, 600),
		VivifyTTL: oneOf[int64](d, 0, grid.TTLForever, grid.TTLPast, 50, 500),
		Arg:       oneOf[uint64](d, 0, 0, 1, 1, 9, 40, 1000, 1<<63, 1<<64-1),
		Initial:   oneOf[uint64](d, 0, 7, 1<<64-1),
	}
	for range c.pick(4) {
		op.Ask |= oneOf(d, allAsks...)
	}
	if c.pick(5) > 0 {
		op.Ask |= grid.WantValue
	}
	if op.Kind == grid.Remove && op.Cond == grid.Always && c.pick(2) == 0 {
		op.Ask |= grid.MarkStale
	}
	if op.Ask&grid.OwnVersion != 0 {
		op.NewVersion = oneOf[uint64](d, 0, ownVersions, ownVersions+1, ownVersions+2)
	}
	if op.Cond == grid.IfVersion {
		if seen := d.seen[key]; len(seen) > 0 && c.pick(8) > 0 {
			op.Version = seen[max(0, len(seen)-1-c.pick(4)*c.pick(2))]
		} else {
			op.Version = oneOf[uint64](d, 0, ownVersions, 1<<64-1)
		}
	}
	switch op.Kind {
	case grid.Put, grid.Append, grid.Prepend:
		op.Value = d.value()
		if len(op.Value) > grid.StreamMin {
			op.Body = announced{}
		}
	}
	if op.Kind == grid.Append || op.Kind == grid.Prepend {
		op.Arg = oneOf[uint64](d, 0, 0, 0, 100, 20000)
	}
	return op
}

// events compares what listeners were told since the last time, key by key: ops on different keys have no order.
func (d *duel) events() {
	d.t.Helper()
	list := func(l *listener) map[string][]grid.Event {
		all := map[string][]grid.Event{}
		for _, e := range l.all(1+d.choices.pick(8), 1+d.choices.pick(3000)) {
			if e.Kind == grid.Cleared {
				for _, key := range append(d.keys, "") {
					all[key] = append(all[key], e)
				}
				continue
			}
			all[string(e.Key)] = append(all[string(e.Key)], e)
		}
		return all
	}
	want, got := list(d.modelFeed), list(d.otherFeed)
	if lost := func(e grid.Event) bool { return e.Kind == grid.Lost }; slices.ContainsFunc(want[""], lost) || slices.ContainsFunc(got[""], lost) {
		return // more and larger ones than may wait
	}
	for _, key := range append(slices.Clone(d.keys), "") {
		w, g := want[key], got[key]
		if len(w) != len(g) {
			d.fatalf("events on %.20q: got %s, want %s", key, kinds(g), kinds(w))
		}
		for i := range w {
			d.version(w[i].Version, g[i].Version, func() string { return fmt.Sprintf("events %s on %.20q, event %d", kinds(w), key, i) })
			w[i].Version, g[i].Version = 0, 0
			if !reflect.DeepEqual(w[i], g[i]) {
				d.fatalf("events on %.20q, event %d of %d:\ngot  %+v\nwant %+v", key, i, len(w), g[i], w[i])
			}
		}
	}
}

type announced struct{ grid.Slot }

func (d *duel) value() []byte {
	c := d.choices
	switch c.pick(12) {
	case 0:
		return nil
	case 1, 2:
		return strconv.AppendUint(nil, oneOf[uint64](d, 0, 5, 9, 99, 100, 1<<32, 1<<64-1), 10)
	case 3:
		return []byte(oneOf(d, " 12", "12 ", "5a", "-1", "-0", "+3", "99 7", "\t1\n", "18446744073709551616", "0007"))
	case 4:
		return d.filled(c.pick(5000))
	case 5:
		if c.pick(4) == 0 {
			return d.filled(oneOf(d, grid.StreamMin-1, grid.StreamMin, grid.StreamMin+1, 2*grid.StreamMin, 70_000, 150_000, 250_000))
		}
	}
	return d.filled(c.pick(40))
}

func (d *duel) filled(n int) []byte {
	b := make([]byte, n)
	x := d.choices.pick(256)
	for i := range b {
		x = x*5 + 1
		b[i] = byte(x>>3)&0x3f + 0x30
	}
	return b
}

// compare holds the other's result of ops[i] to the model's.
func (d *duel) compare(i int, op *grid.Op, want, got *grid.Result) {
	d.t.Helper()
	key := string(op.Key)
	if (want.Body != nil) != (got.Body != nil) {
		d.fatalf("op %d %s: got Body %t, want %t", i, show(op), got.Body != nil, want.Body != nil)
	}
	value := d.model.value(*want)
	if got.Body != nil && d.choices.pick(4) == 0 && len(d.held) < 20 {
		d.held = append(d.held, heldBlob{got.Body, value})
	} else if v := d.other.value(*got); !bytes.Equal(v, value) {
		d.fatalf("op %d %s: got value %.60q (%d bytes), want %.60q (%d bytes)", i, show(op), v, len(v), value, len(value))
	}
	d.version(want.Version, got.Version, func() string { return fmt.Sprintf("op %d %s", i, show(op)) })
	if !slices.Contains(d.seen[key], want.Version) {
		d.seen[key] = append(d.seen[key], want.Version)
	}
	w, g := *want, *got
	w.Value, g.Value, w.Body, g.Body, w.Version, g.Version = nil, nil, nil, nil, 0, 0
	if !reflect.DeepEqual(w, g) {
		d.fatalf("op %d %s:\ngot  %+v\nwant %+v", i, show(op), g, w)
	}
}

func (d *duel) version(want, got uint64, what func() string) {
	d.t.Helper()
	if want >= ownVersions {
		if got != want {
			d.fatalf("%s: got version %d, want the given %d", what(), got, want)
		}
		return
	}
	if v, ok := d.versions[want]; ok {
		if v != got {
			d.fatalf("%s: got version %d, want %d (unchanged)", what(), got, v)
		}
		return
	}
	if d.known[got] {
		d.fatalf("%s: got version %d again, want a new one", what(), got)
	}
	d.versions[want], d.known[got] = got, true
}

func show(op *grid.Op) string {
	o := *op
	key, n := o.Key, len(o.Value)
	o.Key, o.Value, o.Body = nil, nil, nil
	return fmt.Sprintf("on %.20q, value of %d bytes, Body %t: %+v", key, n, op.Body != nil, o)
}

// look compares what Scan and Stats tell.
func (d *duel) look() {
	d.t.Helper()
	list := func(c *conn) map[string]grid.Entry {
		all := map[string]grid.Entry{}
		c.scan(0, 1+d.choices.pick(8), 1+d.choices.pick(2000), func(e grid.Entry) {
			key := string(e.Key)
			if _, ok := all[key]; ok {
				d.fatalf("Scan brought %.20q twice", key)
			}
			e.Key = nil
			all[key] = e
		})
		return all
	}
	want, got := list(d.model), list(d.other)
	for _, key := range slices.Sorted(maps.Keys(want)) {
		w, g := want[key], got[key]
		if _, ok := got[key]; !ok {
			d.fatalf("Scan did not bring %.20q", key)
		}
		d.version(w.Version, g.Version, func() string { return "Scan" })
		w.Version, g.Version = 0, 0
		if !reflect.DeepEqual(w, g) {
			d.fatalf("Scan, %.20q:\ngot  %+v\nwant %+v", key, g, w)
		}
	}
	if len(got) != len(want) {
		d.fatalf("Scan: got %d entries, want %d", len(got), len(want))
	}
	a, b := d.model.stats(), d.other.stats()
	if a.Stored != b.Stored || b.Entries < uint64(len(got)) {
		d.fatalf("Stats: got %d stored, %d entries, want %d and at least %d", b.Stored, b.Entries, a.Stored, len(got))
	}
	addUp(d.other, b)
}

// addUp checks that the gauges of the classes make those of the whole.
func addUp(c *conn, s grid.Stats) {
	c.t.Helper()
	var entries, bytes uint64
	for i, k := range s.Classes {
		entries, bytes = entries+k.Entries, bytes+k.Bytes
		if (k.Entries == 0) != (k.Bytes == 0) || k.Bytes > k.Entries*uint64(grid.ClassMax(i)) {
			c.fatalf("class %d: got %d entries of %d bytes together", i, k.Entries, k.Bytes)
		}
		if (k.Entries == 0) != (k.OldestUse == 0) || k.OldestUse > c.now {
			c.fatalf("class %d: got %d entries, oldest use %d at %d", i, k.Entries, k.OldestUse, c.now)
		}
	}
	if entries != s.Entries || bytes != s.Bytes {
		c.fatalf("Stats: got %d entries, %d bytes; its classes together have %d and %d", s.Entries, s.Bytes, entries, bytes)
	}
}

// duelOptions leave nothing to chance: no eviction, a bound on values that appends reach.
var duelOptions = Options{
	MaxValue: 200_000, Limit: 1 << 26, Segments: 3, Segment: func(key []byte) uint16 { return uint16(len(key) % 3) },
}

// FuzzOps makes ops from the fuzzer's bytes and compares what open returns with the model.
func FuzzOps(f *testing.F, open func(t *testing.T, o Options) grid.Caches) {
	for seed := range uint64(4) {
		r := rand.New(rand.NewPCG(seed, 7))
		script := make([]byte, 100<<seed)
		for i := range script {
			script[i] = byte(r.Uint32())
		}
		f.Add(script)
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		if len(script) > 1<<14 {
			script = script[:1<<14]
		}
		ch := &scripted{script}
		d := newDuel(t, func() string { return "" }, ch, NewModel(duelOptions), open(t, duelOptions))
		for ch.more() {
			d.other.cut = 1 + ch.pick(grid.MaxBatch)
			d.other.room = 1 << ch.pick(18)
			d.round(1 + ch.pick(60))
		}
		d.end()
	})
}

// testOps is the same with seeds.
func testOps(t *testing.T, open func(t *testing.T, o Options) grid.Caches) {
	for seed := range uint64(24) {
		round := 0
		where := func() string { return fmt.Sprintf("seed %d, round %d: ", seed, round) }
		ch := seeded{rand.New(rand.NewPCG(seed, 0))}
		d := newDuel(t, where, ch, NewModel(duelOptions), open(t, duelOptions))
		for round = range 60 {
			d.other.cut = 1 + (int(seed)+round*7)%grid.MaxBatch
			d.other.room = 1 + round*(1+ch.pick(1000))
			d.round(ch.pick(80))
		}
		d.end()
	}
}

// testCuts runs one sequence of ops in every cut and every Room.
func testCuts(t *testing.T, open func(t *testing.T, o Options) grid.Caches) {
	f := func(cut, room int) {
		t.Run(fmt.Sprintf("%d,%d", cut, room), func(t *testing.T) { // each of its own, so that its cache goes before the next comes
			where := func() string { return fmt.Sprintf("batches of %d, Room %d: ", cut, room) }
			d := newDuel(t, where, seeded{rand.New(rand.NewPCG(99, 0))}, NewModel(duelOptions), open(t, duelOptions))
			d.other.cut, d.other.room = cut, room
			for range 8 {
				d.round(40)
			}
			d.end()
		})
	}
	for cut := 1; cut <= grid.MaxBatch; cut++ {
		f(cut, 64<<10)
	}
	for room := 1; room <= 80; room++ {
		f(grid.MaxBatch, room)
	}
	for room := 128; room <= 256<<10; room *= 2 {
		f(7, room-1)
	}
}
