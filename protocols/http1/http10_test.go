package http1_test

import (
	"strings"
	"testing"

	"github.com/latticed/latticed/protocols"
	"github.com/latticed/latticed/protocols/http1"
	"github.com/latticed/latticed/protocols/http2"
	"github.com/latticed/latticed/protocols/prototest"
	"github.com/latticed/latticed/protocols/rest"

	"github.com/latticed/latticed/grid/gridtest"
)

// TestOldClients speaks HTTP/1.0: nothing is answered that came with HTTP/1.1, and the connection stays for who asks for it.
func TestOldClients(t *testing.T) {
	old := func(request string, fields ...string) string {
		return request + " HTTP/1.0\r\n" + lines(fields) + "\r\n"
	}
	const key, keep, kept, close = base + "k", "Connection: Keep-Alive", "Connection: keep-alive\n\n", "Connection: close\n\n"
	const value = "HTTP/1.1 200 OK\nContent-Type: text/plain\nEtag: 1461965704\nContent-Length: 2\n"
	const stored = "HTTP/1.1 204 No Content\nEtag: 1461965704\n"
	large := strings.Repeat("0123456789abcdef", 1100)
	v1 := old("PUT "+key, keep, "Content-Type: text/plain", "Content-Length: 2") + "v1"
	f := func(send, want string, env ...protocols.Env) {
		t.Helper()
		for _, h := range prototest.Ways(6) {
			if len(send) > 5000 {
				h.Cut = max(h.Cut, 500)
			}
			if got := bare(setup(append(env, protocols.Env{})[0]).Drive(t, []byte(send), h).Out); got != want {
				t.Errorf("%.300q, driven as %+v:\ngot  %.600q\nwant %.600q", send, h, got, want)
				return
			}
		}
	}
	// Without a wish the connection closes behind the answer, whatever follows.
	f(v1+old("GET "+key)+old("GET "+key), stored+kept+value+close+"v1")
	f(v1+old("GET "+key, "Connection: keep-alive, close")+old("GET "+key), stored+kept+value+close+"v1")
	f(v1+old("GET "+key, "Proxy-Connection: keep-alive")+old("GET "+key), stored+kept+value+close+"v1")
	f(v1+old("GET "+key, "Keep-Alive: timeout=5")+old("GET "+key), stored+kept+value+close+"v1")
	// With one it stays, also behind answers without a body and errors.
	f(v1+old("HEAD "+key, keep)+old("GET "+key, keep)+old("GET "+key), stored+kept+value+kept+value+kept+"v1"+value+close+"v1")
	f(v1+old("GET "+key, keep, "If-None-Match: 1461965704")+old("DELETE "+key, "CONNECTION: KEEP-ALIVE")+old("GET "+key, keep)+old("GET "+key),
		stored+kept+"HTTP/1.1 304 Not Modified\nEtag: 1461965704\n"+kept+"HTTP/1.1 204 No Content\n"+kept+
			"HTTP/1.1 404 Not Found\nContent-Length: 0\n"+kept+"HTTP/1.1 404 Not Found\nContent-Length: 0\n"+close)
	f(v1+old("POST "+strings.TrimSuffix(base, "/")+"?action=clear", keep)+old("GET "+key), stored+kept+"HTTP/1.1 204 No Content\n"+kept+"HTTP/1.1 404 Not Found\nContent-Length: 0\n"+close)
	// Versions may be mixed on one connection.
	f(v1+get("k")+old("GET "+key, keep)+get("k", "Connection: close"), stored+kept+value+"\nv1"+value+kept+"v1"+value+close+"v1")
	// 100 Continue is not for them, whether or not the body is wanted.
	f(old("PUT "+key, keep, "Content-Type: text/plain", "Expect: 100-continue", "Content-Length: 2")+"v1"+old("GET "+key), stored+kept+value+close+"v1")
	f(old("PUT "+key, keep, "Expect: 100-continue", "If-Match: 1", "Content-Length: 17600")+large+old("GET "+key),
		"HTTP/1.1 412 Precondition Failed\nContent-Length: 0\n"+kept+"HTTP/1.1 404 Not Found\nContent-Length: 0\n"+close)
	// What has no length ends with the connection, without chunks, even if it was to stay.
	f(v1+old("GET "+strings.TrimSuffix(base, "/")+"?action=keys", keep)+old("GET "+key), stored+kept+"HTTP/1.1 200 OK\nContent-Type: application/json\n"+close+`["k"]`)
	f(old("GET "+strings.TrimSuffix(base, "/")+"?action=listen", keep)+old("GET "+key), "HTTP/1.1 200 OK\nContent-Type: text/event-stream\nCache-Control: no-cache\n"+close)
	// Nor are there chunks from them.
	f(old("PUT "+key, keep, "Transfer-Encoding: chunked")+"2\r\nv1\r\n0\r\n\r\n", "HTTP/1.1 400 Bad Request\nContent-Type: text/plain; charset=utf-8\nContent-Length: 33\n"+close+"HTTP/1.0 has no Transfer-Encoding")
	// Host may be missing, also where others need one, and may not be foreign where it may not be.
	f(v1+old("GET "+key), stored+kept+value+close+"v1", local)
	if got := bare(setup(local).Drive(t, []byte(old("GET "+key, "Host: evil.example")), prototest.How{}).Out); !strings.HasPrefix(got, "HTTP/1.1 403 ") || !strings.Contains(got, close) {
		t.Errorf("a foreign Host: got %q", got)
	}
	// They upgrade to nothing.
	p := http1.New(http1.Options{Service: rest.New(rest.Options{}), HTTP2: http2.New(http2.Options{Service: rest.New(rest.Options{})})})
	got := bare(prototest.Setup(func() prototest.Parts {
		return prototest.Parts{Protocol: p, Caches: gridtest.NewModel(gridtest.Options{})}
	}).Drive(t, []byte(old("GET "+key, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__")), prototest.How{}).Out)
	if got != "HTTP/1.1 404 Not Found\nContent-Length: 0\n"+close {
		t.Errorf("h2c: got %q", got)
	}
	// A large value has a length and comes whole; compressed it ends with the connection.
	got = bare(setup(protocols.Env{}).Drive(t, []byte(put("l", large, "Content-Type: text/plain")+old("GET "+base+"l", keep)+old("GET "+base+"l", keep, "Accept-Encoding: gzip")+old("GET "+key)), prototest.How{}).Out)
	if !strings.Contains(got, "\nContent-Length: 17600\n"+kept+large+"HTTP/1.1 200 OK\n") || strings.Count(got, "HTTP/1.1 ") != 3 || strings.Contains(got, "chunked") ||
		!strings.Contains(got[len(got)-1000:], "Content-Encoding: gzip\n") {
		t.Errorf("large values: got %.300q in %d bytes", got, len(got))
	}
}
