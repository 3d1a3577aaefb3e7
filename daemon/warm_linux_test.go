package daemon_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/latticed/latticed/daemon/daemontest"
)

// When the disk has no room for the entries, that is said, and the file from before is as it was.
func TestFreezeOnAFullDisk(t *testing.T) {
	d := daemontest.Boot(t, daemontest.AnyPort)
	daemontest.Ask(t, daemontest.Dial(t, d), "set k 0 0 1\r\na\r\n", "STORED\r\n")
	path := t.TempDir() + "/entries"
	if err := os.WriteFile(path, []byte("from before"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/full", path+".tmp"); err != nil { // what is written there finds no room
		t.Fatal(err)
	}
	err := d.Freeze(path)
	const want = "no space left on device; entries are not saved, and the next start is without them"
	if !errors.Is(err, syscall.ENOSPC) || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
	if b, err := os.ReadFile(path); string(b) != "from before" {
		t.Errorf("the file from before: got %q, %v", b, err)
	}
	if _, err := os.Lstat(path + ".tmp"); !os.IsNotExist(err) {
		t.Errorf("a file half written is left: %v", err)
	}
	if err := d.Freeze(path); err != nil { // there is room again
		t.Error(err)
	}
	if b, err := os.ReadFile(path); !strings.HasPrefix(string(b), "latticed saved") {
		t.Errorf("the file: got %.20q, %v", b, err)
	}
}

// A request that waits for a disk that is stuck does not end with its connection. The entries are saved all the same.
func TestLeaveWhileTheDiskIsStuck(t *testing.T) {
	dir := t.TempDir()
	file, stuck := dir+"/entries", dir+"/data/caches.json.tmp"
	yaml := daemontest.AnyPort + "  data-dir: " + dir + "/data\n  warm-restart: " + file + "\n"
	d := daemontest.Start(t, yaml)
	daemontest.Ask(t, daemontest.Dial(t, d), "set k 0 0 1\r\na\r\n", "STORED\r\n")
	if err := syscall.Mkfifo(stuck, 0o600); err != nil { // who opens it waits for who reads
		t.Fatal(err)
	}
	c := daemontest.Dial(t, d)
	if _, err := c.Write([]byte("POST /rest/v2/caches/c HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	daemontest.Eventually(t, "the request waits", func() bool { return d.Counters().Streams.Load() == 1 })
	over, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	saving := false
	if err := d.Leave(over, file, func() { saving = true }); err != nil || !saving {
		t.Fatalf("got %v, saving %v", err, saving)
	}
	if f, err := os.OpenFile(stuck, os.O_RDONLY|syscall.O_NONBLOCK, 0); err != nil { // the disk is back
		t.Error(err)
	} else {
		f.Close()
	}
	d = daemontest.Start(t, yaml)
	daemontest.Ask(t, daemontest.Dial(t, d), "get k\r\n", "VALUE k 0 1\r\na\r\nEND\r\n")
	now, cancel := context.WithCancel(context.Background())
	cancel()
	if err := d.Leave(now, file, func() { t.Error("saves entries, but was to end at once") }); err != nil {
		t.Error(err)
	}
}
