//go:build !linux

package daemon

import "io/fs"

// trim does nothing here.
func trim(fs.FS) {}
