package rest

import (
	"net/url"
	"slices"

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
	if len(s) == 5 && string(s[0]) == "rest" && string(s[1]) == "v2" && string(s[2]) == "caches" {
		x.entry(s[3], s[4], t)
		return
	}
	if x.t.n > maxSegments {
		x.text(fasthttp.StatusNotFound, notFound)
		return
	}
	if len(s) < 2 || string(s[0]) != "rest" {
		x.root(s)
		return
	}
	switch string(s[1]) {
	case "v2":
		x.v2(s[2:])
	case "v3":
		x.v3(s[2:], t)
	default:
		x.text(fasthttp.StatusNotFound, notFound)
	}
}

// root routes what is not below /rest.
func (x *Exchange) root(s [][]byte) {
	switch first := part(s, 0); {
	case len(s) == 0:
		x.page("index.html", "text/html; charset=utf-8")
	case first == "health" && len(s) == 2:
		x.health(part(s, 1))
	case first == "metrics":
		x.metrics()
	case first == "status.js" && len(s) == 1:
		x.page(first, "text/javascript; charset=utf-8")
	case first == "status.css" && len(s) == 1:
		x.page(first, "text/css; charset=utf-8")
	case first == "status.json" && len(s) == 1:
		x.status()
	case first == "console":
		x.notYet("the console")
	default:
		x.text(fasthttp.StatusNotFound, notFound)
	}
}

// v2 routes what is below /rest/v2.
func (x *Exchange) v2(s [][]byte) {
	switch first := part(s, 0); first {
	case "caches":
		switch {
		case len(s) == 1:
			x.caches()
		case len(s) == 2:
			if action, ok := x.action(); ok {
				x.aCache(s[1], action)
			}
		case len(s) > 3 && isOneOf(part(s, 2), "search", "x-site", "rolling-upgrade"):
			x.notYet("this part of a cache")
		default:
			x.text(fasthttp.StatusNotFound, notFound)
		}
	case "container":
		x.container(s[1:])
	case "cache-managers":
		if len(s) == 1 {
			x.text(fasthttp.StatusNotFound, notFound)
			return
		}
		x.container(s[2:])
	case "server":
		x.server(s[1:])
	case "cluster":
		x.cluster(s[1:])
	case "login":
		x.login()
	case "security":
		if x.meth == mGet && len(s) == 3 && part(s, 1) == "user" && part(s, 2) == "acl" {
			x.out = append(x.out[:0], `{"subject":[]}`...)
			x.json()
			return
		}
		x.notYet("security")
	case "tasks":
		x.tasks(s[1:])
	case "logging":
		x.logging(s[1:])
	case "counters", "schemas":
		x.notYet(first)
	default:
		x.text(fasthttp.StatusNotFound, notFound)
	}
}

// tasks answers for tasks and scripts, of which there are none.
func (x *Exchange) tasks(sub [][]byte) {
	if len(sub) > 0 {
		x.notYet("tasks")
		return
	}
	if action, ok := x.action(); ok && x.offers(action, "GET") {
		x.none()
	}
}

// none answers with an empty list.
func (x *Exchange) none() {
	x.out = append(x.out[:0], "[]"...)
	x.json()
}

// login tells a console that nobody has to log in.
func (x *Exchange) login() {
	action, ok := x.action()
	switch {
	case !ok:
	case x.meth == mGet && action == "config":
		x.out = append(x.out[:0], `{"mode":"HTTP","ready":"true"}`...)
		x.json()
	default:
		x.notYet("logging in")
	}
}

// verbs are the actions that v3 has as parts of the path.
var verbs = map[string]string{
	"details": "details", "config": "config", "_stats": "stats", "_stats-reset": "stats-reset", "_clear": "clear", "_size": "size",
	"keys": "keys", "entries": "entries", "_listen": "listen", "_search": "search", "_health": "health",
	"_distribution": "distribution", "_initialize": "initialize", "_sync-data": "sync-data", "_assign-alias": "assign-alias",
	"_delete-by-query": "deleteByQuery", "_rebalancing-enable": "enable-rebalancing", "_rebalancing-disable": "disable-rebalancing",
}

