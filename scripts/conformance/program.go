package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Programs: those that are awaited, and those that run beside the checks.

// linger is how long what a program left behind may go on writing where it wrote.
const linger = 10 * time.Second

// command runs a program for at most ten minutes and returns what it printed.
func (r *runner) command(dir string, env []string, name string, args ...string) (string, error) {
	return r.within(10*time.Minute, dir, env, name, args...)
}

// within runs a program, and ends it and what it started after limit.
func (r *runner) within(limit time.Duration, dir string, env []string, name string, args ...string) (string, error) {
	cmd := exec.Command("timeout", append([]string{fmt.Sprint(limit.Seconds()), name}, args...)...)
	cmd.Dir, cmd.WaitDelay = dir, linger
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	r.said.add(strings.Join(append([]string{filepath.Base(name)}, args...), " "), string(out))
	if err != nil {
		err = fmt.Errorf("%s: %w", name, err)
	}
	return string(out), err
}

// program runs until finish, and keeps the end of what it says.
type program struct {
	cmd   *exec.Cmd
	said  *transcript
	ended chan struct{} // closed when err is there
	err   error

	mu      sync.Mutex
	text    []byte
	address chan string // where a daemon listens first
}

// begin starts a program.
func (r *runner) begin(cmd *exec.Cmd) (*program, error) {
	p := &program{cmd: cmd, said: r.said, ended: make(chan struct{}), address: make(chan string, 1)}
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = p, p, linger
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.err = cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

var listening = regexp.MustCompile(`listening on ([^\s,]+)[\s,]`)

// Write takes what the program says.
func (p *program) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	const most = 64 << 10
	p.text = append(p.text, b...)
	if m := listening.FindSubmatch(p.text); m != nil {
		select {
		case p.address <- string(m[1]):
		default: // it is known
		}
	}
	if len(p.text) > 2*most {
		p.text = append(p.text[:0], p.text[len(p.text)-most:]...)
	}
	return len(b), nil
}

// finish ends a program as an administrator would, and not later than a minute from now.
func (p *program) finish() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(time.Minute, func() { _ = p.cmd.Process.Kill() })
	<-p.ended
	kill.Stop()
	name := filepath.Base(p.cmd.Path)
	p.said.add(name, string(p.text))
	if p.err != nil {
		return fmt.Errorf("the end of %s: %w", name, p.err)
	}
	return nil
}

// daemonOf starts a daemon and returns where it listens first.
func (r *runner) daemonOf(cmd *exec.Cmd) (*program, string, error) {
	p, err := r.begin(cmd)
	if err != nil {
		return nil, "", fmt.Errorf("start the daemon: %w", err)
	}
	select {
	case addr := <-p.address:
		return p, addr, nil
	case <-p.ended:
	case <-time.After(time.Minute):
	}
	return nil, "", errors.Join(errors.New("the daemon did not say where it listens"), p.finish())
}
