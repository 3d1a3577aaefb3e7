// Package catalog is which caches there are: their configurations, the caches of the store that are made of them, and the
// file in which those that clients made outlive the process.
//
// A change is made in the store, then written, then shown; where one of these fails, nothing has changed. So whoever was told
// of a cache finds it after a crash, and a crash on the way leaves the caches from before or those from after.
package catalog

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"unicode"
	"unicode/utf8"

	"github.com/latticed/latticed/conf/infinispan"
	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/grid/store"
	"github.com/latticed/latticed/protocols/rest"
)

// DefaultName is the cache that is always there.
const DefaultName = "default"

// Engine is what holds the entries: store.Store.
type Engine interface {
	Create(name string, o store.CacheOptions) error
	Alter(name string, o store.CacheOptions, now grid.Time) error
	Remove(name string) error
}

// Options are what a Catalog is made of.
type Options struct {
	Engine Engine
	Clock  grid.Clock
	Dir    *Dir              // where caches outlive the process; nil: they do not
	Unkept func(name string) // hears of a cache that will not outlive the process; may be nil
}

// Catalog implements rest.Catalog. It is safe for concurrent use.
type Catalog struct {
	o      Options
	mu     sync.Mutex // one change at a time
	roster atomic.Pointer[roster]

	watching sync.Mutex // taken last
	watchers map[*grid.Ticket]struct{}
}

// maxWatchers bounds who is woken by changes.
const maxWatchers = 1024

// Watch implements rest.Catalog.
func (c *Catalog) Watch(t grid.Ticket) (stop func(), err error) {
	c.watching.Lock()
	defer c.watching.Unlock()
	if len(c.watchers) == maxWatchers {
		return nil, refuse(503, "%d clients watch the caches, which is the most", maxWatchers)
	}
	c.watchers[&t] = struct{}{}
	return func() {
		c.watching.Lock()
		defer c.watching.Unlock()
		delete(c.watchers, &t)
	}, nil
}

// show has everybody see other caches.
func (c *Catalog) show(r *roster) {
	c.roster.Store(r)
	c.watching.Lock()
	defer c.watching.Unlock()
	for t := range c.watchers {
		t.Late.Wake(t.Conn)
	}
}

// roster is all caches. It is never changed but replaced.
type roster struct {
	version uint64
	names   []string // in order
	caches  map[string]rest.Cache
	others  map[string]string // names of caches by their aliases
}

// with returns the roster in which caches takes the place of what there was. Names and aliases are unique in it.
func (r *roster) with(caches map[string]rest.Cache) *roster {
	next := &roster{version: r.version + 1, names: slices.Sorted(maps.Keys(caches)), caches: caches, others: map[string]string{}}
	for name, c := range caches {
		for _, a := range c.Config.Aliases() {
			next.others[a] = name
		}
	}
	return next
}

// New returns the catalog with the default cache and those that were kept, which it makes in the store.
func New(o Options) (*Catalog, error) {
	c := &Catalog{o: o, watchers: map[*grid.Ticket]struct{}{}}
	standard, _ := infinispan.Template("org.infinispan.LOCAL")
	caches := map[string]rest.Cache{DefaultName: {Name: DefaultName, Config: standard, Tally: new(rest.Tally)}}
	c.roster.Store((&roster{}).with(caches))
	if o.Dir == nil {
		return c, nil
	}
	kept, err := o.Dir.read()
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(kept)) {
		config := kept[name]
		err := c.judge(name, config, name == DefaultName)
		if err == nil {
			err = c.make(name, config, name == DefaultName)
		}
		if err != nil {
			return nil, fmt.Errorf("cache %q of %s: %w; correct the file, or move it away to start without what is in it", name, o.Dir.file(), err)
		}
		caches = maps.Clone(c.roster.Load().caches)
		caches[name] = rest.Cache{Name: name, Config: config, Tally: new(rest.Tally)}
		c.roster.Store(c.roster.Load().with(caches))
	}
	return c, nil
}

// make has the store hold what config says.
func (c *Catalog) make(name string, config *infinispan.Cache, there bool) error {
	o := options(config)
	if there {
		return c.o.Engine.Alter(name, o, c.o.Clock.Now())
	}
	return c.o.Engine.Create(name, o)
}

