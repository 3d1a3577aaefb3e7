package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// refusedSuffix is what the name of a file of entries gets that could not be read, so that the next stop does not write
// over it.
const refusedSuffix = ".refused"

// thaw takes the entries that the process before left in a file, and removes it: were it still there after a crash, it
// would bring back what has changed since. A file that cannot be read is kept under another name, and the daemon starts
// empty.
func (d *Daemon) thaw(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("warm restart: %w", err)
	}
	defer f.Close()
	began := time.Now()
	n, err := d.store.Load(f, d.clock.Now())
	if err != nil {
		if e := os.Rename(path, path+refusedSuffix); e != nil {
			return fmt.Errorf("warm restart: %s: %w; and it cannot be put aside: %w", path, err, e)
		}
		d.log.Error().Err(err).Str("file", path+refusedSuffix).Msg("warm restart: the file of entries is refused and kept under this name; starting empty")
		return nil
	}
	d.log.Info().Int("entries", n).Dur("took", time.Since(began)).Str("file", path).Msg("warm restart: entries are back")
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("warm restart: %w; after a crash it would bring back what has changed since", err)
	}
	return nil
}

// Freeze leaves all entries in the file for the next process. It is called when nobody is served any more. On an error
// there is no new file, and one that was there is still as it was.
func (d *Daemon) Freeze(path string) (err error) {
	f, err := os.OpenFile(path+".tmp", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("warm restart: %w", err)
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
			err = fmt.Errorf("warm restart: %w; entries are not saved, and the next start is without them", err)
		}
	}()
	began := time.Now()
	n, err := d.store.Save(f, d.clock.Now())
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = f.Close()
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return err
	}
	if dir, err := os.Open(filepath.Dir(path)); err == nil {
		_ = dir.Sync() // where the system knows that
		_ = dir.Close()
	}
	d.log.Info().Int("entries", n).Dur("took", time.Since(began)).Str("file", path).Msg("warm restart: entries are saved")
	return nil
}
