package grid_test

import (
	"math"
	"testing"
	"unsafe"

	"github.com/latticed/latticed/grid"
)

func TestSizes(t *testing.T) {
	if n := unsafe.Sizeof(grid.Op{}); n > 160 {
		t.Errorf("Op is %d bytes, want at most 160", n)
	}
	if n := unsafe.Sizeof(grid.Result{}); n > 96 {
		t.Errorf("Result is %d bytes, want at most 96", n)
	}
}

func TestClass(t *testing.T) {
	f := func(charge, want int) {
		t.Helper()
		if got := grid.Class(charge); got != want {
			t.Errorf("Class(%d): got %d, want %d", charge, got, want)
		}
	}
	f(0, 1)
	f(1, 1)
	f(96, 1)
	f(97, 2)
	f(120, 2)
	f(121, 3)
	f(math.MaxInt, grid.NumClasses-1)
	for c := 1; c < grid.NumClasses; c++ {
		if c > 1 && grid.ClassMax(c) <= grid.ClassMax(c-1) {
			t.Fatalf("class %d is not larger than the one before", c)
		}
		f(grid.ClassMax(c), c)
		if c < grid.NumClasses-1 {
			f(grid.ClassMax(c)+1, c+1)
		}
	}
}

func TestCharge(t *testing.T) {
	// memcached 1.6.45 with -I 1m stores a value of 1,048,516 bytes under a one-byte key and no larger one.
	if got := grid.Charge(1, 1048516, 0); got != 1<<20 {
		t.Errorf("Charge: got %d, want %d", got, 1<<20)
	}
}

func TestBatch(t *testing.T) {
	b := grid.NewBatch(64)
	for i := range grid.MaxBatch {
		op := b.Add()
		if op == nil {
			t.Fatalf("Add %d: got nil", i)
		}
		op.Key = []byte{1}
	}
	if b.Add() != nil {
		t.Error("Add beyond MaxBatch: want nil")
	}
	b.Reset()
	if op := b.Add(); op == nil || op.Key != nil {
		t.Error("Add after Reset: want a zeroed op")
	}
	if n := testing.AllocsPerRun(100, func() { b.Reset(); b.Add() }); n != 0 {
		t.Errorf("Add and Reset allocate %v times", n)
	}
}
