//go:build !race

// Under the race detector the memory is mostly its own.

package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
)

// status reads a figure of /proc/PID/status, in bytes.
func (p *process) status(t *testing.T, name string) int64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "\n"+name+":")
	var n int64
	if _, err := fmt.Sscan(rest, &n); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n << 10
}

// TestHundredMegabytes takes a value of 100 MB both ways under TLS, by HTTP/1.1 without and by HTTP/2 with an announced
// length. Coming, it costs the process what it is and a little; going, a little.
func TestHundredMegabytes(t *testing.T) {
	const size, little = 100_000_000, 40_000_000
	p := run(t, nil, "--listen", "127.0.0.1:0", "--memory", "1GiB", "--tls-self-signed", "--http-max-content-length", "100MB")
	url := "https://" + p.addr + "/rest/v2/caches/default/large"
	// grown does f and tells by how much the process was larger meanwhile.
	grown := func(f func()) int64 {
		t.Helper()
		if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p.cmd.Process.Pid), []byte("5"), 0o600); err != nil { // begins VmHWM anew
			t.Fatal(err)
		}
		before := p.status(t, "VmRSS")
		f()
		return p.status(t, "VmHWM") - before
	}
	piece := bytes.Repeat([]byte("0123456789abcdef"), 1<<12)
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: proto == "HTTP/2.0", DisableCompression: true}
		web := &http.Client{Transport: tr, Timeout: 2 * patience}
		do := func(method string, body io.Reader, length int64, status int) *http.Response {
			t.Helper()
			r, err := http.NewRequest(method, url, body)
			if err != nil {
				t.Fatal(err)
			}
			r.ContentLength = length
			a, err := web.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			if a.StatusCode != status || a.Proto != proto {
				t.Fatalf("%s by %s: got %d by %s", method, proto, a.StatusCode, a.Proto)
			}
			return a
		}
		length := int64(-1)
		if proto == "HTTP/2.0" {
			length = size
		}
		if n := grown(func() { do("PUT", io.LimitReader(&endless{text: piece}, size), length, 204).Body.Close() }); n > size+little {
			t.Errorf("%s: %d bytes that came cost %d", proto, size, n)
		}
		if n := grown(func() {
			a := do("GET", nil, 0, 200)
			defer a.Body.Close()
			in := bufio.NewReaderSize(a.Body, len(piece))
			got := int64(0)
			for b := make([]byte, len(piece)); ; {
				n, err := io.ReadFull(in, b)
				if got += int64(n); !bytes.Equal(b[:n], piece[:n]) {
					t.Fatal("the value has changed")
				}
				if err != nil {
					break
				}
			}
			if got != size {
				t.Errorf("%s: got %d of %d bytes", proto, got, size)
			}
		}); n > little {
			t.Errorf("%s: %d bytes that went cost %d", proto, size, n)
		}
		do("DELETE", nil, 0, 204).Body.Close()
		tr.CloseIdleConnections()
	}
}

// endless repeats a text.
type endless struct {
	text []byte
	at   int
}

func (e *endless) Read(p []byte) (n int, err error) {
	for n < len(p) {
		k := copy(p[n:], e.text[e.at:])
		e.at = (e.at + k) % len(e.text)
		n += k
	}
	return n, nil
}

// TestHalfHandshakes begins 10,000 TLS handshakes that do not go on. What they take stays within what is planned for, and others
// are served, by TLS too.
func TestHalfHandshakes(t *testing.T) {
	const clients, buffers = 10_000, 32 << 20
	p := run(t, nil, "--listen", "127.0.0.1:0", "--memory", "512MiB", "--max-connections", "15000", "--tls-self-signed")
	var hello once
	_ = tls.Client(&hello, &tls.Config{InsecureSkipVerify: true}).Handshake()
	before := p.status(t, "VmRSS")
	for range clients {
		c := dial(t, "tcp", p.addr)
		_, _ = c.Write(hello.sent) // may fail: others came later
	}
	ask(t, dial(t, "tcp", p.addr), "get k\r\n", "END\r\n")
	ask(t, tls.Client(dial(t, "tcp", p.addr), &tls.Config{InsecureSkipVerify: true}), "get k\r\n", "END\r\n")
	if n := p.status(t, "VmHWM") - before; n > buffers*3/2+clients*(5<<10) {
		t.Errorf("the process grew by %d bytes", n)
	}
}

// once is a connection that keeps what is written to it first, and then fails.
type once struct {
	net.Conn
	sent []byte
}

func (o *once) Write(p []byte) (int, error) {
	o.sent = append(o.sent, p...)
	return 0, net.ErrClosed
}
