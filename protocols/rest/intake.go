package rest

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"iter"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
	"github.com/valyala/fasthttp"
	"golang.org/x/text/transform"

	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/protocols/media"
)

// intake turns a body into what is stored of it as it comes: its content coding is undone, then its encoding, its charset and
// the like, and what comes out is the exchange's to take.
//
// Libraries that undo a content coding want to read. So that one runs in a coroutine, which stops where there is nothing to
// read yet, where the grid takes nothing yet, and where others on an event loop should have their turn.
type intake struct {
	x *Exchange
	t grid.Ticket // of the Step

	coding coding
	next   func() (pause, bool) // goes on with the coroutine; false: it has ended
	stop   func()
	yield  func(pause) bool // of the coroutine
	over   bool             // it was stopped
	in     []byte           // what has come and is not read, of whom Write is called by
	eof    bool             // and nothing will
	total  int              // bytes that came out
	share  int              // of total, until others have their turn
	cost   int              // bytes of memory

	step  transform.Transformer // nil: there is nothing to do
	carry []byte                // the beginning of a character
	buf   []byte
	out   []byte // of buf, what the exchange has not taken
}

// pause is why a coroutine stops.
type pause uint8

const (
	hungry pause = iota // it has read all that has come
	stuck               // the grid takes nothing now
	spent               // it has had its share
)

// Sizes of buffers, in bytes.
const (
	inflateBuffer = 16 << 10
	stepBuffer    = 4 << 10
	mostCarried   = 64
)

// costOf is what undoing a content coding takes beside the window of zstd, in bytes: buffers, the coroutine's stack, and what
// the libraries have, of which zstd's is only taken for bodies that are not short.
var costOf = [numCodings]int{cZstd: 3 * inflateBuffer, cGzip: 3*inflateBuffer + 48<<10, cDeflate: 3*inflateBuffer + 48<<10}

// zstdCost is what zstd takes beside that, and its window.
const zstdCost = 512 << 10

// errOver says that the request needs no more of its body: it is answered, or was given up.
var errOver = errors.New("rest: the request is over")

// newIntake makes what a body in this coding goes through; step is what follows. False: x is answered.
func (x *Exchange) newIntake(c coding, step transform.Transformer) bool {
	k := &intake{x: x, coding: c, step: step, share: loopInflate}
	if c != identity {
		if !k.take(costOf[c]) {
			return false
		}
		k.next, k.stop = iter.Pull(k.undo)
	}
	if step != nil {
		k.buf = make([]byte, stepBuffer)
	}
	x.intake, x.expected, x.Alone = k, -1, true
	return true
}

// take counts n bytes of memory. False: there are none, and x is answered.
func (k *intake) take(n int) bool {
	if !k.x.charge(n) {
		return false
	}
	k.cost += n
	return true
}

// close ends the coroutine.
func (k *intake) close() {
	k.over = true
	if k.stop != nil {
		k.stop()
	}
}

// write takes bytes of the body, as Exchange.Write does. Where x is answered for what they are, none is taken: how far it was
// read to see that shall not be seen.
func (k *intake) write(p []byte, t grid.Ticket) (n int) {
	k.t = t
	x := k.x
	in := p[:min(len(p), x.most-x.got)]
	switch {
	case len(in) == 0:
	case k.coding == identity:
		n = k.push(in)
	default:
		k.in = in
		k.run()
		n, k.in = len(in)-len(k.in), nil
	}
	if n == len(in) && n < len(p) && x.State == Receiving {
		x.plain(fasthttp.StatusRequestEntityTooLarge)
	}
	if x.State == Ready {
		return 0
	}
	return n
}

// finish goes on when the whole body has come. False: Park.
func (k *intake) finish(t grid.Ticket) bool {
	k.t, k.eof = t, true
	switch {
	case k.coding != identity:
		return k.run()
	case k.end():
		k.x.finish()
	}
	return k.x.State != Working
}

// run goes on with the coroutine. False: Park.
func (k *intake) run() bool {
	x := k.x
	why, more := k.next()
	switch {
	case x.State == Ready:
	case !more:
		x.finish()
	case why == stuck:
		return false
	case why == spent:
		if x.Heavy = true; x.State == Working {
			break
		}
		x.Holding, x.State = true, Working
		x.work = func(x *Exchange, t grid.Ticket) bool {
			x.intake.t = t
			return x.intake.run()
		}
	case why == hungry && x.Holding:
		x.letIn()
	}
	return true
}

// push takes bytes behind the content coding and returns how many; fewer means that the grid takes nothing now, or that x is
// answered.
func (k *intake) push(p []byte) (n int) {
	if k.step == nil {
		return k.x.take(p, k.t)
	}
	for k.drain() && n < len(p) {
		n += k.convert(p[n:])
	}
	return n
}

// drain gives the exchange what has come out. False: not all of it.
func (k *intake) drain() bool {
	for len(k.out) > 0 {
		n := k.x.take(k.out, k.t)
		if n == 0 {
			break
		}
		k.out = k.out[n:]
	}
	return len(k.out) == 0 && k.x.State != Ready
}

// convert takes some bytes of p.
func (k *intake) convert(p []byte) (n int) {
	src, carried := p, len(k.carry)
	if carried > 0 {
		n = min(len(p), mostCarried-carried)
		k.carry = append(k.carry, p[:n]...)
		src = k.carry
	}
	made, used, err := k.step.Transform(k.buf, src, false)
	k.out = k.buf[:made]
	switch {
	case carried > 0 && used >= carried:
		n, k.carry = used-carried, k.carry[:0]
	case carried > 0:
		k.carry = append(k.carry[:0], k.carry[used:]...)
	default:
		n = used
	}
	switch {
	case err != nil && err != transform.ErrShortDst && err != transform.ErrShortSrc, made == 0 && used == 0 && len(src) >= mostCarried:
		k.refuse(err)
	case err == transform.ErrShortSrc && carried == 0 && len(p)-used < mostCarried:
		k.carry = append(k.carry, p[used:]...)
		n = len(p)
	}
	return n
}

