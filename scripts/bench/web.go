package main

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/latticed/latticed/daemon/bench"
	"github.com/latticed/latticed/router/secure"
	"github.com/latticed/latticed/scripts/process"
)

// What is asked for by HTTP, of every server.
const (
	webPath  = "/rest/v2/caches/default/k"
	webBytes = 100
)

func webValue() []byte { return bytes.Repeat([]byte("0123456789"), webBytes/10) }

// web compares answers of 100 B by HTTP.
func (c *comparison) web() error {
	type versus struct {
		workload
		start func(dir string) (*server, error)
	}
	nginx := func(dir string) (*server, error) { return c.startNginx(dir) }
	h1 := []string{"--h1", "-c", "64"}
	h2 := []string{"-c", "8", "-m", "32"}
	list := []versus{
		{workload{name: "http-nginx", title: "GET by HTTP/1.1, 64 connections, against nginx with a file", flags: h1, cpu: 0.85}, nginx},
		{workload{name: "http-fasthttp", title: "the same against bare fasthttp", flags: h1, cpu: 1.10}, c.startGo("fasthttp")},
		{workload{name: "http-put", title: "PUT by HTTP/1.1, against latticed's own GET", flags: h1, cpu: 1.25}, nil},
		{workload{name: "h2c-nginx", title: "GET by HTTP/2, 8 x 32 streams, against nginx with a file", flags: h2, cpu: 0.15}, nginx},
		{workload{name: "h2c-nethttp", title: "the same against Go's net/http", flags: h2, ops: 5}, c.startGo("net/http")},
	}
	if c.infinispan != "" {
		list = append(list,
			versus{workload{name: "http-infinispan", title: "GET by HTTP/1.1, 64 connections, against Infinispan", flags: h1, cpu: 0.80}, c.findInfinispan},
			versus{workload{name: "h2c-infinispan", title: "GET by HTTP/2, 8 x 32 streams, against Infinispan", flags: h2, cpu: 0.15}, c.findInfinispan})
	}
	wanted := false
	for _, v := range list {
		wanted = wanted || c.wanted(v.name)
	}
	if !wanted {
		return nil
	}
	if _, err := exec.LookPath("h2load"); err != nil {
		say("no h2load on PATH (Debian: nghttp2-client): HTTP is not measured")
		return nil
	}
	dir, err := os.MkdirTemp("", "latticed-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(webPath)), 0o755); err != nil {
		return err
	}
	value := filepath.Join(dir, webPath)
	if err := errors.Join(os.WriteFile(value, webValue(), 0o644), os.Chmod(dir, 0o755)); err != nil {
		return err
	}
	ours, err := c.startOurs(512 << 20)
	if err != nil {
		return err
	}
	defer ours.stop()
	if err := c.store(ours, value); err != nil {
		return err
	}
	var errs error
	for _, v := range list {
		if !c.wanted(v.name) {
			continue
		}
		peer, own := &server{name: "latticed", addr: ours.addr, pid: ours.pid, port2: ours.addr}, v.flags
		if v.start == nil {
			own = append(own, "-H", ":method: PUT", "-d", value)
		} else if peer, err = v.start(dir); err != nil {
			if errors.Is(err, exec.ErrNotFound) {
				say("%s is left out: %v", v.name, err)
				continue
			}
			return fmt.Errorf("%s: %w", v.name, err)
		}
		c.doc.servers(ours)
		if v.start != nil {
			c.doc.servers(peer)
		}
		c.doc.line(v.name, fmt.Sprintf("taskset -c 1 h2load -D %.0f %s http://ADDR%s", max(1, c.seconds), strings.ReplaceAll(strings.Join(own, " "), dir, ""), webPath))
		err := c.measure(v.workload, ours, peer, func(s *server, _ int) (*bench.Report, error) {
			if s == ours {
				return c.h2load(s, own...)
			}
			return c.h2load(s, v.flags...)
		})
		if v.start != nil {
			peer.stop()
		}
		if err != nil {
			errs = errors.Join(errs, fmt.Errorf("%s: %w", v.name, err))
		}
	}
	return errs
}

