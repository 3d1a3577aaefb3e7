package daemon_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	xhttp2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/latticed/latticed/daemon"
	"github.com/latticed/latticed/daemon/daemontest"
)

// clientHello is what a TLS client sends first.
func clientHello() []byte {
	var b record
	_ = tls.Client(&b, &tls.Config{InsecureSkipVerify: true}).Handshake()
	return b.sent
}

// record keeps what is written and then fails.
type record struct {
	net.Conn
	sent []byte
}

func (r *record) Write(p []byte) (int, error) {
	r.sent = append(r.sent, p...)
	return 0, errors.New("no further")
}

// speakHTTP2 returns the preface and what f writes.
func speakHTTP2(f func(w *xhttp2.Framer, request func(id uint32, end bool, fields ...string))) []byte {
	var out, head bytes.Buffer
	out.WriteString(xhttp2.ClientPreface)
	w, enc := xhttp2.NewFramer(&out, nil), hpack.NewEncoder(&head)
	_ = w.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 0})
	f(w, func(id uint32, end bool, fields ...string) {
		head.Reset()
		for i := 0; i < len(fields); i += 2 {
			_ = enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
		}
		_ = w.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: id, BlockFragment: head.Bytes(), EndStream: end, EndHeaders: true})
	})
	return out.Bytes()
}

// used is the memory that the process uses for its own, in bytes: heap and stacks.
func used() int64 {
	runtime.GC()
	runtime.GC() // what is in pools goes with the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// TestBuffersAreBounded has many clients make the daemon keep as much for each of them as it can be made to. All together
// it keeps no more than it plans for, and serves others.
func TestBuffersAreBounded(t *testing.T) {
	long := strings.Repeat("k", 6000)
	for _, test := range []struct {
		name string
		send []byte
	}{
		{"TLS handshakes that stop", clientHello()},
		{"TLS handshakes of a byte", clientHello()[:1]},
		{"half heads by HTTP/1.1", []byte("GET / HTTP/1.1\r\nHost: localhost\r\nX: " + strings.Repeat("x", 8000))},
		{"half requests with long heads by HTTP/1.1", []byte("PUT " + keys + long[:4000] + " HTTP/1.1\r\nHost: localhost\r\nAccept: " + long[:3500] + "\r\nContent-Length: 10\r\n\r\n123")},
		{"half bodies to be collected", fmt.Appendf(nil, "POST /rest/v2/caches?action=convert HTTP/1.1\r\nHost: localhost\r\nContent-Length: 65000\r\n\r\n%060000d", 1)},
		{"half requests by HTTP/2", speakHTTP2(func(_ *xhttp2.Framer, request func(uint32, bool, ...string)) {
			for id := uint32(1); id < 40; id += 2 {
				request(id, false, ":method", "PUT", ":scheme", "http", ":path", keys+long, ":authority", "localhost")
			}
		})},
		{"answers that wait for a window", speakHTTP2(func(_ *xhttp2.Framer, request func(uint32, bool, ...string)) {
			for id := uint32(1); id < 40; id += 2 {
				request(id, true, ":method", "GET", ":scheme", "http", ":path", keys+"value", ":authority", "localhost")
			}
		})},
		{"header sections without end", speakHTTP2(func(w *xhttp2.Framer, _ func(uint32, bool, ...string)) {
			_ = w.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: make([]byte, 16000)})
			_ = w.WriteContinuation(1, false, make([]byte, 16000))
			_ = w.WriteContinuation(1, false, make([]byte, 16000))
		})},
	} {
		t.Run(test.name, func(t *testing.T) {
			const clients, memory = 300, 32 << 20
			d := daemontest.Boot(t, daemontest.AnyPort+fmt.Sprintf("  memory: %d\n  max-connections: 1000\n  tls: {self-signed: true}\n", memory))
			const buffers = memory / 16
			old := tls.Client(daemontest.Dial(t, d), &tls.Config{InsecureSkipVerify: true})
			daemontest.Ask(t, old, "set value 0 0 4000\r\n"+strings.Repeat("v", 4000)+"\r\n", "STORED\r\n")
			before := used()
			for range clients {
				c := daemontest.Dial(t, d)
				go func() {
					_, _ = c.Write(test.send) // may fail: it is closed when it is one too many
					_, _ = io.Copy(io.Discard, c)
				}()
			}
			k := d.Counters()
			daemontest.Eventually(t, "somebody is closed", func() bool { return k.BufferCuts.Load()+k.HandshakeKicks.Load() > 0 })
			settle(t, d)
			if n := k.Buffered.Load(); n > buffers+clients*(2<<10) {
				t.Errorf("connections say that they keep %d bytes, want at most %d and a little for each of them", n, buffers)
			}
			// A connection and its client take something that is planned for elsewhere. What was closed goes when a CPU is free for it.
			most := int64(buffers*3/2 + clients*(12<<10))
			daemontest.Eventually(t, fmt.Sprintf("the process grew by %d bytes at most", most), func() bool { return used()-before <= most })
			daemontest.Ask(t, old, "mn\r\n", "MN\r\n")
			daemontest.Ask(t, daemontest.Dial(t, d), "get none\r\n", "END\r\n")
			daemontest.Ask(t, daemontest.Dial(t, d), "GET "+keys+"none HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 404 ")
			if strings.HasPrefix(test.name, "TLS") { // newcomers are let in for those that do not go on
				daemontest.Ask(t, tls.Client(daemontest.Dial(t, d), &tls.Config{InsecureSkipVerify: true}), "mn\r\n", "MN\r\n")
			}
			if n := k.Panics.Load(); n != 0 {
				t.Errorf("%d panics", n)
			}
		})
	}
}

// settle waits until nothing changes any more in what connections keep.
func settle(t *testing.T, d *daemon.Daemon) {
	t.Helper()
	k := d.Counters()
	last, since := int64(-1), time.Now()
	daemontest.Eventually(t, "nothing moves", func() bool {
		if n := k.Buffered.Load() + k.Conns.Load(); n != last {
			last, since = n, time.Now()
		}
		return time.Since(since) > 200*time.Millisecond
	})
}
