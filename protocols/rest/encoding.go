package rest

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
	"github.com/valyala/fasthttp"

	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/protocols/media"
)

// coding is a content coding of HTTP.
type coding uint8

const (
	identity coding = iota
	cZstd
	cGzip
	cDeflate // zlib's format, as HTTP means it
	numCodings
)

var codingNames = [numCodings]string{"identity", "zstd", "gzip", "deflate"}

// compressMin is the shortest body that is compressed: below, a packet is a packet.
const compressMin = 1 << 10

// compressor is what the three libraries have in common.
type compressor interface {
	io.WriteCloser
	Reset(w io.Writer)
}

// squeeze is one compression at work. It is pooled with its compressor, which is large.
type squeeze struct {
	c      compressor
	kind   coding
	buf    bytes.Buffer
	blob   grid.Blob // what is compressed part by part
	off    int
	closed bool
	cost   int64 // charged to squeezes.kept
}

// squeezes pools them by coding.
type squeezes struct {
	pools [numCodings]sync.Pool
	kept  atomic.Int64 // bytes of those that large values keep from Step to Step
}

// costs are the bytes that a compression takes while it is under way.
var costs = [numCodings]int64{cZstd: 2 << 20, cGzip: 1152 << 10, cDeflate: 1152 << 10}

// leastKept is what compressions of large values may always take, in bytes.
const leastKept = 4 << 20

// keep returns a compression for a large value, which may have it for as long as its client takes to read; nil: those that
// are kept take most bytes.
func (p *squeezes) keep(kind coding, most int64) *squeeze {
	cost := costs[kind]
	if p.kept.Add(cost) > most {
		p.kept.Add(-cost)
		return nil
	}
	q := p.get(kind)
	q.cost = cost
	return q
}

func (p *squeezes) get(kind coding) *squeeze {
	q, ok := p.pools[kind].Get().(*squeeze)
	if !ok {
		q = &squeeze{kind: kind}
		var err error
		switch kind {
		case cZstd:
			q.c, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(256<<10))
		case cGzip:
			q.c = gzip.NewWriter(nil)
		default:
			q.c = zlib.NewWriter(nil)
		}
		if err != nil {
			panic("BUG: " + err.Error()) // the options are constant
		}
	}
	q.buf.Reset()
	q.c.Reset(&q.buf)
	q.off, q.closed = 0, false
	return q
}

func (p *squeezes) put(q *squeeze) {
	if q.blob != nil {
		q.blob.Close()
		q.blob = nil
	}
	p.kept.Add(-q.cost)
	q.cost = 0
	p.pools[q.kind].Put(q)
}

// wanted returns the coding that the client prefers; at the same weight the one that is cheapest.
func (x *Exchange) wanted() coding {
	list, given := x.field(fAcceptEncoding)
	if !given {
		return identity
	}
	best, at := identity, 0
	for {
		one, rest, done := media.Next(list)
		if done {
			return best
		}
		list = rest
		q := 1000
		if i := bytes.IndexByte(one, ';'); i >= 0 {
			if v, ok := bytes.CutPrefix(bytes.ReplaceAll(one[i+1:], []byte(" "), nil), []byte("q=")); ok {
				f, err := strconv.ParseFloat(string(v), 64)
				if err != nil {
					continue
				}
				q = int(f * 1000)
			}
			one = bytes.TrimSpace(one[:i])
		}
		for c := cZstd; c < numCodings; c++ {
			if (equalFold(one, codingNames[c]) || c == cGzip && equalFold(one, "x-gzip")) && (q > at || q == at && q > 0 && c < best) {
				best, at = c, q
			}
		}
	}
}

// compressible tells whether it is worth trying: text, and what nobody said anything about.
func compressible(id media.ID) bool {
	return id.IsText() || id == media.None || id == media.OctetStream || id == media.Protostream || id == media.Unknown
}

// compress compresses the answer's body if the client wants that and it is worth it.
func (x *Exchange) compress(id media.ID) {
	n := len(x.Body)
	if x.Blob != nil {
		n = x.Blob.Len()
	}
	if n < compressMin || !compressible(id) || x.meth == mHead {
		return
	}
	x.Res.Add("Vary", "Accept-Encoding")
	kind := x.wanted()
	if kind == identity {
		return
	}
	if x.Blob != nil {
		q := x.s.squeezes.keep(kind, max(int64(x.s.opt.MaxCollect/4), leastKept))
		if q == nil {
			return // as it is
		}
		x.Res.Set("Content-Encoding", codingNames[kind])
		q.blob, x.Blob = x.Blob, nil
		x.squeeze, x.Length, x.work, x.State = q, -1, squeezeOn, Working
		x.Heavy = n > workPiece
		return
	}
	q := x.s.squeezes.get(kind)
	x.Res.Set("Content-Encoding", codingNames[kind])
	_, _ = q.c.Write(x.Body) // a buffer takes everything
	_ = q.c.Close()
	x.out = append(x.out[:0], q.buf.Bytes()...)
	x.s.squeezes.put(q)
	x.body(x.out, false)
}

