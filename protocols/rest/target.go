package rest

import (
	"bytes"
	"errors"

	"github.com/latticed/latticed/protocols/media"
)

// maxSegments is how many parts of a path are looked at; there is no longer route.
const maxSegments = 10

// target is a request target taken apart. Its slices point into the raw target or into buf, which decoding fills.
type target struct {
	path, query []byte
	seg         [maxSegments][]byte // decoded; empty ones are dropped
	n           int
	buf         []byte
}

var errTarget = errors.New("rest: undecodable target")

// split takes raw apart. A segment is decoded by form rules, as Infinispan does: + is a space, %2F a slash inside the
// segment.
func (t *target) split(raw []byte) error {
	t.n, t.buf = 0, t.buf[:0]
	if i := bytes.IndexByte(raw, '#'); i >= 0 {
		raw = raw[:i]
	}
	// The absolute form names scheme and authority too; who is meant is the Host field's business.
	if len(raw) > 0 && raw[0] != '/' {
		if i := bytes.Index(raw, []byte("://")); i > 0 {
			if raw = raw[i+3:]; bytes.IndexByte(raw, '/') < 0 {
				raw = []byte("/")
			} else {
				raw = raw[bytes.IndexByte(raw, '/'):]
			}
		}
	}
	t.path, t.query = raw, nil
	if i := bytes.IndexByte(raw, '?'); i >= 0 {
		t.path, t.query = raw[:i], raw[i+1:]
	}
	if need := len(raw); cap(t.buf) < need && bytes.ContainsAny(t.path, "%+") {
		t.buf = make([]byte, 0, need+64)
	}
	for rest := t.path; len(rest) > 0; {
		var s []byte
		if i := bytes.IndexByte(rest, '/'); i >= 0 {
			s, rest = rest[:i], rest[i+1:]
		} else {
			s, rest = rest, nil
		}
		if len(s) == 0 {
			continue
		}
		if t.n == maxSegments {
			t.n++ // longer than any route
			return nil
		}
		d, err := t.decode(s)
		if err != nil {
			return err
		}
		t.seg[t.n] = d
		t.n++
	}
	return nil
}

// decode undoes form encoding. The result is s itself where there is nothing to undo.
func (t *target) decode(s []byte) ([]byte, error) {
	if bytes.IndexByte(s, '%') < 0 && bytes.IndexByte(s, '+') < 0 {
		return s, nil
	}
	start := len(t.buf)
	buf, err := unform(t.buf, s)
	if err != nil {
		return nil, err
	}
	t.buf = buf
	return t.buf[start:len(t.buf):len(t.buf)], nil
}

// unform appends s without its form encoding: + is a space, %41 an A. dst may be s[:0].
func unform(dst, s []byte) ([]byte, error) {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '+':
			dst = append(dst, ' ')
		case '%':
			if i+2 >= len(s) {
				return nil, errTarget
			}
			hi, lo := media.HexDigit(s[i+1]), media.HexDigit(s[i+2])
			if hi < 0 || lo < 0 {
				return nil, errTarget
			}
			dst = append(dst, byte(hi<<4|lo))
			i += 2
		default:
			dst = append(dst, c)
		}
	}
	return dst, nil
}

// param returns a query parameter, the last if it is repeated. ok: it is there, perhaps without a value.
func (t *target) param(name string) (value []byte, ok bool, err error) {
	for q := t.query; len(q) > 0; {
		var p []byte
		if i := bytes.IndexByte(q, '&'); i >= 0 {
			p, q = q[:i], q[i+1:]
		} else {
			p, q = q, nil
		}
		k, v, _ := bytes.Cut(p, []byte("="))
		if k, err = t.decode(k); err != nil {
			return nil, false, err
		}
		if string(k) == name {
			if value, err = t.decode(v); err != nil {
				return nil, false, err
			}
			ok = true
		}
	}
	return value, ok, nil
}

// params returns all values of a query parameter that may be repeated.
func (t *target) params(name string) (values []string, err error) {
	for q := t.query; len(q) > 0; {
		p, rest, _ := bytes.Cut(q, []byte("&"))
		q = rest
		k, v, _ := bytes.Cut(p, []byte("="))
		if k, err = t.decode(k); err != nil {
			return nil, err
		}
		if string(k) != name {
			continue
		}
		if v, err = t.decode(v); err != nil {
			return nil, err
		}
		values = append(values, string(v))
	}
	return values, nil
}
