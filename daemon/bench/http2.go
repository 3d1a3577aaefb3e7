package bench

import (
	"bytes"
	"encoding/binary"
	"math"
	"strconv"

	"golang.org/x/net/http2/hpack"
)

// streams is a lane's side of HTTP/2 (RFC 9113): every request is a stream, and replies come in any order and in
// pieces. Therefore it takes them itself instead of saying, as a dialect does, what comes next. It belongs to one lane.
type streams struct {
	keys
	authority string
	scheme    byte   // HPACK's index of it
	begun     uint32 // streams so far; the next one is 2*begun+1
	opened    bool   // the preface is sent
	indexed   bool   // the server's table of fields has the authority
	plain     bool   // and is too small for it; 0x20, which empties it, is sent
	shrink    bool   // 0x20 is still to be sent

	window, stream int // bytes that the server takes of all bodies together, and of one
	most           int // streams at a time that it takes

	answers []byte // to what the server says; they go out with the next requests
	taken   int    // bytes of bodies since it was told that there is room for more

	fields  *hpack.Decoder
	section []byte // of header fields, while it is not whole
	id      uint32 // its stream, 0 if there is none
	flags   byte   // with which it began
	status  int    // in it
}

const (
	frameHead = 9
	frameMost = 16 << 10 // bytes behind it, which everybody must take; we say nothing else, so it holds both ways
	// maxHTTP2 is the size of the largest value stored by HTTP/2, in bytes: one frame.
	maxHTTP2     = frameMost
	windowAtMost = math.MaxInt32
	windowFirst  = 64<<10 - 1
)

const (
	frameData = iota
	frameHeaders
	framePriority
	frameReset
	frameSettings
	framePush
	framePing
	frameGoAway
	frameWindow
	frameContinuation
)

const (
	flagEnd      = 0x1 // of the stream
	flagAck      = 0x1
	flagWhole    = 0x4 // the section of fields ends here
	flagPadded   = 0x8
	flagPriority = 0x20
)

func newStreams(k keys, authority string, encrypted bool) *streams {
	s := &streams{keys: k, authority: authority, scheme: 6, window: windowFirst, stream: windowFirst, most: 100}
	if encrypted {
		s.scheme = 7
	}
	s.fields = hpack.NewDecoder(4096, func(f hpack.HeaderField) {
		if f.Name == ":status" {
			s.status, _ = strconv.Atoi(f.Value)
		}
	})
	return s
}

