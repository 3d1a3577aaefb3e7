package memcached

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/latticed/latticed/grid"
)

// settings are what the tuning commands of memcached's slab allocator and LRU set. They have no effect here; `stats
// settings` shows them, because tools read back what they wrote.
type settings struct {
	hotPct, warmPct, crawlerSleep, crawlerTocrawl, tempTTL, automove, automoveWindow atomic.Int64
	hotFactor, warmFactor, automoveRatio, automoveFree                               thousandths
	tempLRU, flat, detail, crawlerOff                                                atomic.Bool
}

// thousandths is a number with three digits behind the point.
type thousandths struct{ atomic.Int64 }

func (n *thousandths) set(f float64) { n.Store(int64(min(max(f, -1e12), 1e12) * 1000)) }
func (n *thousandths) get() float64  { return float64(n.Load()) / 1000 }

// defaults are memcached's.
func (s *settings) defaults() {
	s.hotPct.Store(20)
	s.warmPct.Store(40)
	s.crawlerSleep.Store(100)
	s.tempTTL.Store(61)
	s.automoveWindow.Store(10)
	s.hotFactor.set(0.2)
	s.warmFactor.set(2)
	s.automoveRatio.set(0.8)
	s.automoveFree.set(0.01)
}

// single tells whether name is a command that runs alone: after all that was sent before it is answered, and before
// anything behind it is parsed.
func (t *turn) single(name []byte) bool {
	switch string(name) {
	case "stats", "flush_all", "verbosity", "cache_memlimit", "shutdown", "slabs", "lru", "lru_crawler", "extstore",
		"watch", "refresh_certs", "config":
		return true
	case "debugtime":
		return t.s.p.opt.MoveClock != nil
	}
	return false
}

// alone runs the command at the head of the input. Its line is there whole.
func (t *turn) alone() {
	in := t.In[t.pos:]
	eol := bytes.IndexByte(in, '\n')
	line := bytes.TrimSuffix(in[:eol], []byte{'\r'})
	t.pos += eol + 1
	ws := &t.words
	ws.cut(line)
	name := string(ws.w[0])
	if log := t.s.env.Log(); log != nil {
		if !log.Admit(1) {
			t.Out = append(t.Out, busyER...)
			return
		}
		t.began = time.Now()
	}
	reply := t.admin(name, ws)
	out := 0
	if !(ws.noreply() && quietable(name)) {
		t.Out = append(t.Out, reply...)
		out = len(reply)
	}
	switch {
	case t.s.late != nil: // flush_all, late
		t.s.late.queue[0].in = eol + 1
	case t.s.env.Log() != nil:
		t.log(adminName(name), nil, statusWord(reply), eol+1, out, t.Now, 0)
	}
}

// quietable tells whether noreply hides the answer of a command: of all but those that do not look for it.
func quietable(name string) bool {
	return name != "stats" && name != "watch"
}

