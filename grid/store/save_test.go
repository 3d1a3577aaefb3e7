package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/grid/store"
)

// full fills a store with entries of every form and returns what each looked like.
func full(t testing.TB, s *store.Store, now int64) map[string]grid.Result {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	b := grid.NewBatch(1 << 20)
	do := func(op grid.Op) grid.Result {
		t.Helper()
		b.Reset()
		b.Now.Wall = now
		*b.Add() = op
		s.Do(b)
		return b.Res[0]
	}
	for i := range 3000 {
		op := grid.Op{Kind: grid.Put, Key: fmt.Appendf(nil, "key %d", i), Value: make([]byte, rng.IntN(300))}
		switch i % 10 {
		case 1:
			op.Flags = 7
		case 2:
			op.TTL = 1 + rng.Int64N(1_000_000)
		case 3:
			op.TTL = 86_400_000*3 + rng.Int64N(5)
		case 4:
			op.Idle = 60_000
		case 5:
			op.Attr = 12
		case 6:
			op.Ask, op.NewVersion = grid.OwnVersion, uint64(i)
		case 7:
			op.Value = make([]byte, 5000+rng.IntN(10_000))
		case 8:
			op.Key = append(op.Key, make([]byte, rng.IntN(5000))...)
		}
		for j := range op.Value {
			op.Value[j] = byte(rng.Uint32())
		}
		if i%500 == 0 {
			op.Value = nil
			slot, code := s.Reserve(&op, 300_000, grid.Ticket{Now: grid.Time{Wall: now}})
			if code != grid.OK {
				t.Fatalf("Reserve: %d", code)
			}
			for w := slot.Window(); len(w) > 0; w = slot.Window() {
				for j := range w {
					w[j] = byte(i + j)
				}
				slot.Wrote(len(w))
			}
			op.Body = slot
		}
		now += 7
		if r := do(op); r.Code != grid.OK {
			t.Fatalf("Put %d: code %d", i, r.Code)
		}
		if i%3 == 0 {
			do(grid.Op{Kind: grid.Get, Key: op.Key})
		}
		if i%7 == 0 {
			do(grid.Op{Kind: grid.Remove, Key: op.Key, Ask: grid.MarkStale})
		}
	}
	return contents(t, s, now)
}

// contents reads everything without leaving a trace.
func contents(t testing.TB, s *store.Store, now int64) map[string]grid.Result {
	t.Helper()
	all := map[string]grid.Result{}
	b := grid.NewBatch(1 << 20)
	p := grid.Page{Entries: make([]grid.Entry, 0, 64), Mem: make([]byte, 0, 1<<16)}
	for more := true; more; {
		more = s.Scan(&p, grid.Time{Wall: now})
		for _, e := range p.Entries {
			b.Reset()
			b.Now.Wall = now
			*b.Add() = grid.Op{Kind: grid.Get, Key: e.Key, Ask: grid.WantValue | grid.WantTimes | grid.NoBump}
			s.Do(b)
			r := b.Res[0]
			r.Value = bytes.Clone(r.Value)
			if r.Body != nil {
				for off := 0; off < r.Body.Len(); {
					v := r.Body.Piece(off, 1<<20)
					r.Value = append(r.Value, v...)
					off += len(v)
				}
				r.Body.Close()
				r.Body = nil
			}
			all[string(e.Key)] = r
		}
	}
	return all
}

func TestSaveAndLoad(t *testing.T) {
	const now = int64(1_700_000_000_000)
	s := newStore(t, store.Options{Limit: 64 << 20})
	full(t, s, now)
	later := now + 500_000 // some have expired
	want := contents(t, s, later)
	var file bytes.Buffer
	saved, err := s.Save(&file, grid.Time{Wall: later})
	if err != nil || saved != len(want) {
		t.Fatalf("Save: %d, %v, want %d", saved, err, len(want))
	}
	again := newStore(t, store.Options{Limit: 128 << 20, Segments: 1024})
	later += 100_000
	loaded, err := again.Load(bytes.NewReader(file.Bytes()), grid.Time{Wall: later})
	if err != nil {
		t.Fatal(err)
	}
	want, got := contents(t, s, later), contents(t, again, later)
	if len(want) != len(got) || loaded != len(got) || len(want) == saved {
		t.Fatalf("%d were saved, %d are left, %d were loaded, %d are there", saved, len(want), loaded, len(got))
	}
	for k, w := range want {
		if g := got[k]; fmt.Sprintf("%+v", g) != fmt.Sprintf("%+v", w) {
			t.Errorf("%q:\ngot  %+v\nwant %+v", k[:min(len(k), 20)], g, w)
		}
	}
	// What is stored from now on has versions of its own.
	b := grid.NewBatch(1 << 10)
	for k, w := range want {
		b.Reset()
		b.Now.Wall = later
		*b.Add() = grid.Op{Kind: grid.Put, Key: []byte(k)}
		again.Do(b)
		if b.Res[0].Version == w.Version {
			t.Fatalf("%q has version %d once more", k, w.Version)
		}
	}

	// A limit that has no room for all of it.
	small := newStore(t, store.Options{Limit: 4 << 20})
	if n, err := small.Load(bytes.NewReader(file.Bytes()), grid.Time{Wall: later}); err != nil || n == 0 {
		t.Errorf("into 4 MiB: %d, %v", n, err)
	}
	if n := len(contents(t, small, later)); n == 0 || n >= len(want) {
		t.Errorf("into 4 MiB: %d of %d entries are there", n, len(want))
	}
}

