package evloop

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// brief is how many bytes are sent without a word to Go's scheduler, which a system call that may take long has to tell.
// Who stops the world waits for them.
const brief = 4 << 10

// send is a write to a socket that does not block. It leaves out what write does for files.
func send(fd int, b []byte) (int, error) {
	if len(b) > brief {
		return unix.Write(fd, b)
	}
	n, _, e := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)),
		unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	if e != 0 {
		return 0, e
	}
	return int(n), nil
}
