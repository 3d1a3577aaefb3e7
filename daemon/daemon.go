// Package daemon composes the parts into a running process. It imports everything of ours; nothing imports it but
// the binary and tests.
package daemon

import (
	"fmt"
	"io"
	"net"

	"github.com/latticed/latticed/router/evloop"
)

// Main runs the command line args and returns when the daemon has ended.
func Main(version string, args []string, out io.Writer) error {
	ln, err := net.Listen("tcp", "127.0.0.1:11222")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	e, err := evloop.NewEcho(1)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "latticed %s echoes on %s\n", version, ln.Addr())
	return e.Serve(ln)
}
