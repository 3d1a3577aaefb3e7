package http1_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/latticed/latticed/protocols"
	"github.com/latticed/latticed/protocols/http1"
	"github.com/latticed/latticed/protocols/prototest"
	"github.com/latticed/latticed/protocols/rest"
)

// local is a connection to a listener that only this machine reaches.
var local = protocols.Env{Local: true, Remote: netip.MustParseAddrPort("127.0.0.1:4711")}

func TestBrowsersOfStrangersAreRefused(t *testing.T) {
	f := func(env protocols.Env, status string, fields ...string) {
		t.Helper()
		request := "GET " + base + "k HTTP/1.1\r\n" + lines(fields) + "\r\n"
		if got := answers(t, request, env); !strings.HasPrefix(got, "HTTP/1.1 "+status) {
			t.Errorf("%q: got %q, want %s", fields, got, status)
		}
	}
	// A name that an attacker's DNS server leads here. 404 is the answer to who may ask: the entry is not there.
	for _, host := range []string{
		"localhost", "LOCALHOST:11222", "localhost.", "x.localhost:1", "127.0.0.1:11222", "127.8.9.1", "[::1]:11222", "[::ffff:127.0.0.1]", "cache.example.com:80",
	} {
		f(local, "404", "Host: "+host)
	}
	for _, host := range []string{"evil.example", "localhost.evil.example:11222", "evillocalhost", "10.0.0.1", "[::2]", "[::1", "::1", "0.0.0.0"} {
		f(local, "403", "Host: "+host)
		f(protocols.Env{Remote: local.Remote}, "404", "Host: "+host) // who listens for others has other names
		f(protocols.Env{Local: true}, "404", "Host: "+host)          // a Unix socket
	}
	// A name that was good once makes no other good on the same connection.
	ask := func(host string) string { return "GET " + base + "k HTTP/1.1\r\nHost: " + host + "\r\n\r\n" }
	got := answers(t, ask("localhost")+ask("evil.example")+ask("localhost")+ask("127.0.0.1")+ask("localhost.evil.example"), local)
	if a, b := strings.Count(got, "HTTP/1.1 404"), strings.Count(got, "HTTP/1.1 403"); a != 3 || b != 2 {
		t.Errorf("%d are answered and %d refused: %q", a, b, got)
	}
	for _, env := range []protocols.Env{local, {Remote: local.Remote}} {
		for _, origin := range []string{
			"http://localhost:11222", "http://localhost:9000", "https://127.0.0.1:11222", "http://[::1]:11222", "https://app.example.com",
		} {
			f(env, "404", "Host: localhost:11222", "Origin: "+origin)
		}
		for _, origin := range []string{
			"null", "", "http://evil.example", "http://localhost:8080", "http://localhost", "file://", "localhost:11222", "http://evil.example:9000",
			"http://app.example.com", "https://app.example.com.evil.example", "ftp://localhost:11222",
		} {
			f(env, "403", "Host: localhost:11222", "Origin: "+origin)
		}
	}
	f(protocols.Env{}, "404", "Host: a.example:80", "Origin: http://a.example:80")
	f(protocols.Env{}, "403", "Host: a.example:80", "Origin: https://a.example:80")
	f(protocols.Env{TLS: true}, "404", "Host: a.example:80", "Origin: https://a.example:80")
	f(local, "403", "Host: localhost", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors")
	f(local, "404", "Host: localhost", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate")
	f(local, "404", "Host: localhost", "Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: cors")
}

func TestSharingWithOtherOrigins(t *testing.T) {
	f := func(request, want string) {
		t.Helper()
		if got := answers(t, request, local); got != want {
			t.Errorf("%q:\ngot  %q\nwant %q", request, got, want)
		}
	}
	preflight := func(origin string) string {
		return "OPTIONS /any HTTP/1.1\r\nHost: localhost\r\nOrigin: " + origin + "\r\nAccess-Control-Request-Method: PUT\r\n\r\n"
	}
	f(preflight("http://evil.example"), "HTTP/1.1 200 OK\nContent-Length: 0\n\n")
	f(preflight("https://app.example.com"), "HTTP/1.1 200 OK\nAccess-Control-Allow-Methods: GET, POST, PUT, DELETE, HEAD, OPTIONS\n"+
		"Access-Control-Allow-Headers: Accept, Authorization, Cache-Control, Content-Encoding, Content-Type, created, extended, flags, If-Match, "+
		"If-Modified-Since, If-None-Match, If-Unmodified-Since, Key-Content-Type, lastUsed, maxIdleTimeSeconds, timeToLiveSeconds, User-Agent\n"+
		"Access-Control-Max-Age: 0\nAccess-Control-Allow-Origin: https://app.example.com\nAccess-Control-Allow-Credentials: true\n"+
		"Vary: Origin\nContent-Length: 0\n\n")
	got := answers(t, put("k", "v1")+get("k", "Origin: https://app.example.com", "User-Agent: Mozilla/5.0"), local)
	for _, want := range []string{
		"\nAccess-Control-Allow-Origin: https://app.example.com\n", "\nAccess-Control-Expose-Headers: Cache-Control, ", "\nVary: Origin\n",
		"\nX-Frame-Options: sameorigin\n", "\nX-Content-Type-Options: nosniff\n", "\nContent-Security-Policy: sandbox; default-src 'none'",
	} {
		if strings.Count(got, want) != 1 {
			t.Errorf("got %q, want one %q in it", got, want)
		}
	}
	got = answers(t, get("k", "User-Agent: Mozilla/5.0"), local)
	if !strings.Contains(got, "\nContent-Security-Policy: default-src 'self' data:;") {
		t.Errorf("a miss: got %q, want the policy of pages in it", got)
	}
}

// TestSharingByRules asks as pages of origins that rules are about.
func TestSharingByRules(t *testing.T) {
	rules := []rest.CORS{
		{Origins: []string{"https://one.example"}, Methods: []string{"GET", "PUT"}, Headers: []string{"Content-Type", "X-Trace"}, Expose: []string{"Etag"}, Credentials: true, MaxAge: 600},
		{Origins: []string{"*"}, Methods: []string{"GET"}},
	}
	ask := func(request string) string {
		t.Helper()
		return bare(prototest.Setup(func() prototest.Parts {
			parts := setup(local)()
			parts.Protocol = http1.New(http1.Options{Service: rest.New(rest.Options{CORS: rules})})
			return parts
		}).Drive(t, []byte(request), prototest.How{}).Out)
	}
	f := func(request, want string) {
		t.Helper()
		if got := ask(request); got != want {
			t.Errorf("%q:\ngot  %q\nwant %q", request, got, want)
		}
	}
	preflight := func(origin string) string {
		return "OPTIONS /any HTTP/1.1\r\nHost: localhost\r\nOrigin: " + origin + "\r\nAccess-Control-Request-Method: PUT\r\n\r\n"
	}
	const mine = "Access-Control-Allow-Origin: https://one.example\nAccess-Control-Allow-Credentials: true\nVary: Origin\nContent-Length: 0\n\n"
	f(preflight("https://one.example"), "HTTP/1.1 200 OK\nAccess-Control-Allow-Methods: GET, PUT\nAccess-Control-Allow-Headers: Content-Type, X-Trace\n"+
		"Access-Control-Max-Age: 600\n"+mine)
	f(preflight("http://any.example"), "HTTP/1.1 200 OK\nAccess-Control-Allow-Methods: GET\nAccess-Control-Max-Age: 0\nAccess-Control-Allow-Origin: *\nContent-Length: 0\n\n")
	f(get("k", "Origin: https://one.example"), "HTTP/1.1 404 Not Found\nAccess-Control-Expose-Headers: Etag\n"+mine)
	f(get("k", "Origin: http://any.example"), "HTTP/1.1 404 Not Found\nAccess-Control-Allow-Origin: *\nContent-Length: 0\n\n")
	// What browsers send without asking first is held to the rule as well.
	f(verb("DELETE", "k", "Origin: https://one.example"), "HTTP/1.1 403 Forbidden\nContent-Length: 0\n\n")
	f(on("POST", "?action=clear", "Origin: http://any.example", "Content-Length: 0"), "HTTP/1.1 403 Forbidden\nContent-Length: 0\n\n")
	f(verb("DELETE", "k", "Origin: http://localhost"), "HTTP/1.1 404 Not Found\nAccess-Control-Allow-Origin: *\nContent-Length: 0\n\n") // from here
}
