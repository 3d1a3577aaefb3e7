package http1

import "bytes"

// Limits of what stands between the chunks of a body.
const (
	maxChunkLine = 256
	maxTrailer   = 8 << 10
)

// body is how far the body of a request has been read.
type body struct {
	chunked bool
	left    int // of the body, or of the chunk
	part    part
	trailer int // bytes of it read
	done    bool
}

type part uint8

const (
	chunkSize part = iota
	chunkData
	chunkEnd
	chunkTrailer
)

// next returns the next bytes of the body in in, and how much of in belongs to what stands between chunks before them.
// need: the input ends within something that has to be seen whole. bad: the body is malformed.
func (b *body) next(in []byte) (data []byte, skip int, need int, bad bool) {
	if !b.chunked {
		n := min(b.left, len(in))
		b.done = b.left == 0
		return in[:n], 0, 1, false
	}
	for !b.done {
		switch b.part {
		case chunkData:
			if b.left == 0 {
				b.part = chunkEnd
				continue
			}
			if skip == len(in) {
				return nil, skip, 1, false
			}
			return in[skip:min(len(in), skip+b.left)], skip, 1, false
		case chunkEnd:
			rest := in[skip:]
			switch {
			case len(rest) > 0 && rest[0] != '\r', len(rest) > 1 && rest[1] != '\n':
				return nil, skip, 0, true
			case len(rest) < 2:
				return nil, skip, 2, false
			}
			skip += 2
			b.part = chunkSize
		case chunkSize:
			line, next, ok := nextLine(in, skip, maxChunkLine)
			switch {
			case pos(next) && !ok:
				return nil, skip, 0, true
			case !ok:
				return nil, skip, len(in) - skip + 1, false
			}
			n, valid := parseSize(line)
			if !valid {
				return nil, skip, 0, true
			}
			skip = next
			b.left, b.part = n, chunkData
			if n == 0 {
				b.part = chunkTrailer
			}
		case chunkTrailer:
			line, next, ok := nextLine(in, skip, maxTrailer-b.trailer)
			switch {
			case pos(next) && !ok:
				return nil, skip, 0, true
			case !ok:
				return nil, skip, len(in) - skip + 1, false
			}
			b.trailer += next - skip
			skip = next
			if len(line) == 0 {
				b.done = true
				break
			}
			colon := bytes.IndexByte(line, ':')
			if colon <= 0 || !isToken(line[:colon]) || !isText(trim(line[colon+1:])) {
				return nil, skip, 0, true
			}
		}
	}
	return nil, skip, 0, false
}

// pos tells the malformed and too long from the incomplete in what nextLine returns.
func pos(next int) bool { return next != 0 }

// took says that n bytes of what next returned have been used.
func (b *body) took(n int) {
	b.left -= n
	if !b.chunked {
		b.done = b.left == 0
	}
}

// parseSize reads the line before a chunk. Extensions are skipped.
func parseSize(line []byte) (n int, ok bool) {
	digits := line
	if i := bytes.IndexByte(line, ';'); i >= 0 {
		digits = trim(line[:i])
		if !isText(line[i:]) {
			return 0, false
		}
	}
	if len(digits) == 0 || len(digits) > 15 {
		return 0, false
	}
	for _, c := range digits {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		n = n<<4 | int(c)
	}
	return n, true
}
