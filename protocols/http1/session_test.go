package http1_test

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"

	"github.com/latticed/latticed/grid/gridtest"
	"github.com/latticed/latticed/protocols"
	"github.com/latticed/latticed/protocols/http1"
	"github.com/latticed/latticed/protocols/prototest"
	"github.com/latticed/latticed/protocols/rest"
)

// setup makes a session over an empty grid. env says what listener it is on.
func setup(env protocols.Env) prototest.Setup {
	return func() prototest.Parts {
		options := rest.Options{
			MaxContent: 100_000, AllowedHosts: []string{"cache.example.com"}, AllowedOrigins: []string{"https://app.example.com"},
			Stop: func() {}, Log: quiet{}, Connectors: doors{}, Connections: crowd(2), Process: still{},
		}
		options.Config = fresh
		service := rest.New(options)
		return prototest.Parts{
			Protocol: http1.New(http1.Options{Service: service}), Caches: gridtest.NewModel(gridtest.Options{}), Env: env,
		}
	}
}

// quiet is a log whose level does not change.
type quiet struct{}

func (quiet) Level() string             { return "INFO" }
func (quiet) SetLevel(name string) bool { return name == "INFO" }

// doors are one connector, d, which is another than requests come by.
type doors struct{}

func (doors) Names() []string { return []string{"d"} }
func (doors) Find(name string) (rest.Connector, bool) {
	return rest.Connector{Name: "d", Host: "192.0.2.1", Port: 11222}, name == "d"
}
func (doors) Open(string) error                        { return nil }
func (doors) Close(string, uint64) error               { return nil }
func (doors) Filter(string, []rest.Rule, uint64) error { return nil }

// crowd is as many connections, in three parts, of which one has gone.
type crowd uint64

func (c crowd) IDs(part int, ids []uint64) ([]uint64, bool) {
	for id := uint64(part); part < 2 && id < uint64(c); id += 2 {
		ids = append(ids, id)
	}
	return ids, part < 2
}
func (c crowd) Find(id uint64) (rest.Connection, bool) {
	return rest.Connection{Created: int64(id), Client: "x"}, id != 1
}

// still is a process that does nothing.
type still struct{}

func (still) Memory() rest.Memory            { return rest.Memory{Pools: []rest.Pool{{Name: "all"}}} }
func (still) Threads() []byte                { return []byte("none\n") }
func (still) Environment() map[string]string { return map[string]string{"a": "b"} }
func (still) Configuration() string          { return "latticed:\n" }
func (still) HeapDump(bool) (string, error)  { return "heap.pprof", nil }

// fresh is a configuration of which nothing is said.
func fresh[T any]() *T { return new(T) }

// answers sends requests and returns what comes, without what is the same in every answer, and without CR.
func answers(t testing.TB, requests string, env ...protocols.Env) string {
	t.Helper()
	env = append(env, protocols.Env{})
	return bare(setup(env[0]).Drive(t, []byte(requests), prototest.How{Tail: true}).Out)
}

// bare drops what is the same in every answer, and CR.
func bare(out []byte) string {
	s := strings.ReplaceAll(string(out), "Date: Tue, 14 Nov 2023 22:13:20 GMT\r\n", "")
	return strings.ReplaceAll(s, "\r", "")
}

const base = "/rest/v2/caches/default/"

// put and get write requests.
func put(key, value string, fields ...string) string {
	return fmt.Sprintf("PUT %s%s HTTP/1.1\r\nHost: localhost\r\n%sContent-Length: %d\r\n\r\n%s", base, key, lines(fields), len(value), value)
}

func verb(verb, key string, fields ...string) string {
	return fmt.Sprintf("%s %s%s HTTP/1.1\r\nHost: localhost\r\n%s\r\n", verb, base, key, lines(fields))
}

func get(key string, fields ...string) string { return verb("GET", key, fields...) }

// on makes a request about the cache.
func on(verb, query string, fields ...string) string {
	return fmt.Sprintf("%s /rest/v2/caches/default%s HTTP/1.1\r\nHost: localhost\r\n%s\r\n", verb, query, lines(fields))
}

func lines(fields []string) (s string) {
	for _, f := range fields {
		s += f + "\r\n"
	}
	return s
}

