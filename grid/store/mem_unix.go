//go:build unix

package store

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// reserve takes n bytes of address space, which cost nothing before they are committed.
func reserve(n int) ([]byte, error) {
	mem, err := unix.Mmap(-1, 0, n, unix.PROT_NONE, unix.MAP_ANON|unix.MAP_PRIVATE|noReserve)
	if err != nil {
		return nil, fmt.Errorf("mmap: %w", err)
	}
	return mem, nil
}

func unreserve(mem []byte) { _ = unix.Munmap(mem) }

// commit makes mem readable and writable.
func commit(mem []byte) error {
	if err := unix.Mprotect(mem, unix.PROT_READ|unix.PROT_WRITE); err != nil {
		return fmt.Errorf("mprotect: %w", err)
	}
	return nil
}

// release gives the pages of mem back to the system. What they hold afterwards is undefined.
func release(mem []byte) { _ = unix.Madvise(mem, unix.MADV_DONTNEED) }

const lazyMemory = true // reserving more than is used costs nothing
