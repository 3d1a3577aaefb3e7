package infinispan

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Server is what of a running server Infinispan has words for, to be written.
type Server struct {
	Endpoints []Endpoint
	DataDir   string // empty: none
}

// Endpoint is one address and what is spoken there.
type Endpoint struct {
	Name        string // of its socket binding
	Host        string // an address
	Any         bool   // all addresses of the machine
	Port        int
	IdleTimeout int64 // ms; 0: none
	NoAdmin     bool  // not open to administration
	TLS         *TLS  // nil: none
	REST        bool
	MaxContent  string // of requests by REST, as a size
	CORS        []CORSRule
	Memcached   string // the cache of memcached clients; empty: that is not spoken
}

// TLS is how an endpoint is encrypted.
type TLS struct {
	SelfSigned                  bool
	Keystore, Alias, Truststore string // files, and the name in the first
	Password                    bool   // there is one
	Protocols, Suites           string // separated by spaces; empty: as by default
	ClientAuth                  bool   // clients need certificates
}

// CORSRule is what pages of some origins may do. Lists are separated by spaces.
type CORSRule struct {
	Name                              string
	Credentials                       bool
	MaxAge                            int // seconds
	Origins, Methods, Headers, Expose string
}

// Append writes the server's element.
func (s *Server) Append(dst []byte, f Format, pretty bool) []byte {
	return appendNode(dst, f, s.node(), pretty)
}

// AppendContainer writes the whole, with the container of caches, of which none is written: they have a resource of their own.
func (s *Server) AppendContainer(dst []byte, f Format, pretty bool) []byte {
	container := &node{name: "cache-container", fields: []item{{"name", "default", text}, {"statistics", "true", text}}}
	if s.DataDir != "" {
		at := &node{name: "persistent-location", fields: []item{{"path", s.DataDir, text}}}
		container.below = append(container.below, &node{name: "global-state", below: []*node{at}})
	}
	container.below = append(container.below, &node{name: "caches"})
	top := &node{
		name: "infinispan", fields: []item{{"xmlns", "urn:infinispan:config:16.0", namespace}},
		below: []*node{container, s.node()},
	}
	return appendNode(dst, f, top, pretty)
}

func appendNode(dst []byte, f Format, n *node, pretty bool) []byte {
	switch f {
	case XML:
		return appendXMLDocument(dst, n, pretty)
	case YAML:
		return n.appendYAML(dst, 0)
	}
	dst = n.appendJSON(append(dst, '{'), 1, pretty)
	return appendLine(dst, 0, pretty, '}')
}

func (s *Server) node() *node {
	interfaces := &node{name: "interfaces", is: array}
	bindings := &node{name: "socket-bindings", fields: []item{{"port-offset", "0", text}, {"default-interface", "public", text}}}
	realms := &node{name: "security-realms", is: array}
	endpoints := &node{name: "endpoints"}
	names := map[string]string{} // of interfaces, by host
	made := map[string]bool{}
	for i := range s.Endpoints {
		e := &s.Endpoints[i]
		if names[e.Host] == "" {
			at := &node{name: "inet-address", fields: []item{{"value", e.Host, text}}}
			if e.Any {
				at = &node{name: "any-address"}
			}
			names[e.Host] = e.Host
			if i == 0 {
				names[e.Host] = "public"
			}
			interfaces.below = append(interfaces.below, &node{name: "interface", fields: []item{{"name", names[e.Host], text}}, below: []*node{at}})
		}
		bindings.below = append(bindings.below, &node{name: "socket-binding", is: member, fields: []item{
			{"name", e.Name, text}, {"port", strconv.Itoa(e.Port), text}, {"interface", names[e.Host], text},
		}})
		realm := s.realm(i)
		if realm != "" && !made[realm] {
			made[realm] = true
			realms.below = append(realms.below, e.TLS.node(realm))
		}
		n := e.node(realm, i == 0)
		if len(s.Endpoints) > 1 {
			n.is = member
		}
		endpoints.below = append(endpoints.below, n)
	}
	security := &node{name: "security"}
	if len(realms.below) > 0 {
		security.below = []*node{realms}
	}
	return &node{
		name: "server", fields: []item{{"xmlns", "urn:infinispan:server:16.0", namespace}},
		below: []*node{interfaces, bindings, security, endpoints},
	}
}

// realm is what the encryption of an endpoint is called: by the first endpoint that has the same. Empty: there is none.
func (s *Server) realm(i int) string {
	if s.Endpoints[i].TLS == nil {
		return ""
	}
	first := slices.IndexFunc(s.Endpoints, func(e Endpoint) bool { return e.TLS != nil && reflect.DeepEqual(e.TLS, s.Endpoints[i].TLS) })
	return s.Endpoints[first].Name
}

