// Package infinispan reads and writes configuration as Infinispan's documents have it: one validated value, whether it came
// as XML, JSON or YAML. What it does not know it refuses, what names a feature that is not there it refuses by name, and
// what only tunes Infinispan's own machinery it leaves out with a warning. Caches are read and written, a server is written.
package infinispan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/latticed/latticed/conf/tree"
)

// Format is how a document is written.
type Format uint8

// The formats.
const (
	JSON Format = iota
	XML
	YAML
)

// MaxCache bounds the document of one cache, in bytes.
const MaxCache = 64 << 10

// Cache is the configuration of one cache: what was said, in a normal form. What was not said has its default. It does not
// change.
type Cache struct {
	Name   string            // in the document, if it has one; caches are called as whoever makes them says
	Type   string            // local-cache, distributed-cache, replicated-cache or invalidation-cache
	values map[string]string // by path, such as memory.max-count; lists are joined by spaces
}

// Templates are what caches can be made of by name.
var Templates = []string{
	"org.infinispan.LOCAL", "org.infinispan.DIST_SYNC", "org.infinispan.DIST_ASYNC", "org.infinispan.REPL_SYNC",
	"org.infinispan.REPL_ASYNC", "org.infinispan.INVALIDATION_SYNC", "org.infinispan.INVALIDATION_ASYNC",
}

// Template returns the configuration behind one of Templates. False: there is none of that name.
func Template(name string) (*Cache, bool) {
	if !slices.Contains(Templates, name) {
		return nil, false
	}
	kind, mode, _ := strings.Cut(strings.TrimPrefix(name, "org.infinispan."), "_")
	c := &Cache{Type: map[string]string{
		"LOCAL": "local-cache", "DIST": "distributed-cache", "REPL": "replicated-cache", "INVALIDATION": "invalidation-cache",
	}[kind], values: map[string]string{"statistics": "true"}}
	if mode != "" {
		c.values["mode"] = mode
	}
	return c, true
}

// Local returns a cache of which nothing is said.
func Local() *Cache { return &Cache{Type: "local-cache", values: map[string]string{}} }

// Get returns what was said of an attribute, and whether anything was.
func (c *Cache) Get(path string) (value string, said bool) {
	value, said = c.values[path]
	return value, said
}

// Value returns what holds of an attribute: what was said, or its default.
func (c *Cache) Value(path string) string {
	if v, said := c.values[path]; said {
		return v
	}
	if a := cacheSchema.find(path); a != nil {
		return a.def
	}
	panic("BUG: infinispan: no attribute " + path)
}

// Int is Value of an attribute that counts; times are in milliseconds, sizes in bytes.
func (c *Cache) Int(path string) int64 {
	v := c.Value(path)
	n, ok := cacheSchema.find(path).int(v)
	if !ok {
		panic("BUG: infinispan: " + path + " is no number")
	}
	return n
}

// Bool is Value of an attribute that is true or false.
func (c *Cache) Bool(path string) bool { return c.Value(path) == "true" }

// Aliases are the other names of the cache.
func (c *Cache) Aliases() []string { return strings.Fields(c.Value("aliases")) }

// MediaTypes are what keys and values are stored as, empty where nothing is said.
func (c *Cache) MediaTypes() (key, value string) {
	both := c.Value("encoding.media-type")
	if key = c.Value("encoding.key.media-type"); key == "" {
		key = both
	}
	if value = c.Value("encoding.value.media-type"); value == "" {
		value = both
	}
	return key, value
}

// Mode is what Infinispan calls the mode: LOCAL, DIST_SYNC and the like.
func (c *Cache) Mode() string {
	if c.Type == "local-cache" {
		return "LOCAL"
	}
	kind := map[string]string{"distributed-cache": "DIST", "replicated-cache": "REPL", "invalidation-cache": "INVALIDATION"}[c.Type]
	return kind + "_" + c.Value("mode")
}

// Error is a problem with a document.
type Error struct {
	Line, Column int    // from 1
	Path         string // of the element or attribute, dots between the levels
	Code         string // Infinispan's number of the message, empty if there is none
	Text         string
}

func (e *Error) Error() string {
	s := ""
	if e.Code != "" {
		s = e.Code + ": "
	}
	if e.Path != "" {
		s += e.Path + ": "
	}
	return fmt.Sprintf("%s%s at [%d,%d]", s, e.Text, e.Line, e.Column)
}

// ParseCache reads the configuration of one cache: just its element, the element by a name, or a whole document with one
// cache in it. The name is the caller's to choose. Warnings tell what was left out.
func ParseCache(data []byte, f Format) (c *Cache, warnings []string, err error) {
	if len(data) > MaxCache {
		return nil, nil, &Error{1, 1, "", "", fmt.Sprintf("the configuration of a cache is larger than %d bytes", MaxCache)}
	}
	doc, err := read(data, f)
	if err != nil {
		return nil, nil, err
	}
	if doc == nil || doc.Shape == tree.Mapping && len(doc.Fields) == 0 {
		return Local(), nil, nil
	}
	at, name, err := findCache(doc)
	if err != nil {
		return nil, nil, err
	}
	r := reader{cache: &Cache{Name: name, Type: kebab(at.Key), values: map[string]string{}}}
	if err := r.read(at); err != nil {
		return nil, nil, err
	}
	return r.cache, r.warnings(), nil
}

