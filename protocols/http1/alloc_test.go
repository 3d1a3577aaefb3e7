//go:build !race

package http1_test

import (
	"strings"
	"testing"

	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/protocols"
	"github.com/latticed/latticed/protocols/http1"
	"github.com/latticed/latticed/protocols/prototest"
	"github.com/latticed/latticed/protocols/rest"
)

// The race detector has pools forget at random, so nothing can be said about allocations under it.

func TestStepAllocatesNothing(t *testing.T) {
	for _, request := range []string{
		get("k"), get("k", "User-Agent: curl/8", "Accept: */*", "If-None-Match: 17"), verb("HEAD", "a%20b"), put("k", "value"),
		put("k", "value", "Content-Type: text/plain; charset=utf-8", "timeToLiveSeconds: 60"), verb("DELETE", "k"),
		put("k", "value", "If-Match: *"), get("k", "Accept: text/html, text/plain;q=0.9", "Accept-Encoding: gzip, zstd"),
	} {
		p := http1.New(http1.Options{Service: rest.New(rest.Options{})})
		s := p.Open(&protocols.Env{Caches: stub{}, Limits: protocols.DefaultLimits})
		in, out, batch := []byte(strings.Repeat(request, 16)), make([]byte, 0, 64<<10), grid.NewBatch(64<<10)
		turn := protocols.Turn{}
		step := func() {
			turn = protocols.Turn{In: in, Out: out, Room: 64 << 10, CanTail: true, Now: prototest.Now, Batch: batch}
			if p := s.Step(&turn); p.Used != len(in) {
				t.Fatalf("%q: used %d of %d bytes", request, p.Used, len(in))
			}
		}
		step()
		if n := testing.AllocsPerRun(100, step); n != 0 {
			t.Errorf("%q: %v allocations in a Step of 16 requests, want 0", request, n)
		}
	}
}
