package conf

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Setting describes one flag and its environment variable.
type Setting struct {
	Flag, Env string
	Key       string   // in the file, below latticed; empty: not in the file
	Arg       string   // stands for the value in help; empty: a switch
	Usage     string   // the value's name is quoted in it
	Default   string   // of this machine
	Choices   []string // what the value can be; empty: anything
	Hidden    bool
}

// Settings lists all flags in the order of help, with the defaults of m.
func Settings(m Machine) []Setting {
	c := defaults(m)
	var all []Setting
	for i := range keys {
		k := &keys[i]
		if k.flag == "" {
			continue
		}
		s := Setting{Flag: k.flag, Env: envName(k.flag), Key: k.name, Arg: k.arg, Usage: k.usage, Hidden: k.hidden, Choices: k.choices, Default: k.def}
		switch {
		case k.name == "listeners":
			for j, l := range c.Listeners {
				s.Default += strings.Repeat(", ", min(j, 1)) + l.Address
			}
		case k.show != nil && k.def == "" && !k.quiet:
			s.Default = k.value(c)
		}
		all = append(all, s)
	}
	return all
}

// line is one line of a configuration as it is shown.
type line struct {
	indent int
	text   string
	note   string
}

// YAML writes the configuration so that Load reads the same again. With origins each value tells where it came from.
func (c *Config) YAML(origins bool) string {
	lines := []line{{0, section + ":", ""}}
	var above string // the group the last key was in
	for i := range keys {
		k := &keys[i]
		note := c.Origin(k.name).String()
		switch {
		case k.name == "listeners":
			lines = append(lines, line{1, k.name + ":", note})
			for j := range c.Listeners {
				lines = append(lines, c.Listeners[j].lines()...)
			}
		case k.quiet && c.Origin(k.name).Kind == Default:
		case k.name == "http.cors-rules":
			lines = nest(lines, 1, &above, k.name, "[]", note)
			if len(c.HTTP.CORS) > 0 {
				lines[len(lines)-1].text = "cors-rules:"
			}
			for j := range c.HTTP.CORS {
				lines = append(lines, c.HTTP.CORS[j].lines()...)
			}
		case k.name != "":
			lines = nest(lines, 1, &above, k.name, k.yaml(c), note)
		}
	}
	width := 0
	for _, l := range lines {
		if l.note != "" {
			width = max(width, 2*l.indent+len(l.text))
		}
	}
	var b strings.Builder
	for _, l := range lines {
		s := strings.Repeat("  ", l.indent) + l.text
		if origins && l.note != "" {
			s = fmt.Sprintf("%-*s  # %s", width, s, l.note)
		}
		b.WriteString(s + "\n")
	}
	return b.String()
}

// lines shows a listener without what is as if only the address had been given.
func (l *Listener) lines() []line {
	var lines []line
	var above string
	plain := newListener(l.Address)
	for i := range listenerKeys {
		k := &listenerKeys[i]
		if k.name != "address" && slices.Equal(k.show(l), k.show(&plain)) {
			continue
		}
		lines = nest(lines, 3, &above, k.name, k.yaml(l), "")
	}
	lines[0].indent, lines[0].text = 2, "- "+lines[0].text
	return lines
}

// value is what src has, for people.
func (k *key[T]) value(src *T) string { return strings.Join(k.show(src), " ") }

// yaml is what src has, for a file.
func (k *key[T]) yaml(src *T) string {
	texts := k.show(src)
	for i := range texts {
		texts[i] = quote(texts[i])
	}
	s := strings.Join(texts, ", ")
	if k.list {
		s = "[" + s + "]"
	}
	return s
}

// nest appends a key with dots in its name, below its group, which is opened unless it is the one above.
func nest(lines []line, indent int, above *string, name, value, note string) []line {
	group, rest, ok := strings.Cut(name, ".")
	if !ok {
		*above = ""
		return append(lines, line{indent, name + ": " + value, note})
	}
	if group != *above {
		lines = append(lines, line{indent, group + ":", ""})
		*above = group
	}
	return append(lines, line{indent + 1, rest + ": " + value, note})
}

var plain = regexp.MustCompile(`^[A-Za-z0-9/][A-Za-z0-9/_.:@+-]*$`)

// quote writes s so that YAML reads the same text.
func quote(s string) string {
	if plain.MatchString(s) && !strings.HasSuffix(s, ":") {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", "''") + "'"
}

// Change is a value that differs between two configurations.
type Change struct {
	Key      string // of a listener: listeners[ADDRESS].allow
	From, To string
	Live     bool // takes effect by a reload; otherwise by a restart
}

// Diff tells what differs.
func Diff(from, to *Config) []Change {
	var changes []Change
	note := func(name, a, b string, live bool) {
		if a != b {
			changes = append(changes, Change{Key: name, From: a, To: b, Live: live})
		}
	}
	for i := range keys {
		if k := &keys[i]; k.show != nil {
			note(k.name, k.value(from), k.value(to), k.live)
		}
	}
	find := func(c *Config, address string) *Listener {
		if i := slices.IndexFunc(c.Listeners, func(l Listener) bool { return l.Address == address }); i >= 0 {
			return &c.Listeners[i]
		}
		return nil
	}
	for i := range from.Listeners {
		l := &from.Listeners[i]
		other := find(to, l.Address)
		if other == nil {
			note("listeners["+l.Address+"]", "served", "not served", false)
			continue
		}
		for j := range listenerKeys {
			k := &listenerKeys[j]
			note("listeners["+l.Address+"]."+k.name, k.value(l), k.value(other), k.live)
		}
	}
	for i := range to.Listeners {
		if a := to.Listeners[i].Address; find(from, a) == nil {
			note("listeners["+a+"]", "not served", "served", false)
		}
	}
	return changes
}