// TestLoadRefuses damages a file in every way and everywhere; what is refused leaves the store empty.
func TestLoadRefuses(t *testing.T) {
	const now = int64(1_700_000_000_000)
	s := newStore(t, store.Options{Limit: 64 << 20})
	full(t, s, now)
	var file bytes.Buffer
	if _, err := s.Save(&file, grid.Time{Wall: now}); err != nil {
		t.Fatal(err)
	}
	whole := file.Bytes()
	empty := newStore(t, store.Options{Limit: 64 << 20})
	refuse := func(what string, data []byte, want error) {
		t.Helper()
		if n, err := empty.Load(bytes.NewReader(data), grid.Time{Wall: now}); !errors.Is(err, want) || n != 0 {
			t.Errorf("%s: got %d, %v, want %v", what, n, err, want)
		}
		if n := len(contents(t, empty, now)); n != 0 {
			t.Fatalf("%s: %d entries were taken", what, n)
		}
	}
	refuse("nothing", nil, store.ErrForeign)
	refuse("another file", []byte("#!/bin/sh\necho hello, world"), store.ErrForeign)
	version := bytes.Clone(whole)
	version[15]++
	refuse("another version", version, store.ErrVersion)
	for _, n := range []int{16, 20, 1000, len(whole) / 2, len(whole) - 13, len(whole) - 12, len(whole) - 1} {
		refuse(fmt.Sprint("cut to ", n), whole[:n], store.ErrTorn)
	}
	rng := rand.New(rand.NewPCG(3, 4))
	for range 50 {
		bad := bytes.Clone(whole)
		i := 16 + rng.IntN(len(bad)-16)
		bad[i] ^= 1 << rng.IntN(8)
		refuse(fmt.Sprint("damaged at ", i), bad, store.ErrTorn)
	}
	const block = 1 << 20
	swapped := append(append(append(bytes.Clone(whole[:16]), whole[16+block:16+2*block]...), whole[16:16+block]...), whole[16+2*block:]...)
	refuse("blocks swapped", swapped, store.ErrTorn)
	refuse("a block missing", append(bytes.Clone(whole[:16]), whole[16+block:]...), store.ErrTorn)
}

type failing struct{ after int }

func (f *failing) Write(p []byte) (int, error) {
	if f.after -= len(p); f.after < 0 {
		return 0, errors.New("no space left")
	}
	return len(p), nil
}

func TestSaveFails(t *testing.T) {
	s := newStore(t, store.Options{Limit: 64 << 20})
	full(t, s, 1_700_000_000_000)
	for _, after := range []int{0, 1 << 10, 3 << 20} {
		if _, err := s.Save(&failing{after}, grid.Time{Wall: 1_700_000_000_000}); err == nil {
			t.Errorf("no error with %d bytes of space", after)
		}
	}
}

// TestLoadPassesVersions loads into another process's shards: what is stored then has versions that no saved entry had.
func TestLoadPassesVersions(t *testing.T) {
	g := newRig(t, store.Options{Limit: 16 << 20})
	last := uint64(0)
	for i := range 500 {
		last = max(last, g.do(grid.Op{Kind: grid.Put, Key: fmt.Append(nil, i), TTL: int64(1 + i%2*1000)})[0].Version)
	}
	var file bytes.Buffer
	if _, err := g.s.Save(&file, grid.Time{Wall: g.now}); err != nil {
		t.Fatal(err)
	}
	g = newRig(t, store.Options{Limit: 64 << 20})
	g.now += 10
	if n, err := g.s.Load(bytes.NewReader(file.Bytes()), grid.Time{Wall: g.now}); n != 250 || err != nil {
		t.Fatalf("Load: got %d entries, error %v, want the 250 that have not expired", n, err)
	}
	for i := range 500 {
		if v := g.do(grid.Op{Kind: grid.Put, Key: fmt.Append(nil, "new", i)})[0].Version; v <= last {
			t.Fatalf("got version %d, which was given before the highest, %d, was saved", v, last)
		}
	}
}
