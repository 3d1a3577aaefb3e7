package store_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/grid/store"
)

const (
	benchEntries = 1 << 20
	manyEntries  = 5_000_000 // far more than processors keep
)

// appendKey makes a key of 16 bytes without touching memory that is not in the cache.
func appendKey(to []byte, n uint64) []byte {
	const hex = "0123456789abcdef"
	for shift := 60; shift >= 0; shift -= 4 {
		to = append(to, hex[n>>shift&15])
	}
	return to
}

func filled(b testing.TB, entries uint64) grid.Cache {
	c, err := newStore(b, store.Options{Limit: 4 << 30}).Open("", grid.Principal{})
	if err != nil {
		b.Fatal(err)
	}
	bt := grid.NewBatch(1 << 16)
	for i := range entries {
		bt.Reset()
		*bt.Add() = grid.Op{Kind: grid.Put, Key: appendKey(nil, i), Value: make([]byte, 32)}
		c.Do(bt)
	}
	return c
}

// BenchmarkGet looks up random keys among a million; compare with BenchmarkMap.
func BenchmarkGet(b *testing.B) { benchmarkGet(b, benchEntries) }

// BenchmarkGetMany looks them up among so many that each look-up waits for memory: batches, whose ops wait together, are to be
// at least twice as fast as single ops.
func BenchmarkGetMany(b *testing.B) { benchmarkGet(b, manyEntries) }

func benchmarkGet(b *testing.B, entries uint64) {
	c := filled(b, entries)
	var keys [32][16]byte
	for _, size := range []int{1, 4, 16, 32} {
		b.Run(fmt.Sprint("batch", size), func(b *testing.B) {
			bt := grid.NewBatch(1 << 16)
			b.ReportAllocs()
			for i := 0; i < b.N; i += size {
				bt.Reset()
				for j := range size {
					op := bt.Add()
					op.Kind, op.Ask, op.Key = grid.Get, grid.WantValue, appendKey(keys[j][:0], rand.Uint64N(entries))
				}
				if n := c.Do(bt); n != size || bt.Res[0].Code != grid.OK {
					b.Fatalf("Do: %d, code %d", n, bt.Res[0].Code)
				}
			}
		})
	}
}

// BenchmarkPut overwrites random keys with values of the same size.
func BenchmarkPut(b *testing.B) {
	c := filled(b, benchEntries)
	var keys [32][16]byte
	value := make([]byte, 32)
	bt := grid.NewBatch(1 << 16)
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i += 16 {
		bt.Reset()
		for j := range 16 {
			op := bt.Add()
			op.Kind, op.Key, op.Value = grid.Put, appendKey(keys[j][:0], rand.Uint64N(benchEntries)), value
		}
		c.Do(bt)
	}
}

// BenchmarkEvict stores new keys at the limit.
func BenchmarkEvict(b *testing.B) {
	c, err := newStore(b, store.Options{Limit: 64 << 20}).Open("", grid.Principal{})
	if err != nil {
		b.Fatal(err)
	}
	value, key := make([]byte, 32), [16]byte{}
	bt := grid.NewBatch(1 << 16)
	b.ReportAllocs()
	for i := range b.N {
		bt.Reset()
		op := bt.Add()
		op.Kind, op.Key, op.Value = grid.Put, appendKey(key[:0], uint64(i)), value
		if c.Do(bt); bt.Res[0].Code != grid.OK {
			b.Fatalf("Put: code %d", bt.Res[0].Code)
		}
	}
}

// BenchmarkMap is the yardstick: a plain map with the same keys, its values copied out.
func BenchmarkMap(b *testing.B) {
	m := map[string][]byte{}
	for i := range uint64(benchEntries) {
		m[string(appendKey(nil, i))] = make([]byte, 32)
	}
	var key [16]byte
	mem := make([]byte, 0, 1<<16)
	b.ResetTimer()
	for i := range b.N {
		if i%16 == 0 {
			mem = mem[:0]
		}
		mem = append(mem, m[string(appendKey(key[:0], rand.Uint64N(benchEntries)))]...)
	}
}

// BenchmarkLarge replaces and reads a value of 900 kB.
func BenchmarkLarge(b *testing.B) {
	c, err := newStore(b, store.Options{Limit: 1 << 30}).Open("", grid.Principal{})
	if err != nil {
		b.Fatal(err)
	}
	const size = 900_000
	from := make([]byte, 64<<10)
	bt := grid.NewBatch(1 << 16)
	b.SetBytes(size)
	for i := range b.N {
		bt.Reset()
		op := bt.Add()
		op.Kind, op.Key = grid.Put, fmt.Append(nil, "key", i%50)
		slot, _ := c.Reserve(op, size, grid.Ticket{})
		for left := size; left > 0; {
			n := copy(slot.Window(), from[:min(len(from), left)])
			slot.Wrote(n)
			left -= n
		}
		op.Body = slot
		if c.Do(bt); bt.Res[0].Code != grid.OK {
			b.Fatalf("Put: code %d", bt.Res[0].Code)
		}
	}
}