func (t *turn) admin(name string, ws *words) string {
	p := t.s.p
	arg := string(ws.word(1))
	n := ws.n
	if ws.noreply() && quietable(name) {
		n--
	}
	switch name {
	case "stats":
		return t.stats(ws)
	case "flush_all":
		return t.flushAll(n, ws.word(1), ws.noreply())
	case "verbosity":
		level, ok := parse32(ws.word(1))
		if n < 2 || !ok {
			return badLine
		}
		p.verbose.Store(int64(min(level, 10)))
		return "OK\r\n"
	case "cache_memlimit":
		mb, ok := parse32(ws.word(1))
		switch {
		case n < 2 || !ok:
			return plainError
		case mb < 8:
			return "MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m\r\n"
		case mb > 1e9:
			return "MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes\r\n"
		case !t.s.env.Admin: // it is the server's memory, not data
			return "CLIENT_ERROR cache_memlimit not allowed\r\n"
		}
		admin, err := t.s.env.Caches.Admin("", grid.Principal{})
		if err != nil || !admin.SetLimit(uint64(mb)<<20) {
			return "MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust\r\n"
		}
		return "OK\r\n"
	case "shutdown":
		return "SERVER_ERROR: shutdown not enabled\r\n"
	case "watch":
		return "CLIENT_ERROR watch commands not allowed\r\n"
	case "refresh_certs":
		return "Error TLS not enabled\r\n"
	case "config":
		if arg == "get" && string(ws.word(2)) == "cluster" && p.opt.Cluster != "" {
			body := "1\n" + p.opt.Cluster + "\n"
			return fmt.Sprintf("CONFIG cluster 0 %d\r\n%s\r\nEND\r\n", len(body), body)
		}
		return plainError
	case "debugtime":
		seconds, ok := parseInt(ws.word(1))
		if arg == "p" || arg == "r" {
			seconds, ok = 0, true
		}
		if !ok {
			return plainError
		}
		p.opt.MoveClock(seconds)
		return "OK\r\n"
	case "slabs":
		return p.slabs(n, arg, ws)
	case "lru":
		return p.lru(n, arg, ws)
	case "lru_crawler":
		return t.crawler(n, arg, ws)
	case "extstore":
		return extstore(n, arg, ws)
	}
	panic("BUG: no such command: " + name)
}

func (t *turn) flushAll(n int, word []byte, quiet bool) string {
	t.count.n[cmdFlush]++
	now := t.Now.Wall
	at := int64(0)
	if n > 1 {
		when, ok := parseInt(word)
		if !ok || len(word) > 11 || when != int64(int32(when)) {
			return badExptime
		}
		if when > 0 {
			if ttl := lifespan(when, now); ttl > 0 {
				at = now + ttl
			}
		}
	}
	admin, err := t.s.env.Caches.Admin("", grid.Principal{})
	if err != nil {
		return "CLIENT_ERROR flush_all not allowed\r\n"
	}
	t.s.seq++
	code := admin.Flush(at, t.ticket())
	if code == grid.Pending {
		r := req{verb: vText, text: "OK\r\n", quiet: quiet}
		t.s.late = t.s.p.newLate()
		t.s.late.queue = append(t.s.late.queue, held{seq: t.s.seq, open: true, req: r, start: t.Now, began: t.began})
		t.s.late.open = 1
		return ""
	}
	if code != grid.OK {
		return codeLine(&grid.Result{Code: code})
	}
	return "OK\r\n"
}

func (p *Protocol) slabs(n int, arg string, ws *words) string {
	switch {
	case n == 4 && begins(arg, "reassign"):
		src, ok1 := parseInt(ws.word(2))
		dst, ok2 := parseInt(ws.word(3))
		switch {
		case !ok1 || !ok2:
			return badLine
		case src == dst:
			return "SAME src and dst class are identical\r\n"
		case src < 0 || src >= grid.NumClasses || dst < 0 || dst >= grid.NumClasses:
			return "BADCLASS invalid src or dst class id\r\n"
		}
		return "NOSPARE source class has no spare pages\r\n"
	case n >= 3 && begins(arg, "automove"):
		switch word := string(ws.word(2)); {
		case begins(word, "ratio"), begins(word, "freeratio"):
			ratio, err := strconv.ParseFloat(string(ws.word(3)), 64)
			if err != nil {
				return plainError
			}
			if begins(word, "ratio") {
				p.settings.automoveRatio.set(ratio)
			} else {
				p.settings.automoveFree.set(ratio)
			}
			return "OK\r\n"
		case begins(word, "window"):
			v, ok := parse32(ws.word(3))
			if !ok {
				return badLine
			}
			if v < 3 || v > 1800 {
				return "CLIENT_ERROR automove window too low or too high\r\n"
			}
			p.settings.automoveWindow.Store(int64(v))
			return "OK\r\n"
		default:
			v, ok := parse32(ws.word(2))
			if !ok {
				return badLine
			}
			if v > 2 {
				return plainError
			}
			p.settings.automove.Store(int64(v))
			return "OK\r\n"
		}
	}
	return plainError
}

