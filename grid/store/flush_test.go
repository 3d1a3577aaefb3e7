package store_test

import (
	"testing"

	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/grid/store"
)

// TestFlushStays puts off a flush after another one has come: what the first took stays gone.
func TestFlushStays(t *testing.T) {
	s := store.New(store.Options{})
	b := grid.NewBatch(64)
	f := func(kind grid.Kind, idle, now int64, want grid.Code) {
		t.Helper()
		b.Reset()
		*b.Add() = grid.Op{Kind: kind, Key: []byte("k"), Idle: idle}
		b.Now.Wall = now
		s.Do(b)
		if got := b.Res[0].Code; got != want {
			t.Errorf("op of kind %d at %d: got code %d, want %d", kind, now, got, want)
		}
	}
	flush := func(at, now int64) { s.Flush(at, grid.Ticket{Now: grid.Time{Wall: now}}) }
	f(grid.Put, 0, 1000, grid.OK)
	flush(1010, 1000)
	flush(5000, 1010)
	f(grid.Get, 0, 1011, grid.Missing)

	// a max-idle near the largest integer does not wrap around
	f(grid.Put, 1<<63-1, 1012, grid.OK)
	f(grid.Get, 0, 1013, grid.OK)
}

// TestLives changes lifespan and max-idle of an entry that is there, also to the largest ones.
func TestLives(t *testing.T) {
	s := store.New(store.Options{})
	b := grid.NewBatch(64)
	f := func(kind grid.Kind, ttl, idle, now int64, want grid.Code) {
		t.Helper()
		b.Reset()
		*b.Add() = grid.Op{Kind: kind, Key: []byte("k"), TTL: ttl, Idle: idle}
		b.Now.Wall = now
		s.Do(b)
		if got := b.Res[0].Code; got != want {
			t.Errorf("op of kind %d at %d: got code %d, want %d", kind, now, got, want)
		}
	}
	f(grid.Put, 10, 10, 1000, grid.OK)
	f(grid.Touch, 100, -1, 1000, grid.OK)
	f(grid.Get, 0, 0, 1099, grid.OK)
	f(grid.Put, 1<<63-1, 0, 1099, grid.OK)
	f(grid.Get, 0, 0, 1100, grid.OK)
}
