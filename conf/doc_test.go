package conf_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/latticed/latticed/conf"
)

// TestDocumentation compares the tables of docs/configuration.md with what can be configured, in both directions.
func TestDocumentation(t *testing.T) {
	b, err := os.ReadFile("../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	listener := false
	word := regexp.MustCompile("^`([^`]+)`$")
	for _, row := range strings.Split(string(b), "\n") {
		if !strings.HasPrefix(row, "| ") {
			continue
		}
		listener = listener || strings.HasPrefix(row, "| key of a listener")
		cells := strings.Split(row, "|")
		for i, cell := range cells[:min(len(cells), 4)] {
			m := word.FindStringSubmatch(strings.TrimSpace(cell))
			switch {
			case m == nil:
			case listener && i == 1:
				got = append(got, "latticed.listeners."+m[1])
			case i == 1:
				got = append(got, "latticed."+m[1])
			case !listener:
				got = append(got, m[1])
			}
		}
	}
	want = conf.FileKeys()
	for _, s := range conf.Settings(conf.Machine{}) {
		if !s.Hidden {
			want = append(want, "--"+s.Flag, s.Env)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("docs/configuration.md has\n%v\nand there is\n%v", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
