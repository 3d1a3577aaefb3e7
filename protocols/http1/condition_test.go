package http1_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/grid/gridtest"
	"github.com/latticed/latticed/protocols"
	"github.com/latticed/latticed/protocols/http1"
	"github.com/latticed/latticed/protocols/prototest"
	"github.com/latticed/latticed/protocols/rest"
)

// head writes the head of a request with a body.
func head(method, key string, fields ...string) []byte {
	return []byte(method + " " + base + key + " HTTP/1.1\r\nHost: localhost\r\n" + lines(fields) + "\r\n")
}

// TestConditionsAreJudgedFirst sends heads of large values: who fails the condition is answered before the body comes.
func TestConditionsAreJudgedFirst(t *testing.T) {
	const failed, going, length = "HTTP/1.1 412 Precondition Failed\nContent-Length: 0\n", "HTTP/1.1 100 Continue\n\n", "Content-Length: 90000"
	for _, how := range []prototest.How{{}, {Cut: 7, Seed: 1}, {Late: 100, Seed: 2}} {
		for _, old := range []string{"v1", strings.Repeat("old", 20_000)} {
			f := func(method, want string, closed bool, fields ...string) {
				t.Helper()
				c := setup(protocols.Env{}).Dial(t, how)
				c.Send([]byte(put("k", old)))
				if got := bare(c.Send(head(method, "k", fields...))); got != want || c.Closed() != closed {
					t.Errorf("%s %q, %+v: got %q, closed %v, want %q, %v", method, fields, how, got, c.Closed(), want, closed)
				}
			}
			const close = "Connection: close\n"
			f("PUT", failed+"\n", false, "If-Match: 123", length)
			f("PUT", failed+"\n", false, "If-None-Match: *", length)
			f("PUT", failed+close+"\n", true, "If-Match: 123", length, "Expect: 100-continue")
			f("PUT", failed+"\n", false, "If-Match: 123", "Transfer-Encoding: chunked")
			f("PUT", failed+close+"\n", true, "If-Match: 123", "Transfer-Encoding: chunked", "Expect: 100-continue")
			f("PUT", "", false, "If-Match: *", length)
			f("PUT", going, false, "If-Match: *", length, "Expect: 100-continue")
			f("PUT", going, false, "If-None-Match: 123", "Transfer-Encoding: chunked", "Expect: 100-continue")
			f("POST", "HTTP/1.1 409 Conflict\nContent-Type: text/plain; charset=utf-8\nContent-Length: 23\n\nAn entry already exists", false, length)
		}
	}
	// What follows such a body is answered, too.
	c := setup(protocols.Env{}).Dial(t, prototest.How{})
	got := bare(c.Send([]byte(put("k", strings.Repeat("v", 50_000), "If-Match: 1") + get("k"))))
	if !strings.HasPrefix(got, failed) || !strings.Contains(got, "HTTP/1.1 404 ") {
		t.Errorf("got %q", got)
	}
	// Some clients look for the answer when they have sent everything: that is read, but not without end.
	chunk := []byte(fmt.Sprintf("100000\r\n%s\r\n", strings.Repeat("v", 1<<20)))
	for _, test := range []struct {
		chunks int
		closed bool
	}{{63, false}, {65, true}} {
		c := setup(protocols.Env{}).Dial(t, prototest.How{})
		if got := bare(c.Send(head("PUT", "k", "If-Match: 123", "Transfer-Encoding: chunked"))); got != failed+"\n" {
			t.Errorf("got %q", got)
		}
		for range test.chunks {
			c.Send(chunk)
		}
		if c.Closed() != test.closed {
			t.Errorf("behind %d MiB: closed %v, want %v", test.chunks, c.Closed(), test.closed)
		}
		if !test.closed {
			if got := bare(c.Send([]byte("0\r\n\r\n" + get("k")))); !strings.HasPrefix(got, "HTTP/1.1 404 ") {
				t.Errorf("behind it: got %q", got)
			}
		}
	}
}

// TestConditionsAreJudgedAgain changes an entry while a large value comes that is stored on a condition.
func TestConditionsAreJudgedAgain(t *testing.T) {
	large := strings.Repeat("0123456789abcdef", 4000)
	old := strings.Repeat("old", 20_000)
	tag := regexp.MustCompile("Etag: (-?[0-9]+)\n")
	for _, late := range []int{0, 100} {
		f := func(condition, before, meanwhile, want, value string) {
			t.Helper()
			caches := gridtest.NewModel(gridtest.Options{})
			p := http1.New(http1.Options{Service: rest.New(rest.Options{MaxContent: 100_000})})
			dial := func(late int) *prototest.Conn {
				return prototest.Setup(func() prototest.Parts { return prototest.Parts{Protocol: p, Caches: caches} }).Dial(t, prototest.How{Late: late, Seed: 5})
			}
			other, c := dial(0), dial(late)
			if before != "" {
				a := tag.FindStringSubmatch(bare(other.Send([]byte(put("k", before)))))
				condition = strings.ReplaceAll(condition, "TAG", a[1])
			}
			request := put("k", large, condition)
			if got := c.Send([]byte(request[:len(request)-1000])); len(got) != 0 {
				t.Fatalf("%s: half a request is answered %q", condition, got)
			}
			other.Send([]byte(meanwhile))
			got := bare(c.Send([]byte(request[len(request)-1000:])))
			if !strings.HasPrefix(got, "HTTP/1.1 "+want) {
				t.Errorf("%s, %.60q meanwhile, %d%% late: got %q, want %s", condition, meanwhile, late, got, want)
			}
			now := bare(other.Send([]byte(get("k"))))
			if value == "" && !strings.HasPrefix(now, "HTTP/1.1 404 ") || value != "" && !strings.HasSuffix(now, "\n\n"+value) {
				t.Errorf("%s, %.60q meanwhile: the value is %.200q", condition, meanwhile, now)
			}
			if want == "204" {
				if a, b := tag.FindString(got), tag.FindString(now); a != b || a == "" {
					t.Errorf("%s: stored as %q, which is %q", condition, a, b)
				}
			}
			var st grid.Stats
			admin, err := caches.Admin("", grid.Principal{})
			if err != nil {
				t.Fatal(err)
			}
			c.Close()
			if admin.Stats(&st, grid.Time{Wall: 1}); st.Reserved != 0 {
				t.Errorf("%s, %.60q meanwhile: %d bytes stay reserved", condition, meanwhile, st.Reserved)
			}
		}
		// Where the answer is late, the value is with an owner that does not give it back.
		again := func(condition, before, meanwhile, after string) {
			t.Helper()
			if late > 0 {
				f(condition, before, meanwhile, "503", after)
			} else {
				f(condition, before, meanwhile, "204", large)
			}
		}
		for _, v := range []string{"v1", old} {
			f("If-Match: TAG", v, "", "204", large)
			f("If-Match: *", v, "", "204", large)
			f("If-None-Match: 5", v, "", "204", large)
			again("If-Match: TAG", v, put("k", v), v)
			f("If-Match: *", v, put("k", "other"), "204", large)
			again("If-None-Match: 5", v, verb("DELETE", "k"), "")
			f("If-Match: TAG", v, put("k", "other"), "412", "other")
			f("If-Match: TAG", v, verb("DELETE", "k"), "412", "")
			f("If-None-Match: 1461965704", "first", put("k", "v1"), "304", "v1")
		}
		f("If-None-Match: *", "", "", "204", large)
		f("If-None-Match: *", "", put("k", "other"), "412", "other")
	}
}
