package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

// patience is how long an answer may take before it counts as missing. It is long, for the machine may be busy.
const patience = 20 * time.Second

// client is one goroutine's bad manners.
type client struct {
	*soak
	r    *rand.Rand
	good net.Conn // the probe's
	n    int
}

// dial opens a connection; source addresses vary, for the ports of one would run out.
func (c *client) dial() (*net.TCPConn, bool) {
	d := net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, byte(c.r.IntN(4)), byte(1+c.r.IntN(250)))}}
	conn, err := d.Dial("tcp", c.addr)
	if err != nil {
		if !errors.Is(err, syscall.EADDRINUSE) {
			c.find("connect: %v", unwrap(err))
		}
		return nil, false
	}
	tcp := conn.(*net.TCPConn)
	_ = tcp.SetDeadline(time.Now().Add(patience))
	return tcp, true
}

// unwrap drops the addresses from a network error, so that equal ones are counted together.
func unwrap(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

// leave ends a connection in one of the ways that clients do.
func (c *client) leave(conn *net.TCPConn) {
	if c.r.IntN(2) == 0 {
		_ = conn.SetLinger(0) // a reset
	}
	conn.Close()
}

// mixed sends all commands in a pipeline and reads until the answer of the last one.
func (c *client) mixed() {
	conn, ok := c.dial()
	if !ok {
		return
	}
	defer c.leave(conn)
	in := bufio.NewReader(conn)
	for range 1 + c.r.IntN(20) {
		out := []byte("version\r\n") // what no protocol begins with would end the connection
		n := 1 + c.r.IntN(50)
		for range n {
			out = c.command(out)
		}
		out = append(out, "mn\r\n"...)
		go func() { _, _ = conn.Write(out) }()
		if err := until(in, "MN\r\n"); err != nil {
			c.find("mixed: no answer to the last command: %v", unwrap(err))
			return
		}
		_ = conn.SetDeadline(time.Now().Add(patience))
		c.count("commands mixed")
	}
}

// until reads lines up to the one that is last.
func until(in *bufio.Reader, last string) error {
	for {
		line, err := in.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			continue // part of a value
		}
		if err != nil {
			return err
		}
		if string(line) == last {
			return nil
		}
	}
}

// cut sends a stream of good requests and breaks off at any byte.
func (c *client) cut() {
	conn, ok := c.dial()
	if !ok {
		return
	}
	defer c.leave(conn)
	var out []byte
	for range 1 + c.r.IntN(20) {
		out = c.command(out)
	}
	_, _ = conn.Write(out[:c.r.IntN(len(out)+1)])
	if c.r.IntN(2) == 0 {
		_ = conn.SetReadDeadline(time.Now().Add(time.Duration(c.r.IntN(20)) * time.Millisecond))
		_, _ = io.CopyN(io.Discard, conn, int64(c.r.IntN(4096)))
	}
	c.count("broken off")
}

// random connects, sends what may be anything, and goes.
func (c *client) random() {
	conn, ok := c.dial()
	if !ok {
		return
	}
	defer c.leave(conn)
	starts := []string{"", "", "", "\x16\x03\x01", "\xa0", "\x80", "\x81", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET / HTTP/1.1\r\n", "POST ", "get ", "set a 0 0 ",
		"mg ", "ms a S", "PROXY TCP4 ", "\r\n\r\n\x00\r\nQUIT\n", "*1\r\n$4\r\n", "OPTIONS "}
	out := []byte(starts[c.r.IntN(len(starts))])
	switch c.r.IntN(3) {
	case 0:
		for range c.r.IntN(300) {
			out = append(out, byte(c.r.Uint32()))
		}
	case 1:
		for range c.r.IntN(10) {
			out = c.command(out)
		}
		for range c.r.IntN(5) { // a few bytes flipped
			if len(out) > 0 {
				out[c.r.IntN(len(out))] ^= 1 << c.r.IntN(8)
			}
		}
	}
	_, _ = conn.Write(out)
	switch c.r.IntN(4) {
	case 0:
		_ = conn.CloseWrite()
		fallthrough
	case 1:
		_ = conn.SetReadDeadline(time.Now().Add(time.Duration(c.r.IntN(20)) * time.Millisecond))
		_, _ = io.CopyN(io.Discard, conn, 4096)
	}
	c.count("random connections")
}

