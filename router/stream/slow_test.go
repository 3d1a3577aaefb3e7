package stream_test

import (
	"io"
	"testing"

	"github.com/latticed/latticed/router/routertest"
)

// Who does not take a reply keeps the buffer that it is in. That counts: there is no memory for a buffer of each connection
// there may be.
func TestBuffersOfWhoDoesNotRead(t *testing.T) {
	f := start(t)
	f.hub.MaxBuffers = 512 << 10
	const clients = 32
	for range clients {
		if _, err := io.WriteString(f.dial(t), "a line\n"); err != nil {
			t.Fatal(err)
		}
	}
	routertest.Eventually(t, "all connections but a few are closed", func() bool {
		if f.hub.Buffered.Load() > f.hub.MaxBuffers+128<<10 { // one more, that is about to be closed
			t.Fatalf("%d bytes are kept", f.hub.Buffered.Load())
		}
		return f.hub.BufferCuts.Load() >= clients-5
	})
}
