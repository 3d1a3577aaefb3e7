package main

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/latticed/latticed/daemon/bench"
)

func TestOlder(t *testing.T) {
	for version, want := range map[string]bool{
		"1.6.45": false, "1.6.46": false, "1.7.0": false, "2.0": false, "1.6.45-rc1": false,
		"1.6.18": true, "1.6.9": true, "1.5.99": true, "1.6": true, "unknown": true, "": true,
	} {
		if got := older(version, 1, 6, 45); got != want {
			t.Errorf("%q older than 1.6.45: got %v", version, got)
		}
	}
}

func reports(micros ...float64) (list []*bench.Report) {
	for _, m := range micros {
		list = append(list, &bench.Report{ServerMicros: m})
	}
	return list
}

// Ratios are those of each round, so that what slows both servers at the same time cancels out; a spread gives none.
func TestVerdicts(t *testing.T) {
	cost := func(r *bench.Report) float64 { return r.ServerMicros }
	c := &comparison{}
	f := func(ours, peer []float64, median, low, high float64, want string) {
		t.Helper()
		q := newRatio(reports(ours...), reports(peer...), cost)
		near := func(a, b float64) bool { return math.Abs(a-b) < 1e-9 }
		if !near(q.median, median) || !near(q.low, low) || !near(q.high, high) {
			t.Errorf("%v / %v: got %.3f (%.3f-%.3f), want %.3f (%.3f-%.3f)", ours, peer, q.median, q.low, q.high, median, low, high)
		}
		if got := c.verdict(q.median <= 0.5, q.noisy()); got != want {
			t.Errorf("%v / %v: verdict %q, want %q", ours, peer, got, want)
		}
	}
	f([]float64{1, 1.1, 1}, []float64{2, 2.2, 2.5}, 0.5, 0.4, 0.5, "met")
	f([]float64{1.1, 1.1, 1}, []float64{2, 2, 2}, 0.55, 0.5, 0.55, "MISSED")
	f([]float64{1, 2}, []float64{2, 4}, 0.5, 0.5, 0.5, "none: too noisy")
	f([]float64{1, 1}, []float64{2, 3}, 5.0/12, 1.0/3, 0.5, "none: too noisy")
	c.old = true
	f([]float64{1}, []float64{2}, 0.5, 0.5, 0.5, "none: old peer")
}

func TestReport(t *testing.T) {
	c := &comparison{options: options{daemon: "/nowhere/latticed", rounds: 5, seconds: 2, scale: 0.5}, peerV: "1.6.18", old: true}
	d := newDocument(c)
	d.servers(&server{command: "memcached -t 1"}, &server{command: "memcached -t 1"})
	d.add(row{name: "p16", title: "pipeline", what: "CPU, us/op", ratio: newRatio(reports(1, 1.1), reports(2, 2), func(r *bench.Report) float64 { return r.ServerMicros }),
		target: "<= 0.50x", verdict: "MISSED", load: "0.1"})
	d.command("p16", []string{"--pipeline", "16"})
	d.failed(errors.New("the other broke"))
	d.finish(0)
	got := d.String()
	for _, want := range []string{
		"peer: memcached 1.6.18, which is older than 1.6.45", "Only a try",
		"| p16: pipeline | CPU, us/op | 1.050 | 2.000 | **0.53** (0.50-0.55) | 10 %, 0 % | <= 0.50x | MISSED | load 0.1 |",
		"**FAILED**: the other broke", "latticed bench --addr ADDR --pid PID --pipeline 16",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if n := strings.Count(got, "memcached -t 1"); n != 1 {
		t.Errorf("a command that was used twice is shown %d times", n)
	}
}

func TestRefusedFew(t *testing.T) {
	for _, test := range []struct {
		requests uint64
		errs     bench.Errors
		want     bool
	}{
		{1_000_000, bench.Errors{Refused: 2}, true},
		{1_000_000, bench.Errors{Refused: 100}, false},
		{1_000_000, bench.Errors{Refused: 2, WrongValue: 1}, false},
		{1_000_000, bench.Errors{Closed: 1}, false},
		{0, bench.Errors{Refused: 1}, false},
	} {
		if got := refusedFew(&bench.Report{Requests: test.requests, Errors: test.errs}); got != test.want {
			t.Errorf("%+v of %d: got %v", test.errs, test.requests, got)
		}
	}
}
