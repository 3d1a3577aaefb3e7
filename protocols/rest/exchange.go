package rest

import (
	"bytes"
	"strconv"
	"time"
	"unsafe"

	"github.com/valyala/fasthttp"

	accesslog "github.com/latticed/latticed/access-log"
	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/protocols/media"
)

// State is what an Exchange needs next from its framing.
type State uint8

// The states. A fresh exchange takes its head: Start, Field, Head.
const (
	Receiving State = iota // the body: Write as it arrives, End
	Wants                  // an op: Fill, then Result
	Waiting                // a late answer: Result
	Working                // computation or copying, done in pieces: Work
	Ready                  // nothing: the answer may be sent
)

// workPiece is how many bytes of a large value one Work looks at, so that others on the loop get their turn.
const workPiece = 256 << 10

// Exchange is one request and its answer, and everything that happens between. It holds nothing of the framing's
// memory, so it can wait for answers of other nodes; it is pooled and used again after Reset. Not safe for concurrent
// use.
type Exchange struct {
	Req fasthttp.RequestHeader  // as it came, but only the first one of each field that means something here
	Res fasthttp.ResponseHeader // status and fields of the answer, but for its length and the connection's

	State State
	// Alone: what is behind this request must not run before it is Ready.
	Alone bool
	// Holding: the body is wanted, but none of it before x is Receiving again. That may as well not be: then x is Ready.
	Holding bool
	// Body or Blob is the body of the answer once Ready; Length its length, also of the one that HEAD leaves out, -1 for
	// one that is not known. Body is valid until the next Do of the batch, unless Keep was called. Who sends Blob closes
	// it and sets it to nil.
	Body   []byte
	Blob   grid.Blob
	Length int
	// Partial: Body is not all. When it is sent, Resume has x make the next part; Length is -1.
	Partial bool
	// Endless: the answer goes on until the client leaves. While it has nothing to tell, Work returns false and the connection
	// is woken; it need not Park. Nothing can be answered behind it. Finish ends it when the node stops.
	Endless bool
	// Heavy: Work takes longer than others on an event loop should wait.
	Heavy bool
	// Broken: what was promised cannot be sent. The framing shows it as it can, at worst by closing the connection.
	Broken bool
	Seq    uint32 // the framing's: ticket of the op that is Waiting

	Sent     int    // bytes of the answer's body that were written
	Protocol string // as the access log calls it

	log    accesslog.Recorder // nil: there is none, or it has the record
	record accesslog.Record   // scratch
	began  time.Time          // when it came, where there is a log
	start  grid.Time
	begun  bool   // a part of the answer was sent
	got    int    // bytes of the request's body
	name   []byte // of the cache, and
	key    []byte // of the entry that it is about
	from   forwarded

	s     *Service
	peer  *Peer
	head  int    // bytes of the request's head
	has   uint32 // fields that came, by bit
	twice uint32 // fields that came more than once
	meth  method
	t     target
	cache grid.Cache
	now   grid.Time

	tally   *Tally   // of the cache that an entry is in
	storage media.ID // what its values are stored as; None: as they come

	// The request's body.
	intake   *intake   // what it goes through; nil: it is stored as it comes
	in       []byte    // collected
	held     int       // bytes of in charged to Service.collected
	most     int       // collected, or dropped, at most
	dropping bool      // the body means nothing
	dropped  int       // bytes of it
	slot     grid.Slot // being filled
	room     int       // size of slot
	left     int       // bytes that slot is still to get
	growing  bool      // the length is not known: what is too much for one op goes to a slot that grows
	expected int       // announced length, -1 if it was not
	over     bool      // the body ended while x was Holding
	lost     bool      // the grid has the value, and will not give it back
	ended    func(x *Exchange)

	// The op.
	op    grid.Op
	then  func(x *Exchange) // goes on from res
	res   grid.Result
	tries int

	work func(x *Exchange, t grid.Ticket) bool // what Working does, but for hashing; false: Park
	list *list                                 // a listing that is being made

	events *stream // events that are being told

	squeeze *squeeze               // a large value that is being compressed
	large   func(x *Exchange) bool // decides, before a large value is read, whether it is wanted whole in x.in; nil: it is not
	whole   bool
	way     media.Way
	want    media.Type
	chosen  bool

	hash  hash // of the value that is stored, as it passes
	seen  hash // of one that is read
	off   int  // how far Work has come
	out   []byte
	stamp []byte // scratch for dates and numbers
	media media.Type
	lent  bool // Body points into the batch
	// gathered is where Body is of the metrics; nil: it is not.
	gathered *gathering

	browser bool
}

