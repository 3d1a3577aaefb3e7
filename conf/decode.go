package conf

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/latticed/latticed/conf/tree"
)

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
	doc, err := tree.YAML(data)
	if e := (*tree.Error)(nil); errors.As(err, &e) {
		d.fail(e.Line, "", "%s", e.Text)
		return
	}
	switch {
	case doc == nil:
	case doc.Shape != tree.Mapping:
		d.fail(doc.Line, "", "want %q with keys below it, got %s", section+":", doc.Shape)
	default:
		for _, f := range doc.Fields {
			switch f.Key {
			case section:
				if f.Value.Shape != tree.Null {
					decode(d, f.Value, section, "", keys, c, func(k *key[Config], line int) {
						c.origins[k.name] = Origin{File, d.name, line}
					})
				}
			case "infinispan":
				d.fail(f.Line, f.Key, "Infinispan's configuration is not supported yet")
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
	if info.Size() > tree.MaxBytes {
		return nil, fmt.Errorf("read configuration: %s is larger than %s", name, FormatSize(tree.MaxBytes))
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return data, nil
}

// decode sets dst from n by keys. base names n in messages, rel in the keys' names; found hears of each key that is
// set.
func decode[T any](d *decoder, n *tree.Node, base, rel string, keys []key[T], dst *T, found func(*key[T], int)) {
	if n.Shape != tree.Mapping {
		d.fail(n.Line, base, "want keys with values, got %s", n.Shape)
		return
	}
	for _, f := range n.Fields {
		name, full := join(rel, f.Key), join(base, f.Key)
		at := slices.IndexFunc(keys, func(k key[T]) bool { return k.name == name })
		if f.Key == "" || at < 0 {
			if f.Key != "" && slices.ContainsFunc(keys, func(k key[T]) bool { return strings.HasPrefix(k.name, name+".") }) {
				decode(d, f.Value, full, name, keys, dst, found)
			} else {
				d.unknown(f, base, children(keys, rel))
			}
			continue
		}
		k := &keys[at]
		if k.node != nil {
			k.node(d, dst, full, f.Value)
		} else if texts, ok := d.texts(f.Value, full, k.list); !ok {
			continue
		} else if err := k.set(dst, texts); err != nil {
			d.fail(f.Value.Line, full, "%v", err)
		}
		found(k, f.Line)
	}
}

// texts returns the scalars that n consists of.
func (d *decoder) texts(n *tree.Node, key string, wantList bool) ([]string, bool) {
	switch {
	case n.Shape == tree.Scalar && !wantList:
		return []string{n.Text}, true
	case n.Shape != tree.List || !wantList:
		want := tree.Scalar
		if wantList {
			want = tree.List
		}
		d.fail(n.Line, key, "want %s, got %s", want, n.Shape)
		return nil, false
	}
	texts := make([]string, 0, len(n.List))
	for _, e := range n.List {
		if e.Shape != tree.Scalar {
			d.fail(e.Line, key, "want words in the list, got %s", e.Shape)
			return nil, false
		}
		texts = append(texts, e.Text)
	}
	return texts, true
}

func (d *decoder) unknown(f tree.Field, base string, known []string) {
	hint := "known here: " + strings.Join(known, ", ")
	if s := Suggest(f.Key, known); s != "" {
		hint = fmt.Sprintf("did you mean %q?", s)
	}
	d.fail(f.Line, join(base, f.Key), "unknown key; %s", hint)
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