func (p *Protocol) lru(n int, arg string, ws *words) string {
	switch {
	case begins(arg, "tune") && n < 6:
	case begins(arg, "mode") && n >= 3 && (begins(string(ws.w[2]), "flat") || begins(string(ws.w[2]), "segmented")):
		p.settings.flat.Store(begins(string(ws.w[2]), "flat"))
		return "OK\r\n"
	case begins(arg, "temp_ttl") && n >= 3 && arg != "t":
		v, ok := parseInt(ws.w[2])
		if !ok {
			return plainError
		}
		p.settings.tempLRU.Store(v >= 0)
		if v >= 0 {
			p.settings.tempTTL.Store(v)
		}
		return "OK\r\n"
	case begins(arg, "tune"):
		hot, ok1 := parseUint(ws.w[2])
		warm, ok2 := parseUint(ws.w[3])
		hotAge, err1 := strconv.ParseFloat(string(ws.w[4]), 64)
		warmAge, err2 := strconv.ParseFloat(string(ws.w[5]), 64)
		switch {
		case !ok1 || !ok2 || err1 != nil || err2 != nil:
			return plainError
		case hot+warm > 80:
			return "ERROR hot and warm pcts must not exceed 80\r\n"
		case hotAge <= 0 || warmAge <= 0:
			return "ERROR hot/warm age factors must be greater than 0\r\n"
		}
		p.settings.hotPct.Store(int64(hot))
		p.settings.warmPct.Store(int64(warm))
		p.settings.hotFactor.set(hotAge)
		p.settings.warmFactor.set(warmAge)
		return "OK\r\n"
	}
	return plainError
}

// crawler serves lru_crawler. There is none, but switched off it refuses what it would do.
func (t *turn) crawler(n int, arg string, ws *words) string {
	p := t.s.p
	off := p.settings.crawlerOff.Load()
	switch {
	case n == 2 && begins(arg, "enable"):
		if !p.settings.crawlerOff.CompareAndSwap(true, false) {
			return "ERROR failed to start lru crawler thread\r\n"
		}
		return "OK\r\n"
	case n == 2 && begins(arg, "disable"):
		if !p.settings.crawlerOff.CompareAndSwap(false, true) {
			return "ERROR failed to stop lru crawler thread\r\n"
		}
		return "OK\r\n"
	case n != 3:
	case begins(arg, "crawl"), begins(arg, "metadump"), begins(arg, "mgdump"):
		class, ok := classes(string(ws.word(2)))
		switch {
		case off:
			return "CLIENT_ERROR lru crawler disabled\r\n"
		case !ok:
			return "BADCLASS invalid class id\r\n"
		case begins(arg, "crawl"):
			return "OK\r\n"
		case begins(arg, "metadump"):
			return t.openDump("metadump", class)
		}
		return t.openDump("mgdump", class)
	case begins(arg, "tocrawl"):
		v, ok := parse32(ws.word(2))
		if !ok {
			return badLine
		}
		p.settings.crawlerTocrawl.Store(int64(v))
		return "OK\r\n"
	case begins(arg, "sleep"):
		v, ok := parse32(ws.word(2))
		switch {
		case !ok:
			return badLine
		case v > 1000000:
			return "CLIENT_ERROR sleep must be one second or less\r\n"
		}
		p.settings.crawlerSleep.Store(int64(v))
		return "OK\r\n"
	}
	return plainError
}

