package http1_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	accesslog "github.com/latticed/latticed/access-log"
	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/grid/gridtest"
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

// TestAccessLogOfWhoLeaves ends connections in the middle of requests: each that has begun is recorded, once.
func TestAccessLogOfWhoLeaves(t *testing.T) {
	caches := gridtest.NewModel(gridtest.Options{Chunk: 100})
	c := prototest.Setup(func() prototest.Parts { parts := setup(protocols.Env{})(); parts.Caches = caches; return parts }).Dial(t, prototest.How{})
	c.Send([]byte(put("k", "value") + put("big", strings.Repeat("v", 50_000))))
	half := put("k", strings.Repeat("w", 50_000), "Content-Encoding: gzip")
	for _, test := range []struct {
		send string
		late bool // the grid does not answer
		room int
		want []string
	}{
		{get("k")[:30], false, 1000, nil},
		{put("k", "value")[:len(put("k", "value"))-2], false, 1000, []string{`"PUT" HTTP/1.1 reset ` + base + "k default/k 3 0"}},
		{half[:len(half)-49_980], false, 1000, []string{`"PUT" HTTP/1.1 400 ` + base + "k default/k 0 46"}},
		{get("k") + verb("DELETE", "none"), true, 1000, []string{`"GET" HTTP/1.1 reset ` + base + "k default/k 0 0", `"DELETE" HTTP/1.1 reset ` + base + "none default/none 0 0"}},
		{get("big"), false, 100, []string{`"GET" HTTP/1.1 200 ` + base + "big default/big 0 300"}},
		{get("k") + get("big", "Connection: close"), false, 1000, []string{`"GET" HTTP/1.1 200 ` + base + "k default/k 0 5", `"GET" HTTP/1.1 200 ` + base + "big default/big 0 3800"}},
		{on("GET", "?action=listen"), false, 1000, []string{`"GET" HTTP/1.1 200 /rest/v2/caches/default?action=listen default/ 0 0`}},
	} {
		log := &prototest.Log{Format: line}
		env := &protocols.Env{Conn: 1, Caches: caches, Limits: protocols.DefaultLimits, Door: &protocols.Door{Log: log}}
		if test.late {
			env.Caches = gridtest.NewLate(caches, 1)
		}
		s := setup(protocols.Env{})().Protocol.Open(env)
		turn := protocols.Turn{In: []byte(test.send), Now: prototest.Now, Batch: grid.NewBatch(test.room), Room: test.room}
		p := s.Step(&turn)
		if test.send[0] == 'P' && p.Next == protocols.Flush {
			turn.In = turn.In[p.Used:]
			s.Step(&turn)
		}
		s.Close()
		s.Close()
		if !slices.Equal(log.Lines, test.want) || log.Wrong != "" || log.Admitted != len(test.want) {
			t.Errorf("%.60q: got %q, want %q; %s", test.send, log.Lines, test.want, log.Wrong)
		}
	}
}