var h2loadSays = regexp.MustCompile(`(?s)finished in [^,]*, ([0-9.]+) req/s.*requests: \d+ total, \d+ started, \d+ done, (\d+) succeeded, (\d+) failed, (\d+) errored`)

// h2load has a round of load made by h2load.
func (c *comparison) h2load(s *server, flags ...string) (*bench.Report, error) {
	addr := s.addr
	if s.port2 != "" && flags[0] != "--h1" {
		addr = s.port2
	}
	args := append([]string{"-c", "1", "h2load", "-D", fmt.Sprintf("%.0f", max(1, c.seconds))}, flags...)
	before, err := process.CPU(s.pid)
	if err != nil {
		return nil, err
	}
	out, err := exec.CommandContext(c.ctx, "taskset", append(args, "http://"+addr+webPath)...).CombinedOutput()
	if c.ctx.Err() != nil {
		return nil, c.ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("h2load: %w: %s", err, out)
	}
	after, err := process.CPU(s.pid)
	if err != nil {
		return nil, err
	}
	found := h2loadSays.FindSubmatch(out)
	if found == nil {
		return nil, fmt.Errorf("h2load said %q", out)
	}
	n, _ := strconv.ParseUint(string(found[2]), 10, 64)
	// What is under way when the time is over counts as errored; nothing may fail.
	if failed := string(found[3]); failed != "0" || n == 0 || !bytes.Contains(out, []byte(" 2xx, 0 3xx, 0 4xx, 0 5xx")) {
		return nil, fmt.Errorf("%s did not answer as it should: %s", s.name, out)
	}
	r := &bench.Report{Requests: n, Ops: n}
	r.OpsPerSecond, _ = strconv.ParseFloat(string(found[1]), 64)
	r.ServerCPU = (after - before).Seconds()
	r.ServerMicros = r.ServerCPU * 1e6 / float64(n)
	return r, nil
}

// store puts the value in the file where it is asked for.
func (c *comparison) store(s *server, file string) error {
	out, err := exec.CommandContext(c.ctx, "h2load", "-n", "1", "--h1", "-H", ":method: PUT", "-H", "content-type: application/octet-stream", "-d", file,
		"http://"+s.addr+webPath).CombinedOutput()
	if err == nil && !bytes.Contains(out, []byte("status codes: 1 2xx")) {
		err = fmt.Errorf("%s", out)
	}
	if err != nil {
		return fmt.Errorf("store at %s: %w", s.name, err)
	}
	return nil
}

func freeAddr() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer ln.Close()
	return ln.Addr().String(), nil
}

// run0 starts a peer on CPU 0 and returns when it listens.
func run0(name, addr, shown string, command ...string) (*server, error) {
	cmd := exec.Command("taskset", append([]string{"-c", "0"}, command...)...)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &server{name: name, addr: addr, pid: cmd.Process.Pid, command: "taskset -c 0 " + shown, peer: cmd}
	return s, s.await()
}

// startNginx serves the file in dir at one address by HTTP/1.1 and at another by HTTP/2.
func (c *comparison) startNginx(dir string) (*server, error) {
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		return nil, err
	}
	first, err := freeAddr()
	if err != nil {
		return nil, err
	}
	second, err := freeAddr()
	if err != nil {
		return nil, err
	}
	conf := `daemon off; master_process off; pid DIR/pid; error_log DIR/error;
events { worker_connections 4096; }
http {
	access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; open_file_cache max=100 inactive=1h;
	client_body_temp_path DIR/a; proxy_temp_path DIR/b; fastcgi_temp_path DIR/c; uwsgi_temp_path DIR/d; scgi_temp_path DIR/e;
	server { listen FIRST; listen SECOND http2; root DIR; }
}
`
	path := filepath.Join(dir, "nginx.conf")
	conf = strings.NewReplacer("DIR", dir, "FIRST", first, "SECOND", second).Replace(conf)
	if err := os.WriteFile(path, []byte(conf), 0o644); err != nil {
		return nil, err
	}
	s, err := run0("nginx", first, "nginx -c CONF # one process, access_log off, open_file_cache, keepalive_requests without end", nginx, "-e", filepath.Join(dir, "error"), "-c", path)
	if err != nil {
		return nil, err
	}
	s.port2 = second
	return s, nil
}

