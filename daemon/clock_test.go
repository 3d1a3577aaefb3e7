package daemon

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// machineClock is a machine whose clocks are moved by hand.
type machineClock struct {
	wall int64
	mono time.Duration
}

func (m *machineClock) read() (int64, time.Duration) { return m.wall, m.mono }

// pass lets time pass, sweep by sweep, and checks that the clock goes forward by about as much.
func (m *machineClock) pass(t *testing.T, d *Daemon, off bool, span time.Duration) bool {
	t.Helper()
	for end := m.mono + span; m.mono < end; {
		before := d.clock.Now()
		m.mono += sweepEvery
		m.wall += sweepEvery.Milliseconds()
		off = d.follow(off)
		now := d.clock.Now()
		if moved := now.Wall - before.Wall; moved < 199 || moved > 201 {
			t.Fatalf("the clock moved by %d ms in %v", moved, sweepEvery)
		}
		if moved := now.Mono - before.Mono; moved != int64(sweepEvery) {
			t.Fatalf("Mono moved by %d in %v", moved, sweepEvery)
		}
	}
	return off
}

func TestClockFollowsTheMachine(t *testing.T) {
	const start = 1_700_000_000_000
	f := func(name string, jump, rest int64, says string) {
		t.Helper()
		var log bytes.Buffer
		m := &machineClock{wall: start}
		d := &Daemon{clock: clockOn(m.read), log: zerolog.New(&log)}
		off := m.pass(t, d, false, time.Minute)
		if got, want := d.clock.Now().Wall, int64(start+60_000); got != want || log.Len() > 0 {
			t.Errorf("%s: before: got %d, want %d; log %s", name, got, want, &log)
		}
		m.wall += jump
		off = m.pass(t, d, off, time.Hour)
		if got := m.wall - d.clock.Now().Wall; got != rest {
			t.Errorf("%s: an hour later: %d ms behind, want %d", name, got, rest)
		}
		if off != (rest != 0) {
			t.Errorf("%s: an hour later: off %v", name, off)
		}
		var told []string
		for line := range strings.Lines(log.String()) {
			level, _, _ := strings.Cut(strings.TrimPrefix(line, `{"level":"`), `"`)
			told = append(told, level)
		}
		if got := strings.Join(told, " "); got != says {
			t.Errorf("%s: told %q, want %q: %s", name, got, says, &log)
		}
	}
	f("nothing happens", 0, 0, "")
	f("some milliseconds", 300, 0, "")
	f("a leap second", -1000, 0, "warn info")
	f("ten seconds forward", 10_000, 0, "warn info")
	f("an hour forward", 3600_000, 3600_000-18_000, "warn")
	f("an hour back", -3600_000, -3600_000+18_000, "warn")
	f("a year back", -365*24*3600_000, -365*24*3600_000+18_000, "warn")
}

// Whoever reads after another one never sees an earlier time, also while the clock is being held back.
func TestClockNeverGoesBack(t *testing.T) {
	c := newClock()
	real := c.read
	c.read = func() (int64, time.Duration) { wall, mono := real(); return wall - 3600_000, mono }
	var readers sync.WaitGroup
	var mu sync.Mutex
	latest := int64(0)
	for range 4 {
		readers.Go(func() {
			for range 20_000 {
				mu.Lock()
				now := c.Now().Wall
				if now < latest {
					t.Errorf("%d ms back", latest-now)
				}
				latest = now
				mu.Unlock()
				c.follow()
			}
		})
	}
	readers.Wait()
}
