package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/latticed/latticed/daemon/bench"
	"github.com/latticed/latticed/scripts/process"
)

// server is a resident server, ours or the peer.
type server struct {
	name    string
	addr    string
	port2   string // where HTTP/2 is spoken, if elsewhere
	pid     int
	command string           // as the report shows it
	ours    *process.Process // nil for the peer
	peer    *exec.Cmd
}

// peerVersion asks a memcached for its version and tells whether it is too old to be a yardstick.
func peerVersion(path string) (version string, old bool, err error) {
	out, err := exec.Command(path, "-V").Output()
	if err != nil {
		return "", false, fmt.Errorf("%s -V: %w", path, err)
	}
	version, ok := strings.CutPrefix(strings.TrimSpace(string(out)), "memcached ")
	if !ok {
		return "", false, fmt.Errorf("%s says that it is %q, not a memcached", path, out)
	}
	return version, older(version, 1, 6, 45), nil
}

func older(version string, least ...int) bool {
	parts := strings.Split(version, ".")
	for i, want := range least {
		if i >= len(parts) {
			return true
		}
		digits := len(parts[i]) - len(strings.TrimLeft(parts[i], "0123456789"))
		if got, err := strconv.Atoi(parts[i][:digits]); err != nil || got != want {
			return err != nil || got < want
		}
	}
	return false
}

// pair starts both servers with this much memory, in MiB.
func (c *comparison) pair(oursMiB, peerMiB int) (ours, peer *server, err error) {
	if ours, err = c.startOurs(int64(oursMiB) << 20); err != nil {
		return nil, nil, err
	}
	if peer, err = c.startPeer(peerMiB); err != nil {
		ours.stop()
		return nil, nil, err
	}
	return ours, peer, nil
}

// startOurs starts latticed; flags are more of its own.
func (c *comparison) startOurs(memory int64, flags ...string) (*server, error) {
	size := strconv.FormatInt(memory, 10)
	if memory%(1<<20) == 0 {
		size = strconv.FormatInt(memory>>20, 10) + "MiB"
	}
	command := []string{"taskset", "-c", "0", c.daemon, "--listen", "127.0.0.1:0", "--memory", size, "--max-connections", "10000"}
	command = append(command, flags...)
	p, err := process.Start(command...)
	if err != nil {
		return nil, fmt.Errorf("start latticed: %w", err)
	}
	command[3], command[5] = "latticed", "127.0.0.1:11222"
	return &server{name: "latticed", addr: p.Addr, pid: p.PID(), command: strings.Join(command, " "), ours: p}, nil
}

// startPeer starts memcached; flags are more of its own.
func (c *comparison) startPeer(mib int, flags ...string) (*server, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	_, port, _ := strings.Cut(addr, ":")
	shown := []string{"taskset", "-c", "0", "memcached", "-l", "127.0.0.1", "-p", "11211", "-t", "1", "-m", strconv.Itoa(mib), "-c", "10000"}
	shown = append(shown, flags...)
	command := append(append([]string(nil), shown...), c.asUser...)
	command[3], command[7] = c.peer, port
	cmd := exec.Command(command[0], command[1:]...)
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start memcached: %w", err)
	}
	s := &server{name: "memcached", addr: addr, pid: cmd.Process.Pid, command: strings.Join(shown, " "), peer: cmd}
	return s, s.await()
}

// await returns when the peer listens; if it does not, it is stopped.
func (s *server) await() error {
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("tcp", s.addr)
		if err == nil {
			conn.Close()
			return nil
		}
		if time.Now().After(end) {
			s.stop()
			return fmt.Errorf("%s does not listen: %w", s.name, err)
		}
	}
}

func (s *server) stop() {
	if s.ours != nil {
		if _, err := s.ours.End(); err != nil {
			s.ours.Kill()
		}
		return
	}
	if s.peer == nil {
		return // it was there before
	}
	_ = s.peer.Process.Kill() // it holds nothing that must be kept
	_ = s.peer.Wait()
}

// rss returns resident bytes.
func (s *server) rss() (int64, error) { return process.RSS(s.pid) }

// moved returns how many connections latticed has ever handed to goroutines.
func (s *server) moved() (int64, error) {
	if s.ours == nil {
		return 0, nil
	}
	n, err := s.ours.State()
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, name := range []string{"slow-readers", "half-closed", "long-parked", "hand-offs-refused"} {
		sum += n.Counters[name]
	}
	return sum + n.Counters["on-goroutines"], nil
}

// load runs `latticed bench` with flags against s.
func (c *comparison) load(s *server, flags ...string) (*bench.Report, error) {
	args := append([]string{"-c", "1", c.daemon, "bench", "--addr", s.addr, "--pid", strconv.Itoa(s.pid), "--json"}, flags...)
	cmd := exec.CommandContext(c.ctx, "taskset", args...)
	var errOut strings.Builder
	cmd.Stderr = &errOut
	out, err := cmd.Output()
	if c.ctx.Err() != nil {
		return nil, c.ctx.Err()
	}
	r := &bench.Report{}
	notRead := json.Unmarshal(out, r)
	switch {
	case err != nil && (notRead != nil || s.ours != nil || !refusedFew(r)):
		return nil, fmt.Errorf("latticed bench %s: %w: %s", strings.Join(flags, " "), err, strings.TrimSpace(errOut.String()))
	case notRead != nil:
		return nil, fmt.Errorf("read the report: %w", notRead)
	}
	return r, nil
}

// refusedFew tells whether all that went wrong is that very few stores were refused. A memcached does that when values become larger,
// which is no reason to end the comparison; ours never may.
func refusedFew(r *bench.Report) bool {
	return r.Errors.Total() == r.Errors.Refused && r.Errors.Refused*10_000 < r.Requests
}

// preload sets every key once; flags are the workload's.
func (c *comparison) preload(s *server, flags ...string) error {
	// Preloading is what a bench does first; the shortest measurement behind it does no harm.
	_, err := c.load(s, append(flags, "--warmup", "0s", "--duration", "20ms")...)
	return err
}
