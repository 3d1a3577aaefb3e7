package infinispan

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/latticed/latticed/conf/tree"
)

// verdict is what becomes of an element or attribute.
type verdict uint8

const (
	kept     verdict = iota
	tuning           // of machinery that is not here: left out with a warning
	lacking          // names a feature that is not here: refused, unless its value says that it is not wanted
	security         // refused, so that nobody believes in a protection that is not there
)

// kind is what the value of an attribute is.
type kind uint8

const (
	text      kind = iota
	boolean        // true, yes, y, on; false, no, n, off
	number         // from low to high
	duration       // milliseconds, or with a unit; -1 for never
	size           // bytes, or with a unit; -1 for none
	word           // one of choices
	list           // of words without spaces
	media          // a media type
	name           // of the cache: means nothing here
	template       // one of Templates
	namespace      // of XML, and only there
	nothing        // null, in JSON alone
)

// attribute is one attribute of an element.
type attribute struct {
	name      string
	is        kind
	verdict   verdict
	def       string
	off       []string // of a lacking one: values that do not ask for it
	choices   []string
	low, high int64
	mutable   bool     // changes while the cache is in use
	only      []string // types of caches that have it; empty: all
}

// group is an element below that of a cache.
type group struct {
	name    string
	verdict verdict
	attrs   []attribute
	groups  []group
}

// find returns the attribute of a path; nil: there is none that is kept.
func (g *group) find(path string) *attribute {
	first, rest, nested := strings.Cut(path, ".")
	if !nested {
		for i := range g.attrs {
			if a := &g.attrs[i]; a.name == first && a.verdict == kept {
				return a
			}
		}
		return nil
	}
	for i := range g.groups {
		if g.groups[i].name == first {
			return g.groups[i].find(rest)
		}
	}
	return nil
}

// each calls f with every attribute that is kept, in the order in which they are written.
func (g *group) each(path string, f func(path string, a *attribute)) {
	for i := range g.attrs {
		if a := &g.attrs[i]; a.verdict == kept && a.is != name && a.is != template {
			f(path+a.name, a)
		}
	}
	for i := range g.groups {
		if b := &g.groups[i]; b.verdict == kept {
			b.each(path+b.name+".", f)
		}
	}
}

var (
	clustered   = []string{"distributed-cache", "replicated-cache", "invalidation-cache"}
	segmented   = []string{"distributed-cache", "replicated-cache"}
	distributed = []string{"distributed-cache"}
	local       = []string{"local-cache"}
	mediaType   = []attribute{{name: "media-type", is: media}}
	never       = []string{"", "0", "-1", "false", "NONE", "none", "no", "off"}
)

// lack is an element that names a feature which is not here. Its attributes that switch it off do not ask for it.
func lack(name string, off ...attribute) group {
	return group{name: name, verdict: lacking, attrs: off}
}

