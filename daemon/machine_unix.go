//go:build unix

package daemon

import (
	"math/bits"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/latticed/latticed/conf"
)

// mostOf32 is how much memory a 32-bit process is let use, in bytes. Entries alone have twice as much of its address space, so
// that their part can be raised.
const mostOf32 = 1 << 30

// machine looks at what this process may use.
func machine() conf.Machine {
	m := conf.Machine{CPUs: runtime.GOMAXPROCS(0)}
	m.Memory, m.Group = memoryOf(os.DirFS("/"))
	if bits.UintSize == 32 {
		m.Memory = min(m.Memory, mostOf32)
	}
	if m.CPUs == 2 {
		m.CPUs = 1 // the second loop would compete with the clients for the second CPU
	}
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) == nil {
		m.Descriptors = int(min(uint64(limit.Cur), 1<<30))
	}
	return m
}

// cpuTime returns what this process has used, in microseconds.
func cpuTime() (user, system int64) {
	var r unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &r) != nil {
		return 0, 0
	}
	return r.Utime.Nano() / 1000, r.Stime.Nano() / 1000
}
