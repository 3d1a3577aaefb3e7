package bench

import (
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
)

func testLane(o Options) *lane {
	o = o.withDefaults()
	r := &run{o: o, pattern: newPattern(o.ValueSize), gen: newGen(o)}
	r.phase.Store(measuring)
	return &lane{w: newWork(r, 0, new(atomic.Int64))}
}

// A good reply in any split counts as a hit; each kind of bad one is noticed and counted as what it is.
func TestReplies(t *testing.T) {
	value := func(l *lane, k int) string {
		at := valueAt(l.ids[k])
		return string(l.w.r.pattern[at : at+l.w.r.o.ValueSize])
	}
	key := func(l *lane, k int) string {
		return string(l.w.stamp(l.w.set, l.w.setKey, l.ids[k])[l.w.setKey-l.w.r.o.KeySize : l.w.setKey])
	}
	f := func(name string, o Options, reply func(l *lane) string, hits uint64, want Errors) {
		t.Helper()
		for _, piece := range []int{1, 7, 1 << 20} {
			l := testLane(o)
			l.fill(nil, 0)
			all, kept := reply(l), ""
			for all != "" && !l.broken {
				n := min(piece, len(all))
				kept, all = kept+all[:n], all[n:]
				kept = kept[l.feed([]byte(kept), 1):]
			}
			got := l.w.errs
			got.First = ""
			if got != want || l.w.hits != hits {
				t.Errorf("%s in pieces of %d: got %d hits, %+v (%s), want %d, %+v", name, piece, l.w.hits, got, l.w.errs.First, hits, want)
			}
			if want.Total() == 0 && (l.outstanding() != 0 || kept != "") {
				t.Errorf("%s in pieces of %d: %d requests and %q are left", name, piece, l.outstanding(), kept)
			}
		}
	}
	text, meta := Options{GetShare: 1, Seed: 7}, Options{GetShare: 1, Seed: 7, Meta: true}
	multi, sets := Options{GetShare: 1, MultiGet: 3, Seed: 7}, Options{}
	hit := func(l *lane, k int) string { return "VALUE " + key(l, k) + " 0 32\r\n" + value(l, k) + "\r\n" }
	f("hit", text, func(l *lane) string { return hit(l, 0) + "END\r\n" }, 1, Errors{})
	f("miss", text, func(*lane) string { return "END\r\n" }, 0, Errors{})
	f("multi", multi, func(l *lane) string { return hit(l, 0) + hit(l, 1) + hit(l, 2) + "END\r\n" }, 3, Errors{})
	f("multi, one missing", multi, func(l *lane) string { return hit(l, 0) + hit(l, 2) + "END\r\n" }, 2, Errors{})
	f("meta hit", meta, func(l *lane) string { return "VA 32\r\n" + value(l, 0) + "\r\n" }, 1, Errors{})
	f("meta miss", meta, func(*lane) string { return "EN\r\n" }, 0, Errors{})
	f("stored", sets, func(*lane) string { return "STORED\r\n" }, 0, Errors{})
	f("stored, meta", Options{Meta: true}, func(*lane) string { return "HD\r\n" }, 0, Errors{})
	f("refused", sets, func(*lane) string { return "SERVER_ERROR out of memory storing object\r\n" }, 0, Errors{Refused: 1})
	f("wrong key", text, func(l *lane) string { return "VALUE other 0 32\r\n" + value(l, 0) + "\r\nEND\r\n" }, 1, Errors{WrongKey: 1})
	f("order of keys", multi, func(l *lane) string { return hit(l, 1) + hit(l, 0) + "END\r\n" }, 2, Errors{WrongKey: 1})
	f("wrong size", text, func(l *lane) string { return "VALUE " + key(l, 0) + " 0 3\r\nabc\r\nEND\r\n" }, 1, Errors{WrongSize: 1})
	f("wrong flags", text, func(l *lane) string { return "VALUE " + key(l, 0) + " 1 32\r\n" + value(l, 0) + "\r\nEND\r\n" }, 1, Errors{WrongValue: 1})
	f("no line end", text, func(l *lane) string { return "VALUE " + key(l, 0) + " 0 32\r\n" + value(l, 0) + "xx" }, 0, Errors{Framing: 1})
	f("not a reply", text, func(*lane) string { return "HTTP/1.1 400 Bad Request\r\n" }, 0, Errors{Framing: 1})
	f("endless line", text, func(*lane) string { return strings.Repeat("x", 3000) }, 0, Errors{Framing: 1})
	f("too many", text, func(l *lane) string { return hit(l, 0) + "END\r\nEND\r\n" }, 1, Errors{Framing: 1})

	l := testLane(text)
	l.fill(nil, 0)
	bad := []byte(hit(l, 0))
	bad[len(bad)-5] ^= 1
	l.feed(append(bad, "END\r\n"...), 1)
	if l.w.errs.WrongValue != 1 {
		t.Errorf("another value: got %+v, want one WrongValue", l.w.errs)
	}
}

func TestNoAllocations(t *testing.T) {
	l := testLane(Options{Pipeline: 16})
	out, reply := make([]byte, 0, 64<<10), []byte(strings.Repeat("STORED\r\n", 16))
	if n := testing.AllocsPerRun(100, func() {
		out = l.fill(out[:0], 0)
		l.feed(reply, 1)
	}); n != 0 {
		t.Errorf("16 sets allocate %v times", n)
	}
}

func TestZipf(t *testing.T) {
	for _, s := range []float64{0.8, 1, 1.2} {
		const n = 1000
		g := newGen(Options{Keys: n, Zipf: s})
		rnd, counts := rand.NewPCG(1, 2), map[uint32]int{}
		for range 200_000 {
			id := g.pick(rnd)
			if id >= n {
				t.Fatalf("zipf %v: key %d of %d", s, id, n)
			}
			counts[id]++
		}
		// The first rank is key 0; the second comes 2^s times less often.
		second := uint32(g.prime % n)
		ratio, want := float64(counts[0])/float64(counts[second]), map[float64]float64{0.8: 1.741, 1: 2, 1.2: 2.297}[s]
		if ratio < want*0.9 || ratio > want*1.1 {
			t.Errorf("zipf %v: first over second: got %.3f, want %.3f", s, ratio, want)
		}
	}
}

func TestHistogram(t *testing.T) {
	h := &histogram{}
	for i := int64(1); i <= 100_000; i++ {
		h.record(i * 100)
	}
	for q, want := range map[float64]int64{0.5: 5_000_000, 0.99: 9_900_000, 0.999: 9_990_000} {
		if got := h.quantile(q); got < want-100 || float64(got) > float64(want)*1.016 {
			t.Errorf("quantile %v: got %d, want %d", q, got, want)
		}
	}
	if got := h.quantile(1); got != 10_000_000 {
		t.Errorf("quantile 1: got %d, want the largest, 10000000", got)
	}
}
