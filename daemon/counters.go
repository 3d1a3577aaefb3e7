package daemon

import (
	"math"
	"runtime"
	"runtime/metrics"

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
	for _, c := range collector() {
		e.Uint64(c.name, c.n)
	}
	e.Msg("counters")
}

// collector returns what Go's collector has cost since start: its CPU time, without what was idle anyway, and how long
// 99.9 % of its stops took at most.
func collector() []count {
	m := []metrics.Sample{
		{Name: "/gc/cycles/total:gc-cycles"}, {Name: "/cpu/classes/gc/total:cpu-seconds"},
		{Name: "/cpu/classes/gc/mark/idle:cpu-seconds"}, {Name: "/sched/pauses/total/gc:seconds"},
	}
	metrics.Read(m)
	micros := func(seconds float64) uint64 { return uint64(max(seconds, 0) * 1e6) }
	return []count{
		{"collections", m[0].Value.Uint64()}, {"collector-cpu-us", micros(m[1].Value.Float64() - m[2].Value.Float64())},
		{"stops-p999-us", micros(quantile(m[3].Value.Float64Histogram(), 0.999))},
	}
}

// quantile returns a bound that a share q of what h counts does not exceed.
func quantile(h *metrics.Float64Histogram, q float64) float64 {
	var all, seen uint64
	for _, n := range h.Counts {
		all += n
	}
	for i, n := range h.Counts {
		if seen += n; n > 0 && float64(seen) >= q*float64(all) {
			if upper := h.Buckets[i+1]; !math.IsInf(upper, 1) {
				return upper
			}
			return h.Buckets[i]
		}
	}
	return 0
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
		{"accepted", k.Accepted.Load()}, {"rejected", k.Rejected.Load()}, {"refused", k.Refused.Load()}, {"expelled", k.Expelled.Load()},
		{"unrecognised", k.Unrecognised.Load()}, {"ambiguous", k.Ambiguous.Load()},
		{"idle-kicks", k.IdleKicks.Load()}, {"silent-kicks", k.SilentKicks.Load()}, {"slow-requests", k.SlowRequests.Load()},
		{"handshake-kicks", k.HandshakeKicks.Load()},
		{"waits", k.Waits.Load()}, {"lingers", k.Lingers.Load()}, {"lingers-cut", k.LingersCut.Load()},
		{"buffer-cuts", k.BufferCuts.Load()}, {"overflows", k.Overflows.Load()},
		{"slow-readers", k.SlowReaders.Load()}, {"half-closed", k.HalfClosed.Load()}, {"long-parked", k.LongParked.Load()},
		{"hand-offs-refused", k.HandOffRefused.Load()}, {"stalled", k.Stalled.Load()},
		{"bytes-read", read}, {"bytes-written", written}, {"yields", k.Yields.Load()}, {"gathered", d.hub.Gathered()},
		{"late-dropped", k.LateDropped.Load()}, {"panics", k.Panics.Load()}, {"descriptors", k.Descriptors.Load()},
		{"bad-proxy", k.BadProxy.Load()}, {"cut", k.Cut.Load()},
	}
}