// end takes what is left when nothing follows. False: the grid takes nothing now, or x is answered.
func (k *intake) end() bool {
	for k.step != nil && k.drain() {
		made, used, err := k.step.Transform(k.buf, k.carry, true)
		k.out = k.buf[:made]
		k.carry = append(k.carry[:0], k.carry[used:]...)
		switch {
		case err == nil:
			k.step = nil
		case err != transform.ErrShortDst || made == 0 && used == 0:
			k.refuse(err)
		}
	}
	return k.drain()
}

// refuse answers for a value that is not what it is said to be.
func (k *intake) refuse(err error) {
	if err == media.ErrForm {
		k.x.text(fasthttp.StatusBadRequest, "ISPN000655: the cache stores ", k.x.storage.String(), ", which the value is not")
	} else {
		k.x.text(fasthttp.StatusBadRequest, "the value is not what its Content-Type says")
	}
}

// undo is the coroutine: it undoes the content coding and gives the exchange what comes out.
func (k *intake) undo(yield func(pause) bool) {
	k.yield = yield
	in := bufio.NewReaderSize(reader{k}, inflateBuffer)
	err := k.undoTo(in)
	if err == nil {
		for !k.end() {
			if k.pause(stuck) != nil {
				return
			}
		}
		_, err = in.WriteTo(io.Discard) // some have bytes behind the end
	}
	if err != nil && !k.over && k.x.State != Ready {
		k.x.text(fasthttp.StatusBadRequest, notItsCoding)
	}
}

func (k *intake) undoTo(in *bufio.Reader) error {
	var r io.Reader
	var err error
	switch k.coding {
	case cGzip:
		r, err = gzip.NewReader(in)
	case cZstd:
		var d *zstd.Decoder
		var short []byte
		if short, d, err = k.zstd(in); d == nil {
			r = bytes.NewReader(short)
			break
		}
		defer d.Close()
		r = d
	default:
		start, _ := in.Peek(2)
		if len(start) == 2 && start[0]&0x0f == 8 && (int(start[0])<<8|int(start[1]))%31 == 0 {
			r, err = zlib.NewReader(in)
		} else {
			r = flate.NewReader(in) // what some clients call deflate
		}
	}
	if err != nil {
		return err
	}
	buf := make([]byte, inflateBuffer)
	for {
		n, err := r.Read(buf)
		if over := k.emit(buf[:n]); over != nil {
			return over
		}
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// mostWindow is the largest window of zstd, in bytes (RFC 9659).
const mostWindow = 8 << 20

// zstd undoes short bodies at once, as reading a stream takes as much memory as the window that its head names. d: there is more,
// or it becomes more, to be read.
func (k *intake) zstd(in *bufio.Reader) (short []byte, d *zstd.Decoder, err error) {
	x := k.x
	src, err := in.Peek(inflateBuffer)
	whole := err == io.EOF
	switch {
	case whole:
		if short, err = k.zstdShort(src, loopInflate); err != errTooLong {
			_, _ = in.Discard(len(src))
			return short, nil, err
		}
		if err := k.pause(spent); err != nil {
			return nil, nil, err
		}
	case err != nil:
		return nil, nil, err
	}
	var h zstd.Header
	if err := h.Decode(src); err != nil {
		return nil, nil, err
	}
	window := h.WindowSize
	switch {
	case h.Skippable:
		window = mostWindow
	case h.SingleSegment:
		window = h.FrameContentSize
	}
	window = max(window, zstd.MinWindowSize)
	switch {
	case window > mostWindow:
		return nil, nil, zstd.ErrWindowSizeExceeded
	case whole && window >= uint64(x.most):
		short, err = k.zstdShort(src, x.most)
		return short, nil, err
	}
	if !k.take(int(window) + zstdCost) {
		return nil, nil, errOver
	}
	d, err = zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(window), zstd.WithDecoderMaxMemory(window))
	return nil, d, err
}

// zstdShort undoes what is src as a whole, to most bytes. errTooLong: it may be longer.
func (k *intake) zstdShort(src []byte, most int) ([]byte, error) {
	x := k.x
	held := x.held
	out, err := inflateZstd(src, min(x.most, most), x.charge)
	if err == errTooLong {
		if x.s.collected.Add(int64(held - x.held)); x.most <= most {
			x.plain(fasthttp.StatusRequestEntityTooLarge)
		}
		x.held = held
	}
	return out, err
}

// emit takes what comes out of the coding.
func (k *intake) emit(p []byte) error {
	if k.total += len(p); k.total > k.share {
		k.share = k.total + workPiece
		if err := k.pause(spent); err != nil {
			return err
		}
	}
	for {
		p = p[k.push(p):]
		switch {
		case k.x.State == Ready:
			return errOver
		case len(p) == 0:
			return nil
		}
		if err := k.pause(stuck); err != nil {
			return err
		}
	}
}

// pause stops the coroutine until it may go on.
func (k *intake) pause(why pause) error {
	if !k.yield(why) {
		return errOver
	}
	return nil
}

// reader is what has come, for the coroutine.
type reader struct{ k *intake }

func (r reader) Read(p []byte) (int, error) {
	k := r.k
	for len(k.in) == 0 {
		if k.eof {
			return 0, io.EOF
		}
		if err := k.pause(hungry); err != nil {
			return 0, err
		}
	}
	n := copy(p, k.in)
	k.in = k.in[n:]
	return n, nil
}
