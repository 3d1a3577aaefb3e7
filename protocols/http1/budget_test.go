package http1_test

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/grid/gridtest"
	"github.com/latticed/latticed/grid/store"
	"github.com/latticed/latticed/protocols"
	"github.com/latticed/latticed/protocols/http1"
	"github.com/latticed/latticed/protocols/prototest"
	"github.com/latticed/latticed/protocols/rest"
)

// Bodies that have to be held in memory, as documents are, share one budget.
func TestHeldBodiesHaveABudget(t *testing.T) {
	p := http1.New(http1.Options{Service: rest.New(rest.Options{MaxCollect: 100_000})})
	caches := gridtest.NewModel(gridtest.Options{})
	dial := func() *prototest.Conn {
		return prototest.Setup(func() prototest.Parts { return prototest.Parts{Protocol: p, Caches: caches} }).Dial(t, prototest.How{})
	}
	chunk := func(n int) string { return fmt.Sprintf("%x\r\n%s\r\n", n, strings.Repeat("v", n)) }
	begin := "POST /rest/v2/caches?action=convert HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(60_000)
	a, b := dial(), dial()
	if got := a.Send([]byte(begin)); len(got) != 0 {
		t.Fatalf("the first: got %q", got)
	}
	if got := bare(b.Send([]byte(begin))); !strings.HasPrefix(got, "HTTP/1.1 503 ") || b.Closed() {
		t.Errorf("the second: got %q, closed %v", got, b.Closed())
	}
	if got := bare(a.Send([]byte(chunk(0)))); !strings.HasPrefix(got, "HTTP/1.1 400 ") {
		t.Errorf("the end of the first: got %q", got)
	}
	// Who goes away in the middle gives back what he held.
	prototest.Setup(func() prototest.Parts { return prototest.Parts{Protocol: p, Caches: caches} }).Drive(t, []byte(begin), prototest.How{})
	if got := dial().Send([]byte(begin)); len(got) != 0 {
		t.Errorf("behind one that went away: got %q", got)
	}
	if got := bare(dial().Send([]byte(begin))); !strings.HasPrefix(got, "HTTP/1.1 503 ") {
		t.Errorf("while that one is open: got %q", got)
	}
}

// TestBodiesOfUnknownLength stores chunked bodies of lengths around those at which they take another way, however they come,
// and has too long ones refused.
func TestBodiesOfUnknownLength(t *testing.T) {
	for _, n := range []int{0, 1, 16 << 10, 16<<10 + 1, 17_000, 81_919, 81_920, 81_921, 100_000, 112_288, 112_289, 300_000} {
		for _, size := range []int{1 << 20, 16 << 10, 1000} {
			value, body := strings.Repeat("0123456789", n/10+1)[:n], ""
			for at := 0; at < n; at += size {
				part := value[at:min(n, at+size)]
				body += fmt.Sprintf("%x\r\n%s\r\n", len(part), part)
			}
			in := "PUT " + base + "k HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + body + "0\r\n\r\n"
			for _, how := range []prototest.How{{}, {Cut: 999, Late: 100, Seed: 4}} {
				got := bare(setup(protocols.Env{}).Drive(t, []byte(in+get("k")), how).Out)
				if n > 100_000+12<<10 {
					if !strings.HasPrefix(got, "HTTP/1.1 413 ") {
						t.Errorf("%d bytes in chunks of %d, %+v: got %.200q, want 413", n, size, how, got)
					}
				} else if !strings.HasPrefix(got, "HTTP/1.1 204 ") || !strings.HasSuffix(got, "\n\n"+value) {
					t.Errorf("%d bytes in chunks of %d, %+v: got %.200q", n, size, how, got)
				}
			}
		}
	}
}

// TestBodiesOfUnknownLengthAreNotCollected stores 32 MiB in chunks, also on a condition, and counts memory: nothing of it is on
// the heap, and the engine never has reserved much more than what has come.
func TestBodiesOfUnknownLengthAreNotCollected(t *testing.T) {
	for _, fields := range []string{"", "If-None-Match: *\r\n", "If-None-Match: 5\r\n"} {
		chunked(t, fields)
	}
}

