package store_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/grid/store"
)

// BenchmarkSmall reads and overwrites 2,048 entries one by one and in batches of 32, by 1 to as many goroutines as there are
// processors: what the engine costs when memory does not, and how that scales. ns/op is of the wall clock, for all goroutines
// together.
func BenchmarkSmall(b *testing.B) {
	const entries = 2048
	c := newStore(b, store.Options{Limit: 256 << 20})
	bt := grid.NewBatch(1 << 16)
	var keys [entries][16]byte
	v := make([]byte, 32)
	for i := range keys {
		appendKey(keys[i][:0], rand.Uint64())
		bt.Reset()
		*bt.Add() = grid.Op{Kind: grid.Put, Key: keys[i][:], Value: v}
		c.Do(bt)
	}
	run := func(kind grid.Kind, batch, x, n int) {
		bt := grid.NewBatch(1 << 16)
		for ; n > 0; n -= batch {
			bt.Reset()
			for range batch {
				op := bt.Add()
				op.Kind, op.Key = kind, keys[x%entries][:]
				if kind == grid.Put {
					op.Value = v
				} else {
					op.Ask = grid.WantValue
				}
				x += 7
			}
			c.Do(bt)
		}
	}
	for kind, name := range map[grid.Kind]string{grid.Get: "get", grid.Put: "put"} {
		for _, batch := range []int{1, 32} {
			for workers := 1; ; workers = min(2*workers, runtime.NumCPU()) {
				b.Run(fmt.Sprintf("%s/batch%d/%d", name, batch, workers), func(b *testing.B) {
					b.ReportAllocs()
					var all sync.WaitGroup
					for w := range workers {
						all.Go(func() { run(kind, batch, w*entries/workers, b.N/workers) })
					}
					all.Wait()
				})
				if workers == runtime.NumCPU() {
					break
				}
			}
		}
	}
}
