//go:build unix

package catalog

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

const syncsDirectories = true

// lock takes a file for this process. The lock ends with the process, however that ends.
func lock(name string) (io.Closer, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errors.New("another latticed uses it; stop that one, or give each a data-dir of its own")
		}
		return nil, err
	}
	return f, nil
}
