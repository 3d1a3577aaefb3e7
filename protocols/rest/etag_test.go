package rest

import "testing"

// The figures are what Infinispan 16.0.7 and its clients compute.
func TestEntityTag(t *testing.T) {
	f := func(value string, want int32) {
		t.Helper()
		if got := etag([]byte(value)); got != want {
			t.Errorf("%q: got %d, want %d", value, got, want)
		}
		for cut := range len(value) { // however it arrives
			h := newHash()
			h.write([]byte(value[:cut]))
			h.write([]byte(value[cut : cut+(len(value)-cut)/2]))
			h.write([]byte(value[cut+(len(value)-cut)/2:]))
			if got := h.sum(); got != want {
				t.Errorf("%q cut at %d: got %d, want %d", value, cut, got, want)
			}
		}
	}
	f("", 89125410)
	f("v1", 1461965704)
	f("v1-value", -399381461)
	f("hello", 1671093224)
	f("<string>hello</string>", 1834942906)
	f("\x00", -787121744)
	f("\xff", -29042976)
	f("\x80\xfe\x7f\x01", -99048400)
	f("0123456789abcdef", 26898387)
	f("0123456789abcdefg", -1536414354)
	f("0123456789abcdef0123456789abcdef", 1705745350)
	f(`{"_type":"int32","_value":42}`, 1011307819)
}
