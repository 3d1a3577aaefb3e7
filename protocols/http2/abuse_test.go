package http2_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	xhttp2 "golang.org/x/net/http2"

	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/protocols"
	"github.com/latticed/latticed/protocols/http2"
	"github.com/latticed/latticed/protocols/rest"
)

const big = "/rest/v2/caches/default/big"

// upload stores a megabyte that compresses well as big.
func upload(c *client) {
	c.t.Helper()
	c.request(1, false, "PUT", big, "content-length", "1000000")
	for i := range 100 {
		c.must(c.framer.WriteData(1, i == 99, []byte(strings.Repeat("abcdefgh72", 1000))))
	}
	c.step()
	c.out.Reset()
}

// names is a catalog of caches that have nothing but names.
type names struct {
	rest.Catalog
	list []string
}

func (n names) Version() uint64                { return 1 }
func (n names) Names() []string                { return n.list }
func (n names) Find(string) (rest.Cache, bool) { return rest.Cache{}, false }

// TestListsThatNobodyTakes asks for the names of all caches on as many streams as there may be, with shut windows: not all of
// these lists are made before somebody takes the first.
func TestListsThatNobodyTakes(t *testing.T) {
	n := names{}
	for i := range 1000 {
		n.list = append(n.list, fmt.Sprintf("%0250d", i))
	}
	c := dial(t, newStore())
	c.session.Close()
	c.session = http2.New(http2.Options{Service: rest.New(rest.Options{Catalog: n})}).Open(c.env)
	c.must(c.framer.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 0}))
	c.step()
	kept := 0
	for i := range 100 {
		c.request(uint32(2*i+1), true, "GET", "/rest/v2/caches")
		c.step()
		kept = max(kept, c.last.Kept)
	}
	if kept > 1<<20 {
		t.Errorf("%d bytes are kept", kept)
	}
	c.must(c.framer.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 1 << 20}))
	c.must(c.framer.WriteWindowUpdate(0, 1<<26))
	c.step()
	ended := c.ended()
	if ended != 100 {
		t.Errorf("%d of 100 lists came to their end", ended)
	}
}

// TestMemoryOfOneConnection asks for as many answers as may be under way, opens no window for them, and looks at what the
// connection then takes, which is what it says it does, more or less. Compressions once made it 183 MiB, and cookies taken apart 27 MiB.
func TestMemoryOfOneConnection(t *testing.T) {
	used := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // what is in pools goes with the second
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	s := newStore()
	upload(greeted(t, s))
	fields := []string{}
	for range 200 {
		fields = append(fields, "accept", "", "x", "")
	}
	for _, ask := range [][]string{
		{big, "accept-encoding", "zstd"},
		{big, "accept-encoding", "gzip"},
		{big, "accept-encoding", "deflate"},
		{big, "accept", "application/json"},
		{big, "cookie", strings.Repeat("a;", 3900)},
		append([]string{big}, fields[:440]...),
		{"/rest/v2/caches/default?action=entries"},
	} {
		c := greeted(t, s, xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 0})
		before := used()
		for id := uint32(1); id < 200; id += 2 {
			c.request(id, true, "GET", ask[0], ask[1:]...)
			c.step()
		}
		n := used() - before
		if n > 8<<20 {
			t.Errorf("GET %.60q: the connection holds %d MiB", ask, n>>20)
		}
		if kept := int64(c.last.Kept); kept < n*8/10 || kept > 3*n {
			t.Errorf("GET %.60q: the connection holds %d bytes and says %d", ask, n, kept)
		}
		runtime.KeepAlive(c)
	}
}

// TestDataBeyondItsAnnouncement sends more than Content-Length says: the stream ends, and others go on.
func TestDataBeyondItsAnnouncement(t *testing.T) {
	for _, length := range []string{"20000", "20"} {
		c := greeted(t, newStore())
		c.request(1, false, "PUT", big, "content-length", length)
		for i := range 3 {
			c.must(c.framer.WriteData(1, i == 2, make([]byte, 7000)))
		}
		c.step()
		c.request(3, true, "GET", big)
		c.step()
		c.want("1 reset PROTOCOL_ERROR", "3 status 404 end")
	}
}

// TestSlowBodies has bodies drip beside one that flows: each has its own time, and its own answer.
func TestSlowBodies(t *testing.T) {
	c := greeted(t, newStore())
	data := func(id uint32, n int) { c.must(c.framer.WriteData(id, false, make([]byte, n))) }
	for _, id := range []uint32{1, 3, 5} {
		c.request(id, false, "PUT", key, "content-length", "100000")
		data(id, 10)
		c.step()
	}
	c.now += 50_000
	c.request(7, false, "PUT", key, "content-length", "100000")
	data(1, 16_000)
	data(1, 1_000)
	data(3, 100)
	c.step()
	c.now += 11_000
	data(1, 1)
	c.step()
	c.want("3 status 408", "3 data 29 end", "3 reset NO_ERROR", "5 status 408", "5 data 29 end", "5 reset NO_ERROR")
	c.now += 40_000
	c.overdue = true // so little has come in all
	c.step()
	c.want()
	c.now += 10_000
	c.step()
	c.want("1 status 408", "1 data 29 end", "1 reset NO_ERROR", "7 status 408", "7 data 29 end", "7 reset NO_ERROR")
	c.overdue = false
	c.request(9, true, "GET", key)
	c.step()
	c.want("9 status 404 end")
}

