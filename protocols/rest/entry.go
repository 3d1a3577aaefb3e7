package rest

import (
	"bytes"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/protocols/media"
)

// maxTries is how often a conditional write begins again because another came between. Each time that happens one has
// succeeded; the 100 streams of a connection of HTTP/2 may all be about one key, and are then judged together.
const maxTries = 128

// unprintable says in grid.Op.Attr that memcached has to show the key in base64.
const unprintable = 1

// entry begins with a request about one key.
func (x *Exchange) entry(cache, key []byte, t grid.Ticket) {
	x.name = cache
	action, ok := x.action()
	if !ok {
		return
	}
	if x.meth == mOptions {
		x.text(fasthttp.StatusMethodNotAllowed, notAllowed)
		return
	}
	if action == "distribution" && x.meth == mGet {
		action = ""
		x.then = afterDistribution
	}
	if action != "" {
		x.text(fasthttp.StatusBadRequest, unknownAction)
		return
	}
	if x.cache = x.open(cache); x.cache == nil {
		x.noCache(cache)
		return
	}
	if x.peer.found.Ignored {
		x.ignored()
		return
	}
	x.tally, x.storage = x.peer.found.Tally, x.peer.storage
	if !x.takeKey(key) || !x.takeFlags() {
		return
	}
	switch x.meth {
	case mGet, mHead:
		x.op.Kind = grid.Get
		if x.then == nil {
			x.op.Ask |= grid.WantValue | grid.WantTimes
			x.then, x.large = afterGet, (*Exchange).wantsWhole
		} else {
			x.op.Ask |= grid.NoBump
		}
	case mDelete:
		x.op.Kind = grid.Remove
		x.then = afterRemove
	default:
		x.write(t)
		return
	}
	x.drop(func(x *Exchange) {
		x.State = Wants
		if x.meth == mDelete && x.conditional() {
			x.look()
		}
	})
}

func (x *Exchange) noCache(name []byte) {
	x.text(fasthttp.StatusNotFound, "ISPN012010: Cache with name '", string(name), "' not found amongst the configured caches")
}

// takeKey turns the last part of the path into the key. False: x is answered.
func (x *Exchange) takeKey(key []byte) bool {
	if v, given := x.field(fKeyContentType); given {
		var ok bool
		if key, ok = x.keyAs(key, v); !ok {
			return false
		}
	}
	for _, c := range key {
		if c <= ' ' || c == 0x7f {
			x.op.Attr |= unprintable
		}
	}
	if len(key) > 250 {
		x.op.Attr |= unprintable
	}
	x.op.Key, x.key = key, key
	return true
}

// keyAs turns a key in the path into its bytes, as Key-Content-Type says it is written. False: x is answered.
func (x *Exchange) keyAs(key, kind []byte) ([]byte, bool) {
	m, err := media.Parse(kind)
	if err != nil || m.Wild {
		x.badMedia(kind, err, "application/unknown")
		return nil, false
	}
	switch m.ID {
	case media.Text:
		if len(m.Charset) > 0 {
			err = media.KnowsCharset(m.Charset) // the path itself is UTF-8
		}
	case media.JSON, media.XML:
	case media.OctetStream:
		if equalFold(m.Encoding, "hex") || bytes.HasPrefix(key, []byte("0x")) && len(m.Encoding) == 0 {
			key, err = media.FromHex(key)
		} else {
			key, err = media.FromBase64(key)
		}
	case media.JavaObject:
		key, err = javaKey(key, m.Class)
	default:
		x.badMedia(kind, nil, "application/unknown")
		return nil, false
	}
	if err != nil && m.ID == media.JavaObject {
		x.text(fasthttp.StatusBadRequest, `For input string: "`, string(key), `"`)
		return nil, false
	}
	if err != nil || len(key) == 0 {
		x.text(fasthttp.StatusBadRequest, "the key is no ", string(kind))
		return nil, false
	}
	return key, true
}

