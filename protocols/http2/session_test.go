package http2_test

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
	xhttp2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/grid/gridtest"
	"github.com/latticed/latticed/grid/store"
	"github.com/latticed/latticed/protocols"
	"github.com/latticed/latticed/protocols/http2"
	"github.com/latticed/latticed/protocols/rest"
)

// client speaks HTTP/2 to one session, by x/net's framer.
type client struct {
	t       testing.TB
	session protocols.Session
	batch   *grid.Batch
	now     int64
	room    int
	sent    bytes.Buffer // frames for the session
	out     bytes.Buffer // what the session wrote
	framer  *xhttp2.Framer
	head    bytes.Buffer
	enc     *hpack.Encoder
	last    protocols.Progress
	leaving bool
	overdue bool
	env     *protocols.Env
	handed  bool // to a goroutine
}

func protocol() *http2.Protocol {
	return http2.New(http2.Options{Service: rest.New(rest.Options{MaxContent: 1 << 20})})
}

func dial(t testing.TB, caches grid.Caches) *client {
	t.Helper()
	c := &client{t: t, batch: grid.NewBatch(64 << 10), now: 1_700_000_000_000, room: 64 << 10}
	c.env = &protocols.Env{Conn: 1, Caches: caches, Limits: protocols.DefaultLimits}
	c.session = protocol().Open(c.env)
	c.framer = xhttp2.NewFramer(&c.sent, &c.out)
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.enc = hpack.NewEncoder(&c.head)
	c.sent.WriteString(http2.Preface)
	t.Cleanup(c.session.Close)
	return c
}

func greeted(t testing.TB, caches grid.Caches, settings ...xhttp2.Setting) *client {
	t.Helper()
	c := dial(t, caches)
	c.must(c.framer.WriteSettings(settings...))
	c.step()
	return c
}

func newStore() *store.Store {
	s, err := store.New(store.Options{Limit: 64 << 20, MaxValue: 16 << 20})
	if err != nil {
		panic(err)
	}
	return s
}

func (c *client) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// step gives the session everything that was sent and takes what it writes, until it wants more.
func (c *client) step() {
	c.t.Helper()
	for i := 0; ; i++ {
		if i == 100_000 {
			c.t.Fatal("the session does not come to an end")
		}
		in := bytes.Clone(c.sent.Bytes())
		turn := protocols.Turn{
			In: in, Out: make([]byte, 0, 96<<10), Room: c.room, Now: grid.Time{Wall: c.now}, Batch: c.batch,
			Leaving: c.leaving, Overdue: c.overdue,
		}
		if c.handed {
			turn.Loop = protocols.MaxLoops - 1
		}
		c.batch.Reset()
		c.last = c.session.Step(&turn)
		for k := range in {
			in[k] = 0xEE
		}
		c.sent.Next(c.last.Used)
		c.out.Write(turn.Out)
		c.handed = c.handed || c.last.Next == protocols.HandOff
		if c.last.Next == protocols.Flush || c.last.Next == protocols.HandOff {
			continue
		}
		if c.last.Next == protocols.Close {
			c.sent.Reset()
		}
		if need := max(c.last.Need, 1); c.last.Next == protocols.More && c.sent.Len() >= need {
			continue
		}
		return
	}
}

// request writes the HEADERS of one; fields are names and values by turns.
func (c *client) request(id uint32, end bool, method, path string, fields ...string) {
	c.t.Helper()
	c.head.Reset()
	all := append([]string{":method", method, ":scheme", "http", ":path", path, ":authority", "localhost"}, fields...)
	for pair := range slices.Chunk(all, 2) {
		c.must(c.enc.WriteField(hpack.HeaderField{Name: pair[0], Value: pair[1]}))
	}
	c.must(c.framer.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: id, BlockFragment: c.head.Bytes(), EndStream: end, EndHeaders: true}))
}

// ended reads what the session wrote, and counts the streams that it ended.
func (c *client) ended() (n int) {
	c.t.Helper()
	for _, e := range c.events() {
		if strings.HasSuffix(e, " end") {
			n++
		}
	}
	return n
}

