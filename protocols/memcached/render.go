package memcached

import (
	"bytes"
	"encoding/base64"
	"strconv"

	"github.com/latticed/latticed/grid"
)

// answer renders what one request got, or queues it behind answers that are still to come. in is how many bytes of
// input the request was.
func (t *turn) answer(r *req, res *grid.Result, in int) {
	s := t.s
	if s.late != nil || res != nil && res.Code == grid.Pending || s.send != nil {
		t.hold(r, res, in)
		return
	}
	from := len(t.Out)
	var suffix string
	t.Out, suffix = t.render(t.Out, r, res)
	if res != nil && res.Body != nil {
		s.send = &send{body: res.Body, suffix: suffix}
	}
	if t.s.env.Log() != nil {
		t.record(r, res, t.Out[from:], suffix, in, t.Now, int64(t.took))
	}
}

const busyER = "SERVER_ERROR busy, try again\r\n"

// codeLine is the reply to an outcome that every command reports alike; "" where the command has a word of its own.
func codeLine(res *grid.Result) string {
	switch res.Code {
	case grid.TooLarge:
		return tooLargeER
	case grid.Full:
		return noMemoryER
	case grid.Busy:
		return busyER
	case grid.Timeout:
		return "SERVER_ERROR timeout, the outcome is unknown\r\n"
	case grid.Unavailable:
		return "SERVER_ERROR no owner of the key can be reached\r\n"
	case grid.Stopping:
		return "SERVER_ERROR the node is shutting down\r\n"
	case grid.Denied:
		return "CLIENT_ERROR access denied\r\n"
	case grid.Failed:
		return "SERVER_ERROR " + string(bytes.Map(printable, res.Value)) + "\r\n"
	}
	return ""
}

func printable(r rune) rune {
	if r < ' ' {
		return ' '
	}
	return r
}

// render appends the reply to dst. When res has a Body left, its bytes and then suffix have to follow.
func (t *turn) render(dst []byte, r *req, res *grid.Result) (out []byte, suffix string) {
	if r.verb == vText {
		if res != nil && res.Code != grid.OK { // flush_all, late
			return append(dst, codeLine(res)...), ""
		}
		if !r.quiet {
			dst = append(dst, r.text...)
		}
		return dst, ""
	}
	if t.s.p.settings.detail.Load() {
		t.s.p.prefixes.record(r, res.Code == grid.OK)
	}
	if res.Code > grid.NotNumber {
		if line := codeLine(res); line != "" && !(res.Code == grid.TooLarge && (r.verb == vAppend || r.verb == vPrepend || r.verb == vMetaSet)) {
			if res.Code == grid.Full {
				t.count.n[noMemory]++
			}
			if !r.quiet || r.verb >= vMetaGet {
				dst = append(dst, line...)
			}
			return dst, ""
		}
	}
	switch r.verb {
	case vGet, vGets, vGat, vGats:
		return t.renderGet(dst, r, res)
	case vMetaGet:
		return t.renderMetaGet(dst, r, res)
	case vMetaSet:
		return t.renderMetaSet(dst, r, res), ""
	case vMetaDelete:
		return t.renderMetaDelete(dst, r, res), ""
	case vMetaArith:
		return t.renderMetaArith(dst, r, res), ""
	case vMetaDebug:
		return t.renderMetaDebug(dst, r, res), ""
	}
	word := ""
	switch r.verb {
	case vTooLarge:
		word = r.text
	case vSet, vAdd, vReplace, vAppend, vPrepend, vCas:
		word = t.storeWord(r, res)
	case vDelete:
		word = "DELETED\r\n"
		t.hitOrMiss(r, res, deleteHits, deleteMisses)
		if res.Code == grid.Missing {
			word = "NOT_FOUND\r\n"
		}
	case vTouch:
		t.count.n[cmdTouch]++
		t.hitOrMiss(r, res, touchHits, touchMisses)
		word = "TOUCHED\r\n"
		if res.Code == grid.Missing {
			word = "NOT_FOUND\r\n"
		}
	case vIncr, vDecr:
		switch res.Code {
		case grid.Missing:
			t.arithMiss(r.verb == vDecr)
			word = "NOT_FOUND\r\n"
		case grid.NotNumber:
			word = notNumber
		default:
			from := len(dst)
			dst = strconv.AppendUint(dst, res.Num, 10)
			t.arithHit(r, res, len(dst)-from, r.verb == vDecr)
			if r.quiet {
				return dst[:from], ""
			}
			dst = append(dst, '\r', '\n')
		}
	}
	if !r.quiet {
		dst = append(dst, word...)
	}
	return dst, ""
}

