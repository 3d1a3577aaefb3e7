package http2_test

import (
	"fmt"
	"strings"
	"testing"

	xhttp2 "golang.org/x/net/http2"
)

// TestConditionsAreJudgedFirst answers who fails a condition before the body comes, and forgives what is on its way.
func TestConditionsAreJudgedFirst(t *testing.T) {
	for _, size := range []int{5, 100_000} {
		c := greeted(t, newStore())
		c.request(1, false, "PUT", key)
		c.body(1, make([]byte, size))
		c.step()
		c.want("1 status 204 end")
		c.request(3, false, "PUT", key, "if-match", "123", "content-length", "1000000")
		c.step()
		c.want("3 status 412 end")
		c.request(5, false, "PUT", key, "if-none-match", "*")
		c.must(c.framer.WriteData(5, false, make([]byte, 10_000)))
		c.step()
		c.want("5 status 412 end")
		c.request(7, false, "POST", key, "content-length", "100000")
		c.step()
		c.want("7 status 409", "7 data 23 end")
		for _, id := range []uint32{9, 11} { // with and without a length
			length := []string{"content-length", "200000"}
			if id == 11 {
				length = nil
			}
			c.request(id, false, "PUT", key, append(length, "if-match", "*")...)
			c.body(id, make([]byte, 200_000))
			c.step()
			c.want(fmt.Sprint(id, " status 204 end"))
		}
	}
}

// body sends all of a body, as far as the session lets it.
func (c *client) body(id uint32, p []byte) {
	c.t.Helper()
	for len(p) > 0 {
		n := min(len(p), 16<<10)
		c.must(c.framer.WriteData(id, n == len(p), p[:n]))
		p = p[n:]
	}
}

// TestConditionBehindShutWindows sends a conditional request with its body where answers wait for windows, and what opens the
// windows behind it: to read on, the condition has to be judged.
func TestConditionBehindShutWindows(t *testing.T) {
	c := greeted(t, newStore(), xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 0})
	c.request(1, false, "PUT", key)
	c.body(1, make([]byte, 10_000))
	c.step()
	c.want("1 status 204 end")
	id := uint32(3)
	for ; id < 3+2*8; id += 2 { // more than may wait
		c.request(id, true, "GET", key)
	}
	c.step()
	c.events()
	c.request(id, false, "PUT", key, "if-match", "*", "content-length", "50000")
	c.body(id, make([]byte, 50_000))
	c.must(c.framer.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 1 << 20}))
	c.must(c.framer.WriteWindowUpdate(0, 1<<20))
	c.step()
	got := c.events()
	if c.sent.Len() != 0 || len(got) == 0 || got[len(got)-1] != "19 status 204 end" {
		t.Fatalf("%d bytes are not read; got %q", c.sent.Len(), got)
	}
}

// TestConditionsOnOneKey has all streams of a connection write the same entry on a condition, together: none of them fails for
// that another came between.
func TestConditionsOnOneKey(t *testing.T) {
	for _, condition := range []string{"*", "123"} {
		c := greeted(t, newStore())
		c.request(1, false, "PUT", key)
		c.body(1, []byte("value"))
		c.step()
		c.events()
		name := "if-match"
		if condition != "*" {
			name = "if-none-match"
		}
		for id := uint32(3); id < 203; id += 2 {
			c.request(id, false, "PUT", key, name, condition)
		}
		for id := uint32(3); id < 203; id += 2 {
			c.body(id, fmt.Append(nil, "value of ", id))
		}
		c.step()
		list := c.events()
		for _, e := range list {
			if !strings.HasSuffix(e, " status 204 end") {
				t.Errorf("%s %s: got %s", name, condition, e)
			}
		}
		if len(list) != 100 {
			t.Errorf("%s %s: %d answers", name, condition, len(list))
		}
	}
}