// v3 routes what is below /rest/v3: the same resources, with paths instead of actions.
func (x *Exchange) v3(s [][]byte, t grid.Ticket) {
	switch first := part(s, 0); {
	case first == "caches" && len(s) == 2 && x.meth == mGet:
		x.text(fasthttp.StatusMethodNotAllowed, notAllowed)
	case first == "caches" && len(s) == 2:
		x.aCache(s[1], "")
	case first == "caches" && len(s) == 4 && part(s, 2) == "config" && part(s, 3) == "attributes" && x.meth == mGet:
		x.aCache(s[1], "get-mutable-attributes")
	case first == "caches" && len(s) == 5 && part(s, 2) == "config" && part(s, 3) == "attributes":
		switch x.meth {
		case mGet, mPost:
			value, err := x.t.params("attribute-value")
			if err != nil {
				x.plain(fasthttp.StatusBadRequest)
				return
			}
			q := url.Values{"attribute-name": {string(s[4])}, "attribute-value": value, "full": nil}
			x.t.query = []byte(q.Encode())
			action := "get-mutable-attribute"
			if x.meth == mPost {
				action = "set-mutable-attribute"
			}
			x.aCache(s[1], action)
		default:
			x.text(fasthttp.StatusMethodNotAllowed, notAllowed)
		}
	case first == "container" && x.meth == mGet && (len(s) == 2 && part(s, 1) == "_listen" || len(s) == 3 && part(s, 1) == "config" && part(s, 2) == "_listen"):
		x.listenCaches()
	case first == "container" && len(s) == 2 && isOneOf(part(s, 1), "_stats", "_stats-reset"):
		if part(s, 1) == "_stats" && x.offers("", "GET") {
			x.t.query = nil
			x.container([][]byte{[]byte("stats")})
		} else if part(s, 1) == "_stats-reset" && x.offers("", "POST") {
			x.inTurn((*Exchange).resetAll)
		}
	case first == "container" && len(s) == 2 && part(s, 1) == "_cache-config-to-json":
		if x.offers("", "POST") {
			x.convert(true)
		}
	case first == "openapi" && len(s) == 1:
		x.describeAll()
	case (first == "_cache-config-convert" || first == "_cache-config-compare") && len(s) == 1:
		switch {
		case x.meth != mPost:
			x.text(fasthttp.StatusMethodNotAllowed, notAllowed)
		case first == "_cache-config-compare":
			x.compare()
		default:
			x.convert(false)
		}
	case first == "caches" && len(s) == 3 && part(s, 2) == "_availability" && x.meth == mGet:
		x.aCache(s[1], "get-availability")
	case first == "caches" && len(s) == 3:
		action, known := verbs[part(s, 2)]
		switch {
		case part(s, 2) == "_availability":
			x.notYet("setting the availability")
		case !known:
			x.text(fasthttp.StatusNotFound, notFound)
		default:
			x.aCache(s[1], action)
		}
	case first == "caches" && len(s) == 4 && part(s, 2) == "entries":
		x.entry(s[1], s[3], t)
	case first == "caches" && len(s) == 5 && part(s, 2) == "entries" && part(s, 4) == "_distribution" && x.meth == mGet:
		x.t.query = []byte("action=distribution")
		x.entry(s[1], s[3], t)
	case first == "meta" && part(s, 1) == "caches" && part(s, 2) == "_detailed" && len(s) == 3:
		x.t.query = []byte("action=detailed")
		x.caches()
	case first == "meta" && part(s, 1) == "caches" && part(s, 2) == "_role-accessible" && len(s) == 3 && x.meth == mGet:
		x.accessible()
	case first == "cluster" && part(s, 1) == "_distribution" && len(s) == 2:
		x.t.query = []byte("action=distribution")
		x.cluster(nil)
	case isVerb(s) && slices.Contains(serverVerbs, pattern(s)):
		x.act(s)
	case first == "caches" && len(s) == 1, first == "container" && !isVerb(s), first == "server" && !isVerb(s), first == "cluster" && !isVerb(s),
		first == "login", first == "security", first == "counters", first == "tasks", first == "schemas", first == "logging":
		x.v2(s)
	case first == "caches", first == "container", first == "server", first == "cluster", first == "meta", first == "mcp":
		x.notYet("this part of /rest/v3")
	default:
		x.text(fasthttp.StatusNotFound, notFound)
	}
}

// serverVerbs are the paths of v3 that are actions of v2, a POST of what is above them.
var serverVerbs = []string{"server/_stop", "cluster/_stop", "server/memory/_heap-dump", "server/connectors/*/_start", "server/connectors/*/_stop", "server/datasources/*/_test"}

// pattern is a path with a star for each name.
func pattern(s [][]byte) string {
	var b []byte
	for i, p := range s {
		switch {
		case i == 0:
			b = append(b, p...)
		case i == 2 && len(s) == 4:
			b = append(b, "/*"...)
		default:
			b = append(append(b, '/'), p...)
		}
	}
	return string(b)
}

// act answers for a path of serverVerbs.
func (x *Exchange) act(s [][]byte) {
	if x.meth != mPost {
		x.text(fasthttp.StatusMethodNotAllowed, notAllowed)
		return
	}
	last := len(s) - 1
	x.t.query = append([]byte("action="+string(s[last][1:])+"&"), x.t.query...)
	x.v2(s[:last])
}

// isVerb tells whether a path ends with an action, and not with a name that looks like one.
func isVerb(s [][]byte) bool {
	named := len(s) == 3 && isOneOf(part(s, 1), "ignored-caches", "connectors", "datasources", "report")
	return len(s) > 1 && len(s[len(s)-1]) > 0 && s[len(s)-1][0] == '_' && !named
}

func isOneOf(s string, list ...string) bool { return slices.Contains(list, s) }

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
