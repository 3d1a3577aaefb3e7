package conf

import "fmt"

// Kind is a kind of source.
type Kind uint8

// The kinds, the weakest first.
const (
	Default Kind = iota
	File
	Env
	Flag
)

// Origin is where a value came from.
type Origin struct {
	Kind Kind
	Name string // path of the file, name of the variable or flag; for a default how it is found, if that needs words
	Line int    // in the file
}

func (o Origin) String() string {
	switch o.Kind {
	case File:
		return fmt.Sprintf("%s:%d", o.Name, o.Line)
	case Env:
		return "environment " + o.Name
	case Flag:
		return "flag --" + o.Name
	}
	if o.Name != "" {
		return "default: " + o.Name
	}
	return "default"
}

// Origin tells where the value of a key came from. key is written as in the file without "latticed.", and is
// "listeners" for all of them together.
func (c *Config) Origin(key string) Origin { return c.origins[key] }
