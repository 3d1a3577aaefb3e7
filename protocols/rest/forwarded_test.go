package rest

import (
	"net/netip"
	"testing"

	"github.com/latticed/latticed/protocols"
)

// TestForwarded has a client tell whom it asks for: it is heeded from proxies that are trusted alone, and of what they pass on
// only what they vouch for.
func TestForwarded(t *testing.T) {
	trusted := netip.MustParsePrefix("10.0.0.0/8")
	f := func(from string, fields []string, remote, proto, host string) {
		t.Helper()
		env := &protocols.Env{Remote: netip.AddrPortFrom(netip.MustParseAddr(from), 1), Door: &protocols.Door{Trusts: trusted.Contains}}
		var x Exchange
		x.Reset(New(Options{}), &Peer{Env: env})
		x.Start([]byte("GET"), []byte("/"))
		for i := 0; i < len(fields); i += 2 {
			x.Field([]byte(fields[i]), []byte(fields[i+1]))
		}
		x.heed()
		got := ""
		if x.from.remote.IsValid() {
			got = x.from.remote.String()
		}
		if got != remote || string(x.from.proto) != proto || string(x.from.host) != host {
			t.Errorf("from %s, %q: got %q %q %q, want %q %q %q", from, fields, got, x.from.proto, x.from.host, remote, proto, host)
		}
	}
	const xff, proto, host, fwd = "X-Forwarded-For", "X-Forwarded-Proto", "x-forwarded-host", "Forwarded"
	all := []string{xff, "192.0.2.1", proto, "https", host, "cache.example.com"}
	f("10.1.1.1", all, "192.0.2.1", "https", "cache.example.com")
	f("192.0.2.9", all, "", "", "") // anybody
	f("10.1.1.1", []string{xff, "1.2.3.4, 192.0.2.1"}, "192.0.2.1", "", "")
	f("10.1.1.1", []string{xff, "1.2.3.4, 192.0.2.1, 10.2.2.2"}, "192.0.2.1", "", "")
	f("10.1.1.1", []string{xff, "1.2.3.4", xff, "192.0.2.1", xff, "10.2.2.2"}, "192.0.2.1", "", "")
	f("10.1.1.1", []string{xff, "10.3.3.3,10.2.2.2"}, "10.3.3.3", "", "")
	f("10.1.1.1", []string{xff, "1.2.3.4, nonsense"}, "", "", "")
	f("10.1.1.1", []string{xff, "1.2.3.4, unknown, 10.2.2.2"}, "10.2.2.2", "", "")
	f("10.1.1.1", []string{xff, "192.0.2.1:1234"}, "192.0.2.1", "", "")
	f("10.1.1.1", []string{xff, "2001:db8::1"}, "2001:db8::1", "", "")
	f("10.1.1.1", []string{xff, "[2001:db8::1]"}, "2001:db8::1", "", "")
	f("10.1.1.1", []string{xff, ""}, "", "", "")
	f("10.1.1.1", []string{proto, "http, https"}, "", "https", "")
	f("10.1.1.1", []string{fwd, `for=1.2.3.4;proto=http, for="[2001:db8:cafe::17]:4711";proto=https;host="a,b;c"`}, "2001:db8:cafe::17", "https", "a,b;c")
	f("10.1.1.1", []string{fwd, "for=192.0.2.1;host=outer;proto=https,For=10.2.2.2;Host=inner;Proto=http", xff, "1.2.3.4"}, "192.0.2.1", "https", "outer")
	f("10.1.1.1", []string{fwd, "for=_hidden;host=outer;proto=https"}, "", "https", "outer")
	f("10.1.1.1", []string{fwd, `for="`}, "", "", "")
	f("10.1.1.1", []string{fwd, ";,;=,"}, "", "", "")
}
