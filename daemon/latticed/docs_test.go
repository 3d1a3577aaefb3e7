//go:build unix

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDocumentsAreTrue runs the console blocks of README.md and docs/*.md. A line beginning with "$ " is a command for
// bash; the lines up to the next one are what it prints, where "..." stands for anything within a line. 127.0.0.1/11222,
// as bash names the port, is a daemon started for the document.
func TestDocumentsAreTrue(t *testing.T) {
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	self, err := filepath.Abs(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf("#!/bin/sh\nTEST_AS_LATTICED=1 exec '%s' \"$@\"\n", self)
	if err := os.WriteFile(bin+"/latticed", []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	commands := 0
	for _, file := range append(files, "../../README.md") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		steps := console(string(text))
		if len(steps) == 0 {
			continue
		}
		commands += len(steps)
		host, port, _ := strings.Cut(run(t, nil, "--listen", "127.0.0.1:0").addr, ":")
		for _, s := range steps {
			cmd := exec.Command("bash", "-c", strings.ReplaceAll(s.command, "127.0.0.1/11222", host+"/"+port))
			cmd.Dir = t.TempDir()
			cmd.Env = []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "HOME=" + bin}
			out, _ := cmd.CombinedOutput() // what it printed says whether it failed
			got := strings.ReplaceAll(string(out), "\r\n", "\n")
			pattern := strings.ReplaceAll(regexp.QuoteMeta(s.output), `\.\.\.`, `.*`)
			if ok, err := regexp.MatchString("^"+pattern+"$", got); !ok || err != nil {
				t.Errorf("%s: $ %s\ngot\n%s\nwant\n%s", filepath.Base(file), s.command, got, s.output)
			}
		}
	}
	if commands == 0 {
		t.Error("no document has a command; the test looks at nothing")
	}
}

type step struct{ command, output string }

// console finds the commands in a document's console blocks.
func console(text string) (steps []step) {
	inside := false
	for _, line := range strings.Split(text, "\n") {
		command, is := strings.CutPrefix(line, "$ ")
		switch {
		case strings.HasPrefix(line, "```"):
			inside = !inside && line == "```console"
		case inside && is:
			steps = append(steps, step{command: command})
		case inside && len(steps) > 0:
			steps[len(steps)-1].output += line + "\n"
		}
	}
	return steps
}
