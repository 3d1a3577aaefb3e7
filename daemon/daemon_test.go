package daemon_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/rs/zerolog"

	"github.com/latticed/latticed/daemon"
	"github.com/latticed/latticed/daemon/daemontest"
)

// memory is what the process holds in buffers and stacks, without what it could give back.
func memory(t *testing.T) int {
	t.Helper()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapInuse + m.StackInuse)
}

func TestTwoDaemonsInOneProcess(t *testing.T) {
	a, b := daemontest.Boot(t, daemontest.AnyPort), daemontest.Boot(t, daemontest.AnyPort)
	daemontest.Ask(t, daemontest.Dial(t, a), "set k 0 0 1\r\na\r\nget k\r\n", "STORED\r\nVALUE k 0 1\r\na\r\nEND\r\n")
	daemontest.Ask(t, daemontest.Dial(t, b), "get k\r\n", "END\r\n")
}

func TestWhoNeverReads(t *testing.T) {
	d := daemontest.Boot(t, daemontest.AnyPort)
	value := strings.Repeat("v", 1024)
	daemontest.Ask(t, daemontest.Dial(t, d), "set k 0 0 1024\r\n"+value+"\r\n", "STORED\r\n")
	const gets = 190000
	requests := bytes.Repeat([]byte("get k\r\n"), gets)
	before := memory(t)
	c := daemontest.Dial(t, d)
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(requests)
		sent <- err
	}()
	daemontest.Eventually(t, "the hand-off of a client that does not read", func() bool { return d.Counters().Streams.Load() == 1 })
	daemontest.Ask(t, daemontest.Dial(t, d), "get k\r\n", "VALUE k 0 1024\r\n"+value+"\r\nEND\r\n")
	if grown := memory(t) - before; grown > 2<<20 {
		t.Errorf("a client that never reads grew the process by %d bytes, want less than 2 MiB", grown)
	}
	reply := "VALUE k 0 1024\r\n" + value + "\r\nEND\r\n"
	r := bufio.NewReaderSize(c, 1<<20)
	buf := make([]byte, len(reply))
	for i := range gets {
		if _, err := io.ReadFull(r, buf); err != nil || string(buf) != reply {
			t.Fatalf("reply %d: got %.60q, %v", i, buf, err)
		}
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

// Clients that close their side behind many gets are owed every reply.
func TestHalfClose(t *testing.T) { daemontest.OnEachGrid(t, daemontest.AnyPort, halfClose) }

func halfClose(t *testing.T, d *daemon.Daemon) {
	value := strings.Repeat("v", 1024)
	daemontest.Ask(t, daemontest.Dial(t, d), "set k 0 0 1024\r\n"+value+"\r\n", "STORED\r\n")
	for _, gets := range []int{1, 3000, 40000} {
		c := daemontest.Dial(t, d)
		if _, err := c.Write(bytes.Repeat([]byte("get k\r\n"), gets)); err != nil {
			t.Fatal(err)
		}
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, c)
		if want := int64(gets * (len("VALUE k 0 1024\r\n\r\nEND\r\n") + 1024)); n != want || err != nil {
			t.Errorf("%d gets and a half-close: got %d bytes (%v), want %d", gets, n, err, want)
		}
	}
}

func TestLargeValues(t *testing.T) { daemontest.OnEachGrid(t, daemontest.AnyPort, largeValues) }

func largeValues(t *testing.T, d *daemon.Daemon) {
	value := strings.Repeat("0123456789", 90000)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			c := daemontest.Dial(t, d)
			for n := range 10 {
				key := fmt.Sprintf("k%d.%d", i, n)
				daemontest.Ask(t, c, "set "+key+" 0 0 900000\r\n"+value+"\r\n", "STORED\r\n")
				daemontest.Ask(t, c, "get "+key+"\r\n", "VALUE "+key+" 0 900000\r\n"+value+"\r\nEND\r\n")
			}
		})
	}
	wg.Wait()
	// Only who has answers outstanding, which the inline grid never has, may be moved.
	if k := d.Counters(); k.Streams.Load() > int64(k.LongParked.Load()) {
		t.Errorf("%d healthy connections were moved to goroutines, %d for outstanding answers", k.Streams.Load(), k.LongParked.Load())
	}
}