// cacheSchema is everything that may stand in the element of a cache.
var cacheSchema = group{
	attrs: []attribute{
		{name: "name", is: name},
		{name: "configuration", is: template},
		{name: "mode", is: word, choices: []string{"SYNC", "ASYNC"}, def: "SYNC", only: clustered},
		{name: "owners", is: number, def: "2", low: 1, high: 1 << 10, only: distributed},
		{name: "segments", is: number, def: "256", low: 1, high: 1 << 15, only: segmented},
		{name: "capacity-factor", is: text, verdict: tuning, only: distributed},
		{name: "remote-timeout", is: duration, def: "15000", mutable: true, only: clustered},
		{name: "aliases", is: list, mutable: true},
		{name: "statistics", is: boolean, def: "false", mutable: true},
		{name: "simple-cache", is: boolean, def: "false", only: local},
		{name: "statistics-available", verdict: tuning},
		{name: "unreliable-return-values", verdict: tuning},
		{name: "start", verdict: tuning},
		{name: "module", verdict: tuning},
		{name: "jndi-name", verdict: tuning},
		{name: "l1-lifespan", verdict: tuning, only: distributed},
		{name: "l1-cleanup-interval", verdict: tuning, only: distributed},
		{name: "consistent-hash-factory", verdict: lacking, off: never, only: segmented},
		{name: "key-partitioner", verdict: lacking, off: never},
	},
	groups: []group{
		{name: "encoding", attrs: mediaType, groups: []group{{name: "key", attrs: mediaType}, {name: "value", attrs: mediaType}}},
		{name: "expiration", attrs: []attribute{
			{name: "lifespan", is: duration, def: "-1", mutable: true},
			{name: "max-idle", is: duration, def: "-1", mutable: true},
			{name: "interval", verdict: tuning},
			{name: "touch", verdict: tuning},
		}},
		{name: "memory", attrs: []attribute{
			{name: "storage", verdict: tuning},
			{name: "max-size", is: size, def: "-1", mutable: true},
			{name: "max-count", is: number, def: "-1", low: -1, high: math.MaxInt64, mutable: true},
			{name: "when-full", is: word, choices: []string{"NONE", "MANUAL", "REMOVE", "EXCEPTION"}, def: "NONE"},
			{name: "eviction-container", verdict: lacking, off: never},
		}},
		{name: "locking", verdict: tuning},
		{name: "state-transfer", verdict: tuning},
		{name: "query", verdict: tuning},
		lack("transaction", attribute{name: "mode", off: never}),
		lack("partition-handling", attribute{name: "when-split", off: []string{"ALLOW_READ_WRITES"}}, attribute{name: "merge-policy", off: never}),
		{name: "security", verdict: security},
		lack("persistence"),
		lack("indexing", attribute{name: "enabled", off: never}),
		lack("groups", attribute{name: "enabled", off: never}),
		lack("tracing", attribute{name: "enabled", off: never}),
		lack("backups"), lack("backup-for"), lack("custom-interceptors"), lack("index-reader"),
		lack("anchored-keys", attribute{name: "enabled", off: never}),
	},
}

// reader reads one cache.
type reader struct {
	cache *Cache
	left  []string // out: paths
}

func (r *reader) warnings() []string {
	if len(r.left) == 0 {
		return nil
	}
	return []string{"no effect here, left out: " + strings.Join(r.left, ", ")}
}

func (r *reader) read(f tree.Field) error {
	// A template comes first, whatever stands before it.
	if f.Value.Shape == tree.Mapping {
		for _, a := range f.Value.Fields {
			if kebab(a.Key) != "configuration" || a.Value.Shape != tree.Scalar {
				continue
			}
			t, ok := Template(a.Value.Text)
			switch {
			case !ok:
				return &Error{a.Line, a.Column, r.cache.Type + ".configuration", "ISPN000374", "No such template '" + a.Value.Text + "'"}
			case t.Type != r.cache.Type:
				return &Error{a.Line, a.Column, r.cache.Type + ".configuration", "", "the template is a " + t.Type}
			}
			r.cache.values = t.values
		}
	}
	said := map[string]bool{}
	if err := r.group(&cacheSchema, f, "", said); err != nil {
		return err
	}
	return r.whole(f, said)
}

// group reads the element of g below path.
func (r *reader) group(g *group, f tree.Field, path string, said map[string]bool) error {
	full := r.cache.Type + strings.TrimSuffix("."+path, ".")
	n := f.Value
	switch n.Shape {
	case tree.Null:
		return nil
	case tree.Mapping:
	default:
		return &Error{f.Line, f.Column, full, "", "want attributes and elements, got " + n.Shape.String()}
	}
	for _, c := range n.Fields {
		key := kebab(c.Key)
		if said[path+key] {
			return &Error{c.Line, c.Column, full + "." + key, "", "it is there twice"}
		}
		said[path+key] = true
		at := slices.IndexFunc(g.attrs, func(a attribute) bool { return a.name == key })
		if at >= 0 {
			if err := r.attribute(&g.attrs[at], c, path); err != nil {
				return err
			}
			continue
		}
		at = slices.IndexFunc(g.groups, func(a group) bool { return a.name == key })
		if at < 0 {
			return unknown(g, c, full)
		}
		sub, here := &g.groups[at], full+"."+key
		switch sub.verdict {
		case kept:
			if err := r.group(sub, c, path+key+".", said); err != nil {
				return err
			}
		case tuning:
			r.left = append(r.left, here)
		case security:
			return &Error{c.Line, c.Column, here, "", "there is no authorization yet: whoever reaches the port may do everything. Leave the element out, and restrict who may connect"}
		case lacking:
			if !unwanted(sub, c.Value) {
				return &Error{c.Line, c.Column, here, "", "this feature is not supported yet"}
			}
			r.left = append(r.left, here)
		}
	}
	return nil
}

