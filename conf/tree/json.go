package tree

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
)

// JSON reads a document. An empty one is nil. How large it may be is for the caller to say; the time that it takes is in
// proportion.
func JSON(data []byte) (*Node, error) {
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, nil
	}
	r := &jsonReader{data: data, d: json.NewDecoder(bytes.NewReader(data)), line: 1, column: 1}
	r.d.UseNumber()
	n, err := r.value(0)
	if err != nil {
		return nil, err
	}
	if _, err := r.d.Token(); !errors.Is(err, io.EOF) {
		return nil, r.fail("something follows the end of the document")
	}
	return n, nil
}

type jsonReader struct {
	data []byte
	d    *json.Decoder

	at, line, column int // a place that was asked for, from where the next one is sought
}

// place turns an offset into line and column. It is not before those that were asked for.
func (r *jsonReader) place(offset int) (line, column int) {
	for ; r.at < min(offset, len(r.data)); r.at++ {
		if r.column++; r.data[r.at] == '\n' {
			r.line, r.column = r.line+1, 1
		}
	}
	return r.line, r.column
}

func (r *jsonReader) fail(text string) error {
	line, column := r.place(int(r.d.InputOffset()))
	return &Error{line, column, text}
}

func (r *jsonReader) token() (json.Token, error) {
	t, err := r.d.Token()
	if err == nil {
		return t, nil
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		line, column := r.place(len(r.data))
		return nil, &Error{line, column, "Reached end of input"}
	}
	line, column := r.begin()
	return nil, &Error{line, column, "invalid JSON: " + err.Error()}
}

// begin is where the next token begins.
func (r *jsonReader) begin() (line, column int) {
	at := int(r.d.InputOffset())
	for at < len(r.data) && bytes.IndexByte([]byte(" \t\r\n,:"), r.data[at]) >= 0 {
		at++
	}
	return r.place(at)
}

func (r *jsonReader) value(depth int) (*Node, error) {
	n := new(Node)
	n.Line, n.Column = r.begin()
	if depth > maxDepth {
		return nil, tooDeep(n.Line, n.Column)
	}
	t, err := r.token()
	if err != nil {
		return nil, err
	}
	switch t := t.(type) {
	case nil:
		n.Shape = Null
	case bool:
		n.Text = "false"
		if t {
			n.Text = "true"
		}
	case json.Number:
		n.Text = t.String()
	case string:
		n.Text = t
	case json.Delim:
		if t == '[' {
			n.Shape = List
			for r.d.More() {
				e, err := r.value(depth + 1)
				if err != nil {
					return nil, err
				}
				n.List = append(n.List, e)
			}
		} else {
			n.Shape = Mapping
			for r.d.More() {
				var f Field
				f.Line, f.Column = r.begin()
				key, err := r.token()
				if err != nil {
					return nil, err
				}
				f.Key, _ = key.(string) // in an object the decoder takes nothing else for a key
				if f.Value, err = r.value(depth + 1); err != nil {
					return nil, err
				}
				n.Fields = append(n.Fields, f)
			}
		}
		if _, err := r.token(); err != nil {
			return nil, err
		}
	}
	return n, nil
}
