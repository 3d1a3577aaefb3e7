package media_test

import (
	"errors"
	"testing"

	"github.com/latticed/latticed/protocols/media"
)

func TestParse(t *testing.T) {
	f := func(s string, id media.ID, charset, encoding string, q int) {
		t.Helper()
		m, err := media.Parse([]byte(s))
		if err != nil || m.ID != id || string(m.Charset) != charset || string(m.Encoding) != encoding || m.Q != q {
			t.Errorf("%q: got %+v, %v", s, m, err)
		}
	}
	f("text/plain", media.Text, "", "", 1000)
	f(" TEXT/Plain ; Charset=\"UTF-8\" ", media.Text, "UTF-8", "", 1000)
	f("application/octet-stream; encoding=hex;q=0.25", media.OctetStream, "", "hex", 250)
	f("application/json;q=1.000", media.JSON, "", "", 1000)
	f("application/json;q=0", media.JSON, "", "", 0)
	f("image/png;", 9, "", "", 1000)
	for _, s := range []string{"*", "*/*", "*/*;q=0.8"} {
		if m, err := media.Parse([]byte(s)); err != nil || !m.Wild {
			t.Errorf("%q: got %+v, %v", s, m, err)
		}
	}
	for _, s := range []string{"", "foo", "foo/", "/foo", "a/b/c", "a b/c", "text/plain; charset", "te\xc3\xa4xt/plain"} {
		if _, err := media.Parse([]byte(s)); err != media.ErrSyntax {
			t.Errorf("%q: got %v, want ErrSyntax", s, err)
		}
	}
	if _, err := media.Parse([]byte("foo/bar")); err != media.ErrUnknown {
		t.Errorf("foo/bar: got %v, want ErrUnknown", err)
	}
}

// The numbers are stored and sent: they never change.
func TestNumbers(t *testing.T) {
	for id, name := range map[media.ID]string{
		1: "application/x-java-object", 2: "application/json", 3: "application/octet-stream", 9: "image/png",
		12: "application/x-protostream", 13: "text/plain", 17: "application/unknown", 32: "application/xml", 58: "video/webm",
	} {
		if id.String() != name {
			t.Errorf("%d: got %q, want %q", id, id, name)
		}
		if m, err := media.Parse([]byte(name)); err != nil || m.ID != id {
			t.Errorf("%q: got %d, %v, want %d", name, m.ID, err, id)
		}
		if got := media.OfAttr(id.Attr() | 1); got != id {
			t.Errorf("%d as an attribute of a binary key comes back as %d", id, got)
		}
	}
	if s := media.ID(30000).String(); s != "" {
		t.Errorf("a number of the future is called %q", s)
	}
}

func TestConversions(t *testing.T) {
	f := func(stored media.ID, value, as, want string) {
		t.Helper()
		m, err := media.Parse([]byte(as))
		if err != nil {
			t.Fatal(err)
		}
		got, err := media.Convert(nil, []byte(value), stored.To(&m), m.Charset)
		if err != nil || string(got) != want {
			t.Errorf("%s %q as %s: got %q, %v, want %q", stored, value, as, got, err, want)
		}
	}
	f(media.Text, "a<b>&\"c\"", "application/xml", `<string>a&lt;b&gt;&amp;"c"</string>`)
	f(media.None, "v", "text/plain", "v")
	f(media.None, "[1]", "application/json", "[1]")
	f(media.JSON, "[1", "application/json", "[1") // kept as it was sent
	f(media.JSON, "[1]", "text/plain", "[1]")
	f(media.OctetStream, "v1", "application/octet-stream; encoding=hex", "0x7631")
	f(9, "v1", "application/octet-stream; encoding=base64", "djE=")
	f(media.Text, "grün €", "text/plain; charset=ISO-8859-15", "gr\xfcn \xa4")
	f(media.Text, "grün 日", "text/plain; charset=iso-8859-1", "gr\xfcn \x1a")
	f(media.Text, "hé", "text/plain; charset=UTF-16", "\xfe\xff\x00h\x00\xe9")
	f(media.None, "日本", "text/plain; charset=Shift_JIS", "\x93\xfa\x96\x7b")
	for _, c := range []struct {
		stored media.ID
		as     string
	}{{media.Text, "image/png"}, {9, "text/plain"}, {media.XML, "application/json"}, {media.JSON, "application/xml"}, {media.Text, "application/x-protostream"}} {
		m, _ := media.Parse([]byte(c.as))
		if way := c.stored.To(&m); way != media.NoWay {
			t.Errorf("%s as %s: got way %d, want none", c.stored, c.as, way)
		}
	}
	if _, err := media.Convert(nil, []byte("v1"), media.ToJSON, nil); err != media.ErrContent {
		t.Errorf("a text that is no JSON: got %v", err)
	}
	if _, err := media.Convert(nil, []byte("v1"), media.Recode, []byte("nonsense")); err == nil || errors.Is(err, media.ErrContent) {
		t.Errorf("a charset that nobody knows: got %v", err)
	}
	for charset, bytes := range map[string]string{"iso-8859-1": "gr\xfcn", "UTF-16": "\xfe\xff\x00g\x00r\x00\xfc\x00n", "utf-16le": "g\x00r\x00\xfc\x00n\x00", "windows-1252": "gr\xfcn"} {
		if got, err := stored(&media.Type{ID: media.Text, Charset: []byte(charset)}, media.Same, bytes, len(bytes), 0); err != nil || got != "grün" {
			t.Errorf("%s: got %q, %v", charset, got, err)
		}
	}
	for _, s := range []string{"_-8=", "/+8", "_-8"} {
		if got, err := media.FromBase64([]byte(s)); s != "/+8" && (err != nil || string(got) != "\xff\xef") || s == "/+8" && string(got) != "\xff\xef" {
			t.Errorf("%q: got %q, %v", s, got, err)
		}
	}
}

// Whatever a client writes is read without failing, and what is read in means the same again.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"text/plain; charset=utf-8;q=0.5", "*/*", "a/b;;", "application/octet-stream;encoding=\"hex\"", ";", "a/b;q=9.9999"} {
		f.Add([]byte(s), []byte("v"))
	}
	f.Fuzz(func(t *testing.T, s, value []byte) {
		for list := s; ; {
			one, rest, done := media.Next(list)
			if done {
				break
			}
			list = rest
			m, err := media.Parse(one)
			if err != nil {
				continue
			}
			if m.Q < 0 || m.Q > 1000 {
				t.Errorf("%q: weight %d", one, m.Q)
			}
			for _, stored := range []media.ID{media.None, media.Text, media.JSON, media.XML, 9} {
				if way := stored.To(&m); way != media.NoWay && way != media.Recode {
					if _, err := media.Convert(nil, value, way, nil); err != nil && err != media.ErrContent {
						t.Errorf("%q: %v", one, err)
					}
				}
			}
		}
	})
}
