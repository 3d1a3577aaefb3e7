package bench

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2/hpack"
)

// Replies in any order and in pieces are matched with their requests; each kind of bad one is counted as what it is.
func TestHTTP2Replies(t *testing.T) {
	fields := func(flags byte, stream uint32, status string) string {
		var b strings.Builder
		enc := hpack.NewEncoder(&b)
		_ = enc.WriteField(hpack.HeaderField{Name: ":status", Value: status}) // a Builder takes everything
		_ = enc.WriteField(hpack.HeaderField{Name: "etag", Value: "x", Sensitive: true})
		return string(appendFrame(nil, b.Len(), frameHeaders, flags|flagWhole, stream)) + b.String()
	}
	frame := func(kind int, flags byte, stream uint32, body string) string {
		return string(appendFrame(nil, len(body), kind, flags, stream)) + body
	}
	value := func(l *lane, k int) string {
		at := valueAt(l.ids[k])
		return string(l.w.r.pattern[at : at+32])
	}
	number := func(n uint32) string { return string(binary.BigEndian.AppendUint32(nil, n)) }
	gets := Options{GetShare: 1, Seed: 7, Pipeline: 3, Protocol: "http2"}
	f := func(name string, o Options, reply func(l *lane) string, hits, requests uint64, want Errors) {
		t.Helper()
		for _, piece := range []int{1, 7, 1 << 20} {
			l, _ := answered(o, reply, piece)
			got := l.w.errs
			got.First = ""
			if got != want || l.w.hits != hits || l.w.requests != requests {
				t.Errorf("%s in pieces of %d: got %d hits, %d requests, %+v (%s), want %d, %d, %+v",
					name, piece, l.w.hits, l.w.requests, got, l.w.errs.First, hits, requests, want)
			}
			if left := l.outstanding(); requests == 3 && left != 0 {
				t.Errorf("%s in pieces of %d: %d requests are left", name, piece, left)
			}
		}
	}
	start := frame(frameSettings, 0, 0, "\x00\x03"+number(100)+"\x00\x04"+number(1<<20)) + frame(frameSettings, flagAck, 0, "")
	f("out of order and interleaved", gets, func(l *lane) string {
		v := value(l, 0)
		return start + fields(0, 5, "200") + fields(0, 1, "200") + frame(frameData, flagPadded, 1, "\x03"+v[:10]+"pad") +
			frame(frameData, flagEnd, 5, value(l, 2)) + frame(framePing, 0, 0, "12345678") + frame(frameData, 0, 1, v[10:]) +
			fields(flagEnd, 3, "404") + frame(frameData, flagEnd, 1, "")
	}, 2, 3, Errors{})
	f("information, CONTINUATION and trailers", gets, func(l *lane) string {
		h := fields(0, 1, "200")
		return fields(0, 1, "103") + frame(frameHeaders, 0, 1, h[9:10]) + frame(frameContinuation, flagWhole, 1, h[10:]) +
			frame(frameData, 0, 1, value(l, 0)) + frame(frameHeaders, flagEnd|flagWhole, 1, "\x00\x01a\x01b") +
			fields(flagEnd, 3, "404") + fields(0, 5, "404") + frame(frameData, flagEnd, 5, "no\n")
	}, 1, 3, Errors{})
	f("refused and reset", gets, func(l *lane) string {
		return fields(flagEnd, 1, "503") + frame(frameReset, 0, 3, number(7)) + fields(flagEnd, 5, "404")
	}, 0, 3, Errors{Refused: 2})
	f("other bytes and another size", gets, func(l *lane) string {
		return fields(0, 1, "200") + frame(frameData, flagEnd, 1, value(l, 0)[:31]+"\x00") +
			fields(0, 3, "200") + frame(frameData, flagEnd, 3, value(l, 1)[:31]) + fields(flagEnd, 5, "404")
	}, 2, 3, Errors{WrongValue: 1, WrongSize: 1})
	f("stored", Options{Pipeline: 3, Protocol: "http2"}, func(*lane) string {
		return fields(flagEnd, 3, "204") + fields(flagEnd, 1, "201") + fields(flagEnd, 5, "200")
	}, 0, 3, Errors{})
	f("the end", gets, func(*lane) string { return frame(frameGoAway, 0, 0, number(0)+number(2)+"why") }, 0, 0, Errors{Closed: 1})
	for name, b := range map[string]string{
		"a stream nobody opened":   fields(flagEnd, 7, "404"),
		"a stream twice":           fields(flagEnd, 1, "404") + fields(flagEnd, 1, "404"),
		"bytes before fields":      frame(frameData, flagEnd, 1, "x"),
		"a push":                   frame(framePush, flagWhole, 1, number(2)),
		"a frame amid fields":      frame(frameHeaders, 0, 1, "") + frame(framePing, 0, 0, "12345678"),
		"fields that are none":     frame(frameHeaders, flagEnd|flagWhole, 1, "\xff\xff\xff\xff\xff\xff"),
		"more padding than frame":  frame(frameHeaders, flagPadded|flagWhole, 1, "\x09x"),
		"a frame beyond the limit": frame(frameData, 0, 1, strings.Repeat("x", frameMost+1)),
		"another protocol":         "HTTP/1.1 400 Bad Request\r\n\r\n",
	} {
		f(name, gets, func(*lane) string { return b }, 0, uint64(strings.Count(name, "twice")), Errors{Framing: 1})
	}

	// What the server says is answered, and what it allows is kept to.
	l := testLane(Options{Pipeline: 8, Protocol: "http2", ValueSize: Fixed(1000)})
	out := l.fill(nil, 0)
	if !strings.HasPrefix(string(out), "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") {
		t.Errorf("no preface: %q", out[:24])
	}
	replies := frame(frameSettings, 0, 0, "\x00\x01"+number(0)+"\x00\x03"+number(2)) + frame(framePing, 0, 0, "12345678")
	for id := range uint32(8) {
		replies += fields(flagEnd, 2*id+1, "204")
	}
	l.feed([]byte(replies), 1)
	got := string(l.fill(nil, 2))
	begin := frame(frameSettings, flagAck, 0, "") + frame(framePing, flagAck, 0, "12345678")
	if !strings.HasPrefix(got, begin) || l.outstanding() != 2 {
		t.Errorf("after settings for two streams: %d streams, %q", l.outstanding(), got[:min(len(got), 60)])
	}
	if at := strings.Index(got, "localhost:1"); strings.Count(got, "localhost:1") != 2 || got[len(begin)+frameHead] != 0x20 || at < 0 {
		t.Errorf("after settings for no table: %q", got)
	}
}