// ParseCaches reads a document of caches by name, as AppendCaches writes it, however large. A problem names the cache.
func ParseCaches(data []byte) (map[string]*Cache, error) {
	doc, err := read(data, JSON)
	if err != nil {
		return nil, err
	}
	for _, key := range []string{"infinispan", "cache-container", "caches"} {
		if doc == nil || doc.Shape != tree.Mapping || len(doc.Fields) != 1 || doc.Fields[0].Key != key {
			return nil, &Error{1, 1, "", "", `want {"infinispan":{"cache-container":{"caches":{...}}}}`}
		}
		doc = doc.Fields[0].Value
	}
	if doc.Shape != tree.Mapping {
		return nil, &Error{doc.Line, doc.Column, "", "", "want caches by their names, got " + doc.Shape.String()}
	}
	all := map[string]*Cache{}
	for _, f := range doc.Fields {
		at, err := named(f)
		if err == nil && all[f.Key] != nil {
			err = &Error{f.Line, f.Column, "", "", "it is there twice"}
		}
		if err != nil {
			return nil, fmt.Errorf("cache %q: %w", f.Key, err)
		}
		r := reader{cache: &Cache{Name: f.Key, Type: kebab(at.Key), values: map[string]string{}}}
		if err := r.read(at); err != nil {
			return nil, fmt.Errorf("cache %q: %w", f.Key, err)
		}
		all[f.Key] = r.cache
	}
	return all, nil
}

func read(data []byte, f Format) (doc *tree.Node, err error) {
	switch f {
	case XML:
		doc, err = tree.XML(data)
	case YAML:
		doc, err = tree.YAML(data)
	default:
		doc, err = tree.JSON(data)
	}
	if e, ok := err.(*tree.Error); ok {
		return nil, &Error{e.Line, e.Column, "", "", e.Text}
	}
	return doc, err
}

// types are the elements that are caches.
var types = []string{"local-cache", "distributed-cache", "replicated-cache", "invalidation-cache"}

// findCache looks for the element of the one cache in a document, and for its name.
func findCache(doc *tree.Node) (f tree.Field, name string, err error) {
	if f, err = only(doc, ""); err == nil && kebab(f.Key) == "infinispan" {
		if f, err = only(f.Value, "infinispan"); err == nil && kebab(f.Key) == "cache-container" {
			if f, err = only(f.Value, "cache-container"); err == nil && kebab(f.Key) == "caches" {
				if f, err = only(f.Value, "caches"); err == nil {
					name = f.Key
					f, err = named(f)
					return f, name, err
				}
			}
		}
	} else if err == nil && f.Value.Shape == tree.Mapping && !isCache(f) {
		name = f.Key
		f, err = named(f)
		return f, name, err
	}
	f, err = element(f, err)
	return f, "", err
}

// named returns the element of a cache below its name.
func named(f tree.Field) (tree.Field, error) {
	return element(only(f.Value, f.Key))
}

// only returns the one element in n, whose attributes do not matter.
func only(n *tree.Node, name string) (f tree.Field, err error) {
	if n.Shape != tree.Mapping {
		return f, &Error{n.Line, n.Column, name, "", "want an element such as local-cache, got " + n.Shape.String()}
	}
	found := 0
	for _, one := range n.Fields {
		if one.Value.Shape != tree.Scalar {
			f = one
			found++
		}
	}
	if found != 1 {
		return f, &Error{n.Line, n.Column, name, "", fmt.Sprintf("want the element of one cache, such as local-cache; there are %d", found)}
	}
	return f, nil
}

func isCache(f tree.Field) bool {
	name := kebab(f.Key)
	return slices.Contains(types, name) || name == "scattered-cache" || strings.HasSuffix(name, "-cache-configuration")
}

// element judges what stands where the element of a cache is wanted.
func element(f tree.Field, err error) (tree.Field, error) {
	name := kebab(f.Key)
	switch {
	case err != nil:
		return f, err
	case slices.Contains(types, name):
		return f, nil
	case name == "scattered-cache":
		return f, &Error{f.Line, f.Column, name, "ISPN000622", "the element has been removed with no replacement"}
	case strings.HasSuffix(name, "-cache-configuration"):
		return f, &Error{f.Line, f.Column, name, "", "templates of your own are not supported yet"}
	}
	return f, &Error{f.Line, f.Column, f.Key, "ISPN000327", "unknown element; known here: " + strings.Join(types, ", ")}
}

// kebab turns a name such as mediaType into media-type, as XML and JSON have it.
func kebab(s string) string {
	b := make([]byte, 0, len(s)+4)
	for i := range len(s) {
		c := s[i]
		if c >= 'A' && c <= 'Z' {
			if i > 0 && s[i-1] != '-' && (s[i-1] < 'A' || s[i-1] > 'Z') {
				b = append(b, '-')
			}
			c += 'a' - 'A'
		}
		b = append(b, c)
	}
	return string(b)
}

// camel is the opposite of kebab.
func camel(s string) string {
	parts := strings.Split(s, "-")
	for i, p := range parts[1:] {
		if p != "" {
			parts[i+1] = strings.ToUpper(p[:1]) + p[1:]
		}
	}
	return strings.Join(parts, "")
}