// javaKey checks a key that is the literal of a Java type. It is kept as its text, which is what a client of another
// language sees.
func javaKey(key, class []byte) (_ []byte, err error) {
	bits := 0
	switch name := string(bytes.TrimPrefix(class, []byte("java.lang."))); name {
	case "", "String":
		return key, nil
	case "Boolean":
		if !equalFold(key, "true") && !equalFold(key, "false") {
			err = media.ErrContent
		}
		return bytes.ToLower(key), err
	case "Byte":
		bits = 8
	case "Short":
		bits = 16
	case "Integer":
		bits = 32
	case "Long":
		bits = 64
	case "Float", "Double":
		_, err = strconv.ParseFloat(string(key), 64)
		return key, err
	case "Bytes":
		return media.FromHex(key)
	default:
		return nil, media.ErrContent
	}
	n, err := strconv.ParseInt(string(key), 10, bits)
	if err != nil {
		return key, err
	}
	return strconv.AppendInt(nil, n, 10), nil
}

// flagNames are the flags that clients of Infinispan may send, and what they ask for here. Most concern what only
// Infinispan has, such as its locks.
var flagNames = map[string]grid.Ask{
	"ZERO_LOCK_ACQUISITION_TIMEOUT": 0, "CACHE_MODE_LOCAL": 0, "SKIP_LOCKING": 0, "FORCE_WRITE_LOCK": 0,
	"FORCE_SYNCHRONOUS": 0, "FORCE_ASYNCHRONOUS": 0, "SKIP_CACHE_STORE": grid.NoStore, "SKIP_CACHE_LOAD": grid.NoLoad,
	"FAIL_SILENTLY": 0, "SKIP_REMOTE_LOOKUP": 0, "SKIP_INDEXING": 0, "SKIP_STATISTICS": 0,
	"IGNORE_RETURN_VALUES": 0, "SKIP_XSITE_BACKUP": 0, "SKIP_OWNERSHIP_CHECK": 0,
	"SKIP_SHARED_CACHE_STORE": grid.NoStore, "REMOTE_ITERATION": 0, "SKIP_INDEX_CLEANUP": 0,
	"SKIP_LISTENER_NOTIFICATION": grid.NoEvents, "ROLLING_UPGRADE": 0,
}

// takeFlags reads the flags field. False: x is answered.
func (x *Exchange) takeFlags() bool {
	v, given := x.field(fFlags)
	for given && len(v) > 0 {
		f, rest, _ := bytes.Cut(v, []byte(","))
		ask, known := flagNames[string(f)]
		if !known {
			x.text(fasthttp.StatusBadRequest, "No enum constant org.infinispan.context.Flag.", string(f))
			return false
		}
		x.op.Ask |= ask
		v = rest
	}
	return true
}

func (x *Exchange) conditional() bool { return x.has&(1<<fIfMatch|1<<fIfNoneMatch) != 0 }

// look reads the entry before a conditional write, which then runs only on the version that was judged.
func (x *Exchange) look() {
	x.Alone = true
	x.op.Kind, x.op.Cond, x.op.Body, x.op.Value = grid.Get, grid.Always, nil, nil
	x.op.Ask |= grid.NoBump
	x.op.Ask &^= grid.KeepBody
	ifMatch, wantsMatch := x.field(fIfMatch)
	ifNone, wantsNone := x.field(fIfNoneMatch)
	if wantsMatch && !isStar(ifMatch) || wantsNone && !isStar(ifNone) {
		x.op.Ask |= grid.WantValue
	}
	x.wants(afterLook)
}

// lookFirst looks before the body comes, which is not wanted if the condition fails already.
func (x *Exchange) lookFirst() {
	x.Holding = true
	x.look()
}

func isStar(list []byte) bool { return string(bytes.TrimSpace(list)) == "*" }

func afterLook(x *Exchange) {
	if x.refuse() {
		return
	}
	r := &x.res
	found := r.Code == grid.OK
	sum := int32(0)
	if found {
		sum = x.sum()
	}
	x.dropBlob()
	ifMatch, wantsMatch := x.field(fIfMatch)
	ifNone, wantsNone := x.field(fIfNoneMatch)
	switch {
	case x.meth == mDelete && !found:
		x.count(removeMisses)
		x.plain(fasthttp.StatusNotFound)
		return
	case x.meth == mPost:
		if found {
			x.exists()
			return
		}
	case wantsMatch && !(found && x.matches(ifMatch, sum)):
		x.plain(fasthttp.StatusPreconditionFailed)
		return
	case !wantsNone:
	case x.meth == mDelete: // Infinispan's: delete if it matches
		if !x.matches(ifNone, sum) {
			x.plain(fasthttp.StatusPreconditionFailed)
			return
		}
	case found && isStar(ifNone):
		x.plain(fasthttp.StatusPreconditionFailed)
		return
	case found && x.matches(ifNone, sum):
		x.plain(fasthttp.StatusNotModified)
		return
	}
	switch {
	case !found:
		x.op.Cond = grid.IfAbsent
	case x.op.Ask&grid.WantValue == 0: // whatever it is
		x.op.Cond = grid.IfPresent
	default:
		x.op.Cond, x.op.Version = grid.IfVersion, r.Version
	}
	x.op.Ask &^= grid.WantValue | grid.NoBump
	if x.meth == mDelete {
		x.op.Kind = grid.Remove
		x.wants(afterRemove)
		return
	}
	switch {
	case x.lost:
		x.busy()
	case !x.Holding:
		x.put()
	case x.expected > grid.StreamMin:
		x.State, x.work = Working, func(x *Exchange, t grid.Ticket) bool {
			x.reserve(x.expected, t)
			x.letIn()
			return true
		}
	default:
		x.letIn()
	}
}

