package daemon

import (
	"math"
	"runtime/metrics"
	"testing"
)

func TestQuantile(t *testing.T) {
	inf := math.Inf(1)
	f := func(counts []uint64, q, want float64) {
		t.Helper()
		if got := quantile(&metrics.Float64Histogram{Counts: counts, Buckets: []float64{0, 1, 2, 3, inf}}, q); got != want {
			t.Errorf("%v, %v: got %v, want %v", counts, q, got, want)
		}
	}
	f([]uint64{0, 0, 0, 0}, 0.999, 0)
	f([]uint64{1, 0, 0, 0}, 0.999, 1)
	f([]uint64{999, 1, 0, 0}, 0.999, 1)
	f([]uint64{998, 1, 1, 0}, 0.999, 2)
	f([]uint64{500, 0, 500, 0}, 0.5, 1)
	f([]uint64{0, 0, 0, 1}, 0.999, 3) // the last bucket has no end
}
