package memcached_test

import (
	"bufio"
	"flag"
	"io"
	"net"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/latticed/latticed/protocols/prototest"
)

// To record the transcripts anew, start memcached 1.6.45 built for debugging (it has debugtime) with -m 1024 and give its
// address: go test ./protocols/memcached -run TestTranscripts -record 127.0.0.1:11211. What is sent, and what we answer
// on purpose, stays; git diff tells what the server has changed its mind about.
var record = flag.String("record", "", "address of a memcached to record testdata/*.txt from")

// vars are cas uniques, hidden are moments.
var (
	vars = regexp.MustCompile(`(?m)^VALUE \S+ \d+ \d+ (\d+)\r$|^(?:HD|VA) .*?\bc(\d{1,10})\b|cas=(\d+)`)
	hide = regexp.MustCompile(`VERSION (\S+)|\bexp=(\d\d+)|\bla=(\d+)|\bITEM .*; (\d+) s`)
)

func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		tr := prototest.Transcript{
			File: file, Setup: setup, Ways: prototest.Ways(15), Vars: vars, Hide: hide, Once: once,
			Record: *record, Prepare: prepare, Settle: settle,
		}
		t.Run(filepath.Base(file), tr.Run)
	}
}

// prepare empties a memcached and waits for its clock to tick, so that a conversation lies between two ticks.
func prepare(address string) error {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	r := bufio.NewReader(c)
	if _, err := io.WriteString(c, "flush_all\r\nlru_crawler enable\r\nstats detail off\r\nstats reset\r\n"); err != nil {
		return err
	}
	for last := ""; ; {
		if _, err := io.WriteString(c, "stats\r\n"); err != nil {
			return err
		}
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return err
			}
			if line == "END\r\n" {
				break
			}
			if strings.HasPrefix(line, "STAT time ") && line != last {
				if last != "" {
					return nil
				}
				last = line
			}
		}
	}
}

// settle lets memcached's clock tick after it was moved, because only then it is what it should be.
func settle(sent string) time.Duration {
	if once(sent) {
		return 1100 * time.Millisecond
	}
	return 0
}
