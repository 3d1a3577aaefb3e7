package rest

import (
	"embed"

	"github.com/valyala/fasthttp"
)

// pages is the status page: it loads nothing from elsewhere and links by relative paths, so that it works behind a
// proxy below any path.
//
//go:embed page
var pages embed.FS

// page answers with a file of the status page.
func (x *Exchange) page(name, kind string) {
	if x.meth != mGet && x.meth != mHead {
		x.text(fasthttp.StatusMethodNotAllowed, notAllowed)
		return
	}
	b, err := pages.ReadFile("page/" + name)
	if err != nil {
		panic("BUG: no page " + name)
	}
	x.plain(fasthttp.StatusOK)
	x.Res.SetContentType(kind)
	x.Res.Set("Cache-Control", "no-cache")
	x.body(b, false)
}

// status answers with what the page shows. Rates are the page's to find out: it asks again and compares.
func (x *Exchange) status() {
	if x.meth != mGet {
		x.text(fasthttp.StatusMethodNotAllowed, notAllowed)
		return
	}
	x.inTurn((*Exchange).showStatus)
}

func (x *Exchange) showStatus() {
	h, ops := x.s.opt.Host(), x.s.allOps()
	o := object(x.out[:0])
	o.open()
	o.text("version", h.Version)
	o.text("node", h.Node)
	o.text("cluster", h.Cluster)
	o.list("addresses", h.Addresses)
	o.list("protocols", h.Protocols)
	o.list("caches", x.s.opt.Catalog.Names())
	o.int("now", x.now.Wall)
	o.int("started", h.Started)
	o.int("entries", int64(h.Entries))
	o.int("bytes", int64(h.Bytes))
	o.int("limit", int64(h.Limit))
	o.int("connections", h.Connections)
	o.int("hits", int64(ops.Hits))
	o.int("misses", int64(ops.Misses))
	o.int("stores", int64(h.Stores))
	o.int("removals", int64(ops.RemoveHits+ops.RemoveMisses))
	o.end()
	x.out = o
	x.json()
	x.Res.Set("Cache-Control", "no-store")
}
