package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Programs that stand in front of a site's HTTP.

// visitor is a client of what stands in front: it keeps connections and asks for no compression.
type visitor struct {
	base   string
	client http.Client
}

func newVisitor(front string) *visitor {
	return &visitor{"http://" + front, http.Client{Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 16}, Timeout: time.Minute}}
}

// ask returns status, fields and body. A body of the type that is handed in as a bare reader has no length.
func (v *visitor) ask(method, path string, body io.Reader, fields ...string) (int, http.Header, string) {
	req, err := http.NewRequest(method, v.base+path, body)
	if err != nil {
		return 0, nil, err.Error()
	}
	for i := 0; i < len(fields); i += 2 {
		req.Header.Set(fields[i], fields[i+1])
	}
	res, err := v.client.Do(req)
	if err != nil {
		return 0, nil, err.Error()
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, nil, err.Error()
	}
	return res.StatusCode, res.Header, string(b)
}

func (v *visitor) put(path, value string, fields ...string) bool {
	status, _, _ := v.ask("PUT", path, strings.NewReader(value), fields...)
	return status == 204
}

func (v *visitor) status(path string) int {
	status, _, _ := v.ask("GET", path, nil)
	return status
}

func (v *visitor) get(path, want string, fields ...string) bool {
	status, _, body := v.ask("GET", path, nil, fields...)
	return status == 200 && body == want
}

const entries = "/rest/v2/caches/default/"

// proxied uses a site through what stands in front of it, below prefix.
func proxied(t *tally, name, front, prefix string) {
	v := newVisitor(front)
	check := func(what string, good bool) { t.check(name+": "+what, good) }
	at := func(key string) string { return prefix + entries + name + key }
	check("miss", v.status(at("k")) == 404)
	check("put", v.put(at("k"), "hello", "Content-Type", "text/plain"))
	status, fields, body := v.ask("GET", at("k"), nil)
	check("get", status == 200 && body == "hello" && fields.Get("Content-Type") == "text/plain" && fields.Get("Etag") != "")
	tag := fields.Get("Etag")
	status, fields, body = v.ask("HEAD", at("k"), nil)
	check("head", status == 200 && body == "" && (fields.Get("Content-Length") == "5" || fields.Get("Content-Length") == ""))
	status, _, body = v.ask("GET", at("k"), nil, "If-None-Match", tag)
	check("valid", status == 304 && body == "")
	status, _, _ = v.ask("PUT", at("k"), strings.NewReader("x"), "If-Match", `"1"`)
	check("lost update", status == 412)
	check("update", v.put(at("k"), "other", "If-Match", tag) && v.get(at("k"), "other"))
	status, _, _ = v.ask("POST", at("k"), strings.NewReader("x"))
	check("post of what is there", status == 409)
	check("empty", v.put(at("empty"), "") && v.get(at("empty"), ""))
	check("a byte of every kind", v.put(at("bytes"), "\x00\xff\r\n\r\nHTTP/1.1 200 OK\r\n") && v.get(at("bytes"), "\x00\xff\r\n\r\nHTTP/1.1 200 OK\r\n"))
	check("escaped key", v.put(at("a%20%C3%BC"), "escaped") && v.get(at("a%20%C3%BC"), "escaped"))
	big := strings.Repeat("0123456789abcdef", 200_000)
	check("3 MB", v.put(at("big"), big) && v.get(at("big"), big))
	status, _, _ = v.ask("PUT", at("big"), io.MultiReader(strings.NewReader(big), strings.NewReader("+")))
	check("3 MB of unknown length", status == 204 && v.get(at("big"), big+"+"))
	status, fields, body = v.ask("GET", at("big"), nil, "Accept-Encoding", "gzip")
	check("compressed", status == 200 && fields.Get("Content-Encoding") == "gzip" && len(body) < len(big)/4)
	var wrong atomic.Int64
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 50 {
				key, value := at(fmt.Sprint("many", i)), strings.Repeat(fmt.Sprint(i, ".", n, " "), 1+n*n)
				if !v.put(key, value) || !v.get(key, value) {
					wrong.Add(1)
				}
			}
		})
	}
	wg.Wait()
	check("400 at eight at a time", wrong.Load() == 0)
	status, _, _ = v.ask("DELETE", at("k"), nil)
	check("delete", status == 204 && v.status(at("k")) == 404)
	check("metrics", v.status(prefix+"/metrics") == 200)
	check("page", v.status(prefix+"/") == 200)
}

// steady asks without a pause until stop, which returns how many answers were not 200. asked counts all.
func steady(front, path string) (asked *atomic.Int64, stop func() int64) {
	var bad atomic.Int64
	asked = new(atomic.Int64)
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			v := newVisitor(front)
			for {
				select {
				case <-done:
					return
				default:
				}
				asked.Add(1)
				if v.status(path) != 200 {
					bad.Add(1)
				}
			}
		})
	}
	return asked, func() int64 {
		close(done)
		wg.Wait()
		return bad.Load()
	}
}

