package daemon_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/latticed/latticed/daemon"
	"github.com/latticed/latticed/daemon/daemontest"
)

// overHTTP2 returns a client of the first listener of d that begins with HTTP/2.
func overHTTP2(t *testing.T, d *daemon.Daemon) *http.Client {
	t.Helper()
	addr := d.Addrs()[0]
	tr := &http.Transport{Protocols: new(http.Protocols), DisableCompression: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, addr.Network(), addr.String())
	}}
	tr.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// exchanges are requests and what they are answered with: method, path, fields, "<-" and the body, "->" status and the
// beginning of the answer's body. ~ is the base of all paths. They are in order; what goes before has had its effect.
const exchanges = `
POST ~/caches/c [Content-Type: application/json] <- {"local-cache":{"statistics":true,"encoding":{"media-type":"text/plain"},"expiration":{"lifespan":60000},"memory":{"max-count":100}}} -> 200
POST ~/caches/c [Content-Type: application/json] <- {"local-cache":{}} -> 400 ISPN000507: Cache c already exists
POST ~/caches/d <- {"local-cache":{}} -> 400 */*
POST ~/caches/d [Content-Type: image/png] <- {"local-cache":{}} -> 415
POST ~/caches/d [Content-Type: application/x-www-form-urlencoded] <- {"local-cache":{}} -> 415
POST ~/caches/d [Content-Type: application/json] <- {"local-cache": -> 400 Reached end of input at [1,16]
POST ~/caches/d [Content-Type: application/json] <- {"local-cache":{"nonsense":{}}} -> 400 ISPN000327: local-cache.nonsense: unknown element
POST ~/caches/d [Content-Type: application/json] <- {"local-cache":{"security":{"authorization":{"enabled":true}}}} -> 400 local-cache.security: there is no authorization yet
POST ~/caches/d [Content-Type: application/json] <- {"local-cache":{"indexing":{"enabled":true}}} -> 400 local-cache.indexing: this feature is not supported yet
POST ~/caches/d [Content-Type: application/json] <- {"local-cache":{"encoding":{"media-type":"application/x-protostream"}}} -> 400 storing as 'application/x-protostream' is not supported yet
POST ~/caches/d?template=no-such-template -> 400 ISPN000374: No such template 'no-such-template' when declaring 'd'
POST ~/caches/d [flags: NOPE] -> 400 No enum constant
POST ~/caches/a%0Ab -> 400 the name "a\nb" has characters that do not show
HEAD ~/caches/d -> 404
POST ~/caches/empty -> 200
POST ~/caches/braces [Content-Type: application/json] <- {} -> 200
POST ~/caches/local?template=org.infinispan.LOCAL -> 200
POST ~/caches/dist?template=org.infinispan.DIST_SYNC [flags: VOLATILE] -> 200
POST ~/caches/repl?template=org.infinispan.REPL_ASYNC -> 200
POST ~/caches/xml [Content-Type: application/xml] <- <distributed-cache owners="3" mode="ASYNC"><encoding media-type="application/json"/></distributed-cache> -> 200
POST ~/caches/yaml [Content-Type: application/yaml] <- {replicatedCache: {aliases: [other]}} -> 200
POST ~/caches/sniffed [Content-Type: text/plain] <- <local-cache/> -> 200
POST ~/caches/other -> 400 ISPN000507
HEAD ~/caches/c -> 204
HEAD ~/caches/other -> 204
GET ~/caches -> 200 ["braces","c","default","dist","empty","local","repl","sniffed","xml","yaml"]
GET ~/container/cache-configs/templates -> 200 [{"name":"org.infinispan.LOCAL","configuration":{"org.infinispan.LOCAL":{"local-cache":{"statistics":true}}}},
PUT ~/caches/c -> 400 ISPN012034: Wrong method 'PUT'
PUT ~/caches/c?template=org.infinispan.LOCAL -> 400 ISPN012034: Wrong method 'PUT'
PUT ~/caches/c [Content-Type: application/json] <- {"local-cache":{"encoding":{"media-type":"application/json"}}} -> 400 ISPN000963: Invalid configuration in 'c.local-cache'
PUT ~/caches/c [Content-Type: application/json] <- {"local-cache":{"statistics":true,"encoding":{"media-type":"text/plain"},"expiration":{"lifespan":"60000"},"memory":{"max-count":"200"}}} -> 200
PUT ~/caches/made [Content-Type: application/json] <- {"local-cache":{}} -> 200
POST ~/caches/made [Content-Type: application/json] [flags: UPDATE] <- {"local-cache":{"expiration":{"lifespan":"5"}}} -> 200
PUT ~/caches/made [Content-Type: application/json] <- {"local-cache":{"memory":{"max-count":"200"}}} -> 200
PUT ~/caches/made [Content-Type: application/json] <- {"local-cache":{"memory":{"max-size":"1MB"}}} -> 200
PUT ~/caches/default [Content-Type: application/json] <- {"local-cache":{"memory":{"max-count":"200"}}} -> 400 grid/store: alter cache "default": it has the memory of all and no bounds of its own
DELETE ~/caches/made -> 200
DELETE ~/caches/made -> 404
DELETE ~/caches/default -> 400 the cache default is always there
`

