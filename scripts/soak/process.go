package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// process is a running latticed and what it has logged.
type process struct {
	cmd      *exec.Cmd
	addr     string
	counters chan map[string]int64
	read     sync.WaitGroup

	mu  sync.Mutex
	bad []string // log lines of level error and above, and what is no log line
}

var listening = regexp.MustCompile(`listening on ([^\s,]+)`)

func start(bin string, args ...string) (*process, error) {
	p := &process{cmd: exec.Command(bin, args...), counters: make(chan map[string]int64, 1)}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	errOut, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	p.read.Go(func() { p.follow(errOut) })
	r := bufio.NewReader(out)
	for p.addr == "" {
		line, err := r.ReadString('\n')
		if err != nil {
			p.kill()
			return nil, fmt.Errorf("the daemon did not say where it listens: %v", p.complaints())
		}
		if m := listening.FindStringSubmatch(line); m != nil {
			p.addr = m[1]
		}
	}
	p.read.Go(func() { _, _ = io.Copy(io.Discard, r) })
	return p, nil
}

// follow reads the log.
func (p *process) follow(r io.Reader) {
	for lines := bufio.NewScanner(r); lines.Scan(); {
		var entry struct{ Level, Message string }
		line := lines.Bytes()
		if err := json.Unmarshal(line, &entry); err != nil || entry.Level == "error" || entry.Level == "fatal" || entry.Level == "panic" {
			p.mu.Lock()
			if len(p.bad) < 100 {
				p.bad = append(p.bad, string(line))
			}
			p.mu.Unlock()
		}
		if entry.Message != "counters" {
			continue
		}
		var fields map[string]any
		if json.Unmarshal(line, &fields) != nil {
			continue
		}
		numbers := map[string]int64{}
		for name, v := range fields {
			if n, ok := v.(float64); ok && name != "time" {
				numbers[name] = int64(n)
			}
		}
		select {
		case p.counters <- numbers:
		default: // nobody asked
		}
	}
}

func (p *process) complaints() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bad
}

func (p *process) kill() {
	if p.cmd.ProcessState == nil {
		_ = p.cmd.Process.Kill()
		p.read.Wait()
		_ = p.cmd.Wait()
	}
}

// end stops the daemon as an operator does.
func (p *process) end() (int, error) {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return -1, err
	}
	kill := time.AfterFunc(30*time.Second, func() { _ = p.cmd.Process.Kill() })
	defer kill.Stop()
	p.read.Wait()
	err := p.cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = nil
	}
	return p.cmd.ProcessState.ExitCode(), err
}

// state is what a process holds.
type state struct {
	goroutines, descriptors int
	rss                     int64
	counters                map[string]int64
}

func (n state) String() string {
	return fmt.Sprintf("%d goroutines, %d descriptors, %.1f MiB resident, %d connections",
		n.goroutines, n.descriptors, mib(n.rss), n.counters["connections"])
}

func (p *process) state() (state, error) {
	select {
	case <-p.counters: // an old one
	default:
	}
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		return state{}, fmt.Errorf("ask for the counters: %w", err)
	}
	var n state
	select {
	case n.counters = <-p.counters:
	case <-time.After(10 * time.Second):
		return n, errors.New("the daemon does not log its counters")
	}
	n.goroutines = int(n.counters["goroutines"])
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
	if err != nil {
		return n, err
	}
	n.descriptors = len(fds)
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid))
	if err != nil {
		return n, err
	}
	pages, err := strconv.ParseInt(string(bytes.Fields(statm)[1]), 10, 64)
	n.rss = pages * int64(os.Getpagesize())
	return n, err
}

// restFor is longer than Go's collector waits before it comes by itself.
const restFor = 130 * time.Second

// settle waits until no connection is left and the process has come to rest as good says, for twice restFor at most,
// and returns what it holds then. Without good it waits for rest and returns the least memory that was seen.
func (p *process) settle(ctx context.Context, rest time.Duration, good func(state) bool) (state, error) {
	end := time.Now().Add(2 * restFor)
	if good == nil {
		end = time.Now().Add(rest)
	}
	var last, least state
	for {
		now, err := p.state()
		if err != nil {
			return now, err
		}
		calm := now.counters["connections"] == 0 && now.goroutines == last.goroutines && now.descriptors == last.descriptors
		if calm && good != nil && good(now) {
			return now, nil
		}
		if calm && good == nil && (least.rss == 0 || now.rss < least.rss) {
			least = now
		}
		last = now
		if time.Now().After(end) {
			switch {
			case now.counters["connections"] != 0:
				return now, fmt.Errorf("%d connections are left", now.counters["connections"])
			case good == nil && least.rss != 0:
				return least, nil
			case good == nil:
				return now, errors.New("the daemon does not come to rest")
			}
			return now, nil // the caller judges
		}
		select {
		case <-ctx.Done():
			return now, ctx.Err()
		case <-time.After(time.Second):
		}
	}
}
