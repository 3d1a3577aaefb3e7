package daemon

import (
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
)

// memoryOf returns how many bytes this process may use: what the tightest of its control groups allows, or what the machine
// has if that is less. group names the control group that decides; it is empty when the machine does. 0 bytes: not known.
// root is the root of the file system.
//
// A process is in a group of each hierarchy (/proc/self/cgroup), whose files are below where the hierarchy is mounted
// (/proc/self/mountinfo). The limits of all groups above count too. In a container the mount may begin at the process's own
// group, or at one above it; then the path to the group begins there as well.
func memoryOf(root fs.FS) (bytes uint64, group string) {
	for line := range lines(root, "proc/meminfo") {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "MemTotal:" {
			n, _ := strconv.ParseUint(f[1], 10, 64)
			bytes = n << 10
		}
	}
	groups := make(map[string]string) // of the process, by controller
	for line := range lines(root, "proc/self/cgroup") {
		if f := strings.SplitN(line, ":", 3); len(f) == 3 {
			for controller := range strings.SplitSeq(f[1], ",") {
				groups[controller] = f[2]
			}
		}
	}
	for line := range lines(root, "proc/self/mountinfo") {
		before, after, _ := strings.Cut(line, " - ")
		mount, kind := strings.Fields(before), strings.Fields(after)
		if len(mount) < 5 || len(kind) < 3 {
			continue
		}
		controller, files := "", []string{"memory.max", "memory.high"} // above high the kernel only slows the group down, but to a crawl
		if kind[0] == "cgroup" {
			controller, files = "memory", []string{"memory.limit_in_bytes"}
			if !contains(kind[2], controller) {
				continue
			}
		} else if kind[0] != "cgroup2" {
			continue
		}
		of, ok := groups[controller]
		if !ok {
			continue
		}
		at := "/"
		if rest, ok := strings.CutPrefix(of, strings.TrimSuffix(unescape(mount[3]), "/")); ok && (rest == "" || rest[0] == '/') {
			at = path.Join("/", rest)
		}
		for ; ; at = path.Dir(at) {
			for _, file := range files {
				n := limit(root, path.Join(unescape(mount[4]), at, file))
				if n > 0 && (bytes == 0 || n < bytes) {
					bytes, group = n, path.Join("/", unescape(mount[3]), at)
				}
			}
			if at == "/" {
				break
			}
		}
	}
	return bytes, group
}

// limit reads a limit, 0 for none: there is no such file, it says max, or a number that no machine has.
func limit(root fs.FS, name string) uint64 {
	b, err := fs.ReadFile(root, strings.TrimPrefix(name, "/"))
	if err != nil {
		return 0
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
	if err != nil || n >= 1<<60 {
		return 0
	}
	return n
}

// lines reads a file; one that cannot be read has none.
func lines(root fs.FS, name string) func(yield func(string) bool) {
	b, _ := fs.ReadFile(root, name)
	return strings.SplitSeq(strings.TrimSuffix(string(b), "\n"), "\n")
}

// contains tells whether option is one of the options, which have commas between them.
func contains(options, option string) bool {
	for o := range strings.SplitSeq(options, ",") {
		if o == option {
			return true
		}
	}
	return false
}

// unescape takes back how mountinfo writes the few bytes that would end a field.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// resident is how much of the machine's memory the process has, in bytes; 0 if that is not known.
func resident() uint64 {
	b, _ := os.ReadFile("/proc/self/statm")
	f := strings.Fields(string(b))
	if len(f) < 2 {
		return 0
	}
	pages, _ := strconv.ParseUint(f[1], 10, 64)
	return pages * uint64(os.Getpagesize())
}