// again begins a conditional write anew, as another changed the entry in between.
func (x *Exchange) again() {
	if x.tries++; x.tries > maxTries {
		x.busy()
		return
	}
	x.look()
}

func (x *Exchange) busy() {
	x.text(fasthttp.StatusServiceUnavailable, "the entry keeps changing; nothing was done, try again later")
}

func afterRemove(x *Exchange) {
	switch {
	case x.refuse():
	case x.res.Code == grid.OK:
		x.count(removeHits)
		x.plain(fasthttp.StatusNoContent)
	case x.res.Code == grid.Conflict:
		x.again()
	default:
		x.count(removeMisses)
		x.plain(fasthttp.StatusNotFound)
	}
}

// write begins with PUT and POST.
func (x *Exchange) write(t grid.Ticket) {
	become, ok := x.takeMedia()
	if !ok {
		return
	}
	x.op.TTL, x.op.Idle = x.seconds(fTTL), x.seconds(fIdle)
	if v, given := x.field(fMemcachedFlags); given {
		n, err := strconv.ParseUint(string(v), 10, 32)
		if err != nil {
			x.text(fasthttp.StatusBadRequest, "Memcached-Flags is no number of 32 bits")
			return
		}
		x.op.Flags = uint32(n)
	}
	if x.op.TTL > 0 && x.op.Idle >= x.op.TTL {
		x.op.Idle = 0 // could never show
	}
	x.op.Kind = grid.Put
	if x.meth == mPost {
		x.op.Cond = grid.IfAbsent
	}
	if x.collect(x.s.MaxBody(), collected); x.State != Receiving {
		return
	}
	announced := x.expected
	coding, step := x.contentCoding(), media.ToStore(&x.media, become)
	if (coding != identity || step != nil) && !x.newIntake(coding, step) {
		return
	}
	x.growing = x.expected < 0
	switch {
	case x.meth == mPut && x.conditional(), x.meth == mPost && announced > grid.StreamMin:
		x.lookFirst()
	case x.expected > grid.StreamMin:
		x.reserve(x.expected, t)
	}
}

// takeMedia reads what the body is, and how that becomes what the cache stores. False: x is answered.
func (x *Exchange) takeMedia() (become media.Way, ok bool) {
	if v, given := x.field(fContentEncoding); given && x.contentCoding() == identity && !equalFold(v, codingNames[identity]) {
		x.plain(fasthttp.StatusUnsupportedMediaType)
		return 0, false
	}
	v, given := x.field(fContentType)
	if !given {
		x.op.Attr |= x.storage.Attr()
		return media.Same, true
	}
	m, err := media.Parse(v)
	if err != nil || m.Wild || x.twice&(1<<fContentType) != 0 {
		x.badMedia(v, err, "application/unknown")
		return 0, false
	}
	if len(m.Charset) > 0 && media.KnowsCharset(m.Charset) != nil {
		x.text(fasthttp.StatusBadRequest, string(m.Charset))
		return 0, false
	}
	x.media = m
	id := m.ID
	switch id {
	case media.Unknown:
		id = media.None
	case media.Form:
		id = media.Text
	}
	if x.storage != media.None {
		if become = id.To(&media.Type{ID: x.storage}); become == media.NoWay {
			x.badMedia(v, nil, x.storage.String())
			return 0, false
		}
		id = x.storage
	}
	x.op.Attr |= id.Attr()
	return become, true
}

