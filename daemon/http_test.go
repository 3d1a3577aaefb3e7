package daemon_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/latticed/latticed/daemon"
	"github.com/latticed/latticed/daemon/daemontest"
)

// browse returns a client of the first listener of d.
func browse(t *testing.T, d *daemon.Daemon) *http.Client {
	t.Helper()
	addr := d.Addrs()[0]
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, addr.Network(), addr.String())
	}, DisableCompression: true}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// call makes a request; fields are pairs of name and value.
func call(t *testing.T, c *http.Client, method, path string, body io.Reader, fields ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest(method, "http://localhost"+path, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(fields); i += 2 {
		if r.Header.Set(fields[i], fields[i+1]); fields[i] == "Host" {
			r.Host = fields[i+1]
		}
	}
	a, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return a, string(b)
}

const keys = "/rest/v2/caches/default/"

func TestMemcachedAndHTTPShareEntries(t *testing.T) {
	for _, listener := range []string{daemontest.AnyPort, "  listeners: [{address: 'unix:" + t.TempDir() + "/s'}]\n"} {
		d := daemontest.Boot(t, listener)
		mc := daemontest.DialAddr(t, d.Addrs()[0])
		web := browse(t, d)
		daemontest.Ask(t, mc, "set k 7 0 5\r\nhello\r\n", "STORED\r\n")
		if a, got := call(t, web, "GET", keys+"k", nil); a.StatusCode != 200 || got != "hello" || a.Header.Get("Content-Type") != "application/octet-stream" {
			t.Errorf("GET: got %d %v %q", a.StatusCode, a.Header, got)
		}
		if a, _ := call(t, web, "PUT", keys+"k", strings.NewReader("world"), "Content-Type", "text/plain"); a.StatusCode != 204 {
			t.Errorf("PUT: got %d", a.StatusCode)
		}
		daemontest.Ask(t, mc, "get k\r\n", "VALUE k 0 5\r\nworld\r\nEND\r\n")
		if a, _ := call(t, web, "PUT", keys+"with%20space", strings.NewReader("v")); a.StatusCode != 204 {
			t.Errorf("PUT: got %d", a.StatusCode)
		}
		daemontest.Ask(t, mc, "mg d2l0aCBzcGFjZQ== b k v\r\n", "VA 1 kd2l0aCBzcGFjZQ== b\r\nv\r\n")
		if a, _ := call(t, web, "DELETE", keys+"k", nil); a.StatusCode != 204 {
			t.Errorf("DELETE: got %d", a.StatusCode)
		}
		daemontest.Ask(t, mc, "get k\r\n", "END\r\n")
	}
}

func TestWhoWatchesByHTTP(t *testing.T) {
	daemontest.OnEachGrid(t, daemontest.AnyPort, func(t *testing.T, d *daemon.Daemon) {
		web := browse(t, d)
		large := strings.Repeat("v", 100_000)
		call(t, web, "PUT", keys+"small", strings.NewReader("v"))
		call(t, web, "PUT", keys+"large", strings.NewReader(large))
		daemontest.Ask(t, daemontest.Dial(t, d), "get small\r\nget none\r\n", "VALUE small 0 1\r\nv\r\nEND\r\nEND\r\n")
		call(t, web, "GET", keys+"small", nil)
		_, got := call(t, web, "GET", "/rest/v2/caches/default?action=entries", nil)
		var entries []struct{ Key, Value string }
		if err := json.Unmarshal([]byte(got), &entries); err != nil || len(entries) != 2 {
			t.Fatalf("entries: got %.200q, %v", got, err)
		}
		for _, e := range entries {
			if want := map[string]string{"small": "v", "large": large}[e.Key]; e.Value != want {
				t.Errorf("%s: got %d bytes, want %d", e.Key, len(e.Value), len(want))
			}
		}
		for _, path := range []string{"/health/live", "/health/ready", "/health/started", "/rest/v2/container/health/status", "/", "/status.json"} {
			if a, _ := call(t, web, "GET", path, nil); a.StatusCode != 200 {
				t.Errorf("%s: got %d", path, a.StatusCode)
			}
		}
		var stats struct{ Stores, Hits, Misses, Approximate_entries int }
		_, got = call(t, web, "GET", "/rest/v2/caches/default?action=stats", nil)
		if err := json.Unmarshal([]byte(got), &stats); err != nil || stats.Stores != 2 || stats.Hits != 2 || stats.Misses != 1 || stats.Approximate_entries != 2 {
			t.Errorf("stats of both protocols: got %+v, %v, from %s", stats, err, got)
		}
		a, metrics := call(t, web, "GET", "/metrics", nil)
		if a.StatusCode != 200 || !strings.Contains(metrics, "\nlatticed_cache_hits_total{cache=\"default\"} 2\n") ||
			!strings.Contains(metrics, "\ninfinispan_statistics_stores{cache=\"default\",") || !strings.Contains(metrics, "\nprocess_resident_memory_bytes ") {
			t.Errorf("metrics: got %d %.500s", a.StatusCode, metrics)
		}
		if n := d.Counters().Streams.Load(); n != 1 {
			t.Errorf("metrics are gathered on a goroutine: got %d connections there, want 1", n)
		}
		call(t, web, "POST", "/rest/v2/caches/default?action=clear", nil)
		if _, got := call(t, web, "GET", "/rest/v2/caches/default?action=size", nil); got != "0" {
			t.Errorf("size behind clear: got %s", got)
		}
	})
}

// The server guide of Infinispan promises that HTTP becomes another protocol when asked.
func TestUpgrade(t *testing.T) {
	d := daemontest.Boot(t, "  listeners:\n    - {address: '127.0.0.1:0'}\n    - {address: '127.0.0.1:0', protocols: [http]}\n")
	put := "PUT " + keys + "k HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nv"
	upgrade := func(fields string) string { return "GET / HTTP/1.1\r\nHost: localhost\r\n" + fields + "\r\n" }
	for _, fields := range []string{
		"Connection: Upgrade\r\nUpgrade: memcached\r\n", "Upgrade: websocket, MB\r\nConnection: keep-alive, upgrade\r\n",
	} {
		c := daemontest.Dial(t, d)
		if _, err := io.WriteString(c, put+upgrade(fields)+"get k\r\nquit\r\nGET / HTTP/1.1\r\n"); err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(c)
		got := regexp.MustCompile("Date: .*\r\n").ReplaceAllString(string(b), "")
		if want := "HTTP/1.1 204 No Content\r\nEtag: -810810860\r\n\r\n" +
			"HTTP/1.1 101 Switching Protocols\r\nUpgrade: memcached\r\nConnection: Upgrade\r\n\r\nVALUE k 0 1\r\nv\r\nEND\r\n"; got != want {
			t.Errorf("%q: got %q, %v, want %q", fields, got, err, want)
		}
	}
	for _, fields := range []string{"Connection: Upgrade\r\nUpgrade: hotrod\r\n", "Upgrade: memcached\r\n"} {
		daemontest.Ask(t, daemontest.Dial(t, d), upgrade(fields), "HTTP/1.1 200 OK\r\n") // ignored, as HTTP says
	}
	daemontest.Ask(t, daemontest.DialAddr(t, d.Addrs()[1]), upgrade("Connection: Upgrade\r\nUpgrade: memcached\r\n"), "HTTP/1.1 200 OK\r\n")
	daemontest.Ask(t, daemontest.Dial(t, d), upgrade("Connection: Upgrade\r\nUpgrade: memcached\r\nOrigin: http://evil.example\r\n"), "HTTP/1.1 403 Forbidden\r\n")
}

func TestForeignNamesOfThisMachine(t *testing.T) {
	d := daemontest.Boot(t, daemontest.AnyPort)
	if a, got := call(t, browse(t, d), "GET", keys+"k", nil, "Host", "evil.example:11222"); a.StatusCode != 403 || !strings.Contains(got, "http.allowed-hosts") {
		t.Errorf("a foreign Host: got %d %q, want 403 and the key that allows it", a.StatusCode, got)
	}
	d = daemontest.Boot(t, daemontest.AnyPort+"  http: {allowed-hosts: [cache.example.com]}\n")
	if a, _ := call(t, browse(t, d), "GET", keys+"k", nil, "Host", "cache.example.com"); a.StatusCode != 404 {
		t.Errorf("an allowed Host: got %d, want 404", a.StatusCode)
	}
}

// What does not fit between two shards' locks is streamed, with and without an announced length, also when windows and
// pieces come bit by bit.
func TestLargeValuesByHTTP(t *testing.T) {
	value := bytes.Repeat([]byte("0123456789abcdef"), 2<<20/16)
	daemontest.OnEachGrid(t, daemontest.AnyPort, func(t *testing.T, d *daemon.Daemon) {
		web := browse(t, d)
		for _, body := range []io.Reader{bytes.NewReader(value), io.MultiReader(bytes.NewReader(value))} {
			put, text := call(t, web, "PUT", keys+"k", body)
			if put.StatusCode != 204 {
				t.Fatalf("PUT: got %d %s", put.StatusCode, text)
			}
			get, got := call(t, web, "GET", keys+"k", nil)
			if get.StatusCode != 200 || got != string(value) || get.Header.Get("Etag") != put.Header.Get("Etag") {
				t.Errorf("GET: got %d, %d bytes, tag %s, want %d bytes, tag %s", get.StatusCode, len(got), get.Header.Get("Etag"), len(value), put.Header.Get("Etag"))
			}
			head, _ := call(t, web, "HEAD", keys+"k", nil)
			if head.StatusCode != 200 || head.ContentLength != int64(len(value)) {
				t.Errorf("HEAD: got %d, length %d", head.StatusCode, head.ContentLength)
			}
		}
	})
}

// Of many who add one to a number by If-Match, each succeeds exactly once a number.
func TestConditionalWritesAreAtomic(t *testing.T) {
	daemontest.OnEachGrid(t, daemontest.AnyPort, func(t *testing.T, d *daemon.Daemon) {
		first, _ := call(t, browse(t, d), "PUT", keys+"n", strings.NewReader("0"))
		const clients, each = 4, 25
		done := make(chan error, clients)
		for range clients {
			web := browse(t, d)
			go func() {
				for won := 0; won < each; {
					r, err := web.Get("http://localhost" + keys + "n")
					if err != nil {
						done <- err
						return
					}
					b, _ := io.ReadAll(r.Body)
					r.Body.Close()
					var n int
					fmt.Sscan(string(b), &n)
					q, _ := http.NewRequest("PUT", "http://localhost"+keys+"n", strings.NewReader(fmt.Sprint(n+1)))
					q.Header.Set("If-Match", r.Header.Get("Etag"))
					a, err := web.Do(q)
					if err != nil {
						done <- err
						return
					}
					a.Body.Close()
					switch a.StatusCode {
					case 204:
						won++
					case 412, 503:
					default:
						done <- fmt.Errorf("PUT: got %d", a.StatusCode)
						return
					}
				}
				done <- nil
			}()
		}
		for range clients {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		if _, got := call(t, browse(t, d), "GET", keys+"n", nil); got != fmt.Sprint(clients*each) {
			t.Errorf("got %s, want %d; first tag %s", got, clients*each, first.Header.Get("Etag"))
		}
	})
}

// TestHTTP2 makes requests by prior knowledge and by ALPN, many at a time, with a value that is streamed.
func TestHTTP2(t *testing.T) {
	d := daemontest.Boot(t, daemontest.AnyPort+"  tls: {self-signed: true}\n")
	addr := d.Addrs()[0].String()
	over := func(scheme string, protocols func(*http.Protocols)) {
		t.Helper()
		tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, Protocols: new(http.Protocols), DisableCompression: true}
		protocols(tr.Protocols)
		defer tr.CloseIdleConnections()
		c := &http.Client{Transport: tr}
		do := func(method, key string, body string) (*http.Response, string) {
			r, err := http.NewRequest(method, scheme+"://"+addr+keys+key, strings.NewReader(body))
			if err != nil {
				t.Error(err)
				return nil, ""
			}
			a, err := c.Do(r)
			if err != nil {
				t.Error(err)
				return nil, ""
			}
			defer a.Body.Close()
			b, err := io.ReadAll(a.Body)
			if err != nil {
				t.Errorf("%s %s: %v", method, key, err)
			}
			return a, string(b)
		}
		big := strings.Repeat("0123456789", 300_000)
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				key, value := fmt.Sprint(scheme, i), fmt.Sprint("value ", i)
				if i%10 == 0 {
					value = big
				}
				a, _ := do("PUT", key, value)
				if a == nil || a.StatusCode != 204 || a.ProtoMajor != 2 {
					t.Errorf("PUT: %+v", a)
					return
				}
				if a, got := do("GET", key, ""); a == nil || got != value {
					t.Errorf("GET: %+v, %d bytes", a, len(got))
				}
			})
		}
		all.Wait()
	}
	over("http", func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) })
	over("https", func(p *http.Protocols) { p.SetHTTP2(true) })
}