// extstore serves extstore: there is no flash to tune, but what is no setting of it is an error.
func extstore(n int, arg string, ws *words) string {
	value, ok := parse32(ws.word(2))
	switch {
	case n < 3:
		return plainError
	case n > 3 && begins(arg, "free_memchunks"):
		_, ok2 := parse32(ws.word(3))
		ok = ok && ok2 && value < grid.NumClasses
	case begins(arg, "item_size"), begins(arg, "item_age"), begins(arg, "low_ttl"), begins(arg, "recache_rate"),
		begins(arg, "compact_under"), begins(arg, "drop_under"), begins(arg, "max_sleep"), begins(arg, "drop_unread"):
	case begins(arg, "max_frag"):
		_, err := strconv.ParseFloat(string(ws.word(2)), 64)
		ok = err == nil
	default:
		ok = false
	}
	if !ok {
		return plainError
	}
	return "OK\r\n"
}

// classes reads `all`, `hash` or a list of classes; class is the only one wanted, or 0.
func classes(s string) (class uint8, ok bool) {
	if s == "all" || s == "hash" {
		return 0, true
	}
	list := strings.Split(s, ",")
	for _, w := range list {
		n, err := strconv.Atoi(w)
		if err != nil || n < 1 || n >= grid.NumClasses {
			return 0, false
		}
		class = uint8(n)
	}
	if len(list) > 1 {
		class = 0
	}
	return class, true
}

// dump is a listing of entries that is leaving, page by page.
type dump struct {
	admin grid.Admin
	page  grid.Page
	kind  string
	left  int // cachedump: lines still wanted; -1 for no bound
}

func (d *dump) kept() int {
	return cap(d.page.Mem) + cap(d.page.Entries)*int(unsafe.Sizeof(grid.Entry{}))
}

func (t *turn) openDump(kind string, class uint8) string {
	admin, err := t.s.env.Caches.Admin("", grid.Principal{})
	if err != nil {
		return "ERROR metadump not allowed\r\n"
	}
	t.s.dump = &dump{admin: admin, kind: kind, left: -1, page: grid.Page{
		Class: class, Entries: make([]grid.Entry, 0, 256), Mem: make([]byte, 0, 32<<10),
	}}
	return "OK\r\n"
}

// dumpOn appends the lines of one page.
func (t *turn) dumpOn() {
	d := t.s.dump
	more := d.admin.Scan(&d.page, t.Now)
	for i := range d.page.Entries {
		if d.left == 0 {
			more = false
			break
		}
		if d.kind == "cachedump" && d.page.Entries[i].Attr&attrBinary != 0 {
			continue // it has no form for keys that are no text
		}
		if d.left > 0 {
			d.left--
		}
		t.Out = d.line(t.Out, &d.page.Entries[i])
	}
	if more {
		return
	}
	t.s.dump = nil
	if d.kind == "mgdump" {
		t.Out = append(t.Out, "EN\r\n"...)
	} else {
		t.Out = append(t.Out, "END\r\n"...)
	}
}

func (d *dump) line(dst []byte, e *grid.Entry) []byte {
	charge := grid.Charge(len(e.Key), e.Size, e.Flags)
	exp := int64(-1)
	if e.Expires != 0 {
		exp = e.Expires / 1000
	}
	switch d.kind {
	case "mgdump":
		dst = append(dst, "mg "...)
		dst = appendKey(dst, &req{key: e.Key}, e.Attr&attrBinary != 0)
		return append(dst, '\r', '\n')
	case "cachedump":
		return fmt.Appendf(dst, "ITEM %s [%d b; %d s]\r\n", e.Key, e.Size, max(0, exp))
	}
	dst = append(dst, "key="...)
	for _, c := range e.Key {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-_.~", c) >= 0 {
			dst = append(dst, c)
		} else {
			dst = fmt.Appendf(dst, "%%%02X", c)
		}
	}
	fetched := "no"
	if e.State&grid.Fetched != 0 {
		fetched = "yes"
	}
	return fmt.Appendf(dst, " exp=%d la=%d cas=%d fetch=%s cls=%d size=%d flags=%d \n",
		exp, e.LastUse/1000, e.Version, fetched, grid.Class(charge), charge, e.Flags)
}
