package rest

import (
	"errors"

	"github.com/valyala/fasthttp"

	"github.com/latticed/latticed/conf/infinispan"
	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/protocols/media"
)

// Catalog is which caches there are and how they are configured. It is safe for concurrent use. What changes it may take as
// long as a disk does, and returns a *Refusal where the client is to do something else, ErrNoCache, or what went wrong.
type Catalog interface {
	Version() uint64                // another one after every change
	Names() []string                // in order; not to be changed
	Find(name string) (Cache, bool) // by its name or an alias
	Create(name string, c *infinispan.Cache, volatile bool) error
	Change(name string, change func(was *infinispan.Cache) (*infinispan.Cache, error)) error
	Remove(name string) error
	Assign(alias, name string) error // moves an alias from the cache that has it
	Ignore(name string, ignored bool) error
	// Watch has the connection woken (grid.Late.Wake) after every change, until stop is called. A *Refusal: too many do.
	Watch(t grid.Ticket) (stop func(), err error)
}

// Cache is one cache of a Catalog.
type Cache struct {
	Name     string
	Config   *infinispan.Cache
	Volatile bool // it does not outlive the process
	Ignored  bool // nobody may use it by HTTP for now
	Tally    *Tally
}

// Refusal is an error that is for the client.
type Refusal struct {
	Status int
	Text   string
}

func (r *Refusal) Error() string { return r.Text }

// ErrNoCache says that there is no cache of that name.
var ErrNoCache = errors.New("no such cache")

// fixed is the default cache alone.
type fixed struct{}

var errFixed = &Refusal{fasthttp.StatusNotImplemented, "changing caches is not implemented here"}

var theDefault = func() *infinispan.Cache {
	c, _ := infinispan.Template("org.infinispan.LOCAL")
	return c
}()

func (fixed) Version() uint64 { return 0 }
func (fixed) Names() []string { return []string{"default"} }
func (fixed) Find(name string) (Cache, bool) {
	return Cache{Name: "default", Config: theDefault}, name == "default"
}
func (fixed) Create(name string, _ *infinispan.Cache, _ bool) error {
	if name == "default" {
		return &Refusal{fasthttp.StatusBadRequest, "ISPN000507: Cache default already exists"}
	}
	return errFixed
}
func (fixed) Change(string, func(*infinispan.Cache) (*infinispan.Cache, error)) error {
	return errFixed
}
func (fixed) Remove(string) error {
	return &Refusal{fasthttp.StatusBadRequest, "the cache default is always there"}
}

func (fixed) Ignore(name string, _ bool) error {
	if name != "default" {
		return ErrNoCache
	}
	return &Refusal{fasthttp.StatusConflict, "the default cache alone is always served"}
}

func (fixed) Assign(string, string) error       { return errFixed }
func (fixed) Watch(grid.Ticket) (func(), error) { return func() {}, nil }

// Storable tells whether entries can be stored as a configuration says.
func Storable(c *infinispan.Cache) error {
	key, value := c.MediaTypes()
	for _, s := range []string{key, value} {
		m, err := media.Parse([]byte(s))
		switch {
		case s == "":
		case err != nil, m.Wild, m.ID == media.Form:
			return &Refusal{fasthttp.StatusBadRequest, "nothing can be stored as '" + s + "': the media type is not known here"}
		case m.ID == media.Protostream, m.ID == media.JavaObject:
			return &Refusal{fasthttp.StatusBadRequest, "storing as '" + s + "' is not supported yet: leave encoding out, and entries remember the type that they come with"}
		}
	}
	return nil
}

// storage is what values of the cache are stored as; None: as they come.
func (c *Cache) storage() media.ID {
	if c.Config == nil {
		return media.None
	}
	_, value := c.Config.MediaTypes()
	m, _ := media.Parse([]byte(value))
	return m.ID
}

// allOps is what clients of all protocols did with the caches there are.
func (s *Service) allOps() Ops {
	ops := s.opt.Host().Others
	for _, name := range s.opt.Catalog.Names() {
		c, _ := s.opt.Catalog.Find(name)
		ops = ops.Plus(c.Tally.Ops())
	}
	return ops
}

// failed answers for a change that was not made.
func (x *Exchange) failed(err error) {
	var r *Refusal
	var e *infinispan.Error
	switch {
	case errors.Is(err, ErrNoCache):
		x.plain(fasthttp.StatusNotFound)
	case errors.As(err, &r) && r.Status == fasthttp.StatusNotImplemented:
		x.s.unimplemented.Add(1)
		x.text(r.Status, r.Text)
	case errors.As(err, &r):
		x.text(r.Status, r.Text)
	case errors.As(err, &e):
		x.text(fasthttp.StatusBadRequest, e.Error())
	default:
		x.text(fasthttp.StatusInternalServerError, err.Error())
	}
}