// reload has the site read its configuration again while it is asked, then restarts it.
func reload(t *tally, r *runner, s *site, front, prefix string) {
	if r.against != "" {
		return
	}
	v := newVisitor(front)
	t.check("put before a reload", v.put(prefix+entries+"steady", "value"))
	asked, stop := steady(front, prefix+entries+"steady")
	for range 3 {
		before := asked.Load()
		t.check("reload", s.daemon.cmd.Process.Signal(syscall.SIGHUP) == nil && until(func() bool { return asked.Load() > before+100 }))
	}
	bad := stop()
	t.check(fmt.Sprintf("no request fails meanwhile: %d of %d did", bad, asked.Load()), bad == 0)
	addr := s.addr
	t.check("end", s.daemon.finish() == nil)
	s.daemon = nil
	t.check("nobody is there", until(func() bool { n := v.status(prefix + entries + "steady"); return n >= 500 }))
	t.check("start", s.start(r, addr) == nil && s.addr == addr)
	t.check("back", until(func() bool { return v.status(prefix+entries+"steady") == 404 }))
	t.check("put after it", v.put(prefix+entries+"steady", "value") && v.get(prefix+entries+"steady", "value"))
}

// nginxWeb passes on by HTTP/1.1 over kept connections, by HTTP/1.0, by TLS, with a client certificate, to a Unix socket,
// and out of its cache.
func nginxWeb(r *runner, s *site) (int, error) {
	front := freePort()
	locations := `
		proxy_http_version 1.1;
		proxy_set_header Connection "";
		proxy_set_header Host localhost;
		proxy_request_buffering off;
		location / { proxy_pass http://cache; }
		location /deep/path/ { proxy_pass http://cache/; }
		location /old/ { proxy_http_version 1.0; proxy_pass http://cache/; }
		location /tls/ {
			proxy_pass https://cache/;
			proxy_ssl_trusted_certificate SITE/ca.pem;
			proxy_ssl_verify on;
			proxy_ssl_name localhost;
		}
		location /strict/ {
			proxy_pass https://STRICT/;
			proxy_ssl_trusted_certificate SITE/ca.pem;
			proxy_ssl_verify on;
			proxy_ssl_name localhost;
			proxy_ssl_certificate SITE/client.pem;
			proxy_ssl_certificate_key SITE/client.pem;
		}
		location /unix/ { proxy_pass http://unix:SITE/socket:/; }
		location /kept/ { proxy_pass http://cache/; proxy_cache kept; add_header X-Cache $upstream_cache_status; }`
	locations = strings.NewReplacer("SITE", s.dir, "STRICT", s.strict).Replace(locations)
	conf := nginxConfig(front, s.addr, "", locations)
	conf = strings.Replace(conf, "upstream cache", "proxy_cache_path DIR/kept keys_zone=kept:1m;\n\tupstream cache", 1)
	return r.through(front, conf, func(t *tally, _ string) {
		for _, prefix := range []string{"", "/deep/path", "/old", "/tls", "/strict", "/unix"} {
			name := "1.1"
			if prefix != "" {
				name = filepath.Base(prefix)
			}
			proxied(t, name, front, prefix)
		}
		v := newVisitor(front)
		v.put("/kept"+entries+"short", "first", "timeToLiveSeconds", "100")
		cached := func(want, state string) bool {
			status, fields, body := v.ask("GET", "/kept"+entries+"short", nil)
			return status == 200 && body == want && fields.Get("X-Cache") == state
		}
		t.check("not in its cache", cached("first", "MISS"))
		t.check("in its cache by the entry's lifespan", cached("first", "HIT"))
		v.put(entries+"short", "second", "timeToLiveSeconds", "100")
		t.check("as long as that", cached("first", "HIT"))
		v.put("/kept"+entries+"none", "first")
		for range 2 {
			_, fields, _ := v.ask("GET", "/kept"+entries+"none", nil)
			t.check("without a lifespan never", fields.Get("X-Cache") == "MISS")
		}
		reload(t, r, s, front, "")
	}, "nginx", "-e", "stderr", "-c", "DIR/conf")
}

// haproxyWeb passes on by HTTP/1.1, HTTP/2 and TLS, with health checks.
func haproxyWeb(r *runner, s *site) (int, error) {
	fronts := []string{freePort(), freePort(), freePort(), freePort()}
	const server = " check rise 1 fall 2\n"
	listen := func(i int, name, options string) string {
		return "listen " + name + "\n\tbind " + fronts[i] + "\n\toption httpchk\n\thttp-check send meth GET uri /health/ready ver HTTP/1.1 hdr Host localhost\n" +
			"\thttp-check expect status 200\n\tserver cache " + options + server
	}
	conf := strings.Replace(haproxyConf, "mode tcp", "mode http\n\toption httplog", 1) +
		listen(0, "plain", s.addr) + listen(1, "h2c", s.addr+" proto h2") +
		listen(2, "h2", s.addr+" ssl verify required ca-file "+s.dir+"/ca.pem verifyhost localhost alpn h2 check-alpn h2") +
		listen(3, "strict", s.strict+" ssl verify required ca-file "+s.dir+"/ca.pem verifyhost localhost crt "+s.dir+"/client.pem alpn http/1.1 check-alpn http/1.1")
	return r.through(fronts[0], conf, func(t *tally, dir string) {
		for i, name := range []string{"plain", "h2c", "h2", "strict"} {
			t.check(name+" is healthy", until(func() bool { return strings.HasPrefix(haproxyState(dir, name), "UP L7OK") }))
			proxied(t, name, fronts[i], "")
		}
		reload(t, r, s, fronts[0], "")
	}, "haproxy", "-db", "-f", "DIR/conf")
}

