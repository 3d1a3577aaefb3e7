package store_test

import (
	"math/bits"
	"runtime"
	"testing"

	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/grid/gridtest"
	"github.com/latticed/latticed/grid/store"
)

func open(t *testing.T, o gridtest.Options) grid.Caches {
	return newStore(t, store.Options{
		Limit: o.Limit, MaxValue: o.MaxValue, NoEvict: o.NoEvict, MaxPinned: o.MaxPinned, Segments: o.Segments, Segment: o.Segment,
	})
}

func newStore(t testing.TB, o store.Options) *store.Store {
	t.Helper()
	if bits.UintSize == 32 { // what earlier stores have of the address space comes back with a collection
		runtime.GC()
	}
	s, err := store.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStore(t *testing.T) { gridtest.TestCaches(t, open) }

func TestStoreLate(t *testing.T) {
	seed := uint64(0)
	gridtest.TestCaches(t, func(t *testing.T, o gridtest.Options) grid.Caches {
		seed++
		l := gridtest.NewLate(open(t, o), seed)
		l.Share, l.Slow, l.Defer = 50, true, true
		l.Start()
		t.Cleanup(l.Stop)
		return l
	})
}

func FuzzOps(f *testing.F) { gridtest.FuzzOps(f, open) }
