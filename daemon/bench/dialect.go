package bench

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// An asker writes requests.
type asker interface {
	// get appends a request for ids.
	get(out []byte, ids []uint32) []byte
	// set appends a request that stores value under id for ttl seconds, or for good if that is 0.
	set(out []byte, id uint32, value []byte, ttl int) []byte
}

// A dialect is one protocol: requests as bytes, and what the bytes of a reply mean. It belongs to one thread and knows
// no connection; the lane does the rest. To add a protocol whose replies come in order is to write one and name it in
// newDialect.
type dialect interface {
	asker
	// reply reads the next piece of the reply to a set, or to a get of which ids are not found yet.
	reply(in []byte, set bool, ids []uint32) piece
}

// piece is what a dialect found at the head of the input. It took the first used bytes.
type piece struct {
	kind  kind
	used  int
	index int    // found: of the id whose value it is
	size  int    // found, foreign: bytes of the value that follows
	tail  string // found, foreign: what ends the value
	last  bool   // found: the reply ends with the value
	flags bool   // found: flags that nobody stored
}

type kind int

const (
	more    kind = iota // the piece is not whole
	found               // a value follows
	foreign             // a value follows that was not asked for
	missed              // the reply is over; what was not found is not there
	stored              // a set is done
	refused             // the server says that it will not; the reply is over
	broken              // no server may send this
)

// Protocols are the names that Options.Protocol may have.
var Protocols = []string{"text", "meta", "http", "http2"}

// newDialect returns nil for HTTP/2, of which each lane has its own streams.
func newDialect(o *Options) dialect {
	switch o.Protocol {
	case "meta":
		return &meta{keys: newKeys(o), multi: o.MultiGet > 1}
	case "http":
		return &web{keys: newKeys(o), host: " HTTP/1.1\r\nHost: " + o.host() + "\r\n"}
	case "http2":
		return nil
	default:
		return &text{keys: newKeys(o)}
	}
}

// host is what HTTP calls the server.
func (o *Options) host() string {
	if strings.HasPrefix(o.Addr, "unix:") {
		return "localhost"
	}
	return o.Addr
}

// cachePath is where REST has the entries.
const cachePath = "/rest/v2/caches/default/"

// keys names the keys: zeros, then the digits of the id.
type keys struct {
	sizes  Sizes
	digits int
	buf    []byte
}

func newKeys(o *Options) keys {
	return keys{sizes: o.KeySize, digits: len(strconv.FormatUint(o.lastKey(), 10)), buf: bytes.Repeat([]byte{'0'}, o.KeySize.max())}
}

// key is valid until the next call.
func (k *keys) key(id uint32) []byte {
	putDigits(k.buf, k.digits, id)
	return k.buf[len(k.buf)-k.sizes.of(id, 1):]
}

// index returns which of ids has key, or -1.
func (k *keys) index(key []byte, ids []uint32) int {
	for i, id := range ids {
		if bytes.Equal(key, k.key(id)) {
			return i
		}
	}
	return -1
}

// maxLine is longer than any reply line a server sends.
const maxLine = 2048

// line cuts the first line off in, without its end; used is its length with it, 0 if it is not whole, -1 if it never
// will be.
func line(in []byte) (text []byte, used int) {
	n := bytes.IndexByte(in[:min(len(in), maxLine)], '\n')
	if n < 0 {
		if len(in) >= maxLine {
			return in, -1
		}
		return nil, 0
	}
	return bytes.TrimSuffix(in[:n], []byte{'\r'}), n + 1
}

// digits reads the number at the head of b and how many digits it has; -1 if it has none or too many.
func digits(b []byte) (n, used int) {
	for used < len(b) && b[used] >= '0' && b[used] <= '9' {
		if n = n*10 + int(b[used]-'0'); n > 1<<30 {
			return -1, 0
		}
		used++
	}
	if used == 0 {
		return -1, 0
	}
	return n, used
}

// text is memcached's classic protocol.
type text struct{ keys }