func options(config *infinispan.Cache) store.CacheOptions {
	o := store.CacheOptions{
		MaxCount: max(0, config.Int("memory.max-count")), MaxBytes: max(0, config.Int("memory.max-size")),
		Lifespan: max(0, config.Int("expiration.lifespan")), MaxIdle: max(0, config.Int("expiration.max-idle")),
	}
	if config.Value("memory.when-full") == "EXCEPTION" {
		o.WhenFull = store.Refuse
	}
	return o
}

// Version implements rest.Catalog.
func (c *Catalog) Version() uint64 { return c.roster.Load().version }

// Names implements rest.Catalog.
func (c *Catalog) Names() []string { return c.roster.Load().names }

// Find implements rest.Catalog.
func (c *Catalog) Find(name string) (rest.Cache, bool) {
	r := c.roster.Load()
	cache, ok := r.caches[r.real(name)]
	return cache, ok
}

// real is the name of the cache that is called name.
func (r *roster) real(name string) string {
	if real, ok := r.others[name]; ok {
		return real
	}
	return name
}

func refuse(status int, format string, args ...any) error {
	return &rest.Refusal{Status: status, Text: fmt.Sprintf(format, args...)}
}

// hidden tells whether a character of a name would not show, or change how what is around it shows: where names are listed, one
// could look like another, or like several.
func hidden(c rune) bool {
	return unicode.In(c, unicode.Cc, unicode.Zl, unicode.Zp, unicode.Bidi_Control)
}

// judge tells whether a cache may be called name and be configured so. there: it is one that is changed.
func (c *Catalog) judge(name string, config *infinispan.Cache, there bool) error {
	r := c.roster.Load()
	taken := func(n string) bool {
		return r.caches[n].Config != nil && n != name || r.others[n] != "" && r.others[n] != name
	}
	for _, n := range append(config.Aliases(), name) {
		switch {
		case n == "" || len(n) > 255:
			return refuse(400, "ISPN000663: Name must be less than 256 bytes, and there must be one")
		case !utf8.ValidString(n) || strings.ContainsFunc(n, hidden):
			return refuse(400, "the name %q has characters that do not show", n)
		case strings.HasPrefix(n, "___"):
			return refuse(400, "names that begin with ___ are for the server's own caches, and %q is none", n)
		case n == name && !there && (taken(n) || r.caches[n].Config != nil):
			return refuse(400, "ISPN000507: Cache %s already exists", n)
		case n != name && taken(n):
			return refuse(400, "the alias %s is the name of another cache", n)
		}
	}
	return rest.Storable(config)
}

// Create implements rest.Catalog.
func (c *Catalog) Create(name string, config *infinispan.Cache, volatile bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.judge(name, config, false); err != nil {
		return err
	}
	if n := len(c.roster.Load().names); n >= store.MaxCaches {
		return refuse(400, "there are %d caches, which is the most; remove one that is not needed", n)
	}
	if err := c.o.Engine.Create(name, options(config)); err != nil {
		return refuse(400, "%v", err)
	}
	caches := maps.Clone(c.roster.Load().caches)
	caches[name] = rest.Cache{Name: name, Config: config, Volatile: volatile, Tally: new(rest.Tally)}
	err := c.keep(caches)
	if err != nil && !errors.Is(err, errUnsure) {
		return errors.Join(err, c.o.Engine.Remove(name))
	}
	if (c.o.Dir == nil || volatile) && c.o.Unkept != nil {
		c.o.Unkept(name)
	}
	c.show(c.roster.Load().with(caches))
	return err
}

// Change implements rest.Catalog.
func (c *Catalog) Change(name string, change func(was *infinispan.Cache) (*infinispan.Cache, error)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.roster.Load()
	name = r.real(name)
	cache, ok := r.caches[name]
	if !ok {
		return rest.ErrNoCache
	}
	was := cache.Config
	config, err := change(was)
	if err != nil {
		return refuse(400, "%v", err)
	}
	if err := c.judge(name, config, true); err != nil {
		return err
	}
	caches := maps.Clone(r.caches)
	cache.Config = config
	caches[name] = cache
	// Kept first: what a lower bound evicts does not come back.
	kept := c.keep(caches)
	if kept != nil && !errors.Is(kept, errUnsure) {
		return kept
	}
	if err := c.make(name, config, true); err != nil {
		return errors.Join(refuse(400, "%v", err), c.keep(r.caches))
	}
	c.show(r.with(caches))
	return kept
}