// bare are those whose paths differ between the versions of the interface.
var bare = map[string]string{
	"/rest/v2": `
GET ~/caches/c?action=config -> 200 {"c":{"local-cache":{"statistics":true,"encoding":{"media-type":"text/plain"},"expiration":{"lifespan":"60000"},"memory":{"max-count":"200"}}}}
HEAD ~/caches/c?action=config -> 200
GET ~/caches/c?action=config [Accept: application/xml] -> 200 <?xml version="1.0"?><local-cache name="c" statistics="true"><encoding media-type="text/plain"/><expiration lifespan="60000"/><memory max-count="200"/></local-cache>
GET ~/caches/c?action=config [Accept: application/yaml] -> 200 c:
GET ~/caches/empty?action=config&pretty=true -> 200 {
GET ~/caches/c?action=config [Accept: image/png] -> 406 ISPN012007: Cannot convert to image/png
GET ~/caches/none?action=config -> 404
GET ~/caches/other?action=config -> 200 {"yaml":{"replicated-cache":{"aliases":["other"]}}}
GET ~/caches/dist?action=config -> 200 {"dist":{"distributed-cache":{"mode":"SYNC","statistics":true}}}
GET ~/caches/c?action=get-mutable-attributes -> 200 ["aliases","expiration.lifespan","expiration.max-idle","jmx-statistics.statistics","memory.max-count","memory.max-size"]
GET ~/caches/c?action=get-mutable-attributes&full=true -> 200 {"aliases":{"value":[],"type":"set"},"expiration.lifespan":{"value":"60000","type":"timequantity"},
GET ~/caches/c?action=get-mutable-attribute -> 400 ISPN012040: Missing required argument 'attribute-name'
GET ~/caches/c?action=get-mutable-attribute&attribute-name=memory.max-count -> 200 "200"
GET ~/caches/c?action=get-mutable-attribute&attribute-name=encoding.media-type -> 400 ISPN012035: Attribute 'encoding.media-type' is immutable
GET ~/caches/c?action=get-mutable-attribute&attribute-name=nope -> 400 ISPN000960: No attribute 'nope' in 'local-cache'
POST ~/caches/c?action=set-mutable-attribute&attribute-name=memory.max-count&attribute-value=300 -> 200
POST ~/caches/c?action=set-mutable-attribute&attribute-name=aliases&attribute-value=x&attribute-value=y -> 200
POST ~/caches/c?action=set-mutable-attribute&attribute-name=memory.max-count&attribute-value=-5 -> 400 ISPN000686
POST ~/caches/c?action=set-mutable-attribute&attribute-name=memory.max-count -> 400 ISPN012040: Missing required argument 'attribute-value'
POST ~/caches/none?action=set-mutable-attribute&attribute-name=memory.max-count&attribute-value=1 -> 404 ISPN012010
GET ~/caches/y?action=get-mutable-attribute&attribute-name=memory.max-count -> 200 "300"
POST ~/caches/local?action=assign-alias&alias=y -> 200
GET ~/caches/y?action=get-mutable-attribute&attribute-name=memory.max-count -> 200 "-1"
POST ~/caches/local?action=set-mutable-attribute&attribute-name=memory.max-count&attribute-value=50 -> 200
GET ~/caches/local?action=get-mutable-attribute&attribute-name=memory.max-count -> 200 "50"
GET ~/caches/local?action=get-mutable-attribute&attribute-name=aliases -> 200 "y"
GET ~/caches/c?action=get-mutable-attribute&attribute-name=aliases -> 200 "x"
POST ~/caches/local?action=assign-alias&alias=y -> 200
POST ~/caches/local?action=assign-alias&alias=none -> 400 ISPN000436: Cache 'none' has been requested
POST ~/caches/local?action=assign-alias&alias=c -> 400 ISPN000438
POST ~/caches/local?action=assign-alias -> 400 ISPN012040: Missing required argument 'alias'
POST ~/caches/none?action=assign-alias&alias=y -> 404 ISPN012010
POST ~/caches?action=convert [Content-Type: application/json] [Accept: application/xml] <- {"localCache":{"statistics":"yes"}} -> 200 <?xml version="1.0"?><local-cache statistics="true"/>
POST ~/caches?action=toJSON [Content-Type: application/xml] <- <local-cache name="n"/> -> 200 {"n":{"local-cache":{}}}
POST ~/caches?action=convert [Content-Type: application/json] [Accept: image/png] <- {} -> 406
POST ~/caches?action=convert [Content-Type: application/json] -> 400 ISPN012031
GET ~/caches/c?action=stats -> 200 {"time_since_start":
POST ~/caches/c?action=stats-reset -> 204
GET ~/caches/c?action=size -> 200 0
GET ~/caches/c?action=keys -> 200 []
GET ~/caches/c?action=entries -> 200 []
GET ~/caches/c?action=health -> 200 HEALTHY
GET ~/caches/c?action=distribution -> 200 [{"node_name":"local",
GET ~/caches/c?action=get-availability -> 200 AVAILABLE
POST ~/caches/c?action=clear -> 204
GET ~/caches/xml -> 200 {"status":"RUNNING","name":"xml","type":"distributed-cache",
GET ~/caches?action=detailed -> 200 [{"status":"RUNNING","name":"braces",
`,
	"/rest/v3": `
GET ~/caches/c/config -> 200 {"c":{"local-cache":{"statistics":true,
HEAD ~/caches/c/config -> 200
GET ~/caches/c/config/attributes -> 200 ["aliases",
GET ~/caches/c/config/attributes/memory.max-count -> 200 "200"
GET ~/caches/c/config/attributes/nope -> 400 ISPN000960
POST ~/caches/c/config/attributes/memory.max-count?attribute-value=300 -> 200
GET ~/caches/c/config/attributes/memory.max-count -> 200 "300"
POST ~/caches/local/_assign-alias?alias=other -> 200
GET ~/caches/other/config -> 200 {"local":{"local-cache":{"aliases":["other"],
POST ~/_cache-config-convert [Content-Type: application/yaml] <- {localCache: {}} -> 200 {"local-cache":{}}
GET ~/caches/c/_stats -> 200 {"time_since_start":
POST ~/caches/c/_stats-reset -> 204
GET ~/caches/c/_size -> 200 0
GET ~/caches/c/keys -> 200 []
GET ~/caches/c/entries -> 200 []
GET ~/caches/c/_health -> 200 HEALTHY
GET ~/caches/c/_distribution -> 200 [{"node_name":"local",
GET ~/caches/c/_availability -> 200 AVAILABLE
POST ~/caches/c/_clear -> 204
GET ~/caches/xml/details -> 200 {"status":"RUNNING","name":"xml","type":"distributed-cache",
GET ~/meta/caches/_detailed -> 200 [{"status":"RUNNING","name":"braces",
`,
}

