package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"
)

// row is one line of the report.
type row struct {
	name, title, what string
	ratio             ratio
	target, verdict   string
	note, load        string
}

// document becomes docs/benchmarks.md.
type document struct {
	head     strings.Builder
	rows     []row
	started  []string
	commands []string
	hits     []string
	failures []string
	tail     string
}

func newDocument(c *comparison) document {
	var d document
	version, err := exec.Command(c.daemon, "version").Output()
	if err != nil {
		version = []byte("latticed unknown")
	}
	peer := "memcached " + c.peerV
	if c.old {
		peer += ", which is older than 1.6.45 and therefore shown without a verdict"
	}
	fmt.Fprintf(&d.head, `# Benchmarks

Written by %s on %s. Do not edit: the next run replaces it.

- %s
- peer: %s
- %s, %d CPUs, %s, load before it %s
- server on CPU 0, client on CPU 1, both servers resident, each workload freshly preloaded
- %d rounds or more of %.1f s for each server, taking turns; medians, and lowest to highest in brackets

A ratio is latticed's number divided by the peer's in the same round; the peer is memcached where a row names no other. No absolute number here means anything on another
machine, or on this one tomorrow. *Spread* is (highest - lowest) / median of the rounds, of latticed and of the peer; above
%.0f %%, of the number or of the CPU for one operation, there is no verdict.

`, "`make bench`", time.Now().UTC().Format("2006-01-02"), strings.TrimSpace(string(version)), peer, cpuModel(), runtime.NumCPU(), kernel(),
		loadavg(), c.rounds, c.seconds, maxSpread*100)
	if c.scale != 1 {
		fmt.Fprintf(&d.head, "**Only a try: numbers of entries and requests are %g of what they should be.**\n\n", c.scale)
	}
	if c.options.only != "" {
		fmt.Fprintf(&d.head, "**Only workloads that match `%s`.**\n\n", c.options.only)
	}
	return d
}

func (d *document) add(r row) { d.rows = append(d.rows, r) }

func (d *document) failed(err error) { d.failures = append(d.failures, err.Error()) }

// servers notes how they were started.
func (d *document) servers(list ...*server) {
	for _, s := range list {
		if !slices.Contains(d.started, s.command) {
			d.started = append(d.started, s.command)
		}
	}
}

func (d *document) hitServers(list ...string) { d.hits = list }

// command notes how the load of a workload was made.
func (d *document) command(name string, flags []string) {
	d.commands = append(d.commands, fmt.Sprintf("%-13s taskset -c 1 latticed bench --addr ADDR --pid PID %s", name, strings.Join(flags, " ")))
}

// line notes a command of another load generator.
func (d *document) line(name, command string) {
	d.commands = append(d.commands, fmt.Sprintf("%-13s %s", name, command))
}

func (d *document) finish(took time.Duration) {
	d.tail = fmt.Sprintf("The run took %s; load after it %s.\n", took.Round(time.Second), loadavg())
}

// String renders the report.
func (d *document) String() string {
	var b strings.Builder
	b.WriteString(d.head.String())
	b.WriteString("| workload | what | latticed | peer | ratio | spread | target | verdict | remarks |\n")
	b.WriteString("| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for _, r := range d.rows {
		q, spread, ours, peer := "", "", "", ""
		if r.ratio.peer != 0 {
			ours, peer = number(r.ratio.ours), number(r.ratio.peer)
			q = fmt.Sprintf("**%.2f**", r.ratio.median)
			if r.ratio.low != r.ratio.high {
				q += fmt.Sprintf(" (%.2f-%.2f)", r.ratio.low, r.ratio.high)
				spread = fmt.Sprintf("%.0f %%, %.0f %%", 100*r.ratio.spreadOurs, 100*r.ratio.spreadPeer)
			}
		}
		remarks := "load " + r.load
		if r.note != "" {
			remarks = r.note + "; " + remarks
		}
		fmt.Fprintf(&b, "| %s: %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", r.name, r.title, r.what, ours, peer, q, spread, r.target, r.verdict, remarks)
	}
	for _, f := range d.failures {
		fmt.Fprintf(&b, "\n**FAILED**: %s\n", f)
	}
	fmt.Fprintf(&b, "\n%s\n## Commands\n\nServers, as each part of the run started them:\n\n```sh\n%s\n```\n", d.tail, strings.Join(d.started, "\n"))
	if len(d.hits) > 0 {
		fmt.Fprintf(&b, "\nFor hit ratios a fresh server each time, latticed's memory chosen so that it uses no more than memcached, the first:\n\n```sh\n%s\n```\n", strings.Join(d.hits, "\n"))
	}
	fmt.Fprintf(&b, "\nLoad, ADDR and PID being a server's; `--seed` counts the rounds:\n\n```sh\n%s\n```\n", strings.Join(d.commands, "\n"))
	return b.String()
}

// number writes x with three or four digits.
func number(x float64) string {
	switch {
	case x >= 1000:
		return fmt.Sprintf("%.0f", x)
	case x >= 100:
		return fmt.Sprintf("%.1f", x)
	case x >= 10:
		return fmt.Sprintf("%.2f", x)
	}
	return fmt.Sprintf("%.3f", x)
}

func loadavg() string {
	b, err := os.ReadFile("/proc/loadavg")
	if f := strings.Fields(string(b)); err == nil && len(f) > 0 {
		return f[0]
	}
	return "unknown"
}

func cpuModel() string {
	b, _ := os.ReadFile("/proc/cpuinfo") // unknown is an answer
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func kernel() string {
	b, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return runtime.GOOS
	}
	return "Linux " + strings.TrimSpace(string(b))
}
