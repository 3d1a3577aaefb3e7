// Package tree reads documents in YAML, JSON and XML into one kind of node that knows where it stood, so that what a
// configuration means is written down once, whatever format it came in. It judges nothing but form and size.
package tree

import "fmt"

// Bounds of a document. What is larger or deeper is another file given by mistake, or malice.
const (
	MaxBytes = 1 << 20
	maxDepth = 64
)

// Node is one value of a document. An XML element is a mapping of its attributes and children, in this order; one with
// nothing but text is a scalar.
type Node struct {
	Shape        Shape
	Line, Column int
	Text         string // of a scalar, as it was written
	List         []*Node
	Fields       []Field // of a mapping, in order; keys may be repeated
}

// Field is a key of a mapping and its value.
type Field struct {
	Key          string
	Line, Column int
	Value        *Node
}

// Shape is what kind of value a Node is.
type Shape uint8

// The shapes.
const (
	Scalar Shape = iota
	List
	Mapping
	Null
)

func (s Shape) String() string {
	return [...]string{"one value", "a list", "keys with values", "nothing"}[s]
}

// Error is a problem at a place of a document.
type Error struct {
	Line, Column int // from 1
	Text         string
}

func (e *Error) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Text)
}

func tooLarge(data []byte) error {
	if len(data) > MaxBytes {
		return &Error{1, 1, fmt.Sprintf("the document is larger than %d bytes", MaxBytes)}
	}
	return nil
}

func tooDeep(line, column int) error {
	return &Error{line, column, fmt.Sprintf("nested deeper than %d levels", maxDepth)}
}