// TestManyLargeValues asks for more at once than any socket takes.
func TestManyLargeValues(t *testing.T) {
	d := daemontest.Boot(t, daemontest.AnyPort)
	c := daemontest.Dial(t, d)
	value := strings.Repeat("0123456789", 90000)
	daemontest.Ask(t, c, "set k 0 0 900000\r\n"+value+"\r\n", "STORED\r\n")
	for range 20 {
		daemontest.Ask(t, c, strings.Repeat("get k\r\n", 20), strings.Repeat("VALUE k 0 900000\r\n"+value+"\r\nEND\r\n", 20))
	}
	k := d.Counters()
	if k.Waits.Load() == 0 {
		t.Error("20 values of 900 kB fitted the socket; the test shows nothing")
	}
	if n := k.Streams.Load(); n != 0 {
		t.Errorf("%d healthy connections were moved to goroutines, want 0", n)
	}
}

func TestUnknownProtocolAndMemcachedOnly(t *testing.T) {
	d := daemontest.Boot(t, "  listeners:\n    - {address: '127.0.0.1:0'}\n    - {address: '127.0.0.1:0', protocols: [memcached]}\n")
	daemontest.Ask(t, daemontest.Dial(t, d), "\x80\x00", "ERROR unknown protocol")
	if n := d.Counters().Unrecognised.Load(); n != 1 {
		t.Errorf("unrecognised: got %d, want 1", n)
	}
	c := daemontest.DialAddr(t, d.Addrs()[1])
	daemontest.Ask(t, c, "GET a\r\n", "ERROR\r\n")
	fmt.Fprintf(c, "GET / HTTP/1.1\r\n")
	if b, err := io.ReadAll(c); len(b) != 0 || err != nil {
		t.Errorf("an HTTP request line on a memcached-only port: got %q, %v, want a close without a word", b, err)
	}
}

func TestConnectionLimit(t *testing.T) {
	d := daemontest.Boot(t, daemontest.AnyPort+"  max-connections: 3\n")
	var speaking []net.Conn
	for range 2 {
		c := daemontest.Dial(t, d)
		daemontest.Ask(t, c, "mn\r\n", "MN\r\n")
		speaking = append(speaking, c)
	}
	silent := daemontest.Dial(t, d)
	daemontest.Eventually(t, "three connections", func() bool { return d.Counters().Conns.Load() == 3 })
	// The silent one gives way to a newcomer; when all have spoken, the newcomer is told.
	c := daemontest.Dial(t, d)
	daemontest.Ask(t, c, "mn\r\n", "MN\r\n")
	if b, err := io.ReadAll(silent); len(b) != 0 || err != nil {
		t.Errorf("the silent connection: got %q, %v, want a close", b, err)
	}
	over := daemontest.Dial(t, d)
	if _, err := io.WriteString(over, strings.Repeat("get k\r\n", 10000)); err != nil { // in the way of the refusal
		t.Fatal(err)
	}
	got, err := io.ReadAll(over)
	if want := "ERROR Too many open connections\r\n"; string(got) != want || err != nil {
		t.Errorf("one too many: got %q, %v, want %q", got, err, want)
	}
	for _, c := range append(speaking, c) {
		daemontest.Ask(t, c, "mn\r\n", "MN\r\n")
	}
	if k := d.Counters(); k.Rejected.Load() != 1 || k.SilentKicks.Load() != 1 {
		t.Errorf("rejected %d, silent %d, want 1 and 1", k.Rejected.Load(), k.SilentKicks.Load())
	}
}

