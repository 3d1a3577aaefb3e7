package store

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/latticed/latticed/grid"
)

var errRefused = errors.New("refused")

// refusing is a store whose system refuses memory from some moment on.
func refusing(t *testing.T, o Options) (s *Store, refuse *bool) {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	refuse = new(bool)
	s.a.commits = func(mem []byte) error {
		if *refuse {
			return errRefused
		}
		return commit(mem)
	}
	return s, refuse
}

func put(s *Store, b *grid.Batch, n, size int) grid.Code {
	b.Reset()
	op := grid.Op{Kind: grid.Put, Key: binary.LittleEndian.AppendUint64(nil, uint64(n))}
	if size > grid.StreamMin {
		slot, code := s.Reserve(&op, size, grid.Ticket{})
		if code != grid.OK {
			return code
		}
		for left := size; left > 0; {
			n := len(slot.Window())
			slot.Wrote(n)
			left -= n
		}
		op.Body = slot
	} else {
		op.Value = make([]byte, size)
	}
	*b.Add() = op
	s.Do(b)
	return b.Res[0].Code
}

// TestRefusedMemory has the system refuse memory far below the limit: stores go on, by evicting, and the limit is used
// again when the system gives more.
func TestRefusedMemory(t *testing.T) {
	const limit = 256 << 20
	s, refuse := refusing(t, Options{Limit: limit})
	b := grid.NewBatch(0)
	rng := rand.New(rand.NewPCG(1, 2))
	fill := func(total int) {
		t.Helper()
		for n := 0; n < total; {
			size := rng.IntN(1000)
			switch rng.IntN(50) {
			case 0:
				size = rng.IntN(400_000)
			case 1, 2, 3:
				size = rng.IntN(20_000)
			}
			if code := put(s, b, rng.IntN(1<<30), size); code != grid.OK {
				t.Fatalf("put of %d bytes with %d refused: got code %d", size, s.Refused(), code)
			}
			n += size
		}
	}
	*refuse = true
	fill(2 * limit)
	given := s.a.ready.Load()
	if m := s.a.memory(); m > given || m < given*8/10 || given > 2*commitStep {
		t.Errorf("refused: got %d bytes taken, want at most the %d that there are, and nearly that", m, given)
	}
	if n := s.Refused(); n < limit-given || n > limit {
		t.Errorf("got %d bytes refused, want %d less %d", n, limit, given)
	}
	there := s.shards[0].entries
	if code := put(s, b, 0, int(given)); code != grid.Full {
		t.Errorf("put of more than there is: got code %d, want Full", code)
	}
	if n := s.shards[0].entries; n < there*9/10 {
		t.Errorf("%d entries of %d are left after a put of more than there is", n, there)
	}
	verify(t, s)
	s.Sweep(grid.Time{}, 100)
	fill(limit / 16)
	*refuse = false
	s.Sweep(grid.Time{}, 100)
	fill(2 * limit)
	if m := s.a.memory(); m < limit*9/10 || m > limit || s.Refused() != 0 {
		t.Errorf("given again: got %d bytes taken, %d refused, want nearly %d and 0", m, s.Refused(), limit)
	}
	verify(t, s)
}

// TestRefusedKeepsRoom has the system refuse memory to a store that may not evict: what was removed can be used again, for
// which entries have to be moved.
func TestRefusedKeepsRoom(t *testing.T) {
	s, refuse := refusing(t, Options{Limit: 256 << 20, NoEvict: true})
	*refuse = true
	b := grid.NewBatch(0)
	n := 0
	for put(s, b, n, 1000) == grid.OK {
		n++
	}
	if n < 10_000 {
		t.Fatalf("only %d entries had room", n)
	}
	for round := range 3 {
		for i := range n {
			if i%10 != 0 {
				b.Reset()
				*b.Add() = grid.Op{Kind: grid.Remove, Key: binary.LittleEndian.AppendUint64(nil, uint64(i))}
				s.Do(b)
			}
		}
		for i := range n * 9 / 10 {
			if code := put(s, b, i, 1000); code != grid.OK {
				t.Fatalf("round %d: put %d of %d: got code %d", round, i, n, code)
			}
		}
	}
	verify(t, s)
}