// Assign implements rest.Catalog.
func (c *Catalog) Assign(alias, name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.roster.Load()
	name = r.real(name)
	to, ok := r.caches[name]
	from, has := r.caches[r.others[alias]]
	switch {
	case !ok:
		return rest.ErrNoCache
	case r.caches[alias].Config != nil:
		return refuse(400, "ISPN000438: Cache with name '%s' is defined more than once!", alias)
	case !has:
		return refuse(400, "ISPN000436: Cache '%s' has been requested, but no matching cache configuration exists", alias)
	case from.Name == name:
		return nil
	}
	caches := maps.Clone(r.caches)
	var err error
	left := slices.DeleteFunc(from.Config.Aliases(), func(a string) bool { return a == alias })
	if from.Config, err = from.Config.With("aliases", strings.Join(left, " ")); err != nil {
		return refuse(400, "%v", err)
	}
	if to.Config, err = to.Config.With("aliases", strings.Join(append(to.Config.Aliases(), alias), " ")); err != nil {
		return refuse(400, "%v", err)
	}
	caches[from.Name], caches[name] = from, to
	if err = c.keep(caches); err == nil || errors.Is(err, errUnsure) {
		c.show(r.with(caches))
	}
	return err
}

// Ignore implements rest.Catalog. It lasts until the process ends.
func (c *Catalog) Ignore(name string, ignored bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.roster.Load()
	name = r.real(name)
	cache, ok := r.caches[name]
	switch {
	case !ok:
		return rest.ErrNoCache
	case cache.Ignored == ignored:
		return nil
	}
	caches := maps.Clone(r.caches)
	cache.Ignored = ignored
	caches[name] = cache
	c.show(r.with(caches))
	return nil
}

// Remove implements rest.Catalog.
func (c *Catalog) Remove(name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.roster.Load()
	name = r.real(name)
	switch _, ok := r.caches[name]; {
	case !ok:
		return rest.ErrNoCache
	case name == DefaultName:
		return refuse(400, "the cache %s is always there", name)
	}
	caches := maps.Clone(r.caches)
	delete(caches, name)
	err := c.keep(caches)
	if err != nil && !errors.Is(err, errUnsure) {
		return err
	}
	c.show(r.with(caches))
	return errors.Join(c.o.Engine.Remove(name), err)
}

// keep writes what outlives the process.
func (c *Catalog) keep(caches map[string]rest.Cache) error {
	if c.o.Dir == nil {
		return nil
	}
	kept := map[string]*infinispan.Cache{}
	for name, cache := range caches {
		if !cache.Volatile && (name != DefaultName || !isStandard(cache.Config)) {
			kept[name] = cache.Config
		}
	}
	err := c.o.Dir.write(kept)
	if errors.Is(err, syscall.ENOSPC) {
		return refuse(507, "%v", err)
	}
	return err
}

func isStandard(c *infinispan.Cache) bool {
	standard, _ := infinispan.Template("org.infinispan.LOCAL")
	return c.Equal(standard)
}

// Over returns the caches of a grid as the catalog has them: those that are in it, by all of their names.
func (c *Catalog) Over(g grid.Caches) grid.Caches { return named{g, c} }

type named struct {
	grid.Caches
	c *Catalog
}

func (n named) find(name string) (string, error) {
	if name == "" {
		return "", nil
	}
	r := n.c.roster.Load()
	name = r.real(name)
	if _, ok := r.caches[name]; !ok {
		return "", fmt.Errorf("cache %q: %w", name, rest.ErrNoCache)
	}
	return name, nil
}

// Open implements grid.Caches.
func (n named) Open(name string, who grid.Principal) (grid.Cache, error) {
	name, err := n.find(name)
	if err != nil {
		return nil, err
	}
	return n.Caches.Open(name, who)
}

// Events implements grid.Caches.
func (n named) Events(name string, who grid.Principal) (grid.Events, error) {
	name, err := n.find(name)
	if err != nil {
		return nil, err
	}
	return n.Caches.Events(name, who)
}

// Admin implements grid.Caches.
func (n named) Admin(name string, who grid.Principal) (grid.Admin, error) {
	name, err := n.find(name)
	if err != nil {
		return nil, err
	}
	return n.Caches.Admin(name, who)
}
