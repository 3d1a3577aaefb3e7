package infinispan

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// Mutable is an attribute that can be changed while the cache is in use.
type Mutable struct {
	Path    string
	Type    string   // as Infinispan calls it: boolean, long, timequantity, string or set
	Choices []string // empty: anything of the type
}

var kindNames = map[kind]string{boolean: "boolean", number: "long", duration: "timequantity", size: "string", list: "set", word: "enum", text: "string"}

// Mutables lists what can be changed of c, in order of their paths.
func (c *Cache) Mutables() (all []Mutable) {
	cacheSchema.each("", func(path string, a *attribute) {
		if a.mutable && (len(a.only) == 0 || slices.Contains(a.only, c.Type)) {
			all = append(all, Mutable{outer(path), kindNames[a.is], a.choices})
		}
	})
	slices.SortFunc(all, func(a, b Mutable) int { return strings.Compare(a.Path, b.Path) })
	return all
}

// others are the names that Infinispan has for attributes of the cache's element itself.
var others = map[string]string{"statistics": "jmx-statistics.statistics", "remote-timeout": "clustering.remote-timeout"}

func outer(path string) string {
	if o, ok := others[path]; ok {
		return o
	}
	return path
}

// inner returns the path that an attribute has in a document.
func inner(path string) string {
	for in, out := range others {
		if path == out {
			return in
		}
	}
	return path
}

// Attribute returns what holds of an attribute that is named as Mutable.Path has it.
func (c *Cache) Attribute(path string) (value string, err error) {
	if _, err := c.mutable(path); err != nil {
		return "", err
	}
	return c.Value(inner(path)), nil
}

func (c *Cache) mutable(path string) (*attribute, error) {
	a := cacheSchema.find(inner(path))
	switch {
	case a == nil || len(a.only) > 0 && !slices.Contains(a.only, c.Type):
		return nil, &Change{"ISPN000960: No attribute '" + path + "' in '" + c.Type + "'"}
	case !a.mutable:
		return nil, &Change{"ISPN012035: Attribute '" + path + "' is immutable"}
	}
	return a, nil
}

// Change is why a configuration cannot become another.
type Change struct{ Text string }

func (e *Change) Error() string { return e.Text }

// With returns c with one attribute changed.
func (c *Cache) With(path, value string) (*Cache, error) {
	a, err := c.mutable(path)
	if err != nil {
		return nil, err
	}
	v, err := a.parse(strings.Join(strings.Fields(value), " "))
	if err != nil {
		return nil, &Change{"ISPN000686: Attribute '" + path + "' has an illegal value '" + value + "': " + err.Error()}
	}
	next := &Cache{c.Name, c.Type, maps.Clone(c.values)}
	next.values[inner(path)] = v
	if err := next.consistent(); err != nil {
		return nil, &Change{err.Code + ": " + err.Text}
	}
	return next, nil
}

// Update returns what c, which is called name, becomes by a new document. What cannot be changed has to be as it is.
func (c *Cache) Update(name string, to *Cache) (*Cache, error) {
	problems := ""
	if c.Type != to.Type {
		problems = "\n    ISPN000961: Incompatible attribute '" + name + "' existing value='" + c.Type + "', new value='" + to.Type + "'"
	} else {
		cacheSchema.each("", func(path string, a *attribute) {
			was, is := c.Value(path), to.Value(path)
			if !a.mutable && !a.same(was, is) {
				problems += "\n    ISPN000961: Incompatible attribute '" + name + "." + c.Type + "." + path + "' existing value='" + cmp.Or(was, "null") + "', new value='" + cmp.Or(is, "null") + "'"
			}
		})
	}
	if problems != "" {
		return nil, &Change{"ISPN000963: Invalid configuration in '" + name + "." + c.Type + "'" + problems}
	}
	return to, nil
}

// Equal tells whether two configurations mean the same.
func (c *Cache) Equal(other *Cache) bool {
	same := c.Type == other.Type
	cacheSchema.each("", func(path string, a *attribute) { same = same && a.same(c.Value(path), other.Value(path)) })
	return same
}