// events reads what the session wrote, a line a frame, but for what every connection begins with.
func (c *client) events() (list []string) {
	c.t.Helper()
	for c.out.Len() > 0 {
		f, err := c.framer.ReadFrame()
		if err == io.EOF {
			break
		}
		c.must(err)
		id := f.Header().StreamID
		end := ""
		if f.Header().Flags.Has(xhttp2.FlagDataEndStream) {
			end = " end"
		}
		switch f := f.(type) {
		case *xhttp2.MetaHeadersFrame:
			list = append(list, fmt.Sprint(id, " status ", f.PseudoValue("status"), end))
		case *xhttp2.DataFrame:
			list = append(list, fmt.Sprint(id, " data ", len(f.Data()), end))
		case *xhttp2.RSTStreamFrame:
			list = append(list, fmt.Sprint(id, " reset ", f.ErrCode))
		case *xhttp2.GoAwayFrame:
			list = append(list, fmt.Sprint("goaway ", f.LastStreamID, " ", f.ErrCode))
		case *xhttp2.PingFrame:
			list = append(list, "pong")
		case *xhttp2.SettingsFrame, *xhttp2.WindowUpdateFrame:
		default:
			list = append(list, fmt.Sprint(f))
		}
	}
	return list
}

func (c *client) want(list ...string) {
	c.t.Helper()
	if got := c.events(); !slices.Equal(got, list) {
		c.t.Fatalf("got  %q\nwant %q", got, list)
	}
}

const key = "/rest/v2/caches/default/k"

func TestRequests(t *testing.T) {
	c := greeted(t, newStore())
	c.request(1, true, "GET", key)
	c.step()
	c.want("1 status 404 end")
	c.request(3, false, "PUT", key, "content-length", "5")
	c.must(c.framer.WriteData(3, false, []byte("he")))
	c.must(c.framer.WriteDataPadded(3, true, []byte("llo"), make([]byte, 7)))
	c.request(5, true, "GET", key)
	c.request(7, true, "HEAD", key)
	c.request(9, true, "DELETE", key)
	c.step()
	c.want("3 status 204 end", "5 status 200", "5 data 5 end", "7 status 200 end", "9 status 204 end")

	// Trailers end a request too, and a client may give up.
	c.request(11, false, "PUT", key)
	c.must(c.framer.WriteData(11, false, []byte("hello")))
	c.head.Reset()
	c.must(c.enc.WriteField(hpack.HeaderField{Name: "x-sum", Value: "1"}))
	c.must(c.framer.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 11, BlockFragment: c.head.Bytes(), EndStream: true, EndHeaders: true}))
	c.request(13, false, "PUT", key)
	c.must(c.framer.WriteRSTStream(13, xhttp2.ErrCodeCancel))
	c.request(15, true, "GET", key)
	c.step()
	c.want("11 status 204 end", "15 status 200", "15 data 5 end")
}

// TestEarlyAnswer answers a body that is too large before it has come, and forgives what was on its way.
func TestEarlyAnswer(t *testing.T) {
	c := greeted(t, newStore())
	c.request(1, false, "PUT", key, "content-length", "2000000")
	c.must(c.framer.WriteData(1, false, make([]byte, 1000)))
	c.step()
	c.want("1 status 413 end")
	for range 9 {
		c.must(c.framer.WriteData(1, false, make([]byte, 16<<10)))
	}
	c.step()
	c.want("1 reset NO_ERROR")
	c.must(c.framer.WriteData(1, false, make([]byte, 1000)))
	c.request(3, true, "GET", key)
	c.step()
	c.want("3 status 404 end")
}

