package memcached

import (
	"bytes"

	"github.com/latticed/latticed/grid"
)

const (
	badLine    = "CLIENT_ERROR bad command line format\r\n"
	badChunk   = "CLIENT_ERROR bad data chunk\r\n"
	badDelta   = "CLIENT_ERROR invalid numeric delta argument\r\n"
	badExptime = "CLIENT_ERROR invalid exptime argument\r\n"
	badDelete  = "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n"
	notNumber  = "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"
	tooLargeER = "SERVER_ERROR object too large for cache\r\n"
	noMemoryER = "SERVER_ERROR out of memory storing object\r\n"
	plainError = "ERROR\r\n"
)

// command parses one line, without its end. used is its length with the end.
func (t *turn) command(line []byte, used int) {
	if len(line) < 2 || used < 4 {
		t.text(badLine, used, false)
		return
	}
	name := line
	if i := bytes.IndexByte(line, ' '); i >= 0 {
		name = line[:i]
	}
	switch string(name) {
	case "get":
		t.keys(vGet, line[3:], used)
		return
	case "gets":
		t.keys(vGets, line[4:], used)
		return
	case "gat":
		t.keys(vGat, line[3:], used)
		return
	case "gats":
		t.keys(vGats, line[4:], used)
		return
	}
	ws := &t.words
	ws.cut(line)
	switch string(name) {
	case "set":
		t.storage(ws, vSet, grid.Put, grid.Always, used)
	case "add":
		t.storage(ws, vAdd, grid.Put, grid.IfAbsent, used)
	case "replace":
		t.storage(ws, vReplace, grid.Put, grid.IfPresent, used)
	case "append":
		t.storage(ws, vAppend, grid.Append, grid.Always, used)
	case "prepend":
		t.storage(ws, vPrepend, grid.Prepend, grid.Always, used)
	case "cas":
		t.storage(ws, vCas, grid.Put, grid.IfVersion, used)
	case "delete":
		t.remove(ws, used)
	case "incr":
		t.arith(ws, vIncr, grid.Incr, used)
	case "decr":
		t.arith(ws, vDecr, grid.Decr, used)
	case "touch":
		t.touch(ws, used)
	case "mg", "ms", "md", "ma", "me":
		t.meta(ws, line, used)
	case "mn":
		t.text("MN\r\n", used, false)
	case "version":
		r := t.add(vText, used)
		r.text = t.s.p.versionLine()
	case "quit":
		t.pos += used
		t.s.closing = true
	default:
		if t.single(name) {
			t.block = true
			return
		}
		if last := ws.word(ws.n - 1); ws.n > 1 && bytes.HasPrefix(last, []byte("HTTP/")) {
			// A browser or a proxy by mistake: memcached hangs up without a word.
			t.pos += used
			t.s.closing = true
			return
		}
		t.text(plainError, used, ws.noreply())
	}
}

func (p *Protocol) versionLine() string { return "VERSION " + p.opt.Version + "\r\n" }

// keys parses the key list of a get or gat. Nothing of it counts before all keys are checked: one that is too long
// spoils the whole line. What does not fit the batch stays in the input, as an open list.
func (t *turn) keys(v verb, rest []byte, used int) {
	if len(rest) == 0 {
		t.text(badLine, used, false)
		return
	}
	start := t.pos
	ends := t.pos + used                 // of the line
	base := start + used - 1 - len(rest) // where rest begins
	if t.In[ends-2] == '\r' {
		base--
	}
	whole := len(rest)
	ttl := int64(0)
	if v == vGat || v == vGats {
		word, tail := cutWord(rest)
		rest = tail
		var ok bool
		if ttl, ok = parseTTL32(word, t.Now.Wall); !ok && len(word) > 0 {
			if w, _ := cutWord(rest); len(w) > 0 {
				t.text(badExptime, used, false)
				return
			}
		}
	}
	n, ops, open := t.n, len(t.Batch.Ops), false
	var last *req
	for {
		for len(rest) > 0 && rest[0] == ' ' {
			rest = rest[1:]
		}
		if len(rest) == 0 {
			break
		}
		i := bytes.IndexByte(rest, ' ')
		if i < 0 {
			i = len(rest)
		}
		if i > maxKey {
			t.n, t.Batch.Ops, t.pos = n, t.Batch.Ops[:ops], start
			t.text(badLine, used, false)
			return
		}
		key := rest[:i]
		rest = rest[i:]
		if t.n == grid.MaxBatch {
			open = true
			continue
		}
		r, op := t.op(v, grid.Get, key, 0)
		op.Ask, op.TTL = grid.WantValue, ttl
		r.end, r.list = base+whole-len(rest), v
		last = r
	}
	switch {
	case open:
		t.pos = last.end
		t.s.list, t.s.listTTL = v, ttl
	case last == nil:
		t.text(badLine, used, false)
	default:
		last.last, last.list, last.end = true, 0, ends
		t.pos = ends
	}
}

// cutWord returns the first word of b and what follows it.
func cutWord(b []byte) (word, rest []byte) {
	for len(b) > 0 && b[0] == ' ' {
		b = b[1:]
	}
	if i := bytes.IndexByte(b, ' '); i >= 0 {
		return b[:i], b[i:]
	}
	return b, nil
}

