package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/latticed/latticed/daemon/claim"
)

// refusedSuffix is what the name of a file of entries gets that could not be read, so that the next stop does not write
// over it.
const refusedSuffix = ".refused"

// lockSuffix is what the name of a file of entries gets that says who uses it: from before it is read until it is written, so
// that no process reads it while the one before still saves, and no two of them write it.
const lockSuffix = ".lock"

// thaw takes the entries that the process before left in a file. If there were some, the file is for forget once nothing
// can keep the daemon from serving: were it still there after a crash, it would bring back what has changed since. A file that
// cannot be read is kept under another name, and the daemon starts empty.
func (d *Daemon) thaw(path string) (thawed bool, err error) {
	if d.warm, err = claim.File(path + lockSuffix); err != nil {
		if errors.Is(err, claim.ErrTaken) {
			err = fmt.Errorf("%w; wait until that one has ended, or give each a warm-restart of its own", err)
		}
		return false, fmt.Errorf("warm restart: %s: %w", path, err)
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("warm restart: %w", err)
	case !info.Mode().IsRegular(): // not to be put aside as one that is damaged
		return false, fmt.Errorf("warm restart: %s is no file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return false, fmt.Errorf("warm restart: %w", err)
	}
	defer f.Close()
	began := time.Now()
	n, err := d.store.Load(f, d.clock.Now())
	if err != nil {
		if e := os.Rename(path, path+refusedSuffix); e != nil {
			return false, fmt.Errorf("warm restart: %s: %w; and it cannot be put aside: %w", path, err, e)
		}
		d.log.Error().Err(err).Str("file", path+refusedSuffix).Msg("warm restart: the file of entries is refused and kept under this name; starting empty")
		return false, nil
	}
	d.log.Info().Int("entries", n).Dur("took", time.Since(began)).Str("file", path).Msg("warm restart: entries are back")
	return true, nil
}

// forget removes a file whose entries are back.
func forget(path string) error {
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("warm restart: %w; after a crash it would bring back what has changed since", err)
	}
	syncDir(path)
	return nil
}

// syncDir has what happened to the name of a file outlive a crash of the machine, where the system knows of that.
func syncDir(path string) {
	if dir, err := os.Open(filepath.Dir(path)); err == nil {
		_ = dir.Sync()
		_ = dir.Close()
	}
}

// Leave stops the daemon, saves its entries in the file warm, unless that is empty, and closes. What is still busy when the time
// of ctx is over is cut, and the entries are saved all the same: nobody is told of a write any more. When ctx is cancelled nothing
// is saved. saving is called before that, which may take long.
func (d *Daemon) Leave(ctx context.Context, warm string, saving func()) error {
	defer d.Close()
	if err := d.Stop(ctx); err != nil {
		d.log.Warn().Err(err).Msg("stopped while connections were still busy; they were cut")
		if errors.Is(err, context.Canceled) {
			return nil
		}
	}
	if warm == "" {
		return nil
	}
	saving()
	return d.Freeze(warm)
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
	syncDir(path)
	d.log.Info().Int("entries", n).Dur("took", time.Since(began)).Str("file", path).Msg("warm restart: entries are saved")
	return nil
}

// Close gives back what the daemon uses on disks: its data directory, the file of entries. It comes after Stop, and after Freeze:
// another process may have them from then on.
func (d *Daemon) Close() {
	if d.dataDir != nil {
		_ = d.dataDir.Close()
	}
	if d.warm != nil {
		_ = d.warm.Close()
	}
}