func chunked(t *testing.T, fields string) {
	t.Helper()
	const size, piece = 32 << 20, 64 << 10
	engine, err := store.New(store.Options{Limit: 256 << 20, MaxValue: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	memory := func() uint64 {
		var st grid.Stats
		engine.Stats(&st, grid.Time{Wall: 1})
		return st.Memory
	}
	env := &protocols.Env{Caches: engine, Limits: protocols.DefaultLimits}
	session := http1.New(http1.Options{Service: rest.New(rest.Options{MaxContent: 64 << 20})}).Open(env)
	defer session.Close()
	turn := protocols.Turn{Batch: grid.NewBatch(piece), Out: make([]byte, 0, 1<<10), Room: piece, Now: grid.Time{Wall: 1}}
	send := func(in []byte) {
		turn.In, turn.Out = in, turn.Out[:0]
		for len(turn.In) > 0 {
			p := session.Step(&turn)
			if turn.In = turn.In[p.Used:]; p.Used == 0 && p.Next != protocols.Flush {
				t.Fatalf("stuck: %+v, %q", p, turn.Out)
			}
		}
	}
	chunk := []byte(fmt.Sprintf("%x\r\n%s\r\n", piece, strings.Repeat("v", piece)))
	send([]byte("PUT " + base + "k HTTP/1.1\r\nHost: localhost\r\n" + fields + "Transfer-Encoding: chunked\r\n\r\n"))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	took := memory()
	for n := piece; n <= size; n += piece {
		send(chunk)
		if got, most := memory()-took, uint64(n+n/2+(6<<20)); got > most {
			t.Fatalf("%d bytes take %d bytes of the engine, want at most %d", n, got, most)
		}
	}
	send([]byte("0\r\n\r\n"))
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 1<<20 {
		t.Errorf("%d bytes were allocated on the heap", got)
	}
	if got := memory() - took; got > size+size/32 {
		t.Errorf("in the end %d bytes take %d bytes of the engine", size, got)
	}
	if !strings.HasPrefix(string(turn.Out), "HTTP/1.1 204 ") {
		t.Errorf("got %q", turn.Out)
	}
}

// TestAnnouncedBodiesTakeNothing announces large bodies and sends a byte of each: that keeps nobody else from the budget.
func TestAnnouncedBodiesTakeNothing(t *testing.T) {
	p := http1.New(http1.Options{Service: rest.New(rest.Options{MaxContent: 100_000, MaxCollect: 150_000})})
	caches := gridtest.NewModel(gridtest.Options{})
	for i := range 10 {
		c := prototest.Setup(func() prototest.Parts { return prototest.Parts{Protocol: p, Caches: caches} }).Dial(t, prototest.How{})
		got := c.Send([]byte("POST /rest/v2/caches?action=convert HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\nv"))
		if len(got) != 0 {
			t.Fatalf("connection %d: got %q", i, got)
		}
	}
}

// TestNothingBehindTheLastAnswer asks in HTTP/1.0 for an answer whose end is the connection's, and for more behind it.
func TestNothingBehindTheLastAnswer(t *testing.T) {
	old := func(fields string) string {
		return "GET " + base + "big HTTP/1.0\r\nConnection: keep-alive\r\n" + fields + "\r\n"
	}
	got := answers(t, put("big", strings.Repeat("abcdefgh", 10_000))+old("Accept-Encoding: gzip\r\n")+old("")+old(""))
	if n := strings.Count(got, "HTTP/1.1 200 "); n != 1 || len(got) > 2000 {
		t.Errorf("%d answers to GET in %d bytes", n, len(got))
	}
}

// However large the metrics are, each who is sent them has a part of them copied at a time, and only so many of them are kept for
// those who are slow.
func TestMetricsAreNotCopied(t *testing.T) {
	const room = 32 << 10
	made := 0
	service := rest.New(rest.Options{Metrics: func(accept string) ([]byte, string) {
		made++
		return []byte(strings.Repeat("# of which there is much for "+accept+"\n", 100_000)), "text/plain"
	}})
	step := func(s protocols.Session, in string) ([]byte, bool) {
		t.Helper()
		turn := protocols.Turn{In: []byte(in), Room: room, Now: prototest.Now, Batch: grid.NewBatch(room), Loop: protocols.MaxLoops - 1}
		p := s.Step(&turn)
		if len(turn.Out) > 2*room+(1<<10) {
			t.Fatalf("%d bytes at once, with room for %d", len(turn.Out), room)
		}
		if p.Used < len(in) {
			t.Fatalf("%d bytes are left", len(in)-p.Used)
		}
		return turn.Out, p.Next == protocols.Flush
	}
	ask := func(accept string) (s protocols.Session, out []byte) {
		t.Helper()
		s = http1.New(http1.Options{Service: service}).Open(&protocols.Env{Caches: stub{}, Limits: protocols.DefaultLimits})
		out, _ = step(s, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: "+accept+"\r\n\r\n")
		return s, out
	}
	take := func(s protocols.Session, out []byte, accept string) {
		t.Helper()
		for more := true; more; {
			var next []byte
			next, more = step(s, "")
			out = append(out, next...)
		}
		if _, body, _ := strings.Cut(string(out), "\r\n\r\n"); body != strings.Repeat("# of which there is much for "+accept+"\n", 100_000) {
			t.Errorf("%s: got %d bytes", accept, len(out))
		}
		s.Close()
	}
	var slow []protocols.Session
	var begun [][]byte
	for i := range 4 {
		s, out := ask(fmt.Sprint("a", i))
		slow, begun = append(slow, s), append(begun, out)
	}
	s, out := ask("a4")
	if !strings.HasPrefix(string(out), "HTTP/1.1 503 ") || made != 4 {
		t.Fatalf("the fifth of those who are slow: %d were made, got %.50q", made, out)
	}
	s.Close()
	take(slow[0], begun[0], "a0")
	slow[1].Close()    // gives up
	for i := range 3 { // there is room again
		s, out = ask(fmt.Sprint("b", i))
		take(s, out, fmt.Sprint("b", i))
	}
	take(slow[2], begun[2], "a2")
	take(slow[3], begun[3], "a3")
}

// TestCompressedBodiesHaveABudget begins with compressed bodies, each of which takes memory to be undone, and gives them up.
func TestCompressedBodiesHaveABudget(t *testing.T) {
	for _, coding := range []string{"gzip", "deflate", "zstd"} {
		p := http1.New(http1.Options{Service: rest.New(rest.Options{MaxContent: 10 << 20, MaxCollect: 9 << 20})})
		caches := gridtest.NewModel(gridtest.Options{})
		before := runtime.NumGoroutine()
		for round := range 3 {
			var list []*prototest.Conn
			refused := false
			for i := 0; i < 200 && !refused; i++ {
				c := prototest.Setup(func() prototest.Parts { return prototest.Parts{Protocol: p, Caches: caches} }).Dial(t, prototest.How{})
				list = append(list, c)
				body := squeezed(t, coding, random(40_000))
				got := bare(c.Send([]byte(put("k", body, "Content-Encoding: "+coding)[:30_000])))
				if refused = strings.HasPrefix(got, "HTTP/1.1 503 "); !refused && got != "" {
					t.Fatalf("%s: got %q", coding, got)
				}
			}
			if !refused || round > 0 && len(list) < 2 {
				t.Errorf("%s, round %d: %d bodies at a time, refused %v", coding, round, len(list), refused)
			}
			for _, c := range list {
				c.Close()
			}
			if n := runtime.NumGoroutine(); n > before {
				t.Errorf("%s: %d goroutines, %d before", coding, n, before)
			}
		}
	}
}

// stub is a grid that says OK to everything.
type stub struct{}

func (stub) Open(string, grid.Principal) (grid.Cache, error)           { return stub{}, nil }
func (stub) Admin(string, grid.Principal) (grid.Admin, error)          { return nil, nil }
func (stub) Events(string, grid.Principal) (grid.Events, error)        { return nil, nil }
func (stub) Reserve(*grid.Op, int, grid.Ticket) (grid.Slot, grid.Code) { return nil, grid.Full }
func (stub) Do(b *grid.Batch) int {
	for i := range b.Ops {
		b.Res[i] = grid.Result{Code: grid.OK, Value: stubValue, Created: 1.6e12, Expires: 1.8e12, MaxIdle: 9000}
	}
	return len(b.Ops)
}

var stubValue = []byte("value")

// Nor is what they are compressed to, which is made once for all who ask at the same time.
func TestCompressedMetricsAreShared(t *testing.T) {
	text := make([]byte, 1_000_000)
	for i, r := 0, rand.New(rand.NewPCG(1, 2)); i < len(text); i++ {
		text[i] = 'a' + byte(r.UintN(16))
	}
	service := rest.New(rest.Options{Metrics: func(string) ([]byte, string) { return text, "text/plain" }})
	for coding, open := range map[string]func(io.Reader) (io.Reader, error){
		"gzip":    func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
		"deflate": func(r io.Reader) (io.Reader, error) { return zlib.NewReader(r) },
		"zstd":    func(r io.Reader) (io.Reader, error) { return zstd.NewReader(r) },
	} {
		in := []byte("GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: " + coding + "\r\n\r\n")
		s := http1.New(http1.Options{Service: service}).Open(&protocols.Env{Caches: stub{}, Limits: protocols.DefaultLimits})
		var out []byte
		for more := true; more; {
			turn := protocols.Turn{In: in, Room: 32 << 10, Now: prototest.Now, Batch: grid.NewBatch(1 << 10), Loop: protocols.MaxLoops - 1}
			p := s.Step(&turn)
			if p.Kept > 64<<10 {
				t.Fatalf("%s: %d bytes are a client's own", coding, p.Kept)
			}
			in, out, more = in[p.Used:], append(out, turn.Out...), p.Next == protocols.Flush
		}
		s.Close()
		head, body, _ := strings.Cut(string(out), "\r\n\r\n")
		r, err := open(strings.NewReader(body))
		if err != nil {
			t.Fatalf("%s: %v", coding, err)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, text) || !strings.Contains(head, "Content-Encoding: "+coding) {
			t.Errorf("%s: %s: got %d bytes, %v", coding, head, len(got), err)
		}
	}
}
