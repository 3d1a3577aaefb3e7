package store

// What an entry takes beside its key and value, in bytes: header, slot in the index, room that segments and index keep
// free. Small entries, which are kept in log segments; a large value's run is rounded up to pages. TestFootprint holds
// both.
const (
	Overhead     = 28 // without flags, lifespan and max-idle
	FullOverhead = 39 // with flags and a lifespan
)
