package daemon

import (
	"bytes"
	"strings"
	"testing"

	"github.com/rs/zerolog"

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

// The operator hears once of memory that the system refuses, however often it gives some for a moment.
func TestShortage(t *testing.T) {
	var log bytes.Buffer
	d := &Daemon{log: zerolog.New(&log)}
	left := 0
	pass := func(refused uint64, sweeps int, want string) {
		t.Helper()
		log.Reset()
		for range sweeps {
			left = d.shortage(refused, left)
		}
		if got := log.String(); strings.Count(got, "\n") != min(len(want), 1) || !strings.Contains(got, want) {
			t.Errorf("%d refused for %d sweeps: got %q, want one line with %q", refused, sweeps, got, want)
		}
	}
	pass(0, 2*enough, "")
	pass(3<<30, 1, `"refused":"3GiB"`)
	pass(3<<30, 2*enough, "")
	pass(0, enough-1, "")
	pass(1, 2, "")
	pass(0, enough, "gives all memory")
	pass(0, enough, "")
	pass(1, 1, "refuses")
}
