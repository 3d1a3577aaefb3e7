package bench

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Errors counts replies that were not what they had to be. First is the text of one of them.
type Errors struct {
	Refused    uint64 `json:"refused"`
	WrongKey   uint64 `json:"wrong_key"`
	WrongSize  uint64 `json:"wrong_size"`
	WrongValue uint64 `json:"wrong_value"`
	Framing    uint64 `json:"framing"`
	Closed     uint64 `json:"closed"`
	First      string `json:"first,omitempty"`
}

// Total is the number of errors of all kinds.
func (e *Errors) Total() uint64 {
	return e.Refused + e.WrongKey + e.WrongSize + e.WrongValue + e.Framing + e.Closed
}

// Latency is how long requests took, in microseconds. In an open loop the time counts from when the request was due.
type Latency struct {
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p99.9"`
	Max  float64 `json:"max"`
}

// Report is the outcome of a run. An operation is a set or one key of a get. Counts and times are those of the
// measurement, without the warm-up; errors are those of the whole run.
type Report struct {
	Seconds      float64  `json:"seconds"`
	Requests     uint64   `json:"requests"`
	Ops          uint64   `json:"operations"`
	OpsPerSecond float64  `json:"operations_per_second"`
	Gets         uint64   `json:"gets"`
	Hits         uint64   `json:"hits"`
	HitRatio     float64  `json:"hit_ratio"`
	Sets         uint64   `json:"sets"`
	BytesIn      uint64   `json:"bytes_in"` // as the client counts
	BytesOut     uint64   `json:"bytes_out"`
	Latency      Latency  `json:"latency_us"`
	Late         *Latency `json:"late_us,omitempty"` // in an open loop: from due to sent, which is the client's and the server's fault
	Errors       Errors   `json:"errors"`
	// CPU seconds over the measurement, 0 if not known, and microseconds for one operation.
	ServerCPU    float64 `json:"server_cpu_seconds"`
	ServerMicros float64 `json:"server_cpu_us_per_operation"`
	ServerRSS    uint64  `json:"server_resident_bytes"` // at the end
	ClientCPU    float64 `json:"client_cpu_seconds"`
	ClientMicros float64 `json:"client_cpu_us_per_operation"`

	lat, late               *hdrhistogram.Histogram
	elapsed, server, client time.Duration
}

func newReport() *Report { return &Report{lat: newHistogram(), late: newHistogram()} }

func (r *Report) add(w *work) {
	r.Requests += w.requests
	r.Ops += w.ops
	r.Gets += w.gets
	r.Sets += w.sets
	r.Hits += w.hits
	r.BytesIn += w.in
	r.BytesOut += w.out
	r.lat.Merge(w.lat)
	r.late.Merge(w.late)
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
	r.Seconds, r.ServerCPU, r.ClientCPU = r.elapsed.Seconds(), r.server.Seconds(), r.client.Seconds()
	if r.Ops > 0 && r.Seconds > 0 {
		r.OpsPerSecond = float64(r.Ops) / r.Seconds
		r.ServerMicros = r.ServerCPU * 1e6 / float64(r.Ops)
		r.ClientMicros = r.ClientCPU * 1e6 / float64(r.Ops)
	}
	if r.Gets > 0 {
		r.HitRatio = float64(r.Hits) / float64(r.Gets)
	}
	r.Latency = latency(r.lat)
	if r.late.TotalCount() > 0 {
		l := latency(r.late)
		r.Late = &l
	}
}

func latency(h *hdrhistogram.Histogram) Latency {
	if h.TotalCount() == 0 {
		return Latency{}
	}
	us := func(q float64) float64 { return float64(h.ValueAtQuantile(q)) / 1e3 }
	return Latency{h.Mean() / 1e3, us(50), us(90), us(99), us(99.9), float64(h.Max()) / 1e3}
}

// Print writes the report for a person.
func (r *Report) Print(out io.Writer) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "operations\t%.0f/s\t%d in %.2f s: %d gets, %d sets\n", r.OpsPerSecond, r.Ops, r.Seconds, r.Gets, r.Sets)
	if r.Gets > 0 {
		fmt.Fprintf(t, "hits\t%.2f %%\t%d\n", 100*r.HitRatio, r.Hits)
	}
	row := func(name string, l Latency) {
		fmt.Fprintf(t, "%s\tp50 %.0f us\tp90 %.0f us  p99 %.0f us  p99.9 %.0f us  max %.0f us\n", name, l.P50, l.P90, l.P99, l.P999, l.Max)
	}
	row("latency", r.Latency)
	if r.Late != nil {
		row("sent late", *r.Late)
	}
	fmt.Fprintf(t, "bytes\t%.1f MB/s in\t%.1f MB/s out\n", float64(r.BytesIn)/1e6/r.Seconds, float64(r.BytesOut)/1e6/r.Seconds)
	if r.ServerCPU > 0 {
		fmt.Fprintf(t, "server\t%.3f us CPU/op\t%.1f MiB resident\n", r.ServerMicros, float64(r.ServerRSS)/(1<<20))
	}
	if r.ClientCPU > 0 {
		fmt.Fprintf(t, "client\t%.3f us CPU/op\t\n", r.ClientMicros)
	}
	if n := r.Errors.Total(); n > 0 {
		fmt.Fprintf(t, "ERRORS\t%d\t%s\n", n, r.Errors.First)
	}
	return t.Flush()
}
