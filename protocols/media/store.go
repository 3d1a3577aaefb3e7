package media

import (
	"errors"

	"golang.org/x/text/transform"
)

// ErrForm says that a value is not what the cache stores.
var ErrForm = errors.New("media: not what is stored")

// ToStore returns what turns a value that is sent as t into what is stored, piece by piece, where become is how its type becomes
// the cache's. It is for one value. nil: the bytes are stored as they are. Its errors are ErrContent, if the value is not of
// type t, and ErrForm; at the end of the value, all of transform's but ErrShortDst mean ErrContent too.
func ToStore(t *Type, become Way) transform.Transformer {
	var first, second transform.Transformer
	switch {
	case t.ID == Form:
		first = &unform{}
	case t.ID.IsText() && len(t.Charset) > 0 && !IsUTF8(t.Charset):
		if e, err := charsetOf(t.Charset); err == nil {
			first = e.NewDecoder()
		}
	case t.ID == OctetStream && is(t.Encoding, "hex"):
		first = &unhex{}
	case t.ID == OctetStream && is(t.Encoding, "base64"):
		first = &unbase64{}
	}
	switch become {
	case ToJSON:
		second = &validJSON{}
	case ToXML:
		second = &intoXML{}
	}
	switch {
	case first == nil:
		return second
	case second == nil:
		return first
	}
	return transform.Chain(first, second)
}

// unform undoes the encoding of forms: + is a space, %41 an A.
type unform struct{ transform.NopResetter }

func (*unform) Transform(dst, src []byte, atEOF bool) (n, used int, err error) {
	for used < len(src) {
		if n == len(dst) {
			return n, used, transform.ErrShortDst
		}
		c, width := src[used], 1
		switch c {
		case '+':
			c = ' '
		case '%':
			if used+2 >= len(src) {
				return n, used, short(atEOF)
			}
			hi, lo := HexDigit(src[used+1]), HexDigit(src[used+2])
			if hi < 0 || lo < 0 {
				return n, used, ErrContent
			}
			c, width = byte(hi<<4|lo), 3
		}
		dst[n] = c
		n++
		used += width
	}
	return n, used, nil
}

// short is what it means that the source ends in the middle of something.
func short(atEOF bool) error {
	if atEOF {
		return ErrContent
	}
	return transform.ErrShortSrc
}

// HexDigit returns the number that a hexadecimal digit stands for, -1 for what is none.
func HexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c - 'a' + 10)
	case c >= 'A' && c <= 'F':
		return int(c - 'A' + 10)
	}
	return -1
}

// unhex is FromHex in pieces.
type unhex struct {
	transform.NopResetter
	begun bool
}

func (h *unhex) Transform(dst, src []byte, atEOF bool) (n, used int, err error) {
	for used < len(src) {
		if used+1 == len(src) {
			return n, used, short(atEOF)
		}
		if !h.begun {
			h.begun = true
			if src[0] == '0' && src[1] == 'x' {
				used = 2
				continue
			}
		}
		if n == len(dst) {
			return n, used, transform.ErrShortDst
		}
		hi, lo := HexDigit(src[used]), HexDigit(src[used+1])
		if hi < 0 || lo < 0 {
			return n, used, ErrContent
		}
		dst[n] = byte(hi<<4 | lo)
		n++
		used += 2
	}
	return n, used, nil
}

// unbase64 is FromBase64 in pieces.
type unbase64 struct {
	transform.NopResetter
	bits     uint32 // of characters that make no byte yet
	n        int    // of those characters
	std, url bool   // which alphabet it is
	padded   bool
}

