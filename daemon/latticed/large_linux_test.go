//go:build !race

// Under the race detector the memory is mostly its own.

package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/latticed/latticed/daemon/daemontest"
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

// TestHundredMegabytes has values of 100 MB come under TLS, by HTTP/1.1 without and by HTTP/2 with an announced length, and on
// conditions, compressed, as a form and in another charset, and has them go. Coming, they cost the process what they are and a little; going, a little.
func TestHundredMegabytes(t *testing.T) {
	const size, little = 100_000_000, 40_000_000
	piece := bytes.Repeat([]byte("0123456789abcdef"), 1<<12)
	noise := make([]byte, 1<<16)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(noise)
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		f := func(name string, do func(w *web)) {
			t.Run(proto+" "+name, func(t *testing.T) { do(newWeb(t, proto, size)) })
		}
		f("plain", func(w *web) {
			w.grows(size+little, func() { w.put(&endless{text: piece}) })
			w.grows(little, func() {
				a := w.ask("GET", nil, 0, 200)
				defer a.Body.Close()
				in := bufio.NewReaderSize(a.Body, len(piece))
				got := int64(0)
				for b := make([]byte, len(piece)); ; {
					n, err := io.ReadFull(in, b)
					if got += int64(n); !bytes.Equal(b[:n], piece[:n]) {
						w.t.Fatal("the value has changed")
					}
					if err != nil {
						break
					}
				}
				if got != size {
					w.t.Errorf("got %d of %d bytes", got, size)
				}
			})
		})
		compressed := func(w io.WriteCloser, to *io.PipeWriter) {
			_, err := io.CopyN(w, &endless{text: noise}, size)
			_ = to.CloseWithError(errors.Join(err, w.Close()))
		}
		f("gzip", func(w *web) {
			in, out := io.Pipe()
			z, _ := gzip.NewWriterLevel(out, gzip.BestSpeed)
			go compressed(z, out)
			w.grows(size+little, func() { w.send(in, -1, "Content-Encoding", "gzip", "If-None-Match", "*") })
			w.has(size)
		})
		f("zstd", func(w *web) {
			in, out := io.Pipe()
			z, _ := zstd.NewWriter(out, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
			go compressed(z, out)
			w.grows(size+little, func() { w.send(in, -1, "Content-Encoding", "zstd") })
			w.has(size)
		})
		f("in another charset", func(w *web) {
			w.grows(size+little, func() {
				w.send(io.LimitReader(&endless{text: []byte("gr\xfcn!\n")}, size*6/7), size*6/7, "Content-Type", "text/plain; charset=ISO-8859-1")
			})
			w.has(size*6/7 + size/7)
		})
		f("form", func(w *web) {
			w.grows(size+little, func() {
				w.send(io.LimitReader(&endless{text: []byte("a+%3D+")}, size/6*6), -1, "Content-Type", "application/x-www-form-urlencoded")
			})
			w.has(size / 6 * 4)
		})
		f("on conditions", func(w *web) {
			tag := ""
			w.grows(size+little, func() { tag = w.put(&endless{text: piece}, "If-None-Match", "*") })
			w.grows(size+little, func() { w.put(&endless{text: piece}, "If-Match", tag) })
		})
	}
}

// web is a client of a daemon of its own, whose memory it watches.
type web struct {
	t     *testing.T
	p     *process
	c     *http.Client
	proto string
	size  int64 // of the values
}

func newWeb(t *testing.T, proto string, size int64) *web {
	p := run(t, nil, "--listen", "127.0.0.1:0", "--memory", "1GiB", "--tls-self-signed", "--http-max-content-length", strconv.FormatInt(size, 10))
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: proto == "HTTP/2.0", DisableCompression: true}
	t.Cleanup(tr.CloseIdleConnections)
	return &web{t: t, p: p, c: &http.Client{Transport: tr, Timeout: 2 * patience}, proto: proto, size: size}
}

// grows does f. Meanwhile the process may be larger by most bytes.
func (w *web) grows(most int64, f func()) {
	w.t.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", w.p.cmd.Process.Pid), []byte("5"), 0o600); err != nil { // begins VmHWM anew
		w.t.Fatal(err)
	}
	before := w.p.status(w.t, "VmRSS")
	f()
	if n := w.p.status(w.t, "VmHWM") - before; n > most {
		w.t.Errorf("the process grew by %d bytes, want at most %d", n, most)
	}
}

// put stores as many bytes of value as w is about, by HTTP/2 with an announced length. It returns the entity tag.
func (w *web) put(value io.Reader, fields ...string) string {
	w.t.Helper()
	length := int64(-1)
	if w.proto == "HTTP/2.0" {
		length = w.size
	}
	return w.send(io.LimitReader(value, w.size), length, fields...)
}

// send stores what is in body.
func (w *web) send(body io.Reader, length int64, fields ...string) string {
	w.t.Helper()
	a := w.ask("PUT", body, length, 204, fields...)
	a.Body.Close()
	return a.Header.Get("Etag")
}

// has checks how long the value is.
func (w *web) has(size int64) {
	w.t.Helper()
	a := w.ask("HEAD", nil, 0, 200)
	a.Body.Close()
	if a.ContentLength != size {
		w.t.Errorf("the value has %d bytes, want %d", a.ContentLength, size)
	}
}

// ask sends a request about the value and has its answer have status. fields are names and values by turns.
func (w *web) ask(method string, body io.Reader, length int64, status int, fields ...string) *http.Response {
	w.t.Helper()
	r, err := http.NewRequest(method, "https://"+w.p.addr+"/rest/v2/caches/default/large", body)
	if err != nil {
		w.t.Fatal(err)
	}
	r.ContentLength = length
	for pair := range slices.Chunk(fields, 2) {
		r.Header.Set(pair[0], pair[1])
	}
	a, err := w.c.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	if a.StatusCode != status || a.Proto != w.proto {
		w.t.Fatalf("%s by %s: got %d by %s, want %d", method, w.proto, a.StatusCode, a.Proto, status)
	}
	return a
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
	// Who comes now waits until those before it have been computed, on a slow machine for longer than a handshake may take.
	daemontest.Eventually(t, "handshakes succeed", func() bool {
		return tls.Client(dial(t, "tcp", p.addr), &tls.Config{InsecureSkipVerify: true}).Handshake() == nil
	})
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

// TestManyDocuments has many clients send configurations of 64 KB at a time, each of which is a hundred times as large once it is
// taken apart.
func TestManyDocuments(t *testing.T) {
	const clients, most = 40, 28 << 20
	p := run(t, nil, "--listen", "127.0.0.1:0", "--memory", "64MiB")
	document := "[" + strings.Repeat("1,", 32_000) + "1]"
	before := p.status(t, "VmRSS")
	var conns []net.Conn
	for range clients {
		c := dial(t, "tcp", p.addr)
		if _, err := fmt.Fprintf(c, "POST /rest/v2/caches?action=convert HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"+
			"Content-Length: %d\r\n\r\n%s", len(document), document); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	for _, c := range conns {
		ask(t, c, "", "HTTP/1.1 400 ")
	}
	if n := p.status(t, "VmHWM") - before; n > most {
		t.Errorf("the process grew by %d bytes", n)
	}
}
