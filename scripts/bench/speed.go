package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/latticed/latticed/daemon/bench"
)

// workload is a load that is given to both servers in alternating rounds.
type workload struct {
	name, title string
	flags       []string
	cpu, ops    float64 // targets: at most this ratio of CPU, at least this ratio of operations; 0: none
	unit        string
	cost        func(r *bench.Report) float64 // what the CPU is divided by; nil: operations
	absolute    float64                       // target in units, of latticed alone; 0: none
	gauges      []gauge
	rounds      int
}

// gauge is something else to compare.
type gauge struct {
	name             string
	of               func(r *bench.Report) float64
	median, bestCase float64 // targets: ratio of medians, and of the best rounds
}

func (c *comparison) speed() error {
	million, fewer := c.scaled(1_000_000), c.scaled(300_000)
	keys := func(n, size int) []string {
		return []string{"--keys", strconv.Itoa(n), "--value-size", strconv.Itoa(size)}
	}
	small := keys(million, 32)
	list := []workload{
		{name: "one-op", title: "one at a time, 90/10, 32 B", flags: small, cpu: 0.95, ops: 1},
		{name: "one-op-1k", title: "one at a time, 90/10, 1 KiB", flags: keys(fewer, 1024), cpu: 1.05},
		{name: "p16", title: "pipeline 16, 90/10, 32 B", flags: join(small, "--pipeline 16"), cpu: 0.5, ops: 1.5},
		{name: "p16-set", title: "pipeline 16, sets, 32 B", flags: join(small, "--pipeline 16 --gets 0"), cpu: 0.5, ops: 1.5},
		{name: "p16-meta", title: "pipeline 16, 90/10, 32 B, meta", flags: join(small, "--pipeline 16 --protocol meta"), cpu: 0.5, ops: 1.5},
		{name: "p16-meta-set", title: "pipeline 16, sets, 32 B, meta", flags: join(small, "--pipeline 16 --protocol meta --gets 0"), cpu: 0.5, ops: 1.5},
		{name: "mget50", title: "multi-get of 50, 1M entries", flags: join(small, "--multiget 50 --gets 1")},
	}
	return c.loads(3072, 2048, list)
}

func (c *comparison) large() error {
	flags := join([]string{"--keys", strconv.Itoa(max(20, int(200*c.scale)))}, "--value-size 900000 --connections 8")
	in := func(r *bench.Report) float64 { return float64(r.BytesIn) / 1e9 }
	out := func(r *bench.Report) float64 { return float64(r.BytesOut) / 1e9 }
	return c.loads(2048, 1024, []workload{
		{name: "900k-set", title: "sets of 900 kB", flags: join(flags, "--gets 0"), unit: "s/GB", cost: out, absolute: 0.5},
		{name: "900k-get", title: "gets of 900 kB", flags: join(flags, "--gets 1"), unit: "s/GB", cost: in, absolute: 0.35},
	})
}

func (c *comparison) openLoop() error {
	flags := join([]string{"--keys", strconv.Itoa(c.scaled(1_000_000))}, "--rate 40000 --pipeline 64")
	return c.loads(3072, 2048, []workload{{
		name: "open-40k", title: "open loop, 40,000 requests/s, 90/10, 32 B", flags: flags, rounds: max(8, c.rounds),
		gauges: []gauge{
			{name: "p50", of: func(r *bench.Report) float64 { return r.Latency.P50 }},
			{name: "p99", of: func(r *bench.Report) float64 { return r.Latency.P99 }, median: 1.5, bestCase: 1.25},
			{name: "p99.9", of: func(r *bench.Report) float64 { return r.Latency.P999 }, median: 1.5, bestCase: 1.25},
		},
	}})
}

func join(flags []string, more string) []string { return slices.Concat(flags, strings.Fields(more)) }

// loads runs those of list that are wanted on one pair of servers.
func (c *comparison) loads(oursMiB, peerMiB int, list []workload) error {
	list = slices.DeleteFunc(list, func(w workload) bool { return !c.wanted(w.name) })
	if len(list) == 0 {
		return nil
	}
	ours, peer, err := c.pair(oursMiB, peerMiB)
	if err != nil {
		return err
	}
	defer ours.stop()
	defer peer.stop()
	c.doc.servers(ours, peer)
	for _, w := range list {
		if err := c.compare(w, ours, peer); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
	}
	return nil
}

// compare preloads both servers and measures w.
func (c *comparison) compare(w workload, ours, peer *server) error {
	say("%s: preload", w.title)
	for _, s := range []*server{ours, peer} {
		if err := c.preload(s, w.flags...); err != nil {
			return err
		}
	}
	flags := append([]string{"--no-preload"}, w.flags...)
	flags = append(flags, "--warmup", "300ms", "--duration", fmt.Sprintf("%.0fms", c.seconds*1000))
	c.doc.command(w.name, flags)
	return c.measure(w, ours, peer, func(s *server, round int) (*bench.Report, error) {
		return c.load(s, append(flags, "--seed", strconv.Itoa(round))...)
	})
}