// open appends what goes before requests: once the preface, then answers.
func (s *streams) open(out []byte) []byte {
	if !s.opened {
		s.opened = true
		out = append(out, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"...)
		out = appendFrame(out, 12, frameSettings, 0, 0)
		out = binary.BigEndian.AppendUint32(append(out, 0, 2), 0) // nothing is to be pushed
		out = binary.BigEndian.AppendUint32(append(out, 0, 4), windowAtMost)
		out = appendFrame(out, 4, frameWindow, 0, 0)
		out = binary.BigEndian.AppendUint32(out, windowAtMost-windowFirst)
	}
	if s.taken > windowAtMost/4 {
		out = appendFrame(out, 4, frameWindow, 0, 0)
		out = binary.BigEndian.AppendUint32(out, uint32(s.taken))
		s.taken = 0
	}
	out = append(out, s.answers...)
	s.answers = s.answers[:0]
	return out
}

// ready says whether the server takes one more request, of any kind, when there are n.
func (s *streams) ready(n int) bool { return n < s.most && min(s.window, s.stream) >= maxHTTP2 }

func (s *streams) get(out []byte, ids []uint32) []byte {
	out, from := s.headers(out, flagEnd)
	out = s.request(append(out, 0x82), ids[0])
	return patch(out, from)
}

func (s *streams) set(out []byte, id uint32, value []byte, ttl int) []byte {
	out, from := s.headers(out, 0)
	out = s.request(appendString(append(out, 0x02), "PUT"), id)
	out = appendString(append(out, 0x0f, 31-15), "application/octet-stream") // content-type
	if ttl != 0 {
		out = appendString(append(out, 0), "timetoliveseconds")
		out = appendString(out, strconv.Itoa(ttl))
	}
	out = patch(out, from)
	s.window -= len(value)
	out = appendFrame(out, len(value), frameData, flagEnd, 2*s.begun-1)
	return append(out, value...)
}

// headers begins the frame of a new stream; patch says how long it has become.
func (s *streams) headers(out []byte, flags byte) ([]byte, int) {
	s.begun++
	from := len(out)
	out = appendFrame(out, 0, frameHeaders, flags|flagWhole, 2*s.begun-1)
	if s.shrink {
		out = append(out, 0x20)
		s.shrink = false
	}
	return out, from
}

func patch(out []byte, from int) []byte {
	n := len(out) - from - frameHead
	out[from+1], out[from+2] = byte(n>>8), byte(n) // far below 16 KiB
	return out
}

// request appends the fields that all requests have. HPACK's representations are those of RFC 7541: 0x01 and 0x04 are
// literals with the names 1 and 4 of the static table, 0x41 enters the field into the other table, where 62 is the first.
func (s *streams) request(out []byte, id uint32) []byte {
	out = append(out, 0x80|s.scheme)
	switch {
	case s.indexed:
		out = append(out, 0x80|62)
	case s.plain:
		out = appendString(append(out, 0x01), s.authority)
	default:
		out = appendString(append(out, 0x41), s.authority)
		s.indexed = true
	}
	key := s.key(id)
	out = appendLength(append(out, 0x04), len(cachePath)+len(key))
	return append(append(out, cachePath...), key...)
}

func appendString(out []byte, s string) []byte { return append(appendLength(out, len(s)), s...) }

// appendLength appends the length of a string that is sent as it is.
func appendLength(out []byte, n int) []byte {
	if n < 127 {
		return append(out, byte(n))
	}
	out = append(out, 127)
	for n -= 127; n >= 128; n >>= 7 {
		out = append(out, byte(n)|0x80)
	}
	return append(out, byte(n))
}

func appendFrame(out []byte, size, kind int, flags byte, id uint32) []byte {
	out = append(out, byte(size>>16), byte(size>>8), byte(size), byte(kind), flags)
	return binary.BigEndian.AppendUint32(out, id)
}

// feed takes the frames that are whole.
func (s *streams) feed(l *lane, in []byte, now int64) (used int) {
	for !l.broken && len(in)-used >= frameHead {
		head := in[used:]
		size := int(head[0])<<16 | int(head[1])<<8 | int(head[2])
		if size <= frameMost && len(head) < frameHead+size {
			break
		}
		id := binary.BigEndian.Uint32(head[5:]) & windowAtMost
		if size > frameMost || !s.frame(l, head[3], head[4], id, head[frameHead:frameHead+size], now) {
			l.fail(&l.w.errs.Framing, "not a frame for us: %x", head[:min(len(head), frameHead+32)])
			l.broken = true
		}
		used += frameHead + size
	}
	return min(used, len(in))
}

// frame takes one frame and says whether the server may send it.
func (s *streams) frame(l *lane, kind, flags byte, id uint32, b []byte, now int64) bool {
	if s.id != 0 && (kind != frameContinuation || id != s.id) {
		return false
	}
	if (kind == frameData || kind == frameHeaders) && flags&flagPadded != 0 {
		if len(b) == 0 || int(b[0]) >= len(b) {
			return false
		}
		if kind == frameData {
			s.taken += 1 + int(b[0])
		}
		b = b[1 : len(b)-int(b[0])]
	}
	switch kind {
	case frameData:
		s.taken += len(b)
		return s.body(l, id, b, flags&flagEnd != 0, now)
	case frameHeaders:
		if flags&flagPriority != 0 {
			if len(b) < 5 {
				return false
			}
			b = b[5:]
		}
		s.id, s.flags, s.section = id, flags, append(s.section[:0], b...)
		return flags&flagWhole == 0 || s.head(l, now)
	case frameContinuation:
		if s.id == 0 || len(s.section) > maxHead {
			return false
		}
		s.section = append(s.section, b...)
		return flags&flagWhole == 0 || s.head(l, now)
	case frameReset:
		req, _ := s.of(l, id)
		if req == nil || len(b) != 4 {
			return false
		}
		l.fail(&l.w.errs.Refused, "stream %d was reset with code %d", id, binary.BigEndian.Uint32(b))
		s.settle(l, req, now)
	case frameSettings:
		if flags&flagAck != 0 {
			return len(b) == 0
		}
		if len(b)%6 != 0 {
			return false
		}
		for ; len(b) > 0; b = b[6:] {
			s.setting(binary.BigEndian.Uint16(b), binary.BigEndian.Uint32(b[2:]))
		}
		s.answers = appendFrame(s.answers, 0, frameSettings, flagAck, 0)
	case framePing:
		if flags&flagAck == 0 {
			s.answers = append(appendFrame(s.answers, len(b), framePing, flagAck, 0), b...)
		}
	case frameGoAway:
		if len(b) < 8 {
			return false
		}
		l.fail(&l.w.errs.Closed, "connection: GOAWAY with code %d %.100q", binary.BigEndian.Uint32(b[4:]), b[8:])
		l.broken = true
	case frameWindow:
		if len(b) != 4 {
			return false
		}
		if id == 0 {
			s.window += int(binary.BigEndian.Uint32(b) & windowAtMost)
		} // else of a stream, whose body has been sent
	case framePush:
		return false
	}
	return true
}

func (s *streams) setting(name uint16, value uint32) {
	switch name {
	case 1: // the table of fields
		if value < 4096 && !s.plain {
			s.plain, s.shrink, s.indexed = true, true, false
		}
	case 3:
		s.most = int(min(value, math.MaxInt32))
	case 4:
		s.stream = int(min(value, math.MaxInt32))
	}
}

// of returns the request of a stream, or nil, and the key that it asks for. A lane's last request is its last stream.
func (s *streams) of(l *lane, id uint32) (*request, uint32) {
	back := int64(s.begun) - int64(id/2)
	if id%2 == 0 || back < 1 || back > int64(l.outstanding()) {
		return nil, 0
	}
	at := len(l.pending) - int(back)
	if l.pending[at].over {
		return nil, 0
	}
	return &l.pending[at], l.ids[len(l.ids)-int(back)]
}

// head takes a whole section of fields.
func (s *streams) head(l *lane, now int64) bool {
	id := s.id
	s.id, s.status = 0, 0
	if _, err := s.fields.Write(s.section); err != nil || s.fields.Close() != nil {
		return false
	}
	req, _ := s.of(l, id)
	switch {
	case req == nil:
		return false
	case s.status == 0: // trailers
		if req.status == 0 {
			return false
		}
	case s.status >= 200:
		req.status = int16(s.status)
	}
	if s.flags&flagEnd != 0 {
		s.done(l, id, now)
	}
	return true
}

// body takes bytes of a reply. Only those of a value mean something.
func (s *streams) body(l *lane, id uint32, b []byte, end bool, now int64) bool {
	req, key := s.of(l, id)
	if req == nil || req.status == 0 {
		return false
	}
	if !req.set && req.status == 200 {
		at := valueAt(key) + int(req.got)
		if at+len(b) > len(l.w.r.pattern) || !bytes.Equal(b, l.w.r.pattern[at:at+len(b)]) {
			req.wrong = true
		}
		req.got += int32(min(len(b), frameMost))
	}
	if end {
		s.done(l, id, now)
	}
	return true
}

// done judges a reply that is whole.
func (s *streams) done(l *lane, id uint32, now int64) {
	req, key := s.of(l, id)
	w := l.w
	switch {
	case req.set && (req.status == 204 || req.status == 200 || req.status == 201):
	case !req.set && req.status == 200:
		if want := w.r.o.ValueSize.of(key, 0); int(req.got) != want && !w.r.o.CacheAside {
			l.fail(&w.errs.WrongSize, "a value of %d bytes, %d were stored", req.got, want)
		} else if req.wrong {
			l.fail(&w.errs.WrongValue, "another value than was stored under key %d", key)
		}
		req.hits = 1
	case !req.set && req.status == 404:
		l.miss([]uint32{key})
	default:
		l.fail(&w.errs.Refused, "status %d", req.status)
	}
	s.settle(l, req, now)
}

// settle ends a request; what waits behind others that are over goes with them.
func (s *streams) settle(l *lane, req *request, now int64) {
	req.over = true
	l.count(req, now)
	for l.head < len(l.pending) && l.pending[l.head].over {
		l.head++
		l.id++
	}
}