// squeezeOn compresses the next piece of a large value. Parts are all of the same size.
func squeezeOn(x *Exchange, _ grid.Ticket) bool {
	q := x.squeeze
	for n := 0; ; {
		switch {
		case q.buf.Len() >= listPart:
			x.showPart(q.buf.Next(listPart), true)
			return true
		case q.closed:
			x.showPart(q.buf.Bytes(), false)
			return true
		case n >= listPart*4:
			return true // others get their turn
		}
		p := q.blob.Piece(q.off, listPart)
		if len(p) == 0 {
			return false
		}
		_, _ = q.c.Write(p)
		q.off += len(p)
		if n += len(p); q.off == q.blob.Len() {
			_ = q.c.Close()
			q.closed = true
		}
	}
}

var (
	errTooLong = errors.New("rest: longer than allowed")
	errCharge  = errors.New("rest: too much is held")
)

// inflate undoes the content coding of a request's body, to most bytes. Few bytes may stand for many, and many bodies may
// come at once, so charge is asked before memory is taken.
func inflate(src, name []byte, most int, charge func(n int) bool) ([]byte, error) {
	var r io.Reader
	var err error
	switch in := bytes.NewReader(src); {
	case equalFold(name, "gzip") || equalFold(name, "x-gzip"):
		r, err = gzip.NewReader(in)
	case equalFold(name, "zstd"):
		return inflateZstd(src, most, charge)
	case len(src) > 1 && src[0]&0x0f == 8 && (int(src[0])<<8|int(src[1]))%31 == 0:
		r, err = zlib.NewReader(in)
	default:
		r = flate.NewReader(in) // what some clients call deflate
	}
	if err != nil {
		return nil, err
	}
	var out []byte
	for {
		if len(out) == cap(out) {
			size := min(max(2*cap(out), 2*len(src), freeBuffer), most+1)
			if !charge(size - cap(out)) {
				return nil, errCharge
			}
			out = append(make([]byte, 0, size), out...)
		}
		n, err := r.Read(out[len(out):cap(out)])
		switch out = out[:len(out)+n]; {
		case len(out) > most:
			return nil, errTooLong
		case err == io.EOF:
			return out, nil
		case err != nil:
			return nil, err
		}
	}
}

// zstdMost is how many bytes one byte of zstd stands for at most: a block of four bytes, for 128 KiB of one value.
const zstdMost = 32 << 10

// inflateZstd is inflate for zstd. Reading a stream takes as much memory as the window that its head names, 8 MiB for
// twenty bytes; so it is decoded at once, into what is twice as large each time that it does not fit.
func inflateZstd(src []byte, most int, charge func(n int) bool) ([]byte, error) {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(8<<20),
		zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	limit := min(most, max(len(src)*zstdMost, freeBuffer))
	for taken, size := 0, max(2*len(src), freeBuffer); ; size *= 2 {
		size = min(size, limit)
		if !charge(size - taken) {
			return nil, errCharge
		}
		taken = size
		out, err := d.DecodeAll(src, make([]byte, 0, size))
		switch {
		case err == nil:
			return out, nil
		case !errors.Is(err, zstd.ErrDecoderSizeExceeded) && !strings.HasPrefix(err.Error(), "output bigger than"):
			return nil, err
		case size == most:
			return nil, errTooLong
		case size == limit:
			return nil, err
		}
	}
}

// contentCoding is the coding of the body; identity for one that is unknown, too.
func (x *Exchange) contentCoding() coding {
	name, given := x.field(fContentEncoding)
	switch {
	case !given:
		return identity
	case equalFold(name, "x-gzip"):
		return cGzip
	}
	for c := cZstd; c < numCodings; c++ {
		if equalFold(name, codingNames[c]) {
			return c
		}
	}
	return identity
}

// loopInflate is how much is inflated on an event loop, in bytes: a few hundred microseconds of it. What follows is
// inflated elsewhere: a body of 16 KiB can stand for half a gigabyte.
const loopInflate = 256 << 10

// decoded undoes the content coding of what is collected in x.in. Afterwards it is there, or x is answered.
func (x *Exchange) decoded() {
	name, _ := x.field(fContentEncoding)
	if equalFold(name, codingNames[identity]) {
		return
	}
	v, err := inflate(x.in, name, x.s.MaxBody(), x.charge)
	switch {
	case err == errCharge:
	case err == errTooLong:
		x.plain(fasthttp.StatusRequestEntityTooLarge)
	case err != nil:
		x.text(fasthttp.StatusBadRequest, notItsCoding)
	default:
		x.in = v
	}
}

const notItsCoding = "the body is not what its Content-Encoding says"
