package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func testLane(o Options) *lane {
	o.Addr = "localhost:1"
	o = o.withDefaults()
	r := newRun(o, false)
	r.phase.Store(measuring)
	l := r.lane(newWork(r, 0, new(atomic.Int64)), 0)
	return &l
}

// answered is a lane whose first requests are answered, in pieces. What it does not take of the last one is kept.
func answered(o Options, reply func(l *lane) string, piece int) (l *lane, kept string) {
	l = testLane(o)
	l.fill(nil, 0)
	for all := reply(l); all != "" && !l.broken; {
		n := min(piece, len(all))
		kept, all = kept+all[:n], all[n:]
		kept = kept[l.feed([]byte(kept), 1):]
	}
	return l, kept
}

// A good reply in any split counts as a hit; each kind of bad one is noticed and counted as what it is.
func TestReplies(t *testing.T) {
	value := func(l *lane, k int) string {
		at := valueAt(l.ids[k])
		return string(l.w.r.pattern[at : at+32])
	}
	key := func(l *lane, k int) string { return fmt.Sprintf("%016d", l.ids[k]) }
	f := func(name string, o Options, reply func(l *lane) string, hits uint64, want Errors) {
		t.Helper()
		for _, piece := range []int{1, 7, 1 << 20} {
			l, kept := answered(o, reply, piece)
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
	text, meta, web := Options{GetShare: 1, Seed: 7}, Options{GetShare: 1, Seed: 7, Protocol: "meta"}, Options{GetShare: 1, Seed: 7, Protocol: "http"}
	multi, sets := Options{GetShare: 1, MultiGet: 3, Seed: 7}, Options{}
	metaMulti := Options{GetShare: 1, MultiGet: 3, Seed: 7, Protocol: "meta"}
	hit := func(l *lane, k int) string { return "VALUE " + key(l, k) + " 0 32\r\n" + value(l, k) + "\r\n" }
	va := func(l *lane, k int) string { return "VA 32 k" + key(l, k) + "\r\n" + value(l, k) + "\r\n" }
	f("hit", text, func(l *lane) string { return hit(l, 0) + "END\r\n" }, 1, Errors{})
	f("miss", text, func(*lane) string { return "END\r\n" }, 0, Errors{})
	f("multi", multi, func(l *lane) string { return hit(l, 0) + hit(l, 1) + hit(l, 2) + "END\r\n" }, 3, Errors{})
	f("multi, one missing", multi, func(l *lane) string { return hit(l, 0) + hit(l, 2) + "END\r\n" }, 2, Errors{})
	f("meta hit", meta, func(l *lane) string { return "VA 32\r\n" + value(l, 0) + "\r\n" }, 1, Errors{})
	f("meta miss", meta, func(*lane) string { return "EN\r\n" }, 0, Errors{})
	f("meta multi", metaMulti, func(l *lane) string { return va(l, 1) + va(l, 2) + "MN\r\n" }, 2, Errors{})
	f("meta multi, wrong key", metaMulti, func(l *lane) string { return va(l, 1) + va(l, 1) + "MN\r\n" }, 2, Errors{WrongKey: 1})
	f("HTTP hit", web, func(l *lane) string { return "HTTP/1.1 200 OK\r\nX: y\r\ncontent-length: 32\r\n\r\n" + value(l, 0) }, 1, Errors{})
	f("HTTP miss", web, func(*lane) string { return "HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nno\n" }, 0, Errors{})
	f("HTTP refused", web, func(*lane) string { return "HTTP/1.1 503 Service Unavailable\r\n\r\n" }, 0, Errors{Refused: 1})
	f("HTTP put", Options{Protocol: "http"}, func(*lane) string { return "HTTP/1.1 204 No Content\r\n\r\n" }, 0, Errors{})
	f("not HTTP", web, func(*lane) string { return "SSH-2.0-x\r\n" }, 0, Errors{Framing: 1})
	f("stored", sets, func(*lane) string { return "STORED\r\n" }, 0, Errors{})
	f("stored, meta", Options{Protocol: "meta"}, func(*lane) string { return "HD\r\n" }, 0, Errors{})
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

// In an open loop requests are sent when they are due, at most Pipeline at once, and their latency counts from then.
func TestOpenLoop(t *testing.T) {
	l := testLane(Options{Conns: 1, Rate: 1e6, Pipeline: 3})
	l.due = 0
	sets := func(now int64) int { return strings.Count(string(l.fill(nil, now)), "set ") }
	if got := sets(-1); got != 0 {
		t.Errorf("before the first is due: got %d requests", got)
	}
	if got := sets(1000); got != 2 { // due at 0 and 1000
		t.Errorf("when two are due: got %d requests", got)
	}
	if got := sets(10_000); got != 1 { // nine more are due, but three outstanding is the limit
		t.Errorf("when many are due: got %d requests, want 1", got)
	}
	l.feed([]byte("STORED\r\nSTORED\r\nSTORED\r\n"), 11_000)
	if got, want := l.w.lat.Max(), int64(11_000); got/10 != want/10 {
		t.Errorf("latency of what was due at 0 and answered at 11000: got %d", got)
	}
	if got := sets(12_000); got != 3 {
		t.Errorf("after the replies: got %d requests, want 3", got)
	}
	l.feed([]byte("STORED\r\n"), 20_000)
	if got, want := l.w.lat.Max(), int64(20_000-3000); got/10 != want/10 {
		t.Errorf("latency of what was due at 3000 and answered at 20000: got %d, want %d", got, want)
	}
}

// What is not found is stored before the next requests.
func TestCacheAside(t *testing.T) {
	l := testLane(Options{GetShare: 1, MultiGet: 3, CacheAside: true, ValueSize: Fixed(8)})
	l.fill(nil, 0)
	ids := append([]uint32(nil), l.ids...)
	at := valueAt(ids[1])
	// A value that was stored when values were smaller is right.
	l.feed(fmt.Appendf(nil, "VALUE %016d 0 5\r\n%s\r\nEND\r\n", ids[1], l.w.r.pattern[at:at+5]), 1)
	if l.w.errs.Total() != 0 || l.w.hits != 1 {
		t.Fatalf("got %d hits, errors %+v", l.w.hits, l.w.errs)
	}
	out := string(l.fill(nil, 2))
	for _, id := range []uint32{ids[0], ids[2]} {
		if !strings.Contains(out, fmt.Sprintf("set %016d 0 0 8\r\n", id)) {
			t.Errorf("%d is not stored: %q", id, out)
		}
	}
	if l.w.begun != 2 {
		t.Errorf("two requests and what one missed count as %d", l.w.begun)
	}
	if strings.Count(out, "set ") != 2 || strings.Count(out, "get ") != 1 {
		t.Errorf("got %q, want two sets and a get", out)
	}
}

func TestNoAllocations(t *testing.T) {
	for _, protocol := range []string{"text", "meta"} {
		l := testLane(Options{Pipeline: 16, Protocol: protocol})
		reply := map[string]string{"text": "STORED\r\n", "meta": "HD\r\n"}[protocol]
		out, replies := make([]byte, 0, 64<<10), []byte(strings.Repeat(reply, 16))
		if n := testing.AllocsPerRun(100, func() {
			out = l.fill(out[:0], 0)
			l.feed(replies, 1)
		}); n != 0 {
			t.Errorf("%s: 16 sets allocate %v times", protocol, n)
		}
		l = testLane(Options{GetShare: 1, Keys: 1, Protocol: protocol})
		value := l.w.r.pattern[:32]
		reply = map[string]string{"text": "VALUE 0000000000000000 0 32\r\n%s\r\nEND\r\n", "meta": "VA 32\r\n%s\r\n"}[protocol]
		replies = fmt.Appendf(nil, reply, value)
		if n := testing.AllocsPerRun(100, func() {
			out = l.fill(out[:0], 0)
			l.feed(replies, 1)
		}); n != 0 || l.w.hits == 0 {
			t.Errorf("%s: a hit allocates %v times (%d hits)", protocol, n, l.w.hits)
		}
	}
}

func TestZipf(t *testing.T) {
	for _, s := range []float64{0.8, 1, 1.2} {
		const n = 1000
		z := newZipf(n, s)
		rnd, counts := rand.NewPCG(1, 2), map[uint64]int{}
		for range 200_000 {
			rank := z.rank(rnd)
			if rank >= n {
				t.Fatalf("zipf %v: rank %d of %d", s, rank, n)
			}
			counts[rank]++
		}
		ratio, want := float64(counts[0])/float64(counts[1]), map[float64]float64{0.8: 1.741, 1: 2, 1.2: 2.297}[s]
		if ratio < want*0.9 || ratio > want*1.1 {
			t.Errorf("zipf %v: first over second: got %.3f, want %.3f", s, ratio, want)
		}
	}
	seen := map[uint32]bool{}
	for rank := range uint64(1000) {
		seen[scatter(rank, 1000)] = true
	}
	if len(seen) != 1000 {
		t.Errorf("1000 ranks are scattered over %d keys", len(seen))
	}
}

// Keys for one hit come once, in a run and in runs of other seeds; a scan meets every key; drift moves the hottest one.
func TestSources(t *testing.T) {
	picks := func(o Options, n int) map[uint32]int {
		o.Addr, o.Keys = "a:1", 1000
		o = o.withDefaults()
		if err := o.check(); err != nil {
			t.Fatal(err)
		}
		s, rnd, got := newSource(newRun(o, false), 0), rand.NewPCG(1, 2), map[uint32]int{}
		for range n {
			got[s.pick(rnd)]++
		}
		return got
	}
	once := picks(Options{OneHit: 0.5}, 10_000)
	other := picks(Options{OneHit: 0.5, Seed: 1}, 10_000)
	unique := 0
	for id, n := range once {
		if id >= 1000 {
			unique++
			if n > 1 || other[id] > 0 {
				t.Fatalf("key %d came %d times, and %d times with another seed", id, n, other[id])
			}
		}
	}
	if unique < 4500 || unique > 5500 {
		t.Errorf("half of 10000 choices: got %d", unique)
	}
	if got := picks(Options{Scan: 1}, 1000); len(got) != 1000 {
		t.Errorf("a scan of 1000 keys met %d", len(got))
	}
	still, moving := picks(Options{Zipf: 1.1}, 50_000), picks(Options{Zipf: 1.1, Drift: 100}, 50_000)
	if hot := scatter(0, 1000); moving[hot] > still[hot]/10 {
		t.Errorf("the hottest key came %d times without drift, %d times with it", still[hot], moving[hot])
	}
}

func TestSpecs(t *testing.T) {
	sizes := func(spec string, lo, mean, hi int) {
		t.Helper()
		s, err := ParseSizes(spec)
		if err != nil {
			t.Errorf("%s: %v", spec, err)
			return
		}
		sum := 0
		for id := range uint32(100_000) {
			n := s.of(id, 0)
			if n < lo || n > hi {
				t.Fatalf("%s: size %d", spec, n)
			}
			sum += n
		}
		if got := sum / 100_000; got < mean*95/100 || got > mean*105/100 {
			t.Errorf("%s: mean %d, want %d", spec, got, mean)
		}
	}
	sizes("100", 100, 100, 100)
	sizes("40-160", 40, 100, 160)
	sizes("lognormal:300:1", 1, 300, 9600)
	for _, spec := range []string{"", "0", "-5", "10-5", "0-5", "x", "1e3", "lognormal:300", "lognormal:0:1", "lognormal:300:9", "lognormal:NaN:1", "999999999999"} {
		if _, err := ParseSizes(spec); err == nil {
			t.Errorf("sizes %q: no error", spec)
		}
	}
	ttls, err := ParseTTLs("0:1,60:3")
	if err != nil {
		t.Fatal(err)
	}
	rnd, zero := rand.NewPCG(1, 2), 0
	for range 10_000 {
		if ttls.pick(rnd) == 0 {
			zero++
		}
	}
	if zero < 2300 || zero > 2700 {
		t.Errorf("a quarter of 10000: got %d", zero)
	}
	for _, spec := range []string{"", "-1", "1:0", "1:-1", "1:NaN", "1:x", "1,,2"} {
		if _, err := ParseTTLs(spec); err == nil {
			t.Errorf("ttls %q: no error", spec)
		}
	}
}

// stub is a server for text gets and sets of one key.
func stub(t *testing.T) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	var mu sync.Mutex
	entries := map[string]string{}
	serve := func(c net.Conn) {
		defer c.Close()
		in, out := bufio.NewReader(c), bufio.NewWriter(c)
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			f := strings.Fields(line)
			mu.Lock()
			if f[0] == "set" {
				var n int
				_, _ = fmt.Sscan(f[4], &n)
				value := make([]byte, n+2)
				_, _ = io.ReadFull(in, value)
				entries[f[1]] = string(value)
				fmt.Fprint(out, "STORED\r\n")
			} else {
				if v, ok := entries[f[1]]; ok {
					fmt.Fprintf(out, "VALUE %s 0 %d\r\n%s", f[1], len(v)-2, v)
				}
				fmt.Fprint(out, "END\r\n")
			}
			mu.Unlock()
			if in.Buffered() == 0 {
				_ = out.Flush()
			}
		}
	}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
	return ln.Addr().String()
}

// Both drivers do what the options say, against a server that is no daemon of ours.
func TestRun(t *testing.T) {
	for _, stream := range []bool{false, true} {
		f := func(o Options, preload bool, good func(r *Report) bool) {
			t.Helper()
			o.Addr, o.stream, o.Keys = stub(t), stream, 500
			if preload {
				if err := Preload(context.Background(), o); err != nil {
					t.Fatal(err)
				}
			}
			r, err := Run(context.Background(), o)
			if err != nil {
				t.Fatal(err)
			}
			if r.Errors.Total() != 0 || !good(r) {
				b, err := json.Marshal(r)
				t.Errorf("portable driver %v: got %s (%v)", stream, b, err)
			}
		}
		sizes, err := ParseSizes("lognormal:200:1")
		if err != nil {
			t.Fatal(err)
		}
		keySizes, err := ParseSizes("3-40")
		if err != nil {
			t.Fatal(err)
		}
		f(Options{Conns: 4, Threads: 2, GetShare: 0.5, Pipeline: 8, KeySize: keySizes, ValueSize: sizes, Requests: 3000, WarmupRequests: 500}, true,
			func(r *Report) bool {
				return r.Requests >= 3000 && r.Requests < 3100 && r.Hits == r.Gets && r.Sets > 1000
			})
		f(Options{Conns: 4, GetShare: 1, CacheAside: true, Zipf: 0.99, ValueSize: sizes, Requests: 3000}, false,
			func(r *Report) bool {
				return r.HitRatio > 0.5 && r.HitRatio < 0.95 && r.Sets >= r.Gets-r.Hits-4 && r.Gets >= 3000-4
			})
		f(Options{Conns: 4, GetShare: 1, Rate: 2000, Requests: 200}, true,
			func(r *Report) bool { return r.Requests >= 200 && r.Late != nil })
		measured := false
		for d := 20 * time.Millisecond; !measured && d < time.Minute; d *= 2 { // on a busy machine nothing may happen for a while
			f(Options{Conns: 2, GetShare: 0.9, Duration: d}, true, func(r *Report) bool {
				measured = r.Requests > 0
				return r.Late == nil && r.Latency.Max >= r.Latency.P50
			})
		}
		if !measured {
			t.Errorf("portable driver %v: a duration has no request", stream)
		}
	}
}
