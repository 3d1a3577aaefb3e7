//go:build !linux

package bench

import (
	"errors"
	"time"
)

func cpuOf(pids []int) (time.Duration, error) {
	if len(pids) == 0 {
		return 0, nil
	}
	return 0, errors.New("bench: the CPU time of another process can be read on Linux only")
}

func rssOf([]int) uint64 { return 0 }
