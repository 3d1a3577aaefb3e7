//go:build unix && !linux

package evloop

import "golang.org/x/sys/unix"

// send is a write to a socket that does not block.
func send(fd int, b []byte) (int, error) { return unix.Write(fd, b) }
