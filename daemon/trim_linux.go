package daemon

import (
	"io/fs"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// trim has the kernel forget which pages of the program's file are mapped: those that only starting needed are most of them, and
// count as the process's for good. What is needed again comes from the kernel's cache of the file, 64 KiB at a time.
func trim(root fs.FS) {
	for _, m := range clean(root) {
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, m.from, m.to-m.from, unix.MADV_DONTNEED) // then they stay
	}
}

type mapping struct{ from, to uintptr }

// clean are the mappings of files that nobody can write to, and nobody has: neither a loader that moved the program nor a debugger
// that set a breakpoint, which would be lost. root is the root of the file system.
func clean(root fs.FS) (list []mapping) {
	var m mapping
	file := false
	for line := range lines(root, "proc/self/smaps") {
		f := strings.Fields(line)
		if len(f) >= 5 && len(f[1]) == 4 { // ADDRESS-ADDRESS PERM OFFSET DEVICE INODE FILE
			low, high, _ := strings.Cut(f[0], "-")
			from, err := strconv.ParseUint(low, 16, strconv.IntSize)
			to, err2 := strconv.ParseUint(high, 16, strconv.IntSize)
			m = mapping{uintptr(from), uintptr(to)}
			file = err == nil && err2 == nil && f[1][1] != 'w' && len(f) > 5 && strings.HasPrefix(f[5], "/")
		}
		if file && len(f) == 3 && f[0] == "Anonymous:" && f[1] == "0" {
			list = append(list, m)
		}
	}
	return list
}
