package tree

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
)

// XML reads a document: a mapping whose one field is the root element. An empty one is nil. Entities other than XML's own
// five, and whatever declares them, are refused, so nothing in a document is larger than it looks; namespaces mean nothing.
func XML(data []byte) (*Node, error) {
	if err := tooLarge(data); err != nil {
		return nil, err
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, nil
	}
	r := &xmlReader{xml.NewDecoder(bytes.NewReader(data))}
	doc := &Node{Shape: Mapping, Line: 1, Column: 1}
	for {
		line, column := r.d.InputPos()
		t, err := r.token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		switch t := t.(type) {
		case xml.StartElement:
			if len(doc.Fields) > 0 {
				return nil, &Error{line, column, "a second root element begins; one is wanted"}
			}
			e, err := r.element(t, line, column, 0)
			if err != nil {
				return nil, err
			}
			doc.Fields = append(doc.Fields, Field{t.Name.Local, line, column, e})
		case xml.CharData:
			if len(bytes.TrimSpace(t)) > 0 {
				return nil, &Error{line, column, "text outside of the root element"}
			}
		}
	}
	if len(doc.Fields) == 0 {
		return nil, nil
	}
	return doc, nil
}

type xmlReader struct{ d *xml.Decoder }

func (r *xmlReader) token() (xml.Token, error) {
	t, err := r.d.Token()
	line, column := r.d.InputPos()
	switch {
	case errors.Is(err, io.EOF):
		return nil, err
	case err != nil:
		text := err.Error()
		if e := (*xml.SyntaxError)(nil); errors.As(err, &e) {
			text = e.Msg
		}
		return nil, &Error{line, column, "invalid XML: " + text}
	}
	if _, ok := t.(xml.Directive); ok {
		return nil, &Error{line, column, "document types and their entities are not read"}
	}
	return t, nil
}

// element reads what follows a start tag, up to its end.
func (r *xmlReader) element(start xml.StartElement, line, column, depth int) (*Node, error) {
	if depth > maxDepth {
		return nil, tooDeep(line, column)
	}
	n := &Node{Shape: Mapping, Line: line, Column: column}
	for _, a := range start.Attr {
		if a.Name.Space == "xmlns" || a.Name.Space == "" && a.Name.Local == "xmlns" || a.Name.Local == "schemaLocation" {
			continue
		}
		n.Fields = append(n.Fields, Field{a.Name.Local, line, column, &Node{Line: line, Column: column, Text: a.Value}})
	}
	var text strings.Builder
	for {
		line, column := r.d.InputPos()
		t, err := r.token()
		if errors.Is(err, io.EOF) {
			return nil, &Error{line, column, "Reached end of input"}
		}
		if err != nil {
			return nil, err
		}
		switch t := t.(type) {
		case xml.StartElement:
			e, err := r.element(t, line, column, depth+1)
			if err != nil {
				return nil, err
			}
			n.Fields = append(n.Fields, Field{t.Name.Local, line, column, e})
		case xml.CharData:
			text.Write(t)
		case xml.EndElement:
			s := strings.TrimSpace(text.String())
			switch {
			case s == "":
			case len(n.Fields) > 0:
				return nil, &Error{line, column, "text beside attributes or elements in <" + start.Name.Local + ">"}
			default:
				n.Shape, n.Text = Scalar, s
			}
			return n, nil
		}
	}
}
