package tree_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/latticed/latticed/conf/tree"
)

var readers = map[string]func([]byte) (*tree.Node, error){"yaml": tree.YAML, "json": tree.JSON, "xml": tree.XML}

// render writes a node with the lines of its keys.
func render(n *tree.Node) string {
	switch {
	case n == nil:
		return "-"
	case n.Shape == tree.Null:
		return "null"
	case n.Shape == tree.Scalar:
		return fmt.Sprintf("%q", n.Text)
	}
	var parts []string
	for _, e := range n.List {
		parts = append(parts, render(e))
	}
	for _, f := range n.Fields {
		parts = append(parts, fmt.Sprintf("%s@%d:%d=%s", f.Key, f.Line, f.Column, render(f.Value)))
	}
	return "{" + strings.Join(parts, " ") + "}"
}

func TestReaders(t *testing.T) {
	for _, c := range []struct{ format, in, want string }{
		{"json", `{"a":{"b":1,"c":true,"d":null,"e":["x",2.50]},"a":"é\n"}`, `{a@1:2={b@1:7="1" c@1:13="true" d@1:22=null e@1:31={"x" "2.50"}} a@1:47="é\n"}`},
		{"json", "{\n  \"a\" : {}\n}", `{a@2:3={}}`},
		{"json", " ", "-"},
		{"json", `[]`, `{}`},
		{"json", `{"a":`, "line 1, column 6: Reached end of input"},
		{"json", `{"a":1`, "line 1, column 7: Reached end of input"},
		{"json", "{\"a\":1}\n{}", "something follows the end of the document"},
		{"json", "{\n1}", "line 2, column"},
		{"json", `{"a":1 "b":2}`, "invalid JSON"},
		{"yaml", "a:\n  b: 1\n  c: [x, '2']\n  d:\n", `{a@1:1={b@2:3="1" c@3:3={"x" "2"} d@4:3=null}}`},
		{"yaml", "a: &x 1\nb: *x\n", "not supported here"},
		{"yaml", "a: !!int 1\n", "not supported here"},
		{"yaml", "a: 1\n---\nb: 2\n", "line 3, column"},
		{"yaml", "# nothing\n", "-"},
		{"yaml", "--- \n...\n", "-"},
		{"yaml", "a: 1\n--- \n", `{a@1:1="1"}`},
		{"yaml", "a: {<<: {b: 1}}\n", "a merge (<<) is not supported here"},
		{"yaml", "a: 1\na: 2\n", `line 2, column 1: the key "a" is there twice`},
		{"yaml", "a: ~\nb: ''\n0700: 0x1_0\n", `{a@1:1=null b@2:1="" 0700@3:1="0x1_0"}`},
		{"yaml", "a: |\n  b\n  c\nd: >-\n  e\n  f\n", `{a@1:1="b\nc\n" d@4:1="e f"}`},
		{"yaml", "[a]: 1\n", "a key must be a word"},
		{"yaml", "a: b: c\n", "line 1, column 1: mapping values are not allowed"},
		{"yaml", "a: 1\nb: \"\n", "line 2, column 1: found unexpected end of stream"},
		{"yaml", "a:\n\tb: 1\n", "line 2, column 1: found character that cannot start anything here; if it is a tab, indent with spaces"},
		{"yaml", "a: \x00\n", "control characters are not allowed"},
		{"yaml", "a: \xff\n", "invalid"},
		{"xml", `<?xml version="1.0"?><a xmlns="urn:x" xmlns:p="urn:y" b="1" p:c="&lt;2"><!-- no --><d/><e> t </e></a>`, `{a@1:22={b@1:22="1" c@1:22="<2" d@1:84={} e@1:88="t"}}`},
		{"xml", "<a>\n  <b c='1'/>\n</a>", `{a@1:1={b@2:3={c@2:3="1"}}}`},
		{"xml", "", "-"},
		{"xml", "<a>", "invalid XML: unexpected EOF"},
		{"xml", "<a></b>", "invalid XML"},
		{"xml", "<a/><b/>", "second root"},
		{"xml", "<a/>b", "text outside"},
		{"xml", "<a b='1'>c</a>", "text beside"},
		{"xml", `<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>`, "document types"},
		{"xml", `<a>&b;</a>`, "invalid XML: invalid character entity &b;"},
		{"xml", `<?xml version="1.0" encoding="UTF-16"?><a/>`, "encoding"},
	} {
		n, err := readers[c.format]([]byte(c.in))
		got := ""
		if err == nil {
			got = render(n)
		}
		if err != nil && strings.Contains(err.Error(), c.want) {
			continue
		}
		if err != nil || got != c.want {
			t.Errorf("%s %q: got %s, %v, want %s", c.format, c.in, got, err, c.want)
		}
	}
}