// serveHTTP2 has Go's own server keep what is put, and returns where.
func serveHTTP2(t *testing.T) string {
	t.Helper()
	var mu sync.Mutex
	entries := map[string]string{}
	srv := &http.Server{Protocols: new(http.Protocols), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 || !strings.HasPrefix(r.Host, "127.0.0.1:") {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		if r.Method == http.MethodPut {
			entries[r.URL.Path] = string(body)
			w.WriteHeader(http.StatusNoContent)
		} else if v, ok := entries[r.URL.Path]; ok {
			_, _ = io.WriteString(w, v)
		} else {
			w.WriteHeader(http.StatusNotFound)
		}
	})}
	srv.Protocols.SetUnencryptedHTTP2(true)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { srv.Close() })
	go srv.Serve(ln)
	return ln.Addr().String()
}

// Both drivers speak it with Go's own server, in values that need its windows opened again and again.
func TestHTTP2Run(t *testing.T) {
	sizes, err := ParseSizes("1-16384")
	if err != nil {
		t.Fatal(err)
	}
	for _, stream := range []bool{false, true} {
		f := func(o Options, good func(r *Report) bool) {
			t.Helper()
			// A server for each run: requests that the end of a run has cut off may still be carried out.
			o.Addr, o.stream, o.Keys, o.Protocol, o.Conns, o.Requests = serveHTTP2(t), stream, 100, "http2", 3, 600
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			if !o.CacheAside {
				if err := Preload(ctx, o); err != nil {
					t.Fatal(err)
				}
			}
			r, err := Run(ctx, o)
			if err != nil {
				t.Fatal(err)
			}
			if r.Errors.Total() != 0 || r.Ops != r.Requests || !good(r) { // without a warm-up all is measured
				t.Errorf("portable driver %v: got %+v", stream, r)
			}
		}
		f(Options{GetShare: 1, CacheAside: true, Pipeline: 4}, func(r *Report) bool { return r.Sets > 0 && r.Hits > 0 && r.Hits < r.Gets })
		f(Options{GetShare: 0.5, Pipeline: 32, ValueSize: sizes}, func(r *Report) bool { return r.HitRatio == 1 && r.Sets > 100 })
		f(Options{GetShare: 0.5, Rate: 5000, Pipeline: 8}, func(r *Report) bool { return r.HitRatio == 1 && r.Late != nil })
	}
	if _, err := Run(context.Background(), Options{Addr: "127.0.0.1:1", Protocol: "http2", ValueSize: Fixed(maxHTTP2 + 1)}); err == nil || !strings.Contains(err.Error(), "16384") {
		t.Errorf("values that fit no frame: %v", err)
	}
}