// TestAnsweredAndStillSent judges what a client goes on sending on a stream that is answered, as if it were not.
func TestAnsweredAndStillSent(t *testing.T) {
	trailer := func(c *client, id uint32, name string) {
		c.head.Reset()
		c.must(c.enc.WriteField(hpack.HeaderField{Name: name, Value: "x"}))
		c.must(c.framer.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: id, BlockFragment: c.head.Bytes(), EndStream: true, EndHeaders: true}))
	}
	for _, k := range []struct {
		name string
		send func(c *client)
		want []string
	}{
		{"its end", func(c *client) { c.must(c.framer.WriteData(1, true, make([]byte, 10))) }, nil},
		{"a shorter body", func(c *client) { c.must(c.framer.WriteData(1, true, make([]byte, 9))) }, []string{"1 reset PROTOCOL_ERROR"}},
		{"a longer body", func(c *client) { c.must(c.framer.WriteData(1, true, make([]byte, 11))) }, []string{"1 reset PROTOCOL_ERROR"}},
		{"a pseudo-field as trailer", func(c *client) { trailer(c, 1, ":path") }, []string{"1 reset PROTOCOL_ERROR"}},
		{"windows", func(c *client) {
			c.must(c.framer.WriteWindowUpdate(1, 1<<31-1))
			c.must(c.framer.WriteWindowUpdate(1, 1<<31-1))
		}, []string{"1 reset FLOW_CONTROL_ERROR"}},
		{"a reset, then another request", func(c *client) {
			c.must(c.framer.WriteRSTStream(1, xhttp2.ErrCodeCancel))
			trailer(c, 1, "x")
		}, []string{"goaway 1 STREAM_CLOSED"}},
		{"a reset behind ours, then another request", func(c *client) {
			c.must(c.framer.WriteData(1, true, make([]byte, 11)))
			trailer(c, 1, "x") // on its way
			c.must(c.framer.WriteRSTStream(1, xhttp2.ErrCodeCancel))
			trailer(c, 1, "x")
		}, []string{"1 reset PROTOCOL_ERROR", "goaway 1 STREAM_CLOSED"}},
	} {
		c := greeted(t, newStore())
		c.events()
		c.request(1, false, "POST", "/health/live", "content-length", "10")
		c.step()
		c.want("1 status 405", "1 data 11 end")
		k.send(c)
		c.request(3, true, "GET", key)
		c.step()
		want := k.want
		if len(want) == 0 || !strings.HasPrefix(want[len(want)-1], "goaway") {
			want = append(want, "3 status 404 end")
		}
		t.Log(k.name)
		c.want(want...)
	}
}

// TestLeavingWhileAnswered ends a connection whose client owes nothing but the rest of a body that nobody wants.
func TestLeavingWhileAnswered(t *testing.T) {
	c := greeted(t, newStore())
	c.events()
	c.request(1, false, "POST", "/health/live")
	c.step()
	c.want("1 status 405", "1 data 11 end")
	c.leaving = true
	c.step()
	c.want("goaway 1 NO_ERROR")
	if c.last.Next != protocols.Close {
		t.Errorf("%v instead of the end", c.last.Next)
	}
}

// TestWindows sends a value through windows that open bit by bit, in turns with another.
func TestWindows(t *testing.T) {
	s := newStore()
	c := greeted(t, s, xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 1 << 20})
	big := bytes.Repeat([]byte("0123456789"), 60_000)
	c.request(1, false, "PUT", key, "content-length", "600000")
	for i := 0; i < len(big); i += 10_000 { // the session's own windows are opened in time
		c.must(c.framer.WriteData(1, i+10_000 == len(big), big[i:i+10_000]))
		c.step()
	}
	c.want("1 status 204 end")
	c.request(3, true, "GET", key)
	c.request(5, true, "GET", key)
	c.step()
	got := map[uint32]int{}
	frames := 0
	for round := 0; got[3] < len(big) || got[5] < len(big); round++ {
		if round == 1000 {
			t.Fatalf("got %v", got)
		}
		for c.out.Len() > 0 {
			f, err := c.framer.ReadFrame()
			c.must(err)
			if d, ok := f.(*xhttp2.DataFrame); ok {
				id := d.StreamID
				if !bytes.Equal(d.Data(), big[got[id]:got[id]+len(d.Data())]) {
					t.Fatalf("stream %d: other bytes at %d", id, got[id])
				}
				got[id] += len(d.Data())
				frames++
				if diff := got[3] - got[5]; got[5] > 0 && (diff > 1<<17 || diff < -1<<15) { // 3 had the first window alone
					t.Fatalf("no turns: %v", got)
				}
			}
		}
		c.must(c.framer.WriteWindowUpdate(0, 3<<14))
		c.step()
	}
	if frames < 2*len(big)>>14 {
		t.Errorf("%d frames", frames)
	}
}

