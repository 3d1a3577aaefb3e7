package catalog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/latticed/latticed/conf/infinispan"
	"github.com/latticed/latticed/daemon/claim"
)

// fileName is where caches are kept, below the data directory. It is a document that Infinispan reads, too.
const fileName = "caches.json"

// maxFile bounds the file: all caches there can be, each with a name and aliases as long as may be, are below.
const maxFile = 64 << 20

// FS is what a Dir needs of the files in its directory. Tests have it fail.
type FS interface {
	ReadFile(name string) ([]byte, error)
	Create(name string) (File, error) // emptied if it is there
	Rename(from, to string) error
	Remove(name string) error
	SyncDir() error
}

// File is a file that is being written.
type File interface {
	io.WriteCloser
	Sync() error
}

// Dir is a directory that a process has for itself: the one that was there when it was opened, wherever it is moved to. What is
// made in its place may be another process's.
type Dir struct {
	path string
	fs   FS
	held []io.Closer
}

// OpenDir makes the directory at path if there is none, and takes it for this process: another that wants it is refused until
// Close, or the end of the process.
func OpenDir(path string) (*Dir, error) {
	if err := mkdir(path); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	held, err := claim.File(filepath.Join(path, "lock"))
	if errors.Is(err, claim.ErrTaken) {
		err = fmt.Errorf("%w; stop that one, or give each a data-dir of its own", err)
	}
	if err != nil {
		return nil, fmt.Errorf("data directory %s: %w", path, err)
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		_ = held.Close()
		return nil, fmt.Errorf("data directory %s: %w", path, err)
	}
	return &Dir{path, disk{root}, []io.Closer{held, root}}, nil
}

// mkdir makes the directory at path and those above it, so that a crash of the machine does not take them back: what is kept in
// them was acknowledged.
func mkdir(path string) error {
	err := os.Mkdir(path, 0o700)
	if above := filepath.Dir(path); errors.Is(err, fs.ErrNotExist) && above != path {
		if err := mkdir(above); err != nil {
			return err
		}
		err = os.Mkdir(path, 0o700)
	}
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil // or no directory: then there can be no lock in it
	case err != nil:
		return err
	}
	above, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer above.Close()
	return disk{above}.SyncDir()
}

// NewDir returns a Dir on another file system, for tests.
func NewDir(path string, on FS) *Dir { return &Dir{path: path, fs: on} }

// Path returns where it is. Other files than the catalog's may be kept there.
func (d *Dir) Path() string { return d.path }

// Close gives the directory back.
func (d *Dir) Close() error {
	var err error
	for _, c := range d.held {
		err = errors.Join(err, c.Close())
	}
	return err
}

func (d *Dir) file() string { return filepath.Join(d.path, fileName) }

// read returns what was kept. A file that is not as write leaves it was changed by somebody else, so it is not guessed at.
func (d *Dir) read() (map[string]*infinispan.Cache, error) {
	data, err := d.fs.ReadFile(fileName)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read caches: %w", err)
	}
	all, err := infinispan.ParseCaches(data)
	if err != nil {
		return nil, fmt.Errorf("read caches: %s: %w; correct the file, or move it away to start without what is in it", d.file(), err)
	}
	return all, nil
}

// errUnsure says that a change was written, but may be undone by a crash of the machine.
var errUnsure = errors.New("the change was made and written, but may not outlive a crash of the machine")

// write keeps all. At every moment the file holds either what it held before, or all; on an error, what it held before, but for
// errUnsure.
func (d *Dir) write(all map[string]*infinispan.Cache) (err error) {
	const temp = fileName + ".tmp"
	defer func() {
		if err != nil && !errors.Is(err, errUnsure) {
			_ = d.fs.Remove(temp)
			err = fmt.Errorf("keep caches: %w; nothing was changed", err)
		}
	}()
	data := infinispan.AppendCaches(nil, all)
	if len(data) > maxFile {
		return fmt.Errorf("%d bytes are too many", len(data))
	}
	f, err := d.fs.Create(temp)
	if err != nil {
		return err
	}
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	if err := d.fs.Rename(temp, fileName); err != nil {
		return err
	}
	if err := d.fs.SyncDir(); err != nil {
		return fmt.Errorf("%w: %w", errUnsure, err)
	}
	return nil
}

// disk is a directory of the machine.
type disk struct{ root *os.Root }

func (d disk) ReadFile(name string) ([]byte, error) {
	info, err := d.root.Stat(name)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular(): // there may be no end of it
		return nil, fmt.Errorf("%s is no file", name)
	case info.Size() > maxFile:
		return nil, fmt.Errorf("%s is larger than %d bytes", name, maxFile)
	}
	return d.root.ReadFile(name)
}

func (d disk) Create(name string) (File, error) {
	return d.root.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
}

func (d disk) Rename(from, to string) error { return d.root.Rename(from, to) }
func (d disk) Remove(name string) error     { return d.root.Remove(name) }

// SyncDir has a rename last, where the system knows of that.
func (d disk) SyncDir() error {
	dir, err := d.root.Open(".")
	if err != nil {
		return err
	}
	err = dir.Sync()
	if e := dir.Close(); err == nil {
		err = e
	}
	if err != nil && runtime.GOOS == "windows" {
		return nil
	}
	return err
}