// slowReader asks for much, reads little of it slowly, and then goes or reads all.
func (c *client) slowReader() {
	conn, ok := c.dial()
	if !ok {
		return
	}
	defer c.leave(conn)
	asked := 2000 + c.r.IntN(20000)
	key := fmt.Sprintf("slow%d", c.r.IntN(100))
	_ = conn.SetDeadline(time.Now().Add(2 * patience))
	go func() {
		line := []byte("get " + key + "\r\n")
		out := fmt.Appendf(nil, "set %s 0 0 1024 noreply\r\n%s\r\n", key, strings.Repeat("s", 1024))
		for range asked {
			if out = append(out, line...); len(out) > 16<<10 {
				if _, err := conn.Write(out); err != nil {
					return
				}
				out = out[:0]
			}
		}
		_, _ = conn.Write(append(out, "mn\r\n"...))
	}()
	slow := &sipping{conn: conn, c: c, sips: 10 + c.r.IntN(40), all: c.r.IntN(2) == 0}
	err := until(bufio.NewReader(slow), "MN\r\n")
	if err != nil && err != errEnough {
		c.find("slow reader: the last answer of %d is missing: %v", asked, unwrap(err))
	}
	c.count("slow readers")
}

var errEnough = errors.New("has read enough")

// sipping reads at most 4 KiB every 50 ms, some times. Then it reads all or nothing.
type sipping struct {
	conn net.Conn
	c    *client
	sips int
	all  bool
}

func (s *sipping) Read(b []byte) (int, error) {
	if s.sips--; s.sips > 0 {
		s.c.sleep(50 * time.Millisecond)
	} else if !s.all {
		return 0, errEnough
	}
	return s.conn.Read(b)
}

// hold keeps half requests open on many connections, then sends the other half of some.
func (c *client) hold() {
	size := []int{10, 1000, 20_000, 200_000}[c.r.IntN(4)]
	full := fmt.Appendf(nil, "set held%d 0 1 %d\r\n", c.r.IntN(1000), size)
	full = append(full, bytes.Repeat([]byte{'h'}, size)...)
	full = append(full, "\r\n"...)
	var conns []*net.TCPConn
	var sent []int
	for range 50 {
		conn, ok := c.dial()
		if !ok {
			continue
		}
		n := 1 + c.r.IntN(len(full)-1)
		_ = conn.SetDeadline(time.Now().Add(2 * patience))
		if _, err := conn.Write(full[:n]); err != nil {
			c.find("held open: %v", unwrap(err))
		}
		conns, sent = append(conns, conn), append(sent, n)
	}
	c.sleep(time.Duration(c.r.IntN(8000)) * time.Millisecond)
	for i, conn := range conns {
		if c.r.IntN(2) == 0 {
			if _, err := conn.Write(full[sent[i]:]); err != nil {
				c.find("held open: the other half: %v", unwrap(err))
			} else {
				line, err := bufio.NewReader(conn).ReadString('\n')
				switch {
				case line == "STORED\r\n":
					c.count("half requests finished")
				case strings.HasPrefix(line, "SERVER_ERROR busy"): // there is no room for so many halves, which is said
					c.count("half requests refused for want of room")
				default:
					c.find("held open, then finished: got %q, %v", line, unwrap(err))
				}
			}
		}
		c.leave(conn)
		c.count("half requests held open")
	}
}

