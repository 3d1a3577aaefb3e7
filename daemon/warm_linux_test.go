package daemon_test

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

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
