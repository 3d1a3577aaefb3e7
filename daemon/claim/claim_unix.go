//go:build unix

package claim

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// File claims the file of that name, which is made if it is not there and stays. The claim ends with Close, or with the
// process, however that ends. ErrTaken: another has it.
func File(name string) (io.Closer, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, ErrTaken
		}
		return nil, err
	}
	return f, nil
}
