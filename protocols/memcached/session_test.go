package memcached_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/grid/gridtest"
	"github.com/latticed/latticed/protocols"
	"github.com/latticed/latticed/protocols/memcached"
	"github.com/latticed/latticed/protocols/prototest"
)

// setup makes a protocol on an empty model. Its clock is moved by debugtime.
func setup() prototest.Parts {
	clock := &clock{now: prototest.Now}
	return prototest.Parts{
		Env:      protocols.Env{Admin: true},
		Protocol: memcached.New(memcached.Options{MoveClock: func(seconds int64) { clock.now.Wall += seconds * 1000 }}),
		Caches:   gridtest.NewModel(gridtest.Options{}),
		Clock:    clock,
	}
}

type clock struct{ now grid.Time }

func (c *clock) Now() grid.Time { return c.now }

// drive returns what is answered to input in the plainest way.
func drive(t testing.TB, input string) string {
	t.Helper()
	return string(prototest.Setup(setup).Drive(t, []byte(input), prototest.How{}).Out)
}

// scripts are inputs whose replies must not depend on how they are driven.
func scripts() map[string]string {
	long := strings.Repeat("v", 40000)
	var keys strings.Builder
	for i := range 300 {
		fmt.Fprintf(&keys, " key%d", i)
	}
	return map[string]string{
		"classic": "set a 1 0 1\r\nx\r\nget a b a\r\ngets a\r\nadd a 0 0 1\r\ny\r\nreplace b 0 0 1\r\ny\r\nappend a 0 0 2\r\nyz\r\n" +
			"prepend a 0 0 1\r\nw\r\nget a\r\nincr a 1\r\nset n 0 0 2\r\n99\r\nincr n 1\r\ndecr n 1\r\nget n\r\ntouch n 0\r\ndelete n\r\ndelete n\r\nquit\r\nget a\r\n",
		"errors": "bogus\r\nGET a\r\nset a 0 0 x\r\nset a 0 0 -1\r\nset a z 0 1\r\nx\r\nset a 0 0 1\r\nxyz\r\nget\r\nget " + strings.Repeat("k", 251) +
			" a\r\nx\r\nincr a z\r\ntouch a z\r\ngat z a\r\ngat 10\r\ncas a 0 0 1 z\r\nx\r\ndelete a 10\r\nverbosity\r\nflush_all z\r\nmn\r\n",
		"meta": "ms a 2 T0 c s k\r\nhi\r\nmg a v t s f k Oxy\r\nmg b v q\r\nmg b v k\r\nmg c N30 t v\r\nmg c t v\r\nmd a I\r\nmg a v\r\nmg a v\r\nma n\r\nma n N0 J5 v\r\n" +
			"ma n MD D2 v t\r\nmd n q\r\nms YWJj 1 b\r\nx\r\nmg abc k v\r\nmg a !\r\nmg a k k\r\nmg a y\r\nms a 2 MZ\r\nhi\r\nms a 2 C1 k\r\nhi\r\nme a\r\nmn\r\n",
		"noreply": "set a 0 0 1 noreply\r\nx\r\nadd a 0 0 1 noreply\r\ny\r\nincr a z noreply\r\nbogus noreply\r\ndelete b noreply\r\nflush_all noreply\r\nget a\r\nversion\r\n",
		"large": "set big 7 0 40000\r\n" + long + "\r\nget x big x\r\nget big big\r\nappend big 0 0 3\r\nend\r\nmg big v s\r\nmg big s\r\nset big 0 0 40000\r\n" + long +
			"xx\r\nget nothing\r\nset huge 0 0 2000000\r\n" + strings.Repeat("h", 2000000) + "\r\nget huge\r\nset big 0 0 1\r\nb\r\nget big\r\n",
		"many":     "set key7 0 0 1\r\n7\r\nset key299 0 0 3\r\nend\r\nget" + keys.String() + "\r\ngets" + keys.String() + " \r\ngat 0" + keys.String() + "\nget key7\n",
		"overlong": "get a\r\n" + strings.Repeat("x", 5000) + "\r\nget a\r\n",
	}
}

func TestAnyDriveGivesTheSameBytes(t *testing.T) {
	for name, script := range scripts() {
		t.Run(name, func(t *testing.T) { prototest.Setup(setup).Same(t, []byte(script), prototest.Ways(60)) })
	}
}

