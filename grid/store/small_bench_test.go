package store_test

import (
	"math/rand/v2"
	"testing"

	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/grid/store"
)

// BenchmarkSmall reads and overwrites 2,048 entries in batches of 32: what the engine costs when memory does not.
func BenchmarkSmall(b *testing.B) {
	c := newStore(b, store.Options{Limit: 256 << 20})
	bt := grid.NewBatch(1 << 16)
	var keys [2048][16]byte
	v := make([]byte, 32)
	for i := range keys {
		appendKey(keys[i][:0], rand.Uint64())
		bt.Reset()
		*bt.Add() = grid.Op{Kind: grid.Put, Key: keys[i][:], Value: v}
		c.Do(bt)
	}
	for _, kind := range []grid.Kind{grid.Get, grid.Put} {
		b.Run(map[grid.Kind]string{grid.Get: "get", grid.Put: "put"}[kind], func(b *testing.B) {
			b.ReportAllocs()
			x := 0
			for i := 0; i < b.N; i += 32 {
				bt.Reset()
				for range 32 {
					op := bt.Add()
					op.Kind, op.Ask, op.Key = kind, grid.WantValue, keys[x&2047][:]
					if kind == grid.Put {
						op.Value = v
						op.Ask = 0
					}
					x += 7
				}
				c.Do(bt)
			}
		})
	}
}
