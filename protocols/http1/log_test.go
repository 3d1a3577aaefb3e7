package http1_test

import (
	"fmt"
	"strings"
	"testing"

	accesslog "github.com/latticed/latticed/access-log"
	"github.com/latticed/latticed/protocols"
	"github.com/latticed/latticed/protocols/prototest"
)

func line(rec *accesslog.Record) string {
	return fmt.Sprintf("%q %s %s %.60s %s/%s %d %d", rec.Op, rec.Protocol, rec.Status, rec.Target, rec.Cache, rec.Key, rec.In, rec.Out)
}

// TestAccessLog drives requests in many ways: each is recorded once, in order.
func TestAccessLog(t *testing.T) {
	large := strings.Repeat("v", 20_000)
	tests := []struct{ send, want string }{
		{put("k", "value"), `"PUT" HTTP/1.1 204 ` + base + "k default/k 5 0"},
		{get("k"), `"GET" HTTP/1.1 200 ` + base + "k default/k 0 5"},
		{verb("HEAD", "k"), `"HEAD" HTTP/1.1 200 ` + base + "k default/k 0 0"},
		{get("a%2Fb+c?x=a%20b"), `"GET" HTTP/1.1 404 ` + base + "a%2Fb+c?x=a%20b default/a/b c 0 0"},
		{put("big", large), `"PUT" HTTP/1.1 204 ` + base + "big default/big 20000 0"},
		{get("big"), `"GET" HTTP/1.1 200 ` + base + "big default/big 0 20000"},
		{"PUT " + base + "k HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", `"PUT" HTTP/1.1 204 ` + base + "k default/k 3 0"},
		{verb("DELETE", "k", "If-Match: 1"), `"DELETE" HTTP/1.1 412 ` + base + "k default/k 0 0"},
		{verb("PATCH", "k"), `"PATCH" HTTP/1.1 403 ` + base + "k / 0 0"},
		{verb("DELETE", "big"), `"DELETE" HTTP/1.1 204 ` + base + "big default/big 0 0"},
		{on("GET", "?action=keys"), `"GET" HTTP/1.1 200 /rest/v2/caches/default?action=keys default/ 0 5`},
		{"GET /none HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", `"GET" HTTP/1.0 404 /none / 0 18`},
		{"bogus\r\n", `"invalid" HTTP/1.1 400  / 0 29`},
	}
	all := ""
	for _, test := range tests {
		all += test.send
	}
	for _, h := range prototest.Ways(8) {
		log := &prototest.Log{Format: line}
		out := prototest.Setup(func() prototest.Parts {
			parts := setup(protocols.Env{})()
			parts.Log = log
			return parts
		}).Drive(t, []byte(all), h).Out
		if len(log.Lines) != len(tests) || log.Admitted != len(tests) || log.Wrong != "" {
			t.Fatalf("driven as %+v: %d records, %d let in, want %d; %s; %q", h, len(log.Lines), log.Admitted, len(tests), log.Wrong, out)
		}
		for i, test := range tests {
			if log.Lines[i] != test.want {
				t.Errorf("driven as %+v: got %s, want %s", h, log.Lines[i], test.want)
			}
		}
	}
}

// TestAccessLogIsFull has the log let nothing in: nothing is done.
func TestAccessLogIsFull(t *testing.T) {
	log := &prototest.Log{Format: line, Refuse: true}
	full := prototest.Setup(func() prototest.Parts {
		parts := setup(protocols.Env{})()
		parts.Log = log
		return parts
	})
	c := full.Dial(t, prototest.How{})
	got := bare(c.Send([]byte(put("k", "value") + get("k"))))
	log.Refuse = false
	got += bare(c.Send([]byte(get("k"))))
	if strings.Count(got, "HTTP/1.1 503 ") != 2 || strings.Count(got, "the access log is full") != 2 || strings.Count(got, "HTTP/1.1 404 ") != 1 {
		t.Errorf("got %q", got)
	}
}
