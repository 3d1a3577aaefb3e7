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
	fields []item
	below  []*node
}

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
		at := top
		parts := strings.Split(path, ".")
		for _, p := range parts[:len(parts)-1] {
			k := slices.IndexFunc(at.below, func(n *node) bool { return n.name == p })
			if k < 0 {
				at.below = append(at.below, &node{name: p})
				k = len(at.below) - 1
			}
			at = at.below[k]
		}
		at.fields = append(at.fields, item{a.name, v, a.is})
	})
	return top
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
	dst = append(appendField(dst, n.name, indent, pretty), '{')
	space := ""
	if pretty {
		space = " "
	}
	for i, f := range n.fields {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendField(dst, f.name, indent+1, pretty)
		switch f.is {
		case boolean:
			dst = append(dst, f.value...)
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
	for i, b := range n.below {
		if i > 0 || len(n.fields) > 0 {
			dst = append(dst, ',')
		}
		dst = b.appendJSON(dst, indent+1, pretty)
	}
	if len(n.fields)+len(n.below) == 0 {
		return append(dst, '}')
	}
	return appendLine(dst, indent, pretty, '}')
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
	pad := strings.Repeat("  ", indent)
	dst = append(append(append(dst, pad...), camel(n.name)...), ':')
	if len(n.fields)+len(n.below) == 0 {
		return append(dst, " ~\n"...)
	}
	dst = append(dst, " \n"...)
	for _, f := range n.fields {
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
	for _, b := range n.below {
		dst = b.appendYAML(dst, indent+1)
	}
	return dst
}