func (b *unbase64) Transform(dst, src []byte, atEOF bool) (n, used int, err error) {
	for ; used < len(src); used++ {
		c, v := src[used], byte(0)
		switch {
		case c == '\n' || c == '\r':
			continue
		case c == '=':
			b.padded = true
			continue
		case b.padded:
			return n, used, ErrContent
		case c >= 'A' && c <= 'Z':
			v = c - 'A'
		case c >= 'a' && c <= 'z':
			v = c - 'a' + 26
		case c >= '0' && c <= '9':
			v = c - '0' + 52
		case c == '+', c == '/':
			b.std = true
			v = 62
			if c == '/' {
				v = 63
			}
		case c == '-', c == '_':
			b.url = true
			v = 62
			if c == '_' {
				v = 63
			}
		default:
			return n, used, ErrContent
		}
		if b.std && b.url {
			return n, used, ErrContent
		}
		if b.n == 3 && n+3 > len(dst) {
			return n, used, transform.ErrShortDst
		}
		b.bits = b.bits<<6 | uint32(v)
		if b.n++; b.n == 4 {
			dst[n], dst[n+1], dst[n+2] = byte(b.bits>>16), byte(b.bits>>8), byte(b.bits)
			n += 3
			b.bits, b.n = 0, 0
		}
	}
	if !atEOF {
		return n, used, nil
	}
	if n+2 > len(dst) {
		return n, used, transform.ErrShortDst
	}
	switch b.n {
	case 1:
		return n, used, ErrContent
	case 2:
		dst[n] = byte(b.bits >> 4)
		n++
	case 3:
		dst[n], dst[n+1] = byte(b.bits>>10), byte(b.bits>>2)
		n += 2
	}
	b.n = 0
	return n, used, nil
}

// intoXML is Convert to XML in pieces.
type intoXML struct {
	transform.NopResetter
	begun, ended bool
}

func (x *intoXML) Transform(dst, src []byte, atEOF bool) (n, used int, err error) {
	const head, tail = "<string>", "</string>"
	if !x.begun {
		if len(dst) < len(head) {
			return 0, 0, transform.ErrShortDst
		}
		n, x.begun = copy(dst, head), true
	}
	for ; used < len(src); used++ {
		s := xmlOf(src[used])
		if s == "" {
			if n == len(dst) {
				return n, used, transform.ErrShortDst
			}
			dst[n] = src[used]
			n++
			continue
		}
		if n+len(s) > len(dst) {
			return n, used, transform.ErrShortDst
		}
		n += copy(dst[n:], s)
	}
	if atEOF && !x.ended {
		if n+len(tail) > len(dst) {
			return n, used, transform.ErrShortDst
		}
		n += copy(dst[n:], tail)
		x.ended = true
	}
	return n, used, nil
}

// xmlOf is how XML writes a byte of a text; "": as it is.
func xmlOf(c byte) string {
	switch c {
	case '<':
		return "&lt;"
	case '>':
		return "&gt;"
	case '&':
		return "&amp;"
	}
	return ""
}

// validJSON lets JSON through, and nothing else: what encoding/json's Valid takes.
type validJSON struct {
	transform.NopResetter
	in    []byte // the [ and { around
	state jsonState
	word  string // what of true, false or null is still to come
	hex   int    // digits of \u still to come
}

type jsonState uint8

const (
	jsonValue     jsonState = iota // a value has to follow
	jsonElement                    // a value, or ]
	jsonMember                     // a name, or }
	jsonName                       // a name
	jsonColon                      //
	jsonNext                       // behind a value
	jsonString                     //
	jsonNameText                   // a string that is a name
	jsonEscape                     // behind the \ in a string
	jsonNameEsc                    // in a name
	jsonHex                        // the digits of \u in a string
	jsonNameHex                    // in a name
	jsonWord                       //
	jsonMinus                      // behind the - of a number
	jsonZero                       // behind the 0 that it begins with
	jsonInt                        //
	jsonPoint                      // behind its point
	jsonFraction                   //
	jsonExp                        // behind its e
	jsonExpSign                    // and a sign
	jsonExpDigits                  //
)

// mostNested is how many arrays and objects may be in one another.
const mostNested = 10000

func (j *validJSON) Transform(dst, src []byte, atEOF bool) (n, used int, err error) {
	for _, c := range src[:min(len(src), len(dst))] {
		if !j.step(c) {
			return n, n, ErrForm
		}
		dst[n] = c
		n++
	}
	switch {
	case n < len(src):
		return n, n, transform.ErrShortDst
	case atEOF && !j.whole():
		return n, n, ErrForm
	}
	return n, n, nil
}

// whole tells whether what has come is a value.
func (j *validJSON) whole() bool {
	return len(j.in) == 0 && (j.state == jsonNext || j.numberEnds())
}