// TestBehindAProxy asks as a reverse proxy on this machine would, with and without its word being taken.
func TestBehindAProxy(t *testing.T) {
	status := func(d *daemon.Daemon, fields ...string) int {
		t.Helper()
		a, _ := call(t, browse(t, d), "GET", keys+"none", nil, fields...)
		return a.StatusCode
	}
	const hosts = "  http: {allowed-hosts: [cache.example.com]}\n"
	strict := daemontest.Boot(t, daemontest.AnyPort+hosts)
	trusting := daemontest.Boot(t, "  listeners: [{address: '127.0.0.1:0', trusted-proxies: [127.0.0.1]}]\n"+hosts)
	page := []string{"Origin", "https://cache.example.com", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "cache.example.com", "X-Forwarded-For", "192.0.2.1"}
	if got := status(strict, page...); got != 403 {
		t.Errorf("anybody says that the page is from here: got %d", got)
	}
	if got := status(trusting, page...); got != 404 {
		t.Errorf("the page is from here: got %d", got)
	}
	if got := status(trusting, "X-Forwarded-Host", "evil.example"); got != 403 {
		t.Errorf("the proxy was led here by a foreign name: got %d", got)
	}
	if got := status(trusting, "Host", "evil.example", "X-Forwarded-Host", "cache.example.com"); got != 403 {
		t.Errorf("a page that was led here says that it was not: got %d", got)
	}
	if a, _ := call(t, browse(t, trusting), "DELETE", "/rest/v2/caches/none", nil); a.StatusCode != 403 {
		t.Errorf("behind a proxy is the whole world, which may not administer: got %d", a.StatusCode)
	}
}

