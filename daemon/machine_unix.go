//go:build unix

package daemon

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/latticed/latticed/conf"
)

// machine looks at what this process may use.
func machine() conf.Machine {
	m := conf.Machine{Memory: memoryOf(os.ReadFile), CPUs: runtime.GOMAXPROCS(0)}
	if m.CPUs == 2 {
		m.CPUs = 1 // the second loop would compete with the clients for the second CPU
	}
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) == nil {
		m.Descriptors = int(min(uint64(limit.Cur), 1<<30))
	}
	return m
}

// memoryOf returns the smaller of what the machine has and what its control group allows, 0 if neither is known.
func memoryOf(read func(string) ([]byte, error)) (bytes uint64) {
	take := func(n uint64) {
		if n > 0 && (bytes == 0 || n < bytes) {
			bytes = n
		}
	}
	if b, err := read("/proc/meminfo"); err == nil {
		if f := strings.Fields(string(b)); len(f) > 1 && f[0] == "MemTotal:" {
			n, _ := strconv.ParseUint(f[1], 10, 64)
			take(n << 10)
		}
	}
	for _, name := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		if b, err := read(name); err == nil {
			n, _ := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64) // "max" is no limit
			take(n)
		}
	}
	return bytes
}

// cpuTime returns what this process has used, in microseconds.
func cpuTime() (user, system int64) {
	var r unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &r) != nil {
		return 0, 0
	}
	return r.Utime.Nano() / 1000, r.Stime.Nano() / 1000
}
