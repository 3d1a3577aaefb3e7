//go:build unix

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain lets the test binary be the daemon, so that signals and exit codes are those of a real process.
func TestMain(m *testing.M) {
	if os.Getenv("TEST_AS_LATTICED") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

const patience = 30 * time.Second

// process is a running latticed.
type process struct {
	cmd    *exec.Cmd
	addr   string // of its first listener
	stdout string // what was read of it
	out    *bufio.Reader
	stderr *bytes.Buffer
}

func command(env []string, args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append([]string{"TEST_AS_LATTICED=1", "HOME=" + os.TempDir()}, env...)
	return cmd
}

// run starts latticed and waits until it says where it listens.
func run(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	return start(t, command(env, args...))
}

// start is run for a command that is made already.
func start(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{cmd: cmd, stderr: &bytes.Buffer{}}
	p.cmd.Stderr = p.stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			_ = p.cmd.Process.Kill()
			_ = p.cmd.Wait()
		}
	})
	p.out = bufio.NewReader(out)
	p.readTo(t, "  memory ")
	p.addr = regexp.MustCompile(`listening on ([^\s,]+)`).FindStringSubmatch(p.stdout)[1]
	return p
}

// readTo reads stdout up to the line that has text in it.
func (p *process) readTo(t *testing.T, text string) {
	t.Helper()
	kill := time.AfterFunc(patience, func() { _ = p.cmd.Process.Kill() })
	defer kill.Stop()
	for {
		line, err := p.out.ReadString('\n')
		if p.stdout += line; strings.Contains(line, text) {
			return
		}
		if err != nil {
			t.Fatalf("no %q on stdout, only %q: %v; stderr: %s", text, p.stdout, err, p.stderr)
		}
	}
}