// TestErrors sends what clients must not send.
func TestErrors(t *testing.T) {
	raw := func(c *client, kind xhttp2.FrameType, flags xhttp2.Flags, id uint32, payload string) {
		c.must(c.framer.WriteRawFrame(kind, flags, id, []byte(payload)))
	}
	f := func(name string, send func(c *client), want ...string) {
		t.Run(name, func(t *testing.T) {
			c := greeted(t, newStore())
			send(c)
			c.step()
			c.t = t
			c.want(want...)
		})
	}
	f("data on an idle stream", func(c *client) { raw(c, xhttp2.FrameData, 0, 1, "x") }, "goaway 0 PROTOCOL_ERROR")
	f("even number", func(c *client) { c.request(2, true, "GET", key) }, "goaway 0 PROTOCOL_ERROR")
	f("too long", func(c *client) { raw(c, xhttp2.FramePing, 0, 0, strings.Repeat("x", 16385)) }, "goaway 0 FRAME_SIZE_ERROR")
	f("bad compression", func(c *client) {
		raw(c, xhttp2.FrameHeaders, xhttp2.FlagHeadersEndHeaders, 1, "\xff\xff\xff\xff\xff\xff")
	}, "goaway 1 COMPRESSION_ERROR")
	f("interrupted", func(c *client) {
		raw(c, xhttp2.FrameHeaders, 0, 1, "\x82")
		raw(c, xhttp2.FramePing, 0, 0, "12345678")
	}, "goaway 0 PROTOCOL_ERROR")
	f("lengths differ", func(c *client) {
		c.request(1, false, "PUT", key, "content-length", "5")
		c.must(c.framer.WriteData(1, true, []byte("four")))
	}, "1 reset PROTOCOL_ERROR")
	f("upper case", func(c *client) { c.request(1, true, "GET", key, "Accept", "*/*") }, "1 reset PROTOCOL_ERROR")
	f("connection field", func(c *client) { c.request(1, true, "GET", key, "connection", "close") }, "1 reset PROTOCOL_ERROR")
	f("value with a line break", func(c *client) { c.request(1, true, "GET", key, "accept", "a\r\nb") }, "1 reset PROTOCOL_ERROR")
	f("closed stream", func(c *client) {
		c.request(1, true, "GET", key)
		c.step()
		c.request(1, true, "GET", key)
	}, "1 status 404 end", "goaway 1 STREAM_CLOSED")
	f("headers too long", func(c *client) {
		c.request(1, true, "GET", key, "x-long", strings.Repeat("x", 10_000))
		c.request(3, true, "GET", key, "x-short", "y")
	}, "1 status 431", "1 data 44 end", "3 status 404 end")
	f("too many streams", func(c *client) {
		for id := uint32(1); id <= 203; id += 2 {
			c.request(id, false, "PUT", key)
		}
	}, "201 reset REFUSED_STREAM", "203 reset REFUSED_STREAM")
	f("window overflow", func(c *client) {
		c.must(c.framer.WriteWindowUpdate(0, 1<<31-1))
	}, "goaway 0 FLOW_CONTROL_ERROR")
	f("more than the window", func(c *client) {
		c.request(1, false, "PUT", key)
		for range 17 {
			c.must(c.framer.WriteData(1, false, make([]byte, 16000)))
		}
	})
}

// The attacks that HTTP/2 servers have fallen to. What each may cost is said where it is checked.

// TestRapidReset opens and resets streams (CVE-2023-44487): each runs at most one op, and after calmMost the connection
// ends.
func TestRapidReset(t *testing.T) {
	c := greeted(t, newStore())
	n := 0
	for id := uint32(1); c.last.Next != protocols.Close && n < 10_000; id += 2 {
		c.request(id, false, "PUT", key)
		c.must(c.framer.WriteRSTStream(id, xhttp2.ErrCodeCancel))
		c.step()
		n++
	}
	if n > 2_001 {
		t.Errorf("%d streams were opened and reset", n)
	}
	events := c.events()
	if last := events[len(events)-1]; !strings.HasSuffix(last, "ENHANCE_YOUR_CALM") {
		t.Errorf("the last frame: %s", last)
	}
}

