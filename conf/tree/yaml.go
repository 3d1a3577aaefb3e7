package tree

import (
	"errors"
	"fmt"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// YAML reads a document. An empty one is nil. Anchors, aliases and tags are refused: nothing here needs them, and a reader
// should see each value where it counts.
func YAML(data []byte) (*Node, error) {
	if err := tooLarge(data); err != nil {
		return nil, err
	}
	if line, column := deep(data); line > 0 {
		return nil, tooDeep(line, column)
	}
	f, err := parser.ParseBytes(data, 0)
	if err != nil {
		if e := yaml.Error(nil); errors.As(err, &e) && e.GetToken() != nil {
			return nil, &Error{e.GetToken().Position.Line, e.GetToken().Position.Column, e.GetMessage()}
		}
		return nil, &Error{1, 1, err.Error()}
	}
	var body ast.Node
	for _, d := range f.Docs {
		if d.Body == nil {
			continue
		}
		if _, ok := d.Body.(*ast.DirectiveNode); ok {
			continue
		}
		if body != nil {
			line, column := placeOf(d.Body)
			return nil, &Error{line, column, "a second document begins; one is wanted"}
		}
		body = d.Body
	}
	if body == nil {
		return nil, nil
	}
	return convert(body, 0)
}

// deep finds where a document looks deeper than it may be, before the parser, which takes time by the square of that,
// sees it: brackets within brackets, also in quotes, or a line of dashes.
func deep(data []byte) (line, column int) {
	brackets, dashes, begun := 0, 0, false
	for i, c := range data {
		switch c {
		case '\n':
			dashes, begun = 0, false
		case '[', '{':
			brackets++
		case ']', '}':
			brackets = max(0, brackets-1)
		case ' ', '\t':
		case '-', '?':
			if !begun {
				dashes++
			}
		}
		begun = begun || c != ' ' && c != '\t' && c != '-' && c != '?' && c != '\n'
		if brackets > maxDepth || dashes > maxDepth && !begun && i+1 < len(data) && data[i+1] == ' ' {
			return position(data, int64(i))
		}
	}
	return 0, 0
}

func placeOf(n ast.Node) (line, column int) {
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line, t.Position.Column
	}
	return 1, 1
}

func convert(n ast.Node, depth int) (*Node, error) {
	if n == nil {
		return &Node{Shape: Null, Line: 1, Column: 1}, nil
	}
	out := new(Node)
	out.Line, out.Column = placeOf(n)
	if depth > maxDepth {
		return nil, tooDeep(out.Line, out.Column)
	}
	switch n := n.(type) {
	case *ast.NullNode:
		out.Shape = Null
	case *ast.MappingNode:
		out.Shape = Mapping
		for _, v := range n.Values {
			if err := out.add(v, depth); err != nil {
				return nil, err
			}
		}
	case *ast.MappingValueNode:
		out.Shape = Mapping
		if err := out.add(n, depth); err != nil {
			return nil, err
		}
	case *ast.SequenceNode:
		out.Shape = List
		for _, v := range n.Values {
			e, err := convert(v, depth+1)
			if err != nil {
				return nil, err
			}
			out.List = append(out.List, e)
		}
	case *ast.LiteralNode:
		out.Text = n.Value.Value
	case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		out.Text = n.GetToken().Value // as written: 0700 is not 448
	default:
		return nil, &Error{out.Line, out.Column, fmt.Sprintf("%s is not supported here", n.Type())}
	}
	return out, nil
}

func (n *Node) add(v *ast.MappingValueNode, depth int) error {
	key, err := convert(v.Key, depth+1)
	if err != nil {
		return err
	}
	if key.Shape != Scalar {
		return &Error{key.Line, key.Column, "a key must be a word"}
	}
	value, err := convert(v.Value, depth+1)
	if err != nil {
		return err
	}
	n.Fields = append(n.Fields, Field{key.Text, key.Line, key.Column, value})
	return nil
}