// converse makes the requests of a list and compares the answers.
func converse(t *testing.T, c *http.Client, base, list string) {
	t.Helper()
	n := 0
	for _, line := range strings.Split(strings.TrimSpace(list), "\n") {
		request, want, _ := strings.Cut(line, " -> ")
		status, begin, _ := strings.Cut(want, " ")
		request, body, _ := strings.Cut(request, " <- ")
		parts := strings.Split(request, " [")
		method, path, _ := strings.Cut(parts[0], " ")
		var fields []string
		for _, f := range parts[1:] {
			name, value, _ := strings.Cut(strings.TrimSuffix(f, "]"), ": ")
			fields = append(fields, name, value)
		}
		a, got := call(t, c, method, strings.Replace(path, "~", base, 1), strings.NewReader(body), fields...)
		if fmt.Sprint(a.StatusCode) != status || !strings.HasPrefix(got, begin) && !(a.StatusCode == 400 && strings.Contains(got, begin)) {
			t.Errorf("%s: got %d %.300s", line, a.StatusCode, got)
		}
		n++
	}
	if n < 15 {
		t.Errorf("made %d requests", n)
	}
}

// TestCachesByHTTP makes, changes and removes caches by every path, over both framings.
func TestCachesByHTTP(t *testing.T) {
	for base, more := range bare {
		for name, client := range map[string]func(*testing.T, *daemon.Daemon) *http.Client{"HTTP 1.1": browse, "HTTP 2": overHTTP2} {
			t.Run(strings.TrimPrefix(base, "/rest/")+" over "+name, func(t *testing.T) {
				c := client(t, daemontest.Boot(t, daemontest.AnyPort))
				converse(t, c, base, exchanges)
				converse(t, c, base, more)
			})
		}
	}
}

