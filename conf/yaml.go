package conf

import (
	"errors"
	"fmt"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// node is one value of a configuration document, whatever format it was written in.
type node struct {
	shape  shape
	line   int
	text   string // of a scalar
	list   []*node
	fields []field
}

type field struct {
	key   string
	line  int
	value *node
}

type shape uint8

const (
	scalar shape = iota
	list
	mapping
	null
)

func (s shape) String() string {
	return [...]string{"one value", "a list", "keys with values", "nothing"}[s]
}

// lineError is a problem at a place of a file.
type lineError struct {
	line int
	text string
}

func (e *lineError) Error() string { return e.text }

// parseYAML reads a document. An empty one is nil. Anchors, aliases and tags are refused: nothing here needs them, and
// a reader should see each value where it counts.
func parseYAML(data []byte) (*node, error) {
	f, err := parser.ParseBytes(data, 0)
	if err != nil {
		if e := yaml.Error(nil); errors.As(err, &e) && e.GetToken() != nil {
			return nil, &lineError{e.GetToken().Position.Line, e.GetMessage()}
		}
		return nil, &lineError{1, err.Error()}
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
			return nil, &lineError{lineOf(d.Body), "a second document begins; one is wanted"}
		}
		body = d.Body
	}
	if body == nil {
		return nil, nil
	}
	return convert(body)
}

func lineOf(n ast.Node) int {
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line
	}
	return 1
}

func convert(n ast.Node) (*node, error) {
	if n == nil {
		return &node{shape: null, line: 1}, nil
	}
	out := &node{line: lineOf(n)}
	switch n := n.(type) {
	case *ast.NullNode:
		out.shape = null
	case *ast.MappingNode:
		out.shape = mapping
		for _, v := range n.Values {
			if err := out.add(v); err != nil {
				return nil, err
			}
		}
	case *ast.MappingValueNode:
		out.shape = mapping
		if err := out.add(n); err != nil {
			return nil, err
		}
	case *ast.SequenceNode:
		out.shape = list
		for _, v := range n.Values {
			e, err := convert(v)
			if err != nil {
				return nil, err
			}
			out.list = append(out.list, e)
		}
	case *ast.LiteralNode:
		out.text = n.Value.Value
	case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		out.text = n.GetToken().Value // as written: 0700 is not 448
	default:
		return nil, &lineError{out.line, fmt.Sprintf("%s is not supported here", n.Type())}
	}
	return out, nil
}

func (n *node) add(v *ast.MappingValueNode) error {
	key, err := convert(v.Key)
	if err != nil {
		return err
	}
	if key.shape != scalar {
		return &lineError{key.line, "a key must be a word"}
	}
	value, err := convert(v.Value)
	if err != nil {
		return err
	}
	n.fields = append(n.fields, field{key.text, key.line, value})
	return nil
}
