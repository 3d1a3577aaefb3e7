package main

import (
	"bufio"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// entries compares what small entries take, asks for 50 at a time, rewrites many of them, and does the first again with a
// lifespan.
func (c *comparison) entries() error {
	if !c.wanted("entries") && !c.wanted("mget50-5m") && !c.wanted("collector") {
		return nil
	}
	n := c.scaled(5_000_000)
	title := fmt.Sprintf("%.2gM entries of 16 + 100 B", float64(n)/1e6)
	flags := []string{"--keys", strconv.Itoa(n), "--value-size", "100"}
	err := c.filled(flags, func(ours, peer *server) error {
		if err := c.perEntry(title, flags, n, 145, ours, peer); err != nil {
			return err
		}
		if c.wanted("mget50-5m") {
			w := workload{name: "mget50-5m", title: "multi-get of 50, " + title, flags: join(flags, "--multiget 50 --gets 1"), cpu: 0.4}
			if err := c.compare(w, ours, peer); err != nil {
				return err
			}
		}
		if c.wanted("collector") {
			if err := c.collector(ours, flags); err != nil {
				return err
			}
		}
		if !c.wanted("entries") {
			return nil
		}
		rewrite := join(flags, "--no-preload --gets 0 --pipeline 16 --seed 9 --warmup-requests 0 --requests "+strconv.Itoa(n*6/10))
		for _, s := range []*server{ours, peer} {
			if _, err := c.load(s, rewrite...); err != nil {
				return err
			}
		}
		return c.perEntry("the same after rewriting 60 % at random", rewrite, n, 165, ours, peer)
	})
	if err != nil || !c.wanted("entries") {
		return err
	}
	mortal := join(flags, "--ttl 86400")
	return c.filled(mortal, func(ours, peer *server) error {
		return c.perEntry("the same with a lifespan", mortal, n, 155, ours, peer)
	})
}

// filled calls f with a pair of servers that have all keys.
func (c *comparison) filled(flags []string, f func(ours, peer *server) error) error {
	ours, peer, err := c.pair(3072, 2048)
	if err != nil {
		return err
	}
	defer ours.stop()
	defer peer.stop()
	c.doc.servers(ours, peer)
	say("%s: preload", strings.Join(flags, " "))
	for _, s := range []*server{ours, peer} {
		if err := c.preload(s, flags...); err != nil {
			return err
		}
	}
	return f(ours, peer)
}

// perEntry adds what n entries take of all resident memory, the process itself included.
func (c *comparison) perEntry(title string, flags []string, n int, limit float64, ours, peer *server) error {
	if !c.wanted("entries") {
		return nil
	}
	time.Sleep(3 * time.Second) // what is given back in the background is given back
	a, err := ours.rss()
	if err != nil {
		return err
	}
	b, err := peer.rss()
	if err != nil {
		return err
	}
	x, y := float64(a)/float64(n), float64(b)/float64(n)
	say("%s: %.1f and %.1f B/entry", title, x, y)
	c.doc.command("entries", flags)
	row := single("entries", title, "resident B/entry", x, y)
	row.target, row.verdict = fmt.Sprintf("<= %.0f B", limit), c.verdict(x <= limit, false)
	if c.scale < 1 {
		row.verdict = "none: too few entries"
	}
	c.doc.add(row)
	return nil
}

// collector measures what Go's collector costs latticed under full load.
func (c *comparison) collector(ours *server, flags []string) error {
	flags = join(flags, "--no-preload --pipeline 16 --duration "+(time.Duration(30*c.seconds)*time.Second).String())
	say("%v of full load", flags[len(flags)-1])
	before, err := ours.ours.State()
	if err != nil {
		return err
	}
	r, err := c.load(ours, flags...)
	if err != nil {
		return err
	}
	after, err := ours.ours.State()
	if err != nil {
		return err
	}
	c.doc.command("collector", flags)
	n := after.Counters
	share := 100 * float64(n["collector-cpu-us"]-before.Counters["collector-cpu-us"]) / 1e6 / r.ServerCPU
	row := row{name: "collector", title: "pipeline 16 over these entries for " + flags[len(flags)-1], what: "Go's collector", load: loadavg(),
		target: "< 0.5 % of CPU, stops < 500 us, heap < 64 MB",
		note: fmt.Sprintf("%.3f %% of CPU in %d collections, 99.9 %% of all stops since start up to %d us, heap %d MB", share,
			n["collections"]-before.Counters["collections"], n["stops-p999-us"], n["heap"]/1e6)}
	row.verdict = c.verdict(share < 0.5 && n["stops-p999-us"] < 500 && n["heap"] < 64e6, false)
	c.doc.add(row)
	return nil
}

// idle compares what connections take that once asked for something.
func (c *comparison) idle() error {
	if !c.wanted("idle") {
		return nil
	}
	n := c.scaled(8000)
	ours, peer, err := c.pair(1024, 64)
	if err != nil {
		return err
	}
	defer ours.stop()
	defer peer.stop()
	c.doc.servers(ours, peer)
	cost := func(s *server) (float64, error) {
		// Some before, so that what is made once is not charged to the rest. They are so many that Go's collector has run: a
		// latticed has its program's pages mapped when it first uses them.
		open := func(n int) ([]net.Conn, error) {
			var list []net.Conn
			for range n {
				conn, err := net.Dial("tcp", s.addr)
				if err != nil {
					return list, err
				}
				list = append(list, conn)
				if _, err := fmt.Fprint(conn, "get k\r\n"); err != nil {
					return list, err
				}
				if line, err := bufio.NewReaderSize(conn, 16).ReadString('\n'); line != "END\r\n" {
					return list, fmt.Errorf("got %q, %w", line, err)
				}
			}
			return list, nil
		}
		shut := func(list []net.Conn) {
			for _, conn := range list {
				conn.Close()
			}
		}
		first, err := open(n / 8)
		defer func() { shut(first) }()
		if err != nil {
			return 0, err
		}
		before, err := s.rss()
		if err != nil {
			return 0, err
		}
		rest, err := open(n)
		defer func() { shut(rest) }()
		if err != nil {
			return 0, err
		}
		after, err := s.rss()
		return float64(after-before) / float64(n), err
	}
	x, err := cost(ours)
	if err != nil {
		return fmt.Errorf("idle connections: latticed: %w", err)
	}
	y, err := cost(peer)
	if err != nil {
		return fmt.Errorf("idle connections: memcached: %w", err)
	}
	say("%d idle connections: %.0f and %.0f B each", n, x, y)
	row := single("idle", fmt.Sprintf("%d idle connections after one get", n), "resident B each", x, y)
	row.target, row.verdict = "<= 1500 B", c.verdict(x <= 1500, false)
	c.doc.add(row)
	return nil
}

func single(name, title, what string, ours, peer float64) row {
	q := ours / peer
	return row{name: name, title: title, what: what, ratio: ratio{ours: ours, peer: peer, median: q, low: q, high: q, best: q}, load: loadavg()}
}