// end waits for the process and returns its exit code.
func (p *process) end(t *testing.T) int {
	t.Helper()
	kill := time.AfterFunc(patience, func() { _ = p.cmd.Process.Kill() })
	defer kill.Stop()
	_ = p.cmd.Wait() // the exit code says it
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

func dial(t *testing.T, network, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

func ask(t *testing.T, c net.Conn, send, want string) {
	t.Helper()
	if _, err := io.WriteString(c, send); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(want))
	if n, err := io.ReadFull(c, got); string(got[:n]) != want {
		t.Fatalf("%q: got %q (%v), want %q", send, got[:n], err, want)
	}
}

// stat returns one line of stats.
func stat(t *testing.T, addr, name string) string {
	t.Helper()
	c := dial(t, "tcp", addr)
	if _, err := io.WriteString(c, "stats\r\nquit\r\n"); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "STAT "+name+" ")
	value, _, _ := strings.Cut(rest, "\r\n")
	return value
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// What the first lines of output say is true, and what they say to try works as it stands.
func TestGreeting(t *testing.T) {
	p := run(t, nil, "--listen", "127.0.0.1:0", "--listen", "unix:"+t.TempDir()+"/s", "--memory", "64MiB")
	p.readTo(t, "  try: curl ")
	lines := strings.Split(p.stdout, "\n")
	want := regexp.MustCompile(`^latticed \S+
  listening on 127.0.0.1:\d+
  listening on unix:/\S+/s
  memory 64.0 MiB \(flag --memory\), of which entries take up to [\d.]+ MiB
  try: exec 3<>/dev/tcp/127.0.0.1/\d+; .*
  try: curl http://127.0.0.1:\d+/rest/v2/caches/default/greeting
$`)
	if !want.MatchString(p.stdout) {
		t.Fatalf("got %s, want %s", p.stdout, want)
	}
	shell, _ := strings.CutPrefix(lines[4], "  try: ")
	out, err := exec.Command("bash", "-c", shell).CombinedOutput()
	if want := "STORED\r\nVALUE greeting 0 5\r\nhello\r\nEND\r\n"; string(out) != want || err != nil {
		t.Errorf("%s: got %q, %v, want %q", shell, out, err, want)
	}
	url, _ := strings.CutPrefix(lines[5], "  try: curl ")
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if b, err := io.ReadAll(r.Body); string(b) != "hello" || err != nil {
		t.Errorf("%s: got %q, %v, want hello", url, b, err)
	}
}

func TestLifeUnderSystemd(t *testing.T) {
	dir := t.TempDir()
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: dir + "/notify", Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	told := func(want string) {
		t.Helper()
		_ = manager.SetReadDeadline(time.Now().Add(patience))
		b := make([]byte, 256)
		n, err := manager.Read(b)
		if ok, _ := regexp.Match("^(?:"+want+")$", b[:n]); !ok {
			t.Fatalf("told the service manager: got %q (%v), want %q", b[:n], err, want)
		}
	}
	file := dir + "/latticed.yaml"
	write(t, file, "latticed:\n  memory: 64MiB\n  event-loops: 1\n  warm-restart: "+dir+"/entries\n  listeners: [{address: '127.0.0.1:0'}]\n")
	p := run(t, []string{"NOTIFY_SOCKET=" + manager.LocalAddr().String()}, "--config", file)
	told("EXTEND_TIMEOUT_USEC=600000000") // entries may take their time
	told("READY=1")
	if got, want := stat(t, p.addr, "limit_maxbytes"), "30758230"; got != want {
		t.Errorf("limit_maxbytes: got %q, want %q", got, want)
	}

	write(t, file, "latticed:\n  memory: 32MiB\n  log-level: warn\n  warm-restart: "+dir+"/entries\n  event-loops: 2\n  listeners: [{address: '127.0.0.1:0'}]\n")
	p.signal(t, syscall.SIGHUP)
	told(`RELOADING=1\nMONOTONIC_USEC=[0-9]+`)
	told("READY=1")
	if got, want := stat(t, p.addr, "limit_maxbytes"), "8388608"; got != want {
		t.Errorf("limit_maxbytes after a reload: got %q, want %q", got, want)
	}

	write(t, file, "latticed:\n  memroy: 1MiB\n")
	p.signal(t, syscall.SIGHUP)
	told(`RELOADING=1\nMONOTONIC_USEC=[0-9]+`)
	told("READY=1")
	if got, want := stat(t, p.addr, "limit_maxbytes"), "8388608"; got != want {
		t.Errorf("limit_maxbytes after a reload that failed: got %q, want %q", got, want)
	}

	// What cache_memlimit set stays over a reload that has the same memory, and there is no setting more than there is.
	admin := dial(t, "tcp", p.addr)
	ask(t, admin, "cache_memlimit 1000000000\r\n", "MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust\r\n")
	ask(t, admin, "cache_memlimit 12\r\n", "OK\r\n")
	write(t, file, "latticed:\n  memory: 32MiB\n  log-level: warn\n  warm-restart: "+dir+"/entries\n  event-loops: 1\n  listeners: [{address: '127.0.0.1:0'}]\n")
	p.signal(t, syscall.SIGHUP)
	told(`RELOADING=1\nMONOTONIC_USEC=[0-9]+`)
	told("READY=1")
	if got, want := stat(t, p.addr, "limit_maxbytes"), "12582912"; got != want {
		t.Errorf("limit_maxbytes after cache_memlimit and a reload: got %q, want %q", got, want)
	}

	r, err := http.Get("http://" + p.addr + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	metrics, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\nlatticed_memory_budget_bytes 3.3554432e+07\n", "\nlatticed_memory_limit_bytes 1.2582912e+07\n", "\nprocess_resident_memory_bytes "} {
		if !strings.Contains(string(metrics), want) {
			t.Errorf("metrics: want %q in %s", want, metrics)
		}
	}

	idle := dial(t, "tcp", p.addr)
	ask(t, idle, "set k 0 0 1\r\na\r\n", "STORED\r\n")
	p.signal(t, syscall.SIGTERM)
	told("STOPPING=1")
	told("EXTEND_TIMEOUT_USEC=600000000")
	if b, err := io.ReadAll(idle); len(b) != 0 || err != nil {
		t.Errorf("an idle connection at the end: got %q, %v, want a close", b, err)
	}
	if code := p.end(t); code != 0 {
		t.Errorf("exit code after SIGTERM: got %d, want 0; stderr: %s", code, p.stderr)
	}
	for _, want := range []string{
		`"key":"memory","from":"64MiB","to":"32MiB"`, "configuration changed: applied",
		`"key":"event-loops","from":"1","to":"2"`, "configuration changed: needs a restart",
		`unknown key; did you mean \"memory\"?`,
	} {
		if !strings.Contains(p.stderr.String(), want) {
			t.Errorf("log: got %s, want %s in it", p.stderr, want)
		}
	}
	if strings.Contains(p.stderr.String(), `"message":"stopping"`) {
		t.Errorf("log: got %s, want nothing below warnings after the reload", p.stderr)
	}
	if _, err := net.Dial("tcp", p.addr); err == nil {
		t.Error("the port is still served after the end")
	}
}

// A client that may stops the process as a signal does: who is served is answered, entries are saved, and the exit code is 0.
func TestStopByHTTP(t *testing.T) {
	file := t.TempDir() + "/entries"
	p := run(t, nil, "--listen", "127.0.0.1:0", "--warm-restart", file)
	c := dial(t, "tcp", p.addr)
	ask(t, c, "set k 0 0 1\r\nv\r\n", "STORED\r\n")
	ask(t, dial(t, "tcp", p.addr), "POST /rest/v2/server?action=stop HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 204 No Content\r\n")
	if code := p.end(t); code != 0 {
		t.Fatalf("exit code: got %d, want 0; stderr: %s", code, p.stderr)
	}
	if b, err := io.ReadAll(c); len(b) != 0 || err != nil {
		t.Errorf("another client at the end: got %q, %v, want a close", b, err)
	}
	p = run(t, nil, "--listen", "127.0.0.1:0", "--warm-restart", file)
	ask(t, dial(t, "tcp", p.addr), "get k\r\n", "VALUE k 0 1\r\nv\r\nEND\r\n")
	ask(t, dial(t, "tcp", p.addr), "POST /rest/v3/cluster/_stop HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 204 No Content\r\n")
	if code := p.end(t); code != 0 {
		t.Errorf("exit code: got %d, want 0; stderr: %s", code, p.stderr)
	}
}

// A client that may changes from which level on is logged, until the configuration is read again.
func TestLevelByHTTP(t *testing.T) {
	p := run(t, nil, "--listen", "127.0.0.1:0", "--log-format", "json")
	request := func(verb, query, want string) {
		t.Helper()
		c := dial(t, "tcp", p.addr)
		if _, err := fmt.Fprintf(c, "%s /rest/v2/logging/loggers%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", verb, query); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(c); err != nil || !strings.Contains(string(got), want) {
			t.Fatalf("%s %q: got %q, %v, want %q", verb, query, got, err, want)
		}
	}
	for _, to := range []string{"TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL", "OFF"} {
		request("PUT", "?level="+strings.ToLower(to), " 204 ")
		request("GET", "", `[{"name":"","level":"`+to+`","appenders":["STDERR"]}]`)
	}
	request("PUT", "?level=NOPE", "ISPN080036: Invalid level `NOPE`")
	request("GET", "", "OFF")
	request("PUT", "?level=ALL", " 204 ")
	request("GET", "", "TRACE")
	request("PUT", "?level=error", " 204 ")
	p.signal(t, syscall.SIGHUP)
	for reloaded := false; !reloaded; { // the signal may be behind a few answers
		c := dial(t, "tcp", p.addr)
		ask(t, c, "GET /rest/v2/logging/loggers HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "HTTP/1.1 200 OK\r\n")
		b, err := io.ReadAll(c)
		if err != nil {
			t.Fatal(err)
		}
		reloaded = strings.Contains(string(b), `"INFO"`)
	}
	p.signal(t, syscall.SIGTERM)
	if code := p.end(t); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	for _, want := range []string{
		`"from":"INFO","to":"TRACE"`, `"from":"ERROR","to":"FATAL"`, `a client switches the log off`, `"from":"OFF","to":"TRACE"`,
		`"from":"TRACE","to":"ERROR"`, "configuration reloaded",
	} {
		if !strings.Contains(p.stderr.String(), want) {
			t.Errorf("log: got %s, want %s in it", p.stderr, want)
		}
	}
}

// At level debug the process tells what it has counted, when it reloads and when it ends.
func TestCountersAreLogged(t *testing.T) {
	p := run(t, nil, "--listen", "127.0.0.1:0", "--log-level", "debug", "--log-format", "json")
	c := dial(t, "tcp", p.addr)
	ask(t, c, "mn\r\n", "MN\r\n")
	c.Close()
	p.signal(t, syscall.SIGTERM)
	if code := p.end(t); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	want := regexp.MustCompile(`"goroutines":[1-9].*"accepted":1,.*"slow-readers":0.*"panics":0.*"stops-p999-us":.*"message":"counters"`)
	if !want.MatchString(p.stderr.String()) {
		t.Errorf("no counters in %s", p.stderr)
	}
}

func TestInterruptAndUnixSocket(t *testing.T) {
	path := t.TempDir() + "/s"
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close()

	p := run(t, []string{"LATTICED_LISTEN=unix:" + path})
	ask(t, dial(t, "unix", path), "mn\r\n", "MN\r\n")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o700 {
		t.Errorf("mode of the socket: got %o, want 700", got)
	}

	// While one serves it, another must not take the socket away.
	out, err := command(nil, "--listen", "unix:"+path).CombinedOutput()
	if want := fmt.Sprintf("latticed: listen on unix:%s: another process answers there\n", path); err == nil || string(out) != want {
		t.Errorf("second process: got %q, %v, want %q", out, err, want)
	}
	p.signal(t, os.Interrupt)
	if code := p.end(t); code != 0 {
		t.Errorf("exit code after SIGINT: got %d, want 0; stderr: %s", code, p.stderr)
	}
}

func TestRefusals(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	f := func(want string, env []string, args ...string) {
		t.Helper()
		cmd := command(env, args...)
		kill := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
		defer kill.Stop()
		out, _ := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != 1 || string(out) != want {
			t.Errorf("%q %q: got exit code %d and %q, want 1 and %q", env, args, code, out, want)
		}
	}
	a := taken.Addr().String()
	f("latticed: listen on "+a+": address already in use; choose another address with --listen\n", nil, "--listen", a)
	f("latticed: LATTICED_MEMORY: want a size such as 64MB, 64MiB or 2g, got \"lots\"\n", []string{"LATTICED_MEMORY=lots"})
	f("latticed: --event-loops: want a number from 1 to 255, got \"0\"\n", nil, "serve", "--event-loops", "0")
	f("latticed: --listen: want HOST:PORT or unix:PATH, got \"11211\"; did you mean 127.0.0.1:11211?\n", nil, "--listen", "11211")
	f("latticed: --log-level: want debug or info or warn or error, got \"infos\"; did you mean info?\n", nil, "--log-level", "infos")
	f("latticed: read configuration: stat /nowhere.yaml: no such file or directory\n", []string{"LATTICED_CONFIG=/nowhere.yaml"})
}

func TestProcessorsBesideTheLoops(t *testing.T) {
	cmd := command([]string{"GODEBUG=schedtrace=10"}, "--listen", "127.0.0.1:0", "--event-loops", "40")
	trace, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	found := false
	for lines := bufio.NewScanner(trace); !found && lines.Scan(); {
		found = strings.Contains(lines.Text(), " gomaxprocs=41 ")
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if !found {
		t.Error("40 loops do not have 41 processors")
	}
}

func TestReloadOfListeners(t *testing.T) {
	file := t.TempDir() + "/c.yaml"
	text := func(more string) string {
		return "latticed:\n  log-format: json\n  listeners:\n    - {address: '127.0.0.1:0', protocols: [memcached]" + more + "}\n"
	}
	write(t, file, text(""))
	p := run(t, nil, "--config", file)
	old := dial(t, "tcp", p.addr)
	ask(t, old, "mn\r\n", "MN\r\n")
	write(t, file, text(", deny: ['127.0.0.0/8']"))
	p.signal(t, syscall.SIGHUP)
	for end := time.Now().Add(patience); ; {
		c := dial(t, "tcp", p.addr)
		_, _ = io.WriteString(c, "mn\r\n") // may fail: it is denied
		n, _ := io.ReadFull(c, make([]byte, 4))
		c.Close()
		if n == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the deny rule never came into force")
		}
	}
	ask(t, old, "mn\r\n", "MN\r\n") // who is connected stays
	write(t, file, text(", idle-timeout: 1s"))
	p.signal(t, syscall.SIGHUP)
	if b, err := io.ReadAll(old); len(b) != 0 || err != nil {
		t.Errorf("an idle connection: got %q, %v, want a close", b, err)
	}
	if got := stat(t, p.addr, "idle_kicks"); got != "1" {
		t.Errorf("idle_kicks: got %q, want 1", got)
	}
	p.signal(t, syscall.SIGTERM)
	if code := p.end(t); code != 0 {
		t.Errorf("exit code: got %d, want 0", code)
	}
	for _, want := range []string{
		`"key":"listeners[127.0.0.1:0].deny","from":"","to":"127.0.0.0/8"`,
		`"key":"listeners[127.0.0.1:0].idle-timeout","from":"0","to":"1s"`,
	} {
		if !strings.Contains(p.stderr.String(), want) {
			t.Errorf("log: got %s, want %s in it", p.stderr, want)
		}
	}
	if strings.Contains(p.stderr.String(), "needs a restart") {
		t.Errorf("log: got %s, want nothing that needs a restart", p.stderr)
	}
}

// TestWarmRestart takes entries over to a second process, and over a file that is damaged, and one that cannot be written.
func TestWarmRestart(t *testing.T) {
	file := t.TempDir() + "/entries"
	say := func(p *process, send, want string) {
		t.Helper()
		c, err := net.Dial("tcp", p.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, send+"quit\r\n"); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(c); err != nil || string(got) != want {
			t.Errorf("%q: got %q, %v, want %q", send, got, err, want)
		}
	}
	stop := func(p *process, want int) {
		t.Helper()
		if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if code := p.end(t); code != want {
			t.Errorf("exit code %d, want %d; stderr: %s", code, want, p.stderr)
		}
	}
	args := []string{"--listen", "127.0.0.1:0", "--memory", "64MiB", "--warm-restart", file}
	big := strings.Repeat("x", 200_000)
	p := run(t, nil, args...)
	say(p, "set a 5 0 5\r\nhello\r\nset b 0 0 200000\r\n"+big+"\r\nset c 0 -1 1\r\nx\r\n", "STORED\r\nSTORED\r\nSTORED\r\n")
	stop(p, 0)
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the file of entries: %v, %v", info, err)
	}

	p = run(t, nil, args...)
	say(p, "get a\r\nget b\r\nget c\r\n", "VALUE a 5 5\r\nhello\r\nEND\r\nVALUE b 0 200000\r\n"+big+"\r\nEND\r\nEND\r\n")
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("the file is still there: %v", err)
	}
	stop(p, 0)

	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	p = run(t, nil, args...)
	say(p, "get a\r\n", "END\r\n")
	if kept, err := os.ReadFile(file + ".refused"); err != nil || !bytes.Equal(kept, data) {
		t.Errorf("the refused file: %d bytes, %v", len(kept), err)
	}
	if err := os.Mkdir(file+".tmp", 0o700); err != nil { // nothing can be written there now
		t.Fatal(err)
	}
	stop(p, 1)
	if s := p.stderr.String(); !strings.Contains(s, "incomplete or damaged") || !strings.Contains(s, "warm restart: open") {
		t.Errorf("stderr: %s", s)
	}
}

// A SIGHUP behind the signal to stop, as systemd sends it with SendSIGHUP=, keeps no entries from being saved.
func TestReloadWhileStopping(t *testing.T) {
	file := t.TempDir() + "/entries"
	args := []string{"--listen", "127.0.0.1:0", "--memory", "64MiB", "--warm-restart", file}
	p := run(t, nil, args...)
	c := dial(t, "tcp", p.addr)
	ask(t, c, "get a\r\nset a 0 0 5\r\nhe", "END\r\n")
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP, syscall.SIGHUP} {
		if err := p.cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
		for s == syscall.SIGTERM { // until it is stopping
			other, err := net.Dial("tcp", p.addr)
			if err != nil {
				break
			}
			other.Close()
		}
	}
	ask(t, c, "llo\r\n", "STORED\r\n")
	if code := p.end(t); code != 0 {
		t.Errorf("exit code %d; stderr: %s", code, p.stderr)
	}
	p = run(t, nil, args...)
	ask(t, dial(t, "tcp", p.addr), "get a\r\n", "VALUE a 0 5\r\nhello\r\nEND\r\n")
}
