// Command conformance runs outside clients and suites against a real latticed daemon and compares how many of their
// checks pass with what is expected (expected.tsv): fewer is a failure, and so is a client that cannot be installed.
// It installs what it needs: Debian packages with apt-get, packages of other registries below -cache; tools written in
// Go are pinned in go.mod.
//
//	go run . -daemon ../../bin/latticed [-quick] [-only NAMES] [-against HOST:PORT]
//
// With -against it tests what listens there instead, to see what another server passes, and that nothing passes where
// nobody listens. UPSTREAM_TESTS=DIR takes memcached's own tests from DIR, a folder that holds t, instead of Debian's
// source package.
package main

import (
	"embed"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
)

//go:embed expected.tsv clients
var files embed.FS

// runner is one run.
type runner struct {
	daemon, cache, against string
	env                    []string                       // of scenarios
	tests                  func() (dir string, err error) // upstreamTests, once
	said                   *transcript                    // of the suite that runs
	passed                 int
	failed                 []verdict
}

// suite is one client or test file. run returns how many checks passed, and what was wrong with those that did not.
type suite struct {
	name  string
	slow  bool     // left out of a quick run
	needs []string // Debian packages; tested by the probes of packages
	run   func(r *runner, addr string) (int, error)
}

var suites = []suite{
	{"memccapable", false, []string{"libmemcached-tools"}, memccapable},
	{"libmemcached-tools", false, []string{"libmemcached-tools"}, script("sh", "check_tools.sh")},
	{"pymemcache", false, pythonPackages, python("check_pymemcache.py")},
	{"pylibmc", false, []string{"python3-pylibmc"}, script("/usr/bin/python3", "check_pylibmc.py")},
	{"python-memcached", false, pythonPackages, python("check_python_memcached.py")},
	{"meta-memcache", false, pythonPackages, python("check_meta_memcache.py")},
	{"gomemcache", false, nil, gomemcache},
	{"npm-memcached", false, nodePackages, node("check_memcached.js")},
	{"npm-memcache-client", false, nodePackages, node("check_memcache_client.js")},
	{"php-memcached", false, []string{"php-cli", "php-memcached"}, script("php", "check.php")},
	{"cache-memcached-fast", false, []string{"perl", "libcache-memcached-fast-perl"}, script("perl", "check.pl")},
	{"spymemcached", true, javaPackages, java("CheckSpy.java")},
	{"xmemcached", true, javaPackages, java("CheckX.java")},
	{"nginx", false, []string{"nginx"}, nginx},
	{"nginx-http-memc", false, []string{"nginx", "libnginx-mod-http-memc"}, nginxMemc},
	{"twemproxy", false, []string{"nutcracker"}, twemproxy},
	{"haproxy", false, []string{"haproxy"}, haproxy},
	{"haproxy-send-proxy", false, []string{"haproxy"}, sendProxy("send-proxy")},
	{"haproxy-send-proxy-v2", false, []string{"haproxy"}, sendProxy("send-proxy-v2")},
	{"collectd", false, []string{"collectd-core"}, collectd},
	{"curl", true, []string{"curl"}, web(script("sh", "check_curl.sh"))},
	{"wget", false, []string{"wget"}, web(script("sh", "check_wget.sh"))},
	{"requests", false, pythonPackages, web(python("check_requests.py"))},
	{"httpx", false, pythonPackages, web(python("check_httpx.py"))},
	{"fetch", false, nodePackages, web(node("check_fetch.js"))},
	{"nghttp", true, []string{"nghttp2-client"}, web(script("sh", "check_nghttp.sh"))},
	{"wrk", true, []string{"wrk"}, web(script("sh", "check_wrk.sh"))},
	{"h2spec", false, nil, h2spec("-S")},
	{"h2spec-tls", false, nil, h2spec("-S", "-t", "-k")},
	{"openssl", false, []string{"openssl"}, web(script("sh", "check_openssl.sh"))},
	{"pymemcache-tls", false, pythonPackages, web(python("check_pymemcache_tls.py"))},
	{"prometheus", true, []string{"prometheus"}, onSite(prometheus)},
	{"schemathesis", true, pythonPackages, onSite(schemathesis)},
	{"nginx-http", false, []string{"nginx"}, onSite(nginxWeb)},
	{"haproxy-http", false, []string{"haproxy"}, onSite(haproxyWeb)},
	{"haproxy-http-send-proxy", false, []string{"haproxy"}, sendProxyWeb("send-proxy")},
	{"haproxy-http-send-proxy-v2", false, []string{"haproxy"}, sendProxyWeb("send-proxy-v2")},
	{"varnish", true, []string{"varnish"}, onSite(varnish)},
	{"chromium", true, []string{"nginx", "nodejs", "npm", "chromium", "fonts-dejavu-core"}, onSite(chromium)},
	{"README/python", false, pythonPackages, python("python")},
	{"README/js", false, nodePackages, node("js")},
	{"README/sh", false, []string{"curl"}, web(script("sh", "sh"))},
	{"memory", true, nil, memory},
}