func (t *text) get(out []byte, ids []uint32) []byte {
	out = append(out, "get"...)
	for _, id := range ids {
		out = append(out, ' ')
		out = append(out, t.key(id)...)
	}
	return append(out, "\r\n"...)
}

func (t *text) set(out []byte, id uint32, value []byte, ttl int) []byte {
	out = append(out, "set "...)
	out = append(out, t.key(id)...)
	out = append(out, " 0 "...)
	out = strconv.AppendInt(out, int64(ttl), 10)
	out = append(out, ' ')
	out = strconv.AppendInt(out, int64(len(value)), 10)
	out = append(out, "\r\n"...)
	out = append(out, value...)
	return append(out, "\r\n"...)
}

func (t *text) reply(in []byte, set bool, ids []uint32) piece {
	// The usual replies first, without looking for the end of a line.
	if set {
		if bytes.HasPrefix(in, []byte("STORED\r\n")) {
			return piece{kind: stored, used: 8}
		}
	} else if bytes.HasPrefix(in, []byte("END\r\n")) {
		return piece{kind: missed, used: 5}
	} else if len(ids) > 0 && bytes.HasPrefix(in, []byte("VALUE ")) {
		if key := t.key(ids[0]); bytes.HasPrefix(in[6:], key) {
			rest := in[6+len(key):]
			if bytes.HasPrefix(rest, []byte(" 0 ")) {
				if size, n := digits(rest[3:]); size >= 0 && bytes.HasPrefix(rest[3+n:], []byte("\r\n")) {
					return piece{kind: found, used: 6 + len(key) + 3 + n + 2, size: size, tail: "\r\n"}
				}
			}
		}
	}
	l, used := line(in)
	if used <= 0 {
		return piece{kind: []kind{broken, more}[used+1]}
	}
	word, rest, _ := bytes.Cut(l, []byte{' '})
	if string(word) == "VALUE" && !set {
		f := bytes.Fields(rest)
		if len(f) < 3 {
			return piece{kind: broken}
		}
		size, n := digits(f[2])
		if n == 0 || n < len(f[2]) {
			return piece{kind: broken}
		}
		p := piece{kind: found, used: used, size: size, tail: "\r\n", flags: string(f[1]) != "0"}
		if p.index = t.index(f[0], ids); p.index < 0 {
			p.kind = foreign
		}
		return p
	}
	switch string(word) {
	case "ERROR", "CLIENT_ERROR", "SERVER_ERROR", "NOT_STORED", "EXISTS", "NOT_FOUND":
		return piece{kind: refused, used: used}
	}
	return piece{kind: broken}
}

// meta is memcached's meta protocol: mg and ms. Several keys are asked for quietly, up to an mn.
type meta struct {
	keys
	multi bool
}

func (m *meta) get(out []byte, ids []uint32) []byte {
	for _, id := range ids {
		out = append(out, "mg "...)
		out = append(out, m.key(id)...)
		if m.multi {
			out = append(out, " v k q\r\n"...)
		} else {
			out = append(out, " v\r\n"...)
		}
	}
	if m.multi {
		out = append(out, "mn\r\n"...)
	}
	return out
}

func (m *meta) set(out []byte, id uint32, value []byte, ttl int) []byte {
	out = append(out, "ms "...)
	out = append(out, m.key(id)...)
	out = append(out, ' ')
	out = strconv.AppendInt(out, int64(len(value)), 10)
	if ttl != 0 {
		out = append(out, " T"...)
		out = strconv.AppendInt(out, int64(ttl), 10)
	}
	out = append(out, "\r\n"...)
	out = append(out, value...)
	return append(out, "\r\n"...)
}

