//go:build !linux

package daemon

import "io/fs"

// memoryOf returns how many bytes this process may use; it is not known here.
func memoryOf(fs.FS) (bytes uint64, group string) { return 0, "" }

// resident is not known here.
func resident() uint64 { return 0 }