// storedAs is what a value is that says so by attr.
func (x *Exchange) storedAs(attr uint16) media.ID {
	if id := media.OfAttr(attr); id != media.None {
		return id
	}
	return x.storage // who stored it could not say
}

func (x *Exchange) badMedia(v []byte, err error, storage string) {
	switch {
	case len(v) == 0:
		x.text(fasthttp.StatusBadRequest, "ISPN000929: Media type cannot be empty or null!")
	case err == media.ErrSyntax:
		x.text(fasthttp.StatusBadRequest, "ISPN000930: Invalid media type '", string(v),
			"': must contain a type and a subtype separated by '/'")
	default:
		x.text(fasthttp.StatusBadRequest, "ISPN000492: Cannot find transcoder between '", string(v), "' to '", storage, "'")
	}
}

// maxSeconds is the longest lifespan that milliseconds have room for with a date added.
const maxSeconds = 1 << 52 / 1000

// seconds reads a lifespan or max-idle as an Op has it: absent, 0 and what is no number leave it to the cache, below 0
// is forever.
func (x *Exchange) seconds(f field) int64 {
	v, given := x.field(f)
	if !given {
		return grid.TTLDefault
	}
	v = bytes.TrimPrefix(bytes.TrimSpace(v), []byte("+"))
	n, err := strconv.ParseInt(string(v), 10, 64)
	switch {
	case err != nil || n == 0:
		return grid.TTLDefault
	case n < 0:
		return grid.TTLForever
	}
	return min(n, maxSeconds) * 1000
}

// collected goes on when the whole body has come.
func collected(x *Exchange) {
	if x.intake == nil {
		x.finish()
		return
	}
	x.State, x.work = Working, func(x *Exchange, t grid.Ticket) bool { return x.intake.finish(t) }
}

// finish goes on when all that is stored is there.
func (x *Exchange) finish() {
	if x.slot != nil {
		x.filled()
		return
	}
	x.hash = newHash()
	x.hash.write(x.in)
	x.put()
}

// put stores what has come.
func (x *Exchange) put() {
	x.op.Kind = grid.Put
	if x.meth == mPut && x.conditional() {
		x.op.Ask |= grid.KeepBody
	}
	if x.slot != nil {
		x.op.Body = x.slot
	} else {
		x.op.Value = x.in
	}
	x.wants(afterPut)
}

func afterPut(x *Exchange) {
	if x.refuse() {
		return
	}
	switch {
	case x.res.Code == grid.OK:
		x.plain(fasthttp.StatusNoContent)
		x.setInt("Etag", int64(x.hash.sum()))
	case x.meth == mPost:
		x.exists()
	default:
		x.again()
	}
}

func (x *Exchange) exists() { x.text(fasthttp.StatusConflict, "An entry already exists") }

// sum returns the entity tag of the value in x.res; that of a large one was found by Work.
func (x *Exchange) sum() int32 {
	if x.res.Body != nil {
		h := x.seen
		return h.sum()
	}
	return etag(x.res.Value)
}

// matches tells whether an If-Match or If-None-Match names the tag. Infinispan's tags are bare numbers and it compares
// them as texts; the quotes and lists that HTTP knows are taken too.
func (x *Exchange) matches(list []byte, sum int32) bool {
	x.stamp = strconv.AppendInt(x.stamp[:0], int64(sum), 10)
	for {
		tag, rest, done := media.Next(list)
		if done {
			return false
		}
		if string(tag) == "*" {
			return true
		}
		if tag = bytes.TrimPrefix(tag, []byte("W/")); len(tag) >= 2 && tag[0] == '"' && tag[len(tag)-1] == '"' {
			tag = tag[1 : len(tag)-1]
		}
		if bytes.Equal(tag, x.stamp) {
			return true
		}
		list = rest
	}
}

