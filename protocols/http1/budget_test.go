package http1_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/latticed/latticed/grid/gridtest"
	"github.com/latticed/latticed/protocols/http1"
	"github.com/latticed/latticed/protocols/prototest"
	"github.com/latticed/latticed/protocols/rest"
)

// Bodies that have to be held in memory, because their length is not known or they are converted, share one budget.
func TestHeldBodiesHaveABudget(t *testing.T) {
	p := http1.New(http1.Options{Service: rest.New(rest.Options{MaxContent: 100_000, MaxCollect: 150_000})})
	caches := gridtest.NewModel(gridtest.Options{})
	dial := func() *prototest.Conn {
		return prototest.Setup(func() prototest.Parts { return prototest.Parts{Protocol: p, Caches: caches} }).Dial(t, prototest.How{})
	}
	chunk := func(n int) string { return fmt.Sprintf("%x\r\n%s\r\n", n, strings.Repeat("v", n)) }
	begin := "PUT " + base + "k HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(80_000)
	a, b := dial(), dial()
	if got := a.Send([]byte(begin)); len(got) != 0 {
		t.Fatalf("the first: got %q", got)
	}
	if got := bare(b.Send([]byte(begin))); !strings.HasPrefix(got, "HTTP/1.1 503 ") || !b.Closed() {
		t.Errorf("the second: got %q, closed %v", got, b.Closed())
	}
	if got := bare(a.Send([]byte(chunk(0)))); !strings.HasPrefix(got, "HTTP/1.1 204 ") {
		t.Errorf("the end of the first: got %q", got)
	}
	// Who goes away in the middle gives back what he held.
	prototest.Setup(func() prototest.Parts { return prototest.Parts{Protocol: p, Caches: caches} }).Drive(t, []byte(begin), prototest.How{})
	if got := dial().Send([]byte(begin)); len(got) != 0 {
		t.Errorf("behind one that went away: got %q", got)
	}
	if got := bare(dial().Send([]byte(begin))); !strings.HasPrefix(got, "HTTP/1.1 503 ") {
		t.Errorf("while that one is open: got %q", got)
	}
}

// TestAnnouncedBodiesTakeNothing announces large bodies and sends a byte of each: that keeps nobody else from the budget.
func TestAnnouncedBodiesTakeNothing(t *testing.T) {
	p := http1.New(http1.Options{Service: rest.New(rest.Options{MaxContent: 100_000, MaxCollect: 150_000})})
	caches := gridtest.NewModel(gridtest.Options{})
	for i := range 10 {
		c := prototest.Setup(func() prototest.Parts { return prototest.Parts{Protocol: p, Caches: caches} }).Dial(t, prototest.How{})
		got := c.Send([]byte("PUT " + base + "k HTTP/1.1\r\nHost: a\r\nIf-Match: 1\r\nContent-Length: 100000\r\n\r\nv"))
		if len(got) != 0 {
			t.Fatalf("connection %d: got %q", i, got)
		}
	}
}

// TestNothingBehindTheLastAnswer asks in HTTP/1.0 for an answer whose end is the connection's, and for more behind it.
func TestNothingBehindTheLastAnswer(t *testing.T) {
	old := func(fields string) string {
		return "GET " + base + "big HTTP/1.0\r\nConnection: keep-alive\r\n" + fields + "\r\n"
	}
	got := answers(t, put("big", strings.Repeat("abcdefgh", 10_000))+old("Accept-Encoding: gzip\r\n")+old("")+old(""))
	if n := strings.Count(got, "HTTP/1.1 200 "); n != 1 || len(got) > 2000 {
		t.Errorf("%d answers to GET in %d bytes", n, len(got))
	}
}