// unwanted tells whether an element says that its feature is not wanted.
func unwanted(g *group, n *tree.Node) bool {
	if n.Shape != tree.Mapping || len(n.Fields) == 0 || len(g.attrs) == 0 {
		return false
	}
	for _, f := range n.Fields {
		at := slices.IndexFunc(g.attrs, func(a attribute) bool { return a.name == kebab(f.Key) })
		if at < 0 || f.Value.Shape != tree.Scalar || !slices.Contains(g.attrs[at].off, f.Value.Text) {
			return false
		}
	}
	return true
}

func unknown(g *group, f tree.Field, above string) error {
	var known []string
	for _, a := range g.attrs {
		known = append(known, a.name)
	}
	for _, e := range g.groups {
		known = append(known, e.name)
	}
	what, code := "attribute", ""
	if f.Value.Shape == tree.Mapping || f.Value.Shape == tree.Null {
		what, code = "element", "ISPN000327"
	}
	return &Error{f.Line, f.Column, above + "." + f.Key, code, "unknown " + what + "; known here: " + strings.Join(known, ", ")}
}

func (r *reader) attribute(a *attribute, f tree.Field, path string) error {
	full := r.cache.Type + "." + path + a.name
	fail := func(code, format string, args ...any) error {
		return &Error{f.Line, f.Column, full, code, fmt.Sprintf(format, args...)}
	}
	if len(a.only) > 0 && !slices.Contains(a.only, r.cache.Type) {
		return fail("", "a %s has no such attribute", r.cache.Type)
	}
	var words []string
	switch n := f.Value; {
	case n.Shape == tree.Null && a.is == list: // as an empty one is written in YAML
	case n.Shape == tree.Scalar && a.is == list:
		words = strings.Fields(n.Text)
	case n.Shape == tree.Scalar:
		words = []string{n.Text}
	case n.Shape == tree.List && a.is == list:
		for _, e := range n.List {
			if e.Shape != tree.Scalar || len(strings.Fields(e.Text)) != 1 {
				return fail("", "want words without spaces")
			}
			words = append(words, e.Text)
		}
	default:
		return fail("", "want a value, got %v", n.Shape)
	}
	given := strings.Join(words, " ")
	switch {
	case a.verdict == tuning:
		r.left = append(r.left, full)
		return nil
	case a.verdict == lacking && !slices.Contains(a.off, given):
		return fail("", "this feature is not supported yet")
	case a.verdict == lacking, a.is == template:
		return nil
	case a.is == name:
		r.cache.Name = given
		return nil
	}
	v, err := a.parse(given)
	if err != nil {
		return fail("ISPN000686", "illegal value %q: %v", given, err)
	}
	r.cache.values[path+a.name] = v
	return nil
}

var truths = map[string]string{
	"true": "true", "yes": "true", "y": "true", "on": "true", "false": "false", "no": "false", "n": "false", "off": "false",
}

