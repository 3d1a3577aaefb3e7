package media

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// Way is how the bytes of one type become those of another.
type Way uint8

// The ways. Text is stored in UTF-8, whatever charset it came in.
const (
	NoWay  Way = iota
	Same       // the bytes as they are
	Recode     // text in another charset
	ToJSON     // the bytes as they are, if they are JSON
	ToXML      // text as an XML element
	ToHex      // 0x and digits
	ToBase64
)

// To tells how bytes stored as s become the type asked for. What was stored without a type may be anything.
func (s ID) To(t *Type) Way {
	raw := s == None || s == Unknown || s == OctetStream
	if t.Wild {
		return Same
	}
	way := NoWay
	switch t.ID {
	case OctetStream:
		switch {
		case is(t.Encoding, "hex"):
			return ToHex
		case is(t.Encoding, "base64"):
			return ToBase64
		}
		return Same
	case s:
		way = Same
	case Text:
		if raw || s.IsText() {
			way = Same
		}
	case JSON:
		if raw || s == Text {
			way = ToJSON
		}
	case XML, TextXML:
		switch {
		case raw || s == Text:
			way = ToXML
		case s == XML || s == TextXML:
			way = Same
		}
	}
	if way == Same && len(t.Charset) > 0 && !IsUTF8(t.Charset) {
		way = Recode
	}
	return way
}

// ErrContent says that the bytes are not of the type that they would have to be.
var ErrContent = errors.New("media: unable to convert the content")

// Convert appends src as way makes it. An error is ErrContent, or names a charset that is unknown.
func Convert(dst, src []byte, way Way, charset []byte) ([]byte, error) {
	switch way {
	case ToJSON:
		if !json.Valid(src) {
			return dst, ErrContent
		}
	case ToXML:
		dst = append(dst, "<string>"...)
		for _, c := range src {
			if s := xmlOf(c); s != "" {
				dst = append(dst, s...)
			} else {
				dst = append(dst, c)
			}
		}
		return append(dst, "</string>"...), nil
	case ToHex:
		return hex.AppendEncode(append(dst, "0x"...), src), nil
	case ToBase64:
		return base64.StdEncoding.AppendEncode(dst, src), nil
	case Recode:
		e, err := charsetOf(charset)
		if err != nil {
			return dst, err
		}
		// What the charset does not have becomes its replacement, as Java's encoders do it.
		out, _, err := transform.Bytes(encoding.ReplaceUnsupported(e.NewEncoder()), src)
		if err != nil {
			return dst, ErrContent
		}
		return append(dst, out...), nil
	}
	return append(dst, src...), nil
}

// IsUTF8 tells whether text in this charset needs no conversion.
func IsUTF8(charset []byte) bool {
	return is(charset, "utf-8") || is(charset, "us-ascii") || is(charset, "utf8") || is(charset, "ascii")
}

// KnowsCharset tells whether text can be converted from and to charset; the error names it.
func KnowsCharset(charset []byte) error {
	if IsUTF8(charset) {
		return nil
	}
	_, err := charsetOf(charset)
	return err
}

func charsetOf(name []byte) (encoding.Encoding, error) {
	s := strings.ToLower(string(name))
	if s == "utf-16" { // as Java writes it: big endian behind a byte order mark
		return unicode.UTF16(unicode.BigEndian, unicode.UseBOM), nil
	}
	e, err := ianaindex.IANA.Encoding(s)
	if err != nil || e == nil {
		return nil, fmt.Errorf("media: unknown charset %q", s)
	}
	return e, nil
}

// FromHex reads what ToHex writes; the 0x may be missing.
func FromHex(src []byte) ([]byte, error) {
	src = bytes.TrimPrefix(src, []byte("0x"))
	out := make([]byte, hex.DecodedLen(len(src)))
	if _, err := hex.Decode(out, src); err != nil {
		return nil, ErrContent
	}
	return out, nil
}

// FromBase64 reads base64 of either alphabet, with or without padding.
func FromBase64(src []byte) ([]byte, error) {
	enc := base64.RawStdEncoding
	if bytes.ContainsAny(src, "-_") {
		enc = base64.RawURLEncoding
	}
	src = bytes.TrimRight(src, "=")
	out := make([]byte, enc.DecodedLen(len(src)))
	n, err := enc.Decode(out, src)
	if err != nil {
		return nil, ErrContent
	}
	return out[:n], nil
}