func TestAnswers(t *testing.T) {
	f := func(request, want string) {
		t.Helper()
		if got := answers(t, request); got != want {
			t.Errorf("%.200q:\ngot  %q\nwant %q", request, got, want)
		}
	}
	const text = "Content-Type: text/plain"
	stored := "HTTP/1.1 204 No Content\nEtag: 1461965704\n\n" // of v1
	v1 := put("k", "v1", text)
	f(v1+get("k"), stored+"HTTP/1.1 200 OK\nContent-Type: text/plain\nEtag: 1461965704\nContent-Length: 2\n\nv1")
	f(put("k", "v1")+get("k"), stored+"HTTP/1.1 200 OK\nContent-Type: application/octet-stream\nEtag: 1461965704\nContent-Length: 2\n\nv1")
	f(v1+verb("HEAD", "k"), stored+"HTTP/1.1 200 OK\nContent-Type: text/plain\nEtag: 1461965704\nContent-Length: 2\n\n")
	f(get("none"), "HTTP/1.1 404 Not Found\nContent-Length: 0\n\n")
	f(put("k", ""), "HTTP/1.1 204 No Content\nEtag: 89125410\n\n")
	f(verb("PUT", "k"), "HTTP/1.1 204 No Content\nEtag: 89125410\n\n")
	f(v1+strings.Replace(put("k", "v2"), "PUT", "POST", 1), stored+
		"HTTP/1.1 409 Conflict\nContent-Type: text/plain; charset=utf-8\nContent-Length: 23\n\nAn entry already exists")
	f(v1+verb("DELETE", "k")+verb("DELETE", "k"), stored+"HTTP/1.1 204 No Content\n\nHTTP/1.1 404 Not Found\nContent-Length: 0\n\n")
	f(put("a%2Fb+c", "v1")+get("a%2fb%20c", "Accept: text/plain"), stored+
		"HTTP/1.1 200 OK\nContent-Type: text/plain\nEtag: 1461965704\nContent-Length: 2\n\nv1")
	f(put("k", "a=b+c%20d", "Content-Type: application/x-www-form-urlencoded")+get("k"),
		"HTTP/1.1 204 No Content\nEtag: 1225771008\n\nHTTP/1.1 200 OK\nContent-Type: text/plain\nEtag: 1225771008\nContent-Length: 7\n\na=b c d")

	// Conditions.
	notModified := "HTTP/1.1 304 Not Modified\nEtag: 1461965704\n\n"
	whole := "HTTP/1.1 200 OK\nContent-Type: text/plain\nEtag: 1461965704\nContent-Length: 2\n\nv1"
	failed := "HTTP/1.1 412 Precondition Failed\nContent-Length: 0\n\n"
	f(v1+get("k", "If-None-Match: 1461965704"), stored+notModified)
	f(v1+get("k", `If-None-Match: "1", W/"1461965704"`), stored+notModified)
	f(v1+get("k", "If-None-Match: 1"), stored+whole)
	f(v1+get("k", "If-Match: 1461965704"), stored+whole)
	f(v1+get("k", "If-Match: *"), stored+whole)
	f(v1+get("k", "If-Match: 123"), stored+strings.Replace(failed, "\nContent", "\nEtag: 1461965704\nContent", 1))
	f(v1+put("k", "v2", "If-None-Match: 1461965704")+get("k"), stored+"HTTP/1.1 304 Not Modified\n\n"+whole)
	f(v1+put("k", "v2", "If-None-Match: *")+get("k"), stored+failed+whole)
	f(v1+put("k", "v2", "If-Match: 123")+get("k"), stored+failed+whole)
	f(v1+put("k", "v1", text, "If-Match: 1461965704")+get("k"), stored+stored+whole)
	f(put("k", "v1", "If-Match: *"), failed)
	f(put("k", "v1", text, "If-None-Match: *")+get("k"), stored+whole)
	f(v1+verb("DELETE", "k", "If-None-Match: 123"), stored+failed)
	f(v1+verb("DELETE", "k", "If-Match: 123"), stored+failed)
	f(v1+verb("DELETE", "k", "If-None-Match: 1461965704"), stored+"HTTP/1.1 204 No Content\n\n")
	f(verb("DELETE", "k", "If-Match: 123"), "HTTP/1.1 404 Not Found\nContent-Length: 0\n\n")

	// Lifespans.
	aged := put("k", "v1", text, "timeToLiveSeconds: 600")
	f(aged+get("k"), stored+"HTTP/1.1 200 OK\nContent-Type: text/plain\nEtag: 1461965704\ntimeToLiveSeconds: 600\ncreated: 1700000000000\n"+
		"Last-Modified: Tue, 14 Nov 2023 22:13:20 GMT\nExpires: Tue, 14 Nov 2023 22:23:20 GMT\nCache-Control: max-age=600\nContent-Length: 2\n\nv1")
	f(put("k", "v1", text, "maxIdleTimeSeconds: +50 ")+get("k"), stored+"HTTP/1.1 200 OK\nContent-Type: text/plain\nEtag: 1461965704\n"+
		"maxIdleTimeSeconds: 50\nlastUsed: 1700000000000\nExpires: Tue, 14 Nov 2023 22:14:10 GMT\nCache-Control: max-age=50\nContent-Length: 2\n\nv1")
	agedNotModified := strings.Replace(notModified, "\n\n", "\nExpires: Tue, 14 Nov 2023 22:23:20 GMT\nCache-Control: max-age=600\n\n", 1)
	f(aged+get("k", "If-None-Match: 1461965704"), stored+agedNotModified)
	for _, ignored := range []string{"1.5", "0.5", "10s", "", "99999999999999999999"} {
		f(put("k", "v1", text, "timeToLiveSeconds: "+ignored, "maxIdleTimeSeconds: "+ignored)+get("k"), stored+whole)
	}
	f(put("k", "v1", text, "timeToLiveSeconds: abc", "maxIdleTimeSeconds: -1")+get("k"), stored+whole)
	f(aged+get("k", "If-Modified-Since: Thu, 01 Jan 2099 00:00:00 GMT"), stored+agedNotModified)
	f(aged+get("k", "If-Unmodified-Since: Sat, 01 Jan 2000 00:00:00 GMT"),
		stored+strings.Replace(failed, "\nContent", "\nEtag: 1461965704\nContent", 1))
	f(v1+get("k", "If-Unmodified-Since: Sat, 01 Jan 2000 00:00:00 GMT"), stored+whole)
	f(aged+get("k", "If-Modified-Since: yesterday"), stored+
		"HTTP/1.1 400 Bad Request\nContent-Type: text/plain; charset=utf-8\nContent-Length: 30\n\nCould not parse date yesterday")
	f(aged+get("k", "Cache-Control: min-fresh=5000"), stored+"HTTP/1.1 404 Not Found\nContent-Length: 0\n\n")
	f(v1+get("k", "Cache-Control: no-transform, min-fresh=5000"), stored+whole)

	// What is not there or not right.
	says := func(status, text string) string {
		return fmt.Sprintf("HTTP/1.1 %s\nContent-Type: text/plain; charset=utf-8\nContent-Length: %d\n\n%s", status, len(text), text)
	}
	f(get("k?action=nope"), says("400 Bad Request", "Invalid 'action' parameter supplied"))
	f(get("k?action="), says("400 Bad Request", "Invalid action"))
	f(put("k", "v1", "flags: NO_SUCH_FLAG"), says("400 Bad Request", "No enum constant org.infinispan.context.Flag.NO_SUCH_FLAG"))
	f(get("a/b"), says("404 Not Found", "Resource not found"))
	f(verb("OPTIONS", "k"), says("405 Method Not Allowed", "Not allowed"))
	f(verb("PATCH", "k"), "HTTP/1.1 403 Forbidden\nContent-Length: 0\n\n")
	f(get("a%zz"), "HTTP/1.1 400 Bad Request\nContent-Length: 0\n\n")
	f(v1+get("k", "Accept: image/png"), stored+says("406 Not Acceptable", "ISPN012007: Cannot convert to image/png"))
	f(v1+get("k", "Accept: ignored/wrong , text/plain"), stored+whole)
	f(put("k", "v1", "Content-Type: foo"), says("400 Bad Request",
		"ISPN000930: Invalid media type 'foo': must contain a type and a subtype separated by '/'"))
	f("GET /rest/v2/caches/none/k HTTP/1.1\r\nHost: a\r\n\r\n", says("404 Not Found",
		"ISPN012010: Cache with name 'none' not found amongst the configured caches"))
	f(v1+"GET http://localhost/rest/v3/caches/default/entries/k HTTP/1.1\r\nHost: a\r\n\r\n", stored+whole)

	// Media types.
	typed := func(kind, tag, body string) string {
		return fmt.Sprintf("HTTP/1.1 200 OK\nContent-Type: %s\nEtag: %s\nContent-Length: %d\n\n%s", kind, tag, len(body), body)
	}
	f(put("k", "hello", text)+get("k", "Accept: application/xml"), "HTTP/1.1 204 No Content\nEtag: 1671093224\n\n"+
		typed("application/xml", "1834942906", "<string>hello</string>"))
	f(put("k", "hello", text)+get("k", "Accept: image/png, application/json;q=0.5, text/plain;q=0.1"), "HTTP/1.1 204 No Content\nEtag: 1671093224\n\n"+
		says("400 Bad Request", "ISPN000655: Unable to convert text content to JSON: 'hello'"))
	f(v1+get("k", "Accept: text/plain;q=0.1, application/octet-stream;q=0.9"), stored+typed("application/octet-stream", "1461965704", "v1"))
	f(v1+get("k", "Accept: application/octet-stream; encoding=hex")+get("k", "If-None-Match: 1461965704", "Accept: application/octet-stream; encoding=hex"),
		stored+typed("application/octet-stream; encoding=hex", "-371378741", "0x7631")+typed("application/octet-stream; encoding=hex", "-371378741", "0x7631"))
	f(v1+get("k", "Accept: text/plain; charset=utf-8"), stored+typed("text/plain; charset=utf-8", "1461965704", "v1"))
	f(v1+get("k", "Accept: foo"), stored+says("406 Not Acceptable", "Data format not supported"))
	f(v1+get("k", "Accept: text/plain;q=0"), stored+says("406 Not Acceptable", "ISPN012007: Cannot convert to text/plain;q=0"))
	f(put("k", "gr\xfcn", "Content-Type: text/plain; charset=ISO-8859-1")+get("k")+get("k", "Accept: text/plain; charset=iso-8859-1"),
		"HTTP/1.1 204 No Content\nEtag: 109341276\n\n"+typed("text/plain", "109341276", "gr\u00fcn")+
			typed("text/plain; charset=iso-8859-1", "-1640146074", "gr\xfcn"))
	f(put("k", "v", "Content-Type: text/plain; charset=nonsense"), says("400 Bad Request", "nonsense"))
	f(put("k", "0x7631", "Content-Type: application/octet-stream; encoding=hex")+get("k"), stored+typed("application/octet-stream", "1461965704", "v1"))
	f(put("k", `{"a":1}`, "Content-Type: application/json")+get("k", "Accept: */*"), "HTTP/1.1 204 No Content\nEtag: -445921324\n\n"+
		typed("application/json", "-445921324", `{"a":1}`))
	f(put("k", "v", "Content-Encoding: br"), "HTTP/1.1 415 Unsupported Media Type\nContent-Length: 0\n\n")
	f(put("k", "not gzip", "Content-Encoding: gzip"), says("400 Bad Request", "the body is not what its Content-Encoding says"))
	f(put("a2V5", "v1", "Key-Content-Type: application/octet-stream", text)+get("key")+get("0x6b6579", "Key-Content-Type: application/octet-stream; encoding=hex"),
		stored+whole+whole)
	f(put("0042", "v1", "Key-Content-Type: application/x-java-object;type=java.lang.Integer", text)+get("42"), stored+whole)
	f(put("x", "v1", "Key-Content-Type: application/x-java-object;type=java.lang.Integer"),
		says("400 Bad Request", `For input string: "x"`))
	f(put("k", "v1", text, "Memcached-Flags: 7")+get("k"), stored+strings.Replace(whole, "\nContent-Length", "\nMemcached-Flags: 7\nContent-Length", 1))
	f(v1+get("k?extended"), stored+strings.Replace(whole, "\nContent-Length", "\nCluster-Primary-Owner: 0.0.0.0\nCluster-Backup-Owners: 0.0.0.0\n"+
		"Cluster-Node-Name: 0.0.0.0\nCluster-Server-Address: 0.0.0.0\nContent-Length", 1))

	body := strings.Repeat("b", 50_000)
	f(v1+strings.Replace(put("k", body), "PUT", "GET", 1)+strings.Replace(put("?action=size", body), "PUT /rest/v2/caches/default/", "GET /rest/v2/caches/default", 1)+
		strings.Replace(put("k", body), "PUT", "DELETE", 1), stored+whole+"HTTP/1.1 200 OK\nContent-Type: application/json\nContent-Length: 1\n\n1"+
		"HTTP/1.1 204 No Content\n\n")
	f(on("GET", "?action=keys&limit=%zz"), "HTTP/1.1 400 Bad Request\nContent-Length: 0\n\n")

	// Whole caches.
	chunks := func(parts ...string) (s string) {
		for _, p := range append(parts, "") {
			s += fmt.Sprintf("%x\n%s\n", len(p), p)
		}
		return s
	}
	json := "HTTP/1.1 200 OK\nContent-Type: application/json\n"
	texts := "key-content-type: text/plain\nvalue-content-type: text/plain\n"
	f(v1+on("GET", "?action=size")+on("GET", "?action=keys"), stored+json+"Content-Length: 1\n\n1"+json+"Transfer-Encoding: chunked\n\n"+chunks(`["k"]`))
	f(put("a%22%0a", "v1")+on("GET", "?action=entries"), stored+json+texts+"Transfer-Encoding: chunked\n\n"+chunks(`[{"key":"a\"\n","value":"v1"}]`))
	f(aged+on("GET", "?action=entries&metadata=true&batch=1"), stored+json+texts+"Transfer-Encoding: chunked\n\n"+
		chunks(`[{"key":"k","value":"v1","timeToLiveSeconds":600,"maxIdleTimeSeconds":-1,"created":1700000000000,"lastUsed":-1,"expireTime":1700000600000}]`))
	f(v1+on("GET", "?action=keys&limit=0"), stored+json+"Transfer-Encoding: chunked\n\n"+chunks("[]"))
	f(on("GET", "?action=keys&limit=abc"), says("400 Bad Request", `For input string: "abc"`))
	f(v1+"GET /rest/v2/caches/default?action=keys HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", stored+json+"Connection: close\n\n"+`["k"]`)
	f(v1+on("POST", "?action=clear")+get("k")+on("GET", "?action=size"), stored+"HTTP/1.1 204 No Content\n\nHTTP/1.1 404 Not Found\nContent-Length: 0\n\n"+
		json+"Content-Length: 1\n\n0")
	f(on("GET", "?action=health"), "HTTP/1.1 200 OK\nContent-Type: text/plain\nContent-Length: 7\n\nHEALTHY")
	f(get("k?action=distribution"), json+"Content-Length: 97\n\n"+
		`{"contains_key":false,"owners":[{"node_name":"local","primary":true,"node_addresses":["local"]}]}`)

	// Connections.
	f("GET "+base+"k HTTP/1.0\r\n\r\n"+get("k"), "HTTP/1.1 404 Not Found\nContent-Length: 0\nConnection: close\n\n")
	f("GET "+base+"k HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"+get("k", "Connection: close")+get("k"),
		"HTTP/1.1 404 Not Found\nContent-Length: 0\nConnection: keep-alive\n\nHTTP/1.1 404 Not Found\nContent-Length: 0\nConnection: close\n\n")
	f("\r\n\r\n"+v1, stored)
	chunked := "PUT " + base + "k HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Type: text/plain\r\n"
	f(chunked+"\r\n1\r\nv\r\n001;ext=\"a\"\r\n1\r\n0\r\nTrailer: x\r\n\r\n"+get("k"), stored+whole)
	f(put("k", "v1", "Expect: 100-continue"), "HTTP/1.1 100 Continue\n\n"+stored)
	f(put("k", strings.Repeat("v", 120_000)), "HTTP/1.1 413 Request Entity Too Large\nContent-Length: 0\n\n")
	f(put("k", strings.Repeat("v", 120_000), "Expect: 100-continue"),
		"HTTP/1.1 413 Request Entity Too Large\nContent-Length: 0\nConnection: close\n\n")
	f(chunked+"\r\n1d4c0\r\n"+strings.Repeat("v", 120_000)+"\r\n0\r\n\r\n",
		"HTTP/1.1 413 Request Entity Too Large\nContent-Length: 0\nConnection: close\n\n")
}

