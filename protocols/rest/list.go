package rest

import (
	"encoding/hex"
	"strconv"

	"github.com/valyala/fasthttp"

	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/protocols/media"
)

// list is a listing of keys or entries on its way: it is made and sent part by part, so that it costs the same memory
// however many entries there are.
type list struct {
	admin   grid.Admin
	page    grid.Page
	at      int  // in page.Entries
	more    bool // pages
	first   bool // entry
	ended   bool
	limit   int // entries still to come, -1 for all
	count   int // of size: entries seen
	entries bool
	hex     bool
	meta    bool
	part    []byte
	carry   []byte    // of a value: an incomplete character
	blob    grid.Blob // the value that is being written
	off     int
}

const (
	listPage = 128
	listPart = 16 << 10 // bytes of one part
)

func (l *list) release() {
	if l.blob != nil {
		l.blob.Close()
		l.blob = nil
	}
}

// newList begins a listing of the cache called name.
func (x *Exchange) newList(name []byte) *list {
	admin, err := x.peer.Env.Caches.Admin(string(name), grid.Principal{})
	if err != nil {
		x.noCache(name)
		return nil
	}
	l := &list{admin: admin, first: true, more: true, limit: -1}
	l.page = grid.Page{Entries: make([]grid.Entry, 0, listPage), Mem: make([]byte, 0, listPart)}
	x.list = l
	return l
}

// next moves to the next entry. False: there is none in this page; more tells whether there are others.
func (l *list) next(now grid.Time) bool {
	if l.at++; l.at < len(l.page.Entries) {
		return true
	}
	if !l.more {
		return false
	}
	l.page.Entries, l.page.Mem = l.page.Entries[:0], l.page.Mem[:0]
	l.more = l.admin.Scan(&l.page, now)
	l.at = -1
	return false
}

// number reads a parameter that counts. False: x is answered.
func (x *Exchange) number(name string, n *int) bool {
	v, given, err := x.t.param(name)
	if err != nil {
		x.plain(fasthttp.StatusBadRequest)
		return false
	}
	if !given {
		return true
	}
	if *n, err = strconv.Atoi(string(v)); err != nil {
		x.text(fasthttp.StatusBadRequest, `For input string: "`, string(v), `"`)
		return false
	}
	return true
}

func (x *Exchange) truth(name string) bool {
	v, _, _ := x.t.param(name)
	return string(v) == "true"
}

// listKeys answers with the keys of a cache, or its entries.
func (x *Exchange) listing(name []byte, entries bool) {
	l := x.newList(name)
	batch := 0
	if l == nil || !x.number("limit", &l.limit) || !x.number("batch", &batch) {
		return
	}
	l.entries, l.meta, l.hex = entries, x.truth("metadata"), entries && x.truth("content-negotiation")
	x.cache = x.open(name)
	if entries {
		kind := "text/plain"
		if l.hex {
			kind = "application/octet-stream; encoding=hex"
		}
		x.Res.Set("key-content-type", kind)
		x.Res.Set("value-content-type", kind)
	}
	x.Res.SetContentType("application/json")
	x.Length = -1
	l.at, l.part = -1, append(l.part, '[')
	x.alone(makePart)
}

// makePart goes on with a listing until a part is full, a value has to be read, or it is at its end. Parts are all of
// the same size, so that what is sent does not depend on how the values came.
func makePart(x *Exchange, t grid.Ticket) bool {
	l := x.list
	for pages := 0; ; {
		switch {
		case len(l.part) >= listPart:
			x.showPart(l.part[:listPart], true)
			l.part = l.part[:copy(l.part, l.part[listPart:])]
			return true
		case l.ended:
			x.showPart(l.part, false)
			return true
		case l.blob != nil:
			if !x.moreOfValue() {
				return false
			}
			continue
		case l.limit == 0 || !l.next(t.Now):
			if l.limit != 0 && l.at < 0 { // a new page
				if pages++; pages > 4 {
					return true // others get their turn
				}
				continue
			}
			if l.limit != 0 {
				x.stillThere((*Exchange).endList)
				return true
			}
			x.endList()
			continue
		}
		e := &l.page.Entries[l.at]
		if l.entries {
			x.op = grid.Op{Kind: grid.Get, Ask: grid.WantValue | grid.WantTimes | grid.NoBump, Key: e.Key}
			x.wants(afterListed)
			return true
		}
		l.comma()
		l.part = l.appendText(l.part, e.Key)
	}
}

// stillThere asks whether the cache has not been removed, whose entries a scan does not bring any more, before then goes on.
func (x *Exchange) stillThere(then func(x *Exchange)) {
	x.op = grid.Op{Kind: grid.Get, Ask: grid.NoBump, Key: anyKey}
	x.wants(func(x *Exchange) {
		switch x.res.Code {
		case grid.OK, grid.Missing:
			x.State = Working
			then(x)
		default:
			x.breakOff()
		}
	})
}