// TestContinuationFlood never ends a header section (CVE-2024-27316): 64 KiB or 32 frames are the end.
func TestContinuationFlood(t *testing.T) {
	f := func(size, most int) {
		t.Helper()
		c := greeted(t, newStore())
		part := bytes.Repeat([]byte{0x82}, size)
		c.must(c.framer.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: part}))
		n := 1
		for ; c.last.Next != protocols.Close && n < 1000; n++ {
			c.must(c.framer.WriteContinuation(1, false, part))
			c.step()
		}
		if n > most {
			t.Errorf("%d frames of %d bytes were taken", n, size)
		}
		c.want("goaway 0 ENHANCE_YOUR_CALM")
	}
	f(0, 33)
	f(16000, 5)
}

// TestFloods sends frames that ask for nothing, without reading: what is written for them is bounded by Room a Step, and
// the connection ends after calmMost of them.
func TestFloods(t *testing.T) {
	f := func(name string, send func(c *client)) {
		t.Run(name, func(t *testing.T) {
			c := greeted(t, newStore())
			c.t = t
			n := 0
			for ; c.last.Next != protocols.Close && n < 10_000; n++ {
				send(c)
				c.step()
			}
			if n > 2_001 {
				t.Errorf("%d frames were taken", n)
			}
		})
	}
	f("ping", func(c *client) { c.must(c.framer.WritePing(false, [8]byte{})) })
	f("settings", func(c *client) { c.must(c.framer.WriteSettings()) })
	f("priority", func(c *client) { c.must(c.framer.WritePriority(1, xhttp2.PriorityParam{})) })
	id := uint32(0)
	f("empty data", func(c *client) {
		if id == 0 {
			c.request(1, false, "PUT", key)
			id = 1
		}
		c.must(c.framer.WriteData(1, false, nil))
	})
	f("unknown", func(c *client) { c.must(c.framer.WriteRawFrame(99, 0, 0, nil)) })
}

// TestHeaderBomb sends few bytes that stand for many (a large field in the dynamic table, referred to again and again):
// what is over MaxHeader is not kept.
func TestHeaderBomb(t *testing.T) {
	c := greeted(t, newStore())
	c.request(1, true, "GET", key, "x-bomb", strings.Repeat("x", 3000))
	c.step()
	c.want("1 status 404 end")
	c.head.Reset()
	c.request(3, true, "GET", key)
	block := bytes.Clone(c.head.Bytes())
	c.sent.Reset()
	block = append(block, bytes.Repeat([]byte{0x80 | 62}, 15_000)...) // 45 MB of fields in 15 kB
	c.must(c.framer.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 3, BlockFragment: block, EndStream: true, EndHeaders: true}))
	n := testing.AllocsPerRun(1, c.step)
	c.want("3 status 431", "3 data 44 end")
	if n > 1000 {
		t.Errorf("%v allocations", n)
	}
}

// TestZeroWindow asks for many values and opens no window: at most keepMax bytes and one batch of answers are held, the
// other requests are not run until a window opens, and then everybody is served.
func TestZeroWindow(t *testing.T) {
	s := newStore()
	c := greeted(t, s)
	c.request(1, false, "PUT", key)
	c.must(c.framer.WriteData(1, true, make([]byte, 16_000)))
	c.step()
	c.want("1 status 204 end")
	c.must(c.framer.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 0}))
	for id := uint32(3); id <= 201; id += 2 {
		c.request(id, true, "GET", key)
	}
	c.step()
	begun := len(c.events())
	if begun > 10 {
		t.Errorf("%d answers are held", begun)
	}
	c.must(c.framer.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 1 << 20}))
	c.must(c.framer.WriteWindowUpdate(0, 1<<30))
	c.step()
	ends := c.ended()
	if ends != 100 {
		t.Errorf("%d of 100 requests were answered", ends)
	}
}

