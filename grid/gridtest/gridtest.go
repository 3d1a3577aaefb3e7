// Package gridtest is what holds every grid.Caches to its contract: a naive model that is right by being simple
// (Model), a wrapper that makes any implementation answer late (Late), and the suite that compares an implementation
// with the model and hunts for what a model cannot show (TestCaches). It is for tests; nothing in it is fast.
//
// None of it reads a clock: time comes with Batch.Now, Ticket.Now and the now of Admin, so tests move it by hand. It
// must not run backwards.
package gridtest

// Options are what a test asks of a Caches. The zero Options are a cache without bounds.
type Options struct {
	MaxValue  int    // longest value in bytes; 0 for no bound
	Limit     uint64 // for the charges of all entries and reservations; 0 for no bound
	NoEvict   bool   // at the limit stores are Full instead of evicting; Model never evicts, whatever this says
	MaxPinned uint64 // bound on what Stats calls Reserved and PinnedDead together; 0 for no bound
	Segments  int    // grid segments; 0 for 256
	Waiting   int    // Model: events that wait for one listener before some are lost; 0 for 1000

	// Segment gives a key's grid segment; nil for one of the implementation's own.
	Segment func(key []byte) uint16

	Chunk int // Model: longest Window and Piece, to be awkward; 0 for the whole value
}
