package memcached_test

import (
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/grid/gridtest"
	"github.com/latticed/latticed/protocols"
	"github.com/latticed/latticed/protocols/memcached"
	"github.com/latticed/latticed/protocols/prototest"
)

// figures are grid statistics made up by a test, in the place of those of inner.
type figures struct {
	grid.Caches
	fill func(*grid.Stats)
}

func (f *figures) Admin(name string, who grid.Principal) (grid.Admin, error) {
	a, err := f.Caches.Admin(name, who)
	return figuresAdmin{a, f}, err
}

type figuresAdmin struct {
	grid.Admin
	f *figures
}

func (a figuresAdmin) Stats(s *grid.Stats, now grid.Time) {
	a.Admin.Stats(s, now)
	a.f.fill(s)
}

// statNames are the sub-commands whose figures are accounted for.
var statNames = []string{"", "items", "slabs", "settings", "conns", "sizes"}

// askStats returns what stats and its sub-commands tell, "SUB NAME" to value; the class of a figure is dropped from its name.
func askStats(t *testing.T, o memcached.Options, fill func(*grid.Stats), input string) map[string]string {
	t.Helper()
	setup := prototest.Setup(func() prototest.Parts {
		return prototest.Parts{
			Protocol: memcached.New(o),
			Caches:   &figures{gridtest.NewModel(gridtest.Options{Limit: 100 << 20}), fill},
			Env:      protocols.Env{Admin: true},
		}
	})
	all := map[string]string{}
	c := setup.Dial(t, prototest.How{})
	c.Send([]byte(input))
	for _, sub := range statNames {
		for line := range strings.SplitSeq(string(c.Send([]byte("stats "+sub+"\r\n"))), "\r\n") {
			if f := strings.Fields(line); len(f) >= 3 && f[0] == "STAT" {
				name := regexp.MustCompile(`^(items:)?\d+:`).ReplaceAllString(f[1], "$1")
				if old, ok := all[sub+" "+name]; ok {
					f[2] = old + "," + f[2]
				}
				all[sub+" "+name] = f[2]
			}
		}
	}
	return all
}