// What is nested for its own sake, or larger than any configuration, is refused soon.
func TestBounds(t *testing.T) {
	for format, in := range map[string]string{
		"json": strings.Repeat("[", 200_000), "json object": strings.Repeat(`{"a":`, 100_000),
		"xml": strings.Repeat("<a>", 200_000), "yaml flow": strings.Repeat("[", 200_000), "yaml list": strings.Repeat("- ", 200_000),
		"yaml map": strings.Repeat("? ", 200_000), "yaml object": strings.Repeat("{a: ", 100_000),
		"xml large":  "<a>" + strings.Repeat("a", tree.MaxBytes) + "</a>",
		"yaml large": "a: " + strings.Repeat("a", tree.MaxBytes),
	} {
		read := readers[strings.Fields(format)[0]]
		began := time.Now()
		if n, err := read([]byte(in)); err == nil {
			t.Errorf("%s: got %v", format, n.Shape)
		} else {
			t.Log(format, time.Since(began), err)
		}
	}
}

// Of JSON a document may be as large as whoever reads it says, such as that of all caches. Were each value's place sought from the
// document's beginning, this one would take a quarter of an hour.
func TestLargeJSON(t *testing.T) {
	const values = 1 << 20
	n, err := tree.JSON([]byte("[" + strings.Repeat("1,", values-1) + "\n1]"))
	if err != nil || len(n.List) != values {
		t.Fatalf("got %v", err)
	}
	if last := n.List[values-1]; last.Line != 2 || last.Column != 1 {
		t.Errorf("the last value is at line %d, column %d", last.Line, last.Column)
	}
}

// Nor does YAML take time by the square of a document's length. With a parser that does, these would take hours.
func TestLargeYAML(t *testing.T) {
	for name, text := range map[string]string{
		"breaks in a literal": "a: |\n  " + strings.Repeat("\r", 1_000_000), "blank lines in a literal": "a: |\n  " + strings.Repeat("\n  ", 250_000) + "x\n",
		"tabs in quotes": "a: \"" + strings.Repeat("-\t", 500_000) + "\"\n", "keys": keys(60_000), "a list": strings.Repeat("- a\n", 250_000),
	} {
		if n, err := tree.YAML([]byte(text)); err != nil || n.Shape == tree.Scalar {
			t.Errorf("%s: got %v, %v", name, n, err)
		}
	}
}

func keys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "a%d: {b: 1}\n", i)
	}
	return b.String()
}

func FuzzReaders(f *testing.F) {
	for _, s := range []string{`{"a":[1,{"b":null}]}`, "a: {b: [1, 2]}\nc: |\n  x\n", `<a b="1"><c>d</c></a>`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		for format, read := range readers {
			n, err := read(in)
			if err == nil && n != nil {
				check(t, format, n, 0)
			}
		}
	})
}

func check(t *testing.T, format string, n *tree.Node, depth int) {
	if depth > 200 || n == nil || n.Shape > tree.Null || n.Shape != tree.List && len(n.List) > 0 || n.Shape != tree.Mapping && len(n.Fields) > 0 {
		t.Fatalf("%s: depth %d, node %+v", format, depth, n)
	}
	for _, e := range n.List {
		check(t, format, e, depth+1)
	}
	for _, f := range n.Fields {
		check(t, format, f.Value, depth+1)
	}
}
