package catalog_test

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/latticed/latticed/conf/infinispan"
	"github.com/latticed/latticed/daemon/catalog"
	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/grid/store"
	"github.com/latticed/latticed/protocols/rest"
)

type stopped struct{}

func (stopped) Now() grid.Time { return grid.Time{Wall: 1_000_000} }

func newStore(t *testing.T) *store.Store {
	t.Helper()
	s, err := store.New(store.Options{Limit: 32 << 20, MaxValue: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func open(t *testing.T, s *store.Store, d *catalog.Dir) *catalog.Catalog {
	t.Helper()
	c, err := catalog.New(catalog.Options{Engine: s, Clock: stopped{}, Dir: d})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func config(t *testing.T, json string) *infinispan.Cache {
	t.Helper()
	c, _, err := infinispan.ParseCache([]byte(json), infinispan.JSON)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// is compares what there is, in the catalog and in the store, with names and their configurations in JSON.
func is(t *testing.T, what string, c *catalog.Catalog, s *store.Store, want map[string]string) {
	t.Helper()
	names := slices.Sorted(maps.Keys(want))
	if got := c.Names(); !slices.Equal(got, names) {
		t.Errorf("%s: got caches %v, want %v", what, got, names)
	}
	if got := s.Names(); !slices.Equal(got, names) {
		t.Errorf("%s: got caches %v in the store, want %v", what, got, names)
	}
	for name, json := range want {
		if found, ok := c.Find(name); !ok || string(found.Config.Append(nil, infinispan.JSON, "", false)) != json {
			t.Errorf("%s: %s: got %s, want %s", what, name, found.Config.Append(nil, infinispan.JSON, "", false), json)
		}
	}
}

const (
	standard = `{"local-cache":{"statistics":true}}`
	plain    = `{"local-cache":{}}`
	bounded  = `{"distributed-cache":{"mode":"SYNC","memory":{"max-count":"10"}}}`
	altered  = `{"distributed-cache":{"mode":"SYNC","memory":{"max-count":"20"}}}`
)

func TestCachesOutliveTheProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "dir")
	d, err := catalog.OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := catalog.OpenDir(path); err == nil || !strings.Contains(err.Error(), "another latticed uses it") {
		t.Errorf("a second process: got %v", err)
	}
	s := newStore(t)
	c := open(t, s, d)
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	do(c.Create("a", config(t, plain), false))
	do(c.Create("b", config(t, bounded), false))
	do(c.Create("volatile", config(t, plain), true))
	do(c.Create("gone", config(t, plain), false))
	do(c.Remove("gone"))
	raise := func(was *infinispan.Cache) (*infinispan.Cache, error) { return was.With("memory.max-count", "20") }
	do(c.Change("b", raise))
	do(c.Change("default", func(was *infinispan.Cache) (*infinispan.Cache, error) { return was.With("expiration.lifespan", "1m") }))
	is(t, "before", c, s, map[string]string{"default": `{"local-cache":{"statistics":true,"expiration":{"lifespan":"1m"}}}`, "a": plain, "b": altered, "volatile": plain})
	do(d.Close())
	if d, err = catalog.OpenDir(path); err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	s = newStore(t)
	c = open(t, s, d)
	is(t, "after", c, s, map[string]string{"default": `{"local-cache":{"statistics":true,"expiration":{"lifespan":"1m"}}}`, "a": plain, "b": altered})
	if info, err := os.Stat(filepath.Join(path, "caches.json")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v", info, err)
	}
}

// What was acknowledged is there again, however large the file has become: here, by names and aliases that are as long as may be.
func TestManyCachesOutliveTheProcess(t *testing.T) {
	m := &memory{files: map[string][]byte{}}
	d := catalog.NewDir("dir", m)
	room := func(t *testing.T) *store.Store {
		t.Helper()
		s, err := store.New(store.Options{Limit: 64 << 20, MaxValue: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := room(t)
	c := open(t, s, d)
	want := map[string]string{"default": standard}
	for n := range 150 {
		name := strings.Repeat("n", 250) + fmt.Sprint(n)
		aliases := make([]string, 32)
		for i := range aliases {
			aliases[i] = `"` + strings.Repeat("a", 240) + fmt.Sprintf("%d-%d", n, i) + `"`
		}
		want[name] = `{"local-cache":{"aliases":[` + strings.Join(aliases, ",") + `],"memory":{"max-count":"10"}}}`
		if err := c.Create(name, config(t, want[name]), false); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(m.files["caches.json"]); n < 1<<20 {
		t.Fatalf("the file has %d bytes, which prove nothing", n)
	}
	s = room(t)
	is(t, "after", open(t, s, d), s, want)
}

func TestRefusals(t *testing.T) {
	s := newStore(t)
	c := open(t, s, nil)
	refused := func(what string, err error, want string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", what, err, want)
		}
	}
	if err := c.Create("a", config(t, `{"local-cache":{"aliases":["other"]}}`), false); err != nil {
		t.Fatal(err)
	}
	refused("twice", c.Create("a", config(t, plain), false), "ISPN000507: Cache a already exists")
	refused("by an alias", c.Create("other", config(t, plain), false), "ISPN000507")
	refused("default", c.Create("default", config(t, plain), false), "ISPN000507")
	refused("alias", c.Create("b", config(t, `{"local-cache":{"aliases":["a"]}}`), false), "the name of another cache")
	refused("alias's alias", c.Create("b", config(t, `{"local-cache":{"aliases":["other"]}}`), false), "the name of another cache")
	refused("long", c.Create(strings.Repeat("n", 256), config(t, plain), false), "ISPN000663")
	refused("none", c.Create("", config(t, plain), false), "ISPN000663")
	refused("line break", c.Create("a\nb", config(t, plain), false), "do not show")
	for _, hidden := range []string{"\x00", "\x7f", "\u0085", "\u009b", "\u061c", "\u200e", "\u2028", "\u202e", "\u2066"} {
		refused("hidden character", c.Create("a"+hidden+"b", config(t, plain), false), "do not show")
	}
	refused("hidden in an alias", c.Create("b", config(t, `{"local-cache":{"aliases":["x\u202ey"]}}`), false), "do not show")
	refused("no UTF-8", c.Create("a\xff", config(t, plain), false), "do not show")
	refused("internal", c.Create("___x", config(t, plain), false), "begin with ___")
	refused("media type", c.Create("b", config(t, `{"local-cache":{"encoding":{"media-type":"x/y"}}}`), false), "not known here")
	refused("protostream", c.Create("b", config(t, `{"local-cache":{"encoding":{"media-type":"application/x-protostream"}}}`), false), "not supported yet")
	refused("remove default", c.Remove("default"), "always there")
	refused("bounds for default", c.Change("default", func(was *infinispan.Cache) (*infinispan.Cache, error) { return was.With("memory.max-count", "1") }), "no bounds of its own")
	for err := error(nil); err == nil; { // the memory is too low for as many caches as there may be
		if err = c.Create(fmt.Sprint("n", len(c.Names())), config(t, plain), false); err != nil {
			refused("too many", err, "memory limit is too low")
		}
	}
	if n := len(c.Names()); n < 10 || n != len(s.Names()) {
		t.Errorf("got %d caches, %d in the store", n, len(s.Names()))
	}
	if err := c.Remove("nope"); !errors.Is(err, rest.ErrNoCache) {
		t.Errorf("got %v", err)
	}
	if found, ok := c.Find("other"); !ok || found.Name != "a" {
		t.Errorf("got %+v by the alias", found)
	}
	if err := c.Remove("other"); err != nil {
		t.Error(err)
	}
	if _, ok := c.Find("a"); ok {
		t.Error("removed by its alias, it is still there")
	}
}

// A file that somebody else changed is not guessed at, nor written over.
func TestForeignFile(t *testing.T) {
	for text, want := range map[string]string{
		"":     "want {",
		"torn": "invalid JSON",
		"{}":   "want {",
		`{"infinispan":{"cache-container":{"caches":["a"]}}}`:                                                   "want caches by their names",
		`{"infinispan":{"cache-container":{"caches":{"a":{"local-cache":{}},`:                                   "Reached end of input",
		`{"infinispan":{"cache-container":{"caches":{"a":{"local-cache":{"nonsense":1}}}}}}`:                    `cache "a": local-cache.nonsense: unknown attribute`,
		`{"infinispan":{"cache-container":{"caches":{"a":{"local-cache":{}},"a":{"local-cache":{}}}}}}`:         "it is there twice",
		`{"infinispan":{"cache-container":{"caches":{"a\u0000":{"local-cache":{}}}}}}`:                          "do not show",
		`{"infinispan":{"cache-container":{"caches":{"a":{"local-cache":{"encoding":{"media-type":"x/y"}}}}}}}`: "not known here",
	} {
		path := t.TempDir()
		file := filepath.Join(path, "caches.json")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		d, err := catalog.OpenDir(path)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		_, err = catalog.New(catalog.Options{Engine: newStore(t), Clock: stopped{}, Dir: d})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "move it away") {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
		if got, _ := os.ReadFile(file); string(got) != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}

// memory is a file system that fails at one step, or where the process ends at one.
type memory struct {
	files map[string][]byte
	step  int // of what changes something
	at    int // this one fails; 0: none
	as    error
	crash bool // nothing has an effect from that step on
}

var errFault = errors.New("fault")

func (m *memory) fails() bool {
	m.step++
	return m.at > 0 && (m.step == m.at || m.crash && m.step > m.at)
}

func (m *memory) ReadFile(name string) ([]byte, error) {
	if b, ok := m.files[name]; ok {
		return b, nil
	}
	return nil, fs.ErrNotExist
}

func (m *memory) Create(name string) (catalog.File, error) {
	if m.fails() {
		return nil, m.as
	}
	m.files[name] = nil
	return &file{m, name}, nil
}

func (m *memory) Rename(from, to string) error {
	if m.fails() {
		return m.as
	}
	m.files[to] = m.files[from]
	delete(m.files, from)
	return nil
}

func (m *memory) Remove(name string) error {
	if m.crash && m.at > 0 && m.step >= m.at {
		return m.as
	}
	delete(m.files, name)
	return nil
}

func (m *memory) SyncDir() error {
	if m.fails() {
		return m.as
	}
	return nil
}

type file struct {
	m    *memory
	name string
}

func (f *file) Write(p []byte) (int, error) {
	if f.m.fails() {
		f.m.files[f.name] = append(f.m.files[f.name], p[:len(p)/2]...)
		return len(p) / 2, f.m.as
	}
	f.m.files[f.name] = append(f.m.files[f.name], p...)
	return len(p), nil
}

func (f *file) Sync() error {
	if f.m.fails() {
		return f.m.as
	}
	return nil
}

func (f *file) Close() error {
	if f.m.fails() {
		return f.m.as
	}
	return nil
}

// At whatever step a change fails, nothing has changed, in memory and on disk; and at whatever step the process ends, the
// next one finds the caches from before or from after.
func TestFaults(t *testing.T) {
	changes := map[string]func(c *catalog.Catalog) error{
		"create": func(c *catalog.Catalog) error { return c.Create("new", config(t, bounded), false) },
		"change": func(c *catalog.Catalog) error {
			return c.Change("old", func(was *infinispan.Cache) (*infinispan.Cache, error) { return was.With("memory.max-count", "20") })
		},
		"remove": func(c *catalog.Catalog) error { return c.Remove("old") },
	}
	before := map[string]string{"default": standard, "old": bounded}
	after := map[string]map[string]string{
		"create": {"default": standard, "old": bounded, "new": bounded}, "change": {"default": standard, "old": altered}, "remove": {"default": standard},
	}
	const steps = 6 // create, write, sync, close, rename, sync of the directory
	for name, change := range changes {
		for _, crash := range []bool{false, true} {
			for at := 1; at <= steps+1; at++ {
				what := fmt.Sprintf("%s, step %d, crash %v", name, at, crash)
				m := &memory{files: map[string][]byte{}, as: errFault, crash: crash}
				d := catalog.NewDir("dir", m)
				s := newStore(t)
				c := open(t, s, d)
				if err := c.Create("old", config(t, bounded), false); err != nil {
					t.Fatal(err)
				}
				m.step, m.at = 0, at
				err := change(c)
				m.at = 0
				want := before
				if at >= steps {
					want = after[name] // renamed: it is not taken back
				}
				if (err != nil) != (at <= steps) {
					t.Fatalf("%s: got %v", what, err)
				}
				is(t, what, c, s, want)
				s = newStore(t)
				is(t, what+", next process", open(t, s, d), s, want)
				if !crash && at < steps {
					for f := range m.files {
						if strings.HasSuffix(f, ".tmp") {
							t.Errorf("%s: %s is left behind", what, f)
						}
					}
				}
			}
		}
	}
	m := &memory{files: map[string][]byte{}, as: &fs.PathError{Op: "write", Path: "dir", Err: syscall.ENOSPC}, at: 2}
	err := open(t, newStore(t), catalog.NewDir("dir", m)).Create("new", config(t, plain), false)
	if r := (*rest.Refusal)(nil); !errors.As(err, &r) || r.Status != 507 || !strings.Contains(r.Text, "nothing was changed") {
		t.Errorf("a full disk: got %v", err)
	}
}

// A directory that is moved away stays the process's own, and what another makes in its place is left alone.
func TestMovedDirectory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data")
	openDir := func() *catalog.Dir {
		t.Helper()
		d, err := catalog.OpenDir(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { d.Close() })
		return d
	}
	first := open(t, newStore(t), openDir())
	if err := first.Create("a", config(t, plain), false); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	second := open(t, newStore(t), openDir())
	if err := second.Create("b", config(t, plain), false); err != nil {
		t.Fatal(err)
	}
	if err := first.Create("c", config(t, plain), false); err != nil {
		t.Fatal(err)
	}
	for where, want := range map[string][]string{path: {"b"}, path + ".old": {"a", "c"}} {
		data, err := os.ReadFile(filepath.Join(where, "caches.json"))
		if err != nil {
			t.Fatal(err)
		}
		all, err := infinispan.ParseCaches(data)
		if got := slices.Sorted(maps.Keys(all)); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: got %v, %v, want %v", where, got, err, want)
		}
	}
}

// What is no file may have no end.
func TestNoFile(t *testing.T) {
	path := t.TempDir()
	if err := os.Mkdir(filepath.Join(path, "caches.json"), 0o700); err != nil {
		t.Fatal(err)
	}
	d, err := catalog.OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, err := catalog.New(catalog.Options{Engine: newStore(t), Clock: stopped{}, Dir: d}); err == nil || !strings.Contains(err.Error(), "caches.json is no file") {
		t.Errorf("got %v", err)
	}
}
