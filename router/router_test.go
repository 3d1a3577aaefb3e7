package router

import (
	"bytes"
	"crypto/tls"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/protocols"
)

func TestRules(t *testing.T) {
	prefix := netip.MustParsePrefix
	f := func(r Rules, addr string, want bool) {
		t.Helper()
		if got := r.Allows(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%+v, %s: got %v, want %v", r, addr, got, want)
		}
	}
	f(Rules{}, "192.0.2.1", true)
	both := Ranges([]netip.Prefix{prefix("10.0.0.0/8")}, []netip.Prefix{prefix("10.1.0.0/16")})
	f(both, "10.2.0.1", true)
	f(both, "10.1.0.1", false)
	f(both, "192.0.2.1", false)
	f(both, "::ffff:10.1.0.1", false)
	f(both, "::ffff:10.2.0.1", true)
	f(both, "2001:db8::1", false)
	f(Ranges(nil, []netip.Prefix{prefix("fe80::/10")}), "fe80::1%eth0", false)
	inTurn := Rules{{From: prefix("10.1.2.0/24"), Accept: true}, {From: prefix("10.1.0.0/16")}, {From: prefix("10.1.3.0/24"), Accept: true}}
	f(inTurn, "10.1.2.3", true)
	f(inTurn, "10.1.3.3", false)
	f(inTurn, "10.2.0.1", true)
	if !both.Allows(netip.Addr{}) {
		t.Error("rules concern a Unix socket")
	}
}

// TestExpel has a listener let in fewer than before: those that are there, and those that are on their way in.
func TestExpel(t *testing.T) {
	h := NewHub(Options{Clock: still{}})
	l, other := &Listener{Protocols: []protocols.Protocol{picky{}}}, &Listener{Protocols: []protocols.Protocol{picky{}}}
	admit := func(l *Listener, ip ...byte) *told {
		c, _, ok := h.Admit(l, &net.TCPAddr{IP: ip, Port: 1}, from)
		if !ok {
			return nil
		}
		d := &told{}
		c.Drive(d)
		return d
	}
	in, out, elsewhere := admit(l, 10, 0, 0, 1), admit(l, 192, 0, 2, 1), admit(other, 192, 0, 2, 1)
	if l.Conns() != 2 || other.Conns() != 1 {
		t.Fatalf("connections: got %d and %d, want 2 and 1", l.Conns(), other.Conns())
	}
	rules := Ranges([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, nil)
	l.SetPolicy(Policy{Rules: rules})
	h.Expel(l)
	h.Expel(l)
	if in.killed != 0 || out.killed != 1 || elsewhere.killed != 0 || h.Expelled.Load() != 1 {
		t.Errorf("closed %d, %d, %d times, counted %d; want 0, 1, 0, 1", in.killed, out.killed, elsewhere.killed, h.Expelled.Load())
	}
	l.SetOpen(false)
	h.Expel(l)
	if in.killed != 1 || elsewhere.killed != 0 || admit(l, 10, 0, 0, 1) != nil || h.Refused.Load() != 1 {
		t.Errorf("a listener that lets nobody in: closed %d and %d times, refused %d", in.killed, elsewhere.killed, h.Refused.Load())
	}
	l.SetOpen(true)
	if again := admit(l, 10, 0, 0, 1); again == nil || again.killed != 0 {
		t.Error("a listener that lets in again does not")
	}
}

// TestRows lists connections of which more or less is known.
func TestRows(t *testing.T) {
	clock := &hand{ms: 5}
	h := NewHub(Options{Clock: clock, MaxConns: 1000})
	l := &Listener{Protocols: []protocols.Protocol{picky{}}}
	for i := range 200 {
		clock.ms++
		c, _, _ := h.Admit(l, &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: i}, from)
		switch i {
		case 7:
			c.secured(&tls.ConnectionState{Version: tls.VersionTLS13, CipherSuite: tls.TLS_AES_128_GCM_SHA256, NegotiatedProtocol: "h2"})
			c.Describe("p/1", strings.Repeat("c", 127)+"\u00fcc")
		case 8:
			h.Leave(c)
		}
	}
	seen := map[uint64]Row{}
	for part, more := 0, true; more; part++ {
		var ids []uint64
		for ids, more = h.IDs(part, nil); len(ids) > 0; ids = ids[1:] {
			if r, ok := h.Row(ids[0]); ok {
				seen[r.ID] = r
			}
		}
	}
	if _, left := seen[9]; len(seen) != 199 || left {
		t.Errorf("got %d rows, want 199", len(seen))
	}
	about := About{Protocol: "p/1", Client: strings.Repeat("c", 127), TLS: tls.VersionTLS13, Suite: tls.TLS_AES_128_GCM_SHA256, ALPN: "h2"}
	if got, want := seen[8], (Row{8, 13, netip.MustParseAddrPort("10.0.0.1:7"), from, about}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := seen[1].About; got != (About{}) {
		t.Errorf("of one that said nothing: got %+v", got)
	}
	if _, there := h.Row(9); there {
		t.Error("one that left is there")
	}
}

// TestRemoteWhileListed is for the race detector.
func TestRemoteWhileListed(t *testing.T) {
	h := NewHub(Options{Clock: still{}})
	l := &Listener{Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	from := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}
	c, _, ok := h.Admit(l, from, from)
	if !ok {
		t.Fatal("not admitted")
	}
	listed := make(chan struct{})
	go func() {
		defer close(listed)
		h.Each(func(c *Conn) { _ = c.Remote() })
	}()
	p := c.Session.Step(&protocols.Turn{In: []byte("PROXY TCP4 192.0.2.1 127.0.0.1 5 6\r\n")})
	<-listed
	if got, want := c.Remote(), netip.MustParseAddrPort("192.0.2.1:5"); got != want || p.Next != protocols.Switch {
		t.Errorf("got %v and Next %d, want %v and Switch", got, p.Next, want)
	}
}

type still struct{}

func (still) Now() grid.Time { return grid.Time{} }

const v2 = "\r\n\r\n\x00\r\nQUIT\n"

func FuzzParseProxy(f *testing.F) {
	for _, s := range []string{
		"", "P", "get k\r\n", "PROXY TCP4 198.51.100.7 127.0.0.1 5000 11211\r\nget k\r\n", "PROXY TCP6 ::1 ::1 1 2\r\n",
		"PROXY UNKNOWN\r\n", "PROXY UNKNOWN " + string(bytes.Repeat([]byte{'x'}, 120)) + "\r\n", "PROXY TCP4 ::1 ::1 1 2\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.4 65536 1\r\n",
		v2 + "\x21\x11\x00\x0c\xc6\x33\x64\x07\x7f\x00\x00\x01\x13\x88\x2b\xcbget", v2 + "\x20\x00\x00\x00", v2 + "\x21\x11\x00\x0b12345678901",
		v2 + "\x21\x21\x00\x24" + string(make([]byte, 36)), v2 + "\x21\x11\x10\x00" + string(make([]byte, 4096)), v2 + "\x21\x11\x10\x01",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		addr, used, need := parseProxy(in)
		if used < 0 || used > len(in) || used > 0 && need > 0 {
			t.Fatalf("used %d, need %d of %d", used, need, len(in))
		}
		if need > 0 && (need <= len(in) || need > proxyV2Max) {
			t.Fatalf("need %d with %d there", need, len(in))
		}
		if used == 0 && addr.IsValid() {
			t.Fatalf("no header, but the address %v", addr)
		}
		// Torn anywhere it asks for more, never for more than the header has, and decides the same in the end.
		for n := range min(used, len(in)) {
			a, u, more := parseProxy(in[:n])
			if a.IsValid() || u != 0 || more <= n || more > used {
				t.Fatalf("first %d of %d bytes: %v, used %d, need %d", n, used, a, u, more)
			}
		}
		if used > 0 {
			if a, u, _ := parseProxy(in[:used]); a != addr || u != used {
				t.Fatalf("what follows the header changes it: %v %d, %v %d", a, u, addr, used)
			}
		}
	})
}