// Reset makes x a fresh exchange of peer.
func (x *Exchange) Reset(s *Service, peer *Peer) {
	x.Release()
	x.Req.Reset()
	x.Res.Reset()
	x.Res.DisableNormalizing()
	x.Res.SetNoDefaultContentType(true)
	x.s, x.peer = s, peer
	x.Holding, x.over, x.lost, x.begun = false, false, false, false
	x.State, x.Alone, x.Length, x.Seq, x.Partial, x.Broken, x.Heavy, x.Endless = Receiving, false, 0, 0, false, false, false, false
	x.began, x.Sent, x.start, x.got, x.name, x.key = time.Time{}, 0, grid.Time{}, 0, nil, nil
	x.from = forwarded{}
	x.head, x.has, x.twice, x.meth = 0, 0, 0, mOther
	x.cache, x.then, x.ended, x.tries, x.work = nil, nil, nil, 0, nil
	x.expected, x.room, x.left, x.growing, x.dropping, x.dropped = 0, 0, 0, false, false, 0
	x.op, x.res = grid.Op{}, grid.Result{}
	x.media, x.browser = media.Type{}, false
	x.tally, x.storage = nil, media.None
	x.large, x.whole, x.way, x.want, x.chosen = nil, false, media.Same, media.Type{}, false
}

// keepBuffer is the largest buffer that an exchange in the pool keeps, freeBuffer the largest that is charged to nobody
// while it is in use.
const (
	keepBuffer = 64 << 10
	freeBuffer = 4 << 10
)

// Release lets go of what x holds outside of itself, and records x if that has not been done. It may be called more than once.
func (x *Exchange) Release() {
	x.Record()
	if x.intake != nil {
		x.intake.close()
		x.intake = nil
	}
	x.giveUp()
	if x.Blob != nil {
		x.Blob.Close()
		x.Blob = nil
	}
	if x.res.Body != nil {
		x.res.Body.Close()
		x.res.Body = nil
	}
	if x.list != nil {
		x.list.release()
		x.list = nil
	}
	if x.events != nil {
		x.events.release()
		x.events = nil
	}
	if x.squeeze != nil {
		x.s.squeezes.put(x.squeeze)
		x.squeeze = nil
	}
	x.Body, x.lent = nil, false
	if x.gathered != nil {
		x.s.ungather(x.gathered)
		x.gathered = nil
	}
	if x.held > 0 {
		x.s.collected.Add(-int64(x.held))
		x.held = 0
	}
	if x.in = x.in[:0]; cap(x.in) > keepBuffer {
		x.in = nil
	}
	if x.out = x.out[:0]; cap(x.out) > keepBuffer {
		x.out = nil
	}
}

// Start takes the request line. The slices are copied.
func (x *Exchange) Start(verb, raw []byte) {
	x.Req.SetMethodBytes(verb)
	x.Req.SetRequestURIBytes(raw)
	x.meth = methodOf(verb)
	x.head = len(verb) + len(raw)
}

// Kept returns how many bytes x takes, more or less: what is in protocols.Progress.
func (x *Exchange) Kept() int {
	n := baseKept + 2*x.head + cap(x.in) + cap(x.out)
	if x.list != nil {
		n += cap(x.list.page.Mem) + cap(x.list.page.Entries)*int(unsafe.Sizeof(grid.Entry{})) + cap(x.list.part)
	}
	if x.events != nil {
		n += x.events.kept()
	}
	if x.intake != nil {
		n += x.intake.cost + len(x.intake.buf)
	}
	if x.squeeze != nil {
		n += int(x.squeeze.cost) + x.squeeze.buf.Cap()
	}
	return n
}

// baseKept is an exchange with a short request and answer.
const baseKept = int(unsafe.Sizeof(Exchange{})) + 1<<10

// Field takes one header field. The slices are copied. What means nothing here is not kept: taken apart, short fields
// and cookies are many times as large as they were sent.
func (x *Exchange) Field(name, value []byte) {
	f := fieldOf(name)
	bit := uint32(1) << f
	switch {
	case f == fOther:
	case x.has&bit&(1<<fForwarded|1<<fForwardedFor) != 0: // each proxy may have added one
		x.head += len(value) + 2
		x.Req.SetBytesV(fieldNames[f], append(append(bytes.Clone(x.Req.Peek(fieldNames[f])), ", "...), value...))
	case x.has&bit != 0:
		x.twice |= bit
	default:
		x.has |= bit
		x.head += len(name) + len(value) + 32
		x.Req.AddBytesKV(name, value)
	}
}