// TestConnectors lets a client say who may connect, and where: as Infinispan's, but for what docs/compatibility.md names.
func TestConnectors(t *testing.T) {
	d := daemontest.Boot(t, "  event-loops: 1\n  listeners:\n    - {address: '127.0.0.1:0'}\n"+
		"    - {address: '127.0.0.1:0', protocols: [memcached], allow: ['127.0.0.0/8'], deny: ['127.9.0.0/16']}\n    - {address: '127.0.0.1:0', protocols: [http]}\n")
	web := browse(t, d)
	second := "endpoint-" + d.Addrs()[1].String()
	const all = "/rest/v2/server/connectors/"
	is := func(method, path, body string, status int, want string) {
		t.Helper()
		if a, got := call(t, web, method, path, strings.NewReader(body)); a.StatusCode != status || !regexp.MustCompile("^(?:"+want+")$").MatchString(got) {
			t.Errorf("%s %s %s: got %d %q, want %d %q", method, path, body, a.StatusCode, got, status, want)
		}
	}
	port := func(i int) string { return fmt.Sprint(d.Addrs()[i].(*net.TCPAddr).Port) }
	allowed := `\[{"type":"reject","from":"127.9.0.0/16"},{"type":"accept","from":"127.0.0.0/8"},{"type":"reject","from":"0.0.0.0/0"},{"type":"reject","from":"::/0"}\]`
	is("GET", "/rest/v3/server/connectors", "", 200, `\["endpoint-default","`+second+`","endpoint-127.0.0.1:`+port(2)+`"\]`)
	is("GET", all+"endpoint-default", "", 200, `{"name":"endpoint-default","ip-filter-rules":\[\],"default-cache":"default","host":"127.0.0.1","port":`+port(0)+
		`,"local-connections":1,"global-connections":1,"io-threads":1,"send-buffer-size":0,"receive-buffer-size":0,"enabled":true}`)
	is("GET", all+"endpoint-127.0.0.1:"+port(2), "", 200, `.*"default-cache":null.*`)
	is("GET", all+second+"/ip-filter", "", 200, allowed)

	// Who is there is closed, who comes is not let in, until the listener is started again.
	mc := daemontest.DialAddr(t, d.Addrs()[1])
	daemontest.Ask(t, mc, "mn\r\n", "MN\r\n")
	is("GET", all+second, "", 200, `.*"local-connections":1,.*"enabled":true}`)
	is("POST", all+second+"?action=stop", "", 204, "")
	for _, c := range []net.Conn{mc, daemontest.DialAddr(t, d.Addrs()[1])} {
		if b, err := io.ReadAll(c); len(b) != 0 {
			t.Errorf("on a stopped listener: got %q, %v", b, err)
		}
	}
	is("GET", all+second, "", 200, `.*"enabled":false}`)
	is("POST", "/rest/v3/server/connectors/"+second+"/_start", "", 204, "")
	mc = daemontest.DialAddr(t, d.Addrs()[1])
	daemontest.Ask(t, mc, "mn\r\n", "MN\r\n")

	// Nobody cuts himself off.
	is("POST", all+"endpoint-default?action=stop", "", 409, "ISPN012501: Request to stop connector 'endpoint-default' attempted from the connector itself")
	is("POST", all+"endpoint-default/ip-filter", `[{"type":"REJECT","cidr":"127.0.0.0/8"}]`, 409,
		`ISPN012500: Reject rule 'IpSubnetFilterRule{rule=REJECT, cidr='127.0.0.0/8'}' matches request address '/127.0.0.1:\d+'`)
	is("POST", all+"endpoint-default/ip-filter", `[{"type":"ACCEPT","cidr":"127.0.0.1/32"},{"type":"REJECT","cidr":"0.0.0.0/0"}]`, 204, "")
	is("GET", all+"endpoint-default/ip-filter", "", 200, `\[{"type":"accept","from":"127.0.0.1/32"},{"type":"reject","from":"0.0.0.0/0"}\]`)
	is("DELETE", all+"endpoint-default/ip-filter", "", 204, "")

	for body, want := range map[string]string{
		"": "ISPN012043: Invalid request content", `{"type":"REJECT","cidr":"10.0.0.0/8"}`: "ISPN012043: Invalid request content", `[{"type":"REJECT"}]`: `ISPN012044: Missing at least one argument in '\[type, cidr\]'`,
		`[{"type":"NOPE","cidr":"10.0.0.0/8"}]`: `No enum constant .*\.NOPE`, `[{"type":"REJECT","cidr":"garbage"}]`: "want a range .*",
		"[" + strings.Repeat(`{"type":"REJECT","cidr":"10.0.0.0/8"},`, 1024) + `{"type":"REJECT","cidr":"10.0.0.0/8"}]`: "more than 1024 rules",
	} {
		is("POST", all+second+"/ip-filter", body, 400, want)
	}
	is("GET", all+second+"/ip-filter", "", 200, allowed)

	// Rules close those whom they refuse, and stay when the configuration is read again, unless it has others.
	is("POST", all+second+"/ip-filter", `[{"type":"reject","cidr":"10.1.2.3/8"},{"type":"REJECT","cidr":"::ffff:192.0.2.0/120"}]`, 204, "")
	is("GET", all+second+"/ip-filter", "", 200, `\[{"type":"reject","from":"10.0.0.0/8"},{"type":"reject","from":"192.0.2.0/24"}\]`)
	daemontest.Ask(t, mc, "mn\r\n", "MN\r\n")
	is("POST", all+second+"/ip-filter", `[{"type":"REJECT","cidr":"127.0.0.0/8"}]`, 204, "")
	if b, err := io.ReadAll(mc); len(b) != 0 {
		t.Errorf("refused by a new rule: got %q, %v", b, err)
	}
	if n := d.Counters().Expelled.Load(); n != 2 {
		t.Errorf("counted %d that had to go, want 2", n)
	}
	again := "  event-loops: 1\n  listeners:\n    - {address: '127.0.0.1:0'}\n    - {address: '127.0.0.1:0', protocols: [memcached], allow: ['127.0.0.0/8'], deny: [%s]}\n" +
		"    - {address: '127.0.0.1:0', protocols: [http]}\n"
	d.Reload(daemontest.Configure(t, fmt.Sprintf(again, "'127.9.0.0/16'")))
	is("GET", all+second+"/ip-filter", "", 200, `\[{"type":"reject","from":"127.0.0.0/8"}\]`)
	d.Reload(daemontest.Configure(t, fmt.Sprintf(again, "")))
	is("GET", all+second+"/ip-filter", "", 200, `\[{"type":"accept","from":"127.0.0.0/8"},{"type":"reject","from":"0.0.0.0/0"},{"type":"reject","from":"::/0"}\]`)
}

