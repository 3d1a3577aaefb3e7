package memcached

import (
	"bytes"
	"strings"

	"github.com/latticed/latticed/grid"
)

// words is a line cut at spaces. A tab is no separator.
type words struct {
	w [maxWords][]byte
	n int // may exceed len(w): words beyond are counted, not kept
}

func (ws *words) cut(line []byte) {
	ws.n = 0
	for len(line) > 0 {
		i := bytes.IndexByte(line, ' ')
		if i < 0 {
			i = len(line)
		}
		if i > 0 {
			if ws.n < maxWords {
				ws.w[ws.n] = line[:i]
			}
			ws.n++
		}
		if i == len(line) {
			return
		}
		line = line[i+1:]
	}
}

// word returns word i, or nothing.
func (ws *words) word(i int) []byte {
	if i >= 0 && i < min(ws.n, maxWords) {
		return ws.w[i]
	}
	return nil
}

// noreply tells whether the last word is exactly that.
func (ws *words) noreply() bool {
	return ws.n > 0 && ws.n <= maxWords && string(ws.w[ws.n-1]) == "noreply"
}

// begins tells whether word is a beginning of name, which is how sub-commands are matched.
func begins(word, name string) bool { return word != "" && strings.HasPrefix(name, word) }

// parseUint reads an unsigned 64-bit decimal of at most 22 characters.
func parseUint(b []byte) (n uint64, ok bool) {
	if len(b) == 0 || len(b) > 22 {
		return 0, false
	}
	for _, c := range b {
		d := uint64(c - '0')
		if d > 9 || n > (1<<64-1-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n, true
}

// parse32 reads an unsigned 32-bit decimal of at most 11 characters.
func parse32(b []byte) (uint32, bool) {
	n, ok := parseUint(b)
	return uint32(n), ok && len(b) <= 11 && n < 1<<32
}

// unsigned strips the plus that the flags and the exptime of a storage command, and nothing else, may have.
func unsigned(b []byte) []byte {
	if len(b) > 1 && b[0] == '+' && b[1] != '-' {
		return b[1:]
	}
	return b
}

// parseInt reads a signed 64-bit decimal. A lone minus is 0.
func parseInt(b []byte) (int64, bool) {
	neg := len(b) > 0 && b[0] == '-'
	if neg {
		if b = b[1:]; len(b) == 0 {
			return 0, true
		}
	}
	n, ok := parseUint(b)
	if !ok || n > 1<<63-1 {
		return 0, false
	}
	if neg {
		return -int64(n), true
	}
	return int64(n), true
}

// parseTTL32 reads an exptime that must fit 32 bits.
func parseTTL32(b []byte, now int64) (int64, bool) {
	n, ok := parseInt(b)
	if !ok || len(b) > 11 || n != int64(int32(n)) {
		return 0, false
	}
	return lifespan(n, now), true
}

// lifespan turns memcached's exptime into the grid's: up to 30 days it is a span in seconds, beyond it is a date, and
// negative is in the past.
func lifespan(exptime, now int64) int64 {
	const month = 60 * 60 * 24 * 30
	switch {
	case exptime < 0:
		return grid.TTLPast
	case exptime == 0:
		return grid.TTLForever
	case exptime <= month:
		return exptime * 1000
	case exptime > 1<<50 || exptime*1000 > now:
		return min(exptime, 1<<50)*1000 - now
	}
	return grid.TTLPast
}
