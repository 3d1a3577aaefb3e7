// Package routertest is what the tests of the drivers have in common.
package routertest

import (
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/latticed/latticed/grid"
)

// Clock is moved by hand. Its zero value is ready to use.
type Clock struct{ ms atomic.Int64 }

// Now implements grid.Clock.
func (c *Clock) Now() grid.Time { return grid.Time{Wall: c.ms.Load(), Mono: c.ms.Load() * 1e6} }

// Advance moves the clock.
func (c *Clock) Advance(d time.Duration) { c.ms.Add(d.Milliseconds()) }

// Eventually polls for what another goroutine is about to do.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: did not happen", what)
		}
	}
}

// ExpectEnd reads c until its end, before which nothing comes.
func ExpectEnd(t testing.TB, c net.Conn) {
	t.Helper()
	if b, err := io.ReadAll(c); len(b) != 0 || err != nil {
		t.Fatalf("got %.80q, %v, want the end", b, err)
	}
}