// slowTests are memcached's files that take more than a few seconds.
var slowTests = []string{"expirations.t", "flush-all.t", "getset.t"}

func main() {
	r := &runner{said: &transcript{}}
	r.tests = sync.OnceValues(r.upstreamTests)
	flag.StringVar(&r.daemon, "daemon", "bin/latticed", "the daemon to test")
	flag.StringVar(&r.cache, "cache", ".cache/conformance", "where clients are installed")
	flag.StringVar(&r.against, "against", "", "test what listens at this address")
	quick := flag.Bool("quick", false, "only what is fast")
	only := flag.String("only", "", "only the suites of this list with commas")
	flag.Parse()
	var names []string
	if *only != "" {
		names = strings.Split(*only, ",")
	}
	if err := run(r, *quick, names); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

func run(r *runner, quick bool, only []string) error {
	var err error
	if r.daemon, err = filepath.Abs(r.daemon); err != nil {
		return err
	}
	if r.cache, err = filepath.Abs(r.cache); err != nil {
		return err
	}
	if err := os.MkdirAll(r.cache, 0o755); err != nil {
		return err
	}
	expected, err := readExpected()
	if err != nil {
		return err
	}
	all := slices.Clone(suites)
	var packages []string
	for _, e := range expected {
		if file, ok := strings.CutPrefix(e.name, "upstream/"); ok {
			all = append(all, suite{e.name, slices.Contains(slowTests, file), []string{"perl", "xz-utils"}, upstream(file)})
		}
	}
	all = slices.DeleteFunc(all, func(s suite) bool {
		return quick && s.slow || only != nil && !slices.Contains(only, s.name)
	})
	if len(all) == 0 {
		return fmt.Errorf("no suite has this name")
	}
	for _, s := range all {
		packages = append(packages, s.needs...)
	}
	// A suite whose packages are missing after this fails in its turn.
	if err := r.install(packages); err != nil {
		fmt.Println(err)
		r.said.print()
	}
	for _, s := range all {
		want := slices.IndexFunc(expected, func(e expectation) bool { return e.name == s.name })
		if want < 0 {
			return fmt.Errorf("expected.tsv does not know %s", s.name)
		}
		r.one(s, expected[want].checks)
	}
	return r.report()
}

// expectation is a line of expected.tsv.
type expectation struct {
	name   string
	checks int
}

func readExpected() ([]expectation, error) {
	b, err := files.ReadFile("expected.tsv")
	if err != nil {
		return nil, err
	}
	var list []expectation
	for line := range strings.Lines(string(b)) {
		name, count, ok := strings.Cut(strings.TrimSpace(line), "\t")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		n, err := strconv.Atoi(count)
		if err != nil || n <= 0 {
			return nil, fmt.Errorf("expected.tsv: %q is no count of checks", line)
		}
		list = append(list, expectation{name, n})
	}
	return list, nil
}

// one runs a suite against a fresh daemon.
func (r *runner) one(s suite, want int) {
	start := time.Now()
	r.said = &transcript{}
	n := 0
	err := missing(s.needs)
	if err == nil {
		n, err = r.fresh(s)
	}
	v := verdict{s.name, n, want, err, r.said}
	switch {
	case n < want:
		r.failed = append(r.failed, v)
	default:
		r.passed++
	}
	fmt.Printf("%-32s %6d of %6d  %5.1fs  %s\n", s.name, n, want, time.Since(start).Seconds(), v.word())
	// memcached's own files hold checks that fail everywhere without its flags, h2spec one that differs on purpose.
	if err != nil && (n < want || !strings.HasPrefix(s.name, "upstream/") && s.name != "h2spec") {
		fmt.Println(indented(last(err.Error())))
	}
}

func (r *runner) fresh(s suite) (int, error) {
	addr, stop, err := r.start("protocols: [memcached]")
	if err != nil {
		return 0, err
	}
	defer stop()
	return s.run(r, addr)
}

// start runs a daemon on a port with these options. Most suites use one that speaks memcached only, as memcached's own
// tests assume.
func (r *runner) start(options string) (addr string, stop func(), err error) {
	if r.against != "" {
		// Where nobody listens the suite has to notice.
		_ = memcache.New(r.against).FlushAll()
		return r.against, func() {}, nil
	}
	conf, err := os.CreateTemp(r.cache, "latticed-*.yaml")
	if err != nil {
		return "", nil, err
	}
	defer os.Remove(conf.Name())
	fmt.Fprintf(conf, "latticed:\n  memory: 256MiB\n  listeners: [{address: '127.0.0.1:0', %s}]\n", options)
	if err := conf.Close(); err != nil {
		return "", nil, err
	}
	p, addr, err := r.daemonOf(exec.Command(r.daemon, "--config", conf.Name(), "--debug-commands"))
	if err != nil {
		return "", nil, err
	}
	return addr, func() { _ = p.finish() }, nil
}

// checks counts the lines `ok ...` of a scenario, or of perl's Test::More, and returns the others as an error.
func checks(out string, failure error) (n int, err error) {
	var bad []string
	for line := range strings.Lines(out) {
		switch {
		case strings.HasPrefix(line, "ok "):
			n++
		case strings.HasPrefix(line, "not ok "):
			bad = append(bad, line)
		}
	}
	if bad != nil {
		failure = errors.Join(errors.New(last(strings.Join(bad, ""))), failure)
	}
	return n, failure
}

// client writes a scenario beside what it needs, runs it and counts its checks. One that is only the name of a language is
// the example that README.md has in it.
func (r *runner) client(name, dir, addr, interpreter string, args ...string) (int, error) {
	if !strings.Contains(name, ".") {
		return r.example(name, interpreter, dir, addr)
	}
	need := []string{name}
	if filepath.Ext(name) == ".sh" {
		need = append(need, "checks.sh") // which it reads
	}
	for _, n := range need {
		b, err := files.ReadFile("clients/" + n)
		if err != nil {
			return 0, err
		}
		if err := os.WriteFile(filepath.Join(dir, n), b, 0o644); err != nil {
			return 0, err
		}
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return 0, err
	}
	return checks(r.command(dir, r.env, interpreter, append(args, filepath.Join(dir, name), host, port)...))
}

// script runs a scenario that needs Debian packages alone.
func script(interpreter, name string) func(*runner, string) (int, error) {
	return func(r *runner, addr string) (int, error) { return r.client(name, r.cache, addr, interpreter) }
}

func memccapable(r *runner, addr string) (int, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return 0, err
	}
	out, err := r.command("", nil, "memccapable", "-h", host, "-p", port, "-t", "60", "-a")
	return strings.Count(out, "[pass]"), err
}

// example runs README.md's example in a language against addr, and counts 1 if it prints what it stored.
func (r *runner) example(language, interpreter, dir, addr string) (int, error) {
	b, err := os.ReadFile("../../README.md")
	if err != nil {
		return 0, err
	}
	_, code, found := strings.Cut(string(b), "\n```"+language+"\n")
	code, _, ended := strings.Cut(code, "\n```\n")
	if !found || !ended {
		return 0, fmt.Errorf("README.md has no example in %s", language)
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return 0, err
	}
	code = strings.NewReplacer("127.0.0.1", host, "11211", port, "11222", port).Replace(code)
	path := filepath.Join(dir, "README."+language)
	if err := os.WriteFile(path, []byte(code), 0o644); err != nil {
		return 0, err
	}
	out, err := r.command(dir, nil, interpreter, path)
	words := []string{"hello"}
	if language == "sh" {
		words = []string{"hello by HTTP\n", "my own\n", `"hits":1,`}
	}
	for _, w := range words {
		if err == nil && !strings.Contains(out, w) {
			err = fmt.Errorf("README.md's example in %s did not print %q", language, w)
		}
	}
	if err != nil {
		return 0, err
	}
	return 1, nil
}
