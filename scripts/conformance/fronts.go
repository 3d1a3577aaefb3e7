package main

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
)

// Programs that stand in front of a cache: each is started with a file of configuration on free ports, then used.

// front writes a configuration to a folder of its own and runs a program by it until stop. In args, DIR is the folder.
func (r *runner) front(conf, program string, args ...string) (dir string, stop func(), err error) {
	// Not below the cache: collectd writes to no path with a name that begins with a dot.
	dir, err = os.MkdirTemp("", "conformance-"+filepath.Base(program)+"-")
	if err != nil {
		return "", nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // Varnish reads it as another user
		return "", nil, err
	}
	conf = strings.ReplaceAll(conf, "DIR", dir)
	if err := os.WriteFile(filepath.Join(dir, "conf"), []byte(conf), 0o644); err != nil {
		return "", nil, err
	}
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "DIR", dir)
	}
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	p, err := r.begin(cmd)
	if err != nil {
		return "", nil, err
	}
	return dir, func() {
		_ = p.finish()
		os.RemoveAll(dir)
	}, nil
}

// freePort returns an address on which nothing listens. Its port is none that the system gives to connections (32768 and
// above on Linux): between now and when a program listens there, and while one is restarted, it stays free.
func freePort() string {
	for range 100 {
		l, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", 20000+rand.IntN(12000)))
		if err == nil {
			defer l.Close()
			return l.Addr().String()
		}
	}
	return "127.0.0.1:0"
}

// until asks ten times a second for at most a minute.
func until(ok func() bool) bool {
	for start := time.Now(); time.Since(start) < time.Minute; time.Sleep(100 * time.Millisecond) {
		if ok() {
			return true
		}
	}
	return false
}

func accepts(addr string) func() bool {
	return func() bool {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return false
		}
		c.Close()
		return true
	}
}

// through runs a scenario once a program in front accepts connections at address.
func (r *runner) through(address string, conf string, run func(t *tally, dir string), program string, args ...string) (int, error) {
	dir, stop, err := r.front(conf, program, args...)
	if err != nil {
		return 0, err
	}
	t := &tally{}
	if until(accepts(address)) {
		run(t, dir)
	} else {
		t.check("start", false)
	}
	stop()
	return t.n, t.err
}

const nginxConf = `
daemon off;
user root;
worker_processes 1;
error_log stderr;
pid DIR/pid;
MODULE
events {}
http {
	access_log off;
	client_body_temp_path DIR/body;
	proxy_temp_path DIR/proxy;
	fastcgi_temp_path DIR/fastcgi;
	uwsgi_temp_path DIR/uwsgi;
	scgi_temp_path DIR/scgi;
	client_max_body_size 4m;
	client_body_buffer_size 4m;
	upstream cache { server BACK; keepalive 4; }
	server {
		listen FRONT;
		LOCATIONS
	}
}`

func nginxConfig(front, back, module, locations string) string {
	return strings.NewReplacer("FRONT", front, "BACK", back, "MODULE", module, "LOCATIONS", locations).Replace(nginxConf)
}

