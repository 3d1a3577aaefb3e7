package rest

import (
	"bytes"
	"compress/gzip"
	"runtime"
	"testing"

	"github.com/klauspost/compress/zstd"
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

// TestInflateZstd has frames of a few bytes whose heads name a window of 8 MiB: memory is taken for what comes of them.
func TestInflateZstd(t *testing.T) {
	encoded := func(n int) []byte {
		var b bytes.Buffer
		e, err := zstd.NewWriter(&b, zstd.WithWindowSize(8<<20))
		if err != nil {
			t.Fatal(err)
		}
		for range n {
			_, _ = e.Write(make([]byte, 1<<10))
			_ = e.Flush() // so that the encoder does not know the size
		}
		_ = e.Close()
		return b.Bytes()
	}
	inflated := func(src []byte, most, room int) (n int, err error) {
		taken := 0
		out, err := inflate(src, []byte("zstd"), most, func(n int) bool {
			taken += n
			return taken <= room
		})
		return len(out), err
	}
	small, large := encoded(2), encoded(1<<10)
	for _, test := range []struct {
		src        []byte
		most, room int
		n          int
		err        error
	}{
		{small, 1 << 20, 1 << 20, 2 << 10, nil},
		{small, 2 << 10, 1 << 20, 2 << 10, nil},
		{small, 2<<10 - 1, 1 << 20, 0, errTooLong},
		{large, 1 << 20, 1 << 20, 1 << 20, nil},
		{large, 1<<20 - 1, 1 << 20, 0, errTooLong},
		{large, 1 << 20, 500_000, 0, errCharge},
		{append(bytes.Clone(small), large...), 2 << 20, 2 << 20, 1<<20 + 2<<10, nil},
	} {
		if n, err := inflated(test.src, test.most, test.room); n != test.n || err != test.err {
			t.Errorf("%d bytes, at most %d, room %d: got %d, %v, want %d, %v", len(test.src), test.most, test.room, n, err, test.n, test.err)
		}
	}
	if _, err := inflated(small[:len(small)-1], 1<<20, 1<<20); err == nil {
		t.Error("a torn frame is taken")
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, _ = inflated(small, 1<<20, 1<<20)
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("%d bytes of zstd take %d bytes of memory", len(small), n)
	}
}