func part(kind, text string) string {
	return "--B\r\nContent-Disposition: form-data; name=\"x\"\r\nContent-Type: " + kind + "\r\n\r\n" + text + "\r\n"
}

func TestCompareConfigurations(t *testing.T) {
	web := browse(t, daemontest.Boot(t, daemontest.AnyPort))
	compare := func(path, body string, status int, text string) {
		t.Helper()
		a, got := call(t, web, "POST", path, strings.NewReader(body), "Content-Type", "multipart/form-data; boundary=B")
		if a.StatusCode != status || !strings.HasPrefix(got, text) {
			t.Errorf("%q: got %d %s, want %d %s", body, a.StatusCode, got, status, text)
		}
	}
	json := func(s string) string { return part("application/json", s) }
	const v2, v3, end = "/rest/v2/caches?action=compare", "/rest/v3/_cache-config-compare", "--B--\r\n"
	for _, path := range []string{v2, v3} {
		compare(path, json(`{"local-cache":{"statistics":true}}`)+part("application/xml", `<local-cache name="n" statistics="true"/>`)+end, 204, "")
		compare(path, json(`{"local-cache":{}}`)+json(`{"local-cache":{"statistics":true}}`)+end, 409, "")
		compare(path, json(`{"local-cache":{}}`)+json(`{"distributed-cache":{}}`)+end, 409, "ISPN000963")
		compare(path, json(`{"local-cache":{}}`)+end, 400, "ISPN012033")
		compare(path, json(`{}`)+json(`{}`)+json(`{}`)+end, 400, "ISPN012033")
		compare(path, json(`{}`)+json(`{"local-cache":`)+end, 400, "")
		compare(path, json(`{}`)+part("image/png", `{}`)+end, 415, "")
	}
	compare(v2+"&ignoreMutable=true", json(`{"local-cache":{}}`)+json(`{"local-cache":{"statistics":true}}`)+end, 204, "")
}

