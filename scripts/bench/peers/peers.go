// Package peers holds servers of Go's that latticed is compared with: each answers one path with one value, and does
// nothing else.
package peers

import (
	"fmt"
	"net/http"

	"github.com/valyala/fasthttp"
)

// Serve serves value at path by the server of that name until it fails.
func Serve(name, addr, path string, value []byte) error {
	const kind = "application/octet-stream"
	switch name {
	case "fasthttp":
		s := &fasthttp.Server{NoDefaultServerHeader: true, Handler: func(ctx *fasthttp.RequestCtx) {
			if string(ctx.Path()) != path {
				ctx.SetStatusCode(fasthttp.StatusNotFound)
				return
			}
			ctx.SetContentType(kind)
			ctx.SetBody(value)
		}}
		return s.ListenAndServe(addr)
	case "net/http": // HTTP/2 by prior knowledge, without TLS
		s := &http.Server{Addr: addr, Protocols: new(http.Protocols), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != path {
				w.WriteHeader(http.StatusNotFound)
				return
			}
			w.Header().Set("Content-Type", kind)
			_, _ = w.Write(value) // a client that has gone
		})}
		s.Protocols.SetHTTP1(true)
		s.Protocols.SetUnencryptedHTTP2(true)
		return s.ListenAndServe()
	}
	return fmt.Errorf("no peer is called %q", name)
}
