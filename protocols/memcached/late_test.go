package memcached_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/protocols"
	"github.com/latticed/latticed/protocols/memcached"
)

// remote is a cache whose values are 10 KB; those of keys that begin with l come late.
type remote struct {
	grid.Caches
	open []uint32
}

var tenKB = bytes.Repeat([]byte("v"), 10_000)

func (c *remote) Open(string, grid.Principal) (grid.Cache, error)           { return c, nil }
func (c *remote) Reserve(*grid.Op, int, grid.Ticket) (grid.Slot, grid.Code) { return nil, grid.Full }
func (c *remote) Do(b *grid.Batch) int {
	room := b.Room
	for i := range b.Ops {
		if room <= 0 {
			return i
		}
		if b.Ops[i].Key[0] == 'l' {
			b.Res[i] = grid.Result{Code: grid.Pending}
			c.open = append(c.open, b.Ops[i].Seq)
			continue
		}
		b.Res[i] = grid.Result{Code: grid.OK, Value: tenKB, Num: 10_000}
		room -= 10_000
	}
	return len(b.Ops)
}

// What waits behind an answer that is late is bounded, however many answers are there already, and however large those
// are that are to come.
func TestWhatWaitsIsBounded(t *testing.T) {
	cache := &remote{}
	s := memcached.New(memcached.Options{}).Open(&protocols.Env{Caches: cache, Limits: protocols.DefaultLimits})
	defer s.Close()
	batch, out := grid.NewBatch(64<<10), make([]byte, 0, 128<<10)
	in := []byte("get l\r\n" + strings.Repeat("get k\r\n", 2000) + strings.Repeat("get l\r\n", 2000))
	sent := 0
	step := func(late ...protocols.Answer) protocols.Progress {
		turn := protocols.Turn{In: in, Late: late, Out: out[:0], Room: 64 << 10, Now: grid.Time{Wall: 1.7e12}, Batch: batch}
		p := s.Step(&turn)
		in = in[p.Used:]
		sent += len(turn.Out)
		return p
	}
	answer := func(n int) (list []protocols.Answer) {
		for _, seq := range cache.open[:n] {
			list = append(list, protocols.Answer{Seq: seq, Res: grid.Result{Code: grid.OK, Value: tenKB, Num: 10_000}})
		}
		cache.open = cache.open[n:]
		return list
	}
	whole := len(in)
	p := step()
	if parsed := (whole - len(in)) / 7; p.Next != protocols.Park || p.Held != 1 || sent > 0 || parsed > 60 {
		t.Fatalf("behind one answer: parsed %d requests of 10 KB, next %v, %d held, %d bytes sent; want at most 60, Park, 1 and 0", parsed, p.Next, p.Held, sent)
	}
	for p = step(answer(1)...); p.Next == protocols.Flush; {
		p = step()
	}
	if most := protocols.DefaultLimits.Held; p.Next != protocols.Park || p.Held < most/2 || p.Held > most {
		t.Fatalf("all late, of a size hardly known: next %v, %d held, want Park and %d to %d", p.Next, p.Held, most/2, most)
	}
	most := 0
	for rounds := 0; len(in) > 0 || p.Held > 0; rounds++ {
		if rounds > 100_000 {
			t.Fatal("it never ends")
		}
		if p = step(answer(min(6, len(cache.open)))...); rounds > 200 {
			most = max(most, p.Held)
		}
	}
	if want := 256<<10/9_000 + grid.MaxBatch; most == 0 || most > want {
		t.Errorf("all late, known to be of 10 KB: up to %d held, want 1 to %d", most, want)
	}
	if one := len("VALUE k 0 10000\r\n\r\nEND\r\n") + 10_000; sent != 4001*one {
		t.Errorf("sent %d bytes, want %d", sent, 4001*one)
	}
}
