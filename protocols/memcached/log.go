package memcached

import (
	"time"

	accesslog "github.com/latticed/latticed/access-log"
	"github.com/latticed/latticed/grid"
)

// verbNames are what the access log calls requests.
var verbNames = [...]string{
	vGet: "get", vGets: "gets", vGat: "gat", vGats: "gats", vSet: "set", vAdd: "add", vReplace: "replace", vAppend: "append",
	vPrepend: "prepend", vCas: "cas", vTooLarge: "set", vDelete: "delete", vIncr: "incr", vDecr: "decr", vTouch: "touch",
	vMetaGet: "mg", vMetaSet: "ms", vMetaDelete: "md", vMetaArith: "ma", vMetaDebug: "me",
}

// record writes one request to the access log. text is its reply, to which a Body and suffix belong.
func (t *turn) record(r *req, res *grid.Result, text []byte, suffix string, in int, start grid.Time, nanos int64) {
	out := len(text)
	if res != nil && res.Body != nil {
		out += res.Body.Len() + len(suffix)
	}
	t.log(r.name(), r.key, status(r, res), in, out, start, nanos)
}

// name is what the access log calls the request.
func (r *req) name() string {
	if r.verb == vText {
		return textName(r.text)
	}
	return verbNames[r.verb]
}

func (t *turn) log(op string, key []byte, status string, in, out int, start grid.Time, nanos int64) {
	t.Rec = t.s.recordOf(op, key, status, in, out, start, nanos)
	t.s.env.Log().Record(&t.Rec)
	t.Rec = accesslog.Record{}
}

func (s *session) recordOf(op string, key []byte, status string, in, out int, start grid.Time, nanos int64) accesslog.Record {
	return accesslog.Record{
		Conn: s.env.Conn, Start: start.Wall, Duration: nanos, Protocol: "memcached", Op: op, Status: status, Key: key, In: in, Out: out,
	}
}

// recordLost writes the requests to the access log whose answers have not come and find nobody any more.
func (s *session) recordLost() {
	log := s.env.Log()
	if log == nil || s.late == nil {
		return
	}
	for i := range s.late.queue {
		if h := &s.late.queue[i]; h.open && !h.began.IsZero() {
			rec := s.recordOf(h.req.name(), h.req.key, "reset", h.in, 0, h.start, int64(time.Since(h.began)))
			log.Record(&rec)
		}
	}
}

// textName is the command that was answered with a fixed line: one of two, or one that could not be read.
func textName(line string) string {
	switch {
	case line == "MN\r\n":
		return "mn"
	case len(line) > 8 && line[:8] == "VERSION ":
		return "version"
	case line == "OK\r\n":
		return "flush_all"
	}
	return "invalid"
}

// adminName is name as a constant, so that a record keeps nothing of the input.
func adminName(name string) string {
	switch name {
	case "stats", "flush_all", "verbosity", "cache_memlimit", "shutdown", "slabs", "lru", "lru_crawler", "extstore", "watch",
		"refresh_certs", "config", "debugtime":
		return name
	}
	return "invalid"
}

// statusWord is the word a reply begins with, where it is one that tells an outcome.
func statusWord(line string) string {
	for _, word := range []string{"OK", "ERROR", "CLIENT_ERROR", "SERVER_ERROR", "RESET", "BADCLASS", "SAME", "NOSPARE", "BUSY"} {
		if len(line) > len(word) && line[:len(word)] == word && (line[len(word)] == ' ' || line[len(word)] == '\r' || line[len(word)] == ':') {
			return word
		}
	}
	return "OK"
}

// status is the outcome of a request, also of one whose reply is hidden.
func status(r *req, res *grid.Result) string {
	if res == nil {
		return statusWord(r.text)
	}
	switch res.Code {
	case grid.OK:
	case grid.Missing:
		switch {
		case r.verb <= vGats || r.verb == vMetaGet || r.verb == vMetaDebug:
			return "MISS"
		case r.verb == vReplace || r.verb == vAppend || r.verb == vPrepend || r.verb == vMetaSet && r.ask&metaUnique == 0:
			return "NOT_STORED"
		}
		return "NOT_FOUND"
	case grid.Exists:
		return "NOT_STORED"
	case grid.Conflict:
		return "EXISTS"
	case grid.NotNumber, grid.Denied:
		return "CLIENT_ERROR"
	default:
		if res.Code == grid.TooLarge && (r.verb == vAppend || r.verb == vPrepend || r.verb == vMetaSet) {
			return "NOT_STORED"
		}
		return "SERVER_ERROR"
	}
	switch r.verb {
	case vText:
		return "OK"
	case vGet, vGets, vGat, vGats, vMetaGet, vMetaDebug:
		return "HIT"
	case vTooLarge:
		return "SERVER_ERROR"
	case vDelete, vMetaDelete:
		return "DELETED"
	case vTouch:
		return "TOUCHED"
	}
	return "STORED"
}
