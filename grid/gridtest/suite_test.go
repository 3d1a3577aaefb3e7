package gridtest_test

import (
	"testing"

	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/grid/gridtest"
)

func TestModel(t *testing.T) {
	gridtest.TestCaches(t, func(_ *testing.T, o gridtest.Options) grid.Caches {
		o.Chunk = 5000
		return gridtest.NewModel(o)
	})
}

func TestLate(t *testing.T) {
	f := func(name string, set func(l *gridtest.Late)) {
		t.Run(name, func(t *testing.T) {
			seed := uint64(0)
			gridtest.TestCaches(t, func(t *testing.T, o gridtest.Options) grid.Caches {
				seed++
				l := gridtest.NewLate(gridtest.NewModel(o), seed)
				set(l)
				l.Start()
				t.Cleanup(l.Stop)
				return l
			})
		})
	}
	f("Answers", func(*gridtest.Late) {})
	f("Effects", func(l *gridtest.Late) { l.Defer = true })
	f("SomeSlow", func(l *gridtest.Late) { l.Share, l.Slow, l.Defer = 40, true, true })
}

func FuzzOps(f *testing.F) {
	gridtest.FuzzOps(f, func(_ *testing.T, o gridtest.Options) grid.Caches { return gridtest.NewModel(o) })
}