func (t *turn) hitOrMiss(r *req, res *grid.Result, hit classCounter, miss counter) {
	if res.Code == grid.OK {
		t.count.class(hit, classOf(r, res))
	} else {
		t.count.n[miss]++
	}
}

// arithHit counts in the class of an entry that holds just the number: how much it is padded is not known.
func (t *turn) arithHit(r *req, res *grid.Result, digits int, decr bool) {
	k := incrHits
	if decr {
		k = decrHits
	}
	t.count.class(k, grid.Class(grid.Charge(int(r.keyLen), digits, res.Flags)))
}

func (t *turn) arithMiss(decr bool) {
	if decr {
		t.count.n[decrMisses]++
	} else {
		t.count.n[incrMisses]++
	}
}

// countSet counts a store that came so far as to have an entry made for it, in the class of what was sent.
func (t *turn) countSet(r *req, flags uint32) {
	t.count.class(cmdSet, grid.Class(grid.Charge(int(r.keyLen), r.size, flags)))
}

func (t *turn) storeWord(r *req, res *grid.Result) string {
	t.countSet(r, res.Flags)
	if r.verb == vCas {
		switch res.Code {
		case grid.OK:
			t.count.class(casHits, classOf(r, res))
		case grid.Missing:
			t.count.n[casMisses]++
			return "NOT_FOUND\r\n"
		case grid.Conflict:
			t.count.class(casBadval, classOf(r, res))
			return "EXISTS\r\n"
		}
		return "STORED\r\n"
	}
	if res.Code != grid.OK {
		return "NOT_STORED\r\n"
	}
	return "STORED\r\n"
}

