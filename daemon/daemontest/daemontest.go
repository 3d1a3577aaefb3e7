// Package daemontest boots real daemons on free ports in the test's own process, over the node's own grid or over one that
// answers late, and speaks to them as clients do. All daemons of a test are stopped when it ends; a stop that takes too
// long is a failure.
package daemontest

import (
	"context"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/latticed/latticed/conf"
	"github.com/latticed/latticed/daemon"
	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/grid/gridtest"
)

// AnyPort is a configuration with one listener on a free port.
const AnyPort = "  listeners: [{address: '127.0.0.1:0'}]\n"

// patience bounds everything that waits for something.
const patience = 60 * time.Second

// Configure reads yaml, which is what stands below `latticed:` in a file.
func Configure(t testing.TB, yaml string) *conf.Config {
	t.Helper()
	file := t.TempDir() + "/latticed.yaml"
	if err := os.WriteFile(file, []byte("latticed:\n"+yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	m := conf.Machine{Memory: 512 << 20, CPUs: 1, Descriptors: 20000}
	c, err := conf.Load(conf.Sources{Machine: m, Flags: map[string][]string{"config": {file}}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Start starts a daemon with yaml below `latticed:`, which the test stops.
func Start(t testing.TB, yaml string) *daemon.Daemon {
	t.Helper()
	return start(t, yaml, nil)
}

// Boot starts a daemon with yaml below `latticed:`.
func Boot(t testing.TB, yaml string) *daemon.Daemon {
	t.Helper()
	return boot(t, yaml, nil)
}

// BootLate is Boot with a grid in front of the node's own that answers later and in any order, as other nodes would. set
// says how.
func BootLate(t testing.TB, yaml string, set func(*gridtest.Late)) *daemon.Daemon {
	t.Helper()
	var late *gridtest.Late
	d := boot(t, yaml, func(c grid.Caches) grid.Caches {
		late = gridtest.NewLate(c, 1)
		set(late)
		late.Start()
		return late
	})
	t.Cleanup(late.Stop)
	return d
}

// OnEachGrid runs f as a subtest over each grid: one that answers inline, and one that answers late and whose effects and
// pieces of large values come late too.
func OnEachGrid(t *testing.T, yaml string, f func(*testing.T, *daemon.Daemon)) {
	t.Run("inline", func(t *testing.T) { f(t, Boot(t, yaml)) })
	t.Run("late", func(t *testing.T) {
		f(t, BootLate(t, yaml, func(l *gridtest.Late) { l.Defer, l.Slow = true, true }))
	})
}

func start(t testing.TB, yaml string, wrap func(grid.Caches) grid.Caches) *daemon.Daemon {
	t.Helper()
	d, err := daemon.Start(daemon.Options{Config: Configure(t, yaml), Version: "test", Log: zerolog.Nop(), Grid: wrap})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func boot(t testing.TB, yaml string, wrap func(grid.Caches) grid.Caches) *daemon.Daemon {
	t.Helper()
	d := start(t, yaml, wrap)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := d.Stop(ctx); err != nil {
			t.Errorf("Stop: %v", err)
		}
		d.Close()
	})
	return d
}

// Dial connects to the first listener of d.
func Dial(t testing.TB, d *daemon.Daemon) *net.TCPConn {
	t.Helper()
	return DialAddr(t, d.Addrs()[0]).(*net.TCPConn)
}

// DialAddr connects to a. The connection is closed with the test.
func DialAddr(t testing.TB, a net.Addr) net.Conn {
	t.Helper()
	c, err := net.Dial(a.Network(), a.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

// Ask sends and compares what comes back.
func Ask(t testing.TB, c net.Conn, send, want string) {
	t.Helper()
	if _, err := io.WriteString(c, send); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(want))
	n, err := io.ReadFull(c, got)
	if string(got[:n]) != want {
		t.Fatalf("%.60q: got %.200q (%v), want %.200q", send, got[:n], err, want)
	}
}

// Eventually polls for what another goroutine is about to do.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: did not happen", what)
		}
	}
}
