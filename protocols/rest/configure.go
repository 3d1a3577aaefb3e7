package rest

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/latticed/latticed/conf/infinispan"
	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/protocols/media"
)

// Everything here reads a document, or waits for a disk. So it runs where others do not wait for it, and after what the
// client asked for before.

// apart has work run with the whole body in x.in, of which there may be most bytes. work answers.
func (x *Exchange) apart(most int, work func(x *Exchange)) {
	if x.State != Receiving {
		return
	}
	x.Alone, x.Heavy = true, true
	x.work = func(x *Exchange, _ grid.Ticket) bool {
		x.State = Receiving
		if x.has&(1<<fContentEncoding) != 0 {
			x.decoded()
		}
		if x.State == Receiving {
			work(x)
		}
		return true
	}
	x.collect(most, func(x *Exchange) { x.State = Working })
}

// The formats by the media types that stand for them.
var formats = map[media.ID]infinispan.Format{
	media.JSON: infinispan.JSON, media.XML: infinispan.XML, media.TextXML: infinispan.XML, media.YAML: infinispan.YAML,
	45: infinispan.YAML, 56: infinispan.YAML, // other names of YAML
}

var formatNames = [...]string{infinispan.JSON: "application/json", infinispan.XML: "application/xml", infinispan.YAML: "application/yaml"}

// documentFormat tells what a document is by its media type. Of text it is seen by the first character.
func documentFormat(kind, document []byte) (f infinispan.Format, status int) {
	m, err := media.Parse(kind)
	f, known := formats[m.ID]
	switch {
	case known && err == nil:
		return f, 0
	case err != nil || m.ID != media.Text:
		return f, fasthttp.StatusUnsupportedMediaType
	}
	switch start := bytes.TrimSpace(document); {
	case bytes.HasPrefix(start, []byte("<")):
		return infinispan.XML, 0
	case bytes.HasPrefix(start, []byte("{")):
		return infinispan.JSON, 0
	}
	return infinispan.YAML, 0
}

// document reads the configuration in the body. nil: x is answered.
func (x *Exchange) document() *infinispan.Cache {
	kind, given := x.field(fContentType)
	if !given {
		x.text(fasthttp.StatusBadRequest, "*/*: say by Content-Type whether the configuration is JSON, XML or YAML")
		return nil
	}
	f, status := documentFormat(kind, x.in)
	if status != 0 {
		x.plain(status)
		return nil
	}
	c, warnings, err := x.s.parse(x.in, f)
	if err != nil {
		x.failed(err)
		return nil
	}
	x.warn(warnings)
	return c
}

// parse reads a configuration, one at a time: what a document becomes on the way may take a hundred times as much memory as it has
// bytes, and is counted nowhere.
func (s *Service) parse(document []byte, f infinispan.Format) (*infinispan.Cache, []string, error) {
	s.parsing.Lock()
	defer s.parsing.Unlock()
	return infinispan.ParseCache(document, f)
}