// halfClose asks for much, closes its side, and wants all of it.
func (c *client) halfClose() {
	conn, ok := c.dial()
	if !ok {
		return
	}
	defer conn.Close()
	n := 1 + c.r.IntN(4000)
	out := bytes.Repeat([]byte("get "+fill[c.r.IntN(len(fill))]+"\r\n"), n)
	go func() {
		_, _ = conn.Write(out)
		_ = conn.CloseWrite()
	}()
	got := 0
	in := bufio.NewReader(conn)
	for {
		line, err := in.ReadSlice('\n')
		if string(line) == "END\r\n" {
			got++
		}
		if err == io.EOF {
			break
		} else if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			c.find("half-closed: %v", unwrap(err))
			break
		}
	}
	if got != n {
		c.find("half-closed: answers are missing")
	}
	c.count("half-closed")
}

// tooLong sends what is too long or makes no sense in length, and wants an error or a close, not silence.
func (c *client) tooLong() {
	conn, ok := c.dial()
	if !ok {
		return
	}
	defer c.leave(conn)
	long := strings.Repeat("k", 251+c.r.IntN(70_000))
	var out string
	switch c.r.IntN(8) {
	case 0:
		out = "get " + long + "\r\n"
	case 1:
		out = "set " + long[:251] + " 0 0 2\r\nxx\r\n"
	case 2:
		out = long + long // no line end at all
		if len(out) < 3000 {
			out += strings.Repeat("k", 3000)
		}
	case 3:
		out = "set big 0 0 1100000\r\n" + strings.Repeat("v", 1_100_000) + "\r\n"
	case 4:
		out = "set big 0 0 99999999999\r\n"
	case 5:
		out = "set big 0 0 -1\r\n"
	case 6:
		out = "ms big S1100000\r\nms big 1100000\r\n" + strings.Repeat("v", 1_100_000) + "\r\n"
	case 7:
		out = "mg " + long[:251] + " v\r\n"
	}
	go func() { _, _ = conn.Write([]byte(out)) }()
	line, err := bufio.NewReader(conn).ReadString('\n')
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.find("too long: no answer to %.20q", out)
	}
	if err == nil && !strings.Contains(line, "ERROR") {
		c.find("too long: %.20q was answered with %.60q", out, line)
	}
	c.count("too long")
}

// http is a good and a bad HTTP client.
func (c *client) http() {
	conn, ok := c.dial()
	if !ok {
		return
	}
	defer c.leave(conn)
	in := bufio.NewReader(conn)
	for range 1 + c.r.IntN(10) {
		key := c.r.IntN(1000)
		path := fmt.Sprintf("/rest/v2/caches/default/h%d", key)
		out := []string{
			"GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n",
			"HEAD " + path + " HTTP/1.1\r\nHost: a\r\n\r\n",
			"DELETE " + path + " HTTP/1.1\r\nHost: a\r\n\r\n",
			"PUT " + path + " HTTP/1.1\r\nHost: a\r\nContent-Length: 300\r\n\r\n" + strings.Repeat("v", 300),
			"PUT " + path + " HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
			"GET " + path + " HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", c.r.IntN(100_000)) + "\r\n\r\n",
			"PUT " + path + " HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000000\r\n\r\n",
			"GET / HTTP/9.9\r\n\r\n",
		}[c.r.IntN(8)]
		if c.r.IntN(10) == 0 {
			_, _ = io.WriteString(conn, out[:c.r.IntN(len(out))])
			c.count("HTTP, broken off")
			return
		}
		if strings.Contains(out, "3000000000") { // its answer may wait for the body
			_, _ = io.WriteString(conn, out)
			return
		}
		go func() { _, _ = io.WriteString(conn, out) }()
		line, err := in.ReadString('\n')
		if errors.Is(err, os.ErrDeadlineExceeded) {
			c.find("HTTP: no answer to %.30q", out)
			return
		}
		if err != nil { // closed after an error
			return
		}
		if !strings.HasPrefix(line, "HTTP/1.") {
			c.find("HTTP: %.30q was answered with %.60q", out, line)
			return
		}
		size := 0
		for {
			field, err := in.ReadString('\n')
			if err != nil || field == "\r\n" {
				break
			}
			if name, v, _ := strings.Cut(field, ":"); strings.EqualFold(name, "Content-Length") {
				_, _ = fmt.Sscan(v, &size)
			}
		}
		if !strings.HasPrefix(out, "HEAD") {
			if _, err := io.CopyN(io.Discard, in, int64(size)); err != nil {
				return
			}
		}
		c.count("HTTP")
	}
}