// field returns the value of a field, the first if it is repeated.
func (x *Exchange) field(f field) ([]byte, bool) {
	if x.has&(1<<f) == 0 {
		return nil, false
	}
	return x.Req.Peek(fieldNames[f]), true
}

// Head ends the head: length is the announced length of the body, -1 for one of unknown length. Afterwards x is
// Receiving or already answered.
func (x *Exchange) Head(length int, t grid.Ticket) {
	x.now, x.start, x.expected = t.Now, t.Now, length
	x.route(t)
}

// Write takes bytes of the body and returns how many: fewer means that x is Ready, or that the connection has to Park
// until it is woken.
func (x *Exchange) Write(p []byte, t grid.Ticket) int {
	if x.State != Receiving {
		return 0
	}
	n := 0
	if x.intake != nil {
		n = x.intake.write(p, t)
	} else {
		n = x.take(p, t)
	}
	x.got += n
	return n
}

// take takes bytes of what is stored, as Write does.
func (x *Exchange) take(p []byte, t grid.Ticket) int {
	if x.growing && x.slot == nil && len(x.in)+len(p) > grid.StreamMin && !x.reserve(len(x.in)+len(p), t) {
		return 0
	}
	if x.slot != nil {
		return x.fill(p, t)
	}
	if len(x.in)+x.dropped+len(p) > x.most {
		x.plain(fasthttp.StatusRequestEntityTooLarge)
		return 0
	}
	if x.dropping {
		x.dropped += len(p)
		return len(p)
	}
	if !x.grow(len(x.in) + len(p)) {
		x.text(fasthttp.StatusServiceUnavailable, "too many request bodies are held in memory; try again later")
		return 0
	}
	x.in = append(x.in, p...)
	return len(p)
}

// A slot whose size is not known before grows by half of what it has, within these bounds in bytes. What it has too much is not
// used memory, but reserved.
const (
	leastGrowth = 64 << 10
	mostGrowth  = 4 << 20
)

// reserve takes a slot for a value of at least n bytes. False: x is answered.
func (x *Exchange) reserve(n int, t grid.Ticket) bool {
	size := max(n, min(n+leastGrowth, x.most))
	if x.expected >= 0 {
		size = n
	}
	if n > x.most {
		x.plain(fasthttp.StatusRequestEntityTooLarge)
		return false
	}
	slot, code := x.cache.Reserve(&x.op, size, t)
	if code != grid.OK {
		x.res.Code = code
		x.refuse()
		return false
	}
	x.slot, x.room, x.left, x.hash, x.off = slot, size, size, newHash(), 0
	return true
}

// fill puts p into the slot, behind what was collected before there was one. It returns how much it took.
func (x *Exchange) fill(p []byte, t grid.Ticket) (n int) {
	for x.off < len(x.in) {
		k := x.pass(x.in[x.off:])
		if k == 0 {
			return 0
		}
		x.off += k
	}
	for n < len(p) && (x.left > 0 || x.growing && x.more(len(p)-n, t)) {
		k := x.pass(p[n:])
		if k == 0 {
			break
		}
		n += k
	}
	return n
}

// pass copies the beginning of p to the slot. 0: Park.
func (x *Exchange) pass(p []byte) int {
	w := x.slot.Window()
	k := copy(w[:min(len(w), x.left)], p)
	x.hash.write(p[:k])
	x.slot.Wrote(k)
	x.left -= k
	return k
}

// more makes the slot longer, by at least n bytes. False: x is answered.
func (x *Exchange) more(n int, t grid.Ticket) bool {
	if x.room+n > x.most {
		x.giveUp()
		x.plain(fasthttp.StatusRequestEntityTooLarge)
		return false
	}
	size := min(x.room+max(n, min(max(x.room/2, leastGrowth), mostGrowth)), x.most)
	code := x.slot.Resize(size, t)
	if code != grid.OK && size > x.room+n { // perhaps for what is there already
		size = x.room + n
		code = x.slot.Resize(size, t)
	}
	if code != grid.OK {
		x.giveUp()
		x.res.Code = code
		x.refuse()
		return false
	}
	x.left += size - x.room
	x.room = size
	return true
}

// giveUp lets go of the slot that is being filled.
func (x *Exchange) giveUp() {
	if x.slot != nil {
		x.slot.Abort()
		x.slot = nil
	}
}

