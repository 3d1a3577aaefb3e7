// Command latticed is a cache daemon: memcached, Hot Rod and HTTP clients on one port, one grid behind them.
package main

import (
	"fmt"
	"os"

	"github.com/latticed/latticed/daemon"
)

// version is set by the Makefile.
var version = "unknown"

func main() {
	if err := daemon.Main(version, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "latticed:", err)
		os.Exit(1)
	}
}
