//go:build unix && !race

// The race detector alone needs more address space than is allowed here.

package main

import (
	"os/exec"
	"regexp"
	"testing"
)

// Where address space is limited, memory that cannot be had is refused at start with what to do; less is served.
func TestAddressSpace(t *testing.T) {
	limited := func(args ...string) *exec.Cmd {
		// With cgo, each thread has a stack and a heap of the C library's, which by default are 8 MiB and 64 MiB of addresses.
		cmd := command([]string{"MALLOC_ARENA_MAX=1"}, args...)
		cmd.Args = append([]string{"sh", "-c", `ulimit -s 256; ulimit -v 1000000; exec "$@"`, "sh", cmd.Path}, args...)
		cmd.Path = "/bin/sh"
		return cmd
	}
	out, err := limited("--memory", "1GiB", "--listen", "127.0.0.1:0").CombinedOutput()
	want := regexp.MustCompile(`^latticed: grid/store: reserve \d+ bytes of address space: mmap: cannot allocate memory; lower the memory limit, or raise the limit on address space \(ulimit -v\)\n$`)
	if err == nil || !want.Match(out) {
		t.Errorf("got %q, %v, want %v", out, err, want)
	}
	p := start(t, limited("--memory", "64MiB", "--listen", "127.0.0.1:0"))
	ask(t, dial(t, "tcp", p.addr), "set k 0 0 1\r\na\r\n", "STORED\r\n")
}
