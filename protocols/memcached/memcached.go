// Package memcached speaks memcached's text and meta protocols as upstream 1.6.45 does. It is a state machine over
// bytes: it opens no socket, starts no goroutine and keeps no input. The binary protocol has its place beside the text
// parser: Sniff says No to its magic byte until it exists.
//
// One Step parses complete requests in place into the batch (parse.go, classic.go, meta.go), runs them with one Do and
// renders the answers in order (render.go). Values above grid.StreamMin are streamed (large.go); answers that come
// later wait in an ordered queue (late.go); commands about the whole server run alone, between batches (admin.go,
// stats.go).
package memcached

import (
	"sync"
	"sync/atomic"

	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/protocols"
)

// Limits of the protocol.
const (
	maxKey      = 250
	maxLine     = 2048      // a line of any other command than the get family
	maxGetLine  = 1 << 20   // get, gets, gat, gats: their key lists may be long
	loopLine    = 128 << 10 // of such a line that is not whole; a loop would copy it together again for each packet that comes
	maxWords    = 24        // words looked at; meta allows 20
	maxOpaque   = 32
	defaultItem = 1 << 20
)

// attrBinary marks an entry whose key arrived in base64, in Op.Attr.
const attrBinary = 1

// Options configure the protocol. The zero value of a field means its default.
type Options struct {
	Version   string              // as `version` tells it; digits first; default 1.6.45
	MaxItem   int                 // largest item by grid.Charge; default 1 MiB
	MoveClock func(seconds int64) // what the debugtime command does; nil: there is no such command
	Host      func() Host         // what only the process knows, for `stats`; nil: zeros
	Cluster   string              // `host|ip|port` for `config get cluster`; "" for none
	LongLines int                 // bytes that lines of gets beyond 2,048 bytes may wait with, all together; default 64 MiB
}

// Host is what the process knows about itself.
type Host struct {
	PID, Threads                        int
	Started                             int64 // ms since 1970
	UserMicros, SystemMicros            int64
	MaxConns, Conns, TotalConns         uint64
	RejectedConns, Yields, IdleKicks    uint64
	BytesRead, BytesWritten, BufferUsed uint64
	List                                []HostConn
}

// HostConn is one connection or listener in `stats conns`.
type HostConn struct {
	ID          uint64
	Addr, Local string
	State       string
	Idle        int64 // seconds since the last command
}

// Protocol implements protocols.Protocol. One serves all connections.
type Protocol struct {
	opt      Options
	verbose  atomic.Int64
	long     atomic.Int64 // bytes that unfinished long lines have taken of Options.LongLines
	settings settings
	prefixes prefixes
	loops    [protocols.MaxLoops]atomic.Pointer[loop]
	queues   sync.Pool // of *late
}

// New returns the protocol.
func New(o Options) *Protocol {
	if o.Version == "" {
		o.Version = "1.6.45"
	}
	if o.MaxItem == 0 {
		o.MaxItem = defaultItem
	}
	if o.LongLines == 0 {
		o.LongLines = 64 << 20
	}
	p := &Protocol{opt: o}
	p.settings.defaults()
	return p
}

// Name implements protocols.Protocol.
func (p *Protocol) Name() string { return "memcached" }

// Sniff implements protocols.Protocol: every command begins with a lower-case letter, and nothing else on the port
// does.
func (p *Protocol) Sniff(prefix []byte) protocols.Match {
	if c := prefix[0]; c >= 'a' && c <= 'z' {
		return protocols.Yes
	}
	return protocols.No
}

// Open implements protocols.Protocol.
func (p *Protocol) Open(env *protocols.Env) protocols.Session {
	return &session{p: p, env: env}
}

// session is one connection. What is large or rare is behind a pointer, so that an idle one stays small.
type session struct {
	p     *Protocol
	env   *protocols.Env
	cache grid.Cache

	list    verb  // not 0: the input begins within the key list of a checked line
	listTTL int64 // of gat
	swallow int   // bytes of a refused data block still to come
	fill    *fill // a large value that is arriving
	send    *send // a large value that is leaving
	dump    *dump // a listing that is leaving
	late    *late // answers outstanding
	seq     uint32
	mean    int // size of late answers of late, in bytes
	scanned int // bytes of an unfinished line without its end
	long    int // bytes taken of Options.LongLines
	closing bool
}
