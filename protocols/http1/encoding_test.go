package http1_test

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"

	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/grid/gridtest"
	"github.com/latticed/latticed/protocols"
	"github.com/latticed/latticed/protocols/http1"
	"github.com/latticed/latticed/protocols/prototest"
	"github.com/latticed/latticed/protocols/rest"
)

func squeezed(t testing.TB, coding, value string) string {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	switch coding {
	case "gzip":
		w = gzip.NewWriter(&b)
	case "deflate":
		w = zlib.NewWriter(&b)
	case "raw deflate":
		w, _ = flate.NewWriter(&b, 6)
	case "zstd":
		w, _ = zstd.NewWriter(&b)
	}
	if _, err := io.WriteString(w, value); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestContentCodings(t *testing.T) {
	open := map[string]func(io.Reader) (io.Reader, error){
		"gzip":    func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
		"deflate": func(r io.Reader) (io.Reader, error) { return zlib.NewReader(r) },
		"zstd":    func(r io.Reader) (io.Reader, error) { return zstd.NewReader(r) },
		"":        func(r io.Reader) (io.Reader, error) { return r, nil },
	}
	f := func(size int, accept, want string, fields ...string) {
		t.Helper()
		value := strings.Repeat("0123456789abcdef", size/16)
		out := setup(protocols.Env{}).Drive(t, []byte(put("k", value, fields...)+get("k", "Accept-Encoding: "+accept)), prototest.How{Cut: 999, Seed: 3}).Out
		in := bufio.NewReader(bytes.NewReader(out))
		if _, err := http.ReadResponse(in, nil); err != nil {
			t.Fatal(err)
		}
		a, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		coding := a.Header.Get("Content-Encoding")
		if coding != want {
			t.Errorf("%d bytes, %q: got %q, want %q", size, accept, coding, want)
		}
		body, err := io.ReadAll(a.Body)
		if err != nil {
			t.Fatal(err)
		}
		if coding != "" && (len(body) >= size || a.Header.Get("Vary") != "Accept-Encoding") {
			t.Errorf("%d bytes, %q: got %d, %v", size, accept, len(body), a.Header)
		}
		r, err := open[coding](bytes.NewReader(body))
		if err != nil {
			t.Fatalf("%q: %v", coding, err)
		}
		if got, err := io.ReadAll(r); err != nil || string(got) != value {
			t.Errorf("%d bytes, %q: got %d bytes, %v", size, accept, len(got), err)
		}
	}
	for _, size := range []int{4096, 96_000} {
		f(size, "gzip", "gzip")
		f(size, "deflate", "deflate")
		f(size, "zstd", "zstd")
		f(size, "gzip, deflate, br, zstd", "zstd")
		f(size, "gzip;q=1.0, zstd;q=0.5", "gzip")
		f(size, "gzip;q=0, zstd; q=0", "")
		f(size, "br", "")
	}
	f(512, "gzip", "")                             // shorter than what a packet takes anyway
	f(4096, "gzip", "", "Content-Type: image/png") // it is compressed already
}

// TestBombsAreNotForLoops has a few bytes stand for many: no more than 256 KiB of them are inflated on an event loop.
func TestBombsAreNotForLoops(t *testing.T) {
	for _, coding := range []string{"gzip", "deflate", "raw deflate", "zstd"} {
		for _, test := range []struct {
			size int
			want protocols.Next
		}{{256 << 10, protocols.More}, {256<<10 + 1, protocols.HandOff}, {5 << 20, protocols.HandOff}} {
			env := &protocols.Env{Caches: gridtest.NewModel(gridtest.Options{}), Limits: protocols.DefaultLimits}
			session := http1.New(http1.Options{Service: rest.New(rest.Options{})}).Open(env)
			turn := protocols.Turn{
				In:  []byte(put("k", squeezed(t, coding, strings.Repeat("v", test.size)), "Content-Encoding: "+strings.TrimPrefix(coding, "raw "))),
				Now: grid.Time{Wall: 1}, Batch: grid.NewBatch(1 << 20), Room: 1 << 20,
			}
			p := session.Step(&turn)
			for p.Next == protocols.Flush {
				turn.In = turn.In[p.Used:]
				p = session.Step(&turn)
			}
			if p.Next != test.want {
				t.Errorf("%s, %d bytes: Next %d, want %d; %.100q", coding, test.size, p.Next, test.want, turn.Out)
			}
			session.Close()
		}
	}
}

func TestCompressedRequests(t *testing.T) {
	value := strings.Repeat("0123456789abcdef", 6000)
	for _, coding := range []string{"gzip", "deflate", "raw deflate", "zstd"} {
		name := strings.TrimPrefix(coding, "raw ")
		for _, v := range []string{"short", value} {
			got := bare(setup(protocols.Env{}).Drive(t, []byte(put("k", squeezed(t, coding, v), "Content-Encoding: "+name, "Content-Type: text/plain")+get("k")), prototest.How{Cut: 700, Seed: 1}).Out)
			if !strings.HasPrefix(got, "HTTP/1.1 204 ") || !strings.HasSuffix(got, "\n\n"+v) {
				t.Errorf("%s of %d bytes: got %.200q", coding, len(v), got)
			}
		}
		// Small on the wire, too large when it is undone.
		got := answers(t, put("k", squeezed(t, coding, strings.Repeat("v", 5<<20)), "Content-Encoding: "+name)+get("k"))
		if !strings.HasPrefix(got, "HTTP/1.1 413 ") || !strings.Contains(got, "HTTP/1.1 404 ") {
			t.Errorf("a bomb of %s: got %.200q", coding, got)
		}
	}
}
