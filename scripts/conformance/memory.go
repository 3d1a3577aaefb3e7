package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// The control group of the suite, and what is stored in it.
const (
	groupLimit = 256 << 20
	fillBytes  = 4 << 30
)

// memory fills a daemon in a control group of 256 MiB with 4 GiB of mixed sizes at full speed: nothing is refused, the
// process is not killed and never has more than the group's limit. Where no group can be made, which takes root and a
// controller that is mounted, the daemon is told the limit instead and only its own memory is judged; the result says so.
func memory(r *runner, _ string) (n int, err error) {
	group, err := newGroup()
	if err != nil {
		fmt.Printf("    no control group (%v): judged by the memory of the process alone\n", err)
	} else {
		defer os.Remove(group)
	}
	args := []string{r.daemon, "--listen", "127.0.0.1:0"}
	if group == "" {
		args = append(args, "--memory", strconv.Itoa(groupLimit/8*7))
	} else { // the shell enters the group and becomes the daemon
		args = append([]string{"sh", "-c", `echo $$ >"$0/cgroup.procs" && exec "$@"`, group}, args...)
	}
	p, addr, err := r.daemonOf(exec.Command(args[0], args[1:]...))
	if err != nil {
		return 0, err
	}
	stored, err := fill(addr)
	if err != nil {
		err = fmt.Errorf("after %d entries: %w", stored, err)
	} else {
		n++
	}
	status, e := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if e == nil {
		_, rest, _ := strings.Cut(string(status), "VmHWM:")
		peak, _ := strconv.Atoi(strings.Fields(rest + " 0")[0])
		if fmt.Printf("    %d entries, at most %d MiB resident\n", stored, peak>>10); peak > 0 && peak<<10 <= groupLimit {
			n++
		} else {
			err = errors.Join(err, fmt.Errorf("%d kB resident at most", peak))
		}
	}
	if e := p.finish(); e == nil { // not killed
		n++
	} else {
		err = errors.Join(err, e)
	}
	return n, err
}

// newGroup makes a control group beside those at the top of the memory controller's hierarchy, of either version.
func newGroup() (string, error) {
	var errs error
	for _, v := range []struct{ root, file string }{
		{"/sys/fs/cgroup/memory", "memory.limit_in_bytes"},
		{"/sys/fs/cgroup", "memory.max"},
	} {
		group := filepath.Join(v.root, fmt.Sprintf("latticed-conformance-%d", os.Getpid()))
		err := os.Mkdir(group, 0o755)
		if err == nil {
			if err = os.WriteFile(filepath.Join(group, v.file), []byte(strconv.Itoa(groupLimit)), 0o644); err == nil {
				return group, nil
			}
			_ = os.Remove(group)
		}
		errs = errors.Join(errs, err)
	}
	return "", errs
}

// fill stores fillBytes over eight connections that never wait for a reply, and counts the replies.
func fill(addr string) (stored int64, err error) {
	const connections = 8
	value := make([]byte, 1<<20)
	for i := range value {
		value[i] = byte('a' + i%26)
	}
	var wg sync.WaitGroup
	var count atomic.Int64
	errs := make([]error, connections)
	for i := range connections {
		wg.Go(func() {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				errs[i] = err
				return
			}
			defer c.Close()
			go func() {
				rng := rand.New(rand.NewPCG(uint64(i), 3))
				w := bufio.NewWriterSize(c, 256<<10)
				for sent, n := 0, 0; sent < fillBytes/connections; n++ {
					size := 1 << rng.IntN(11)
					size += rng.IntN(size)
					switch k := rng.IntN(2000); {
					case k == 0:
						size = 100_000 + rng.IntN(900_000)
					case k < 40:
						size = 4_000 + rng.IntN(20_000)
					}
					fmt.Fprintf(w, "set k%d-%d 0 %d %d\r\n", i, n, rng.IntN(2)*100, size)
					w.Write(value[:size])
					w.WriteString("\r\n")
					sent += size
				}
				w.WriteString("quit\r\n")
				w.Flush() // what fails here, the reader sees too
			}()
			for r := bufio.NewReader(c); ; count.Add(1) {
				reply, err := r.ReadString('\n')
				if err == io.EOF && reply == "" {
					return
				}
				if err != nil || reply != "STORED\r\n" {
					errs[i] = fmt.Errorf("got %q, %v", reply, err)
					return
				}
			}
		})
	}
	wg.Wait()
	return count.Load(), errors.Join(errs...)
}