// TestEveryFigureMoves accounts for every line of stats and its sub-commands: a command moves it, or what the daemon or
// the grid tells, or docs/compatibility.md lists it as constant, and nothing that moves.
func TestEveryFigureMoves(t *testing.T) {
	none := func(*grid.Stats) {}
	moved := map[string]bool{}
	// In front of every command, so that figures of its class are there to be compared with.
	const before = "set a 0 100 1\r\n1\r\nset x 0 0 1\r\nx\r\n"
	base := askStats(t, memcached.Options{}, none, before)
	f := func(input string, want ...string) {
		t.Helper()
		got := askStats(t, memcached.Options{}, none, before+input)
		for _, w := range want {
			name, by, ok := strings.Cut(w, "+")
			if !ok {
				by = "1"
			}
			if value, ok := strings.CutPrefix(by, "="); ok {
				if got[name] != value || base[name] == value {
					t.Errorf("%.100q: %s is %s after %s, want %s", input, name, got[name], base[name], value)
				}
			} else {
				a, _ := strconv.Atoi(base[name])
				b, err := strconv.Atoi(got[name])
				if n, _ := strconv.Atoi(by); err != nil || b-a != n {
					t.Errorf("%.100q: %s is %q after %q, want %d more", input, name, got[name], base[name], n)
				}
			}
			moved[name] = true
		}
	}
	f("get a\r\n", " cmd_get", " get_hits", "slabs get_hits")
	f("get a b c\r\n", " cmd_get+3", " get_hits", " get_misses+2")
	f("mg a\r\nmg b\r\n", " cmd_get+2", " get_hits", " get_misses", "slabs get_hits")
	f("gat 0 a b\r\n", " cmd_touch+2", " touch_hits", " touch_misses", " get_hits+0", " get_misses+0", "slabs touch_hits")
	f("mg a T0\r\nmg b T0\r\n", " cmd_get", " cmd_touch", " touch_hits", " get_hits+0", " get_misses")
	f("touch a 5\r\ntouch b 5\r\n", " cmd_touch+2", " touch_hits", " touch_misses", "slabs touch_hits")
	f("set a 0 0 1\r\ny\r\n", " cmd_set", " total_items", "slabs cmd_set")
	f("add a 0 0 1\r\ny\r\nreplace b 0 0 1\r\nx\r\nms b 1\r\nx\r\n", " cmd_set+3", " curr_items", " bytes+61", "slabs cmd_set+3")
	f("delete a\r\ndelete b\r\n", " delete_hits", " delete_misses", "slabs delete_hits")
	f("md a\r\nmd x I\r\nmd b I\r\n", " delete_hits", " delete_misses")
	f("incr a 1\r\nincr b 1\r\nincr x 1\r\n", " incr_hits", " incr_misses", "slabs incr_hits")
	f("decr a 1\r\ndecr b 1\r\n", " decr_hits", " decr_misses", "slabs decr_hits")
	f("ma a MD\r\nma b MD\r\nma c N0\r\n", " incr_hits+0", " incr_misses+0", " decr_hits", " decr_misses")
	f("ms a 1 E77\r\n1\r\ncas a 0 0 1 77\r\n2\r\ncas a 0 0 1 78\r\n3\r\ncas b 0 0 1 1\r\n4\r\n",
		" cas_hits", " cas_badval", " cas_misses", "slabs cas_hits", "slabs cas_badval")
	f("me a\r\n", " cmd_meta")
	f("flush_all\r\n", " cmd_flush")
	f("flush_all\r\nget a\r\n", " get_flushed")
	f("set a 0 -1 1\r\nx\r\nget a\r\n", " get_expired")
	f("set a 0 0 1048517\r\n"+strings.Repeat("x", 1048519), " store_too_large")
	big := strings.Repeat("x", 1000000)
	f("cache_memlimit 8\r\n", " limit_maxbytes+=8388608", "settings maxbytes+=8388608")
	var fillUp strings.Builder
	for i := range 110 {
		fillUp.WriteString("set f" + strconv.Itoa(i) + " 0 0 1000000 noreply\r\n" + big + "\r\n")
	}
	full := askStats(t, memcached.Options{}, none, fillUp.String())
	if n, _ := strconv.Atoi(full[" store_no_memory"]); n == 0 {
		t.Errorf("store_no_memory is %s although the grid was full", full[" store_no_memory"])
	}
	moved[" store_no_memory"] = true
	f("verbosity 2\r\n", "settings verbosity+2")
	f("stats detail on\r\n", "settings detail_enabled+=yes")
	f("slabs automove 2\r\nslabs automove ratio 0.5\r\nslabs automove freeratio 0.5\r\nslabs automove window 20\r\n", "settings slab_automove+2",
		"settings slab_automove_ratio+=0.50", "settings slab_automove_freeratio+=0.500", "settings slab_automove_window+10")
	f("lru_crawler disable\r\nlru_crawler sleep 5\r\nlru_crawler tocrawl 5\r\n", "settings lru_crawler+=no", "settings lru_crawler_sleep+=5",
		"settings lru_crawler_tocrawl+5")
	f("lru tune 1 2 0.5 0.6\r\nlru mode flat\r\nlru temp_ttl 5\r\n", "settings hot_lru_pct+=1", "settings warm_lru_pct+=2",
		"settings hot_max_factor+=0.50", "settings warm_max_factor+=0.60", "settings lru_segmented+=no", "settings temp_lru+=yes", "settings temporary_ttl+=5")

	// What the daemon and the grid tell.
	host := memcached.Host{
		PID: 5, Threads: 5, Started: 5000, UserMicros: 5, SystemMicros: 5, MaxConns: 5, Conns: 5, TotalConns: 5, RejectedConns: 5,
		Yields: 5, IdleKicks: 5, BytesRead: 5, BytesWritten: 5, BufferUsed: 5,
		List: []memcached.HostConn{{ID: 5, Addr: "tcp:1.2.3.4:5", Local: "tcp:1.2.3.4:6", State: "conn_read", Idle: 5}},
	}
	fill := func(s *grid.Stats) {
		s.GetExpired += 5
		c := &s.Classes[grid.Class(60)]
		*c = grid.ClassStats{
			Entries: 50, Bytes: 5 << 20, OldestUse: 1.6e12, Evicted: 5, EvictedTTL: 5, EvictedUnfetched: 5, EvictedIdle: 5000, NoMemory: 5,
			Reclaimed: 5, ExpiredUnfetched: 5,
		}
		s.Classes[20] = grid.ClassStats{Entries: 1, Bytes: 1}
		s.Bytes += 1000
	}
	told := askStats(t, memcached.Options{Host: func() memcached.Host { return host }, Version: "1.6.99", MaxItem: 5 << 20}, fill, before)
	for name, value := range told {
		if value, _, _ = strings.Cut(value, ","); value != base[name] { // of the first class
			moved[name] = true
		}
	}
	moved[" time"] = true         // the clock
	moved[" read_buf_oom"] = true // TestLongLinesShareMemory

	doc, err := os.ReadFile("../../docs/compatibility.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(doc), "### Constant in `stats`")
	section, _, _ = strings.Cut(section, "\n### ")
	_, section, _ = strings.Cut(section, "\n\n- ")
	section, _, _ = strings.Cut(section, "\n\n")
	var constant []string
	for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(section, -1) {
		constant = append(constant, m[1])
	}
	used := map[string]bool{}
	for name := range told {
		sub, figure, _ := strings.Cut(name, " ")
		if sub != "" && !strings.HasPrefix(figure, sub+":") {
			figure = sub + ":" + figure
		}
		listed := slices.ContainsFunc(constant, func(pattern string) bool {
			ok, _ := path.Match(pattern, figure)
			if ok {
				used[pattern] = true
			}
			return ok
		})
		if listed == moved[name] {
			t.Errorf("%s: moves %v, listed as constant in docs/compatibility.md %v, want one of both", figure, moved[name], listed)
		}
	}
	for _, pattern := range constant {
		if !used[pattern] {
			t.Errorf("docs/compatibility.md lists %s as constant, which there is not", pattern)
		}
	}
}

// Lines of gets that wait for their end share a bounded amount of memory.
func TestLongLinesShareMemory(t *testing.T) {
	parts := prototest.Parts{Protocol: memcached.New(memcached.Options{LongLines: 128 << 10}), Caches: gridtest.NewModel(gridtest.Options{})}
	setup := prototest.Setup(func() prototest.Parts { return parts })
	keys := strings.Repeat(" key", 1000)
	a, b, c := setup.Dial(t, prototest.How{}), setup.Dial(t, prototest.How{}), setup.Dial(t, prototest.How{})
	const refused = "SERVER_ERROR out of memory reading request\r\n"
	for _, conn := range []*prototest.Conn{a, b} {
		if got := conn.Send([]byte("get" + keys)); len(got) > 0 || conn.Closed() {
			t.Fatalf("a line within the limit: got %q", got)
		}
	}
	if got := c.Send([]byte("get" + keys)); string(got) != refused || !c.Closed() {
		t.Errorf("a line beyond it: got %q, closed %v, want %q and a close", got, c.Closed(), refused)
	}
	if got := a.Send([]byte("\r\n")); string(got) != "END\r\n" {
		t.Errorf("the end of a line: got %q", got)
	}
	d := setup.Dial(t, prototest.How{})
	if got := d.Send([]byte("get" + keys)); len(got) > 0 {
		t.Errorf("a line when there is room again: got %q", got)
	}
	b.Close()
	d.Close()
	e := setup.Dial(t, prototest.How{})
	if got := e.Send([]byte("get" + strings.Repeat(keys, 25) + "\r\n")); string(got) != "END\r\n" {
		t.Errorf("a line that comes whole: got %q", got)
	}
	if got := string(e.Send([]byte("stats\r\n"))); !strings.Contains(got, "STAT read_buf_oom 1\r\n") {
		t.Error("read_buf_oom is not 1")
	}
	for _, part := range []string{"get" + strings.Repeat(keys, 5), keys, keys} {
		if got := e.Send([]byte(part)); len(got) > 0 {
			t.Errorf("a line that grows: got %q", got)
		}
	}
}

// A long line that does not end leaves the loop, which would copy it together for every packet.
func TestLongLinesAreNotForLoops(t *testing.T) {
	for _, test := range []struct {
		size, loop int
		want       protocols.Next
	}{
		{128 << 10, 0, protocols.More}, {128<<10 + 1, 0, protocols.HandOff}, {1 << 20, 0, protocols.HandOff},
		{1 << 20, protocols.MaxLoops - 1, protocols.More}, // a goroutine has it already
	} {
		env := &protocols.Env{Caches: gridtest.NewModel(gridtest.Options{}), Limits: protocols.DefaultLimits}
		session := memcached.New(memcached.Options{LongLines: 2 << 20}).Open(env)
		turn := protocols.Turn{
			In: []byte("get" + strings.Repeat(" k", test.size)[:test.size-3]), Now: grid.Time{Wall: 1}, Loop: test.loop,
			Batch: grid.NewBatch(1 << 16), Room: 1 << 16,
		}
		p := session.Step(&turn)
		if p.Next != test.want || p.Used != 0 || len(turn.Out) > 0 {
			t.Errorf("%d bytes in loop %d: Next %d, %d used, %q, want Next %d", test.size, test.loop, p.Next, p.Used, turn.Out, test.want)
		}
		turn.In, turn.Loop, turn.Batch = append(turn.In, '\n'), protocols.MaxLoops-1, grid.NewBatch(1<<16)
		for p.Next = protocols.Flush; p.Next == protocols.Flush; turn.In = turn.In[p.Used:] {
			p = session.Step(&turn)
		}
		if got := string(turn.Out); got != "END\r\n" {
			t.Errorf("%d bytes in loop %d and a line feed: got %q", test.size, test.loop, got)
		}
		session.Close()
	}
}

// A removed entry is counted in the class it was in.
func TestRemovedEntriesAreCountedInTheirClass(t *testing.T) {
	value := strings.Repeat("v", 5000)
	got := drive(t, "set a 7 0 5000\r\n"+value+"\r\nset b 0 0 1\r\nx\r\ndelete a\r\nmd b\r\nstats slabs\r\n")
	for _, class := range []int{grid.Class(grid.Charge(1, 5000, 7)), grid.Class(grid.Charge(1, 1, 0))} {
		if want := "STAT " + strconv.Itoa(class) + ":delete_hits 1\r\n"; !strings.Contains(got, want) {
			t.Errorf("no %q in %q", want, got)
		}
	}
}
