package rest

import (
	"encoding/hex"
	"strconv"
	"unicode/utf8"
)

// appendString appends s as a JSON string. What is no UTF-8 becomes U+FFFD.
func appendString(dst, s []byte) []byte {
	dst, _ = appendEscaped(append(dst, '"'), s, true)
	return append(dst, '"')
}

// appendEscaped appends s as it stands within a JSON string. Unless last, an incomplete character at its end is
// returned instead.
func appendEscaped(dst, s []byte, last bool) (out, left []byte) {
	for len(s) > 0 {
		c := s[0]
		if c < utf8.RuneSelf {
			switch {
			case c == '"' || c == '\\':
				dst = append(dst, '\\', c)
			case c == '\n':
				dst = append(dst, '\\', 'n')
			case c == '\r':
				dst = append(dst, '\\', 'r')
			case c == '\t':
				dst = append(dst, '\\', 't')
			case c < ' ' || c == 0x7f:
				dst = append(dst, '\\', 'u', '0', '0')
				dst = hex.AppendEncode(dst, s[:1])
			default:
				dst = append(dst, c)
			}
			s = s[1:]
			continue
		}
		if !last && !utf8.FullRune(s) {
			return dst, s
		}
		r, n := utf8.DecodeRune(s)
		dst = utf8.AppendRune(dst, r)
		s = s[n:]
	}
	return dst, nil
}

// object appends the fields of a JSON object.
type object []byte

func (o *object) name(name string) {
	if b := *o; len(b) > 0 && b[len(b)-1] != '{' {
		*o = append(*o, ',')
	}
	*o = append(strconv.AppendQuote(*o, name), ':')
}

func (o *object) open() { *o = append(*o, '{') }
func (o *object) end()  { *o = append(*o, '}') }

func (o *object) text(name, v string) {
	o.name(name)
	*o = appendString(*o, []byte(v))
}

func (o *object) int(name string, v int64) {
	o.name(name)
	*o = strconv.AppendInt(*o, v, 10)
}

func (o *object) bool(name string, v bool) {
	o.name(name)
	*o = strconv.AppendBool(*o, v)
}

func (o *object) null(name string) {
	o.name(name)
	*o = append(*o, "null"...)
}

// list appends an array of strings.
func (o *object) list(name string, v []string) {
	o.name(name)
	*o = appendStrings(*o, v)
}

func appendStrings(dst []byte, list []string) []byte {
	dst = append(dst, '[')
	for i, s := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, []byte(s))
	}
	return append(dst, ']')
}
