package bench

import (
	"fmt"
	"io"
	"math/bits"
	"text/tabwriter"
	"time"
)

// Errors counts replies that were not what they had to be. First is the text of one of them.
type Errors struct {
	Refused, WrongKey, WrongSize, WrongValue, Framing, Closed uint64
	First                                                     string `json:",omitempty"`
}

// Total is the number of errors of all kinds.
func (e *Errors) Total() uint64 {
	return e.Refused + e.WrongKey + e.WrongSize + e.WrongValue + e.Framing + e.Closed
}

// Latency is the time from sending a request to reading its reply, in nanoseconds.
type Latency struct{ Mean, P50, P90, P99, P999, Max int64 }

// Report is the outcome of a run. An operation is a set or one key of a get.
type Report struct {
	Elapsed              time.Duration
	Requests, Ops        uint64
	Gets, Sets, Hits     uint64
	BytesIn, BytesOut    uint64 // as the client counts
	OpsPerSec            float64
	Latency              Latency
	Errors               Errors
	ServerCPU, ClientCPU time.Duration // over the measurement; 0 if not known
	ServerRSS            uint64        // bytes, at its end
	ServerMicros         float64       // CPU microseconds of the server for one operation
	ClientMicros         float64
	lat                  histogram
}

func (r *Report) add(w *work) {
	r.Requests += w.requests
	r.Ops += w.ops
	r.Gets += w.gets
	r.Sets += w.sets
	r.Hits += w.hits
	r.BytesIn += w.in
	r.BytesOut += w.out
	r.lat.add(&w.lat)
	e, f := &r.Errors, &w.errs
	e.Refused += f.Refused
	e.WrongKey += f.WrongKey
	e.WrongSize += f.WrongSize
	e.WrongValue += f.WrongValue
	e.Framing += f.Framing
	e.Closed += f.Closed
	if e.First == "" {
		e.First = f.First
	}
}

func (r *Report) finish() {
	if r.Ops > 0 {
		r.OpsPerSec = float64(r.Ops) / r.Elapsed.Seconds()
		r.ServerMicros = float64(r.ServerCPU.Nanoseconds()) / 1e3 / float64(r.Ops)
		r.ClientMicros = float64(r.ClientCPU.Nanoseconds()) / 1e3 / float64(r.Ops)
	}
	h := &r.lat
	r.Latency = Latency{h.mean(), h.quantile(.5), h.quantile(.9), h.quantile(.99), h.quantile(.999), h.max}
}

// Print writes the report for a person.
func (r *Report) Print(out io.Writer) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	us := func(ns int64) string { return fmt.Sprintf("%.0f us", float64(ns)/1e3) }
	fmt.Fprintf(t, "operations\t%.0f/s\t%d in %.2f s, %d gets (%d hits), %d sets\n",
		r.OpsPerSec, r.Ops, r.Elapsed.Seconds(), r.Gets, r.Hits, r.Sets)
	l := r.Latency
	fmt.Fprintf(t, "latency\tp50 %s\tp90 %s  p99 %s  p99.9 %s  max %s\n", us(l.P50), us(l.P90), us(l.P99), us(l.P999), us(l.Max))
	if r.ServerCPU > 0 {
		fmt.Fprintf(t, "server\t%.2f us CPU/op\t%.1f MiB resident\n", r.ServerMicros, float64(r.ServerRSS)/(1<<20))
	}
	if r.ClientCPU > 0 {
		fmt.Fprintf(t, "client\t%.2f us CPU/op\t\n", r.ClientMicros)
	}
	if n := r.Errors.Total(); n > 0 {
		fmt.Fprintf(t, "ERRORS\t%d\t%s\n", n, r.Errors.First)
	}
	return t.Flush()
}

// histogram counts durations in log-linear buckets of at most 1.6 % width.
type histogram struct {
	n, sum, max int64
	buckets     [40 * 64]uint32
}

func (h *histogram) record(ns int64) {
	ns = max(ns, 0)
	h.n++
	h.sum += ns
	h.max = max(h.max, ns)
	h.buckets[min(bucketOf(ns), len(h.buckets)-1)]++
}

// bucketOf: below 64 exactly, then 64 steps to each power of two.
func bucketOf(ns int64) int {
	if ns < 64 {
		return int(ns)
	}
	shift := bits.Len64(uint64(ns)) - 7
	return (shift+1)*64 + int(ns>>shift) - 64
}

func bucketMax(b int) int64 {
	if b < 64 {
		return int64(b)
	}
	shift := b/64 - 1
	return (int64(b%64)+65)<<shift - 1
}

func (h *histogram) add(g *histogram) {
	h.n += g.n
	h.sum += g.sum
	h.max = max(h.max, g.max)
	for i, n := range g.buckets {
		h.buckets[i] += n
	}
}

func (h *histogram) mean() int64 {
	if h.n == 0 {
		return 0
	}
	return h.sum / h.n
}

// quantile returns a bound that a share q of the durations do not exceed.
func (h *histogram) quantile(q float64) int64 {
	rank, seen := int64(q*float64(h.n)), int64(0)
	for b, n := range h.buckets {
		seen += int64(n)
		if n > 0 && seen > rank {
			return min(bucketMax(b), h.max)
		}
	}
	return h.max
}
