// Package claim has one process at a time use what lies on a disk.
package claim

import "errors"

// ErrTaken says that another process has claimed it.
var ErrTaken = errors.New("another latticed uses it")