// Realm is an endpoint that is encrypted, and what Infinispan would call that by which it is.
type Realm struct{ Endpoint, Realm string }

// Realms returns the endpoints that are encrypted.
func (s *Server) Realms() (list []Realm) {
	for i := range s.Endpoints {
		if r := s.realm(i); r != "" {
			list = append(list, Realm{s.Endpoints[i].Name, r})
		}
	}
	return list
}

// AppendDefaults writes what a local cache is of which nothing is said, as Infinispan does, with what has an effect here.
func AppendDefaults(dst []byte) []byte {
	top := &node{name: "local-cache"}
	statistics := &node{name: "jmx-statistics"}
	cacheSchema.each("", func(path string, a *attribute) {
		if a.only != nil && !slices.Contains(a.only, "local-cache") {
			return
		}
		at, v := top.find(path), item{a.name, a.def, text}
		switch {
		case path == "statistics":
			at = statistics
		case a.is == list:
			v.value = "[]"
		case a.def == "", a.is == size:
			v.is = nothing
		}
		at.fields = append(at.fields, v)
	})
	top.below = append(top.below, statistics)
	return appendNode(dst, JSON, top, false)
}

// say appends an attribute, unless there is nothing to say.
func (n *node) say(name, value string, is kind) {
	if value != "" {
		n.fields = append(n.fields, item{name, value, is})
	}
}

func (e *Endpoint) node(realm string, first bool) *node {
	n := &node{name: "endpoint"}
	if e.IdleTimeout > 0 {
		n.say("idle-timeout", strconv.FormatInt(e.IdleTimeout, 10), text)
	}
	n.say("socket-binding", e.Name, text)
	n.say("security-realm", realm, text)
	if e.TLS != nil && e.TLS.ClientAuth {
		n.say("require-ssl-client-auth", "true", boolean)
	}
	if e.NoAdmin {
		n.say("admin", "false", boolean)
	}
	called := func(protocol string) string {
		if first {
			return protocol
		}
		return protocol + "-" + e.Name
	}
	if e.REST {
		r := &node{name: "rest-connector"}
		r.say("name", called("rest"), text)
		r.say("socket-binding", e.Name, text)
		r.say("max-content-length", e.MaxContent, text)
		rules := &node{name: "cors-rules", is: array}
		for _, c := range e.CORS {
			rules.below = append(rules.below, c.node())
		}
		if len(rules.below) > 0 {
			r.below = append(r.below, rules)
		}
		n.below = append(n.below, r)
	}
	if e.Memcached != "" {
		m := &node{name: "memcached-connector"}
		m.say("cache", e.Memcached, text)
		m.say("name", called("memcached"), text)
		m.say("socket-binding", e.Name, text)
		m.say("protocol", "TEXT", text)
		n.below = append(n.below, m)
	}
	return n
}

func (c *CORSRule) node() *node {
	n := &node{name: "cors-rule"}
	n.say("name", c.Name, text)
	n.say("allow-credentials", strconv.FormatBool(c.Credentials), boolean)
	n.say("max-age-seconds", strconv.Itoa(c.MaxAge), text)
	n.say("allowed-origins", c.Origins, list)
	n.say("allowed-methods", c.Methods, list)
	n.say("allowed-headers", c.Headers, list)
	n.say("expose-headers", c.Expose, list)
	return n
}

func (t *TLS) node(realm string) *node {
	ssl := &node{name: "ssl"}
	key := &node{name: "keystore"}
	if t.SelfSigned {
		key.say("generate-self-signed-certificate-host", "localhost", text)
	}
	key.say("alias", t.Alias, text)
	key.say("path", t.Keystore, text)
	if t.Password {
		key.say("password", "***", text)
	}
	ssl.below = append(ssl.below, key)
	if t.Truststore != "" {
		ssl.below = append(ssl.below, &node{name: "truststore", fields: []item{{"path", t.Truststore, text}}})
	}
	engine := &node{name: "engine"}
	engine.say("enabled-protocols", t.Protocols, list)
	engine.say("enabled-ciphersuites", strings.ReplaceAll(t.Suites, " ", ":"), text)
	if len(engine.fields) > 0 {
		ssl.below = append(ssl.below, engine)
	}
	return &node{name: "security-realm", fields: []item{{"name", realm, text}}, below: []*node{{name: "server-identities", below: []*node{ssl}}}}
}