func (m *meta) reply(in []byte, set bool, ids []uint32) piece {
	if set && bytes.HasPrefix(in, []byte("HD\r\n")) {
		return piece{kind: stored, used: 4}
	}
	over := "EN\r\n"
	if m.multi {
		over = "MN\r\n"
	}
	if !set && bytes.HasPrefix(in, []byte(over)) {
		return piece{kind: missed, used: 4}
	}
	l, used := line(in)
	if used <= 0 {
		return piece{kind: []kind{broken, more}[used+1]}
	}
	if bytes.HasPrefix(l, []byte("VA ")) && !set {
		p := piece{kind: found, used: used, tail: "\r\n", last: !m.multi}
		size, n := digits(l[3:])
		rest := l[3+n:]
		switch {
		case n == 0, !m.multi && len(rest) > 0, m.multi && !bytes.HasPrefix(rest, []byte(" k")):
			return piece{kind: broken}
		case m.multi:
			if p.index = m.index(rest[2:], ids); p.index < 0 {
				p.kind = foreign
			}
		}
		p.size = size
		return p
	}
	word, _, _ := bytes.Cut(l, []byte{' '})
	switch string(word) {
	case "ERROR", "CLIENT_ERROR", "SERVER_ERROR", "NS", "EX", "NF":
		return piece{kind: refused, used: used}
	}
	return piece{kind: broken}
}

// web is HTTP/1.1 with one cache's REST resources.
type web struct {
	keys
	host string
}

func (w *web) get(out []byte, ids []uint32) []byte {
	out = append(out, "GET "...)
	out = append(out, cachePath...)
	out = append(out, w.key(ids[0])...)
	out = append(out, w.host...)
	return append(out, "\r\n"...)
}

func (w *web) set(out []byte, id uint32, value []byte, ttl int) []byte {
	out = append(out, "PUT "...)
	out = append(out, cachePath...)
	out = append(out, w.key(id)...)
	out = append(out, w.host...)
	out = append(out, "Content-Type: application/octet-stream\r\n"...)
	if ttl != 0 {
		out = append(out, "timeToLiveSeconds: "...)
		out = strconv.AppendInt(out, int64(ttl), 10)
		out = append(out, "\r\n"...)
	}
	out = append(out, "Content-Length: "...)
	out = strconv.AppendInt(out, int64(len(value)), 10)
	out = append(out, "\r\n\r\n"...)
	return append(out, value...)
}

// maxHead is longer than the head of any response.
const maxHead = 16 << 10

func (w *web) reply(in []byte, set bool, _ []uint32) piece {
	n := bytes.Index(in[:min(len(in), maxHead)], []byte("\r\n\r\n"))
	if n < 0 {
		if len(in) >= maxHead || len(in) >= 7 && !bytes.HasPrefix(in, []byte("HTTP/1.")) {
			return piece{kind: broken}
		}
		return piece{kind: more}
	}
	head, used := in[:n+2], n+4
	if len(head) < 14 || !bytes.HasPrefix(head, []byte("HTTP/1.1 ")) {
		return piece{kind: broken}
	}
	status, size := string(head[9:12]), 0
	for fields := head; ; {
		i := bytes.IndexByte(fields, '\n')
		if i < 0 || i+1 == len(fields) {
			break
		}
		fields = fields[i+1:]
		const name = "content-length:"
		if len(fields) > len(name) && bytes.EqualFold(fields[:len(name)], []byte(name)) {
			v := bytes.TrimLeft(fields[len(name):], " ")
			if size, _ = digits(v); size < 0 {
				return piece{kind: broken}
			}
		}
	}
	// A body that is no value is part of the head here. It must be short.
	whole := func(k kind) piece {
		if size > maxHead {
			return piece{kind: broken}
		}
		if len(in) < used+size {
			return piece{kind: more}
		}
		return piece{kind: k, used: used + size}
	}
	switch {
	case set && (status == "204" || status == "200" || status == "201"):
		return whole(stored)
	case !set && status == "200":
		return piece{kind: found, used: used, size: size, last: true}
	case !set && status == "404":
		return whole(missed)
	}
	return whole(refused)
}

// excerpt is the beginning of in for an error's text.
func excerpt(in []byte) string {
	l, used := line(in)
	if used <= 0 {
		l = in
	}
	return fmt.Sprintf("%.100q", l)
}
