// Command bench compares latticed with a memcached found on this machine, and by HTTP with nginx, Go's servers and an
// Infinispan that it is shown, and writes docs/benchmarks.md: CPU for one
// operation, operations a second, latencies, memory, hit ratios, each as a ratio with its spread, and the commands that
// made them.
//
// Absolute times mean nothing on a machine that does other things too. So both servers are resident, pinned to CPU 0, the
// client to CPU 1, and rounds alternate. Where the CPU for one operation of either server spreads over more than 25 %
// between rounds, no verdict is given; none is given either against a memcached older than 1.6.45, whose pipelining was
// poor.
//
// It drives the binary as anybody can, through `latticed bench`; only connections that idle are its own.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"os/user"
	"regexp"
	"syscall"
	"time"

	"github.com/latticed/latticed/scripts/bench/peers"
)

type options struct {
	daemon, peer, out string
	rounds            int
	seconds           float64
	scale             float64
	only              string
	infinispan        string
}

func main() {
	var o options
	flag.StringVar(&o.daemon, "daemon", "bin/latticed", "the binary, server and load generator")
	flag.StringVar(&o.peer, "peer", os.Getenv("PEER"), "a memcached; empty: the one on PATH")
	flag.StringVar(&o.out, "out", "", "write the report there; empty: to standard output")
	flag.IntVar(&o.rounds, "rounds", 5, "rounds of each server")
	flag.Float64Var(&o.seconds, "seconds", 2, "length of a round")
	flag.Float64Var(&o.scale, "scale", 1, "share of all numbers of entries and requests, for a try")
	flag.StringVar(&o.only, "only", "", "regular expression of workload names to run; see the report")
	flag.StringVar(&o.infinispan, "infinispan", os.Getenv("INFINISPAN"), "HOST:PORT,PID of an Infinispan server to compare with")
	serve := flag.String("serve", "", "be a peer, fasthttp or net/http, at the address that follows")
	flag.Parse()
	if *serve != "" {
		fmt.Fprintln(os.Stderr, "bench:", peers.Serve(*serve, flag.Arg(0), webPath, webValue()))
		os.Exit(1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// comparison is one run of this program.
type comparison struct {
	options
	ctx    context.Context
	only   *regexp.Regexp
	peerV  string
	old    bool // the peer is no yardstick
	asUser []string
	doc    document
}

func run(ctx context.Context, o options) (err error) {
	c := &comparison{options: o, ctx: ctx}
	if c.only, err = regexp.Compile(o.only); err != nil {
		return err
	}
	if _, err := exec.LookPath("taskset"); err != nil {
		return errors.New("taskset is needed to pin servers and client (Debian: util-linux)")
	}
	if o.peer == "" {
		if c.peer, err = exec.LookPath("memcached"); err != nil {
			return errors.New("no memcached on PATH; name one with PEER=/path/to/memcached")
		}
	}
	if c.peerV, c.old, err = peerVersion(c.peer); err != nil {
		return err
	}
	if os.Getuid() == 0 { // memcached wants to be told
		u, err := user.Current()
		if err != nil {
			return err
		}
		c.asUser = []string{"-u", u.Username}
	}
	c.doc = newDocument(c)
	begin := time.Now()
	for _, part := range []func() error{c.speed, c.large, c.entries, c.openLoop, c.idle, c.tls, c.web, c.hitRatios} {
		if perr := part(); perr != nil && ctx.Err() == nil { // the others may do better
			say("FAILED: %v", perr)
			c.doc.failed(perr)
			err = errors.Join(err, perr)
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	c.doc.finish(time.Since(begin))
	text := c.doc.String()
	if c.out == "" {
		fmt.Print(text)
	} else if werr := os.WriteFile(c.out, []byte(text), 0o644); werr != nil && err == nil {
		err = werr
	}
	return err
}

// wanted tells whether the workload of that name is to be run.
func (c *comparison) wanted(name string) bool { return c.ctx.Err() == nil && c.only.MatchString(name) }

// say tells what goes on.
func say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

// scaled is n, or less for a try.
func (c *comparison) scaled(n int) int { return max(1000, int(float64(n)*c.scale)) }