// TestLeaving says GOAWAY, answers what is under way, and ends.
func TestLeaving(t *testing.T) {
	c := greeted(t, newStore())
	c.request(1, false, "PUT", key)
	c.step()
	c.leaving = true
	c.step()
	c.want("goaway 1 NO_ERROR")
	if c.last.Next != protocols.More {
		t.Fatalf("ended before the request: %+v", c.last)
	}
	c.request(3, true, "GET", key)
	c.must(c.framer.WriteData(1, true, []byte("hello")))
	c.step()
	c.want("3 reset REFUSED_STREAM", "1 status 204 end")
	if c.last.Next != protocols.Close {
		t.Errorf("not ended: %+v", c.last)
	}
}

// TestClientLeaves ends when a client has said GOAWAY and has its answers. It is told so, as it may have sent more.
func TestClientLeaves(t *testing.T) {
	c := greeted(t, newStore())
	c.request(1, false, "PUT", key)
	c.must(c.framer.WriteGoAway(0, xhttp2.ErrCodeNo, nil))
	c.step()
	c.want()
	if c.last.Next != protocols.More {
		t.Fatalf("ended before the request: %+v", c.last)
	}
	c.must(c.framer.WriteData(1, true, []byte("hello")))
	c.step()
	c.want("1 status 204 end", "goaway 1 NO_ERROR")
	if c.last.Next != protocols.Close {
		t.Errorf("not ended: %+v", c.last)
	}
}

// TestUpgraded goes on behind a request of HTTP/1.1.
func TestUpgraded(t *testing.T) {
	s := newStore()
	p := protocol()
	env := &protocols.Env{Conn: 1, Caches: s, Limits: protocols.DefaultLimits}
	var req fasthttp.RequestHeader
	req.SetMethod("GET")
	req.SetRequestURI(key)
	req.SetHost("localhost")
	for _, bad := range []string{"!", "AA", "AAQ"} {
		if _, ok := p.OpenUpgraded(env, []byte(bad), &req); ok {
			t.Errorf("settings %q are taken", bad)
		}
	}
	c := dial(t, s)
	c.session.Close()
	var ok bool
	if c.session, ok = p.OpenUpgraded(env, []byte("AAMAAABkAAQAAP__"), &req); !ok {
		t.Fatal("refused")
	}
	c.sent.Reset()
	c.step()
	c.want()
	c.sent.WriteString(http2.Preface)
	c.step()
	c.want("1 status 404 end")
	c.must(c.framer.WriteSettings())
	c.request(3, true, "GET", key)
	c.step()
	c.want("3 status 404 end")
}

// TestHeaderTable acknowledges a change of the client's table at the beginning of the next header section, once.
func TestHeaderTable(t *testing.T) {
	c := greeted(t, newStore(), xhttp2.Setting{ID: xhttp2.SettingHeaderTableSize, Val: 100})
	c.framer.ReadMetaHeaders = nil
	sections := func() (list [][]byte) {
		for {
			f, err := c.framer.ReadFrame()
			if err != nil {
				return list
			}
			if h, ok := f.(*xhttp2.HeadersFrame); ok {
				list = append(list, bytes.Clone(h.HeaderBlockFragment()))
			}
		}
	}
	c.request(1, true, "GET", key)
	c.request(3, true, "GET", key)
	c.step()
	list := sections()
	if len(list) != 2 || list[0][0] != 0x20 || !bytes.Equal(list[0][1:], list[1]) {
		t.Errorf("got %x", list)
	}
}

// TestLate answers over a grid that answers later and in any order.
func TestLate(t *testing.T) {
	late := gridtest.NewLate(newStore(), 1)
	late.Defer = true
	c := greeted(t, late)
	inbox := &inbox{}
	turn := func(in []byte) protocols.Progress {
		t.Helper()
		tn := protocols.Turn{In: in, Late: inbox.take(), Out: make([]byte, 0, 96<<10), Room: c.room, Now: grid.Time{Wall: c.now}, Batch: c.batch}
		c.batch.Reset()
		c.batch.Late = inbox
		p := c.session.Step(&tn)
		c.out.Write(tn.Out)
		return p
	}
	c.request(1, false, "PUT", key)
	c.must(c.framer.WriteData(1, true, []byte("hello")))
	for id := uint32(3); id < 43; id += 2 {
		c.request(id, true, "GET", key)
	}
	p := turn(bytes.Clone(c.sent.Bytes()))
	for i := 0; p.Held > 0 && i < 1000; i++ {
		late.Deliver()
		p = turn(nil)
	}
	ends := c.ended()
	if ends != 21 || p.Held != 0 {
		t.Errorf("%d of 21 requests were answered, %d are held", ends, p.Held)
	}
}

