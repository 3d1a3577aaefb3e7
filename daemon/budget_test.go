package daemon

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/latticed/latticed/conf"
)

// Whatever there is to divide, the parts fit into it, entries get a fair share, and the parts grow with the whole.
func TestDivide(t *testing.T) {
	for i, connections := range []int{1, 1000, 20_000, 1 << 20, 1000, 20_000} {
		each := uint64(conf.ConnectionCost)
		if i > 3 {
			each += conf.TLSCost
		}
		var last budget
		for total := uint64(conf.MinMemory); total < 4<<40; total += total / 7 {
			b := divide(total, connections, each)
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

func configure(t *testing.T, yaml string) *conf.Config {
	t.Helper()
	t.Chdir(t.TempDir())
	if err := os.WriteFile("c.yaml", []byte("latticed:\n"+yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	m := conf.Machine{Memory: 4 << 30, CPUs: 1, Descriptors: 1 << 20}
	c, err := conf.Load(conf.Sources{Machine: m, Flags: map[string][]string{"config": {"c.yaml"}}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The largest item must have room in the entries' part, not only in all of the memory.
func TestItemFits(t *testing.T) {
	const format = "  memory: 64MiB\n  memcached:\n    max-item-size: %s\n"
	c := configure(t, fmt.Sprintf(format, "21MiB"))
	if err := fits(c); err != nil {
		t.Errorf("21MiB: got %v", err)
	}
	c = configure(t, fmt.Sprintf(format, "24MiB"))
	want := "memcached.max-item-size (24MiB, c.yaml:4) does not fit: of memory (64MiB, c.yaml:2) entries get 29.3 MiB, and one item three quarters of that at most; " +
		"lower memcached.max-item-size or raise memory"
	if _, err := Start(Options{Config: c, Log: zerolog.Nop()}); err == nil || err.Error() != want {
		t.Errorf("24MiB: got %v, want %s", err, want)
	}
}

// Where TLS is spoken, each connection takes more, and by default there are fewer.
func TestTLSIsCounted(t *testing.T) {
	const memory, connections = "  memory: 1GiB\n", "  max-connections: 5000\n"
	const tls = "  listeners:\n    - address: 127.0.0.1:0\n    - address: 127.0.0.1:0\n      tls: {self-signed: true}\n"
	clear, coded := budgetOf(configure(t, memory+connections)), budgetOf(configure(t, memory+connections+tls))
	const more = 5000 * conf.TLSCost * 3 / 2
	if got := clear.store - coded.store; got != more || coded.heap-clear.heap != more {
		t.Errorf("with TLS the store gets %d bytes less and the heap %d more, want %d", got, coded.heap-clear.heap, more)
	}
	n, m := configure(t, memory).MaxConnections, configure(t, memory+tls).MaxConnections
	if m >= n || uint64(m) != 128<<20/(conf.ConnectionCost+conf.TLSCost) {
		t.Errorf("by default %d connections in clear, %d with TLS", n, m)
	}
}
