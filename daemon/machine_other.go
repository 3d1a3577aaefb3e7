//go:build !unix

package daemon

import (
	"runtime"

	"github.com/latticed/latticed/conf"
)

// machine looks at what this process may use.
func machine() conf.Machine { return conf.Machine{CPUs: runtime.GOMAXPROCS(0)} }

// cpuTime is not known here.
func cpuTime() (user, system int64) { return 0, 0 }
