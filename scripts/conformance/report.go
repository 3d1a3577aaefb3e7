package main

import (
	"fmt"
	"strings"
	"sync"
)

// What a run says of suites that fail. It comes last, so that the end of a log is enough to know.

// lines is how many lines of what each program said are shown of a suite that fails.
const lines = 40

// verdict is what became of a suite.
type verdict struct {
	name    string
	n, want int
	err     error
	said    *transcript
}

func (v verdict) word() string {
	switch {
	case v.n < v.want:
		return "FAILED"
	case v.n > v.want:
		return "ok, more than expected: raise expected.tsv"
	}
	return "ok"
}

// report tells how many suites passed, and of those that failed all that is known.
func (r *runner) report() error {
	var names []string
	for _, v := range r.failed {
		fmt.Printf("\n==== %s FAILED: %d of %d checks passed\n", v.name, v.n, v.want)
		if v.err != nil {
			fmt.Println(indented(last(v.err.Error())))
		}
		v.said.print()
		names = append(names, fmt.Sprintf("%s (%d of %d)", v.name, v.n, v.want))
	}
	fmt.Printf("\n%d passed, %d failed\n", r.passed, len(r.failed))
	if names != nil {
		return fmt.Errorf("fewer checks passed than expected: %s", strings.Join(names, ", "))
	}
	return nil
}

// transcript is what the programs of a suite said, in the order in which they ended.
type transcript struct {
	mu    sync.Mutex
	parts []part
}

type part struct{ program, text string }

func (t *transcript) add(program, text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.parts = append(t.parts, part{program, text})
}

// print shows the end of what each program said.
func (t *transcript) print() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range t.parts {
		if text := last(p.text); text != "" {
			fmt.Printf("---- the end of what %s said\n%s\n", p.program, indented(text))
		}
	}
}

// last returns the last lines of a text.
func last(text string) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

func indented(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n    ")
}