// hand is a clock that is moved by hand.
type hand struct{ ms int64 }

func (h *hand) Now() grid.Time { return grid.Time{Wall: h.ms} }

// told is a driver that remembers what it was told.
type told struct{ notified, killed int }

func (d *told) Notify(*Conn)                             { d.notified++ }
func (d *told) Deliver(*Conn, uint32, *grid.Result) bool { return true }
func (d *told) Kill(*Conn)                               { d.killed++ }

// picky recognises `yes` and nothing else.
type picky struct{ protocols.Protocol }

func (picky) Sniff(prefix []byte) protocols.Match {
	switch {
	case bytes.HasPrefix(prefix, []byte("yes")):
		return protocols.Yes
	case bytes.HasPrefix([]byte("yes"), prefix):
		return protocols.Maybe
	}
	return protocols.No
}
func (picky) Open(*protocols.Env) protocols.Session { return Closed{} }

var from = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}

func TestAmbiguousFirstBytes(t *testing.T) {
	clock := &hand{}
	h := NewHub(Options{Clock: clock})
	l := &Listener{Protocols: []protocols.Protocol{picky{}, picky{}}}
	admit := func() (*Conn, *told) {
		c, _, ok := h.Admit(l, from, from)
		if !ok {
			t.Fatal("not admitted")
		}
		d := &told{}
		c.Drive(d)
		return c, d
	}
	step := func(c *Conn, in string) protocols.Progress {
		return c.Session.Step(&protocols.Turn{In: []byte(in), Now: clock.Now()})
	}
	stuck, s := admit()
	late, l2 := admit()
	silent, s3 := admit()
	step(stuck, "y")
	step(late, "y")
	step(silent, "")
	clock.ms += sniffPeriod.Milliseconds() / 2
	step(stuck, "ye") // a further byte does not begin the time again
	clock.ms += sniffPeriod.Milliseconds() / 2
	h.Sweep()
	if s.killed+l2.killed != 0 {
		t.Fatal("closed before the time was over")
	}
	if p := step(late, "yes"); p.Next != protocols.Switch {
		t.Fatalf("recognised: got Next %d, want Switch", p.Next)
	}
	clock.ms++
	h.Sweep()
	h.Sweep()
	if s.killed != 1 || l2.killed != 0 || s3.killed != 0 || h.Ambiguous.Load() != 1 {
		t.Errorf("closed: ambiguous %d times, recognised %d, silent %d, counted %d; want 1, 0, 0, 1", s.killed, l2.killed, s3.killed, h.Ambiguous.Load())
	}
	if !stuck.Look() || late.Look() {
		t.Error("the wrong connection is to be closed")
	}
}

