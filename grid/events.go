package grid

// Events is where listeners to one cache come from. Rights are checked where it is handed out (Caches.Events).
type Events interface {
	// Listen has a new feed told of everything that happens from when it returns. t says whom to wake; Late nil: nobody. Codes: OK; Busy:
	// there are as many listeners, or as much memory for them, as there may be; Denied: the cache was removed; Stopping.
	Listen(i Interest, t Ticket) (Feed, Code)
}

// EventKind is a set of kinds of events; an Event is of one.
type EventKind uint8

// The kinds.
const (
	Created  EventKind = 1 << iota // stored where no entry was, or none that was not expired
	Modified                       // another value, or another version, of an entry; not: another lifespan alone
	Removed                        // by an op
	Expired                        // found expired, by whomever: exactly once for each entry that ends so
	Cleared                        // all entries at once, by a Flush when it takes effect, and none of them by itself; see Admin.Flush on what it may spare
	Lost                           // always told: here Event.Count events of the kinds asked for are missing
)

// Interest is what a listener wants to be told. What makes room for other entries, eviction, is no event.
type Interest struct {
	Kinds  EventKind
	Values bool // the values, too
}

// Feed is the events of one listener in a bounded queue. It never keeps a writer waiting: when the queue is full the oldest
// events are lost, and counted. One goroutine at a time.
type Feed interface {
	// Next fills p with the events that come next. OK: there may be more, go on at once; Pending: these are all, the
	// connection is woken (Late.Wake, which coalesces) when there are others; Denied: these are the last, the cache
	// was removed. A page may be empty whatever the code.
	//
	// Events on one key come in the order of its operations, and so does Cleared. When Do returns, the events of the ops
	// that it answered have come, so that a session can tell its client of them before it sends the answers.
	Next(p *EventPage) Code
	// Close ends it; once. A wake-up may still come.
	Close()
}

// EventPage is some events of a feed.
type EventPage struct {
	Events []Event // filled up to cap; the caller's
	Mem    []byte  // the bytes of keys and values; the caller's, filled up to cap and never grown but for a first event
}

// Event is something that happened. Key and Value point into EventPage.Mem.
type Event struct {
	Kind       EventKind // one
	Attr       uint16
	Flags      uint32
	Key, Value []byte
	Size       int    // bytes of the value; len(Value) is less if it was not asked for or is above StreamMin
	Version    uint64 // and Flags, Attr, Value, Size: of the entry as the op left it; Removed, Expired: as it was last
	Count      uint64 // Lost: how many
}