func FuzzStep(f *testing.F) {
	for _, script := range scripts() {
		if len(script) < 20000 {
			f.Add([]byte(script), uint64(1))
		}
	}
	f.Fuzz(func(t *testing.T, input []byte, seed uint64) {
		if once(string(input)) {
			return
		}
		prototest.Setup(setup).Same(t, input, []prototest.How{
			{Cut: 1 + int(seed%50), Room: 1 + int(seed>>8%4000), Seed: seed},
			{Cut: 1 + int(seed>>4%50), Room: 1 + int(seed>>16%4000), Tail: true, Late: 40, Held: int(seed % 7), Seed: seed},
			{Room: 1, Late: 100, Move: true, Seed: seed},
		})
	})
}

// once tells what depends on how input is cut: the time is read once for a Step.
func once(input string) bool { return strings.Contains(input, "debugtime") }

func TestReplies(t *testing.T) {
	f := func(send, want string) {
		t.Helper()
		if got := drive(t, send); got != want {
			t.Errorf("%q:\n got %q\nwant %q", send, got, want)
		}
	}
	const bad = "CLIENT_ERROR bad command line format\r\n"
	f("set a 5 0 1\r\nx\r\nget a\r\n", "STORED\r\nVALUE a 5 1\r\nx\r\nEND\r\n")
	f("get a b\r\n", "END\r\n")
	f("x\r\n", bad)
	f("\r\n", bad)
	f("bogus\r\n", "ERROR\r\n")
	f("GET / HTTP/1.1\r\nmn\r\n", "")
	f("cas foo 0 0 6 \r\nbarva2\r\nmn\r\n", bad+"MN\r\n")
	f("set a 0 0 2\r\nxyz\r\nmn\r\n", "CLIENT_ERROR bad data chunk\r\n"+bad+"MN\r\n")
	f("set n 0 0 3\r\n100\r\ndecr n 1\r\nget n\r\n", "STORED\r\n99\r\nVALUE n 0 3\r\n99 \r\nEND\r\n")
	f("set n 0 0 20\r\n18446744073709551615\r\nincr n 1\r\n", "STORED\r\n0\r\n")
	f("set k 0 -1 1\r\nx\r\nget k\r\n", "STORED\r\nEND\r\n")
	f("set k 0 2592001 1\r\nx\r\nget k\r\n", "STORED\r\nEND\r\n")
	f("set k 0 2592000 1\r\nx\r\nmg k t\r\n", "STORED\r\nHD t2592000\r\n")
	f("set k 0 0 1\r\nx\r\ngat -1 k\r\nget k\r\n", "STORED\r\nVALUE k 0 1\r\nx\r\nEND\r\nEND\r\n")
	f("set k 0 0 1\r\nx\r\nmg k t T50\r\nmg k T60 t\r\n", "STORED\r\nHD t-1\r\nHD t60\r\n")
	f("set a 0 0 1048516\r\n"+strings.Repeat("x", 1048516)+"\r\nset a 0 0 1048517\r\n"+strings.Repeat("x", 1048517)+"\r\nget a\r\n",
		"STORED\r\nSERVER_ERROR object too large for cache\r\nEND\r\n")
	f("delete a b c d e\r\ndelete a 10 noreply\r\ndelete a 0\r\n", "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\nNOT_FOUND\r\n")
	f("ms a 1\r\nx\r\nmd a I\r\nmg a v\r\nmg a v\r\nms a 1\r\ny\r\nmg a v\r\n", "HD\r\nHD\r\nVA 1 X W\r\nx\r\nVA 1 Z X\r\nx\r\nHD\r\nVA 1\r\ny\r\n")
	f("set n +5 +0 1\r\n1\r\nset n 1 0 -0\r\n\r\nset n 1 0 -\r\n\r\nset n 0 0 +1\r\nmn\r\n", "STORED\r\nSTORED\r\nSTORED\r\n"+bad+"MN\r\n")
	f("set n 0 0 1\r\n1\r\nincr n 0000000000000000000001\r\nincr n 00000000000000000000001\r\ngat - n\r\n",
		"STORED\r\n2\r\nCLIENT_ERROR invalid numeric delta argument\r\nVALUE n 0 1\r\n2\r\nEND\r\n")
	f("incr "+strings.Repeat("k", 251)+" 1 noreply\r\nmn\r\n", "MN\r\n")
	f("verbosity 99999999999\r\nflush_all 4294967296\r\n", bad+"CLIENT_ERROR invalid exptime argument\r\n")
	f("shutdown noreply\r\nslabs noreply\r\nslabs automove 1 noreply\r\nmn\r\n", "MN\r\n")
	f("slabs r 5 5\r\nslabs automove f\r\n", "SAME src and dst class are identical\r\nERROR\r\n")
	f("lru_crawler enable\r\nlru_crawler disable\r\nlru_crawler crawl all\r\nlru_crawler metadump all\r\nlru_crawler enable\r\nlru_crawler enable x y\r\n",
		"ERROR failed to start lru crawler thread\r\nOK\r\nCLIENT_ERROR lru crawler disabled\r\nCLIENT_ERROR lru crawler disabled\r\nOK\r\nERROR\r\n")
	f("extstore item_size x\r\nextstore max_frag x\r\nextstore free_memchunks 64 5\r\nextstore bogus 1\r\nextstore low_ttl 5\r\n",
		"ERROR\r\nERROR\r\nERROR\r\nERROR\r\nOK\r\n")
	f("stats e\r\nstats r\r\nstats de o\r\nstats detail d\r\nstats cachedump 0 1\r\n", "END\r\nRESET\r\nOK\r\nEND\r\nEND\r\n")
	f("set k 0 0 1\r\nx\r\nms k 1048516 MA s\r\n"+strings.Repeat("x", 1048516)+"\r\nms k 1 ME s\r\ny\r\nappend k 0 0 1048516\r\n"+strings.Repeat("x", 1048516)+"\r\nget k\r\n",
		"STORED\r\nNS s1048516\r\nNS s1\r\nNOT_STORED\r\nVALUE k 0 1\r\nx\r\nEND\r\n")
	f("   \r\n  \r\nnoreply\r\nrefresh_certs noreply\r\nmn\r\n", "ERROR\r\nERROR\r\nMN\r\n")
	f("ms a 1 C5\r\nx\r\nms a 1 C5 MR\r\nx\r\nms a 1 C5 MA\r\nx\r\nms a 1 q\r\nxx\r\n", "NF\r\nNF\r\nNS\r\nCLIENT_ERROR bad data chunk\r\n"+bad)
	f("ms a 1 y !\r\nx\r\nma a !\r\nmg a [\r\n", bad+bad+bad+"CLIENT_ERROR invalid flag\r\n")
	long := " O" + strings.Repeat("o", 32)
	f("mg a"+long+" k k\r\nma a"+long+"\r\nms a 1 Mx"+long+"\r\nx\r\n",
		"CLIENT_ERROR duplicate flag\r\nCLIENT_ERROR opaque token too long\r\nCLIENT_ERROR invalid mode for ms M token\r\n")
	f("mg a t N50 t T60 t v\r\nma b t N50 t T0 t\r\nma c N0 T-1\r\nmg c\r\n", "CLIENT_ERROR duplicate flag\r\nCLIENT_ERROR invalid or duplicate flag\r\nHD\r\nEN\r\n")
	f("mg a t N50 T60 v\r\nmg b N50 T60 t\r\nmg c T60 N50 t\r\nma d t N50\r\nma e N50 T60 t\r\nmg b t\r\nmg c t\r\nmg e t\r\n",
		"VA 0 t-1 W\r\n\r\nHD t60 W\r\nHD t50 W\r\nHD t-1\r\nHD t60\r\nHD t60 Z\r\nHD t50 Z\r\nHD t60\r\n")
	f("set n -0 0 1\r\nx\r\nset n 0 - 1\r\nx\r\n", "STORED\r\n"+bad)
	f("shutdown\r\nwatch\r\n", "SERVER_ERROR: shutdown not enabled\r\nCLIENT_ERROR watch commands not allowed\r\n")
}

