package memcached

import (
	"encoding/base64"

	"github.com/latticed/latticed/grid"
)

// metaAsk is what rendering a meta reply has to know beside the flags themselves.
type metaAsk uint8

const (
	metaValue  metaAsk = 1 << iota // v
	metaBinary                     // b: the key was sent in base64
	metaTTL                        // T: req.ttl is what it set
	metaUnique                     // C; mg: no value when the version is req.equal; ms: a miss is NF
	metaLong                       // the opaque is too long
	metaOther                      // ma that subtracts, md that only marks: counted elsewhere or not at all
)

const badToken = "CLIENT_ERROR bad token in command line format\r\n"

// meta parses mg, ms, md, ma and me.
func (t *turn) meta(ws *words, line []byte, used int) {
	name := line[1]
	if ws.n < 2 || name == 's' && ws.n < 3 {
		t.text(badLine, used, false)
		return
	}
	key := ws.word(1)
	first, n := 2, 0
	if name == 's' {
		var ok bool
		if n, ok = size(ws.word(2)); !ok {
			t.text(badLine, used, false)
			return
		}
		first = 3
	}
	for i := first; i < min(ws.n, maxWords-1); i++ {
		if c := ws.w[i][0]; !(c >= '0' && c <= '9' || c >= 'A' && c <= 'z') {
			t.text(badLine, used, false) // no flag at all, and a data block is not swallowed
			return
		}
	}
	if name == 'e' {
		if len(key) > maxKey {
			t.text(badLine, used, false)
			return
		}
		_, op := t.op(vMetaDebug, grid.Get, key, used)
		op.Ask = grid.WantTimes | grid.NoBump
		return
	}
	r, op := t.op(vMetaGet, grid.Get, key, used)
	if ws.n > first && ws.n <= maxWords {
		r.flags = line[offset(line, ws.w[first]):]
	}
	mode, fault := t.metaFlags(ws, first, name, op, r)
	if fault == "" {
		fault = metaOp(name, mode, op, r)
	} else if name == 'a' {
		fault = "CLIENT_ERROR invalid or duplicate flag\r\n"
	}
	if fault == "" && r.ask&metaLong != 0 {
		fault = "CLIENT_ERROR opaque token too long\r\n"
	}
	r.keyLen = uint8(len(op.Key))
	switch {
	case name == 's':
		t.metaData(r, op, fault, used, n)
	case fault != "":
		t.drop(used)
		t.text(fault, used, false)
	}
}

// metaData goes on with an ms whose line is parsed into r and op, which were added last.
func (t *turn) metaData(r *req, op *grid.Op, fault string, used, n int) {
	key := op.Key
	switch {
	case fault != "":
		t.drop(used)
		t.refuse(fault, used, n, false)
		return
	case grid.Charge(len(key), n, op.Flags) > t.s.p.opt.MaxItem:
		t.count.n[tooLarge]++
		t.drop(used)
		t.clearOld(tooLargeER, key, used, n, false)
		return
	case n <= grid.StreamMin && len(t.In)-t.pos < n+2:
		t.drop(used)
		t.need = used + n + 2
		return
	}
	if op.Kind != grid.Put {
		op.Arg = uint64(t.s.p.opt.MaxItem - grid.Charge(len(key), 0, op.Flags))
	}
	t.data(r, op, used, n)
}

// offset tells where word, a part of line, begins.
func offset(line, word []byte) int { return cap(line) - cap(word) }