// A cache that a client makes has its own entries, bounds, lifespans, statistics and metrics, and none of them when it is
// gone, however long a connection had used it.
func TestCachesOfTheirOwn(t *testing.T) {
	daemontest.OnEachGrid(t, daemontest.AnyPort, func(t *testing.T, d *daemon.Daemon) {
		web, mc := browse(t, d), daemontest.Dial(t, d)
		do := func(method, path, body string, status int, fields ...string) (*http.Response, string) {
			t.Helper()
			a, got := call(t, web, method, "/rest/v2/caches/"+path, strings.NewReader(body), fields...)
			if a.StatusCode != status {
				t.Fatalf("%s %s: got %d %s, want %d", method, path, a.StatusCode, got, status)
			}
			return a, got
		}
		do("PUT", "c/k", "v", 404)
		do("POST", "c", `{"local-cache":{"aliases":"nick","expiration":{"lifespan":"1h"},"memory":{"max-count":3}}}`, 200, "Content-Type", "application/json")
		do("PUT", "c/k", "v", 204)
		do("PUT", "default/k", "other", 204)
		if a, got := do("GET", "nick/k", "", 200); got != "v" || a.Header.Get("timeToLiveSeconds") != "3600" {
			t.Errorf("got %q, %v", got, a.Header)
		}
		daemontest.Ask(t, mc, "get k\r\n", "VALUE k 0 5\r\nother\r\nEND\r\n")
		for i := range 10 {
			do("PUT", fmt.Sprint("c/k", i), "v", 204)
		}
		if _, size := do("GET", "c?action=size", "", 200); size != "3" && size != "2" {
			t.Errorf("got %s entries of at most 3", size)
		}
		do("GET", "c/none", "", 404)
		if _, stats := do("GET", "c?action=stats", "", 200); !strings.Contains(stats, `"hits":1,"misses":1,`) || !strings.Contains(stats, `"stores":11,`) {
			t.Errorf("got %s", stats)
		}
		_, metrics := call(t, web, "GET", "/metrics", nil)
		for _, line := range []string{`latticed_cache_hits_total{cache="c"} 1`, `latticed_cache_stores_total{cache="default"} 1`, `latticed_cache_hits_total{cache="default"} 1`} {
			if !strings.Contains(metrics, "\n"+line+"\n") {
				t.Errorf("no %s in metrics", line)
			}
		}
		do("DELETE", "c", "", 200)
		if _, got := do("GET", "c/k9", "", 404); !strings.HasPrefix(got, "ISPN012010") {
			t.Errorf("got %q", got)
		}
		do("POST", "c", "", 200)
		do("GET", "c/k9", "", 404)
		do("PUT", "c/k9", "new", 204)
		if _, got := do("GET", "c/k9", "", 200); got != "new" {
			t.Errorf("got %q", got)
		}
		if _, stats := do("GET", "c?action=stats", "", 200); !strings.Contains(stats, `"hits":1,"misses":1,`) {
			t.Errorf("of the new cache: got %s", stats)
		}
	})
}

// A cache with a media type stores values as that, or refuses them.
func TestEncodingOfCaches(t *testing.T) {
	d := daemontest.Boot(t, daemontest.AnyPort)
	web := browse(t, d)
	for _, c := range []struct{ cache, kind, value, status, read string }{
		{"text/plain", "", "v", "204", "v"},
		{"text/plain", "application/json", `{"a":1}`, "204", `{"a":1}`},
		{"text/plain", "application/octet-stream; encoding=hex", "0x6869", "204", "hi"},
		{"text/plain", "image/png", "x", "400", ""},
		{"application/json", "text/plain", "[1]", "204", "[1]"},
		{"application/json", "text/plain", "no", "400", ""},
		{"application/json", "application/json", strings.Repeat("[", 20_000), "204", strings.Repeat("[", 20_000)},
		{"application/xml", "text/plain", "a<b", "204", "<string>a&lt;b</string>"},
		{"application/octet-stream", "text/plain", "v", "204", "v"},
	} {
		call(t, web, "DELETE", "/rest/v2/caches/e", nil)
		if a, got := call(t, web, "POST", "/rest/v2/caches/e", strings.NewReader(`{"local-cache":{"encoding":{"media-type":"`+c.cache+`"}}}`), "Content-Type", "application/json"); a.StatusCode != 200 {
			t.Fatalf("got %d %s", a.StatusCode, got)
		}
		var fields []string
		if c.kind != "" {
			fields = []string{"Content-Type", c.kind}
		}
		a, got := call(t, web, "PUT", "/rest/v2/caches/e/k", strings.NewReader(c.value), fields...)
		if fmt.Sprint(a.StatusCode) != c.status {
			t.Errorf("%+v: got %d %s", c, a.StatusCode, got)
		}
		if c.read == "" {
			continue
		}
		tag := a.Header.Get("Etag")
		if a, got := call(t, web, "GET", "/rest/v2/caches/e/k", nil); got != c.read || a.Header.Get("Content-Type") != c.cache || a.Header.Get("Etag") != tag {
			t.Errorf("%+v: got %q, %v, tag of PUT %s", c, got, a.Header, tag)
		}
	}
}