// tls speaks through TLS, breaks handshakes off, and holds some half done.
func (c *client) tls() {
	conn, ok := c.dial()
	if !ok {
		return
	}
	defer c.leave(conn)
	through := net.Conn(conn)
	limit := -1
	if c.r.IntN(2) == 0 {
		limit = 1 + c.r.IntN(600)
		through = &limited{Conn: conn, left: limit}
	}
	t := tls.Client(through, &tls.Config{InsecureSkipVerify: true}) // it is our own, self-signed
	out := []byte("version\r\n")
	for range 1 + c.r.IntN(20) {
		out = c.command(out)
	}
	out = append(out, "mn\r\n"...)
	go func() { _, _ = t.Write(out) }()
	if limit >= 0 {
		_ = conn.SetReadDeadline(time.Now().Add(time.Duration(c.r.IntN(3000)) * time.Millisecond))
		_, _ = io.CopyN(io.Discard, t, 1000)
		c.count("TLS, broken off")
		return
	}
	if err := until(bufio.NewReader(t), "MN\r\n"); err != nil {
		c.find("TLS: no answer to the last command: %v", unwrap(err))
	}
	c.count("TLS")
}

// limited loses what is written after some bytes.
type limited struct {
	net.Conn
	left int
}

func (l *limited) Write(b []byte) (int, error) {
	n := min(len(b), l.left)
	l.left -= n
	if n > 0 {
		if _, err := l.Conn.Write(b[:n]); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

// flood opens more connections than may be, which say nothing; who speaks must still get in.
func (c *client) flood() {
	var conns []*net.TCPConn
	for range 2500 {
		if conn, ok := c.dial(); ok {
			conns = append(conns, conn)
		}
	}
	if conn, ok := c.dial(); ok {
		_, _ = io.WriteString(conn, "mn\r\n")
		if line, err := bufio.NewReader(conn).ReadString('\n'); line != "MN\r\n" {
			c.find("flooded: a good client got %q, %v", line, unwrap(err))
		}
		conn.Close()
	}
	for _, conn := range conns {
		c.leave(conn)
	}
	c.count("floods of silent connections")
}

// probe is the good client that must not notice anything.
func (c *client) probe() {
	if c.good == nil {
		conn, ok := c.dial()
		if !ok {
			return
		}
		c.good = conn
	}
	c.n++
	key, value := fmt.Sprintf("probe%d", c.n%100), fmt.Sprintf("value%012d", c.n)
	_ = c.good.SetDeadline(time.Now().Add(patience))
	begin := time.Now()
	_, err := fmt.Fprintf(c.good, "set %s 0 0 %d\r\n%s\r\nget %s\r\n", key, len(value), value, key)
	hit := fmt.Sprintf("STORED\r\nVALUE %s 0 %d\r\n%s\r\nEND\r\n", key, len(value), value)
	miss := "STORED\r\nEND\r\n"
	got := make([]byte, 0, len(hit))
	for err == nil && !strings.HasSuffix(string(got), "END\r\n") && len(got) < len(hit) {
		var n int
		n, err = c.good.Read(got[len(got):cap(got)])
		got = got[:len(got)+n]
	}
	took := time.Since(begin)
	switch {
	case string(got) != hit && string(got) != miss:
		c.find("probe: got %.60q, %v", got, unwrap(err))
		c.good.Close()
		c.good = nil
	default:
		c.mu.Lock()
		c.probes = append(c.probes, took)
		if string(got) == miss {
			c.misses++
		}
		c.mu.Unlock()
	}
}
