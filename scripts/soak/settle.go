package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/latticed/latticed/scripts/process"
)

func describe(n process.State) string {
	return fmt.Sprintf("%d goroutines, %d descriptors, %.1f MiB resident, %d connections",
		n.Goroutines, n.Descriptors, mib(n.RSS), n.Counters["connections"])
}

// restFor is longer than Go's collector waits before it comes by itself.
const restFor = 130 * time.Second

// settle waits until no connection is left and the process has come to rest as good says, for twice restFor at most,
// and returns what it holds then. Without good it waits for rest and returns the least memory that was seen.
func settle(ctx context.Context, p *process.Process, rest time.Duration, good func(process.State) bool) (process.State, error) {
	end := time.Now().Add(2 * restFor)
	if good == nil {
		end = time.Now().Add(rest)
	}
	var last, least process.State
	for {
		now, err := p.State()
		if err != nil {
			return now, err
		}
		calm := now.Counters["connections"] == 0 && now.Goroutines == last.Goroutines && now.Descriptors == last.Descriptors
		if calm && good != nil && good(now) {
			return now, nil
		}
		if calm && good == nil && (least.RSS == 0 || now.RSS < least.RSS) {
			least = now
		}
		last = now
		if time.Now().After(end) {
			switch {
			case now.Counters["connections"] != 0:
				return now, fmt.Errorf("%d connections are left", now.Counters["connections"])
			case good == nil && least.RSS != 0:
				return least, nil
			case good == nil:
				return now, errors.New("the daemon does not come to rest")
			}
			return now, nil // the caller judges
		}
		select {
		case <-ctx.Done():
			return now, ctx.Err()
		case <-time.After(time.Second):
		}
	}
}