// request asks an HTTP server and returns status, header and body.
func request(method, url, body string) (int, http.Header, string) {
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return 0, nil, err.Error()
	}
	// As it was sent: the client would unpack gzip otherwise.
	client := http.Client{
		Transport:     &http.Transport{DisableCompression: true, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       time.Minute,
	}
	res, err := client.Do(req)
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

// nginx serves by its memcached module what a client stored.
func nginx(r *runner, addr string) (int, error) {
	front := freePort()
	locations := `
		location / { set $memcached_key $uri$is_args$args; memcached_pass cache; memcached_gzip_flag 2; default_type text/plain; }
		location /fallback/ { set $memcached_key $uri; memcached_pass cache; error_page 404 502 = @made; }
		location @made { return 200 made; }`
	return r.through(front, nginxConfig(front, addr, "", locations), func(t *tally, _ string) {
		c := client(addr)
		url := "http://" + front
		put := func(key, value string, flags uint32) bool {
			return c.Set(&memcache.Item{Key: key, Value: []byte(value), Flags: flags}) == nil
		}
		get := func(path, want string) bool {
			status, header, body := request("GET", url+path, "")
			return status == 200 && body == want && header.Get("Content-Length") == fmt.Sprint(len(want))
		}
		status := func(path string) int {
			n, _, _ := request("GET", url+path, "")
			return n
		}
		t.check("hit", put("/greeting", "hello", 0) && get("/greeting", "hello"))
		t.check("miss", status("/absent") == 404)
		t.check("query", put("/page?id=1", "one", 0) && get("/page?id=1", "one"))
		t.check("escaped key", put("/a%20b", "space", 0) && get("/a%20b", "space"))
		t.check("empty", put("/empty", "", 0) && get("/empty", ""))
		t.check("bytes", put("/bytes", "\r\nEND\r\n\x00\xff", 0) && get("/bytes", "\r\nEND\r\n\x00\xff"))
		for _, size := range []int{4095, 4096, 100000, 1000000} {
			value := strings.Repeat("0123456789", size/10+1)[:size]
			t.check(fmt.Sprint(size, " bytes"), put("/big", value, 0) && get("/big", value))
		}
		_, header, body := request("GET", url+"/zipped", "")
		t.check("no gzip", header.Get("Content-Encoding") == "" && body != "packed")
		put("/zipped", "packed", 2)
		req, _ := http.NewRequest("GET", url+"/zipped", nil)
		req.Header.Set("Accept-Encoding", "gzip")
		res, err := http.DefaultTransport.RoundTrip(req)
		t.check("gzip flag", err == nil && res.Header.Get("Content-Encoding") == "gzip")
		if err == nil {
			res.Body.Close()
		}
		t.check("head", func() bool {
			n, h, b := request("HEAD", url+"/greeting", "")
			return n == 200 && b == "" && h.Get("Content-Length") == "5"
		}())
		t.check("fallback", get("/fallback/x", "made"))
		t.check("no fallback", put("/fallback/x", "kept", 0) && get("/fallback/x", "kept"))
		all := true
		for i := range 200 {
			all = all && put("/many", fmt.Sprint("value ", i), 0) && get("/many", fmt.Sprint("value ", i))
		}
		t.check("200 over kept connections", all)
		t.check("deleted", c.Delete("/greeting") == nil && status("/greeting") == 404)
		t.check("long key", status("/"+strings.Repeat("k", 249)) == 404)
		t.check("too long a key", status("/"+strings.Repeat("k", 250)) == 502)
		t.check("and after it", get("/many", "value 199"))
	}, "nginx", "-e", "stderr", "-c", "DIR/conf")
}

// nginxMemc stores by HTTP too, through the module http-memc.
func nginxMemc(r *runner, addr string) (int, error) {
	front := freePort()
	locations := `
		location / { set $memc_cmd $arg_cmd; set $memc_key $arg_key; set $memc_value $arg_val; set $memc_flags $arg_flags;
			set $memc_exptime $arg_exptime; memc_pass cache; }
		location /rest/ { set $memc_key $uri; memc_pass cache; }
		location = /stats { memc_cmds_allowed stats; set $memc_cmd stats; memc_pass cache; }`
	conf := nginxConfig(front, addr, "load_module /usr/lib/nginx/modules/ngx_http_memc_module.so;", locations)
	return r.through(front, conf, func(t *tally, _ string) {
		ask := func(method, path, body string, status int, want string) bool {
			n, _, got := request(method, "http://"+front+path, body)
			return n == status && strings.Contains(got, want)
		}
		big := strings.Repeat("0123456789", 100000)
		t.check("PUT", ask("PUT", "/rest/k", "hello", 201, "STORED"))
		t.check("GET", ask("GET", "/rest/k", "", 200, "hello"))
		t.check("POST is add", ask("POST", "/rest/k", "x", 200, "NOT_STORED"))
		t.check("DELETE", ask("DELETE", "/rest/k", "", 200, "DELETED"))
		t.check("DELETE of a miss", ask("DELETE", "/rest/k", "", 404, ""))
		t.check("GET of a miss", ask("GET", "/rest/k", "", 404, ""))
		t.check("PUT big", ask("PUT", "/rest/big", big, 201, "STORED"))
		t.check("GET big", ask("GET", "/rest/big", "", 200, big))
		t.check("set", ask("GET", "/?cmd=set&key=n&val=9", "", 201, "STORED"))
		t.check("add", ask("GET", "/?cmd=add&key=n&val=9", "", 200, "NOT_STORED"))
		t.check("replace", ask("GET", "/?cmd=replace&key=n&val=8", "", 201, "STORED"))
		t.check("append", ask("GET", "/?cmd=append&key=n&val=1", "", 201, "STORED"))
		t.check("prepend", ask("GET", "/?cmd=prepend&key=n&val=7", "", 201, "STORED"))
		t.check("incr", ask("GET", "/?cmd=incr&key=n&val=2", "", 201, "783"))
		t.check("decr", ask("GET", "/?cmd=decr&key=n&val=80", "", 201, "703"))
		t.check("incr of a miss", ask("GET", "/?cmd=incr&key=absent&val=2", "", 404, ""))
		t.check("version", ask("GET", "/?cmd=version", "", 200, "1.6."))
		t.check("stats", ask("GET", "/stats", "", 200, "STAT curr_items"))
		t.check("flush_all", ask("GET", "/?cmd=flush_all", "", 200, "OK"))
		t.check("flushed", ask("GET", "/?cmd=get&key=n", "", 404, ""))
	}, "nginx", "-e", "stderr", "-c", "DIR/conf")
}

// twemproxy splits what its clients ask over two servers, which are one here.
func twemproxy(r *runner, addr string) (int, error) {
	front, stats := freePort(), freePort()
	conf := "pool:\n  listen: " + front + "\n  hash: fnv1a_64\n  distribution: ketama\n  timeout: 10000\n  preconnect: true\n" +
		"  servers:\n  - " + addr + ":1 one\n  - " + addr + ":1 two\n"
	_, port, err := net.SplitHostPort(stats)
	if err != nil {
		return 0, err
	}
	return r.through(front, conf, func(t *tally, _ string) { scenario(t, front) },
		"nutcracker", "-c", "DIR/conf", "-s", port, "-a", "127.0.0.1", "-v", "4")
}

const haproxyConf = `
global
	stats socket DIR/socket level admin
	log stderr local0
defaults
	mode tcp
	timeout connect 20s
	timeout check 20s
	timeout client 60s
	timeout server 60s
	# The time between checks bounds how long the connection of one may take; where something is wrong they come faster.
	default-server inter 5s fastinter 100ms downinter 100ms
`

// haproxyState returns the verdict of HAProxy's health check on the server of a backend, such as "UP L7OK".
func haproxyState(dir, backend string) string {
	c, err := net.Dial("unix", filepath.Join(dir, "socket"))
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	fmt.Fprintf(c, "show stat\n")
	rows, err := csv.NewReader(c).ReadAll()
	if err != nil || len(rows) == 0 {
		return fmt.Sprint(err)
	}
	for _, row := range rows[1:] {
		if row[0] != backend || row[1] != "cache" {
			continue
		}
		state := map[string]string{}
		for i, name := range rows[0] {
			state[name] = row[i]
		}

		return state["status"] + " " + state["check_status"]
	}
	return "no such backend"
}

// haproxy stands in front and asks for the server's health with tcp-check.
func haproxy(r *runner, addr string) (int, error) {
	front := freePort()
	conf := haproxyConf + `
listen text
	bind ` + front + `
	option tcp-check
	tcp-check connect
	tcp-check send version\r\n
	tcp-check expect rstring ^VERSION\ 1\.6\.
	tcp-check send set\ haproxy\ 0\ 10\ 2\r\nup\r\n
	tcp-check expect string STORED
	tcp-check send get\ haproxy\r\n
	tcp-check expect string VALUE\ haproxy\ 0\ 2
	tcp-check send quit\r\n
	server cache ` + addr + ` check
backend meta
	option tcp-check
	tcp-check connect
	tcp-check send mn\r\n
	tcp-check expect string MN
	server cache ` + addr + ` check
backend wrong
	option tcp-check
	tcp-check connect
	tcp-check send nonsense\r\nquit\r\n
	tcp-check expect string VERSION
	server cache ` + addr + ` check
`
	return r.through(front, conf, func(t *tally, dir string) {
		t.check("healthy by text", until(func() bool { return haproxyState(dir, "text") == "UP L7OK" }))
		t.check("healthy by meta", until(func() bool { return haproxyState(dir, "meta") == "UP L7OK" }))
		t.check("a wrong answer is seen", until(func() bool { return strings.HasPrefix(haproxyState(dir, "wrong"), "DOWN L7") }))
		scenario(t, front)
	}, "haproxy", "-db", "-f", "DIR/conf")
}

// sendProxied has HAProxy tell the client's address by the PROXY protocol, to a daemon that trusts it and refuses 127.0.0.9, and
// check its health in a way. use is handed where HAProxy listens and what dials from an address.
func sendProxied(protocol, option, check string, use func(t *tally, front string, from func(ip string) *net.Dialer)) func(*runner, string) (int, error) {
	return func(r *runner, _ string) (int, error) {
		addr, stop, err := r.start("protocols: [" + protocol + "], proxy-protocol: {trusted: ['127.0.0.1']}, deny: ['127.0.0.9']")
		if err != nil {
			return 0, err
		}
		defer stop()
		front := freePort()
		conf := haproxyConf + "listen proxied\n\tbind " + front + check + "\tserver cache " + addr + " check check-send-proxy " + option +
			"\nbackend unannounced" + check + "\tserver cache " + addr + " check\n"
		return r.through(front, conf, func(t *tally, dir string) {
			t.check("healthy", until(func() bool { return haproxyState(dir, "proxied") == "UP L7OK" }))
			t.check("without a header refused", until(func() bool { return strings.HasPrefix(haproxyState(dir, "unannounced"), "DOWN L7") }))
			use(t, front, func(ip string) *net.Dialer {
				return &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}, Timeout: time.Minute}
			})
		}, "haproxy", "-db", "-f", "DIR/conf")
	}
}

