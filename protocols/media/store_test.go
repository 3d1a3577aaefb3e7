package media_test

import (
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/text/transform"

	"github.com/latticed/latticed/protocols/media"
)

// stored turns a value into what is stored, cut bytes of it at a time, with room for few bytes beside what one character takes.
func stored(t *media.Type, become media.Way, value string, cut, room int) (string, error) {
	step := media.ToStore(t, become)
	if step == nil {
		return value, nil
	}
	var out, in []byte
	dst := make([]byte, 16+room)
	for at := 0; ; {
		in = append(in, value[at:min(len(value), at+max(1, cut))]...)
		at = min(len(value), at+max(1, cut))
		for {
			n, used, err := step.Transform(dst, in, at == len(value))
			out, in = append(out, dst[:n]...), in[used:]
			if err == transform.ErrShortDst {
				continue
			}
			if err == transform.ErrShortSrc && at < len(value) {
				break
			}
			if err != nil {
				if err != media.ErrForm {
					err = media.ErrContent
				}
				return "", err
			}
			break
		}
		if at == len(value) {
			return string(out), nil
		}
	}
}

func TestToStore(t *testing.T) {
	for _, test := range []struct {
		kind   media.Type
		become media.Way
		value  string
		want   string
		err    error
	}{
		{media.Type{ID: media.Text}, media.Same, "as\xff it is", "as\xff it is", nil},
		{media.Type{ID: media.Text, Charset: []byte("UTF-8")}, media.Same, "grün", "grün", nil},
		{media.Type{ID: media.Text, Charset: []byte("ISO-8859-1")}, media.Same, "gr\xfcn", "grün", nil},
		{media.Type{ID: media.Text, Charset: []byte("UTF-16")}, media.Same, "\x00a\x00b", "ab", nil},
		{media.Type{ID: media.Form}, media.Same, "a+b%2Bc", "a b+c", nil},
		{media.Type{ID: media.Form}, media.Same, "a%2", "", media.ErrContent},
		{media.Type{ID: media.Form}, media.ToJSON, "%7B%22a%22%3a1%7D", `{"a":1}`, nil},
		{media.Type{ID: media.Form}, media.ToJSON, "%7B", "", media.ErrForm},
		{media.Type{ID: media.Text}, media.ToXML, "a<b>&c", "<string>a&lt;b&gt;&amp;c</string>", nil},
		{media.Type{ID: media.Text}, media.ToXML, "", "<string></string>", nil},
		{media.Type{ID: media.Text, Charset: []byte("ISO-8859-1")}, media.ToXML, "\xfc<", "<string>ü&lt;</string>", nil},
		{media.Type{ID: media.OctetStream, Encoding: []byte("hex")}, media.Same, "0x00fFA1", "\x00\xff\xa1", nil},
		{media.Type{ID: media.OctetStream, Encoding: []byte("hex")}, media.Same, "00ff0x", "", media.ErrContent},
		{media.Type{ID: media.OctetStream, Encoding: []byte("base64")}, media.Same, "aGFs\r\nbG8=", "hallo", nil},
		{media.Type{ID: media.OctetStream, Encoding: []byte("base64")}, media.Same, "_-8", "\xff\xef", nil},
		{media.Type{ID: media.OctetStream, Encoding: []byte("base64")}, media.Same, "_+8", "", media.ErrContent},
		{media.Type{ID: media.OctetStream}, media.ToJSON, "[1,2]", "[1,2]", nil},
		{media.Type{ID: media.Text}, media.ToJSON, strings.Repeat("[", 10_001), "", media.ErrForm},
	} {
		for _, cut := range []int{1, 2, 3, len(test.value)} {
			if got, err := stored(&test.kind, test.become, test.value, cut, 0); got != test.want || err != test.err {
				t.Errorf("%+v, %d bytes at a time: got %q, %v, want %q, %v", test, cut, got, err, test.want, test.err)
			}
		}
	}
}

// FuzzToStore compares what comes out piece by piece with what does at once.
func FuzzToStore(f *testing.F) {
	for _, s := range []string{`{"a":[1,-2.5e+3,true,null,"\u00fc\n"],"b":{}}`, "aGFsbG8=", "0x0aff", "a+b%41", "[1,]", "01", "1e", `"\x"`, "-", "  0 ", "{\"a\" : 0.10E9 }\n", "_-8"} {
		f.Add([]byte(s), uint8(3), uint8(2))
	}
	f.Fuzz(func(t *testing.T, value []byte, cut, room uint8) {
		check := func(name string, kind media.Type, become media.Way, want []byte, wrong error) {
			got, err := stored(&kind, become, string(value), int(cut), int(room))
			if !errors.Is(err, wrong) || err == nil && got != string(want) {
				t.Errorf("%q, %s, %d at a time: got %q, %v, want %q, %v", value, name, cut, got, err, want, wrong)
			}
		}
		var wrong error
		if !json.Valid(value) {
			wrong = media.ErrForm
		}
		check("JSON", media.Type{ID: media.Text}, media.ToJSON, value, wrong)
		want, err := media.FromHex(value)
		check("hex", media.Type{ID: media.OctetStream, Encoding: []byte("hex")}, media.Same, want, err)
		if !strings.ContainsAny(strings.TrimRight(string(value), "="), "=\r\n") { // line breaks behind = are taken
			want, err = media.FromBase64(value)
			check("base64", media.Type{ID: media.OctetStream, Encoding: []byte("base64")}, media.Same, want, err)
		}
		text, err := url.QueryUnescape(string(value))
		if err != nil {
			err = media.ErrContent
		}
		check("form", media.Type{ID: media.Form}, media.Same, []byte(text), err)
		want, err = media.Convert(nil, value, media.ToXML, nil)
		check("XML", media.Type{ID: media.Text}, media.ToXML, want, err)
	})
}
