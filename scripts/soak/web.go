package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"golang.org/x/net/http2"
)

// framing is how requests of HTTP go to the daemon.
type framing struct {
	name      string
	transport http.RoundTripper
}

// framings are all that it speaks. Connections are shared by the clients of one kind, as those of a pool are.
func framings(addr string) []framing {
	own := &tls.Config{InsecureSkipVerify: true} // it is our own, self-signed
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", addr)
	}
	speaking := func(set func(p *http.Protocols)) http.RoundTripper {
		t := &http.Transport{DialContext: dial, TLSClientConfig: own.Clone(), Protocols: new(http.Protocols)}
		set(t.Protocols)
		return t
	}
	return []framing{
		{"http HTTP/1.1", speaking(func(p *http.Protocols) { p.SetHTTP1(true) })},
		{"https HTTP/1.1", speaking(func(p *http.Protocols) { p.SetHTTP1(true) })},
		{"http HTTP/2", speaking(func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) })},
		{"https HTTP/2", speaking(func(p *http.Protocols) { p.SetHTTP2(true) })},
	}
}

// ask sends a request by one of the framings. The answer is nil where there is none.
func (c *client) ask(ctx context.Context, f framing, method, path, body string, fields ...string) *http.Response {
	scheme, _, _ := strings.Cut(f.name, " ")
	req, err := http.NewRequestWithContext(ctx, method, scheme+"://"+c.addr+path, strings.NewReader(body))
	if err != nil {
		c.find("%v", err)
		return nil
	}
	for i := 0; i < len(fields); i += 2 {
		req.Header.Set(fields[i], fields[i+1])
	}
	answer, err := f.transport.RoundTrip(req)
	switch {
	case err == nil && answer.StatusCode == http.StatusInternalServerError:
		text, _ := io.ReadAll(io.LimitReader(answer.Body, 200))
		c.find("%s: %s %s was answered with 500: %s", f.name, method, path, text)
	case errors.Is(err, context.DeadlineExceeded) && c.ctx.Err() == nil:
		return nil
	case err != nil:
		c.count(f.name + ", no answer") // the connection was cut to make room, or has just been closed
		return nil
	}
	return answer
}

// web uses caches as clients do, and makes, changes and removes them meanwhile. Some requests are given up, some answers left.
func (c *client) web() {
	f := c.framings[c.r.IntN(len(c.framings))]
	limit := patience
	hurried := c.r.IntN(10) == 0
	if hurried {
		limit = time.Duration(c.r.IntN(5000)) * time.Microsecond
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cache := []string{"default", "soak1", "soak2", "soak3"}[c.r.IntN(4)]
	below := "/rest/v2/caches/" + cache
	key := fmt.Sprintf("%s/w%d", below, c.r.IntN(500))
	long := strings.Repeat("a long value ", c.r.IntN(20_000))
	var answer *http.Response
	switch c.r.IntN(20) {
	case 0, 1, 2:
		answer = c.ask(ctx, f, "PUT", key, long[:min(len(long), 300)], "timeToLiveSeconds", "20")
	case 3:
		answer = c.ask(ctx, f, "PUT", key, long, "Content-Type", "text/plain")
	case 4, 5, 6:
		answer = c.ask(ctx, f, "GET", key, "", "Accept-Encoding", []string{"identity", "gzip", "zstd", "deflate"}[c.r.IntN(4)])
	case 7:
		answer = c.ask(ctx, f, "DELETE", key, "")
	case 8:
		answer = c.ask(ctx, f, "PUT", key, long, "If-Match", "*")
	case 9:
		answer = c.ask(ctx, f, "GET", below+"?action="+[]string{"keys", "entries", "size", "stats", "config"}[c.r.IntN(5)], "")
	case 10:
		answer = c.ask(ctx, f, "GET", []string{"/metrics", "/rest/v3/openapi", "/rest/v2/container", "/rest/v2/caches?action=detailed", "/", "/health/ready"}[c.r.IntN(6)], "")
	case 11:
		document := []string{`{"local-cache":{}}`, `{"local-cache":{"memory":{"max-count":"100"}}}`, `{"local-cache":{"aliases":["soak4"],"expiration":{"lifespan":"5s"}}}`}[c.r.IntN(3)]
		answer = c.ask(ctx, f, "POST", below, document, "Content-Type", "application/json")
	case 12:
		answer = c.ask(ctx, f, "DELETE", below, "")
	case 13:
		answer = c.ask(ctx, f, "POST", below+"?action=set-mutable-attribute&attribute-name=memory.max-count&attribute-value="+fmt.Sprint(1+c.r.IntN(100)), "")
	case 14:
		answer = c.ask(ctx, f, "POST", "/rest/v2/caches?action=convert", garble(c.r, "localCache:\n  memory:\n    maxCount: \"7\"\n"), "Content-Type", "application/yaml", "Accept", "application/xml")
	case 15: // a bomb
		answer = c.ask(ctx, f, "PUT", key, bomb, "Content-Encoding", "gzip")
	case 16:
		answer = c.ask(ctx, f, "GET", key+strings.Repeat("x", c.r.IntN(6000)), "", "X", strings.Repeat("x", c.r.IntN(10_000)))
	default: // who listens
		quiet, stop := context.WithTimeout(context.Background(), time.Duration(c.r.IntN(3000))*time.Millisecond)
		defer stop()
		hurried = true
		answer = c.ask(quiet, f, "GET", []string{below, "/rest/v2/container"}[c.r.IntN(2)]+"?action=listen&includeCurrentState=true", "")
	}
	if answer == nil {
		if ctx.Err() != nil && !hurried {
			c.find("%s: no answer", f.name)
		}
		return
	}
	defer answer.Body.Close()
	var err error
	switch c.r.IntN(8) {
	case 0: // left
	case 1:
		_, err = io.Copy(io.Discard, &sippingBody{answer.Body, c, 20})
	default:
		_, err = io.Copy(io.Discard, answer.Body)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) && !hurried {
		c.find("%s: an answer that does not end: %v", f.name, unwrap(err))
	}
	c.count(f.name)
}

// sippingBody reads slowly for a while.
type sippingBody struct {
	io.Reader
	c    *client
	sips int
}

func (s *sippingBody) Read(b []byte) (int, error) {
	if s.sips--; s.sips > 0 {
		s.c.sleep(20 * time.Millisecond)
		b = b[:min(len(b), 4096)]
	}
	return s.Reader.Read(b)
}

// bomb is 4 MB of nothing, compressed.
var bomb = func() string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(make([]byte, 4_000_000)) // a buffer takes everything
	_ = w.Close()
	return b.String()
}()

