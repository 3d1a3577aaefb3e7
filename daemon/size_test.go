package daemon

import (
	"strings"
	"testing"
)

func TestSize(t *testing.T) {
	f := func(p plan, guideNodes, guidePlanned, nodes, planned float64) {
		t.Helper()
		if _, _, n, all := p.guide(); n != guideNodes || all != guidePlanned {
			t.Errorf("%+v: by the guide %v nodes, %v planned; want %v, %v", p, n, all, guideNodes, guidePlanned)
		}
		if _, _, _, n, all := p.ours(); n != nodes || all != planned {
			t.Errorf("%+v: ours %v nodes, %v planned; want %v, %v", p, n, all, nodes, planned)
		}
	}
	// The guide's own example: 40 GB on nodes of 4 GB, two of which may fail.
	f(plan{entries: 1e6, value: 10_000, owners: 3, memory: 4e9}, 10, 12, 9, 11)
	// Small entries, where the overhead counts: 1e9 x (32 + 39) B are more than 64 GB.
	f(plan{entries: 1e9, key: 16, value: 16, owners: 1, memory: 64e9}, 1, 1, 2, 2)
	f(plan{entries: 1, value: 1, owners: 1, memory: 1e9}, 1, 1, 1, 1)
	f(plan{entries: 1, value: 1, owners: 3, memory: 1e9}, 1, 3, 1, 3)
}

func TestSizeCommand(t *testing.T) {
	f := func(want string, args ...string) {
		t.Helper()
		var out, errOut strings.Builder
		Main("test", append([]string{"size"}, args...), &out, &errOut)
		if got := out.String() + errOut.String(); !strings.Contains(got, want) {
			t.Errorf("%v: got %q, want %q in it", args, got, want)
		}
	}
	f("latticed: size: --value: want a size", "--entries", "1", "--value", "ten")
	f("--entries must be at least 1", "--entries", "0", "--value", "10")
	f("--entries must be at least 1", "--entries", "NaN", "--value", "10")
	f("--owners must be at least 1", "--entries", "1", "--value", "10", "--owners", "0")
	f("required flag(s) \"entries\"", "--value", "10")
	f("40 GB", "--entries", "1e6", "--value", "10kB", "--owners", "3", "--memory", "4GB")
}
