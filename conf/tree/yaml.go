package tree

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// YAML reads a document. An empty one is nil. Anchors, aliases, merges and tags are refused: nothing here needs them, and a
// reader should see each value where it counts.
func YAML(data []byte) (*Node, error) {
	if err := tooLarge(data); err != nil {
		return nil, err
	}
	var body *yaml.Node
	for d := yaml.NewDecoder(bytes.NewReader(data)); ; {
		var doc yaml.Node
		err := d.Decode(&doc)
		switch {
		case errors.Is(err, io.EOF) && body == nil:
			return nil, nil
		case errors.Is(err, io.EOF):
			return convert(body, 0)
		case err != nil:
			return nil, plain(err)
		}
		root := doc.Content[0]
		switch {
		case isNull(root) && root.Value == "": // between two lines of dashes, say
		case body != nil:
			return nil, &Error{root.Line, root.Column, "a second document begins; one is wanted"}
		default:
			body = root
		}
	}
}

// plain takes an error of the library apart, which writes the line into the text, but not the first one.
func plain(err error) *Error {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	text = strings.Replace(text, "cannot start any token", "cannot start anything here; if it is a tab, indent with spaces", 1)
	if at, rest, ok := strings.Cut(strings.TrimPrefix(text, "line "), ": "); ok && strings.HasPrefix(text, "line ") {
		if line, err := strconv.Atoi(at); err == nil && line > 0 {
			return &Error{line, 1, rest}
		}
	}
	return &Error{1, 1, text}
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

func convert(n *yaml.Node, depth int) (*Node, error) {
	out := &Node{Line: n.Line, Column: n.Column}
	unsupported := func(what string) error { return &Error{n.Line, n.Column, what + " is not supported here"} }
	switch {
	case depth > maxDepth:
		return nil, tooDeep(n.Line, n.Column)
	case n.Kind == yaml.AliasNode:
		return nil, unsupported("an alias (*" + n.Value + ")")
	case n.Anchor != "":
		return nil, unsupported("an anchor (&" + n.Anchor + ")")
	case n.Style&yaml.TaggedStyle != 0:
		return nil, unsupported("a tag (" + n.ShortTag() + ")")
	case isNull(n):
		out.Shape = Null
	case n.Kind == yaml.ScalarNode:
		if n.ShortTag() == "!!merge" {
			return nil, unsupported("a merge (<<)")
		}
		out.Text = n.Value // as written: 0700 is not 448
	case n.Kind == yaml.SequenceNode:
		out.Shape = List
		for _, v := range n.Content {
			e, err := convert(v, depth+1)
			if err != nil {
				return nil, err
			}
			out.List = append(out.List, e)
		}
	case n.Kind == yaml.MappingNode:
		out.Shape = Mapping
		seen := make(map[string]struct{})
		for i := 0; i < len(n.Content); i += 2 {
			key, err := convert(n.Content[i], depth+1)
			if err != nil {
				return nil, err
			}
			if key.Shape != Scalar {
				return nil, &Error{key.Line, key.Column, "a key must be a word"}
			}
			if _, twice := seen[key.Text]; twice {
				return nil, &Error{key.Line, key.Column, fmt.Sprintf("the key %q is there twice", key.Text)}
			}
			seen[key.Text] = struct{}{}
			value, err := convert(n.Content[i+1], depth+1)
			if err != nil {
				return nil, err
			}
			out.Fields = append(out.Fields, Field{key.Text, key.Line, key.Column, value})
		}
	default:
		return nil, unsupported("this")
	}
	return out, nil
}