// metaFlags reads the flags into op and r. fault is the error line, if any.
func (t *turn) metaFlags(ws *words, first int, name byte, op *grid.Op, r *req) (mode byte, fault string) {
	now := t.Now.Wall
	if len(op.Key) > maxKey {
		return 0, badLine
	}
	if ws.n > 20 {
		return 0, "CLIENT_ERROR options flags are too long\r\n"
	}
	var seen [2]uint64
	for i := first; i < ws.n; i++ {
		w := ws.w[i]
		c := w[0]
		if seen[c>>6]&(1<<(c&63)) != 0 {
			return 0, "CLIENT_ERROR duplicate flag\r\n"
		}
		seen[c>>6] |= 1 << (c & 63)
		arg := w[1:]
		ok, numbers := true, badToken
		switch c {
		case 'b':
			// Decoded over itself: the text form is still in the input, where the reply finds it.
			raw := make([]byte, base64.StdEncoding.DecodedLen(len(op.Key)))
			n, err := base64.StdEncoding.Decode(raw, op.Key)
			if err != nil || n == 0 {
				fault = "CLIENT_ERROR error decoding key\r\n"
				continue
			}
			op.Key, op.Attr = raw[:n], attrBinary
			r.ask |= metaBinary
		case 'N':
			op.Ask |= grid.Vivify
			op.VivifyTTL, ok = parseTTL32(arg, now)
		case 'T':
			if op.TTL, ok = parseTTL32(arg, now); ok {
				r.ttl = op.TTL
				r.ask |= metaTTL
				if name != 's' && op.Ask&grid.Vivify != 0 {
					op.VivifyTTL = op.TTL // the last one counts, also for an entry that is created
				}
			}
		case 'R':
			var ttl int64
			if ttl, ok = parseTTL32(arg, now); ok && ttl > 0 {
				op.Arg = uint64(ttl)
			}
		case 'C':
			op.Version, ok = parseUint(arg)
			op.Cond = grid.IfVersion
		case 'E':
			op.NewVersion, ok = parseUint(arg)
			if ok && op.NewVersion != 0 {
				op.Ask |= grid.OwnVersion
			}
		case 'F':
			var n uint64
			n, ok = parseUint(arg)
			ok = ok && n <= 1<<32-1
			op.Flags = uint32(n)
			if numbers = badLine; fault != "" {
				numbers = fault
			}
		case 'J':
			op.Initial, ok = parseUint(arg)
			numbers = "CLIENT_ERROR invalid numeric initial value\r\n"
		case 'D':
			var delta uint64
			if delta, ok = parseUint(arg); name == 'a' {
				op.Arg = delta
			}
			numbers = "CLIENT_ERROR invalid numeric delta value\r\n"
		case 'M':
			mode = '?'
			if len(arg) > 0 {
				mode = arg[0]
			}
		case 'v':
			r.ask |= metaValue
		case 'u':
			op.Ask |= grid.NoBump
		case 'q':
			r.quiet = true
		case 'x':
			if name == 'd' {
				op.Ask |= grid.Hollow
				if op.TTL == grid.TTLDefault {
					op.TTL = grid.TTLForever
				}
			}
		case 'I':
			if name == 'd' || name == 's' {
				op.Ask |= grid.MarkStale
			}
		case 'O':
			if len(w) > maxOpaque {
				r.ask |= metaLong
			}
		case 'P', 'L', 'k', 's', 't', 'c', 'f', 'l', 'h':
		default:
			return 0, "CLIENT_ERROR invalid flag\r\n"
		}
		if !ok {
			fault = numbers
		}
	}
	if name == 'a' && seen['D'>>6]&(1<<('D'&63)) == 0 {
		op.Arg = 1
	}
	if len(op.Key) > maxKey {
		fault = badLine
	}
	return mode, fault
}

func invalidMode(name byte) string {
	if name == 'a' {
		return "CLIENT_ERROR invalid mode for ma M token\r\n"
	}
	return "CLIENT_ERROR invalid mode for ms M token\r\n"
}

// metaOp finishes op and r for their command and mode, or tells what is wrong with the mode.
func metaOp(name, mode byte, op *grid.Op, r *req) (fault string) {
	switch name {
	case 'g':
		op.Kind = grid.Get
		if op.Cond == grid.IfVersion {
			op.Cond = grid.Always
			r.ask |= metaUnique
			r.equal = op.Version
		}
		op.Ask |= grid.Recache | grid.WantTimes
		if r.ask&metaValue != 0 {
			op.Ask |= grid.WantValue
		}
		r.verb = vMetaGet
		return ""
	case 'd':
		op.Kind = grid.Remove
		if op.Ask&grid.MarkStale != 0 {
			r.ask |= metaOther
		}
		r.verb = vMetaDelete
		return ""
	case 'a':
		op.Kind = grid.Incr
		switch mode {
		case 0, 'I', '+':
		case 'D', '-':
			op.Kind = grid.Decr
			r.ask |= metaOther
		default:
			return invalidMode(name)
		}
		r.verb = vMetaArith
		return ""
	}
	op.Kind, r.verb = grid.Put, vMetaSet
	if r.ask&metaTTL == 0 {
		op.TTL = grid.TTLForever
	}
	stale := op.Ask & grid.MarkStale
	op.Ask &^= grid.MarkStale
	vivify := op.Ask & grid.Vivify
	op.Ask &^= grid.Vivify
	switch mode {
	case 0, 'S':
		op.Ask |= stale
	case 'E':
		op.Cond = grid.IfAbsent
	case 'R':
		if op.Cond != grid.IfVersion {
			op.Cond = grid.IfPresent
		}
		op.Ask |= stale
	case 'A', 'P':
		op.Kind = grid.Append
		if mode == 'P' {
			op.Kind = grid.Prepend
		}
		op.TTL = grid.TTLDefault
		op.Ask |= vivify
	default:
		return invalidMode(name)
	}
	if op.Kind == grid.Put && op.Cond == grid.IfVersion {
		r.ask |= metaUnique
	}
	return ""
}
