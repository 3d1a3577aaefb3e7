package daemon

import (
	"testing"

	"github.com/latticed/latticed/conf"
)

// Whatever there is to divide, the parts fit into it, entries get a fair share, and the parts grow with the whole.
func TestDivide(t *testing.T) {
	for _, connections := range []int{1, 1000, 20_000, 1 << 20} {
		var last budget
		for total := uint64(conf.MinMemory); total < 4<<40; total += total / 7 {
			b := divide(total, connections)
			if sum := b.store + uint64(b.heap) + baseProgram; sum > total {
				t.Errorf("%s for %d connections: the parts are %d bytes more", conf.FormatSize(total), connections, sum-total)
			}
			if least := (total - baseProgram - baseHeap) / 3 * 2; b.store < least {
				t.Errorf("%s for %d connections: the store gets %s", conf.FormatSize(total), connections, conf.FormatSize(b.store))
			}
			if b.store < last.store || b.buffers < last.buffers || b.heap < last.heap {
				t.Errorf("%s for %d connections: %+v is less than %+v of a smaller budget", conf.FormatSize(total), connections, b, last)
			}
			if b.buffers <= 0 || b.heap < b.buffers {
				t.Errorf("%s for %d connections: buffers %d, heap %d", conf.FormatSize(total), connections, b.buffers, b.heap)
			}
			last = b
		}
	}
}
