// Package media knows media types: their names, the numbers by which entries remember theirs, and how they are written
// in header fields. It is pure and shared by the protocols whose clients say what their bytes are.
package media

import (
	"bytes"
	"errors"
	"strings"
)

// ID is the number of a media type. Numbers up to 17 are those of Hot Rod; they are stored with entries and sent to
// other nodes, so they never change.
type ID uint16

// The types that something is known about, beyond their name.
const (
	None        ID = 0 // not given
	JavaObject  ID = 1
	JSON        ID = 2
	OctetStream ID = 3
	Protostream ID = 12
	Text        ID = 13
	HTML        ID = 14
	Unknown     ID = 17
	XML         ID = 32
	TextXML     ID = 33
	Form        ID = 34 // application/x-www-form-urlencoded; nothing is stored as this
	YAML        ID = 35
)

var names = [...]string{
	JavaObject: "application/x-java-object", JSON: "application/json", OctetStream: "application/octet-stream",
	4: "application/pdf", 5: "application/rtf", 6: "application/zip", 7: "image/gif", 8: "image/jpeg", 9: "image/png",
	10: "text/css", 11: "text/csv", Protostream: "application/x-protostream", Text: "text/plain", HTML: "text/html",
	15: "application/x-jboss-marshalling", Unknown: "application/unknown",
	XML: "application/xml", TextXML: "text/xml", Form: "application/x-www-form-urlencoded", YAML: "application/yaml",
	36: "application/gzip", 37: "application/javascript", 38: "application/ld+json", 39: "application/msgpack",
	40: "application/cbor", 41: "application/protobuf", 42: "application/wasm", 43: "application/x-ndjson",
	44: "application/x-java-serialized-object", 45: "application/x-yaml", 46: "audio/mpeg", 47: "audio/ogg",
	48: "font/woff", 49: "font/woff2", 50: "image/avif", 51: "image/svg+xml", 52: "image/webp", 53: "image/x-icon",
	54: "text/javascript", 55: "text/markdown", 56: "text/yaml", 57: "video/mp4", 58: "video/webm",
}

// ids finds a type by its name.
var ids = func() map[string]ID {
	m := make(map[string]ID, len(names))
	for i, n := range names {
		if n != "" {
			m[n] = ID(i)
		}
	}
	return m
}()

// String returns the name, "" for None and for numbers that mean nothing.
func (i ID) String() string {
	if int(i) < len(names) {
		return names[i]
	}
	return ""
}

// IsText tells whether the bytes are characters, in UTF-8 unless something else is said.
func (i ID) IsText() bool {
	switch i {
	case JSON, XML, YAML, 37, 38, 43, 45, 51:
		return true
	}
	return strings.HasPrefix(i.String(), "text/")
}

// Attr is the number as grid.Op.Attr holds it. The lowest bit is not the media type's: it says that the key is not
// printable, so that memcached shows it in base64.
func (i ID) Attr() uint16 { return uint16(i) << 1 }

// OfAttr returns the type that an entry remembers.
func OfAttr(attr uint16) ID { return ID(attr >> 1) }

// Type is a media type as a header field writes it.
type Type struct {
	ID   ID
	Wild bool // */* or *
	// Charset and Encoding are parameters, empty if not given; they point into what was parsed.
	Charset, Encoding []byte
	Class             []byte // parameter type, of Java objects
	Q                 int    // in thousandths, 1000 if not given
}

// Errors of Parse.
var (
	ErrSyntax  = errors.New("media: not a media type")
	ErrUnknown = errors.New("media: unknown media type") // well-formed, but has no number
)

// Parse reads one media type. ErrUnknown comes with a Type whose ID is None.
func Parse(s []byte) (Type, error) {
	t := Type{Q: 1000}
	s = bytes.Trim(s, " \t")
	name, params := s, []byte(nil)
	if i := bytes.IndexByte(s, ';'); i >= 0 {
		name, params = bytes.TrimRight(s[:i], " \t"), s[i+1:]
	}
	for len(params) > 0 {
		var p []byte
		if i := bytes.IndexByte(params, ';'); i >= 0 {
			p, params = params[:i], params[i+1:]
		} else {
			p, params = params, nil
		}
		p = bytes.Trim(p, " \t")
		i := bytes.IndexByte(p, '=')
		if i <= 0 {
			if len(p) == 0 {
				continue
			}
			return t, ErrSyntax
		}
		k, v := p[:i], bytes.Trim(p[i+1:], `"`)
		switch {
		case is(k, "charset"):
			t.Charset = v
		case is(k, "encoding"):
			t.Encoding = v
		case is(k, "type"):
			t.Class = v
		case is(k, "q"):
			t.Q = quality(v)
		}
	}
	switch i := bytes.IndexByte(name, '/'); {
	case string(name) == "*" || string(name) == "*/*":
		t.Wild = true
		return t, nil
	case i <= 0 || i == len(name)-1 || bytes.IndexByte(name[i+1:], '/') >= 0 || !token(name[:i]) || !token(name[i+1:]):
		return t, ErrSyntax
	}
	id, ok := ids[string(name)]
	if !ok {
		if id, ok = ids[string(bytes.ToLower(name))]; !ok {
			return t, ErrUnknown
		}
	}
	t.ID = id
	return t, nil
}

func token(s []byte) bool {
	for _, c := range s {
		if c <= ' ' || c >= 0x7f || bytes.IndexByte([]byte(`()<>@,;:\"[]?=`), c) >= 0 {
			return false
		}
	}
	return true
}

// quality reads 0, 1 or 0.5 in thousandths; what is no number counts as 1.
func quality(v []byte) int {
	if len(v) == 0 || v[0] > '1' || v[0] < '0' {
		return 1000
	}
	q := int(v[0]-'0') * 1000
	if len(v) > 1 && v[1] == '.' {
		unit := 100
		for _, c := range v[2:] {
			if c < '0' || c > '9' {
				return 1000
			}
			q += int(c-'0') * unit
			unit /= 10
		}
	}
	return min(q, 1000)
}

func is(a []byte, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i]|0x20 != b[i] {
			return false
		}
	}
	return true
}

// Next takes the first element of a list such as an Accept field has; done: there is none left.
func Next(list []byte) (first, rest []byte, done bool) {
	for len(list) > 0 {
		if i := bytes.IndexByte(list, ','); i >= 0 {
			first, rest = list[:i], list[i+1:]
		} else {
			first, rest = list, nil
		}
		if first = bytes.Trim(first, " \t"); len(first) > 0 {
			return first, rest, false
		}
		list = rest
	}
	return nil, nil, true
}