// TestSlowRequests has a minute pass while requests come: for those that bring 16 KiB of it, whether or not sessions look at
// them, another one begins.
func TestSlowRequests(t *testing.T) {
	clock := &hand{}
	h := NewHub(Options{Clock: clock})
	l := &Listener{Protocols: []protocols.Protocol{picky{}}}
	for _, test := range []struct {
		name string
		do   func(c *Conn)
		want bool // overdue
	}{
		{"nothing further", func(*Conn) {}, true},
		{"another Step", func(c *Conn) { c.Amid(true, 0, 10, clock.ms) }, true},
		{"a drip", func(c *Conn) { c.Amid(true, protocols.FinishBytes-11, 0, clock.ms); c.Came(10, clock.ms) }, true},
		{"its end", func(c *Conn) { c.Amid(false, 10, 0, clock.ms) }, false},
		{"its end and another", func(c *Conn) { c.Amid(false, 10, 0, clock.ms); c.Amid(true, 0, 10, clock.ms) }, false},
		{"enough", func(c *Conn) { c.Amid(true, protocols.FinishBytes+10, 0, clock.ms) }, false},
		{"enough, unread", func(c *Conn) { c.Came(protocols.FinishBytes+10, clock.ms) }, false},
		{"enough, in part unread", func(c *Conn) { c.Amid(true, 30, 0, clock.ms); c.Came(protocols.FinishBytes-20, clock.ms) }, false},
	} {
		c, _, _ := h.Admit(l, from, from)
		d := &told{}
		c.Drive(d)
		c.Heard()
		c.Amid(true, 10, 10, clock.ms)
		clock.ms += protocols.FinishTimeout.Milliseconds()
		h.Sweep()
		if d.notified != 0 || c.Overdue(clock.ms) {
			t.Errorf("%s: overdue too early", test.name)
		}
		test.do(c)
		clock.ms++
		h.Sweep()
		counted := h.SlowRequests.Load()
		if got := c.Overdue(clock.ms); got != test.want || d.notified == 1 != got || h.SlowRequests.Load() == counted+1 != got || d.killed != 0 {
			t.Errorf("%s: got %v, notified %d times, killed %d times; want %v", test.name, got, d.notified, d.killed, test.want)
		}
		c.Look()
		c.Amid(true, 0, 10, clock.ms) // who goes on all the same has another minute
		h.Sweep()
		if c.Overdue(clock.ms) {
			t.Errorf("%s: overdue twice", test.name)
		}
		h.Leave(c)
	}
}

func TestWhoGivesWay(t *testing.T) {
	const n = 1000
	h := NewHub(Options{Clock: &hand{}, MaxConns: n})
	l := &Listener{Protocols: []protocols.Protocol{picky{}}}
	var conns []*Conn
	var drivers []*told
	admit := func() bool {
		c, say, ok := h.Admit(l, from, from)
		if !ok {
			if say != TooMany {
				t.Errorf("refused with %q, want %q", say, TooMany)
			}
			return false
		}
		conns, drivers = append(conns, c), append(drivers, &told{})
		c.Drive(drivers[len(drivers)-1])
		return true
	}
	for range n {
		admit()
	}
	for i := 0; i < n; i += 2 {
		conns[i].Heard()
	}
	h.Leave(conns[1]) // makes room for one, and is not there to give way
	for range n / 2 {
		if !admit() {
			t.Fatal("a newcomer is refused while others are silent")
		}
		conns[len(conns)-1].Heard()
	}
	for i, d := range drivers {
		if want := i < n && i%2 == 1 && i != 1; d.killed == 1 != want {
			t.Errorf("connection %d: killed %d times, want it: %v", i, d.killed, want)
		}
	}
	if admit() {
		t.Error("one too many is admitted though all have spoken")
	}
	if s, r := h.SilentKicks.Load(), h.Rejected.Load(); s != n/2-1 || r != 1 {
		t.Errorf("%d gave way and %d were rejected, want %d and 1", s, r, n/2-1)
	}
	for i, c := range conns {
		if i != 1 {
			h.Leave(c)
		}
	}
	if h.Conns.Load() != 0 || h.open != 0 || h.listed != 0 || h.silent != (ring{}) || h.shaking != (ring{}) {
		t.Errorf("left: %d connections, %d open, %d listed, list %v", h.Conns.Load(), h.open, h.listed, h.silent)
	}
}
