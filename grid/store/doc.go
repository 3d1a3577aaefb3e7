// Package store holds the entries of one node: outside Go's heap, in as much memory as it is given, evicting when that is
// used up. Its surface is what Store implements of package grid, New, Create and Remove, Save and Load, and Sweep. There are
// no goroutines here.
//
// # Layout
//
// All memory is one reservation (arena.go) that is cut into log segments of 32 KiB to 1 MiB. A log segment is free, or a
// shard writes entries into it one after the other (log.go, entry.go), or it is cut into pages (pages.go), of which large
// values, long keys and the index are made. Whatever refers to something in the arena is an offset from its beginning,
// there is no pointer for an entry anywhere, and the garbage collector has nothing to look at.
//
//	arena:   | what is known about each log segment | log segment | log segment | ...
//	entry:   | what there is of it, version, last use | flags, lifespan, max-idle ... | key | value or its run |
//	index:   buckets of 8 slots: | tag 16 | frequency 2 | offset 46 |
//
// Entries are spread over up to 64 shards, 16 a processor, by grid segment, which lies in one. A shard is a mutex, an index
// (index.go) that grows and shrinks by one bucket at a time, and two queues of log segments for eviction (evict.go, ghost.go). A
// store appends to the log, where what expires at about the same time is kept together, or overwrites in place what it nearly
// fills; what is replaced stays behind as dead bytes until its segment is emptied. Large values are runs that are counted by
// reference and read without a lock (large.go); so is what is appended to put together (ahead.go).
//
// # Caches
//
// A Store has many caches by name (caches.go). Each has shards, statistics, flushes and bounds of its own; arena and limit are
// common to all. Beside others, who stores when memory is tight cleans its own segments of dead bytes, and what is still
// missing is evicted from all caches in turn, from each in proportion to what it holds. A cache that refuses when it is full
// gives nothing. What a removed cache held is given back bit by bit.
//
// # Memory
//
// Options.Limit bounds log segments, whatever they are used for, and the 64 bytes known about each. A few of them are
// kept free: eviction moves what is worth keeping into them. Free ones are given back to the system by Sweep but for a
// thirty-second of the limit. When the system refuses memory below the limit, what it gave is the limit until it gives more.
// What is outside the limit is small and does not grow with entries: per shard 6 KiB, most of it
// statistics, and up to 80 KiB of scratch, and about a byte an entry for the ghosts.
//
// # Events
//
// Who listens to a cache reads a ring of events in the arena (events.go). Ops of a cache that nobody listens to pay the load
// of one pointer if they change something.
//
// # Locks
//
// Store.mu, then cache.listening, then one of razing.mu, turn.mu and cache.flushing, then one shard.mu, then events.mu, then
// arena.mu or bounds.mu. No shard is locked while another one is, and none for longer than an op takes and turnMost entries of
// walking, sweeping or scanning take: who has to do more lets others have their turn. What an op reads without a lock
// (cache.touch) is a hint.
//
// # Invariants
//
//  1. An entry that is not marked gone has exactly one slot in the index of its shard, and every slot names such an entry.
//  2. info.dead is the sum of the lengths of the entries marked gone; a segment that is not written to any more and is dead
//     from end to end is given back.
//  3. A run has a reference from its entry and one from each Blob. Nobody writes to a run after it was stored.
//  4. Room is taken before anything is changed: an op that cannot have it has changed nothing but what it found dead.
//  5. Nothing in the arena is an address, so that it can be saved and read by another process.
package store