// sendProxyWeb is HTTP behind an HAProxy that sends the PROXY protocol.
func sendProxyWeb(option string) func(*runner, string) (int, error) {
	const check = `
	option httpchk
	http-check send meth GET uri /health/ready ver HTTP/1.1 hdr Host localhost
`
	return sendProxied("http", option, check, func(t *tally, front string, from func(string) *net.Dialer) {
		proxied(t, option, front, "")
		live := func(ip string) int {
			v := newVisitor(front)
			v.client.Transport = &http.Transport{DialContext: from(ip).DialContext}
			return v.status("/health/live")
		}
		t.check("another address", live("127.0.0.8") == 200)
		t.check("a denied address", live("127.0.0.9") != 200)
		// Who speaks through a proxy is not on this machine, whatever the proxy is.
		status, _, _ := newVisitor(front).ask("DELETE", "/rest/v2/caches/default", nil)
		t.check("no administration through a proxy", status == 403)
	})
}

// varnish passes on, keeps what has a lifespan, and asks for it compressed.
func varnish(r *runner, s *site) (int, error) {
	front := freePort()
	host, port, err := net.SplitHostPort(s.addr)
	if err != nil {
		return 0, err
	}
	conf := `
vcl 4.1;
backend default {
	.host = "` + host + `";
	.port = "` + port + `";
	.connect_timeout = 20s;
	.probe = { .url = "/health/ready"; .timeout = 20s; .interval = 300ms; .window = 3; .threshold = 2; .initial = 2; }
}
sub vcl_backend_fetch { set bereq.http.Host = "localhost"; }
sub vcl_backend_response {
	if (beresp.http.Cache-Control !~ "max-age") { set beresp.uncacheable = true; set beresp.ttl = 0s; }
	set beresp.grace = 0s;
	set beresp.keep = 60s;
}
sub vcl_deliver { set resp.http.X-Hits = obj.hits; }
`
	return r.through(front, conf, func(t *tally, _ string) {
		proxied(t, "varnish", front, "")
		v := newVisitor(front)
		cached := func(key, want, hits string, fields ...string) bool {
			status, got, body := v.ask("GET", entries+key, nil, fields...)
			return status == 200 && body == want && got.Get("X-Hits") == hits
		}
		text := strings.Repeat("some text, ", 10_000)
		t.check("put", v.put(entries+"short", text, "timeToLiveSeconds", "5", "Content-Type", "text/plain"))
		t.check("not kept yet", cached("short", text, "0"))
		t.check("kept", cached("short", text, "1"))
		status, fields, body := v.ask("GET", entries+"short", nil, "Accept-Encoding", "gzip")
		t.check("kept compressed", status == 200 && fields.Get("Content-Encoding") == "gzip" && fields.Get("X-Hits") == "2" && len(body) < 10_000)
		status, _, _ = v.ask("GET", entries+"short", nil, "If-None-Match", fields.Get("Etag"))
		t.check("valid by the tag", status == 304)
		t.check("gone with the entry", until(func() bool { return v.status(entries+"short") == 404 }))
		status, _, body = v.ask("GET", entries+"varnishmany1", nil, "Range", "bytes=0-3")
		t.check("a range", status == 206 && len(body) == 4 || status == 200)
		reload(t, r, s, front, "")
	}, "varnishd", "-F", "-f", "DIR/conf", "-a", front, "-n", "DIR/work", "-s", "malloc,64m")
}

// chromium shows the status page, at home, below a path behind nginx, and beside a stranger's page.
func chromium(r *runner, s *site) (int, error) {
	front, stranger := freePort(), freePort()
	conf := nginxConfig(front, s.addr, "", "location /deep/cache/ { proxy_pass http://cache/; proxy_set_header Host localhost; }")
	conf = strings.TrimSuffix(strings.TrimSpace(conf), "}") + "server { listen " + stranger + "; location / { default_type text/html; return 200 '<p>hello'; } }\n}\n"
	v := newVisitor(s.addr)
	for i := range 20 {
		if key := fmt.Sprint(entries, i); !v.put(key, "value") || !v.get(key, "value") {
			return 0, fmt.Errorf("cannot store by HTTP at %s", s.addr)
		}
	}
	var n int
	var err error
	_, failed := r.through(front, conf, func(t *tally, _ string) {
		with := *r
		with.env = append(s.env(), "FRONT="+front, "STRANGER_SITE="+stranger)
		n, err = nodeWith("browser", "browser/", "check_chromium.js")(&with, s.addr)
	}, "nginx", "-e", "stderr", "-c", "DIR/conf")
	if err == nil {
		err = failed
	}
	return n, err
}
