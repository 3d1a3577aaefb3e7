//go:build !race

package http2_test

import (
	"bytes"
	"testing"

	xhttp2 "golang.org/x/net/http2"

	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/protocols"
)

// TestAllocations states what a request costs: a decoder's strings for what is not in its tables, and nothing of ours. (Not under
// the race detector: there a sync.Pool forgets on purpose.)
func TestAllocations(t *testing.T) {
	c := greeted(t, newStore(), xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 1 << 20})
	c.request(1, false, "PUT", key)
	c.must(c.framer.WriteData(1, true, []byte("hello")))
	c.request(3, true, "GET", key)
	c.step()
	c.head.Reset()
	c.request(5, true, "GET", key)
	block := bytes.Clone(c.head.Bytes()) // all of it is in the table by now
	c.sent.Reset()
	turn, out, in := &protocols.Turn{}, make([]byte, 0, 64<<10), make([]byte, 0, 1024)
	id := uint32(5)
	n := testing.AllocsPerRun(500, func() {
		in = append(in[:0], 0, 0, byte(len(block)), 1, 5, byte(id>>24), byte(id>>16), byte(id>>8), byte(id))
		in = append(in, block...)
		id += 2
		*turn = protocols.Turn{In: in, Out: out[:0], Room: 64 << 10, Now: grid.Time{Wall: c.now}, Batch: c.batch}
		c.batch.Reset()
		if p := c.session.Step(turn); p.Used != len(in) || len(turn.Out) < 20 {
			t.Fatalf("%+v, %d bytes", p, len(turn.Out))
		}
	})
	if n > 0 {
		t.Errorf("%v allocations a request", n)
	}
}
