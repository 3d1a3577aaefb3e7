// Package protocols is the contract between drivers and protocols: a session is a state machine, bytes in, bytes out,
// that never blocks, starts no goroutine and knows no socket. The same session runs on an event loop, on a goroutine
// after a hand-off, on a Unix socket, under TLS, in a test and in a fuzzer. Implementations are in the folders below;
// protocols/prototest drives any of them.
package protocols

import (
	"net/netip"
	"time"

	accesslog "github.com/latticed/latticed/access-log"
	"github.com/latticed/latticed/grid"
)

// Match is what a protocol thinks of the first bytes of a connection.
type Match uint8

// The matches.
const (
	No    Match = iota // never mine
	Maybe              // needs more bytes
	Yes                // mine
)

// SniffMax is how many bytes every Sniff needs at most to say No or Yes.
const SniffMax = 24

// Protocol is one of the things spoken on the port, shared by all loops: what it holds is safe for concurrent use.
// Per-loop state is an array indexed by Turn.Loop.
type Protocol interface {
	Name() string
	// Sniff judges the first bytes of a connection, at least one. It is pure, and settles within SniffMax bytes.
	Sniff(prefix []byte) Match
	// Open starts a session. env is the connection's and may be kept.
	Open(env *Env) Session
}

// Env is what a session may keep: it names nothing that belongs to a loop.
type Env struct {
	Conn   uint64 // connection id, never reused: access log, late answers
	Caches grid.Caches
	Owner  Owner // nil only in tests
	Remote netip.AddrPort
	TLS    bool
	Local  bool  // the listener is reachable from this machine alone: a loopback address or a Unix socket
	Admin  bool  // what changes the server may be asked for on this listener
	Door   *Door // of the listener; nil is a zero one
	Limits Limits
}

// Door is what all connections of a listener have in common.
type Door struct {
	// Trusts tells whether an address is that of a proxy whose word on who asks is taken; nil: none is.
	Trusts func(netip.Addr) bool
	// Log takes a record of each request, also of those that nobody is there to be answered for when the session is closed. nil:
	// it is off.
	Log accesslog.Recorder
}

// Trusts is the Door's.
func (e *Env) Trusts(addr netip.Addr) bool {
	return e.Door != nil && e.Door.Trusts != nil && e.Door.Trusts(addr)
}

// Log is the Door's.
func (e *Env) Log() accesslog.Recorder {
	if e.Door == nil {
		return nil
	}
	return e.Door.Log
}

// Describe is Owner's, where there is one.
func (e *Env) Describe(protocol, client string) {
	if e.Owner != nil {
		e.Owner.Describe(protocol, client)
	}
}

// Limits bound what one connection may have outstanding.
type Limits struct {
	Held int // answers outstanding before the session parks
}

// DefaultLimits are the limits of a connection that nobody configured.
var DefaultLimits = Limits{Held: 256}

// Waker asks for a Step without input. Any goroutine, never blocks, calls coalesce.
type Waker interface{ Wake() }

// Owner is a connection as its session sees it.
type Owner interface {
	Waker
	// Describe says, for those who look at connections, what is spoken, with its version if it has one, and what the client says
	// that it is, if it does. It is called within a Step. Whoever has nothing to say does not call it.
	Describe(protocol, client string)
}

// Turn is all a session sees in one Step. It and everything in it is the driver's, and may be another driver's next
// time: nothing of it is kept, except a late Body, which becomes the session's.
type Turn struct {
	In      []byte           // unread input, overwritten after Step
	EOF     bool             // nothing follows In
	Leaving bool             // the node is stopping: say goodbye, end when nothing is under way
	Overdue bool             // a request has been coming for too long: what In does not complete is given up
	Late    []Answer         // in any order; their values fit Room and are valid during Step
	Out     []byte           // replies are appended; len 0 on entry
	Room    int              // start no further reply when len(Out) reaches it
	CanTail bool             // Tail may be used (clear-text drivers)
	Tail    []byte           // bytes to send after Out, pinned by a Blob the session holds until the next Step
	Now     grid.Time        //
	Batch   *grid.Batch      // empty on entry
	Loop    int              // index for per-loop state, below MaxLoops; stream goroutines share the last
	Rec     accesslog.Record // scratch for Door.Log
}

// MaxLoops bounds Turn.Loop, so that per-loop state can be an array made when a Protocol is.
const MaxLoops = 256

// Answer is a late answer.
type Answer struct {
	Seq uint32
	Res grid.Result
}

// Next is what a session wants its driver to do.
type Next uint8

// The nexts.
const (
	More    Next = iota // call when In holds Need bytes, or on late answers, wake, EOF
	Flush               // Room is spent or Tail is set: call again when all is written, with the same In
	Park                // read nothing: call on late answers or wake only
	Close               // write Out, then close
	HandOff             // go on in the stream driver
	Switch              // To goes on with the rest of In
)

// The rest of a request has FinishTimeout to come, and as long again for each FinishBytes that do: 273 bytes a second.
const (
	FinishTimeout = 60 * time.Second
	FinishBytes   = 16 << 10
)

// Progress is what a Step did and what it wants.
type Progress struct {
	Used int     // bytes of In that are finished with
	Need int     // with More: the length In must reach to be worth a call; exact or too low, never too high
	Next Next    //
	Held int     // answers outstanding: the driver keeps the connection for them, also after EOF
	To   Session // with Switch
	Kept int     // bytes of memory the session has beside what an idle one has and large values: more or less, rather more
	Amid bool    // with More: a request has begun to come, and the rest of it is what is waited for
}

// Session is one connection's protocol: a state machine that never blocks, spawns nothing and knows no driver. Steps
// never overlap, but may run on different goroutines over its life.
//
// Whole input, any split of it and any grouping of late answers give the same bytes and the same sequence of ops.
// After EOF the session answers what is complete; the driver closes when Next is Close, or More with Held 0.
type Session interface {
	Step(t *Turn) Progress
	// Close is called once, last: it releases Slots, Blobs and subscriptions.
	Close()
}