// TestAnsweredAndSlow has a body drip that nobody wants: in time the client is told so.
func TestAnsweredAndSlow(t *testing.T) {
	c := greeted(t, newStore())
	c.request(1, false, "POST", "/health/live")
	c.step()
	c.want("1 status 405", "1 data 11 end")
	c.now += 61_000
	c.overdue = true
	c.step()
	c.want("1 reset NO_ERROR")
}

// TestSlowAnsweredBodies has one whose answer is not taken either.
func TestSlowAnsweredBodies(t *testing.T) {
	c := greeted(t, newStore(), xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 0})
	c.request(1, false, "PUT", key, "content-length", "10")
	c.step()
	c.now += 61_000
	c.overdue = true
	c.step()
	c.want("1 status 408")
	c.now += 61_000
	c.step()
	c.want("1 reset CANCEL")
}

// TestSlowFrames has frames that do not come to their end.
func TestSlowFrames(t *testing.T) {
	for _, bytes := range []string{
		"\x00", "\x00\x00\x08\x06\x00\x00\x00\x00\x00abc", // a head, a PING
		"\x00\x00\x01\x01\x00\x00\x00\x00\x01\x82", // HEADERS without END_HEADERS
	} {
		c := greeted(t, newStore())
		c.sent.WriteString(bytes)
		c.step()
		if !c.last.Amid {
			t.Errorf("%q: not amid", bytes)
		}
		c.overdue = true
		c.step()
		if c.last.Next != protocols.Close {
			t.Errorf("%q: then %+v", bytes, c.last)
		}
		c.want("goaway 0 ENHANCE_YOUR_CALM")
	}
	c := greeted(t, newStore())
	c.overdue = true // whoever says so
	c.step()
	c.want()
}

// TestHeavyWork has a large value converted: that is not for an event loop.
func TestHeavyWork(t *testing.T) {
	c := greeted(t, newStore())
	upload(c)
	if c.handed {
		t.Fatal("the upload was handed off")
	}
	c.request(3, true, "GET", big, "accept", "application/octet-stream; encoding=hex")
	c.step()
	if !c.handed || c.last.Next != protocols.More {
		t.Errorf("handed off: %v; then %+v", c.handed, c.last)
	}
}

// watched is a grid whose large values tell when they are read.
type watched struct {
	grid.Caches
	grid.Cache
	read map[*watchedBlob]bool
}

type watchedBlob struct {
	grid.Blob
	w *watched
}

func (w *watched) Open(name string, p grid.Principal) (c grid.Cache, err error) {
	w.Cache, err = w.Caches.Open(name, p)
	return w, err
}

func (w *watched) Do(b *grid.Batch) int {
	n := w.Cache.Do(b)
	for i := range b.Res[:n] {
		if r := &b.Res[i]; r.Body != nil {
			r.Body = &watchedBlob{r.Body, w}
		}
	}
	return n
}

func (b *watchedBlob) Piece(off, n int) []byte {
	b.w.read[b] = true
	return b.Blob.Piece(off, n)
}

// TestComputingTakesTurns has values compressed for four streams that all wait for a window. When it opens, no Step reads
// on in more than one of them, and all of them come to their end.
func TestComputingTakesTurns(t *testing.T) {
	s := newStore()
	c := greeted(t, s)
	value := make([]byte, 200_000)
	_, _ = rand.NewChaCha8([32]byte{}).Read(value) // hard to compress
	c.request(1, false, "PUT", big, "content-length", "200000")
	for part := range slices.Chunk(value, 10_000) {
		c.must(c.framer.WriteData(1, false, part))
	}
	c.must(c.framer.WriteData(1, true, nil))
	c.step()
	w := &watched{Caches: s}
	c = greeted(t, w, xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 0})
	w.read = map[*watchedBlob]bool{}
	for id := uint32(1); id < 8; id += 2 {
		c.request(id, true, "GET", big, "accept-encoding", "gzip")
		c.step()
	}
	if len(w.read) != 4 {
		t.Fatalf("%d of 4 values are begun", len(w.read))
	}
	c.must(c.framer.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 1 << 20}))
	c.must(c.framer.WriteWindowUpdate(0, 1<<30))
	for i := 0; i == 0 || c.last.Next == protocols.Flush; i++ {
		clear(w.read)
		turn := protocols.Turn{In: bytes.Clone(c.sent.Bytes()), Room: c.room, Now: grid.Time{Wall: c.now}, Batch: c.batch}
		c.batch.Reset()
		c.last = c.session.Step(&turn)
		c.sent.Next(c.last.Used)
		c.out.Write(turn.Out)
		if len(w.read) > 1 {
			t.Fatalf("Step %d reads on in %d values", i, len(w.read))
		}
	}
	ended := c.ended()
	if ended != 4 {
		t.Errorf("%d of 4 answers are there", ended)
	}
}
