package conf

import (
	"fmt"
	"slices"
	"strings"

	"github.com/latticed/latticed/conf/tree"
)

// CORSRule says what pages of some origins may do, as Infinispan's rules of that name.
type CORSRule struct {
	Name        string
	Origins     []string // such as https://app.example.com; `*` for any
	Methods     []string
	Headers     []string // of requests, that pages may set
	Expose      []string // of answers, that pages may read
	Credentials bool
	MaxAge      int // seconds that a browser may go by the answer to its question
}

// maxCORSAge is more than any browser heeds.
const maxCORSAge = 7 * 24 * 3600

// methods that a rule can name.
var methods = []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"}

// corsKeys are the keys of one element of http.cors-rules.
var corsKeys = []key[CORSRule]{
	{
		name: "name",
		set:  func(r *CORSRule, t []string) error { r.Name = t[0]; return nil },
		show: func(r *CORSRule) []string { return []string{r.Name} },
	}, {
		name: "allowed-origins", list: true,
		set: func(r *CORSRule, t []string) error {
			r.Origins = t
			return checkOrigins(slices.DeleteFunc(slices.Clone(t), func(o string) bool { return o == "*" }))
		},
		show: func(r *CORSRule) []string { return slices.Clone(r.Origins) },
	}, {
		name: "allowed-methods", list: true,
		set: func(r *CORSRule, t []string) error {
			for _, m := range t {
				if err := oneOf(new(string), m, methods...); err != nil {
					return err
				}
			}
			r.Methods = t
			return nil
		},
		show: func(r *CORSRule) []string { return slices.Clone(r.Methods) },
	},
	fieldsKey("allowed-headers", func(r *CORSRule) *[]string { return &r.Headers }),
	fieldsKey("expose-headers", func(r *CORSRule) *[]string { return &r.Expose }),
	{
		name: "allow-credentials",
		set: func(r *CORSRule, t []string) error {
			word := ""
			err := oneOf(&word, t[0], "true", "false")
			r.Credentials = word == "true"
			return err
		},
		show: func(r *CORSRule) []string { return []string{fmt.Sprint(r.Credentials)} },
	}, {
		name: "max-age-seconds",
		set: func(r *CORSRule, t []string) (err error) {
			r.MaxAge, err = numberBetween(t[0], 0, maxCORSAge)
			return err
		},
		show: func(r *CORSRule) []string { return []string{fmt.Sprint(r.MaxAge)} },
	},
}

// fieldsKey is a key for names of header fields.
func fieldsKey(name string, in func(*CORSRule) *[]string) key[CORSRule] {
	return key[CORSRule]{
		name: name, list: true,
		set: func(r *CORSRule, t []string) error {
			for _, f := range t {
				if f == "" || strings.ContainsFunc(f, func(c rune) bool { return c <= ' ' || c > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, c) }) {
					return fmt.Errorf("want the name of a header field, got %q", f)
				}
			}
			*in(r) = t
			return nil
		},
		show: func(r *CORSRule) []string { return slices.Clone(*in(r)) },
	}
}

func checkOrigins(list []string) error {
	for _, o := range list {
		scheme, host, ok := strings.Cut(o, "://")
		if !ok || scheme == "" || host == "" || strings.ContainsAny(host, "/* \t") {
			return fmt.Errorf("want an origin such as https://app.example.com, got %q", o)
		}
	}
	return nil
}

func decodeCORS(d *decoder, c *Config, name string, n *tree.Node) {
	if n.Shape != tree.List {
		d.fail(n.Line, name, "want a list such as [{allowed-origins: [https://app.example.com], allowed-methods: [GET]}], got %s", n.Shape)
		return
	}
	c.HTTP.CORS = nil
	for i, e := range n.List {
		r, here := CORSRule{}, fmt.Sprintf("%s[%d]", name, i)
		errs := len(d.errs)
		decode(d, e, here, "", corsKeys, &r, func(*key[CORSRule], int) {})
		switch {
		case len(d.errs) > errs:
		case len(r.Origins) == 0:
			d.fail(e.Line, here, "allowed-origins are missing")
		case len(r.Methods) == 0:
			d.fail(e.Line, here, "allowed-methods are missing")
		case r.Credentials && slices.Contains(r.Origins, "*"):
			d.fail(e.Line, here, "allow-credentials would give the pages of anybody what the user may; name the origins instead of *")
		}
		c.HTTP.CORS = append(c.HTTP.CORS, r)
	}
}

// lines shows a rule.
func (r *CORSRule) lines() []line {
	var lines []line
	var above string
	for i := range corsKeys {
		k := &corsKeys[i]
		if !slices.Equal(k.show(r), k.show(&CORSRule{})) {
			lines = nest(lines, 4, &above, k.name, k.yaml(r), "")
		}
	}
	lines[0].indent, lines[0].text = 3, "- "+lines[0].text
	return lines
}
