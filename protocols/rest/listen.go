package rest

import (
	"bytes"
	"strconv"
	"unsafe"

	"github.com/valyala/fasthttp"

	"github.com/latticed/latticed/conf/infinispan"
	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/protocols/media"
)

// stream is an answer of server-sent events on its way. It holds one page of events; what the client is too slow for is
// lost in the feed, which says how much that was, or of what concerns caches is told in sum.
type stream struct {
	feed  grid.Feed
	page  grid.EventPage
	scan  *list // of what is there already; nil: it is not told, or has been
	asked bool  // the current state is to be told
	json  bool  // keys are JSON strings

	// Of caches and their configurations.
	stop    func() // nil: not begun
	version uint64
	seen    map[string]*infinispan.Cache
	format  infinispan.Format
	pretty  bool
}

const (
	eventPage = 32
	eventMem  = 8 << 10 // and more for a long key, as long as it takes
)

// kept is how many bytes the stream takes, more or less.
func (s *stream) kept() int {
	n := cap(s.page.Mem) + cap(s.page.Events)*int(unsafe.Sizeof(grid.Event{})) + 64*len(s.seen)
	if s.scan != nil {
		n += cap(s.scan.page.Mem) + cap(s.scan.page.Entries)*int(unsafe.Sizeof(grid.Entry{}))
	}
	return n
}

func (s *stream) release() {
	if s.feed != nil {
		s.feed.Close()
		s.feed = nil
	}
	if s.stop != nil {
		s.stop()
		s.stop = nil
	}
	if s.scan != nil {
		s.scan.release()
	}
}

// Finish ends an Endless answer that has come to wait: what was told is all.
func (x *Exchange) Finish() { x.showEvents(nil, false) }

// showEvents sends some of the answer. more: it goes on.
func (x *Exchange) showEvents(part []byte, more bool) {
	x.Res.SetStatusCode(fasthttp.StatusOK)
	x.Body, x.lent, x.Partial, x.State = part, false, more, Ready
}

// begin makes x an answer that goes on as long as somebody listens, and has next called when there may be something to tell.
func (x *Exchange) beginEvents(s *stream, start func(x *Exchange, t grid.Ticket) bool, next func(x *Exchange) bool) {
	x.Endless = true
	begun := false
	x.alone(func(x *Exchange, t grid.Ticket) bool {
		if begun {
			return next(x)
		}
		begun = true
		if !start(x, t) {
			x.Endless = false
			return true
		}
		x.events = s
		x.Length = -1
		x.Res.SetContentType("text/event-stream")
		x.Res.Set("Cache-Control", "no-cache")
		x.showEvents(nil, true) // who listens learns at once that it does
		return true
	})
}

// listen answers with what happens to the entries of a cache.
func (x *Exchange) listen(name []byte) {
	s := &stream{asked: x.truth("includeCurrentState")}
	if !x.takesEvents(func(m media.Type) bool { s.json = m.ID == media.JSON; return s.json || m.ID == media.Text }) {
		return
	}
	events, err := x.peer.Env.Caches.Events(string(name), grid.Principal{})
	if err != nil {
		x.noCache(name)
		return
	}
	cache := string(name)
	start := func(x *Exchange, t grid.Ticket) bool {
		var code grid.Code
		s.feed, code = events.Listen(grid.Interest{Kinds: grid.Created | grid.Modified | grid.Removed | grid.Expired | grid.Cleared}, t)
		if code != grid.OK {
			x.res.Code = code
			x.refuse()
			return false
		}
		s.page = grid.EventPage{Events: make([]grid.Event, 0, eventPage), Mem: make([]byte, 0, eventMem)}
		if s.asked {
			if s.scan = x.newList([]byte(cache)); s.scan == nil {
				s.release()
				return false
			}
			x.list, s.scan.at = nil, -1
		}
		return true
	}
	x.beginEvents(s, start, func(x *Exchange) bool { return x.moreEvents(cache) })
}

// takesEvents tells whether the client takes events as they are told: in a type that takes says yes to, or as whatever they
// are. False: x is answered.
func (x *Exchange) takesEvents(takes func(m media.Type) bool) bool {
	accept, given := x.field(fAccept)
	for list := accept; given; {
		one, rest, done := media.Next(list)
		if done {
			x.text(fasthttp.StatusNotAcceptable, "ISPN012007: Cannot convert to ", string(accept))
			return false
		}
		list = rest
		m, err := media.Parse(one)
		given = !(m.Wild || string(one) == "text/event-stream" || err == nil && takes(m))
	}
	return true
}

var eventNames = map[grid.EventKind]string{
	grid.Created: "cache-entry-created", grid.Modified: "cache-entry-modified", grid.Removed: "cache-entry-removed", grid.Expired: "cache-entry-expired",
	grid.Cleared: "cache-cleared", grid.Lost: "cache-events-lost",
}

