package rest

import (
	"github.com/valyala/fasthttp"

	"github.com/latticed/latticed/grid"
)

// Texts that clients of Infinispan know.
const (
	notFound      = "Resource not found"
	notAllowed    = "Not allowed"
	invalidAction = "Invalid action"
	unknownAction = "Invalid 'action' parameter supplied"
)

// route finds out what the request is about and begins with it.
func (x *Exchange) route(t grid.Ticket) {
	if !x.admit() {
		return
	}
	if x.meth == mOther {
		x.plain(fasthttp.StatusForbidden)
		return
	}
	if x.t.split(x.Req.RequestURI()) != nil {
		x.plain(fasthttp.StatusBadRequest)
		return
	}
	s := x.t.seg[:min(x.t.n, maxSegments)]
	if len(s) >= 3 && string(s[0]) == "rest" && string(s[2]) == "caches" {
		switch {
		case len(s) == 5 && string(s[1]) == "v2":
			x.entry(s[3], s[4], t)
			return
		case len(s) == 6 && string(s[1]) == "v3" && string(s[4]) == "entries":
			x.entry(s[3], s[5], t)
			return
		}
	}
	x.text(fasthttp.StatusNotFound, notFound)
}

// action returns the action parameter. False: x is answered.
func (x *Exchange) action() (string, bool) {
	if len(x.t.query) == 0 {
		return "", true
	}
	v, given, err := x.t.param("action")
	switch {
	case err != nil:
		x.plain(fasthttp.StatusBadRequest)
		return "", false
	case given && len(v) == 0:
		x.text(fasthttp.StatusBadRequest, invalidAction)
		return "", false
	}
	return string(v), true
}
