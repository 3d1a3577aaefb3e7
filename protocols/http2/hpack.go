package http2

import (
	"strconv"

	"github.com/valyala/fasthttp"

	"github.com/latticed/latticed/protocols/rest"
)

// Answers are written without the dynamic table: each field is a literal that nothing remembers (RFC 7541 section
// 6.2.2), its name an index where the static table has it. It costs some bytes and keeps no state for a connection.

// statusIndex is where the static table has a whole status field.
func statusIndex(status int) byte {
	switch status {
	case 200:
		return 8
	case 204:
		return 9
	case 206:
		return 10
	case 304:
		return 11
	case 400:
		return 12
	case 404:
		return 13
	case 500:
		return 14
	}
	return 0
}

// nameIndex is where the static table has a name; 0 for nowhere.
func nameIndex(name []byte) uint64 {
	switch string(name) {
	case "accept-ranges":
		return 18
	case "access-control-allow-origin":
		return 20
	case "age":
		return 21
	case "allow":
		return 22
	case "cache-control":
		return 24
	case "content-encoding":
		return 26
	case "content-language":
		return 27
	case "content-length":
		return 28
	case "content-location":
		return 29
	case "content-type":
		return 31
	case "date":
		return 33
	case "etag":
		return 34
	case "expires":
		return 36
	case "last-modified":
		return 44
	case "link":
		return 45
	case "location":
		return 46
	case "retry-after":
		return 53
	case "server":
		return 54
	case "set-cookie":
		return 55
	case "strict-transport-security":
		return 56
	case "vary":
		return 59
	case "www-authenticate":
		return 61
	}
	return 0
}

// appendInt appends n with a prefix of bits bits; first holds what is above them.
func appendInt(dst []byte, first byte, bits int, n uint64) []byte {
	most := uint64(1)<<bits - 1
	if n < most {
		return append(dst, first|byte(n))
	}
	dst = append(dst, first|byte(most))
	for n -= most; n >= 128; n >>= 7 {
		dst = append(dst, byte(n)|0x80)
	}
	return append(dst, byte(n))
}

func appendStatus(dst []byte, status int) []byte {
	if i := statusIndex(status); i != 0 {
		return append(dst, 0x80|i)
	}
	dst = append(dst, 0x08, 3) // the name of entry 8, and three bytes of value
	return strconv.AppendInt(dst, int64(status), 10)
}

// appendField appends one field; its name is turned to lower case.
func appendField(dst, name, value []byte) []byte {
	at := len(dst)
	dst = appendInt(append(dst, 0), 0, 7, uint64(len(name)))
	from := len(dst)
	for _, c := range name {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	if i := nameIndex(dst[from:]); i != 0 {
		dst = appendInt(dst[:at], 0, 4, i)
	}
	dst = appendInt(dst, 0, 7, uint64(len(value)))
	return append(dst, value...)
}

// appendAnswer appends the head of x's answer.
func (s *session) appendAnswer(dst []byte, x *rest.Exchange, now int64) []byte {
	status := x.Res.StatusCode()
	dst = appendStatus(dst, status)
	dst = appendField(dst, nameDate, s.p.opt.Service.Date(now))
	dst = appendFields(dst, &x.Res)
	if x.HasContent() && x.Length >= 0 {
		s.number = strconv.AppendInt(s.number[:0], int64(x.Length), 10)
		dst = appendField(dst, nameLength, s.number)
	}
	return dst
}

func appendFields(dst []byte, h *fasthttp.ResponseHeader) []byte {
	for name, value := range h.All() {
		dst = appendField(dst, name, value)
	}
	return dst
}

var nameDate, nameLength = []byte("date"), []byte("content-length")
