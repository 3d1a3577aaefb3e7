package rest

import (
	"bytes"
	"net/netip"

	"github.com/valyala/fasthttp"
)

// Browsers reach this port on behalf of whoever wrote the page they show. So where only this machine can connect, a
// request has to name it (a foreign name that resolves to it is DNS rebinding), and whatever page asks has to be from
// here or named in the configuration. Requests without Host and Origin are no browser's.

// exposed are the fields of answers that scripts of other origins may read.
const exposed = "Cache-Control, Cluster-Backup-Owners, Cluster-Node-Name, Cluster-Primary-Owner, Cluster-Server-Address, " +
	"Content-Encoding, Content-Length, Content-Type, created, Date, Etag, Expires, key-content-type, Last-Modified, lastUsed, " +
	"location, maxIdleTimeSeconds, timeToLiveSeconds, Transfer-Encoding, value-content-type, WWW-Authenticate"

const (
	allowedMethods = "GET, POST, PUT, DELETE, HEAD, OPTIONS"
	allowedFields  = "Accept, Authorization, Cache-Control, Content-Encoding, Content-Type, created, extended, flags, If-Match, " +
		"If-Modified-Since, If-None-Match, If-Unmodified-Since, Key-Content-Type, lastUsed, maxIdleTimeSeconds, " +
		"timeToLiveSeconds, User-Agent"
)

// policy is what a browser may do with a page of ours. Values of entries have valuePolicy: whoever stored one must not
// have his scripts run as if they were from here.
const (
	policy = "default-src 'self' data:; style-src 'self' 'unsafe-inline'; base-uri 'self'; form-action 'self'; " +
		"frame-src 'self'; frame-ancestors 'self'; object-src 'none'"
	valuePolicy = "sandbox; default-src 'none'; frame-ancestors 'self'"
)

// admit decides whether the request may be looked at. False: x is answered.
func (x *Exchange) admit() bool {
	if p := x.peer; !p.known {
		p.known = true
		p.Env.Describe(p.Speaks, string(x.Req.UserAgent()))
	}
	if x.has&(1<<fUserAgent) != 0 && bytes.HasPrefix(x.Req.UserAgent(), []byte("Mozilla")) {
		x.Res.Set("X-Frame-Options", "sameorigin")
		x.Res.Set("X-XSS-Protection", "1; mode=block")
		x.Res.Set("X-Content-Type-Options", "nosniff")
		x.Res.Set("Content-Security-Policy", policy)
		x.browser = true
	}
	x.heed()
	guarded := x.peer.Env.Local && x.peer.Env.Remote.IsValid() // no browser reaches a Unix socket
	host := x.Req.Host()
	known := func(host []byte) bool {
		if len(host) == 0 || string(host) == x.peer.host {
			return true
		}
		ok := isLocal(host) || contains(x.s.opt.AllowedHosts, nameOf(host))
		if ok && x.peer.host == "" && len(host) <= 64 {
			x.peer.host = string(host)
		}
		return ok
	}
	// What a proxy was asked for counts too, but not instead: any page that is led here can say it.
	if guarded && known(host) && len(x.from.host) > 0 {
		host = x.from.host
	}
	if guarded && !known(host) {
		x.text(fasthttp.StatusForbidden, "this listener is for this machine, and ", string(host),
			" is none of its names; see http.allowed-hosts in the configuration")
		return false
	}
	origin, given := x.field(fOrigin)
	if !given {
		if guarded && x.crossSite() {
			x.text(fasthttp.StatusForbidden, "another site may not use this listener, which is for this machine")
			return false
		}
		return true
	}
	if len(x.from.host) > 0 {
		host = x.from.host
	}
	with, same := x.sharing(origin, host), x.sameOrigin(origin, host)
	if _, preflight := x.field(fAccessMethod); preflight && x.meth == mOptions {
		if with != nil {
			x.setUnlessEmpty("Access-Control-Allow-Methods", with.methods)
			x.setUnlessEmpty("Access-Control-Allow-Headers", with.headers)
			x.Res.Set("Access-Control-Max-Age", with.age)
			x.share(origin, with)
		}
		x.plain(fasthttp.StatusOK)
		return false
	}
	switch {
	case with != nil && (same || with.allows(x.meth)):
		x.setUnlessEmpty("Access-Control-Expose-Headers", with.expose)
		x.share(origin, with)
	case !same:
		x.plain(fasthttp.StatusForbidden)
		return false
	}
	return true
}

// crossSite tells whether a browser says that a page of another site makes it ask, other than by following a link.
func (x *Exchange) crossSite() bool {
	site, given := x.field(fSecFetchSite)
	if !given || string(site) != "cross-site" {
		return false
	}
	mode, _ := x.field(fSecFetchMode)
	return string(mode) != "navigate"
}

// allows tells whether pages of origin may use this server: those that the configuration names, and those of this
// machine from the server's own port or 9000, where Infinispan's console is developed.
func (x *Exchange) allows(origin, host []byte) bool {
	if contains(x.s.opt.AllowedOrigins, origin) {
		return true
	}
	_, authority, ok := bytes.Cut(origin, []byte("://"))
	scheme := origin[:max(0, len(origin)-len(authority)-3)]
	if !ok || string(scheme) != "http" && string(scheme) != "https" {
		return false
	}
	switch string(nameOf(authority)) {
	case "localhost", "127.0.0.1", "[::1]":
		port := portOf(authority)
		return string(port) == "9000" || len(port) > 0 && bytes.Equal(port, portOf(host))
	}
	return false
}

func (x *Exchange) sameOrigin(origin, host []byte) bool {
	scheme := "http://"
	if x.peer.Env.TLS && len(x.from.proto) == 0 || equalFold(x.from.proto, "https") {
		scheme = "https://"
	}
	return bytes.HasPrefix(origin, []byte(scheme)) && bytes.EqualFold(origin[len(scheme):], host) && len(host) > 0
}

func contains(list []string, s []byte) bool {
	for _, one := range list {
		if equalFold(s, one) {
			return true
		}
	}
	return false
}

// nameOf returns a Host field without the port.
func nameOf(host []byte) []byte {
	if i := bytes.LastIndexByte(host, ':'); i >= 0 && bytes.IndexByte(host[i:], ']') < 0 {
		return host[:i]
	}
	return host
}

func portOf(host []byte) []byte {
	if n := len(nameOf(host)); n < len(host) {
		return host[n+1:]
	}
	return nil
}

// isLocal tells whether a Host field names this machine to itself.
func isLocal(host []byte) bool {
	name := bytes.TrimSuffix(nameOf(host), []byte("."))
	if equalFold(name, "localhost") || len(name) > 10 && equalFold(name[len(name)-10:], ".localhost") {
		return true
	}
	if len(name) > 2 && name[0] == '[' && name[len(name)-1] == ']' {
		name = name[1 : len(name)-1]
	}
	addr, err := netip.ParseAddr(string(name))
	return err == nil && addr.Unmap().IsLoopback()
}

// mayAdmin tells whether the request may change the server. False: x is answered.
func (x *Exchange) mayAdmin() bool {
	if x.peer.Env.Admin {
		return true
	}
	x.text(fasthttp.StatusForbidden, "this listener is not open to administration; see admin of listeners in the configuration")
	return false
}