// moreEvents tells what has happened. False: nothing; x is worked on again when something has.
func (x *Exchange) moreEvents(cache string) bool {
	s := x.events
	x.out = x.out[:0]
	if l := s.scan; l != nil {
		for pages := 0; len(x.out) < listPart && pages <= 4; {
			if l.next(x.now) {
				x.keyEvent(eventNames[grid.Created], l.page.Entries[l.at].Key)
				continue
			}
			if l.at >= 0 { // the last page is told
				s.scan = nil
				break
			}
			pages++
		}
		if len(x.out) > 0 {
			x.showEvents(x.out, true)
		}
		return true
	}
	code := s.feed.Next(&s.page)
	for i := range s.page.Events {
		e := &s.page.Events[i]
		switch e.Kind {
		case grid.Lost:
			x.out = appendEvent(x.out, eventNames[e.Kind], strconv.AppendUint(x.stamp[:0], e.Count, 10))
		case grid.Cleared:
			x.out = appendEvent(x.out, eventNames[e.Kind], []byte(cache))
		default:
			x.keyEvent(eventNames[e.Kind], e.Key)
		}
	}
	if cap(s.page.Mem) > eventMem {
		s.page.Mem = make([]byte, 0, eventMem)
	}
	last := code != grid.OK && code != grid.Pending
	switch {
	case len(x.out) > 0 || last:
		x.showEvents(x.out, !last)
	case code == grid.Pending:
		return false
	}
	return true
}

func (x *Exchange) keyEvent(name string, key []byte) {
	if x.events.json {
		x.stamp = appendString(x.stamp[:0], key)
		key = x.stamp
	} else if bytes.IndexByte(key, '\r') >= 0 { // it would end a line, too
		key = bytes.ReplaceAll(bytes.ReplaceAll(key, []byte("\r\n"), []byte("\n")), []byte("\r"), []byte("\n"))
	}
	x.out = appendEvent(x.out, name, key)
}

// appendEvent appends one event. Each line of data is one of the event.
func appendEvent(dst []byte, name string, data []byte) []byte {
	dst = append(append(dst, "event: "...), name...)
	for more := true; more; {
		var line []byte
		line, data, more = bytes.Cut(data, []byte("\n"))
		dst = append(append(dst, "\ndata: "...), bytes.ToValidUTF8(line, []byte("\uFFFD"))...)
	}
	return append(dst, "\n\n"...)
}

// listenCaches answers with what happens to caches themselves.
func (x *Exchange) listenCaches() {
	s := &stream{format: infinispan.YAML, pretty: x.truth("pretty"), asked: x.truth("includeCurrentState")}
	if !x.takesEvents(func(m media.Type) bool {
		f, known := formats[m.ID]
		if known {
			s.format = f
		}
		return known
	}) {
		return
	}
	start := func(x *Exchange, t grid.Ticket) bool {
		var err error
		if s.stop, err = x.s.opt.Catalog.Watch(t); err != nil {
			x.failed(err)
			return false
		}
		s.seen = map[string]*infinispan.Cache{}
		if !s.asked {
			x.compareCaches(s, nil)
		}
		return true
	}
	x.beginEvents(s, start, func(x *Exchange) bool {
		x.out = x.out[:0]
		if x.compareCaches(x.events, x.tellCache); len(x.out) == 0 {
			return false
		}
		x.showEvents(x.out, true)
		return true
	})
}

// compareCaches calls tell with what is different from what was seen, and has seen it: up to a part of the answer, and the rest
// when it is called again. tell is nil where nothing is to be told.
func (x *Exchange) compareCaches(s *stream, tell func(kind, name string, c *infinispan.Cache)) {
	catalog := x.s.opt.Catalog
	version := catalog.Version() // before what is told: what changes meanwhile is told again
	if s.version == version+1 {
		return
	}
	s.version = 0
	there := map[string]bool{}
	for _, name := range catalog.Names() {
		c, _ := catalog.Find(name)
		if c.Name != name { // removed meanwhile
			continue
		}
		there[name] = true
		was := s.seen[name]
		if was == c.Config {
			continue
		}
		if len(x.out) >= listPart {
			return
		}
		kind := "update-cache"
		if was == nil {
			kind = "create-cache"
		}
		s.seen[name] = c.Config
		if tell != nil {
			tell(kind, name, c.Config)
		}
	}
	for name := range s.seen {
		if there[name] {
			continue
		}
		if len(x.out) >= listPart {
			return
		}
		delete(s.seen, name)
		if tell != nil {
			tell("remove-cache", name, nil)
		}
	}
	s.version = version + 1
}

// tellCache appends an event; c is nil for a cache that was removed.
func (x *Exchange) tellCache(kind, name string, c *infinispan.Cache) {
	text := []byte(name)
	if c != nil {
		text = bytes.TrimRight(c.AppendDocument(nil, x.events.format, name, x.events.pretty), "\n")
	}
	x.out = appendEvent(x.out, kind, text)
}