type inbox struct{ list []protocols.Answer }

func (b *inbox) Answer(_ uint64, seq uint32, r *grid.Result) {
	a := protocols.Answer{Seq: seq, Res: *r}
	a.Res.Value = bytes.Clone(r.Value)
	b.list = append(b.list, a)
}
func (b *inbox) Wake(uint64) {}
func (b *inbox) take() []protocols.Answer {
	l := b.list
	b.list = nil
	return l
}

// FuzzStep holds that any cut of the input and any room give every stream the same bytes, and that nothing panics. The
// order between streams depends on how the input comes.
func FuzzStep(f *testing.F) {
	c := greeted(f, newStore())
	c.request(1, false, "PUT", key, "content-length", "5")
	c.must(c.framer.WriteDataPadded(1, true, []byte("hello"), make([]byte, 3)))
	c.request(3, true, "GET", key)
	c.must(c.framer.WritePing(false, [8]byte{}))
	c.must(c.framer.WriteWindowUpdate(3, 10))
	f.Add(c.sent.Bytes(), uint16(1), uint16(100))
	f.Fuzz(func(t *testing.T, frames []byte, chunk, room uint16) {
		input := append([]byte(http2.Preface+"\x00\x00\x00\x04\x00\x00\x00\x00\x00"), frames...)
		whole, ended := byStream(t, drive(input, len(input), 64<<10))
		cut, _ := byStream(t, drive(input, int(chunk)+1, int(room)+1))
		if ended {
			return // how much was answered before an error depends on how the input came
		}
		if !maps.EqualFunc(cut, whole, bytes.Equal) {
			t.Errorf("chunk %d, room %d: got\n%v\nwant\n%v", chunk+1, room+1, cut, whole)
		}
	})
}

// byStream sorts what a session wrote by streams, without the heads of DATA frames. ended: by GOAWAY or RST_STREAM.
func byStream(t *testing.T, out []byte) (list map[uint32][]byte, ended bool) {
	list = map[uint32][]byte{}
	for f := xhttp2.NewFramer(nil, bytes.NewReader(out)); ; {
		fr, err := f.ReadFrame()
		if err == io.EOF {
			return list, ended
		} else if err != nil {
			t.Fatalf("%v in %q", err, out)
		}
		id := fr.Header().StreamID
		switch fr := fr.(type) {
		case *xhttp2.DataFrame:
			list[id] = append(list[id], fr.Data()...)
		case *xhttp2.HeadersFrame:
			list[id] = append(list[id], fr.HeaderBlockFragment()...)
		case *xhttp2.PingFrame:
			list[id] = append(list[id], fr.Data[:]...)
		case *xhttp2.GoAwayFrame, *xhttp2.RSTStreamFrame:
			ended = true
		}
	}
}

func drive(input []byte, chunk, room int) (out []byte) {
	s := protocol().Open(&protocols.Env{Conn: 1, Caches: newStore(), Limits: protocols.DefaultLimits})
	defer s.Close()
	batch := grid.NewBatch(room)
	have := 0
	for i := 0; i < 1_000_000; i++ {
		have = min(len(input), have+chunk)
		in := bytes.Clone(input[:have])
		turn := protocols.Turn{In: in, Out: make([]byte, 0, 1024), Room: room, Now: grid.Time{Wall: 1_700_000_000_000}, Batch: batch}
		batch.Reset()
		p := s.Step(&turn)
		for k := range in {
			in[k] = 0xEE
		}
		out = append(out, turn.Out...)
		input, have = input[p.Used:], have-p.Used
		if p.Next == protocols.Close || p.Next == protocols.More && have == len(input) {
			return out
		}
	}
	panic("the session does not come to an end")
}
