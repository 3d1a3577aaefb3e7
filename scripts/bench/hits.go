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
	common      string // flags of both
	warm, count int    // requests before the measurement, and measured
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
		{name: "hit-zipf.8", title: "zipf 0.8", flags: "--zipf 0.8 " + sizes},
		{name: "hit-zipf.99", title: "zipf 0.99", flags: "--zipf 0.99 " + sizes},
		{name: "hit-zipf1.1", title: "zipf 1.1", flags: "--zipf 1.1 " + sizes},
		{name: "hit-scan", title: "zipf 0.99, a fifth is scans", flags: "--zipf 0.99 --scan 0.2 " + sizes},
		{name: "hit-onehit", title: "zipf 0.99, a quarter is never repeated", flags: "--zipf 0.99 --one-hit 0.25 " + sizes},
		{name: "hit-drift", title: "zipf 0.99, popularity drifts", flags: fmt.Sprintf("--zipf 0.99 --drift %d %s", (warm+count)/20, sizes)},
		{name: "hit-sizes", title: "zipf 0.99, values grow 2.2 times", flags: "--zipf 0.99 " + larger, before: "--zipf 0.99 " + sizes},
		{name: "hit-ttl", title: "zipf 0.99, lifespans 2 s, 10 s and none, 100,000 requests/s", flags: "--zipf 0.99 --ttl 0:50,2:25,10:25 --rate 100000 " + sizes},
	}
	memory := int64(0) // of ours; what the workload before needed is a good guess
	var sum float64
	worst, n := math.Inf(1), 0
	for _, w := range list {
		if !c.wanted(w.name) {
			continue
		}
		w.common, w.warm, w.count = fmt.Sprintf("--cache-aside --gets 1 --pipeline 16 --keys %d", keys), warm, count
		peer, err := c.hits(w, func() (*server, error) { return c.startPeer(mib) })
		if err != nil {
			return fmt.Errorf("%s: memcached: %w", w.name, err)
		}
		if memory == 0 {
			memory = peer.rss
		}
		ours, err := c.hitsIn(&memory, w, peer)
		if err != nil {
			return fmt.Errorf("%s: latticed: %w", w.name, err)
		}
		c.doc.command(w.name, ours.flags)
		if n == 0 {
			c.doc.hitServers(ours.command, peer.command)
		}
		points := 100 * (ours.ratio - peer.ratio)
		row := single(w.name, w.title, "hits, %", 100*ours.ratio, 100*peer.ratio)
		row.target = ">= peer's"
		row.note = fmt.Sprintf("%+.2f points; resident %d and %d MiB", points, ours.rss>>20, peer.rss>>20)
		row.verdict = c.verdict(points >= 0, float64(ours.rss) > 1.01*float64(peer.rss))
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

// hitResult is how often a server had what it was asked for, and its resident memory at the end.
type hitResult struct {
	ratio   float64
	rss     int64
	command string   // that started the server
	flags   []string // of the load
}

// hits measures a fresh server.
func (c *comparison) hits(w hitLoad, start func() (*server, error)) (h hitResult, err error) {
	s, err := start()
	if err != nil {
		return h, err
	}
	defer s.stop()
	h.command, h.flags = s.command, join(nil, w.common+" "+w.flags)
	if w.before != "" {
		before := join(nil, fmt.Sprintf("%s %s --requests %d", w.common, w.before, w.warm))
		if _, err := c.load(s, before...); err != nil {
			return h, err
		}
		h.flags = join(h.flags, fmt.Sprintf("--seed 1 --requests %d", w.count))
	} else {
		h.flags = join(h.flags, fmt.Sprintf("--warmup-requests %d --requests %d", w.warm, w.count))
	}
	r, err := c.load(s, h.flags...)
	if err != nil {
		return h, err
	}
	h.ratio = r.HitRatio
	h.rss, err = s.rss()
	return h, err
}

// hitsIn measures ours in as much memory as peer has: what it may use is changed until it takes no more, and not much less.
func (c *comparison) hitsIn(memory *int64, w hitLoad, peer hitResult) (hitResult, error) {
	for try := 0; ; try++ {
		ours, err := c.hits(w, func() (*server, error) { return c.startOurs(*memory) })
		if err != nil {
			return ours, err
		}
		off := float64(ours.rss)/float64(peer.rss) - 1
		say("%s: %.2f %% in %d MiB; memcached %.2f %% in %d MiB", w.title, 100*ours.ratio, ours.rss>>20, 100*peer.ratio, peer.rss>>20)
		if off <= 0.01 && off > -0.02 || try == 4 {
			return ours, nil
		}
		*memory = max(*memory+(peer.rss-ours.rss)-peer.rss/100, 16<<20)
	}
}
