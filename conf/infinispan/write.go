package infinispan

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Append writes the configuration of a cache called name as Infinispan does: of JSON and YAML the cache is a field by its
// name, of XML name is an attribute; what was not said is left out. Without a name it is only the element. pretty breaks JSON
// and XML into lines.
func (c *Cache) Append(dst []byte, f Format, name string, pretty bool) []byte {
	switch {
	case f == XML:
		return appendXMLDocument(dst, c.element(name), pretty)
	case f == YAML && name == "":
		return c.element("").appendYAML(dst, 0)
	case f == YAML:
		return c.element("").appendYAML(append(appendYAMLText(dst, name), ": \n"...), 1)
	}
	if name == "" {
		return c.appendJSON(dst, pretty)
	}
	return c.appendJSON(dst, pretty, name)
}

// appendJSON appends the cache's element within objects of those names.
func (c *Cache) appendJSON(dst []byte, pretty bool, above ...string) []byte {
	dst = append(dst, '{')
	for i, key := range above {
		dst = append(appendField(dst, key, i+1, pretty), '{')
	}
	dst = c.element("").appendJSON(dst, len(above)+1, pretty)
	for i := len(above); i >= 0; i-- {
		dst = appendLine(dst, i, pretty, '}')
	}
	return dst
}

// AppendDocument writes the configuration of a cache as a whole document with one cache in it.
func (c *Cache) AppendDocument(dst []byte, f Format, name string, pretty bool) []byte {
	switch f {
	case XML:
		container := &node{name: "cache-container", below: []*node{c.element(name)}}
		return appendXMLDocument(dst, &node{name: "infinispan", below: []*node{container}}, pretty)
	case YAML:
		dst = append(dst, "infinispan: \n  cacheContainer: \n    caches: \n      "...)
		return c.element("").appendYAML(append(appendYAMLText(dst, name), ": \n"...), 4)
	}
	return c.appendJSON(dst, pretty, "infinispan", "cache-container", "caches", name)
}

// AppendCaches writes caches as a document that Infinispan and ParseCaches read, in JSON.
func AppendCaches(dst []byte, all map[string]*Cache) []byte {
	dst = append(dst, "{\"infinispan\":{\"cache-container\":{\"caches\":{"...)
	for i, name := range slices.Sorted(maps.Keys(all)) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '\n')
		dst = append(appendJSONText(dst, name), ':', '{')
		dst = all[name].element("").appendJSON(dst, 0, false)
		dst = append(dst, '}')
	}
	return append(dst, "\n}}}}\n"...)
}

// node is an element to be written.
type node struct {
	name   string
	is     shape
	fields []item
	below  []*node
}

// shape is what an element is in JSON and YAML.
type shape uint8

const (
	single shape = iota
	member       // of an array, with its neighbours of the same name
	array        // of what is below, whose names are not written
)

type item struct {
	name, value string
	is          kind
}

// element returns the cache as it is written. With name, that is an attribute.
func (c *Cache) element(name string) *node {
	top := &node{name: c.Type}
	if name != "" {
		top.fields = append(top.fields, item{"name", name, text})
	}
	cacheSchema.each("", func(path string, a *attribute) {
		v, said := c.values[path]
		if !said {
			return
		}
		at := top.find(path)
		at.fields = append(at.fields, item{a.name, v, a.is})
	})
	return top
}

// find returns the element that the attribute of a path is in, which is made if it is not there.
func (n *node) find(path string) *node {
	parts := strings.Split(path, ".")
	for _, p := range parts[:len(parts)-1] {
		k := slices.IndexFunc(n.below, func(b *node) bool { return b.name == p })
		if k < 0 {
			n.below = append(n.below, &node{name: p})
			k = len(n.below) - 1
		}
		n = n.below[k]
	}
	return n
}

func appendLine(dst []byte, indent int, pretty bool, c byte) []byte {
	if pretty {
		dst = append(dst, '\n')
		dst = append(dst, strings.Repeat("  ", indent)...)
	}
	return append(dst, c)
}

func appendJSONText(dst []byte, s string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic("BUG: infinispan: " + err.Error()) // of a string there is no error
	}
	return append(dst, bytes.TrimRight(b.Bytes(), "\n")...)
}

// appendField appends a key of JSON, on a line of its own if pretty.
func appendField(dst []byte, key string, indent int, pretty bool) []byte {
	if pretty {
		dst = append(dst, '\n')
		dst = append(dst, strings.Repeat("  ", indent)...)
	}
	dst = appendJSONText(dst, key)
	if pretty {
		return append(dst, " : "...)
	}
	return append(dst, ':')
}

// appendJSON appends the element as a field. Numbers are strings, as Infinispan has them.
func (n *node) appendJSON(dst []byte, indent int, pretty bool) []byte {
	return n.appendJSONValue(appendField(dst, n.name, indent, pretty), indent, pretty)
}

// appendJSONList appends elements as an array.
func appendJSONList(dst []byte, all []*node, indent int, pretty bool) []byte {
	space := ""
	if pretty {
		space = " "
	}
	dst = append(append(dst, '['), space...)
	for i, n := range all {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = n.appendJSONValue(dst, indent, pretty)
	}
	return append(append(dst, space...), ']')
}