func afterGet(x *Exchange) {
	r := &x.res
	if x.refuse() {
		return
	}
	if r.Code != grid.OK {
		x.count(misses)
		x.plain(fasthttp.StatusNotFound)
		return
	}
	x.count(hits)
	stored := x.storedAs(r.Attr)
	if !x.chosen && !x.negotiate(stored) {
		return
	}
	value, sum := r.Value, int32(0)
	if x.whole {
		value = x.in
	}
	if x.way == media.Same {
		sum = x.sum()
	} else {
		var err error
		if x.out, err = media.Convert(x.out[:0], value, x.way, x.want.Charset); err != nil {
			x.cannotConvert(value, err)
			return
		}
		sum = etag(x.out)
		x.dropBlob()
	}
	status, ok := x.judge(sum)
	if !ok {
		return
	}
	if status != fasthttp.StatusOK {
		if x.plain(status); status != fasthttp.StatusNotFound {
			x.setInt("Etag", int64(sum))
		}
		if status == fasthttp.StatusNotModified {
			x.expiry() // whoever keeps the entry learns how long it may (RFC 9110 15.4.5)
		}
		return
	}
	x.Res.SetStatusCode(status)
	x.showType(stored)
	if x.browser {
		x.Res.Set("Content-Security-Policy", valuePolicy)
	}
	x.setInt("Etag", int64(sum))
	x.ages()
	if r.Flags != 0 {
		x.setInt("Memcached-Flags", int64(r.Flags))
	}
	if _, extended, _ := x.t.param("extended"); extended {
		for _, name := range [...]string{"Cluster-Primary-Owner", "Cluster-Backup-Owners", "Cluster-Node-Name", "Cluster-Server-Address"} {
			x.Res.Set(name, "0.0.0.0") // as Infinispan says it of a cache without a cluster
		}
	}
	x.State = Ready
	switch {
	case x.way != media.Same:
		x.body(x.out, false)
	case r.Body == nil:
		x.body(r.Value, true)
	default:
		if x.Length = r.Body.Len(); x.meth == mHead {
			x.dropBlob()
		} else {
			x.Blob, r.Body = r.Body, nil
		}
	}
	if x.has&(1<<fAcceptEncoding) != 0 {
		x.compress(stored)
	}
}

// wantsWhole negotiates before a large value is read, and tells whether it has to be converted.
func (x *Exchange) wantsWhole() bool {
	if x.res.Code != grid.OK || !x.negotiate(x.storedAs(x.res.Attr)) {
		return false
	}
	x.chosen = true
	return x.way != media.Same
}

func (x *Exchange) cannotConvert(value []byte, err error) {
	x.dropBlob()
	switch {
	case err != media.ErrContent:
		x.text(fasthttp.StatusBadRequest, string(x.want.Charset))
	case x.way == media.ToJSON:
		x.text(fasthttp.StatusBadRequest, "ISPN000655: Unable to convert text content to JSON: '", string(value[:min(len(value), 1000)]), "'")
	default:
		x.text(fasthttp.StatusBadRequest, "the value cannot be converted")
	}
}

// afterDistribution tells who owns a key.
func afterDistribution(x *Exchange) {
	if x.refuse() {
		return
	}
	x.dropBlob()
	o := object(x.out[:0])
	o.open()
	o.bool("contains_key", x.res.Code == grid.OK)
	o.name("owners")
	o = append(o, '[')
	node := x.s.opt.Host().Node
	o.open()
	o.text("node_name", node)
	o.bool("primary", true)
	o.list("node_addresses", []string{node})
	o.end()
	o = append(o, ']')
	o.end()
	x.out = o
	x.json()
}

// negotiate picks the type of the answer: the first of the heaviest that the stored type can become. False: x is
// answered.
func (x *Exchange) negotiate(stored media.ID) bool {
	accept, given := x.field(fAccept)
	x.want = media.Type{Wild: true}
	if !given {
		return true
	}
	best, parsed := 0, false
	for list := accept; ; {
		one, rest, done := media.Next(list)
		if done {
			break
		}
		list = rest
		m, err := media.Parse(one)
		parsed = parsed || err != media.ErrSyntax
		if err != nil || m.Q <= best {
			continue
		}
		if way := stored.To(&m); way != media.NoWay {
			best, x.way, x.want = m.Q, way, m
		}
	}
	switch {
	case best > 0:
		return true
	case parsed:
		x.text(fasthttp.StatusNotAcceptable, "ISPN012007: Cannot convert to ", string(accept))
	default:
		x.text(fasthttp.StatusNotAcceptable, "Data format not supported")
	}
	return false
}

// showType sets the type of the answer, with what was asked for of it.
func (x *Exchange) showType(stored media.ID) {
	if x.want.Wild {
		if stored == media.None || stored == media.Unknown {
			stored = media.OctetStream
		}
		x.Res.SetContentType(stored.String())
		return
	}
	x.stamp = append(x.stamp[:0], x.want.ID.String()...)
	if len(x.want.Charset) > 0 {
		x.stamp = append(append(x.stamp, "; charset="...), x.want.Charset...)
	}
	if len(x.want.Encoding) > 0 {
		x.stamp = append(append(x.stamp, "; encoding="...), x.want.Encoding...)
	}
	x.Res.SetContentTypeBytes(x.stamp)
}

