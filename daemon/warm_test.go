package daemon_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/latticed/latticed/daemon"
	"github.com/latticed/latticed/daemon/daemontest"
)

// The file of entries is for the daemon that serves: not for one that cannot start, and not for a second one.
func TestFileOfEntriesIsForOne(t *testing.T) {
	file := filepath.Join(t.TempDir(), "entries")
	start := func(address string) (*daemon.Daemon, error) {
		t.Helper()
		yaml := "  listeners: [{address: '" + address + "'}]\n  warm-restart: " + file + "\n"
		return daemon.Start(daemon.Options{Config: daemontest.Configure(t, yaml), Version: "test", Log: zerolog.Nop()})
	}
	running := func() *daemon.Daemon {
		t.Helper()
		d, err := start("127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	refused := func(what string) {
		t.Helper()
		if _, err := start("127.0.0.1:0"); err == nil || !strings.Contains(err.Error(), "another latticed uses it") {
			t.Errorf("%s: got %v", what, err)
		}
	}
	if err := os.Mkdir(file, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := start("127.0.0.1:0"); err == nil || !strings.Contains(err.Error(), "is no file") {
		t.Errorf("a directory: got %v", err)
	}
	if err := os.Remove(file); err != nil {
		t.Errorf("the directory: %v", err)
	}
	d := running()
	daemontest.Ask(t, daemontest.Dial(t, d), "set k 0 0 1\r\na\r\n", "STORED\r\n")
	refused("while another runs")
	if err := d.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	refused("while another is about to save")
	if err := d.Freeze(file); err != nil {
		t.Fatal(err)
	}
	d.Close()

	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if _, err := start(taken.Addr().String()); err == nil || !strings.Contains(err.Error(), "listen on") {
		t.Errorf("at a port that is taken: got %v", err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Fatalf("who could not start took the entries along: %v", err)
	}
	d = running()
	defer d.Close()
	daemontest.Ask(t, daemontest.Dial(t, d), "get k\r\n", "VALUE k 0 1\r\na\r\nEND\r\n")
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("the file is still there: %v", err)
	}
	if err := d.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
}