var anyKey = []byte("-")

func (x *Exchange) endList() { x.list.part, x.list.ended = append(x.list.part, ']'), true }

// breakOff ends an answer in parts that cannot be made to its end.
func (x *Exchange) breakOff() {
	switch {
	case x.begun:
		x.Body, x.Partial, x.Broken, x.State = nil, false, true, Ready
	case x.res.Code == grid.Denied:
		x.noCache(x.name)
	default:
		x.refuse()
	}
}

func (x *Exchange) showPart(part []byte, more bool) {
	x.Res.SetStatusCode(fasthttp.StatusOK)
	x.out = append(x.out[:0], part...)
	x.Body, x.lent, x.Partial, x.State = x.out, false, more, Ready
}

func (l *list) comma() {
	if !l.first {
		l.part = append(l.part, ',')
	}
	l.first = false
	if l.limit > 0 {
		l.limit--
	}
}

func (l *list) appendText(dst, s []byte) []byte {
	if !l.hex {
		return appendString(dst, s)
	}
	dst = append(dst, `"0x`...)
	dst = hex.AppendEncode(dst, s)
	return append(dst, '"')
}

// afterListed writes one entry of a listing.
func afterListed(x *Exchange) {
	l, r := x.list, &x.res
	x.State = Working
	switch r.Code {
	case grid.OK:
	case grid.Missing: // gone since the page was made
		return
	default:
		x.breakOff()
		return
	}
	l.comma()
	l.part = append(l.part, `{"key":`...)
	l.part = l.appendText(l.part, x.op.Key)
	l.part = append(l.part, `,"value":`...)
	if r.Body != nil {
		l.blob, r.Body, l.off, l.carry = r.Body, nil, 0, l.carry[:0]
		l.part = append(l.part, '"')
		if l.hex {
			l.part = append(l.part, "0x"...)
		}
		return
	}
	l.part = l.appendText(l.part, r.Value)
	x.endEntry()
}

// moreOfValue writes some of a large value. False: Park.
func (x *Exchange) moreOfValue() bool {
	l := x.list
	p := l.blob.Piece(l.off, listPart)
	if len(p) == 0 && l.off < l.blob.Len() {
		return false
	}
	l.off += len(p)
	last := l.off == l.blob.Len()
	if l.hex {
		l.part = hex.AppendEncode(l.part, p)
	} else {
		l.carry = append(l.carry, p...)
		var left []byte
		l.part, left = appendEscaped(l.part, l.carry, last)
		l.carry = append(l.carry[:0], left...)
	}
	if last {
		l.release()
		l.part = append(l.part, '"')
		x.endEntry()
	}
	return true
}

// endEntry writes what is behind the value.
func (x *Exchange) endEntry() {
	l, r := x.list, &x.res
	if l.meta {
		ttl, idle, created, used, end := int64(-1), int64(-1), int64(-1), int64(-1), int64(-1)
		if r.Expires != 0 {
			ttl, created = (r.Expires-r.Created+999)/1000, r.Created
		}
		if r.MaxIdle > 0 {
			idle, used = (r.MaxIdle+999)/1000, r.LastUse
		}
		if e := x.end(); e != 0 {
			end = e
		}
		o := (*object)(&l.part)
		o.int("timeToLiveSeconds", ttl)
		o.int("maxIdleTimeSeconds", idle)
		o.int("created", created)
		o.int("lastUsed", used)
		o.int("expireTime", end)
	}
	l.part = append(l.part, '}')
}

// size answers with the number of entries that are there. Expired ones do not count, so they have to be looked at.
func (x *Exchange) size(name []byte) {
	l := x.newList(name)
	if l == nil {
		return
	}
	l.at, x.cache = -1, x.open(name)
	x.alone(func(x *Exchange, t grid.Ticket) bool {
		l := x.list
		for range 8 {
			l.page.Entries, l.page.Mem = l.page.Entries[:0], l.page.Mem[:0]
			l.more = l.admin.Scan(&l.page, t.Now)
			if l.count += len(l.page.Entries); !l.more {
				x.stillThere(func(x *Exchange) {
					x.out = strconv.AppendInt(x.out[:0], int64(x.list.count), 10)
					x.json()
				})
				return true
			}
		}
		return true
	})
}

// json answers 200 with the JSON in x.out.
func (x *Exchange) json() {
	x.plain(fasthttp.StatusOK)
	x.Res.SetContentType("application/json")
	x.body(x.out, false)
	x.compress(media.JSON)
}
