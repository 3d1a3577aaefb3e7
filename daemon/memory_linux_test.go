package daemon

import (
	"strconv"
	"testing"
	"testing/fstest"
)

func TestMemoryOf(t *testing.T) {
	const (
		v2       = "31 23 0:28 / /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw\n"
		v1       = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n"
		infinite = "9223372036854771712\n"
	)
	f := func(name string, want uint64, group string, files ...string) {
		t.Helper()
		root := fstest.MapFS{}
		for i := 0; i < len(files); i += 2 {
			root[files[i]] = &fstest.MapFile{Data: []byte(files[i+1])}
		}
		if got, from := memoryOf(root); got != want || from != group {
			t.Errorf("%s: got %d of %q, want %d of %q", name, got, from, want, group)
		}
	}
	machine := func(kB int) []string {
		return []string{"proc/meminfo", "MemTotal:       " + strconv.Itoa(kB) + " kB\nMemFree: 1 kB\n"}
	}
	on := func(mounts, groups string, files ...string) []string {
		return append(append(machine(1<<20), "proc/self/mountinfo", mounts, "proc/self/cgroup", groups), files...)
	}
	f("nothing known", 0, "")
	f("no groups", 1<<30, "", machine(1<<20)...)
	f("v2", 256<<20, "/a", on(v2, "0::/a\n", "sys/fs/cgroup/a/memory.max", "268435456\n")...)
	f("v2, max", 1<<30, "", on(v2, "0::/a\n", "sys/fs/cgroup/a/memory.max", "max\n")...)
	f("v2, more than the machine has", 1<<30, "", on(v2, "0::/a\n", "sys/fs/cgroup/a/memory.max", "2147483648\n")...)
	f("v2, the group above is tighter", 100, "/a", on(v2, "0::/a/b/c\n", "sys/fs/cgroup/a/memory.max", "100\n",
		"sys/fs/cgroup/a/b/memory.max", "300\n", "sys/fs/cgroup/a/b/c/memory.max", "200\n")...)
	f("v2, the group itself is tighter", 200, "/a/b/c", on(v2, "0::/a/b/c\n", "sys/fs/cgroup/a/memory.max", "400\n",
		"sys/fs/cgroup/a/b/memory.max", "max\n", "sys/fs/cgroup/a/b/c/memory.max", "200\n")...)
	f("v2, high", 50, "/a", on(v2, "0::/a\n", "sys/fs/cgroup/a/memory.max", "100\n", "sys/fs/cgroup/a/memory.high", "50\n")...)
	f("v2, a namespace of its own", 100, "/", on(v2, "0::/\n", "sys/fs/cgroup/memory.max", "100\n")...)
	f("v2, mounted from the group", 100, "/docker/x", on("31 23 0:28 /docker/x /sys/fs/cgroup ro - cgroup2 cgroup rw\n", "0::/docker/x\n",
		"sys/fs/cgroup/memory.max", "100\n")...)
	f("v2, below the mount", 90, "/docker/x/y", on("31 23 0:28 /docker/x /sys/fs/cgroup ro - cgroup2 cgroup rw\n", "0::/docker/x/y\n",
		"sys/fs/cgroup/memory.max", "100\n", "sys/fs/cgroup/y/memory.max", "90\n")...)
	f("v2, mounted from elsewhere", 100, "/docker/x", on("31 23 0:28 /docker/x /sys/fs/cgroup ro - cgroup2 cgroup rw\n", "0::/docker/xy\n",
		"sys/fs/cgroup/memory.max", "100\n", "sys/fs/cgroup/y/memory.max", "90\n")...)
	f("v1", 1<<28, "/a", on(v1, "5:cpu:/z\n4:memory:/a\n0::/\n", "sys/fs/cgroup/memory/a/memory.limit_in_bytes", "268435456\n",
		"sys/fs/cgroup/memory/memory.limit_in_bytes", infinite)...)
	f("v1, the group above is tighter", 77, "/a", on(v1, "4:memory:/a/b\n", "sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", infinite,
		"sys/fs/cgroup/memory/a/memory.limit_in_bytes", "77\n")...)
	f("v1, no limit", 1<<30, "", on(v1, "4:memory:/a\n", "sys/fs/cgroup/memory/a/memory.limit_in_bytes", infinite)...)
	f("v1 for memory, v2 for the rest", 77, "/a", on(v1+"41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n", "4:memory:/a\n0::/u\n",
		"sys/fs/cgroup/memory/a/memory.limit_in_bytes", "77\n")...)
	f("v1, controllers together", 77, "/a", on("35 31 0:32 / /cg/memory,cpu rw - cgroup cgroup rw,cpu,memory\n", "4:cpu,memory:/a\n",
		"cg/memory,cpu/a/memory.limit_in_bytes", "77\n")...)
	f("a space in the path", 77, "/a", on("35 31 0:32 / /c\\040g rw - cgroup cgroup rw,memory\n", "4:memory:/a\n", "c g/a/memory.limit_in_bytes", "77\n")...)
	f("nonsense", 1<<30, "", on("1\n - \n35 31 0:32 / /cg rw - cgroup\n"+v1, "4\n:\n4:memory:/../..\n", "sys/fs/cgroup/memory/memory.limit_in_bytes", "-5\n")...)
}
