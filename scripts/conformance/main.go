// Command conformance runs outside clients and suites against a real latticed daemon and compares how many of their
// checks pass with what is expected (expected.tsv): fewer is a failure, and so is a client that cannot be installed.
// It installs what it needs: Debian packages with apt-get, Python and Node packages below -cache.
//
//	go run . -daemon ../../bin/latticed [-quick]
//
// UPSTREAM_TESTS=DIR takes memcached's own tests from DIR, a folder that holds t, instead of Debian's source package.
package main

import (
	"bufio"
	"embed"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

//go:embed expected.tsv clients
var files embed.FS

// runner is one run.
type runner struct {
	daemon, cache string
	passed        int
	failed        int
}

// suite is one client or test file; run returns how many checks passed.
type suite struct {
	name  string
	quick bool
	run   func(r *runner, addr string) (int, error)
}

func main() {
	daemon := flag.String("daemon", "bin/latticed", "the daemon to test")
	cache := flag.String("cache", ".cache/conformance", "where clients are installed")
	quick := flag.Bool("quick", false, "only what is fast")
	flag.Parse()
	if err := run(*daemon, *cache, *quick); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

func run(daemon, cache string, quick bool) error {
	r := &runner{}
	var err error
	if r.daemon, err = filepath.Abs(daemon); err != nil {
		return err
	}
	if r.cache, err = filepath.Abs(cache); err != nil {
		return err
	}
	if err := os.MkdirAll(r.cache, 0o755); err != nil {
		return err
	}
	expected, err := readExpected()
	if err != nil {
		return err
	}
	suites := []suite{
		{"memccapable", true, memccapable},
		{"pymemcache", true, python("pymemcache==4.0.0", "check_pymemcache.py")},
		{"python-memcached", false, python("python-memcached==1.62", "check_python_memcached.py")},
		{"gomemcache", true, gomemcache},
		{"npm-memcached", true, node("memcached@2.2.2", "check_memcached.js")},
		{"README/python", true, python("pymemcache==4.0.0", "python")},
		{"README/js", true, node("memcached@2.2.2", "js")},
		{"memory", false, memory},
	}
	for _, s := range suites {
		if quick && !s.quick {
			continue
		}
		r.one(s, expected)
	}
	tests, err := r.upstream()
	if err != nil {
		return err
	}
	for name := range expected {
		file, ok := strings.CutPrefix(name, "upstream/")
		if !ok || quick && slow[file] {
			continue
		}
		r.one(suite{name: name, run: perl(tests, file)}, expected)
	}
	fmt.Printf("\n%d passed, %d failed\n", r.passed, r.failed)
	if r.failed > 0 {
		return fmt.Errorf("%d suites passed fewer checks than expected", r.failed)
	}
	return nil
}

// slow are upstream's files that take more than a few seconds.
var slow = map[string]bool{"expirations.t": true, "flush-all.t": true, "getset.t": true}

func readExpected() (map[string]int, error) {
	b, err := files.ReadFile("expected.tsv")
	if err != nil {
		return nil, err
	}
	m := make(map[string]int)
	for line := range strings.Lines(string(b)) {
		name, count, ok := strings.Cut(strings.TrimSpace(line), "\t")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		if m[name], err = strconv.Atoi(count); err != nil {
			return nil, fmt.Errorf("expected.tsv: %w", err)
		}
	}
	return m, nil
}

// one runs a suite against a fresh daemon.
func (r *runner) one(s suite, expected map[string]int) {
	start := time.Now()
	want, known := expected[s.name]
	addr, stop, err := r.start()
	n := 0
	if err == nil {
		n, err = s.run(r, addr)
		stop()
	}
	verdict := "ok"
	switch {
	case !known:
		verdict = "FAILED: not in expected.tsv"
	case n < want:
		verdict = "FAILED"
	case n > want:
		verdict = "ok, more than expected: raise expected.tsv"
	}
	fmt.Printf("%-32s %6d of %6d  %5.1fs  %s\n", s.name, n, want, time.Since(start).Seconds(), verdict)
	if strings.HasPrefix(verdict, "FAILED") {
		r.failed++
		fmt.Printf("    %v\n", err)
	} else {
		r.passed++
	}
}

// start runs a daemon on a port that speaks memcached only, as memcached's own tests assume.
func (r *runner) start() (addr string, stop func(), err error) {
	conf := filepath.Join(r.cache, "latticed.yaml")
	text := "latticed:\n  memory: 256MiB\n  listeners: [{address: '127.0.0.1:0', protocols: [memcached]}]\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return "", nil, err
	}
	cmd, addr, err := begin(exec.Command(r.daemon, "--config", conf, "--debug-commands"))
	if err != nil {
		return "", nil, err
	}
	return addr, func() { _ = finish(cmd) }, nil
}

// begin starts a daemon and returns where it listens first.
func begin(cmd *exec.Cmd) (*exec.Cmd, string, error) {
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	if err := cmd.Start(); err != nil {
		return nil, "", fmt.Errorf("start the daemon: %w", err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if _, a, ok := strings.Cut(lines.Text(), "listening on "); ok {
			return cmd, a, nil
		}
	}
	return nil, "", errors.Join(errors.New("the daemon did not say where it listens"), finish(cmd))
}

// finish ends a daemon as an administrator would.
func finish(cmd *exec.Cmd) error {
	_ = cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("the daemon's end: %w", err)
	}
	return nil
}

// command runs a program and returns what it printed.
func command(dir string, env []string, name string, args ...string) (string, error) {
	cmd := exec.Command("timeout", append([]string{"180", name}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s: %w\n%s", name, err, tail(string(out)))
	}
	return string(out), err
}

func tail(s string) string { return s[max(0, len(s)-1500):] }

// debian installs packages unless program is there.
func debian(program string, packages ...string) error {
	if _, err := exec.LookPath(program); err == nil {
		return nil
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("%s is missing: run apt-get install %s", program, strings.Join(packages, " "))
	}
	if _, err := command("", nil, "apt-get", "update", "-qq"); err != nil {
		return err
	}
	_, err := command("", []string{"DEBIAN_FRONTEND=noninteractive"}, "apt-get", append([]string{"install", "-y", "-qq"}, packages...)...)
	return err
}

func memccapable(_ *runner, addr string) (int, error) {
	if err := debian("memccapable", "libmemcached-tools"); err != nil {
		return 0, err
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return 0, err
	}
	out, err := command("", nil, "memccapable", "-h", host, "-p", port, "-a")
	return strings.Count(out, "[pass]"), err
}

// client writes a scenario beside what it needs, runs it, and counts its lines `ok ...`. A script that is only the name of
// a language is the example that README.md has in it.
func (r *runner) client(script, interpreter, dir, addr string) (int, error) {
	if !strings.Contains(script, ".") {
		return r.example(script, interpreter, dir, addr)
	}
	b, err := files.ReadFile("clients/" + script)
	if err != nil {
		return 0, err
	}
	path := filepath.Join(dir, script)
	if err := os.WriteFile(path, b, 0o644); err != nil {
		return 0, err
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return 0, err
	}
	out, err := command(dir, nil, interpreter, path, host, port)
	return countOK(out), err
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
	code = strings.NewReplacer("127.0.0.1", host, "11211", port).Replace(code)
	path := filepath.Join(dir, "README."+language)
	if err := os.WriteFile(path, []byte(code), 0o644); err != nil {
		return 0, err
	}
	out, err := command(dir, nil, interpreter, path)
	if err == nil && !strings.Contains(out, "hello") {
		err = fmt.Errorf("README.md's example in %s printed %q", language, out)
	}
	if err != nil {
		return 0, err
	}
	return 1, nil
}

var okLine = regexp.MustCompile(`(?m)^ok\b`)

func countOK(out string) int { return len(okLine.FindAllString(out, -1)) }

func python(requirement, script string) func(*runner, string) (int, error) {
	return func(r *runner, addr string) (int, error) {
		if err := debian("python3", "python3", "python3-venv"); err != nil {
			return 0, err
		}
		venv := filepath.Join(r.cache, "python", requirement)
		bin := filepath.Join(venv, "bin", "python")
		if _, err := os.Stat(filepath.Join(venv, "done")); err != nil {
			if _, err := command("", nil, "python3", "-m", "venv", venv); err != nil {
				if err := debian("no-such-program", "python3-venv"); err != nil {
					return 0, err
				}
				if _, err := command("", nil, "python3", "-m", "venv", venv); err != nil {
					return 0, err
				}
			}
			if _, err := command("", nil, bin, "-m", "pip", "install", "-q", requirement); err != nil {
				return 0, err
			}
			if err := os.WriteFile(filepath.Join(venv, "done"), nil, 0o644); err != nil {
				return 0, err
			}
		}
		return r.client(script, bin, venv, addr)
	}
}

func node(requirement, script string) func(*runner, string) (int, error) {
	return func(r *runner, addr string) (int, error) {
		if err := debian("npm", "nodejs", "npm"); err != nil {
			return 0, err
		}
		dir := filepath.Join(r.cache, "node", requirement)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return 0, err
		}
		if _, err := os.Stat(filepath.Join(dir, "node_modules")); err != nil {
			if _, err := command(dir, nil, "npm", "install", "--no-audit", "--no-fund", "--prefix", dir, requirement); err != nil {
				return 0, err
			}
		}
		return r.client(script, "node", dir, addr)
	}
}

// upstream returns a folder with memcached's t, and beside it the executable that its tests ask for help.
func (r *runner) upstream() (string, error) {
	dir := filepath.Join(r.cache, "upstream")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	if err := debian("perl", "perl"); err != nil {
		return "", err
	}
	from := os.Getenv("UPSTREAM_TESTS")
	if from == "" {
		from = filepath.Join(dir, "debian")
		if _, err := os.Stat(filepath.Join(from, "t")); err != nil {
			if err := debianSource(dir, from); err != nil {
				return "", err
			}
		}
	}
	work := filepath.Join(dir, "work")
	if err := os.RemoveAll(work); err != nil {
		return "", err
	}
	if err := os.MkdirAll(work, 0o755); err != nil {
		return "", err
	}
	if _, err := command("", nil, "cp", "-r", filepath.Join(from, "t"), work); err != nil {
		return "", err
	}
	stub := "#!/bin/sh\necho 'memcached 1.6.45'\n"
	return work, os.WriteFile(filepath.Join(work, "memcached-debug"), []byte(stub), 0o755)
}

// debianSource unpacks Debian's source package of memcached into dst, with package lists of its own.
func debianSource(dir, dst string) error {
	fmt.Println("fetching Debian's memcached source package")
	parts, lists := filepath.Join(dir, "sources"), filepath.Join(dir, "lists")
	for _, d := range []string{parts, filepath.Join(lists, "partial"), dst} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	if err := sourceLists(parts); err != nil {
		return err
	}
	options := []string{"-qq", "-o", "Dir::Etc::sourcelist=/dev/null", "-o", "Dir::Etc::sourceparts=" + parts, "-o", "Dir::State::lists=" + lists}
	if _, err := command(dir, nil, "apt-get", append(options, "update")...); err != nil {
		return err
	}
	if _, err := command(dir, nil, "apt-get", append(options, "source", "--download-only", "memcached")...); err != nil {
		return err
	}
	archives, err := filepath.Glob(filepath.Join(dir, "memcached_*.orig.tar.*"))
	if err != nil || len(archives) == 0 {
		return fmt.Errorf("no source archive of memcached was fetched: %v", err)
	}
	_, err = command(dir, nil, "tar", "xf", archives[0], "-C", dst, "--strip-components=1")
	return err
}

// sourceLists writes the machine's own lists of Debian packages to parts, with sources instead of binaries.
func sourceLists(parts string) error {
	found := false
	for _, pattern := range []string{"/etc/apt/sources.list", "/etc/apt/sources.list.d/*"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			return err
		}
		for _, name := range names {
			b, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			text := string(b)
			if !strings.Contains(strings.ToLower(name+text), "debian") {
				continue
			}
			text = regexp.MustCompile(`(?m)^Types: .*$`).ReplaceAllString(text, "Types: deb-src")
			text = regexp.MustCompile(`(?m)^deb `).ReplaceAllString(text, "deb-src ")
			base := filepath.Base(name)
			if base == "sources.list" {
				base = "main.list"
			}
			if err := os.WriteFile(filepath.Join(parts, base), []byte(text), 0o644); err != nil {
				return err
			}
			found = true
		}
	}
	if !found {
		return fmt.Errorf("no Debian package lists on this machine: set UPSTREAM_TESTS to a folder that holds memcached's t")
	}
	return nil
}

func perl(dir, file string) func(*runner, string) (int, error) {
	return func(_ *runner, addr string) (int, error) {
		out, err := command(dir, []string{"T_MEMD_USE_DAEMON=" + addr}, "perl", filepath.Join("t", file))
		return countOK(out), err
	}
}
