package store

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/windows"
)

const lazyMemory = true // reserving more than is used costs nothing

// reserve takes n bytes of address space, which cost nothing before they are committed.
func reserve(n int) ([]byte, error) {
	p, err := windows.VirtualAlloc(0, uintptr(n), windows.MEM_RESERVE, windows.PAGE_NOACCESS)
	if err != nil {
		return nil, fmt.Errorf("VirtualAlloc: %w", err)
	}
	return unsafe.Slice(*(**byte)(unsafe.Pointer(&p)), n), nil
}

func unreserve(mem []byte) {
	_ = windows.VirtualFree(uintptr(unsafe.Pointer(unsafe.SliceData(mem))), 0, windows.MEM_RELEASE)
}

// commit makes mem readable and writable.
func commit(mem []byte) error {
	if _, err := windows.VirtualAlloc(uintptr(unsafe.Pointer(unsafe.SliceData(mem))), uintptr(len(mem)), windows.MEM_COMMIT, windows.PAGE_READWRITE); err != nil {
		return fmt.Errorf("VirtualAlloc: %w", err)
	}
	return nil
}

// release tells the system that the pages of mem are not needed. What they hold afterwards is undefined.
func release(mem []byte) {
	_, _ = windows.VirtualAlloc(uintptr(unsafe.Pointer(unsafe.SliceData(mem))), uintptr(len(mem)), windows.MEM_RESET, windows.PAGE_READWRITE)
}

func huge([]byte) {}