func TestCounters(t *testing.T) {
	f := func(send string, want ...string) {
		t.Helper()
		got := drive(t, "set a 0 0 1\r\n1\r\n"+send+"stats\r\n")
		for _, line := range want {
			if !strings.Contains(got, "STAT "+line+"\r\n") {
				_, figures, _ := strings.Cut(got, "STAT cmd_get")
				t.Errorf("%q: no %q in\n%s", send, line, figures)
			}
		}
	}
	f("gat 0 a b\r\n", "cmd_get 0", "cmd_touch 2", "touch_hits 1", "touch_misses 1", "get_hits 0", "get_misses 0")
	f("mg a T0\r\nmg b T0\r\n", "cmd_get 1", "cmd_touch 1", "touch_hits 1", "get_hits 0", "get_misses 1")
	f("ma a MD\r\nma b MD\r\nma c N0\r\n", "incr_hits 0", "incr_misses 0", "decr_hits 1", "decr_misses 1")
	f("md a I\r\nmd b I\r\n", "delete_hits 0", "delete_misses 1")
}

// lateFlush is a grid whose flush is answered late.
type lateFlush struct {
	grid.Caches
	asked []uint32
}

func (l *lateFlush) Admin(string, grid.Principal) (grid.Admin, error) { return flushAdmin{l: l}, nil }