func (n *node) appendJSONValue(dst []byte, indent int, pretty bool) []byte {
	if n.is == array {
		return appendJSONList(dst, n.below, indent, pretty)
	}
	dst = append(dst, '{')
	space := ""
	if pretty {
		space = " "
	}
	some := false
	next := func() {
		if some {
			dst = append(dst, ',')
		}
		some = true
	}
	for _, f := range n.fields {
		if f.is == namespace {
			continue
		}
		next()
		dst = appendField(dst, f.name, indent+1, pretty)
		switch f.is {
		case boolean:
			dst = append(dst, f.value...)
		case nothing:
			dst = append(dst, "null"...)
		case list:
			dst = append(append(dst, '['), space...)
			for k, s := range strings.Fields(f.value) {
				if k > 0 {
					dst = append(dst, ',')
				}
				dst = appendJSONText(dst, s)
			}
			dst = append(append(dst, space...), ']')
		default:
			dst = appendJSONText(dst, f.value)
		}
	}
	for b := n.below; len(b) > 0; {
		next()
		k := neighbours(b)
		if b[0].is == member {
			dst = appendJSONList(appendField(dst, b[0].name, indent+1, pretty), b[:k], indent+1, pretty)
		} else {
			dst = b[0].appendJSON(dst, indent+1, pretty)
		}
		b = b[k:]
	}
	if !some {
		return append(dst, '}')
	}
	return appendLine(dst, indent, pretty, '}')
}

// neighbours is how many of the first elements are one array, or 1.
func neighbours(all []*node) int {
	k := 1
	for all[0].is == member && k < len(all) && all[k].name == all[0].name {
		k++
	}
	return k
}

func appendXMLText(dst []byte, s string) []byte {
	var b bytes.Buffer
	if err := xml.EscapeText(&b, []byte(s)); err != nil {
		panic("BUG: infinispan: " + err.Error()) // a buffer takes everything
	}
	return append(dst, b.Bytes()...)
}

func appendXMLDocument(dst []byte, n *node, pretty bool) []byte {
	dst = append(dst, `<?xml version="1.0"?>`...)
	if pretty {
		dst = append(dst, '\n')
	}
	return appendXML(dst, n, 0, pretty)
}

func appendXML(dst []byte, n *node, indent int, pretty bool) []byte {
	pad, end := "", ""
	if pretty {
		pad, end = strings.Repeat("    ", indent), "\n"
	}
	dst = append(append(append(dst, pad...), '<'), n.name...)
	for _, f := range n.fields {
		dst = append(append(append(dst, ' '), f.name...), `="`...)
		dst = append(appendXMLText(dst, f.value), '"')
	}
	if len(n.below) == 0 {
		return append(append(dst, "/>"...), end...)
	}
	dst = append(append(dst, '>'), end...)
	for _, b := range n.below {
		dst = appendXML(dst, b, indent+1, pretty)
	}
	return append(append(append(append(append(dst, pad...), "</"...), n.name...), '>'), end...)
}

// appendYAMLText appends a text so that YAML reads it as one, whatever is in it.
func appendYAMLText(dst []byte, s string) []byte {
	plain := s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") == "" &&
		(s[0] >= 'a' && s[0] <= 'z' || s[0] >= 'A' && s[0] <= 'Z')
	if plain && !slices.Contains([]string{"true", "false", "yes", "no", "on", "off", "null", "y", "n"}, strings.ToLower(s)) {
		return append(dst, s...)
	}
	return strconv.AppendQuote(dst, s)
}

// appendYAML appends the element as a field; values are in quotes, as Infinispan has them.
func (n *node) appendYAML(dst []byte, indent int) []byte {
	dst = append(append(append(dst, strings.Repeat("  ", indent)...), camel(n.name)...), ':')
	switch {
	case n.is == array:
		return appendYAMLList(append(dst, " \n"...), n.below, indent+1)
	case !n.says():
		return append(dst, " ~\n"...)
	}
	return n.appendYAMLValue(append(dst, " \n"...), indent)
}

// says tells whether there is anything in the element.
func (n *node) says() bool {
	return len(n.below) > 0 || slices.ContainsFunc(n.fields, func(f item) bool { return f.is != namespace })
}

// appendYAMLList appends elements as an array: each begins with a dash in front of its first line. They are not empty.
func appendYAMLList(dst []byte, all []*node, indent int) []byte {
	for _, n := range all {
		at := len(dst) + 2*indent
		dst = n.appendYAMLValue(dst, indent)
		dst[at] = '-'
	}
	return dst
}

func (n *node) appendYAMLValue(dst []byte, indent int) []byte {
	pad := strings.Repeat("  ", indent)
	for _, f := range n.fields {
		if f.is == namespace {
			continue
		}
		dst = append(append(append(dst, pad...), "  "...), camel(f.name)...)
		if f.is != list {
			dst = append(strconv.AppendQuote(append(dst, ": "...), f.value), '\n')
			continue
		}
		dst = append(dst, ":\n"...)
		for _, s := range strings.Fields(f.value) {
			dst = append(append(append(dst, pad...), "    - "...), strconv.Quote(s)...)
			dst = append(dst, '\n')
		}
	}
	for b := n.below; len(b) > 0; {
		k := neighbours(b)
		if b[0].is == member {
			dst = append(append(append(dst, pad...), "  "...), camel(b[0].name)...)
			dst = appendYAMLList(append(dst, ": \n"...), b[:k], indent+2)
		} else {
			dst = b[0].appendYAML(dst, indent+1)
		}
		b = b[k:]
	}
	return dst
}