// filled goes on when the whole body is in the slot.
func (x *Exchange) filled() {
	if x.left > 0 {
		if code := x.slot.Resize(x.room-x.left, grid.Ticket{Now: x.now}); code != grid.OK {
			x.giveUp()
			x.res.Code = code
			x.refuse()
			return
		}
	}
	x.put()
}

// grow makes room for n bytes in x.in, charged to what all connections may hold together. False: there is none.
func (x *Exchange) grow(n int) bool {
	size := cap(x.in)
	if n > size {
		size = max(n, min(max(2*n, freeBuffer), x.most)) // what came counts, not what is announced
		if x.expected > 0 {
			size = max(n, min(size, x.expected))
		}
	}
	if size > freeBuffer && size > x.held {
		more := size - x.held
		if x.s.collected.Add(int64(more)) > int64(x.s.opt.MaxCollect) {
			x.s.collected.Add(-int64(more))
			return false
		}
		x.held = size
	}
	if size > cap(x.in) {
		x.in = append(make([]byte, 0, size), x.in...)
	}
	return true
}

// charge counts n bytes that x holds beside its buffers. False: all connections together hold too much.
func (x *Exchange) charge(n int) bool {
	if n <= freeBuffer {
		return true
	}
	if x.s.collected.Add(int64(n)) > int64(x.s.opt.MaxCollect) {
		x.s.collected.Add(-int64(n))
		x.text(fasthttp.StatusServiceUnavailable, "too many values are held in memory to be converted; try again later")
		return false
	}
	x.held += n
	return true
}

// collect asks for the whole body, most bytes of it at most, before end goes on.
func (x *Exchange) collect(most int, end func(x *Exchange)) {
	x.most, x.ended = most, end
	if x.expected > most {
		x.plain(fasthttp.StatusRequestEntityTooLarge)
	}
}

// Refuse answers a request that the framing found malformed.
func (x *Exchange) Refuse(status int, reason string) {
	if reason == "" {
		x.plain(status)
	} else {
		x.text(status, reason)
	}
}

// Upgrade answers that the connection becomes another protocol's. False: it may not, and x is answered.
func (x *Exchange) Upgrade(to string) bool {
	if !x.admit() {
		return false
	}
	x.plain(fasthttp.StatusSwitchingProtocols)
	x.Res.Set("Upgrade", to)
	return true
}

// drop reads a body that means nothing, before end goes on.
func (x *Exchange) drop(end func(x *Exchange)) {
	x.dropping = true
	x.collect(x.s.MaxBody(), end)
}

// End says that the body is complete.
func (x *Exchange) End(now grid.Time) {
	switch {
	case x.State == Receiving:
		x.now = now
		x.ended(x)
	case x.Holding:
		x.over = true
	}
}

// letIn goes on with the body of an exchange that was Holding, unless it is answered.
func (x *Exchange) letIn() {
	if x.State == Ready {
		return
	}
	x.State, x.Holding = Receiving, false
	if x.over {
		x.ended(x)
	}
}

// Cache is where the op wants to run.
func (x *Exchange) Cache() grid.Cache { return x.cache }

// Fill writes the op that x Wants. Its slices are x's.
func (x *Exchange) Fill(op *grid.Op) { *op = x.op }

// Result takes the answer of the op. r.Value is read only until the next Do, see Body.
func (x *Exchange) Result(r *grid.Result, now grid.Time) {
	x.now = now
	if x.op.Body != nil && r.Code != grid.None {
		if !x.op.KeepsBody(r.Code) {
			x.slot, x.lost = nil, true
		}
		x.op.Body = nil
	}
	if r.Code == grid.Pending {
		x.State = Waiting
		return
	}
	x.res = *r
	if r.Body != nil && x.list == nil {
		x.seen, x.off = newHash(), 0
		x.State = Working
		if x.large != nil {
			if x.whole = x.large(x); x.State == Ready {
				return
			}
			if x.whole {
				n := r.Body.Len()
				x.Heavy = n > keepBuffer
				if x.charge(3 * n) { // it, and what it becomes
					x.in = append(make([]byte, 0, n), x.in...)
				}
			}
		}
		return
	}
	x.then(x)
}

