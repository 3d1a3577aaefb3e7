//go:build !race

package store_test

import (
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/grid/store"
)

// TestFootprint holds what an entry of 16 + 100 bytes takes, with index, open segments and what else there is, to 144 bytes, 155
// with flags and a lifespan, also after rewriting 60 % at random. The limit is to them as 3 GiB are to five million.
func TestFootprint(t *testing.T) {
	const entries = 1_000_000
	f := func(name string, op grid.Op, most float64) {
		t.Helper()
		heap := func() (bytes, allocs int64) {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return int64(m.HeapAlloc), int64(m.Mallocs)
		}
		s := newStore(t, store.Options{Limit: 640 << 20})
		before, allocs := heap()
		b := grid.NewBatch(1 << 16)
		op.Kind, op.Value = grid.Put, make([]byte, 100)
		var keys [grid.MaxBatch][16]byte
		put := func(n int, next func(i int) uint64) {
			for i := 0; i < n; {
				b.Reset()
				b.Now.Wall = 1_700_000_000_000 + int64(i)/100
				for j := range grid.MaxBatch {
					to := b.Add()
					*to = op
					to.Key = appendKey(keys[j][:0], next(i))
					i++
				}
				s.Do(b)
			}
		}
		measure := func(what string, most float64) {
			t.Helper()
			var st grid.Stats
			s.Stats(&st, grid.Time{})
			now, made := heap()
			grown, made := now-before, made-allocs
			if made > entries/100 { // some for each page of the index
				t.Errorf("%s, %s: %d allocations", name, what, made)
			}
			per := (float64(st.Memory) + float64(grown)) / entries
			t.Logf("%s, %s: %.1f bytes an entry, heap %d bytes", name, what, per, grown)
			if st.Entries != entries || per > most || grown > 4<<20 {
				t.Errorf("%s, %s: got %d entries, %.1f bytes each, %d bytes of heap, want %d, at most %.0f and 4 MiB", name, what, st.Entries, per, grown, entries, most)
			}
		}
		put(entries, func(i int) uint64 { return uint64(i) })
		measure("filled", most)
		rng := rand.New(rand.NewPCG(1, 2))
		put(entries*6/10, func(int) uint64 { return rng.Uint64N(entries) })
		measure("rewritten", most)
		runtime.KeepAlive(s)
	}
	f("plain", grid.Op{}, 116+store.Overhead)
	f("flags and lifespan", grid.Op{Flags: 1, TTL: 3600_000}, 116+store.FullOverhead)
}
