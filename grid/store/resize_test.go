package store

import (
	"testing"

	"github.com/latticed/latticed/grid"
)

// TestResizedRuns grows and shrinks runs among others, so that their extents are torn, and wants every page back.
func TestResizedRuns(t *testing.T) {
	s, err := New(Options{Limit: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	a := s.a
	free := func() int { return a.pages.free + (a.most()-a.used)*a.pages.per }
	room := func(run uint64) (n int) {
		for ; run != 0; run = a.u64(run) {
			n += int(a.u32(run+8))<<pageShift - extentHeader
		}
		return n
	}
	before := free()
	var runs [7]uint64
	for round, size := range []int{1, 20_000, 1_000_000, 4064, 4065, 3 << 20, 1 << 20, 1<<20 - 32, 5, 2_000_000, 700_000} {
		for i := range runs {
			if runs[i] == 0 {
				if runs[i] = a.newRun(size + i); runs[i] == 0 {
					t.Fatalf("no run of %d bytes", size+i)
				}
			} else if !a.resizeRun(runs[i], size+i) {
				t.Fatalf("no %d bytes for a run", size+i)
			}
			if got := room(runs[i]); a.runSize(runs[i]) != size+i || got < size+i || got >= size+i+2*pageSize+extentHeader*(round+1) {
				t.Fatalf("a run of %d bytes says %d and has room for %d", size+i, a.runSize(runs[i]), got)
			}
		}
	}
	if a.resizeRun(runs[0], 1<<30) {
		t.Error("a run is longer than the memory")
	}
	for _, run := range runs {
		a.freeRun(run)
	}
	if after := free(); after != before {
		t.Errorf("%d pages are free, want %d as before", after, before)
	}
	if _, code := s.Reserve(&grid.Op{Kind: grid.Put, Key: []byte("k")}, 1<<20, grid.Ticket{}); code != grid.OK {
		t.Errorf("Reserve: got code %d, want OK", code)
	}
}