// warn tells the client what was left out.
func (x *Exchange) warn(warnings []string) {
	for _, w := range warnings {
		x.Res.Add("Warning", `299 latticed "`+strings.NewReplacer(`"`, "'", `\`, "/", "\r", " ", "\n", " ").Replace(w)+`"`)
	}
}

// putCache makes a cache or, where that is asked for, changes one.
func (x *Exchange) putCache(name string) {
	flags, _ := x.field(fFlags)
	volatile, update := false, x.meth == mPut
	for list := flags; ; {
		one, rest, done := media.Next(list)
		if done {
			break
		}
		list = rest
		switch string(one) {
		case "VOLATILE":
			volatile = true
		case "PERMANENT":
		case "UPDATE":
			update = true
		default:
			x.text(fasthttp.StatusBadRequest, "No enum constant org.infinispan.commons.api.CacheContainerAdmin.AdminFlag.", string(one))
			return
		}
	}
	template, templated, err := x.t.param("template")
	if err != nil {
		x.plain(fasthttp.StatusBadRequest)
		return
	}
	made := string(template)
	x.apart(infinispan.MaxCache, func(x *Exchange) {
		var c *infinispan.Cache
		switch {
		case x.meth == mPut && (templated || len(x.in) == 0):
			x.text(fasthttp.StatusBadRequest, "ISPN012034: Wrong method 'PUT'")
			return
		case templated:
			var ok bool
			if c, ok = infinispan.Template(made); !ok {
				x.text(fasthttp.StatusBadRequest, "ISPN000374: No such template '", made, "' when declaring '", name, "'")
				return
			}
		case len(x.in) == 0:
			c = infinispan.Local()
		default:
			if c = x.document(); c == nil {
				return
			}
		}
		catalog := x.s.opt.Catalog
		err := error(ErrNoCache)
		if update {
			err = catalog.Change(name, func(was *infinispan.Cache) (*infinispan.Cache, error) { return was.Update(name, c) })
		}
		if errors.Is(err, ErrNoCache) {
			err = catalog.Create(name, c, volatile)
		}
		x.changed(err)
	})
}

func (x *Exchange) changed(err error) {
	if err != nil {
		x.failed(err)
		return
	}
	x.plain(fasthttp.StatusOK)
}

func (x *Exchange) removeCache(name string) {
	x.apart(x.s.opt.MaxContent, func(x *Exchange) { x.changed(x.s.opt.Catalog.Remove(name)) })
}

// assignAlias moves an alias to a cache.
func (x *Exchange) assignAlias(name string) {
	v, given, err := x.t.param("alias")
	switch {
	case err != nil:
		x.plain(fasthttp.StatusBadRequest)
	case !given || len(v) == 0:
		x.text(fasthttp.StatusBadRequest, "ISPN012040: Missing required argument 'alias'")
	default:
		alias := string(v)
		x.apart(x.s.opt.MaxContent, func(x *Exchange) { x.changed(x.s.opt.Catalog.Assign(alias, name)) })
	}
}

// setAttribute changes one attribute of a cache.
func (x *Exchange) setAttribute(name, path string) {
	values, err := x.t.params("attribute-value")
	switch {
	case err != nil:
		x.plain(fasthttp.StatusBadRequest)
	case len(values) == 0:
		x.text(fasthttp.StatusBadRequest, "ISPN012040: Missing required argument 'attribute-value'")
	default:
		x.apart(x.s.opt.MaxContent, func(x *Exchange) {
			x.changed(x.s.opt.Catalog.Change(name, func(was *infinispan.Cache) (*infinispan.Cache, error) {
				return was.With(path, strings.Join(values, " "))
			}))
		})
	}
}

// attributeName reads which attribute is meant. False: x is answered.
func (x *Exchange) attributeName() (string, bool) {
	v, given, err := x.t.param("attribute-name")
	switch {
	case err != nil:
		x.plain(fasthttp.StatusBadRequest)
	case !given || len(v) == 0:
		x.text(fasthttp.StatusBadRequest, "ISPN012040: Missing required argument 'attribute-name'")
	default:
		return string(v), true
	}
	return "", false
}

// attribute answers with the value of one attribute.
func (x *Exchange) attribute(c *infinispan.Cache, path string) {
	v, err := c.Attribute(path)
	if err != nil {
		x.text(fasthttp.StatusBadRequest, err.Error())
		return
	}
	x.out = appendString(x.out[:0], []byte(v))
	x.json()
}

// attributes answers with what can be changed of a cache.
func (x *Exchange) attributes(c *infinispan.Cache, full bool) {
	all := c.Mutables()
	if !full {
		var names []string
		for _, m := range all {
			names = append(names, m.Path)
		}
		x.out = appendStrings(x.out[:0], names)
		x.json()
		return
	}
	o := object(x.out[:0])
	o.open()
	for _, m := range all {
		v, err := c.Attribute(m.Path)
		if err != nil {
			continue // listed by the same table
		}
		o.name(m.Path)
		o.open()
		if m.Type == "set" {
			o.list("value", strings.Fields(v))
		} else {
			o.text("value", v)
		}
		o.text("type", m.Type)
		if len(m.Choices) > 0 {
			o.list("universe", m.Choices)
		}
		o.end()
	}
	o.end()
	x.out = o
	x.json()
}

// acceptsFormat picks the format of a configuration in an answer. False: x is answered.
func (x *Exchange) acceptsFormat() (f infinispan.Format, ok bool) {
	accept, given := x.field(fAccept)
	if !given {
		return infinispan.JSON, true
	}
	best := 0
	for list := accept; ; {
		one, rest, done := media.Next(list)
		if done {
			break
		}
		list = rest
		m, err := media.Parse(one)
		if err != nil || m.Q <= best {
			continue
		}
		switch {
		case m.Wild:
			f, best = infinispan.JSON, m.Q
		case slices.Contains([]media.ID{media.JSON, media.XML, media.YAML}, m.ID):
			f, best = formats[m.ID], m.Q
		}
	}
	if best == 0 {
		x.text(fasthttp.StatusNotAcceptable, "ISPN012007: Cannot convert to ", string(accept))
	}
	return f, best > 0
}

// configuration answers with a configuration. Without a name it is only the element.
func (x *Exchange) configuration(name string, c *infinispan.Cache, f infinispan.Format) {
	x.out = c.Append(x.out[:0], f, name, x.truth("pretty"))
	x.json()
	x.Res.SetContentType(formatNames[f])
}

// convert answers with the document in the body in another format.
func (x *Exchange) convert(toJSON bool) {
	f, ok := infinispan.JSON, true
	if !toJSON {
		f, ok = x.acceptsFormat()
	}
	if !ok {
		return
	}
	x.apart(infinispan.MaxCache, func(x *Exchange) {
		if len(x.in) == 0 {
			x.text(fasthttp.StatusBadRequest, "ISPN012031: Method requires content")
			return
		}
		if c := x.document(); c != nil {
			x.configuration(c.Name, c, f)
		}
	})
}

const twoParts = "ISPN012033: Wrong content: expecting multipart/form-data with two parts"

// compare tells whether two documents mean the same.
func (x *Exchange) compare() {
	kind, _ := x.field(fContentType)
	name, params, err := mime.ParseMediaType(string(kind))
	if err != nil || !strings.HasPrefix(name, "multipart/") || params["boundary"] == "" {
		x.text(fasthttp.StatusBadRequest, twoParts)
		return
	}
	ignore := x.truth("ignoreMutable")
	x.apart(3*infinispan.MaxCache, func(x *Exchange) {
		r := multipart.NewReader(bytes.NewReader(x.in), params["boundary"])
		var both [2]*infinispan.Cache
		for i := range 3 {
			part, err := r.NextPart()
			if err == io.EOF && i == 2 {
				break
			}
			if err != nil || i == 2 {
				x.text(fasthttp.StatusBadRequest, twoParts)
				return
			}
			text, err := io.ReadAll(part)
			if err != nil {
				x.text(fasthttp.StatusBadRequest, twoParts)
				return
			}
			kind := part.Header.Get("Content-Type")
			if kind == "" {
				kind = "text/plain"
			}
			f, status := documentFormat([]byte(kind), text)
			if status != 0 {
				x.plain(status)
				return
			}
			if both[i], _, err = x.s.parse(text, f); err != nil {
				x.failed(err)
				return
			}
		}
		_, err := both[0].Update("", both[1])
		switch {
		case err != nil:
			x.text(fasthttp.StatusConflict, err.Error())
		case !ignore && !both[0].Equal(both[1]):
			x.plain(fasthttp.StatusConflict)
		default:
			x.plain(fasthttp.StatusNoContent)
		}
	})
}

// cacheConfigs lists configurations: of all caches, or of the templates.
func (x *Exchange) cacheConfigs(templates bool) {
	x.eachCache(infinispan.Templates, !templates, func(x *Exchange, c *Cache) {
		o := object(x.out)
		o.open()
		o.text("name", c.Name)
		o.name("configuration")
		o = c.Config.Append(o, infinispan.JSON, c.Name, false)
		o.end()
		x.out = o
	})
}
