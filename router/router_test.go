package router

import (
	"bytes"
	"net"
	"net/netip"
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
	both := Rules{Allow: []netip.Prefix{prefix("10.0.0.0/8")}, Deny: []netip.Prefix{prefix("10.1.0.0/16")}}
	f(both, "10.2.0.1", true)
	f(both, "10.1.0.1", false)
	f(both, "192.0.2.1", false)
	f(both, "::ffff:10.1.0.1", false)
	f(both, "::ffff:10.2.0.1", true)
	f(Rules{Deny: []netip.Prefix{prefix("fe80::/10")}}, "fe80::1%eth0", false)
	if !both.Allows(netip.Addr{}) {
		t.Error("rules concern a Unix socket")
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