// parse judges a value, and brings it into its normal form; times and sizes keep their units.
func (a *attribute) parse(s string) (string, error) {
	switch a.is {
	case boolean:
		if v, ok := truths[strings.ToLower(s)]; ok {
			return v, nil
		}
		return "", fmt.Errorf("want true or false")
	case number:
		n, err := strconv.ParseInt(s, 10, 64)
		switch {
		case err != nil:
			return "", fmt.Errorf("want a number")
		case n < a.low || n > a.high:
			return "", fmt.Errorf("want a number from %d to %d", a.low, a.high)
		}
		return strconv.FormatInt(n, 10), nil
	case duration:
		if _, ok := quantity(s, durations); !ok {
			return "", fmt.Errorf("want a time: milliseconds, or a number with ms, s, m, h or d; -1 for never")
		}
	case size:
		if _, ok := quantity(s, sizes); !ok {
			return "", fmt.Errorf("want a size: bytes, or a number with KB, MB, GB, TB, KiB, MiB, GiB or TiB; -1 for none")
		}
	case word:
		if up := strings.ToUpper(s); slices.Contains(a.choices, up) {
			return up, nil
		}
		return "", fmt.Errorf("want %s", strings.Join(a.choices, " or "))
	case media:
		kind, sub, ok := strings.Cut(s, "/")
		if !ok || kind == "" || sub == "" || strings.ContainsAny(s, "\r\n\t\"<>\\") || len(s) > 256 {
			return "", fmt.Errorf("want a media type such as text/plain")
		}
	}
	for _, c := range s {
		if c < ' ' || c == 0x7f || c == '\uFFFD' {
			return "", fmt.Errorf("it has characters that do not show")
		}
	}
	return s, nil
}

var (
	durations = map[string]int64{"": 1, "ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
	sizes     = map[string]int64{
		"": 1, "b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40,
	}
)

// quantity reads a number with a unit, or -1.
func quantity(s string, units map[string]int64) (n int64, ok bool) {
	if s == "-1" {
		return -1, true
	}
	digits := strings.TrimRight(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
	unit, known := units[strings.ToLower(strings.TrimSpace(s[len(digits):]))]
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || !known || n < 0 || n > math.MaxInt64/2/unit {
		return 0, false
	}
	return n * unit, true
}

// int is what a value that counts means.
func (a *attribute) int(s string) (n int64, ok bool) {
	switch a.is {
	case duration:
		return quantity(s, durations)
	case size:
		return quantity(s, sizes)
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// same tells whether two values mean the same.
func (a *attribute) same(s, t string) bool {
	if a.is != duration && a.is != size {
		return s == t
	}
	n, _ := a.int(s)
	m, _ := a.int(t)
	return n == m
}

// whole judges what no attribute can judge alone.
func (r *reader) whole(f tree.Field, said map[string]bool) error {
	if err := r.cache.consistent(); err != nil {
		err.Line, err.Column = f.Line, f.Column
		return err
	}
	if c := r.cache; c.Bounded() && (c.Value("memory.when-full") == "NONE" || c.Value("memory.when-full") == "MANUAL") && said["memory.when-full"] {
		r.left = append(r.left, c.Type+".memory.when-full (a bounded cache evicts)")
		delete(c.values, "memory.when-full")
	}
	return nil
}

// Bounded tells whether the cache has a bound of its own.
func (c *Cache) Bounded() bool { return c.Int("memory.max-count") > 0 || c.Int("memory.max-size") > 0 }

func (c *Cache) consistent() *Error {
	switch life, idle := c.Int("expiration.lifespan"), c.Int("expiration.max-idle"); {
	case c.Int("memory.max-count") > 0 && c.Int("memory.max-size") > 0:
		return &Error{0, 0, c.Type + ".memory", "ISPN000583", "Cannot configure both maxCount and maxSize in memory configuration"}
	case life > 0 && idle >= life:
		return &Error{0, 0, c.Type + ".expiration", "ISPN000705", "Max idle value must be less than lifespan when configured"}
	case c.Value("memory.when-full") == "EXCEPTION" && !c.Bounded():
		return &Error{0, 0, c.Type + ".memory.when-full", "", "EXCEPTION needs max-count or max-size"}
	case len(c.Aliases()) > maxAliases:
		return &Error{0, 0, c.Type + ".aliases", "", fmt.Sprintf("there are more than %d", maxAliases)}
	}
	return nil
}

// maxAliases bounds the other names of one cache.
const maxAliases = 32
