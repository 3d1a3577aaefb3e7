// Package process runs a latticed for another program, as an operator does, and reads what it holds and counts. It
// knows the daemon by its command line, signals and log alone, and works on Linux, where /proc tells the rest.
package process

import (
	"bufio"
	"bytes"
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

// Process is a running latticed and what it has logged. One goroutine uses it.
type Process struct {
	Addr     string // of its first listener
	cmd      *exec.Cmd
	counters chan map[string]int64
	read     sync.WaitGroup

	mu  sync.Mutex
	bad []string
}

// State is what a process holds.
type State struct {
	Goroutines, Descriptors int
	RSS                     int64            // bytes
	Counters                map[string]int64 // by the names in its log
}

// logging makes the daemon tell its counters.
var logging = []string{"--log-level", "debug", "--log-format", "json"}

var listening = regexp.MustCompile(`listening on ([^\s,]+)`)

// Start runs a command line, whose program is a latticed or starts one in its own process, with flags for its log
// added, and returns when it listens.
func Start(command ...string) (*Process, error) {
	p := &Process{cmd: exec.Command(command[0], append(command[1:], logging...)...), counters: make(chan map[string]int64, 1)}
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
	for p.Addr == "" {
		line, err := r.ReadString('\n')
		if err != nil {
			p.Kill()
			return nil, fmt.Errorf("the daemon did not say where it listens: %v", p.Complaints())
		}
		if m := listening.FindStringSubmatch(line); m != nil {
			p.Addr = m[1]
		}
	}
	p.read.Go(func() { _, _ = io.Copy(io.Discard, r) })
	return p, nil
}

// follow reads the log.
func (p *Process) follow(r io.Reader) {
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

// Complaints returns the log's lines of level error and above, and what is no log line; a hundred at most.
func (p *Process) Complaints() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bad
}

// PID is the process's id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Kill ends the process if it still runs.
func (p *Process) Kill() {
	if p.cmd.ProcessState == nil {
		_ = p.cmd.Process.Kill()
		p.read.Wait()
		_ = p.cmd.Wait()
	}
}

// End stops the daemon by SIGTERM and returns its exit code.
func (p *Process) End() (int, error) {
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

// State asks the daemon for its counters by SIGHUP and reads the rest.
func (p *Process) State() (State, error) {
	select {
	case <-p.counters: // an old one
	default:
	}
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		return State{}, fmt.Errorf("ask for the counters: %w", err)
	}
	var n State
	select {
	case n.Counters = <-p.counters:
	case <-time.After(20 * time.Second):
		return n, errors.New("the daemon does not log its counters")
	}
	n.Goroutines = int(n.Counters["goroutines"])
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.PID()))
	if err != nil {
		return n, err
	}
	n.Descriptors = len(fds)
	n.RSS, err = RSS(p.PID())
	return n, err
}

// RSS returns the resident memory of a process in bytes.
func RSS(pid int) (int64, error) {
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	pages, err := strconv.ParseInt(string(bytes.Fields(statm)[1]), 10, 64)
	return pages * int64(os.Getpagesize()), err
}

// CPU returns the CPU time that a process has used, to a hundredth of a second.
func CPU(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The command's name, in brackets, may hold anything; utime and stime are the 12th and 13th field behind it.
	f := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(f) < 13 {
		return 0, fmt.Errorf("strange stat of process %d", pid)
	}
	user, err := strconv.ParseInt(string(f[11]), 10, 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseInt(string(f[12]), 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond, err
}