// judge compares the conditions of a GET or HEAD with the entry: 200, 304, 412, or 404 for an entry that is not fresh
// enough. False: x is answered.
func (x *Exchange) judge(sum int32) (status int, ok bool) {
	r := &x.res
	if v, given := x.field(fCacheControl); given {
		fresh, ok := x.fresh(v)
		if !ok || !fresh {
			return fasthttp.StatusNotFound, ok
		}
	}
	if v, given := x.field(fIfNoneMatch); given && x.matches(v, sum) {
		return fasthttp.StatusNotModified, true
	}
	if v, given := x.field(fIfMatch); given && !x.matches(v, sum) {
		return fasthttp.StatusPreconditionFailed, true
	}
	if r.Expires == 0 {
		return fasthttp.StatusOK, true // no creation time is shown, so dates are not judged
	}
	created := r.Created / 1000
	for _, f := range [2]field{fIfUnmodifiedSince, fIfModifiedSince} {
		v, given := x.field(f)
		if !given {
			continue
		}
		date, err := fasthttp.ParseHTTPDate(v)
		switch {
		case err != nil:
			x.text(fasthttp.StatusBadRequest, "Could not parse date ", string(v))
			return 0, false
		case f == fIfUnmodifiedSince && date.Unix() < created:
			return fasthttp.StatusPreconditionFailed, true
		case f == fIfModifiedSince && date.Unix() >= created:
			return fasthttp.StatusNotModified, true
		}
	}
	return fasthttp.StatusOK, true
}

// fresh judges min-fresh of a Cache-Control field. ok: it could be read; otherwise x is answered.
func (x *Exchange) fresh(list []byte) (fresh, ok bool) {
	for {
		d, rest, done := media.Next(list)
		if done {
			return true, true
		}
		list = rest
		if !bytes.HasPrefix(d, []byte("min-fresh")) {
			continue
		}
		v := bytes.TrimPrefix(bytes.TrimPrefix(d, []byte("min-fresh")), []byte("="))
		if len(v) == 0 {
			v = d
		}
		n, err := strconv.ParseInt(string(v), 10, 64)
		if err != nil {
			x.text(fasthttp.StatusBadRequest, `For input string: "`, string(v), `"`)
			return false, false
		}
		if end := x.end(); end != 0 && (end-x.now.Wall)/1000 <= n {
			return false, true
		}
	}
}

// end returns when the entry in x.res will be gone, by lifespan or max-idle, counted from this use; 0 for never.
func (x *Exchange) end() int64 {
	end := x.res.Expires
	if idle := x.res.MaxIdle; idle > 0 && (end == 0 || x.now.Wall+idle < end) {
		end = x.now.Wall + idle
	}
	return end
}

// ages sets the fields that tell how old the entry is and how long it will live.
func (x *Exchange) ages() {
	r := &x.res
	if r.Expires != 0 {
		x.setInt("timeToLiveSeconds", (r.Expires-r.Created+999)/1000)
		x.setInt("created", r.Created)
		x.setDate("Last-Modified", r.Created)
	}
	if r.MaxIdle > 0 {
		x.setInt("maxIdleTimeSeconds", (r.MaxIdle+999)/1000)
		x.setInt("lastUsed", x.now.Wall)
	}
	x.expiry()
}

// expiry tells caches how long the entry will live.
func (x *Exchange) expiry() {
	end := x.end()
	if end == 0 {
		return
	}
	x.setDate("Expires", end)
	if left := (end - x.now.Wall) / 1000; left > 0 {
		x.stamp = strconv.AppendInt(append(x.stamp[:0], "max-age="...), left, 10)
		x.set("Cache-Control", x.stamp)
	} else {
		x.Res.Set("Cache-Control", "no-cache")
	}
}

func (x *Exchange) setDate(name string, ms int64) {
	x.stamp = appendDate(x.stamp[:0], ms)
	x.set(name, x.stamp)
}

// appendDate appends a date as header fields have it; ms is since 1970.
func appendDate(dst []byte, ms int64) []byte {
	return time.UnixMilli(ms).UTC().AppendFormat(dst, "Mon, 02 Jan 2006 15:04:05 GMT")
}