// garble flips a few bits of a text.
func garble(r *rand.Rand, text string) string {
	b := []byte(text)
	for range r.IntN(4) {
		b[r.IntN(len(b))] ^= 1 << r.IntN(8)
	}
	return string(b)
}

// frames speaks HTTP/2 with frames that may be anything.
func (c *client) frames() {
	conn, ok := c.dial()
	if !ok {
		return
	}
	defer c.leave(conn)
	var out bytes.Buffer
	out.WriteString(http2.ClientPreface)
	f := http2.NewFramer(&out, nil)
	f.AllowIllegalWrites = true
	_ = f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: c.r.Uint32N(1 << 17)})
	for range c.r.IntN(200) {
		stream := uint32(c.r.IntN(20))
		switch c.r.IntN(12) {
		case 0, 1, 2:
			_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream | 1, EndHeaders: c.r.IntN(8) > 0, EndStream: c.r.IntN(2) == 0,
				BlockFragment: []byte(garble(c.r, "\x82\x86\x04\x1e/rest/v2/caches/default/frames\x41\x09localhost"))})
		case 3:
			_ = f.WriteData(stream, c.r.IntN(2) == 0, make([]byte, c.r.IntN(17_000)))
		case 4:
			_ = f.WriteRSTStream(stream, http2.ErrCode(c.r.IntN(20)))
		case 5:
			_ = f.WritePing(c.r.IntN(2) == 0, [8]byte{})
		case 6:
			_ = f.WriteWindowUpdate(stream, c.r.Uint32())
		case 7:
			_ = f.WriteContinuation(stream, c.r.IntN(2) == 0, make([]byte, c.r.IntN(300)))
		case 8:
			_ = f.WriteSettings(http2.Setting{ID: http2.SettingID(c.r.IntN(9)), Val: c.r.Uint32()})
		case 9:
			_ = f.WritePriority(stream, http2.PriorityParam{StreamDep: stream})
		case 10:
			_ = f.WriteGoAway(stream, 0, nil)
		case 11:
			_ = f.WriteRawFrame(http2.FrameType(c.r.IntN(20)), http2.Flags(c.r.IntN(256)), stream, make([]byte, c.r.IntN(100)))
		}
	}
	_, _ = conn.Write(out.Bytes())
	_ = conn.SetReadDeadline(time.Now().Add(time.Duration(c.r.IntN(50)) * time.Millisecond))
	_, _ = io.CopyN(io.Discard, conn, int64(c.r.IntN(100_000)))
	c.count("HTTP/2, frames of any kind")
}

// probeWeb is a good client of HTTP, each time on a connection of its own.
func (c *client) probeWeb() {
	f := c.framings[c.n%len(c.framings)]
	c.n++
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	path, value := fmt.Sprintf("/rest/v2/caches/default/webprobe%d", c.n%100), fmt.Sprintf("value%012d", c.n)
	for range 3 { // who has a connection that was left alone may find it closed
		answer := c.ask(ctx, f, "PUT", path, value, "Content-Type", "text/plain")
		if answer == nil {
			continue
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusNoContent {
			c.find("%s: the probe's PUT was answered with %d", f.name, answer.StatusCode)
			return
		}
		if answer = c.ask(ctx, f, "GET", path, ""); answer == nil {
			continue
		}
		got, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		switch {
		case err != nil:
			continue
		case answer.StatusCode == http.StatusNotFound:
			c.mu.Lock()
			c.misses++
			c.mu.Unlock()
		case string(got) != value:
			c.find("%s: the probe got %d %.60q, want %q", f.name, answer.StatusCode, got, value)
		}
		c.count(f.name + ", good client")
		return
	}
	c.find("%s: the probe got no answer", f.name)
}