func TestRulesAndProxy(t *testing.T) {
	d := daemontest.Boot(t, "  listeners:\n    - {address: '127.0.0.1:0', deny: ['127.0.0.0/8']}\n"+
		"    - address: '127.0.0.1:0'\n      deny: ['192.0.2.0/24']\n      proxy-protocol: {trusted: ['127.0.0.0/8']}\n"+
		"    - address: '127.0.0.1:0'\n      allow: ['198.51.100.0/24']\n      proxy-protocol: {trusted: ['127.0.0.0/8']}\n"+
		"    - {address: '127.0.0.1:0', deny: ['::ffff:127.0.0.0/104']}\n    - {address: '127.0.0.1:0', deny: ['::ffff:127.0.0.1']}\n")
	for _, at := range []int{0, 3, 4} {
		if b, _ := io.ReadAll(daemontest.DialAddr(t, d.Addrs()[at])); len(b) != 0 {
			t.Errorf("denied at %d: got %q, want a close", at, b)
		}
	}
	at := 1
	f := func(header, want string) {
		t.Helper()
		c := daemontest.DialAddr(t, d.Addrs()[at])
		for _, b := range []byte(header + "mn\r\n") { // torn at every byte
			if _, err := c.Write([]byte{b}); err != nil {
				break
			}
		}
		_ = c.(*net.TCPConn).CloseWrite()
		if got, _ := io.ReadAll(c); string(got) != want {
			t.Errorf("%q: got %q, want %q", header, got, want)
		}
	}
	v2 := "\r\n\r\n\x00\r\nQUIT\n"
	f("PROXY TCP4 198.51.100.7 127.0.0.1 5000 11211\r\n", "MN\r\n")
	f("PROXY TCP4 192.0.2.7 127.0.0.1 5000 11211\r\n", "")
	f("PROXY UNKNOWN whatever\r\n", "MN\r\n")
	f("PROXY TCP4 nonsense\r\n", "")
	f("", "")
	f(v2+"\x21\x11\x00\x0c\xc6\x33\x64\x07\x7f\x00\x00\x01\x13\x88\x2b\xcb", "MN\r\n")
	f(v2+"\x21\x11\x00\x0c\xc0\x00\x02\x07\x7f\x00\x00\x01\x13\x88\x2b\xcb", "")
	f(v2+"\x20\x00\x00\x00", "MN\r\n")
	f(v2+"\x31\x00\x00\x00", "")
	at = 2 // the sender's own address is not one of those that may connect
	f("PROXY TCP4 198.51.100.7 127.0.0.1 5000 11211\r\n", "MN\r\n")
	f("PROXY TCP4 192.0.2.7 127.0.0.1 5000 11211\r\n", "")
	f("PROXY TCP4 127.0.0.1 127.0.0.1 5000 11211\r\n", "")
	f("PROXY UNKNOWN\r\n", "")
	f(v2+"\x20\x00\x00\x00", "")
	if n := d.Counters().Refused.Load(); n != 9 {
		t.Errorf("refused by rule: got %d, want 9", n)
	}
}

