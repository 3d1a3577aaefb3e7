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
	"sync/atomic"

	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/protocols"
)

// Limits of the protocol.
const (
	maxKey      = 250
	maxLine     = 2048    // a line of any other command than the get family
	maxGetLine  = 1 << 20 // get, gets, gat, gats: their key lists may be long
	maxWords    = 24      // words looked at; meta allows 20
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
	settings settings
	prefixes prefixes
	loops    [protocols.MaxLoops]counters
}

// New returns the protocol.
func New(o Options) *Protocol {
	if o.Version == "" {
		o.Version = "1.6.45"
	}
	if o.MaxItem == 0 {
		o.MaxItem = defaultItem
	}
	return &Protocol{opt: o}
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
	closing bool
}

// counter is one of the figures that the codec counts itself.
type counter uint8

const (
	cmdGet counter = iota
	cmdSet
	cmdFlush
	cmdTouch
	cmdMeta
	getHits
	getMisses
	deleteMisses
	deleteHits
	incrMisses
	incrHits
	decrMisses
	decrHits
	casMisses
	casHits
	casBadval
	touchHits
	touchMisses
	tooLarge
	noMemory
	numCounters
)

// counters are one loop's. Stream connections share a loop's index, so they are added to atomically, once a Step.
type counters struct {
	n [numCounters]atomic.Uint64
	_ [64 - numCounters*8%64]byte
}

// tally counts within one Step.
type tally [numCounters]uint32

func (p *Protocol) flush(loop int, t *tally) {
	c := &p.loops[loop]
	for i, n := range t {
		if n != 0 {
			c.n[i].Add(uint64(n))
		}
	}
}

func (p *Protocol) total(c counter) (sum uint64) {
	for i := range p.loops {
		sum += p.loops[i].n[c].Load()
	}
	return sum
}