// measure has rounds of load take turns and adds w's rows to the report.
func (c *comparison) measure(w workload, ours, peer *server, load func(s *server, round int) (*bench.Report, error)) error {
	movedBefore, err := ours.moved()
	if err != nil {
		return err
	}
	rounds := max(w.rounds, c.rounds)
	load0 := loadavg()
	var a, b []*bench.Report
	for round := range rounds {
		for _, s := range []*server{ours, peer} {
			r, err := load(s, round)
			if err != nil {
				return err
			}
			if r.Requests == 0 {
				return fmt.Errorf("nothing was answered by %s", s.name)
			}
			if s == ours {
				a = append(a, r)
			} else {
				b = append(b, r)
			}
		}
		say("%s: round %d of %d: CPU %.3f and %.3f us/op, %.0f and %.0f op/s", w.title, round+1, rounds,
			a[round].ServerMicros, b[round].ServerMicros, a[round].OpsPerSecond, b[round].OpsPerSecond)
	}
	moved, err := ours.moved()
	if err != nil {
		return err
	}
	cost := func(r *bench.Report) float64 { return r.ServerMicros }
	if w.unit == "" {
		w.unit = "us/op"
	}
	if w.cost != nil {
		cost = func(r *bench.Report) float64 { return r.ServerCPU / w.cost(r) }
	}
	ops := func(r *bench.Report) float64 { return r.OpsPerSecond }
	cpu := newRatio(a, b, cost)
	// CPU for one operation tells how noisy the machine was, for all that was measured at the same time.
	judge := func(met bool) string { return c.verdict(met, cpu.noisy()) }
	row := row{name: w.name, title: w.title, what: "CPU, " + w.unit, ratio: cpu, load: fmt.Sprintf("%s, %s", load0, loadavg())}
	switch {
	case w.cpu > 0:
		row.target, row.verdict = fmt.Sprintf("<= %.2fx", w.cpu), judge(cpu.median <= w.cpu)
	case w.absolute > 0:
		row.target, row.verdict = fmt.Sprintf("<= %.2f %s", w.absolute, w.unit), judge(cpu.ours <= w.absolute)
	}
	if moved > movedBefore {
		row.note = fmt.Sprintf("%d connections left the event loop", moved-movedBefore)
		row.verdict = "INVALID: " + row.note
	}
	c.doc.add(row)
	second := newRatio(a, b, ops)
	row.what, row.ratio, row.target, row.verdict, row.note = "op/s", second, "", "", ""
	if w.ops > 0 {
		row.target, row.verdict = fmt.Sprintf(">= %.2fx", w.ops), c.verdict(second.median >= w.ops, cpu.noisy() || second.noisy())
	}
	c.doc.add(row)
	for _, g := range w.gauges {
		q := newRatio(a, b, g.of)
		row.what, row.ratio, row.target, row.verdict = g.name+", us", q, "", ""
		if g.median > 0 {
			row.target = fmt.Sprintf("<= %.2fx, best <= %.2fx", g.median, g.bestCase)
			row.verdict = judge(q.median <= g.median && q.best <= g.bestCase)
			row.note = fmt.Sprintf("best rounds %.2fx", q.best)
		}
		c.doc.add(row)
	}
	return nil
}

// maxSpread is how far a number, and the CPU for one operation, may spread over the rounds for a verdict.
const maxSpread = 0.25

func (c *comparison) verdict(met, noisy bool) string {
	switch {
	case c.old:
		return "none: old peer"
	case noisy:
		return "none: too noisy"
	case met:
		return "met"
	}
	return "MISSED"
}

// ratio compares a number over the rounds.
type ratio struct {
	ours, peer             float64 // medians
	median, low, high      float64 // of the rounds' ratios
	best                   float64 // ratio of each one's lowest
	spreadOurs, spreadPeer float64 // (highest - lowest) / median
}

func newRatio(a, b []*bench.Report, of func(*bench.Report) float64) ratio {
	var x, y, q []float64
	for i := range a {
		x, y = append(x, of(a[i])), append(y, of(b[i]))
		q = append(q, x[i]/y[i])
	}
	spread := func(list []float64) float64 { return (slices.Max(list) - slices.Min(list)) / median(list) }
	return ratio{median(x), median(y), median(q), slices.Min(q), slices.Max(q), slices.Min(x) / slices.Min(y), spread(x), spread(y)}
}

func (q ratio) noisy() bool { return max(q.spreadOurs, q.spreadPeer) > maxSpread }

func median(list []float64) float64 {
	s := slices.Sorted(slices.Values(list))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}