type flushAdmin struct {
	grid.Admin
	l *lateFlush
}

func (a flushAdmin) Flush(_ int64, t grid.Ticket) grid.Code {
	a.l.asked = append(a.l.asked, t.Seq)
	return grid.Pending
}

func TestLateFlush(t *testing.T) {
	l := &lateFlush{Caches: gridtest.NewModel(gridtest.Options{})}
	s := memcached.New(memcached.Options{}).Open(&protocols.Env{Conn: 1, Caches: l, Limits: protocols.DefaultLimits})
	defer s.Close()
	var out []byte
	in := []byte("get a\r\nflush_all\r\nmn\r\nflush_all noreply\r\nmn\r\n")
	for range 6 {
		turn := protocols.Turn{In: in, Room: 64 << 10, Now: grid.Time{Wall: 1.7e12}, Batch: grid.NewBatch(64 << 10)}
		for _, seq := range l.asked {
			turn.Late = append(turn.Late, protocols.Answer{Seq: seq, Res: grid.Result{Code: grid.OK}})
		}
		l.asked = nil
		p := s.Step(&turn)
		if p.Held != len(l.asked) {
			t.Errorf("Held: got %d, want %d", p.Held, len(l.asked))
		}
		out, in = append(out, turn.Out...), in[p.Used:]
	}
	if got, want := string(out), "END\r\nOK\r\nMN\r\nMN\r\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// stub is a cache that answers every Get with the same value and takes every Put.
type stub struct{ grid.Caches }

func (s stub) Open(string, grid.Principal) (grid.Cache, error)         { return s, nil }
func (stub) Reserve(*grid.Op, int, grid.Ticket) (grid.Slot, grid.Code) { return nil, grid.Full }
func (stub) Do(b *grid.Batch) int {
	for i := range b.Ops {
		b.Res[i] = grid.Result{Code: grid.OK, Num: 5, Value: stubValue}
	}
	return len(b.Ops)
}

var stubValue = []byte("value")

func TestStepAllocatesNothing(t *testing.T) {
	for _, line := range []string{
		"get key\r\n", "gets a b c\r\n", "set key 0 0 5\r\nvalue\r\n", "delete key\r\n", "incr key 1\r\n", "touch key 10\r\n",
		"mg key v t f k Oabc\r\n", "ms key 5 T0 c\r\nvalue\r\n", "md key q\r\n", "ma key v\r\n",
	} {
		s := memcached.New(memcached.Options{}).Open(&protocols.Env{Caches: stub{}, Limits: protocols.DefaultLimits})
		in, out, batch := []byte(strings.Repeat(line, 16)), make([]byte, 0, 64<<10), grid.NewBatch(64<<10)
		turn := protocols.Turn{}
		step := func() {
			turn = protocols.Turn{In: in, Out: out, Room: 64 << 10, CanTail: true, Now: grid.Time{Wall: 1.7e12}, Batch: batch}
			if p := s.Step(&turn); p.Used != len(in) {
				t.Fatalf("%q: used %d of %d bytes", line, p.Used, len(in))
			}
		}
		step()
		if n := testing.AllocsPerRun(100, step); n != 0 {
			t.Errorf("%q: %v allocations in a Step of 16 requests, want 0", line, n)
		}
	}
}

// TestAdministration has what changes the server refused where the listener is not open to that; data is for everybody.
func TestAdministration(t *testing.T) {
	for _, open := range []bool{false, true} {
		caches := gridtest.NewModel(gridtest.Options{Limit: 100 << 20})
		setup := prototest.Setup(func() prototest.Parts {
			return prototest.Parts{Protocol: memcached.New(memcached.Options{}), Caches: caches, Env: protocols.Env{Admin: open}}
		})
		want, limit := "CLIENT_ERROR cache_memlimit not allowed\r\n", uint64(100<<20)
		if open {
			want, limit = "OK\r\n", 64<<20
		}
		got := string(setup.Drive(t, []byte("cache_memlimit 64\r\nset k 0 0 1\r\nv\r\nflush_all\r\nget k\r\n"), prototest.How{}).Out)
		if want += "STORED\r\nOK\r\nEND\r\n"; got != want {
			t.Errorf("open %v: got %q, want %q", open, got, want)
		}
		var st grid.Stats
		if caches.Stats(&st, prototest.Now); st.Limit != limit {
			t.Errorf("open %v: the limit is %d, want %d", open, st.Limit, limit)
		}
	}
}
