package bench

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"
)

// tick is the unit of utime and stime: USER_HZ is 100 wherever Go runs.
const tick = 10 * time.Millisecond

// cpuOf returns the CPU time that pids have used since they started.
func cpuOf(pids []int) (time.Duration, error) {
	var sum time.Duration
	for _, pid := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0, fmt.Errorf("bench: read CPU time: %w", err)
		}
		// The command's name, in brackets, may hold anything; utime and stime are the 12th and 13th field behind it.
		f := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
		if len(f) < 13 {
			return 0, fmt.Errorf("bench: read CPU time: strange stat of process %d", pid)
		}
		for _, s := range f[11:13] {
			n, err := strconv.ParseInt(string(s), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("bench: read CPU time: %w", err)
			}
			sum += time.Duration(n) * tick
		}
	}
	return sum, nil
}

// rssOf returns the resident memory of pids in bytes.
func rssOf(pids []int) uint64 {
	var sum uint64
	for _, pid := range pids {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
		if f := bytes.Fields(b); len(f) > 1 {
			n, _ := strconv.ParseUint(string(f[1]), 10, 64)
			sum += n * uint64(os.Getpagesize())
		}
	}
	return sum
}
