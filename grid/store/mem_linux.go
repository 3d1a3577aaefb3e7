package store

import "golang.org/x/sys/unix"

const noReserve = unix.MAP_NORESERVE

// huge asks for huge pages: random access then misses the TLB less often.
func huge(mem []byte) { _ = unix.Madvise(mem, unix.MADV_HUGEPAGE) }
