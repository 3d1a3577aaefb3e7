//go:build unix

package evloop_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/latticed/latticed/router"
	"github.com/latticed/latticed/router/routertest"
)

// TestOutOfDescriptors runs itself in a process that may open 64 files and has no connection limit below that.
func TestOutOfDescriptors(t *testing.T) {
	if os.Getenv("LATTICED_TEST_CHILD") != "" {
		outOfDescriptors(t)
		return
	}
	child := exec.Command(os.Args[0], "-test.run=^TestOutOfDescriptors$", "-test.v")
	child.Env = append(os.Environ(), "LATTICED_TEST_CHILD=1")
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var addr string
	lines := bufio.NewReader(out)
	for !strings.HasPrefix(addr, "listening ") {
		if addr, err = lines.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	addr = strings.TrimSpace(strings.TrimPrefix(addr, "listening "))
	served, refused := 0, 0
	var clients []net.Conn
	for i := range 200 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		clients = append(clients, c)
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		_, _ = io.WriteString(c, "get 30\n") // may fail: a refused client is closed at once
		got := make([]byte, 31)
		n, err := io.ReadFull(c, got)
		switch {
		case err == nil && got[0] == 'x':
			served++
		case strings.HasPrefix(string(got[:n]), router.TooMany[:30]):
			refused++
		default:
			t.Fatalf("connection %d, after %d served and %d refused: got %q, %v", i, served, refused, got[:n], err)
		}
	}
	if served < 30 || refused < 100 {
		t.Errorf("served %d and refused %d of 200, want at least 30 and 100", served, refused)
	}
	for _, c := range clients {
		c.Close()
	}
	in.Close()
	rest, _ := io.ReadAll(lines)
	if err := child.Wait(); err != nil {
		t.Errorf("child: %v\n%s", err, rest)
	}
}

func outOfDescriptors(t *testing.T) {
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 64, Max: 64}); err != nil {
		t.Fatal(err)
	}
	f := start(t)
	fmt.Printf("\nlistening %s\n", f.ln.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin)
	if n := f.hub.Descriptors.Load(); n < 100 {
		t.Errorf("counted %d, want at least 100", n)
	}
	routertest.Eventually(t, "all connections gone", func() bool { return f.hub.Conns.Load() == 0 })
}