// startGo starts a server of Go's, which is this program.
func (c *comparison) startGo(name string) func(string) (*server, error) {
	return func(string) (*server, error) {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		addr, err := freeAddr()
		if err != nil {
			return nil, err
		}
		return run0(name, addr, "go run ./scripts/bench -serve "+name+" ADDR", self, "-serve", name, addr)
	}
}

// findInfinispan stores in a server that runs what is asked for. It has both CPUs: on one, Java chooses another collector,
// and compiles while it is asked.
func (c *comparison) findInfinispan(dir string) (*server, error) {
	addr, number, _ := strings.Cut(c.infinispan, ",")
	pid, err := strconv.Atoi(number)
	if err != nil {
		return nil, fmt.Errorf("want HOST:PORT,PID of an Infinispan, got %q", c.infinispan)
	}
	s := &server{name: "Infinispan", addr: addr, pid: pid, command: "Infinispan, not pinned"}
	if err := c.store(s, filepath.Join(dir, webPath)); err != nil {
		return nil, err
	}
	for range 8 { // its compiler needs that; at first it may not answer in time
		_, _ = c.h2load(s, "--h1", "-c", "64")
		_, _ = c.h2load(s, "-c", "8", "-m", "32")
	}
	return s, nil
}

// tls compares memcached's text protocol by TLS.
func (c *comparison) tls() error {
	million, fewer := c.scaled(1_000_000), c.scaled(300_000)
	list := []workload{
		{name: "tls-one-op", title: "one at a time by TLS, 90/10, 32 B", flags: []string{"--tls", "--keys", strconv.Itoa(million), "--value-size", "32"}, cpu: 0.95},
		{name: "tls-p16-1k", title: "pipeline 16 by TLS, 90/10, 1 KiB", flags: []string{"--tls", "--keys", strconv.Itoa(fewer), "--value-size", "1024", "--pipeline", "16"}, cpu: 0.70},
	}
	wanted := false
	for _, w := range list {
		wanted = wanted || c.wanted(w.name)
	}
	if help, _ := exec.Command(c.peer, "-h").Output(); !wanted || !bytes.Contains(help, []byte("--enable-ssl")) {
		if wanted {
			say("%s was built without TLS: TLS is not measured", c.peer)
		}
		return nil
	}
	dir, err := os.MkdirTemp("", "latticed-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	cert := filepath.Join(dir, "cert.pem")
	if err := certificate(cert); err != nil {
		return err
	}
	ours, err := c.startOurs(2048<<20, "--tls-certificate", cert)
	if err != nil {
		return err
	}
	defer ours.stop()
	peer, err := c.startPeer(1024, "-Z", "-o", "ssl_chain_cert="+cert+",ssl_key="+cert)
	if err != nil {
		return err
	}
	defer peer.stop()
	for _, s := range []*server{ours, peer} {
		s.command = strings.ReplaceAll(s.command, cert, "CERT")
	}
	c.doc.servers(ours, peer)
	for _, w := range list {
		if c.wanted(w.name) {
			if err := c.compare(w, ours, peer); err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
		}
	}
	return nil
}

// certificate writes one for localhost, and its key.
func certificate(path string) error {
	c, err := secure.SelfSigned(time.Now())
	if err != nil {
		return err
	}
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		return err
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...)
	return os.WriteFile(path, text, 0o600)
}
