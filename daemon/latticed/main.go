// Command latticed is a cache daemon: memcached, Hot Rod and HTTP clients on one port, one grid behind them.
package main

import (
	"os"

	"github.com/latticed/latticed/daemon"
)

// version is set by the Makefile.
var version = "unknown"

func main() { os.Exit(daemon.Main(version, os.Args[1:], os.Stdout, os.Stderr)) }
