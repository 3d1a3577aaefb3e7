package conf

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// maxFile bounds a configuration file; a larger one is another file given by mistake.
const maxFile = 1 << 20

// section is the part of the tree that is ours alone.
const section = "latticed"

// decoder collects problems, so that one run tells all of them.
type decoder struct {
	name string // of the file
	errs []error
}

func (d *decoder) fail(line int, key, format string, args ...any) {
	place := fmt.Sprintf("%s:%d: ", d.name, line)
	if key != "" {
		place += key + ": "
	}
	d.errs = append(d.errs, errors.New(place+fmt.Sprintf(format, args...)))
}

func (d *decoder) file(c *Config) {
	d.name = c.File
	data, err := readFile(c.File)
	if err != nil {
		d.errs = append(d.errs, err)
		return
	}
	doc, err := parseYAML(data)
	if e := (*lineError)(nil); errors.As(err, &e) {
		d.fail(e.line, "", "%s", e.text)
		return
	}
	switch {
	case doc == nil:
	case doc.shape != mapping:
		d.fail(doc.line, "", "want %q with keys below it, got %s", section+":", doc.shape)
	default:
		for _, f := range doc.fields {
			switch f.key {
			case section:
				if f.value.shape != null {
					decode(d, f.value, section, "", keys, c, func(k *key[Config], line int) {
						c.origins[k.name] = Origin{File, d.name, line}
					})
				}
			case "infinispan":
				d.fail(f.line, f.key, "Infinispan's configuration is not supported yet")
			default:
				d.unknown(f, "", []string{section})
			}
		}
	}
}

func readFile(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("read configuration: %s is larger than %s", name, FormatSize(maxFile))
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return data, nil
}

// decode sets dst from n by keys. base names n in messages, rel in the keys' names; found hears of each key that is
// set.
func decode[T any](d *decoder, n *node, base, rel string, keys []key[T], dst *T, found func(*key[T], int)) {
	if n.shape != mapping {
		d.fail(n.line, base, "want keys with values, got %s", n.shape)
		return
	}
	for _, f := range n.fields {
		name, full := join(rel, f.key), join(base, f.key)
		at := slices.IndexFunc(keys, func(k key[T]) bool { return k.name == name })
		if f.key == "" || at < 0 {
			if f.key != "" && slices.ContainsFunc(keys, func(k key[T]) bool { return strings.HasPrefix(k.name, name+".") }) {
				decode(d, f.value, full, name, keys, dst, found)
			} else {
				d.unknown(f, base, children(keys, rel))
			}
			continue
		}
		k := &keys[at]
		if k.node != nil {
			k.node(d, dst, full, f.value)
		} else if texts, ok := d.texts(f.value, full, k.list); !ok {
			continue
		} else if err := k.set(dst, texts); err != nil {
			d.fail(f.value.line, full, "%v", err)
		}
		found(k, f.line)
	}
}

// texts returns the scalars that n consists of.
func (d *decoder) texts(n *node, key string, wantList bool) ([]string, bool) {
	switch {
	case n.shape == scalar && !wantList:
		return []string{n.text}, true
	case n.shape != list || !wantList:
		want := scalar
		if wantList {
			want = list
		}
		d.fail(n.line, key, "want %s, got %s", want, n.shape)
		return nil, false
	}
	texts := make([]string, 0, len(n.list))
	for _, e := range n.list {
		if e.shape != scalar {
			d.fail(e.line, key, "want words in the list, got %s", e.shape)
			return nil, false
		}
		texts = append(texts, e.text)
	}
	return texts, true
}

func (d *decoder) unknown(f field, base string, known []string) {
	hint := "known here: " + strings.Join(known, ", ")
	if s := Suggest(f.key, known); s != "" {
		hint = fmt.Sprintf("did you mean %q?", s)
	}
	d.fail(f.line, join(base, f.key), "unknown key; %s", hint)
}

// children lists what may stand directly below rel.
func children[T any](keys []key[T], rel string) []string {
	var names []string
	for _, k := range keys {
		name := k.name
		if rel != "" {
			var ok bool
			if name, ok = strings.CutPrefix(name, rel+"."); !ok {
				continue
			}
		}
		name, _, _ = strings.Cut(name, ".")
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

func join(base, name string) string {
	if base == "" {
		return name
	}
	return base + "." + name
}

func (d *decoder) environment(c *Config, env map[string]string) {
	var known []string
	for i := range keys {
		k := &keys[i]
		if k.flag == "" {
			continue
		}
		name := envName(k.flag)
		known = append(known, name[len(envPrefix):])
		v, ok := env[name]
		delete(env, name)
		if !ok || v == "" && !k.empty {
			continue
		}
		texts := []string{v}
		if k.repeat {
			texts = strings.Split(v, ",")
			for i := range texts {
				texts[i] = strings.TrimSpace(texts[i])
			}
		}
		d.set(c, k, texts, name, Origin{Kind: Env, Name: name})
	}
	// Other names with our prefix are no errors: Kubernetes makes up such variables for a service of our name.
	for name := range env {
		if s := Suggest(name[len(envPrefix):], known); s != "" {
			c.Warnings = append(c.Warnings, fmt.Sprintf("unknown environment variable %s; did you mean %s?", name, envPrefix+s))
		}
	}
	slices.Sort(c.Warnings)
}

func (d *decoder) flags(c *Config, flags map[string][]string) {
	for i := range keys {
		k := &keys[i]
		texts := flags[k.flag]
		if k.flag == "" || len(texts) == 0 {
			continue
		}
		if !k.repeat {
			texts = texts[len(texts)-1:]
		}
		d.set(c, k, texts, "--"+k.flag, Origin{Kind: Flag, Name: k.flag})
	}
}

func (d *decoder) set(c *Config, k *key[Config], texts []string, place string, o Origin) {
	if err := k.set(c, texts); err != nil {
		d.errs = append(d.errs, fmt.Errorf("%s: %w", place, err))
		return
	}
	c.origins[k.name] = o
}