// Who may not change the server makes no caches.
func TestCachesAreForAdministrators(t *testing.T) {
	web := browse(t, daemontest.Boot(t, "  listeners: [{address: '127.0.0.1:0', admin: off}]\n"))
	for _, r := range []string{"POST /rest/v2/caches/c", "PUT /rest/v2/caches/c", "DELETE /rest/v2/caches/default", "POST /rest/v3/caches/c",
		"POST /rest/v2/caches/default?action=set-mutable-attribute&attribute-name=expiration.lifespan&attribute-value=1",
		"POST /rest/v3/caches/default/config/attributes/expiration.lifespan?attribute-value=1"} {
		method, path, _ := strings.Cut(r, " ")
		if a, got := call(t, web, method, path, nil); a.StatusCode != 403 || !strings.Contains(got, "admin of listeners") {
			t.Errorf("%s: got %d %s", r, a.StatusCode, got)
		}
	}
	if _, got := call(t, web, "GET", "/rest/v2/caches", nil); got != `["default"]` {
		t.Errorf("got %s", got)
	}
}

// What clients make outlives the process where there is a data directory, with its entries if those are kept.
func TestCachesAfterRestart(t *testing.T) {
	dir := t.TempDir()
	warm := filepath.Join(dir, "warm")
	yaml := daemontest.AnyPort + "  data-dir: " + filepath.Join(dir, "data") + "\n  warm-restart: " + warm + "\n"
	stop := func(d *daemon.Daemon) {
		t.Helper()
		if err := d.Stop(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	d := daemontest.Start(t, yaml)
	web := browse(t, d)
	call(t, web, "POST", "/rest/v2/caches/c?template=org.infinispan.DIST_SYNC", nil)
	call(t, web, "POST", "/rest/v2/caches/gone", nil)
	call(t, web, "PUT", "/rest/v2/caches/c/k", strings.NewReader("v"))
	call(t, web, "DELETE", "/rest/v2/caches/gone", nil)
	if _, err := daemon.Start(daemon.Options{Config: daemontest.Configure(t, yaml), Version: "test", Log: zerolog.Nop()}); err == nil || !strings.Contains(err.Error(), "another latticed uses it") {
		t.Errorf("a second daemon in the same directory: got %v", err)
	}
	web.CloseIdleConnections()
	stop(d)
	if err := d.Freeze(warm); err != nil {
		t.Fatal(err)
	}
	d.Close()
	d = daemontest.Start(t, yaml)
	web = browse(t, d)
	if _, got := call(t, web, "GET", "/rest/v2/caches", nil); got != `["c","default"]` {
		t.Errorf("got %s", got)
	}
	if _, got := call(t, web, "GET", "/rest/v2/caches/c/k", nil); got != "v" {
		t.Errorf("got %q", got)
	}
	// The directory goes away: the change is refused, and nothing has changed.
	if err := os.RemoveAll(filepath.Join(dir, "data")); err != nil {
		t.Fatal(err)
	}
	if a, got := call(t, web, "POST", "/rest/v2/caches/new", nil); a.StatusCode != 500 || !strings.Contains(got, "nothing was changed") {
		t.Errorf("got %d %s", a.StatusCode, got)
	}
	if a, got := call(t, web, "DELETE", "/rest/v2/caches/c", nil); a.StatusCode != 500 || !strings.Contains(got, "nothing was changed") {
		t.Errorf("got %d %s", a.StatusCode, got)
	}
	if _, got := call(t, web, "GET", "/rest/v2/caches", nil); got != `["c","default"]` {
		t.Errorf("got %s", got)
	}
	web.CloseIdleConnections()
	stop(d)
	d.Close()
	if err := os.MkdirAll(filepath.Join(dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "data", "caches.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := daemon.Start(daemon.Options{Config: daemontest.Configure(t, yaml), Version: "test", Log: zerolog.Nop()}); err == nil || !strings.Contains(err.Error(), "caches.json") {
		t.Errorf("a torn file: got %v", err)
	}
}

// TestIgnoredCaches has caches refused for a while: to HTTP clients, and only there, as on Infinispan.
func TestIgnoredCaches(t *testing.T) {
	d := daemontest.Boot(t, daemontest.AnyPort)
	web, mc := browse(t, d), daemontest.Dial(t, d)
	call(t, web, "POST", "/rest/v2/caches/c", strings.NewReader(`{"local-cache":{"aliases":["other"]}}`), "Content-Type", "application/json")
	daemontest.Ask(t, mc, "set k 0 0 1\r\nv\r\n", "STORED\r\n")
	const refusal = "ISPN012008: Cache with name 'default' is temporarily unavailable."
	is := func(method, path string, status int, text string) {
		t.Helper()
		if a, got := call(t, web, method, path, nil); a.StatusCode != status || text != "" && got != text {
			t.Errorf("%s %s: got %d %.200q, want %d %q", method, path, a.StatusCode, got, status, text)
		}
	}
	const ignored = "/rest/v2/server/ignored-caches"
	is("GET", ignored, 200, "[]")
	is("GET", keys+"k", 200, "v")
	is("POST", ignored+"/default", 204, "")
	is("POST", ignored+"/default", 204, "")
	is("POST", "/rest/v3/server/ignored-caches/other", 204, "")
	is("GET", ignored, 200, `["c","default"]`)
	for _, request := range []string{
		"GET " + keys + "k", "HEAD " + keys + "k", "PUT " + keys + "k", "DELETE " + keys + "k", "GET /rest/v3/caches/default/entries/k",
	} {
		method, path, _ := strings.Cut(request, " ")
		is(method, path, 503, map[string]string{"GET": refusal}[method])
	}
	for _, action := range []string{"", "size", "keys", "entries", "stats", "distribution", "listen", "get-mutable-attributes", "get-mutable-attribute&attribute-name=statistics"} {
		is("GET", "/rest/v2/caches/default?action="+action, map[bool]int{true: 400, false: 503}[action == ""], "")
	}
	is("GET", "/rest/v2/caches/default", 503, refusal)
	for _, action := range []string{"clear", "stats-reset", "set-mutable-attribute&attribute-name=statistics&attribute-value=true"} {
		is("POST", "/rest/v2/caches/default?action="+action, 503, refusal)
	}
	is("HEAD", "/rest/v2/caches/default", 204, "")
	for _, action := range []string{"config", "health", "get-availability"} {
		is("GET", "/rest/v2/caches/default?action="+action, 200, "")
	}
	if _, got := call(t, web, "GET", "/rest/v2/caches?action=detailed", nil); strings.Count(got, `"status":"IGNORED"`) != 2 {
		t.Errorf("detailed: got %s", got)
	}
	daemontest.Ask(t, mc, "get k\r\n", "VALUE k 0 1\r\nv\r\nEND\r\n")
	is("DELETE", ignored+"/default", 204, "")
	is("DELETE", ignored+"/default", 204, "")
	is("GET", keys+"k", 200, "v")
	is("GET", "/rest/v2/caches/c?action=size", 503, "")
	is("DELETE", "/rest/v2/caches/c", 200, "")
	is("GET", ignored, 200, "[]")
	is("POST", ignored+"/c", 404, "")
}
