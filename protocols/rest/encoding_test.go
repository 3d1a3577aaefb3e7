package rest

import (
	"bytes"
	"compress/gzip"
	"testing"
)

// TestInflateAsksFirst has a kilobyte of gzip stand for a megabyte, with less memory than that to be had.
func TestInflateAsksFirst(t *testing.T) {
	var src bytes.Buffer
	w := gzip.NewWriter(&src)
	_, _ = w.Write(make([]byte, 1<<20))
	_ = w.Close()
	for _, test := range []struct{ most, room int }{{2 << 20, 2 << 20}, {1 << 20, 2 << 20}, {1<<20 - 1, 2 << 20}, {2 << 20, 100_000}} {
		taken := 0
		out, err := inflate(src.Bytes(), []byte("gzip"), test.most, func(n int) bool {
			taken += n
			return taken <= test.room
		})
		switch {
		case test.room < 1<<20:
			if err != errCharge || len(out) != 0 {
				t.Errorf("%+v: %d bytes, %v", test, len(out), err)
			}
		case test.most < 1<<20:
			if err != errTooLong {
				t.Errorf("%+v: %v", test, err)
			}
		case err != nil || len(out) != 1<<20 || cap(out) != taken:
			t.Errorf("%+v: %d bytes in %d, %d charged, %v", test, len(out), cap(out), taken, err)
		}
	}
}
