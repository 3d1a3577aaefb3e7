package daemon_test

import (
	"context"
	"testing"

	"github.com/latticed/latticed/daemon/bench"
	"github.com/latticed/latticed/daemon/daemontest"
)

// What the load generator stores it gets back, in each protocol and shape, without a wrong reply.
func TestBench(t *testing.T) {
	d := daemontest.Boot(t, "  listeners: [{address: '127.0.0.1:0', tls: {self-signed: true}}]\n")
	f := func(name string, o bench.Options) {
		t.Helper()
		o.Addr, o.Conns, o.Keys, o.Requests = d.Addrs()[0].String(), 5, max(o.Keys, 20), 200
		if err := bench.Preload(context.Background(), o); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		r, err := bench.Run(context.Background(), o)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if r.Errors.Total() != 0 || r.Ops == 0 || (r.Gets > 0) != (o.GetShare > 0) {
			t.Errorf("%s: got %d operations, %d gets, errors %+v", name, r.Ops, r.Gets, r.Errors)
		}
	}
	f("one by one", bench.Options{GetShare: 0.9, Keys: 1000})
	f("pipeline", bench.Options{GetShare: 0.5, Pipeline: 16, Threads: 2, Zipf: 0.99, Keys: 1000})
	f("sets", bench.Options{Pipeline: 16})
	f("meta", bench.Options{GetShare: 0.9, Pipeline: 16, Protocol: "meta"})
	f("multi-get", bench.Options{GetShare: 0.9, MultiGet: 50})
	f("multi-get, meta", bench.Options{GetShare: 0.9, MultiGet: 50, Protocol: "meta"})
	f("HTTP", bench.Options{GetShare: 0.5, Pipeline: 4, Protocol: "http"})
	f("HTTP/2", bench.Options{GetShare: 0.5, Pipeline: 32, Protocol: "http2", Keys: 100})
	f("HTTP/2 by TLS", bench.Options{GetShare: 0.5, Pipeline: 32, Protocol: "http2", TLS: true, ValueSize: bench.Fixed(16 << 10)})
	f("TLS", bench.Options{GetShare: 0.5, TLS: true})
	f("TLS, pipeline", bench.Options{GetShare: 0.5, TLS: true, Pipeline: 16, ValueSize: bench.Fixed(1024)})
	f("open loop", bench.Options{GetShare: 0.5, Rate: 1000})
	f("large", bench.Options{GetShare: 0.5, ValueSize: bench.Fixed(900_000)})
}
