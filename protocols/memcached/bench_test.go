package memcached_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/protocols"
	"github.com/latticed/latticed/protocols/memcached"
)

// BenchmarkStep is the codec alone, on a cache that does nothing: ns/op is for one Step, with 16 requests or 50 keys.
func BenchmarkStep(b *testing.B) {
	var keys strings.Builder
	for i := range 50 {
		fmt.Fprintf(&keys, " key:%08d", i)
	}
	value := strings.Repeat("v", 32)
	for _, c := range []struct {
		name, line string
		times      int
	}{
		{"get1", "get key:00000001\r\n", 1},
		{"get16", "get key:00000001\r\n", 16},
		{"mg16", "mg key:00000001 v t f\r\n", 16},
		{"set16", "set key:00000001 0 0 32\r\n" + value + "\r\n", 16},
		{"ms16", "ms key:00000001 32 T0\r\n" + value + "\r\n", 16},
		{"multiget50", "get" + keys.String() + "\r\n", 1},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := memcached.New(memcached.Options{}).Open(&protocols.Env{Caches: stub{}, Limits: protocols.DefaultLimits})
			in, out, batch := []byte(strings.Repeat(c.line, c.times)), make([]byte, 0, 64<<10), grid.NewBatch(64<<10)
			turn := protocols.Turn{}
			b.ReportAllocs()
			for b.Loop() {
				batch.Reset()
				turn = protocols.Turn{In: in, Out: out, Room: 64 << 10, CanTail: true, Now: grid.Time{Wall: 1.7e12}, Batch: batch}
				if p := s.Step(&turn); p.Used != len(in) {
					b.Fatalf("used %d of %d bytes", p.Used, len(in))
				}
			}
		})
	}
}