// What one server reads in one way and the next in another is refused, and nothing behind it is looked at.
func TestNothingIsSmuggled(t *testing.T) {
	line := "PUT " + base + "k HTTP/1.1\r\n"
	host := "Host: a\r\n"
	for _, c := range []struct{ request, status string }{
		{line + host + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", "400"},
		{line + host + "Content-Length: 1\r\nContent-Length: 1\r\n\r\na", "400"},
		{line + host + "Content-Length: 1, 1\r\n\r\na", "400"},
		{line + host + "Content-Length: +1\r\n\r\na", "400"},
		{line + host + "Content-Length: -1\r\n\r\na", "400"},
		{line + host + "Content-Length: 0x1\r\n\r\na", "400"},
		{line + host + "Content-Length:\r\n\r\na", "400"},
		{line + host + "Content-Length: 99999999999999999999\r\n\r\na", "400"},
		{line + host + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"},
		{line + host + "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n", "400"},
		{line + host + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"},
		{line + host + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "501"},
		{line + host + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "501"},
		{line + host + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", "400"},
		{line + host + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", "400"},
		{"PUT " + base + "k HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"},
		{line + host + "Content-Length : 1\r\n\r\na", "400"},
		{line + host + " Content-Length: 1\r\n\r\na", "400"},
		{line + host + "A: b\r\n folded\r\n\r\n", "400"},
		{line + host + "A: b\r\n\tContent-Length: 1\r\n\r\n", "400"},
		{line + host + "A: b\nContent-Length: 1\r\n\r\na", "400"},
		{line + host + "A: b\rContent-Length: 1\r\n\r\na", "400"},
		{line + host + "A: b\x00c\r\n\r\n", "400"},
		{line + host + "A b\r\n\r\n", "400"},
		{line + host + ": b\r\n\r\n", "400"},
		{line + host + "A\x00: b\r\n\r\n", "400"},
		{line + host + "Host: b\r\n\r\n", "400"},
		{line + "Host: a b\r\n\r\n", "400"},
		{line + "Host: a@b\r\n\r\n", "400"},
		{line + "\r\n", "400"},
		{"GET / HTTP/1.1\nHost: a\n\n", "400"},
		{"GET  / HTTP/1.1\r\n" + host + "\r\n", "400"},
		{"GET /a b HTTP/1.1\r\n" + host + "\r\n", "400"},
		{"GET /\x00 HTTP/1.1\r\n" + host + "\r\n", "400"},
		{"GET / HTTP/1.1 \r\n" + host + "\r\n", "400"},
		{"GET /\r\n\r\n", "400"},
		{"GET / FTP/1.1\r\n" + host + "\r\n", "400"},
		{"GET / HTTP/1\r\n" + host + "\r\n", "400"},
		{"GET / HTTP/2.0\r\n" + host + "\r\n", "505"},
		{"GET / http/1.1\r\n" + host + "\r\n", "400"},
		{"GET /" + strings.Repeat("a", 4096) + " HTTP/1.1\r\n" + host + "\r\n", "414"},
		{"GET / HTTP/1.1\r\n" + host + "A: " + strings.Repeat("a", 8192) + "\r\n\r\n", "431"},
		{"GET / HTTP/1.1\r\n" + host + strings.Repeat("A: b\r\n", 1400) + "\r\n", "431"},
		{line + host + "Expect: 200-ok\r\n\r\n", "417"},
	} {
		for _, h := range []prototest.How{{}, {Cut: max(3, len(c.request)/50), Seed: 1}} {
			got := bare(setup(protocols.Env{}).Drive(t, []byte(c.request+get("behind")), h).Out)
			if !strings.HasPrefix(got, "HTTP/1.1 "+c.status+" ") || !strings.Contains(got, "\nConnection: close\n\n") || strings.Count(got, "HTTP/1.1 ") != 1 {
				t.Errorf("%.100q: got %q, want one %s and a close", c.request, got, c.status)
			}
		}
	}
	chunked := line + host + "Transfer-Encoding: chunked\r\n\r\n"
	for _, b := range []string{
		"-1\r\na\r\n0\r\n\r\n", "0x1\r\na\r\n0\r\n\r\n", "+1\r\na\r\n0\r\n\r\n", " 1\r\na\r\n0\r\n\r\n", "1 \r\na\r\n0\r\n\r\n", "\r\n", "g\r\n",
		"1\r\nab\r\n0\r\n\r\n", "1\r\na\n0\r\n\r\n", "1\na\r\n0\r\n\r\n", "1\r\na\r0\r\n\r\n", "1\r\na\r\n0\r\nbad trailer\r\n\r\n",
		"1;a=\x00\r\na\r\n0\r\n\r\n", "1;" + strings.Repeat("x", 300) + "\r\na\r\n0\r\n\r\n", "ffffffffffffffff\r\na",
		"1\r\na\r\n0\r\nA: " + strings.Repeat("b", 9000) + "\r\n\r\n",
	} {
		for _, h := range []prototest.How{{}, {Cut: max(3, len(b)/50), Seed: 1}} {
			got := bare(setup(protocols.Env{}).Drive(t, []byte(chunked+b+get("behind")), h).Out)
			if !strings.HasPrefix(got, "HTTP/1.1 400 ") || !strings.Contains(got, "\nConnection: close\n\n") || strings.Count(got, "HTTP/1.1 ") != 1 {
				t.Errorf("chunks %.60q: got %q, want one 400 and a close", b, got)
			}
		}
	}
}

// scripts are inputs whose answers must not depend on how they are driven.
func scripts(t testing.TB) []string {
	large := strings.Repeat("0123456789abcdef", 5000)
	var many strings.Builder
	for i := range 100 {
		many.WriteString(put(fmt.Sprintf("k%d", i%7), strings.Repeat("v", i*37), "Content-Type: text/plain"))
		many.WriteString(get(fmt.Sprintf("k%d", i%5)))
		many.WriteString(verb("HEAD", fmt.Sprintf("k%d", i%9)))
	}
	cond := put("c", "v1") + put("c", "v2", "If-Match: 1461965704") + get("c") + put("c", "v3", "If-Match: 1461965704") +
		put("c", "v4", "If-None-Match: *") + verb("DELETE", "c", "If-None-Match: 1") + get("c") + verb("DELETE", "c") + get("c")
	chunks := "PUT " + base + "l HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" +
		"9c40\r\n" + large[:40000] + "\r\n9c40\r\n" + large[40000:] + "\r\n0\r\n\r\n"
	return []string{
		many.String(), cond,
		put("l", large) + get("l") + get("l") + verb("HEAD", "l") + put("l", large, "If-None-Match: *") + get("k") + put("l", large+"x", "If-Match: *") + get("l"),
		chunks + get("l") + put("l", large, "Expect: 100-continue") + get("l", "Connection: close") + get("x"),
		put("k", strings.Repeat("v", 120_000)) + get("k") + "junk\r\n\r\n",
		strings.Replace(chunks, "Host: a", "Host: a\r\nIf-None-Match: 7", 1) + get("l", "If-None-Match: 7") + strings.Replace(chunks, "Host: a", "Host: a\r\nIf-Match: 7", 1) + get("l"),
		put("l", squeezed(t, "gzip", large), "Content-Encoding: gzip") + get("l") + put("l", squeezed(t, "zstd", "v2"), "Content-Encoding: zstd", "If-Match: *") + get("l"),
		put("l", squeezed(t, "deflate", url.QueryEscape(large+"&")), "Content-Encoding: deflate", "Content-Type: application/x-www-form-urlencoded") + get("l"),
		put("l", strings.Repeat("gr\xfcn", 15_000), "Content-Type: text/plain; charset=ISO-8859-1", "If-None-Match: *") + get("l"),
		put("l", "\xff\xfe"+strings.Repeat("a\x00\x3d\xd8\x00\xde", 9_000), "Content-Type: text/plain; charset=UTF-16") + get("l"),
		put("l", "0x"+strings.Repeat("0aff", 22_000), "Content-Type: application/octet-stream; encoding=hex") + get("l"),
		put("l", squeezed(t, "gzip", random(50_000)), "Content-Encoding: gzip") + get("l") + put("m", squeezed(t, "zstd", random(100_000)), "Content-Encoding: zstd") + get("m"),
		put("m", squeezed(t, "zstd", random(100_000))+"junk", "Content-Encoding: zstd") + get("m") + put("m", squeezed(t, "gzip", large)[:100], "Content-Encoding: gzip") + get("m"),
		put("l", squeezed(t, "raw deflate", large+large), "Content-Encoding: deflate") + put("l", large+"x", "Content-Type: application/octet-stream; encoding=base64") + get("l"),
		"PUT " + base + "l HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n" + pieces(squeezed(t, "gzip", large+large), 100) + "0\r\n\r\n" + get("l"),
		"PUT " + base + "l HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n" + pieces(squeezed(t, "gzip", random(40_000)), 9000) + "0\r\n\r\n" + get("l"),
		"PUT " + base + "l HTTP/1.1\r\nHost: a\r\nContent-Type: application/octet-stream; encoding=hex\r\nTransfer-Encoding: chunked\r\n\r\n" + pieces(strings.Repeat("0a", 50_000)+"x"+strings.Repeat("0a", 30_000), 70_000) + "0\r\n\r\n" + get("l"),
		get("a") + "GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n" + get("a"),
		put("k", strings.Repeat("v", 16<<10)) + strings.Repeat(get("k"), 40),
		put("k", "v") + put("l", "v") + on("GET", "?action=listen&includeCurrentState=true") + get("k"),
		put("l", large, "Content-Type: text/plain") + get("l", "Accept-Encoding: gzip") + get("l", "Accept-Encoding: zstd") + get("l", "Accept-Encoding: deflate") +
			get("l", "Accept: application/xml") + get("l", "Accept: application/json") + get("l", "Accept: text/plain; charset=UTF-16", "If-None-Match: 5") + get("l"),
		put("k", strings.Repeat("\u00fc\"\n", 12000)) + on("GET", "?action=entries") + put("k", "2") + on("GET", "?action=entries&metadata=true") +
			on("GET", "?action=keys") + on("GET", "?action=size") + on("POST", "?action=clear") + on("GET", "?action=size") + on("GET", "?action=keys") + get("k") +
			put("k", large) + on("GET", "?action=entries&content-negotiation=true") + on("GET", "?action=keys", "Connection: close"),
	}
}

// random is text that no coding makes short.
func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return string(b)
}

// pieces cuts a body into chunks.
func pieces(body string, size int) (s string) {
	for len(body) > 0 {
		n := min(size, len(body))
		s += fmt.Sprintf("%x\r\n%s\r\n", n, body[:n])
		body = body[n:]
	}
	return s
}

func TestAnyDriveGivesTheSameBytes(t *testing.T) {
	for _, script := range scripts(t) {
		setup(protocols.Env{}).Same(t, []byte(script), prototest.Ways(12))
	}
}

func FuzzStep(f *testing.F) {
	for _, s := range scripts(f) {
		if len(s) < 20_000 {
			f.Add([]byte(s), uint64(3))
		}
	}
	ways := prototest.Ways(60)
	f.Fuzz(func(t *testing.T, input []byte, seed uint64) {
		if len(input) <= 64<<10 {
			setup(protocols.Env{}).Same(t, input, ways[seed%60:][:1])
		}
	})
}

func TestSniff(t *testing.T) {
	p := http1.New(http1.Options{Service: rest.New(rest.Options{})})
	f := func(prefix string, want protocols.Match) {
		t.Helper()
		if got := p.Sniff([]byte(prefix)); got != want {
			t.Errorf("%q: got %d, want %d", prefix, got, want)
		}
	}
	for _, s := range []string{"GET /", "PUT http://a/b", "OPTIONS *", "M-SEARCH /"} {
		f(s, protocols.Yes)
		for i := 1; i < strings.IndexByte(s, ' ')+2; i++ {
			f(s[:i], protocols.Maybe)
		}
	}
	for _, s := range []string{"get k\r\n", "PRI * HTTP/2.0", "PROXY TCP4", "PING\r\n", "SSH-2.0", "\x16\x03", "\xa0", "*2\r\n", " GET", "EHLO x", "ABCDEFGHIJKLMNOPQRSTUVWX"} {
		f(s, protocols.No)
	}
}