// sendProxy is memcached's text protocol behind such an HAProxy.
func sendProxy(option string) func(*runner, string) (int, error) {
	const check = `
	option tcp-check
	tcp-check connect default
	tcp-check send version\r\n
	tcp-check expect rstring ^VERSION\ 1\.6\.
`
	return sendProxied("memcached", option, check, func(t *tally, front string, from func(string) *net.Dialer) {
		scenario(t, front)
		version := func(ip string) string {
			c, err := from(ip).Dial("tcp", front)
			if err != nil {
				return err.Error()
			}
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(time.Minute))
			fmt.Fprintf(c, "version\r\nquit\r\n")
			b, _ := io.ReadAll(c)
			return string(b)
		}
		t.check("another address", strings.HasPrefix(version("127.0.0.8"), "VERSION"))
		t.check("a denied address", !strings.Contains(version("127.0.0.9"), "VERSION"))
	})
}

// collectd reads our stats by its memcached plugin and writes what it understood to files.
func collectd(r *runner, addr string) (int, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return 0, err
	}
	c := client(addr)
	if err := c.Set(&memcache.Item{Key: "k", Value: bytes.Repeat([]byte("v"), 1000)}); err != nil {
		return 0, err
	}
	for _, key := range []string{"k", "k", "absent"} {
		_, _ = c.Get(key)
	}
	_, _ = c.Increment("absent", 1)
	_ = c.Delete("absent")
	_ = c.Touch("k", 60)
	conf := `
Hostname "here"
BaseDir "DIR"
PIDFile "DIR/pid"
TypesDB "/usr/share/collectd/types.db"
Interval 1
LoadPlugin logfile
<Plugin logfile>
	LogLevel info
	File STDOUT
</Plugin>
LoadPlugin memcached
<Plugin memcached>
	<Instance "it">
		Host "` + host + `"
		Port "` + port + `"
	</Instance>
</Plugin>
LoadPlugin csv
<Plugin csv>
	DataDir "DIR/csv"
</Plugin>
`
	dir, stop, err := r.front(conf, "/usr/sbin/collectd", "-f", "-C", "DIR/conf")
	if err != nil {
		return 0, err
	}
	t := &tally{}
	// The last value that collectd wrote for a name.
	value := func(name string) string {
		found, _ := filepath.Glob(filepath.Join(dir, "csv/here/memcached-it", name+"-2*"))
		if len(found) == 0 {
			return "none"
		}
		b, _ := os.ReadFile(slices.Max(found)) // there is one for each day
		lines := strings.Split(strings.TrimSpace(string(b)), "\n")
		_, last, _ := strings.Cut(lines[len(lines)-1], ",")
		return last
	}
	read := map[string]string{
		"memcached_items-current": "1.000000", "memcached_command-set": "1", "memcached_ops-misses": "1", "memcached_ops-hits": "2",
		"memcached_command-get": "3", "memcached_ops-evictions": "0", "memcached_ops-incr_misses": "1", "memcached_ops-decr_hits": "0",
		"memcached_ops-delete_misses": "1", "memcached_command-touch": "1", "memcached_command-flush": "0", "memcached_command-meta": "0",
	}
	until(func() bool {
		for name, want := range read {
			if value(name) != want {
				return false
			}
		}
		return true
	})
	for name, want := range read {
		t.check(name+" "+want, value(name) == want)
	}
	for _, name := range []string{
		"df-cache", "memcached_connections-current", "memcached_octets", "connections-opened", "ps_count", "ps_cputime", "uptime",
		"total_events-listen_disabled",
	} {
		t.check(name, value(name) != "none")
	}
	stop()
	return t.n, t.err
}
