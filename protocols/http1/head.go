package http1

import "bytes"

// head is a request's head, judged but not yet copied. Its slices point into the input.
type head struct {
	method, target []byte
	fields         int // where they begin
	size           int // of the whole head, or of nothing while it is incomplete
	need           int // with size 0: how much input is worth another look

	minor     byte // of the version: 0 or 1
	length    int  // announced, -1 for none
	chunked   bool
	expect    bool // 100-continue
	close     bool // Connection: close
	keepAlive bool // Connection: keep-alive
	upgrading bool // Connection: upgrade
	upgrade   []byte
	settings  []byte // of HTTP2-Settings, which is there so many times:
	given     int

	status int // not 0: the head is refused with it, and with reason
	reason string
}

func (h *head) refuse(status int, reason string) {
	h.status, h.reason = status, reason
}

// parse reads a head at the start of in, which begins with its first byte. It judges line by line, and a line only
// when it is complete or too long, so that how the input was cut makes no difference. What proxies are known to read
// in two ways is refused: bare CR and LF, white space before a colon, folded lines, lengths given twice or beside
// chunks.
func (h *head) parse(in []byte, maxLine, maxFields int) {
	h.length = -1
	line, pos := h.line(in, 0, maxLine, 414, "the request line is too long")
	if pos == 0 {
		return
	}
	if h.requestLine(line); h.status != 0 {
		return
	}
	h.fields = pos
	hosts := 0
	for {
		start := pos
		if line, pos = h.line(in, start, maxFields-(start-h.fields), 431, "the header fields are too long"); pos == 0 {
			return
		}
		if len(line) == 0 {
			break
		}
		colon := bytes.IndexByte(line, ':')
		if colon <= 0 || !isToken(line[:colon]) {
			h.refuse(400, "a header field has no valid name")
			return
		}
		value := trim(line[colon+1:])
		if !isText(value) {
			h.refuse(400, "a header field has a control character")
			return
		}
		if h.field(line[:colon], value, &hosts); h.status != 0 {
			return
		}
	}
	switch {
	case hosts > 1:
		h.refuse(400, "there is more than one Host field")
	case hosts == 0 && h.minor > 0:
		h.refuse(400, "the Host field is missing")
	case h.chunked && h.length >= 0:
		h.refuse(400, "the length is given twice: Content-Length and Transfer-Encoding")
	case h.chunked && h.minor == 0:
		h.refuse(400, "HTTP/1.0 has no Transfer-Encoding")
	default:
		h.size = pos
	}
	if h.minor == 0 {
		h.expect = false
	}
}

// line returns the line that begins at start and where the next one begins; 0 when there is none to go on with: the head
// is refused, if it is too long with status and reason, or incomplete.
func (h *head) line(in []byte, start, limit, status int, reason string) (line []byte, next int) {
	line, next, ok := nextLine(in, start, limit)
	switch {
	case ok:
		return line, next
	case next < 0:
		h.refuse(status, reason)
	case next > 0:
		h.refuse(400, "a line does not end in CR LF")
	default:
		h.need = len(in) + 1
	}
	return nil, 0
}

// nextLine returns the line that begins at start, without its end, and where the next one begins. Without ok the next
// is 0 for an incomplete line, -1 for one longer than limit, else the line is malformed.
func nextLine(in []byte, start, limit int) (line []byte, next int, ok bool) {
	in = in[start:]
	n := bytes.IndexByte(in[:min(len(in), max(limit, 0)+2)], '\n')
	if n < 0 {
		if len(in) >= limit+2 {
			return nil, -1, false
		}
		return nil, 0, false
	}
	if n == 0 || in[n-1] != '\r' || bytes.IndexByte(in[:n-1], '\r') >= 0 {
		return nil, start + n + 1, false
	}
	return in[:n-1], start + n + 1, true
}