func TestManyThatComeAndGo(t *testing.T) {
	d := daemontest.Boot(t, daemontest.AnyPort)
	daemontest.Ask(t, daemontest.Dial(t, d), "set k 0 0 20000\r\n"+strings.Repeat("v", 20000)+"\r\n", "STORED\r\n")
	daemontest.Eventually(t, "one connection", func() bool { return d.Counters().Conns.Load() == 1 })
	goroutines := runtime.NumGoroutine()
	for i := range 1000 {
		c, err := net.Dial("tcp", d.Addrs()[0].String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write([]byte(strings.Repeat("get k k k\r\nset x 0 0 100000\r\nhalf", 1+i%7)))
		switch i % 3 {
		case 0:
			_ = c.(*net.TCPConn).SetLinger(0)
		case 1:
			_ = c.(*net.TCPConn).CloseWrite()
		}
		c.Close()
	}
	daemontest.Eventually(t, "all connections gone", func() bool { return d.Counters().Conns.Load() == 1 && d.Counters().Streams.Load() == 0 })
	daemontest.Eventually(t, "all goroutines gone", func() bool { return runtime.NumGoroutine() <= goroutines })
}

func TestCommandLine(t *testing.T) {
	f := func(want string, code int, args ...string) {
		t.Helper()
		var out bytes.Buffer
		if got := daemon.Main("1.2.3", args, &out, &out); got != code || !strings.Contains(out.String(), want) {
			t.Errorf("%q: got exit code %d and %q, want %d and %q in it", args, got, out.String(), code, want)
		}
	}
	file := t.TempDir() + "/c.yaml"
	if err := os.WriteFile(file, []byte("latticed:\n  memroy: 1GB\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f("latticed 1.2.3", 0, "version")
	f(`c.yaml:2: latticed.memroy: unknown key; did you mean "memory"?`, 1, "config", "show", "--config", file)
	f("# flag --memory", 0, "config", "show", "--origin", "--memory", "64MiB")
	f("--memory", 1, "--memory", "lots")
	f("latticed: unknown flag --memori; did you mean --memory?\n", 1, "--memori", "1")
	f("latticed: unknown flag --orign; did you mean --origin?\n", 1, "config", "show", "--orign")
	f("latticed: unknown flag --zzz; see latticed serve --help\n", 1, "serve", "--zzz")
	f("latticed: unknown flag -c; did you mean --max-connections?\n", 1, "-c", "1024")
	f("latticed: unknown flag -q; see latticed --help\n", 1, "-q")
	f("latticed: flag needs an argument: --memory; see latticed --help\n", 1, "--memory")
	f("latticed: --tls-self-signed: want true or false, got \"maybe\"\n", 1, "--tls-self-signed=maybe")
	f("latticed: --duration: want a time such as 500ms or 10s, got \"ten\"\n", 1, "bench", "--duration", "ten")
	f("latticed: unknown command \"srve\"; did you mean latticed serve?\n", 1, "srve")
	f("latticed: unknown command \"shwo\"; did you mean latticed config show?\n", 1, "config", "shwo")
	f("latticed: unknown command \"shwo\"; did you mean latticed config show?\n", 1, "help", "config", "shwo")
	f("latticed: unknown command \"nushell\"; known here: bash, fish, powershell, zsh\n", 1, "completion", "nushell")
	f("latticed: unexpected argument \"11211\"; latticed serve takes flags only, see latticed serve --help\n", 1, "serve", "11211")
	f("LATTICED_MAX_CONNECTIONS", 0, "serve", "--help")
	f("--origin", 0, "help", "config", "show")
	f("bash completion", 0, "completion", "bash")
	f("debug\ninfo\nwarn\nerror\n", 0, "__complete", "--log-level", "")
}

// TestReadBufBytes reads what connections keep where monitoring tools look for it.
func TestReadBufBytes(t *testing.T) {
	d := daemontest.Boot(t, daemontest.AnyPort)
	half := daemontest.Dial(t, d)
	if _, err := io.WriteString(half, "get k"); err != nil {
		t.Fatal(err)
	}
	kept := func() string {
		c := daemontest.Dial(t, d)
		if _, err := io.WriteString(c, "stats\r\nquit\r\n"); err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(c)
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(b), "STAT read_buf_bytes ")
		n, _, _ := strings.Cut(rest, "\r\n")
		return n
	}
	// The requests of kept itself are whole, but for what a segment may cut off for a moment.
	daemontest.Eventually(t, "five bytes are kept", func() bool { return kept() == "5" })
	daemontest.Ask(t, half, "\r\n", "END\r\n")
	daemontest.Eventually(t, "none are kept", func() bool { return kept() == "0" })
}

// TestSlowRequests has clients of every protocol begin requests that do not go on, or drip: after a minute they are told so
// and closed. Who brings enough has another minute, and who is only idle is left alone.
func TestSlowRequests(t *testing.T) {
	const put = "PUT /rest/v2/caches/default/k HTTP/1.1\r\nHost: localhost\r\n"
	tests := []struct{ half, drip, want string }{
		{"get k", "k", "SERVER_ERROR the rest of the request"},
		{"set k 0 0 10\r\nabc", "d", "SERVER_ERROR the rest"},
		{"set k 0 0 100000\r\nabc", "d", "SERVER_ERROR the rest"},
		{"set k 0 0 100000000\r\nabc", "d", "SERVER_ERROR object too large for cache\r\nSERVER_ERROR the rest"},
		{"GET / HTTP/1.1\r\nHost: loc", "a", "HTTP/1.1 408 Request Timeout\r\n"},
		{put + "Content-Length: 10\r\n\r\nabc", "d", "HTTP/1.1 408 "},
		{put + "Content-Length: 1000000\r\n\r\nabc", "d", "HTTP/1.1 408 "},
		{put + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "1\r\nd\r\n", "HTTP/1.1 408 "},
		{"FOO / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc", "d", "HTTP/1.1 403 Forbidden\r\n"},
		{"PRI * HTTP/2.0\r\n\r", "\n", "\x00\x00"},
		{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00", "\x00", "\x00\x00"},
	}
	c := daemontest.Configure(t, daemontest.AnyPort)
	c.DebugCommands = true
	d, err := daemon.Start(daemon.Options{Config: c, Version: "test", Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Stop(context.Background()); err != nil {
			t.Errorf("Stop: %v", err)
		}
	})
	send := func(c net.Conn, text string) {
		t.Helper()
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
	}
	idle, good := daemontest.Dial(t, d), daemontest.Dial(t, d)
	daemontest.Ask(t, idle, "mn\r\n", "MN\r\n")
	send(good, put+"Content-Length: 50000\r\n\r\n")
	var halves []net.Conn
	for _, test := range tests {
		c := daemontest.Dial(t, d)
		send(c, test.half)
		halves = append(halves, c)
	}
	taken := func() (n int) { // bytes of all, which also asking adds a few to
		c := daemontest.Dial(t, d)
		send(c, "stats\r\nquit\r\n")
		b, err := io.ReadAll(c)
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(b), "STAT bytes_read ")
		if _, err := fmt.Sscan(rest, &n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := taken()
	send(good, strings.Repeat("v", 20_000))
	daemontest.Eventually(t, "that is taken", func() bool { return taken() >= before+20_000 })
	daemontest.Ask(t, idle, "debugtime 50\r\n", "OK\r\n")
	for i, test := range tests {
		send(halves[i], test.drip)
	}
	before = taken()
	send(good, strings.Repeat("v", 20_000))
	daemontest.Eventually(t, "that is taken", func() bool { return taken() >= before+20_000 })
	daemontest.Ask(t, idle, "debugtime 11\r\n", "OK\r\n")
	for i, test := range tests {
		b, err := io.ReadAll(halves[i])
		if got := string(b); err != nil || !strings.HasPrefix(got, test.want) || !strings.Contains(got, "did not come in time") && test.want != "HTTP/1.1 403 Forbidden\r\n" {
			t.Errorf("%q: got %.300q, %v, want %q", test.half, got, err, test.want)
		}
	}
	send(good, strings.Repeat("v", 10_000))
	b := make([]byte, 12)
	if _, err := io.ReadFull(good, b); string(b) != "HTTP/1.1 204" {
		t.Errorf("who brings enough got %q, %v", b, err)
	}
	daemontest.Ask(t, idle, "mn\r\n", "MN\r\n")
	if n := d.Counters().SlowRequests.Load(); n != uint64(len(tests)) {
		t.Errorf("%d counted, want %d", n, len(tests))
	}
}