// listOn adds an op for the next key of the open list. The input at pos is within a line that was checked whole.
func (t *turn) listOn() {
	in := t.In[t.pos:]
	i := 0
	for in[i] == ' ' {
		i++
	}
	start := i
	for c := in[i]; c != ' ' && c != '\n'; c = in[i] {
		i++
	}
	end := i
	if in[i] == '\n' && in[i-1] == '\r' {
		end--
	}
	// Whether this is the last key shows behind it: only spaces up to the end of the line.
	j := i
	for in[j] == ' ' {
		j++
	}
	last := in[j] == '\n' || in[j] == '\r' && in[j+1] == '\n'
	if last {
		if in[j] == '\r' {
			j++
		}
		j++
	}
	v := t.s.list
	if last {
		t.s.list = 0
	}
	r, op := t.op(v, grid.Get, in[start:end], j)
	op.Ask = grid.WantValue
	if v == vGat || v == vGats {
		op.TTL = t.s.listTTL
	}
	r.last, r.list = last, t.s.list
}

// size reads a length argument.
func size(b []byte) (int, bool) {
	n, ok := parseInt(b)
	return int(n), ok && len(b) <= 11 && n >= 0 && n <= 1<<31-3
}

// storage parses `set KEY FLAGS EXPTIME BYTES [UNIQUE] [noreply]` and its data block.
func (t *turn) storage(ws *words, v verb, kind grid.Kind, cond grid.Cond, used int) {
	need := 5
	if v == vCas {
		need = 6
	}
	quiet := ws.noreply()
	n, ok := size(ws.word(4))
	if !ok {
		t.text(badLine, used, false)
		return
	}
	if ws.n < need {
		t.refuse(badLine, used, n, false) // the length was readable, so the data block is known
		return
	}
	key := ws.w[1]
	flags, okFlags := parseUint(unsigned(ws.w[2]))
	okFlags = okFlags || string(ws.w[2]) == "-0"
	exptime, okTTL := parseInt(unsigned(ws.w[3]))
	okTTL = okTTL && string(ws.w[3]) != "-"
	var unique uint64
	okUnique := true
	if v == vCas {
		unique, okUnique = parseUint(ws.w[5])
	}
	if len(key) > maxKey || !okFlags || flags > 1<<32-1 || !okTTL || !okUnique {
		t.refuse(badLine, used, n, quiet)
		return
	}
	if grid.Charge(len(key), n, uint32(flags)) > t.s.p.opt.MaxItem {
		t.count.n[tooLarge]++
		if v == vSet {
			t.clearOld(tooLargeER, key, used, n, quiet)
		} else {
			t.refuse(tooLargeER, used, n, quiet)
		}
		return
	}
	if n <= grid.StreamMin && len(t.In)-t.pos < used+n+2 {
		t.need = used + n + 2
		return
	}
	r, op := t.op(v, kind, key, used)
	r.quiet = quiet
	op.Cond, op.Version = cond, unique
	if kind == grid.Put {
		op.Flags, op.TTL = uint32(flags), lifespan(exptime, t.Now.Wall)
	} else {
		op.Arg = uint64(t.s.p.opt.MaxItem - grid.Charge(len(key), 0, 0))
	}
	t.data(r, op, used, n)
}

// refuse answers with an error and has the data block swallowed.
func (t *turn) refuse(line string, used, n int, quiet bool) {
	t.text(line, used, quiet)
	t.s.swallow = n + 2
}

// clearOld refuses a store that must not leave the old value behind.
func (t *turn) clearOld(line string, key []byte, used, n int, quiet bool) {
	r, _ := t.op(vTooLarge, grid.Remove, key, used)
	r.text, r.quiet = line, quiet
	t.s.swallow = n + 2
}

// data gives r and op, which were added last, their data block of n bytes, or opens a large one. A small one has
// arrived. used is the length of the line.
func (t *turn) data(r *req, op *grid.Op, used, n int) {
	r.size = n
	if n > grid.StreamMin {
		t.openFill(r, op, used, n)
		return
	}
	block := t.In[t.pos : t.pos+n+2]
	if block[n] != '\r' || block[n+1] != '\n' {
		quiet := r.quiet && r.verb != vMetaSet
		t.drop(used)
		t.text(badChunk, used+n+2, quiet)
		return
	}
	op.Value = block[:n]
	t.pos += n + 2
	r.end = t.pos
}

func (t *turn) remove(ws *words, used int) {
	quiet := ws.noreply()
	key := ws.word(1)
	switch {
	case ws.n < 2 || len(key) > maxKey:
		t.text(badLine, used, quiet && ws.n > 2)
		return
	case ws.n > 4,
		ws.n > 2 && !(ws.n == 3 && (quiet || string(ws.w[2]) == "0") || ws.n == 4 && quiet && string(ws.w[2]) == "0"):
		// memcached 1.6.45 deletes all the same; older ones and memcapable want this error.
		t.text(badDelete, used, quiet)
		return
	}
	r, _ := t.op(vDelete, grid.Remove, key, used)
	r.quiet = quiet
}

func (t *turn) arith(ws *words, v verb, kind grid.Kind, used int) {
	quiet := ws.noreply()
	key := ws.word(1)
	if ws.n < 3 || len(key) > maxKey {
		t.text(badLine, used, quiet && ws.n >= 3)
		return
	}
	delta, ok := parseUint(ws.w[2])
	if !ok {
		t.text(badDelta, used, quiet)
		return
	}
	r, op := t.op(v, kind, key, used)
	r.quiet = quiet
	op.Arg = delta
}

func (t *turn) touch(ws *words, used int) {
	quiet := ws.noreply()
	key := ws.word(1)
	if ws.n < 3 || len(key) > maxKey {
		t.text(badLine, used, quiet && ws.n >= 3)
		return
	}
	ttl, ok := parseTTL32(ws.w[2], t.Now.Wall)
	if !ok {
		t.text(badExptime, used, quiet)
		return
	}
	r, op := t.op(vTouch, grid.Touch, key, used)
	r.quiet = quiet
	op.TTL = ttl
}