// numberEnds tells whether a number may end here.
func (j *validJSON) numberEnds() bool {
	switch j.state {
	case jsonZero, jsonInt, jsonFraction, jsonExpDigits:
		return true
	}
	return false
}

// step takes the next byte. False: it does not belong here.
func (j *validJSON) step(c byte) bool {
	decimal := c >= '0' && c <= '9'
	switch j.state {
	case jsonString, jsonNameText:
		switch {
		case c == '"' && j.state == jsonString:
			j.state = jsonNext
		case c == '"':
			j.state = jsonColon
		case c == '\\':
			j.state += jsonEscape - jsonString
		case c < ' ':
			return false
		}
		return true
	case jsonEscape, jsonNameEsc:
		switch c {
		case 'b', 'f', 'n', 'r', 't', '\\', '/', '"':
			j.state -= jsonEscape - jsonString
		case 'u':
			j.state += jsonHex - jsonEscape
			j.hex = 4
		default:
			return false
		}
		return true
	case jsonHex, jsonNameHex:
		if HexDigit(c) < 0 {
			return false
		}
		if j.hex--; j.hex == 0 {
			j.state -= jsonHex - jsonString
		}
		return true
	case jsonWord:
		if c != j.word[0] {
			return false
		}
		if j.word = j.word[1:]; j.word == "" {
			j.state = jsonNext
		}
		return true
	case jsonMinus:
		switch {
		case c == '0':
			j.state = jsonZero
		case decimal:
			j.state = jsonInt
		default:
			return false
		}
		return true
	case jsonPoint, jsonExpSign:
		if j.state++; !decimal {
			return false
		}
		return true
	case jsonExp:
		switch {
		case c == '+' || c == '-':
			j.state = jsonExpSign
		case decimal:
			j.state = jsonExpDigits
		default:
			return false
		}
		return true
	case jsonZero, jsonInt, jsonFraction, jsonExpDigits:
		switch {
		case decimal && j.state != jsonZero:
			return true
		case c == '.' && j.state <= jsonInt:
			j.state = jsonPoint
			return true
		case (c == 'e' || c == 'E') && j.state != jsonExpDigits:
			j.state = jsonExp
			return true
		}
		j.state = jsonNext
	}
	if c == ' ' || c == '\t' || c == '\n' || c == '\r' {
		return true
	}
	switch j.state {
	case jsonElement, jsonValue:
		if c == ']' && j.state == jsonElement {
			return j.leave('[')
		}
		return j.begin(c)
	case jsonMember, jsonName:
		if c == '}' && j.state == jsonMember {
			return j.leave('{')
		}
		j.state = jsonNameText
		return c == '"'
	case jsonColon:
		j.state = jsonValue
		return c == ':'
	}
	switch c { // behind a value
	case ',':
		if len(j.in) == 0 {
			return false
		}
		if j.state = jsonValue; j.in[len(j.in)-1] == '{' {
			j.state = jsonName
		}
		return true
	case ']':
		return j.leave('[')
	case '}':
		return j.leave('{')
	}
	return false
}

// begin takes the first byte of a value.
func (j *validJSON) begin(c byte) bool {
	switch {
	case c == '[' || c == '{':
		if len(j.in) == mostNested {
			return false
		}
		j.in = append(j.in, c)
		if j.state = jsonElement; c == '{' {
			j.state = jsonMember
		}
	case c == '"':
		j.state = jsonString
	case c == 't':
		j.state, j.word = jsonWord, "rue"
	case c == 'f':
		j.state, j.word = jsonWord, "alse"
	case c == 'n':
		j.state, j.word = jsonWord, "ull"
	case c == '-':
		j.state = jsonMinus
	case c == '0':
		j.state = jsonZero
	case c >= '1' && c <= '9':
		j.state = jsonInt
	default:
		return false
	}
	return true
}

// leave ends the array or object that began with c.
func (j *validJSON) leave(c byte) bool {
	if len(j.in) == 0 || j.in[len(j.in)-1] != c {
		return false
	}
	j.in = j.in[:len(j.in)-1]
	j.state = jsonNext
	return true
}