func (h *head) requestLine(line []byte) {
	a := bytes.IndexByte(line, ' ')
	b := bytes.LastIndexByte(line, ' ')
	if a <= 0 || b <= a+1 || !isToken(line[:a]) {
		h.refuse(400, "the request line is malformed")
		return
	}
	h.method, h.target = line[:a], line[a+1:b]
	for _, c := range h.target {
		if c <= ' ' || c == 0x7f {
			h.refuse(400, "the request line is malformed")
			return
		}
	}
	v := line[b+1:]
	if len(v) != 8 || string(v[:5]) != "HTTP/" || v[5] < '0' || v[5] > '9' || v[6] != '.' || v[7] < '0' || v[7] > '9' {
		h.refuse(400, "the request line is malformed")
		return
	}
	if v[5] != '1' {
		h.refuse(505, "this is HTTP/1.1")
		return
	}
	if h.minor = 1; v[7] == '0' {
		h.minor = 0
	}
}

// field takes the fields that concern framing.
func (h *head) field(name, value []byte, hosts *int) {
	switch len(name) {
	case 4:
		if is(name, "host") {
			*hosts++
			if bytes.ContainsAny(value, " \t/@,") {
				h.refuse(400, "the Host field is malformed")
			}
		}
	case 6:
		if is(name, "expect") {
			if h.expect = is(value, "100-continue"); !h.expect {
				h.refuse(417, "")
			}
		}
	case 7:
		if is(name, "upgrade") {
			h.upgrade = value
		}
	case 10:
		if is(name, "connection") {
			for len(value) > 0 {
				var one []byte
				switch one, value = cut(value); {
				case is(one, "close"):
					h.close = true
				case is(one, "keep-alive"):
					h.keepAlive = true
				case is(one, "upgrade"):
					h.upgrading = true
				}
			}
		}
	case 14:
		if is(name, "http2-settings") {
			h.settings = value
			h.given++
		}
		if is(name, "content-length") {
			if h.length >= 0 {
				h.refuse(400, "the length is given twice")
				return
			}
			if len(value) == 0 || len(value) > 18 {
				h.refuse(400, "the length is no number")
				return
			}
			h.length = 0
			for _, c := range value {
				if c < '0' || c > '9' {
					h.refuse(400, "the length is no number")
					return
				}
				h.length = h.length*10 + int(c-'0')
			}
		}
	case 17:
		if is(name, "transfer-encoding") {
			switch {
			case h.chunked:
				h.refuse(400, "the transfer encoding is given twice")
			case !is(value, "chunked"):
				h.refuse(501, "the only transfer encoding is chunked")
			default:
				h.chunked = true
			}
		}
	}
}

// next returns the field at pos of a head that parse found complete, and where the one behind it begins.
func (h *head) next(in []byte, pos int) (name, value []byte, after int) {
	n := bytes.IndexByte(in[pos:], '\n')
	line := in[pos : pos+n-1]
	colon := bytes.IndexByte(line, ':')
	return line[:colon], trim(line[colon+1:]), pos + n + 1
}

// trim drops the white space that HTTP allows around values.
func trim(s []byte) []byte {
	for len(s) > 0 && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for len(s) > 0 && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}

// cut takes the first element off a list with commas.
func cut(list []byte) (one, rest []byte) {
	if i := bytes.IndexByte(list, ','); i >= 0 {
		return trim(list[:i]), list[i+1:]
	}
	return trim(list), nil
}

// hasToken tells whether a list names what b says in lower case.
func hasToken(list []byte, b string) bool {
	for len(list) > 0 {
		var one []byte
		if one, list = cut(list); is(one, b) {
			return true
		}
	}
	return false
}

// tokens are the characters of methods and names.
var tokens = func() (t [256]bool) {
	for c := byte('0'); c <= '9'; c++ {
		t[c] = true
	}
	for c := byte('a'); c <= 'z'; c++ {
		t[c], t[c-'a'+'A'] = true, true
	}
	for _, c := range []byte("!#$%&'*+-.^_`|~") {
		t[c] = true
	}
	return t
}()

func isToken(s []byte) bool {
	for _, c := range s {
		if !tokens[c] {
			return false
		}
	}
	return len(s) > 0
}

func isText(s []byte) bool {
	for _, c := range s {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// is compares ASCII without regard to case; b is in lower case.
func is(a []byte, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i, c := range a {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != b[i] {
			return false
		}
	}
	return true
}
