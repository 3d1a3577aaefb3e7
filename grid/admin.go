package grid

import (
	"math"
	"math/bits"
)

// Admin is the administration of one cache: what acts on all of its entries, or tells about them. Rights are checked
// where it is handed out (Caches.Admin). Safe for concurrent use; never blocks for longer than a bounded piece of work.
//
// Flush is for the whole grid and may be Pending; the rest is about this node.
type Admin interface {
	// Flush makes every entry stored up to now a miss. With at > 0 (ms since 1970) it is put off: when that moment
	// comes, every entry last stored or used before it is a miss, also those stored after this call; a later Flush
	// of either kind replaces the one waiting. t is used only for Pending.
	Flush(at int64, t Ticket) Code
	// SetLimit changes Stats.Limit. Lowering it evicts. False: not possible.
	SetLimit(bytes uint64) bool
	// Stats fills s. It costs the same however many entries there are.
	Stats(s *Stats, now Time)
	// ResetStats zeroes the counters in Stats, not the gauges.
	ResetStats()
	// Scan fills p with further entries and reports whether there may be more; a page may be empty all the same. A scan
	// that is carried on until there are none brings every entry that was there throughout exactly once; expired entries
	// are left out. With Page.Segment it may still take a look at entries of other segments.
	Scan(p *Page, now Time) (more bool)
	// Count goes through entries as Scan does, but brings none: it adds how many there are to p.Count.
	Count(p *Page, now Time) (more bool)
	// Clear removes further entries of those that Scan would bring, adds how many to p.Count, and reports whether there may
	// be more. Listeners are told of each, as of a Remove, unless quiet: that is for entries that are only here no more.
	//
	// Other operations go on meanwhile. Each entry goes at one moment of its own, as by a Remove: what was stored before
	// that moment is gone, what is stored after it stays. So when the clear is carried on until there are no more, every
	// entry that was there before and was not stored since is gone; one that was stored meanwhile is there or is not, but
	// never as it was before. Who needs nothing to be left keeps writers away first.
	Clear(p *Page, now Time, quiet bool) (more bool)
	// Segments is how many grid segments there are.
	Segments() int
}

// Ticket names the request that a late answer is for, and its time.
type Ticket struct {
	Conn uint64
	Seq  uint32
	Late Late
	Now  Time
}

// Page is one piece of a scan, count or clear. The zero Cursor starts one.
type Page struct {
	Cursor  uint64
	Class   uint8   // only entries of this size class; 0 for all
	Segment int     // only entries of a grid segment: its number (Op.Segment) plus 1; 0 for all
	Count   uint64  // of Count and Clear, since the caller zeroed it
	Entries []Entry // filled up to cap; the caller's
	Mem     []byte  // the bytes of the entries' keys; the caller's, filled up to cap and never grown but for a first key
}

// Entry describes an entry in a Page. Key points into Page.Mem.
type Entry struct {
	Key     []byte
	Flags   uint32
	Attr    uint16
	State   State // Fetched, Stale, Claimed
	Version uint64
	Expires int64 // ms since 1970, 0 for never
	LastUse int64 // ms since 1970
	Size    int   // bytes of the value
}

// Stats is what a cache counts. Gauges tell about now, counters since start or ResetStats.
type Stats struct {
	Entries, Bytes uint64 // gauges; Bytes by Charge

	// Memory is what the engine has taken for entries, reservations and index, in bytes, and Limit what it may take: Memory
	// stays at most Limit. Bytes is what memcached would charge for the same entries; an engine that needs less for an entry
	// may hold more than Limit by that measure.
	Memory, Limit uint64 // gauges

	Stored      uint64 // counter: successful stores
	GetExpired  uint64 // counter: looked up, found expired
	GetFlushed  uint64 // counter: looked up, found flushed
	Reserved    uint64 // gauge: bytes reserved for large values that are still arriving
	PinnedDead  uint64 // gauge: bytes of large values that are gone but still being read
	ReserveBusy uint64 // counter: reservations refused because the two above are at their bound

	Classes [NumClasses]ClassStats
}

// ClassStats is the part of Stats that concerns one size class.
type ClassStats struct {
	Entries, Bytes uint64 // gauges; Bytes by Charge
	OldestUse      int64  // gauge: last use of the entry next in line for eviction, ms since 1970; 0 when empty

	Evicted          uint64 // removed to make room
	EvictedTTL       uint64 // of those, had a lifespan
	EvictedUnfetched uint64 // of those, were never read
	EvictedIdle      int64  // gauge: how long the last evicted entry had not been used, in ms
	NoMemory         uint64 // stores refused: nothing could be evicted
	Reclaimed        uint64 // expired entries whose room was used again
	ExpiredUnfetched uint64 // of those, were never read
}

// Charge is what an entry counts in statistics, whatever the engine's own overhead: the size that
// memcached gives the same entry (48 bytes of header, 8 of version, 4 of flags unless 0, key, value, 3 terminators), so
// that limits and dashboards move over unchanged.
func Charge(keyLen, valueLen int, flags uint32) int {
	n := 48 + 8 + keyLen + 1 + valueLen + 2
	if flags != 0 {
		n += 4
	}
	return n
}

// NumClasses bounds the size classes: 1 to NumClasses-1; 0 is none.
const NumClasses = 64

// classMax[c] is the largest Charge of class c. Classes only order entries by size in statistics and listings; their
// bounds are those of memcached's defaults (from 96 bytes in steps of 1.25), carried on for larger entries.
var classMax = func() (max [NumClasses]int) {
	size := 96
	for c := 1; c < NumClasses; c++ {
		max[c] = size
		size = (size*5/4 + 7) &^ 7
	}
	max[NumClasses-1] = math.MaxInt
	return max
}()

// classStart[b] is the first class whose entries may need b bits.
var classStart = func() (start [65]uint8) {
	c := 1
	for b := range start {
		for c < NumClasses-1 && bits.Len(uint(classMax[c])) < b {
			c++
		}
		start[b] = uint8(c)
	}
	return start
}()

// Class returns the size class of an entry by its Charge.
func Class(charge int) int {
	c := int(classStart[bits.Len(uint(charge))])
	for classMax[c] < charge {
		c++
	}
	return c
}

// ClassMax returns the largest Charge of class c.
func ClassMax(c int) int { return classMax[c] }