// TestConnections lists who is connected, by whatever protocol, and what is known of each.
func TestConnections(t *testing.T) {
	socket := t.TempDir() + "/s"
	d := daemontest.Boot(t, "  tls: {self-signed: true}\n  listeners: [{address: '127.0.0.1:0'}, {address: 'unix:"+socket+"'}]\n")
	mc, local, silent := daemontest.Dial(t, d), daemontest.DialAddr(t, d.Addrs()[1]), daemontest.Dial(t, d)
	daemontest.Ask(t, mc, "mn\r\n", "MN\r\n")
	daemontest.Ask(t, local, "GET /health/live HTTP/1.1\r\nHost: localhost\r\nUser-Agent: tool/1.0 (\xff"+strings.Repeat("x", 200)+")\r\n\r\n", "HTTP/1.1 200 OK\r\n")
	secret, err := tls.Dial("tcp", d.Addrs()[0].String(), &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer secret.Close()
	daemontest.Ask(t, secret, "mn\r\n", "MN\r\n")
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, Protocols: new(http.Protocols)}
	tr.Protocols.SetHTTP2(true)
	defer tr.CloseIdleConnections()
	r, err := http.NewRequest("GET", "https://"+d.Addrs()[0].String()+"/rest/v3/server/connections", nil)
	if err != nil {
		t.Fatal(err)
	}
	daemontest.Eventually(t, "four connections", func() bool { return d.Counters().Conns.Load() == 4 })
	a, err := (&http.Client{Transport: tr}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	body, err := io.ReadAll(a.Body)
	if err != nil || a.StatusCode != 200 {
		t.Fatalf("got %d, %v", a.StatusCode, err)
	}
	var list []map[string]any
	if err := json.Unmarshal(body, &list); err != nil || len(list) != 5 {
		t.Fatalf("got %s, %v, want 5 connections", body, err)
	}
	port := "/" + d.Addrs()[0].String()
	for what, want := range map[string]map[string]any{
		"/" + mc.LocalAddr().String():     {"protocol-version": "memcached", "client-library": nil, "local-address": port},
		"/" + silent.LocalAddr().String(): {"protocol-version": nil, "client-library": nil, "local-address": port},
		"/" + secret.LocalAddr().String(): {"protocol-version": "memcached", "ssl-application-protocol": "http/1.1", "ssl-protocol": "TLSv1.2",
			"ssl-cipher-suite": tls.CipherSuiteName(secret.ConnectionState().CipherSuite)},
		"h2":   {"protocol-version": "HTTP/2", "client-library": "Go-http-client/2.0", "ssl-application-protocol": "h2", "ssl-protocol": "TLSv1.3"},
		"unix": {"remote-address": nil, "local-address": "unix:" + socket, "protocol-version": "HTTP/1.1", "client-library": "tool/1.0 (" + strings.Repeat("x", 117)},
	} {
		i := slices.IndexFunc(list, func(c map[string]any) bool {
			switch what {
			case "h2":
				return c["protocol-version"] == "HTTP/2"
			case "unix":
				return c["remote-address"] == nil
			}
			return c["remote-address"] == what
		})
		if i < 0 {
			t.Errorf("%s is not among %s", what, body)
			continue
		}
		c := list[i]
		for name, v := range want {
			if c[name] != v {
				t.Errorf("%s: %s: got %v, want %v", what, name, c[name], v)
			}
		}
		if _, err := time.Parse(time.RFC3339Nano, fmt.Sprint(c["created"])); err != nil || c["server-node-name"] != "local" || c["principal"] != nil || len(c) < 10 {
			t.Errorf("%s: got %v, %v", what, c, err)
		}
	}
}

// TestServerConfiguration tells how the server runs now, without secrets.
func TestServerConfiguration(t *testing.T) {
	dir := t.TempDir()
	pemFile(t, dir+"/cert.pem")
	if err := os.WriteFile(dir+"/password", []byte("hidden\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	yaml := "  data-dir: " + dir + "/data\n  http: {cors-rules: [{allowed-origins: [https://a.example], allowed-methods: [GET, PUT]}]}\n  listeners:\n" +
		"    - {address: '127.0.0.1:0', idle-timeout: %s}\n    - {address: 'unix:" + dir + "/s', protocols: [memcached]}\n" +
		"    - {address: '0.0.0.0:0', protocols: [memcached], tls: {certificates: [" + dir + "/cert.pem], password-file: " + dir + "/password, min-version: '1.3'}}\n"
	d := daemontest.Boot(t, fmt.Sprintf(yaml, "1m"))
	web := browse(t, d)
	d.Reload(daemontest.Configure(t, fmt.Sprintf(yaml, "2m")))
	port := func(i int) string { return fmt.Sprint(d.Addrs()[i].(*net.TCPAddr).Port) }
	second := d.Addrs()[2].String()
	server := `"server":{"interfaces":[{"name":"public","inet-address":{"value":"127.0.0.1"}},{"name":"::","any-address":{}}],` +
		`"socket-bindings":{"port-offset":"0","default-interface":"public","socket-binding":[{"name":"default","port":"` + port(0) + `","interface":"public"},` +
		`{"name":"` + second + `","port":"` + port(2) + `","interface":"::"}]},"security":{"security-realms":[{"name":"` + second +
		`","server-identities":{"ssl":{"keystore":{"path":"` + dir + `/cert.pem","password":"***"},"engine":{"enabled-protocols":["TLSv1.3"]}}}}]},` +
		`"endpoints":{"endpoint":[{"idle-timeout":"120000","socket-binding":"default","rest-connector":{"name":"rest","socket-binding":"default","max-content-length":"10MB",` +
		`"cors-rules":[{"allow-credentials":false,"max-age-seconds":"0","allowed-origins":["https://a.example"],"allowed-methods":["GET","PUT"]}]},` +
		`"memcached-connector":{"cache":"default","name":"memcached","socket-binding":"default","protocol":"TEXT"}},` +
		`{"socket-binding":"` + second + `","security-realm":"` + second + `","admin":false,"memcached-connector":{"cache":"default","name":"memcached-` + second +
		`","socket-binding":"` + second + `","protocol":"TEXT"}}]}}}`
	for path, want := range map[string]string{
		"/rest/v2/server/config": "{" + server, "/rest/v3/server/config": "{" + server,
		"/rest/v2/container/config": `{"infinispan":{"cache-container":{"name":"default","statistics":"true","global-state":{"persistent-location":{"path":"` +
			dir + `/data"}},"caches":{}},` + server + "}",
	} {
		if a, got := call(t, web, "GET", path, nil); a.StatusCode != 200 || a.Header.Get("Content-Type") != "application/json" || got != want {
			t.Errorf("%s: got %d\n%s\nwant\n%s", path, a.StatusCode, got, want)
		}
	}
	for accept, want := range map[string]string{"application/xml": "200 application/xml", "application/yaml": "200 application/yaml", "text/plain": "406 text/plain; charset=utf-8"} {
		if a, got := call(t, web, "GET", "/rest/v2/server/config", nil, "Accept", accept); fmt.Sprint(a.StatusCode, " ", a.Header.Get("Content-Type")) != want {
			t.Errorf("%s: got %d %v %s", accept, a.StatusCode, a.Header, got)
		}
	}
	if a, got := call(t, web, "GET", "/rest/v2/container/config", nil, "Accept", "application/yaml"); a.StatusCode != 406 || got != "ISPN012007: Cannot convert to application/yaml" {
		t.Errorf("the container as YAML: got %d %s", a.StatusCode, got)
	}
}

// TestOverview tells in a few words what a server is used for, as Infinispan does.
func TestOverview(t *testing.T) {
	d := daemontest.Boot(t, "  tls: {self-signed: true}\n  listeners: [{address: '127.0.0.1:0'}, {address: '127.0.0.1:0', protocols: [memcached]}]\n")
	web, mc := browse(t, d), daemontest.DialAddr(t, d.Addrs()[1])
	for i := range 999 {
		daemontest.Ask(t, mc, fmt.Sprintf("set %d 0 0 1\r\nv\r\n", i), "STORED\r\n")
	}
	for name, config := range map[string]string{
		"a": `{"local-cache":{"simple-cache":true,"memory":{"max-count":5}}}`, "b": `{"local-cache":{"encoding":{"media-type":"text/plain"}}}`,
	} {
		if a, got := call(t, web, "POST", "/rest/v2/caches/"+name, strings.NewReader(config), "Content-Type", "application/json", "User-Agent", "tool/1"); a.StatusCode != 200 {
			t.Fatalf("%s: got %d %s", name, a.StatusCode, got)
		}
	}
	second := d.Addrs()[1].String()
	want := `{"version":"1.0.0","product-version":"latticed test","node-id":null,"coordinator-id":null,"cluster-size":1,"sites":0,"relay-node":false,` +
		`"cache-cardinalities":["K","K","M"],"cache-features":{"no-features":2,"simpleCache+bounded":1},"cache-stores":[],"proto-schemas":0,` +
		`"used-encodings":["text/plain"],"clients":{"SinglePort":{"protocol-versions":["HTTP/1.1","memcached"],"client-library-names":["tool/1"]}},` +
		`"security":{"security-realms":{"default":{"tls":"SERVER"}},"tls-endpoints":["endpoint-default-default","endpoint-` + second + `-default"]}}`
	if a, got := call(t, web, "GET", "/rest/v2/server/overview-report", nil); a.StatusCode != 200 || got != want {
		t.Errorf("got %d\n%s\nwant\n%s", a.StatusCode, got, want)
	}
}

// TestStatisticsBeginAnew has clients of both protocols counted since the statistics were reset.
func TestStatisticsBeginAnew(t *testing.T) {
	d := daemontest.Boot(t, daemontest.AnyPort)
	web, mc := browse(t, d), daemontest.Dial(t, d)
	call(t, web, "POST", "/rest/v2/caches/c", nil)
	use := func() {
		t.Helper()
		call(t, web, "PUT", "/rest/v2/caches/c/k", strings.NewReader("v"))
		call(t, web, "GET", "/rest/v2/caches/c/k", nil)
		call(t, web, "GET", keys+"none", nil)
		daemontest.Ask(t, mc, "set k 0 0 1\r\nv\r\nget k\r\ndelete none\r\n", "STORED\r\nVALUE k 0 1\r\nv\r\nEND\r\nNOT_FOUND\r\n")
	}
	type stats struct{ Hits, Misses, Remove_misses, Stores, Retrievals int }
	is := func(cache string, want stats) {
		t.Helper()
		var got stats
		_, text := call(t, web, "GET", "/rest/v2/caches/"+cache+"?action=stats", nil)
		if err := json.Unmarshal([]byte(text), &got); err != nil || got != want {
			t.Errorf("%s: got %+v, %v, want %+v", cache, got, err, want)
		}
	}
	use()
	is("c", stats{Hits: 1, Stores: 1, Retrievals: 1})
	is("default", stats{Hits: 1, Misses: 1, Remove_misses: 1, Stores: 1, Retrievals: 2})
	call(t, web, "POST", "/rest/v2/caches/default?action=stats-reset", nil)
	is("c", stats{Hits: 1, Stores: 1, Retrievals: 1})
	is("default", stats{})
	use()
	is("c", stats{Hits: 2, Stores: 2, Retrievals: 2})
	is("default", stats{Hits: 1, Misses: 1, Remove_misses: 1, Stores: 1, Retrievals: 2})
	if a, _ := call(t, web, "POST", "/rest/v2/container/stats?action=reset", nil); a.StatusCode != 204 {
		t.Errorf("all of them: got %d", a.StatusCode)
	}
	is("c", stats{})
	is("default", stats{})
	use()
	daemontest.Ask(t, mc, "stats reset\r\n", "RESET\r\n")
	is("default", stats{Misses: 1, Retrievals: 1}) // what HTTP clients did
	if _, text := call(t, web, "GET", "/metrics", nil); !strings.Contains(text, "\nlatticed_cache_hits_total{cache=\"c\"} 3\n") {
		t.Error("metrics do not go on")
	}
}