// Work carries on what takes longer: hashing a large value, or copying one to where it will stay. False: Park until
// woken.
func (x *Exchange) Work(t grid.Ticket) bool {
	x.now = t.Now
	if b := x.res.Body; b != nil && x.list == nil {
		for n := 0; x.off < b.Len(); {
			if n >= workPiece {
				return true
			}
			p := b.Piece(x.off, workPiece)
			if len(p) == 0 {
				return false
			}
			if x.whole {
				x.in = append(x.in, p...)
			} else {
				x.seen.write(p)
			}
			x.off += len(p)
			n += len(p)
		}
		x.then(x)
		return true
	}
	return x.work(x, t)
}

// Resume goes on with a Partial answer whose Body is sent.
func (x *Exchange) Resume() { x.Body, x.Partial, x.State, x.begun = nil, false, Working, true }

// alone has work run when the request is complete and everything before it on this connection is done.
func (x *Exchange) alone(work func(x *Exchange, t grid.Ticket) bool) {
	x.Alone, x.work = true, work
	x.drop(func(x *Exchange) { x.State = Working })
}

// wants asks for x.op to be run on x.cache, and then for then.
func (x *Exchange) wants(then func(x *Exchange)) {
	x.then, x.State = then, Wants
}

// Keep makes Body x's own.
func (x *Exchange) Keep() {
	if x.lent {
		x.out = append(x.out[:0], x.Body...)
		x.Body, x.lent = x.out, false
	}
}

// HasContent tells whether the answer's status is one of those with content, so that something has to say how long it is:
// Length, or the framing (RFC 9110 section 8.6).
func (x *Exchange) HasContent() bool {
	status := x.Res.StatusCode()
	return status >= 200 && status != fasthttp.StatusNoContent && status != fasthttp.StatusNotModified
}

// plain answers with a status and no body.
func (x *Exchange) plain(status int) {
	x.Res.SetStatusCode(status)
	x.State, x.Holding = Ready, false
	x.dropBlob()
}

func (x *Exchange) dropBlob() {
	if x.res.Body != nil {
		x.res.Body.Close()
		x.res.Body = nil
	}
}

// text answers with a status and a sentence.
func (x *Exchange) text(status int, parts ...string) {
	x.plain(status)
	x.out = x.out[:0]
	for _, p := range parts {
		x.out = append(x.out, p...)
	}
	x.Res.SetContentType("text/plain; charset=utf-8")
	x.body(x.out, false)
}

// body sets the answer's body. lent: it points into the batch.
func (x *Exchange) body(p []byte, lent bool) {
	x.Length = len(p)
	if x.meth == mHead {
		return
	}
	x.Body, x.lent = p, lent
}

func (x *Exchange) set(name string, value []byte) { x.Res.SetBytesV(name, value) }

func (x *Exchange) setInt(name string, v int64) {
	x.stamp = strconv.AppendInt(x.stamp[:0], v, 10)
	x.Res.SetBytesV(name, x.stamp)
}

// refuse answers for an op that was not run, or did not end well, whatever it was. False: its outcome is the handler's.
func (x *Exchange) refuse() bool {
	switch x.res.Code {
	case grid.OK, grid.Missing, grid.Exists, grid.Conflict:
		return false
	case grid.TooLarge:
		x.text(fasthttp.StatusRequestEntityTooLarge, "the cache takes no entry as large as this")
	case grid.Full:
		x.text(fasthttp.StatusInsufficientStorage, "the cache is full and nothing may be evicted")
	case grid.Busy:
		x.text(fasthttp.StatusServiceUnavailable, "too much is under way; nothing was done, try again later")
		x.Res.Set("Retry-After", "1")
	case grid.Timeout:
		x.text(fasthttp.StatusGatewayTimeout, "the owner of the key did not answer in time; the operation may have happened")
	case grid.Unavailable:
		x.text(fasthttp.StatusServiceUnavailable, "no owner of the key can be reached")
	case grid.Stopping:
		x.text(fasthttp.StatusServiceUnavailable, "the node is stopping")
	case grid.Denied:
		x.text(fasthttp.StatusForbidden, "the cache may no longer be used")
	default:
		x.text(fasthttp.StatusInternalServerError, "the operation failed: ", string(x.res.Value))
	}
	return true
}

type method uint8

const (
	mOther method = iota
	mGet
	mHead
	mPut
	mPost
	mDelete
	mOptions
)

func methodOf(verb []byte) method {
	switch string(verb) {
	case "GET":
		return mGet
	case "HEAD":
		return mHead
	case "PUT":
		return mPut
	case "POST":
		return mPost
	case "DELETE":
		return mDelete
	case "OPTIONS":
		return mOptions
	}
	return mOther
}
