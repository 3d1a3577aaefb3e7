package daemon

import (
	"sync/atomic"
	"time"

	"github.com/latticed/latticed/grid"
)

// slew is how many milliseconds the clock may be moved by each sweep: half a percent, so that an hour's lifespan is 18
// seconds longer or shorter at most.
const slew = int64(sweepEvery / time.Millisecond / 200)

// clock is the machine's time at start, carried on by its monotonic clock. When somebody sets the machine's clock, or it
// slept, lifespans go on as if nothing had happened: an hour forwards must not expire everything, an hour back must not
// keep entries for an hour more. Instead the clock approaches the machine's by half a percent, as follow is called, and
// never goes back. Moments that clients name by date are off by what is left of the difference.
type clock struct {
	read   func() (wall int64, mono time.Duration) // the machine's clocks: ms since 1970, time since start
	start  atomic.Int64                            // ms since 1970: wall time less mono
	last   atomic.Int64                            // the latest that was told, which no later one is before
	offset atomic.Int64                            // ms that the debugtime command asked for
}

func newClock() *clock {
	began := time.Now()
	return clockOn(func() (int64, time.Duration) {
		now := time.Now()
		return now.UnixMilli(), now.Sub(began)
	})
}

func clockOn(read func() (int64, time.Duration)) *clock {
	c := &clock{read: read}
	wall, mono := read()
	c.start.Store(wall - mono.Milliseconds())
	return c
}

// Now implements grid.Clock. last is written once a millisecond at most, by whoever comes first.
func (c *clock) Now() grid.Time {
	_, mono := c.read()
	wall := c.start.Load() + mono.Milliseconds()
	for {
		last := c.last.Load()
		if wall <= last {
			wall = last
			break
		}
		if c.last.CompareAndSwap(last, wall) {
			break
		}
	}
	return grid.Time{Wall: wall + c.offset.Load(), Mono: int64(mono)}
}

// follow moves the clock by at most slew towards the machine's, and returns how far that is ahead, in ms, or behind if
// negative. One goroutine calls it every sweepEvery.
func (c *clock) follow() (ahead int64) {
	wall, mono := c.read()
	ahead = wall - c.start.Load() - mono.Milliseconds()
	c.start.Add(min(max(ahead, -slew), slew))
	return ahead
}

// Differences from which the operator hears of them, and to which he hears that they are over.
const (
	clockOff   = 1000 // ms
	clockRight = 10
)

// follow has the clock follow the machine's. off is what the last call returned.
func (d *Daemon) follow(off bool) bool {
	ahead := d.clock.follow()
	distance := max(ahead, -ahead)
	switch {
	case !off && distance >= clockOff:
		d.log.Warn().Dur("ahead", time.Duration(ahead)*time.Millisecond).
			Msg("the machine's clock was set, or the machine slept; following it by 5 ms a second, while lifespans go on. Restart latticed if dates that clients name must be right at once")
		return true
	case off && distance <= clockRight:
		d.log.Info().Msg("the clock agrees with the machine's again")
		return false
	}
	return off
}
