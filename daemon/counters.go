package daemon

import (
	"runtime"

	"github.com/latticed/latticed/grid"
)

// logCounters tells, at level debug, what the process holds now and what the router has counted since start. SIGHUP
// and the end of the process bring it, so that a run can be judged from its log alone.
func (d *Daemon) logCounters() {
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem) // stops the world for some microseconds
	var st grid.Stats
	d.store.Stats(&st, d.clock.Now())
	k := &d.hub.Counters
	e := d.log.Debug().Int("goroutines", runtime.NumGoroutine()).Uint64("heap", mem.HeapInuse).
		Uint64("budget", d.memory.Load()).Uint64("resident", resident()).Uint64("store", st.Memory).Uint64("store-limit", st.Limit).
		Int64("connections", k.Conns.Load()).Int64("on-goroutines", k.Streams.Load()).
		Int64("buffered", k.Buffered.Load())
	for _, c := range d.counts() {
		e.Uint64(c.name, c.n)
	}
	e.Msg("counters")
}

// count is a figure that only grows.
type count struct {
	name string
	n    uint64
}

// counts returns what the router counts.
func (d *Daemon) counts() []count {
	k := &d.hub.Counters
	read, written := d.hub.Bytes()
	return []count{
		{"accepted", k.Accepted.Load()}, {"rejected", k.Rejected.Load()}, {"refused", k.Refused.Load()},
		{"unrecognised", k.Unrecognised.Load()}, {"ambiguous", k.Ambiguous.Load()},
		{"idle-kicks", k.IdleKicks.Load()}, {"silent-kicks", k.SilentKicks.Load()},
		{"waits", k.Waits.Load()}, {"lingers", k.Lingers.Load()}, {"lingers-cut", k.LingersCut.Load()},
		{"buffer-cuts", k.BufferCuts.Load()}, {"overflows", k.Overflows.Load()},
		{"slow-readers", k.SlowReaders.Load()}, {"half-closed", k.HalfClosed.Load()}, {"long-parked", k.LongParked.Load()},
		{"hand-offs-refused", k.HandOffRefused.Load()}, {"stalled", k.Stalled.Load()},
		{"bytes-read", read}, {"bytes-written", written}, {"yields", k.Yields.Load()},
		{"late-dropped", k.LateDropped.Load()}, {"panics", k.Panics.Load()}, {"descriptors", k.Descriptors.Load()},
		{"bad-proxy", k.BadProxy.Load()}, {"cut", k.Cut.Load()},
	}
}
