package main

import (
	"fmt"
	"math"
)

// hitLoad is a cache-aside workload whose data does not fit.
type hitLoad struct {
	name, title string
	flags       string
	before      string // flags of a run before it, instead of a warm-up
}

const (
	hitMiB   = 256 // of memcached's -m
	hitKeys  = 4_000_000
	hitCount = 3_000_000 // requests measured; twice as many come before
)

// hitRatios compares what both servers keep in the same resident memory.
func (c *comparison) hitRatios() error {
	mib := max(32, int(hitMiB*c.scale))
	keys, count := c.scaled(hitKeys), c.scaled(hitCount)
	warm := 2 * count
	const sizes, larger = "--value-size lognormal:300:1", "--value-size lognormal:660:1"
	list := []hitLoad{
		{"hit-zipf.8", "zipf 0.8", "--zipf 0.8 " + sizes, ""},
		{"hit-zipf.99", "zipf 0.99", "--zipf 0.99 " + sizes, ""},
		{"hit-zipf1.1", "zipf 1.1", "--zipf 1.1 " + sizes, ""},
		{"hit-scan", "zipf 0.99, a fifth is scans", "--zipf 0.99 --scan 0.2 " + sizes, ""},
		{"hit-onehit", "zipf 0.99, a quarter is never repeated", "--zipf 0.99 --one-hit 0.25 " + sizes, ""},
		{"hit-drift", "zipf 0.99, popularity drifts", fmt.Sprintf("--zipf 0.99 --drift %d %s", (warm+count)/20, sizes), ""},
		{"hit-sizes", "zipf 0.99, values grow 2.2 times", "--zipf 0.99 " + larger, "--zipf 0.99 " + sizes},
		{"hit-ttl", "zipf 0.99, lifespans 2 s, 10 s and none, 100,000 requests/s", "--zipf 0.99 --ttl 0:50,2:25,10:25 --rate 100000 " + sizes, ""},
	}
	common := fmt.Sprintf("--cache-aside --gets 1 --pipeline 16 --keys %d", keys)
	// ratio returns the hit ratio of a fresh server, and its memory at the end.
	ratio := func(start func() (*server, error), w hitLoad) (hits float64, rss int64, command string, flags []string, err error) {
		s, err := start()
		if err != nil {
			return 0, 0, "", nil, err
		}
		defer s.stop()
		flags = join(nil, common+" "+w.flags)
		if w.before != "" {
			before := join(nil, fmt.Sprintf("%s %s --requests %d", common, w.before, warm))
			if _, err := c.load(s, before...); err != nil {
				return 0, 0, "", nil, err
			}
			flags = join(flags, fmt.Sprintf("--seed 1 --requests %d", count))
		} else {
			flags = join(flags, fmt.Sprintf("--warmup-requests %d --requests %d", warm, count))
		}
		r, err := c.load(s, flags...)
		if err != nil {
			return 0, 0, "", nil, err
		}
		rss, err = s.rss()
		return r.HitRatio, rss, s.command, flags, err
	}
	memory := int64(0) // of ours; what the workload before needed is a good guess
	var sum, worst float64
	n := 0
	worst = math.Inf(1)
	for _, w := range list {
		if !c.wanted(w.name) {
			continue
		}
		peer, peerRSS, peerCommand, flags, err := ratio(func() (*server, error) { return c.startPeer(mib) }, w)
		if err != nil {
			return fmt.Errorf("%s: memcached: %w", w.name, err)
		}
		if memory == 0 {
			memory = peerRSS
		}
		// Equal memory: what ours may use is changed until it uses no more than the peer, and not much less.
		var ours float64
		var oursRSS int64
		var oursCommand string
		for try := 0; ; try++ {
			if ours, oursRSS, oursCommand, _, err = ratio(func() (*server, error) { return c.startOurs(memory) }, w); err != nil {
				return fmt.Errorf("%s: latticed: %w", w.name, err)
			}
			off := float64(oursRSS)/float64(peerRSS) - 1
			say("%s: %.2f %% in %d MiB; memcached %.2f %% in %d MiB", w.title, 100*ours, oursRSS>>20, 100*peer, peerRSS>>20)
			if off <= 0.01 && off > -0.02 || try == 4 {
				break
			}
			memory = max(memory+(peerRSS-oursRSS)-peerRSS/100, 16<<20)
		}
		c.doc.command(w.name, flags)
		if n == 0 {
			c.doc.hitServers(oursCommand, peerCommand)
		}
		points := 100 * (ours - peer)
		row := single(w.name, w.title, "hits, %", 100*ours, 100*peer)
		row.target = ">= peer's"
		row.note = fmt.Sprintf("%+.2f points; resident %d and %d MiB", points, oursRSS>>20, peerRSS>>20)
		row.verdict = c.verdict(points >= 0, float64(oursRSS) > 1.01*float64(peerRSS))
		if row.verdict == "none: too noisy" {
			row.verdict = "none: more memory"
		}
		c.doc.add(row)
		sum, worst, n = sum+points, min(worst, points), n+1
	}
	if n == len(list) {
		row := row{name: "hit-mean", title: "mean of the eight", what: "points", load: loadavg(), target: ">= +2, none below 0",
			verdict: c.verdict(sum/float64(n) >= 2 && worst >= 0, false), note: fmt.Sprintf("%+.2f points, worst %+.2f", sum/float64(n), worst)}
		c.doc.add(row)
	}
	return nil
}