func (t *turn) renderGet(dst []byte, r *req, res *grid.Result) ([]byte, string) {
	if r.verb == vGet || r.verb == vGets {
		t.count.n[cmdGet]++
		t.hitOrMiss(r, res, getHits, getMisses)
	} else {
		t.count.n[cmdTouch]++ // instead of a get
		t.hitOrMiss(r, res, touchHits, touchMisses)
	}
	suffix := "\r\n"
	if r.last {
		suffix = "\r\nEND\r\n"
	}
	if res.Code != grid.OK {
		return append(dst, suffix[2:]...), ""
	}
	dst = append(dst, "VALUE "...)
	dst = append(dst, r.key...)
	dst = append(dst, ' ')
	dst = strconv.AppendUint(dst, uint64(res.Flags), 10)
	dst = append(dst, ' ')
	dst = strconv.AppendUint(dst, res.Num, 10)
	if r.verb == vGets || r.verb == vGats {
		dst = append(dst, ' ')
		dst = strconv.AppendUint(dst, res.Version, 10)
	}
	dst = append(dst, '\r', '\n')
	if res.Body != nil {
		return dst, suffix
	}
	dst = append(dst, res.Value...)
	return append(dst, suffix...), ""
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// echo appends the flags that come back whatever happened: k, O, and b behind a key in base64.
func echo(dst []byte, r *req) []byte {
	for w, rest := cutWord(r.flags); len(w) > 0; w, rest = cutWord(rest) {
		dst = echoFlag(dst, r, w)
	}
	return dst
}

func echoFlag(dst []byte, r *req, w []byte) []byte {
	switch w[0] {
	case 'O':
		dst = append(append(dst, ' '), w...)
	case 'k':
		dst = append(append(dst, ' ', 'k'), r.key...)
		if r.ask&metaBinary != 0 {
			dst = append(dst, ' ', 'b')
		}
	}
	return dst
}

// ttlLeft appends the seconds an entry still has, rounded up, or -1.
func ttlLeft(dst []byte, expires, now int64) []byte {
	if expires == 0 {
		return append(dst, "-1"...)
	}
	return strconv.AppendInt(dst, max(0, (expires-now+999)/1000), 10)
}

// afterTTL is the expiry that a lifespan leads to.
func afterTTL(ttl, now int64) int64 {
	switch {
	case ttl > 0:
		return now + ttl
	case ttl == grid.TTLPast:
		return now
	}
	return 0
}

// vivifyTTL is the expiry of an entry that the flag N created.
func vivifyTTL(flag []byte, now int64) int64 {
	ttl, _ := parseTTL32(flag[1:], now)
	return afterTTL(ttl, now)
}

func (t *turn) renderMetaGet(dst []byte, r *req, res *grid.Result) ([]byte, string) {
	now := t.Now.Wall
	hit := res.Code == grid.OK && res.State&grid.Vivified == 0
	switch {
	case hit && r.ask&metaTTL != 0:
		t.count.n[cmdTouch]++
		t.count.class(touchHits, classOf(r, res))
	case hit:
		t.count.n[cmdGet]++
		t.count.class(getHits, classOf(r, res))
	default:
		t.count.n[cmdGet]++
		t.count.n[getMisses]++
	}
	if res.Code != grid.OK {
		if r.quiet {
			return dst, ""
		}
		return append(echo(append(dst, "EN"...), r), "\r\n"...), ""
	}
	value := r.ask&metaValue != 0 && !(r.ask&metaUnique != 0 && r.equal == res.Version)
	if value {
		dst = strconv.AppendUint(append(dst, "VA "...), res.Num, 10)
	} else {
		dst = append(dst, "HD"...)
	}
	expires := res.Expires
	if res.State&grid.Vivified != 0 {
		expires = 0 // until N or T is reached
	}
	for w, rest := cutWord(r.flags); len(w) > 0; w, rest = cutWord(rest) {
		switch w[0] {
		case 'T':
			expires = afterTTL(r.ttl, now)
		case 'N':
			if res.State&grid.Vivified != 0 {
				expires = vivifyTTL(w, now)
			}
		case 's':
			dst = strconv.AppendUint(append(dst, " s"...), res.Num, 10)
		case 't':
			dst = ttlLeft(append(dst, " t"...), expires, now)
		case 'c':
			dst = strconv.AppendUint(append(dst, " c"...), res.Version, 10)
		case 'f':
			dst = strconv.AppendUint(append(dst, " f"...), uint64(res.Flags), 10)
		case 'l':
			dst = strconv.AppendInt(append(dst, " l"...), max(0, now-res.LastUse)/1000, 10)
		case 'h':
			dst = append(dst, ' ', 'h', '0'+byte(b2i(res.State&grid.Fetched != 0)))
		case 'O':
			dst = append(append(dst, ' '), w...)
		case 'k':
			// The entry remembers how its key was sent when it was stored.
			dst = append(dst, ' ', 'k')
			dst = appendKey(dst, r, res.Attr&attrBinary != 0)
		}
	}
	if res.State&grid.Claimed != 0 {
		dst = append(dst, " Z"...)
	}
	if res.State&grid.Stale != 0 {
		dst = append(dst, " X"...)
	}
	if res.State&grid.Won != 0 {
		dst = append(dst, " W"...)
	}
	dst = append(dst, '\r', '\n')
	if !value {
		if res.Body != nil {
			res.Body.Close()
			res.Body = nil
		}
		return dst, ""
	}
	if res.Body != nil {
		return dst, "\r\n"
	}
	return append(append(dst, res.Value...), '\r', '\n'), ""
}

// appendKey appends the key of r as the entry has it: in base64 with its flag, or plain.
func appendKey(dst []byte, r *req, binary bool) []byte {
	sent := r.ask&metaBinary != 0
	switch {
	case binary && !sent:
		dst = base64.StdEncoding.AppendEncode(dst, r.key)
	case !binary && sent:
		dst, _ = base64.StdEncoding.AppendDecode(dst, r.key)
	default:
		dst = append(dst, r.key...)
	}
	if binary {
		dst = append(dst, ' ', 'b')
	}
	return dst
}

func (t *turn) renderMetaSet(dst []byte, r *req, res *grid.Result) []byte {
	t.countSet(r, res.Flags)
	code := ""
	switch res.Code {
	case grid.OK:
		if r.quiet {
			return dst
		}
		code = "HD"
	case grid.Conflict:
		code = "EX"
	case grid.Missing:
		code = "NS"
		if r.ask&metaUnique != 0 {
			code = "NF"
		}
	default:
		code = "NS"
	}
	dst = append(dst, code...)
	for w, rest := cutWord(r.flags); len(w) > 0; w, rest = cutWord(rest) {
		switch w[0] {
		case 'c':
			version := res.Version
			if res.Code != grid.OK {
				version = 0
			}
			dst = strconv.AppendUint(append(dst, " c"...), version, 10)
		case 's':
			size := res.Num
			if res.Code != grid.OK {
				size = uint64(r.size)
			}
			dst = strconv.AppendUint(append(dst, " s"...), size, 10)
		default:
			dst = echoFlag(dst, r, w)
		}
	}
	return append(dst, '\r', '\n')
}

func (t *turn) renderMetaDelete(dst []byte, r *req, res *grid.Result) []byte {
	if res.Code != grid.OK || r.ask&metaOther == 0 {
		t.hitOrMiss(r, res, deleteHits, deleteMisses)
	}
	switch res.Code {
	case grid.OK:
		if r.quiet {
			return dst
		}
		dst = append(dst, "HD"...)
	case grid.Conflict:
		dst = append(dst, "EX"...)
	default:
		dst = append(dst, "NF"...)
	}
	return append(echo(dst, r), '\r', '\n')
}

func (t *turn) renderMetaArith(dst []byte, r *req, res *grid.Result) []byte {
	decr := r.ask&metaOther != 0
	switch res.Code {
	case grid.NotNumber:
		return append(dst, notNumber...)
	case grid.Missing, grid.Conflict:
		code := "NF"
		if res.Code == grid.Conflict {
			code = "EX"
		} else {
			t.arithMiss(decr)
		}
		return append(echo(append(dst, code...), r), '\r', '\n')
	}
	var number [20]byte
	digits := strconv.AppendUint(number[:0], res.Num, 10)
	if res.State&grid.Vivified == 0 {
		t.arithHit(r, res, len(digits), decr)
	}
	if r.quiet {
		return dst
	}
	if r.ask&metaValue != 0 {
		dst = strconv.AppendInt(append(dst, "VA "...), int64(len(digits)), 10)
	} else {
		dst = append(dst, "HD"...)
	}
	expires := res.Expires
	if res.State&grid.Vivified != 0 {
		expires = 0 // until N or T is reached
	}
	for w, rest := cutWord(r.flags); len(w) > 0; w, rest = cutWord(rest) {
		switch w[0] {
		case 'T':
			expires = afterTTL(r.ttl, t.Now.Wall)
		case 'N':
			if res.State&grid.Vivified != 0 {
				expires = vivifyTTL(w, t.Now.Wall)
			}
		case 'c':
			dst = strconv.AppendUint(append(dst, " c"...), res.Version, 10)
		case 't':
			dst = ttlLeft(append(dst, " t"...), expires, t.Now.Wall)
		default:
			dst = echoFlag(dst, r, w)
		}
	}
	dst = append(dst, '\r', '\n')
	if r.ask&metaValue != 0 {
		dst = append(append(dst, digits...), '\r', '\n')
	}
	return dst
}

func (t *turn) renderMetaDebug(dst []byte, r *req, res *grid.Result) []byte {
	t.count.n[cmdMeta]++
	if res.Code != grid.OK {
		return append(dst, "EN\r\n"...)
	}
	now := t.Now.Wall
	charge := grid.Charge(len(r.key), int(res.Num), res.Flags)
	dst = append(append(dst, "ME "...), r.key...)
	dst = append(dst, " exp="...)
	dst = ttlLeft(dst, res.Expires, now)
	dst = strconv.AppendInt(append(dst, " la="...), max(0, now-res.LastUse)/1000, 10)
	dst = strconv.AppendUint(append(dst, " cas="...), res.Version, 10)
	if res.State&grid.Fetched != 0 {
		dst = append(dst, " fetch=yes"...)
	} else {
		dst = append(dst, " fetch=no"...)
	}
	dst = strconv.AppendInt(append(dst, " cls="...), int64(grid.Class(charge)), 10)
	dst = strconv.AppendInt(append(dst, " size="...), int64(charge), 10)
	return append(dst, '\r', '\n')
}
