package rest

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/latticed/latticed/conf/infinispan"
)

// operation is what clients are told of some requests: those of its verbs on its path, and with its actions.
type operation struct {
	verbs   string // separated by spaces
	path    string
	about   string
	ok      int    // status when all is well
	kind    string // media type of that answer's body; empty: there is none
	query   string // names of parameters, separated by spaces
	actions string // what the parameter action may be
	body    string // what the request's body is: bytes, document, parts or rules; empty: it has none
	fields  string // header fields of the request that mean something
}

const (
	jsonKind  = "application/json"
	textKind  = "text/plain"
	eventKind = "text/event-stream"
	anyKind   = "*/*"

	reading = "Accept If-Match If-None-Match If-Modified-Since If-Unmodified-Since Cache-Control Key-Content-Type"
	writing = "Content-Type Key-Content-Type If-Match If-None-Match timeToLiveSeconds maxIdleTimeSeconds flags Memcached-Flags"
)

// operations are all that is served, but that v2's actions listen stand there by their paths of v3 alone: who tries all that is
// described can leave out those, whose answers do not end. TestOpenAPI holds them to the routes, both ways.
var operations = []operation{
	{verbs: "GET", path: "/rest/v3/caches", about: "Names of all caches.", ok: 200, kind: jsonKind},
	{verbs: "GET", path: "/rest/v3/meta/caches/_detailed", about: "What is known about all caches.", ok: 200, kind: jsonKind},
	{verbs: "GET", path: "/rest/v3/meta/caches/_role-accessible", about: "The caches that a role may use.", ok: 200, kind: jsonKind, query: "role"},
	{verbs: "HEAD", path: "/rest/v3/caches/{cache}", about: "Whether there is such a cache.", ok: 204},
	{verbs: "POST", path: "/rest/v3/caches/{cache}", about: "Make a cache.", ok: 200, query: "template", body: "document", fields: "flags"},
	{verbs: "PUT", path: "/rest/v3/caches/{cache}", about: "Make a cache, or change what can be changed of one.", ok: 200, body: "document", fields: "flags"},
	{verbs: "DELETE", path: "/rest/v3/caches/{cache}", about: "Remove a cache.", ok: 200},
	{verbs: "GET", path: "/rest/v3/caches/{cache}/details", about: "What is known about a cache.", ok: 200, kind: jsonKind},
	{verbs: "GET HEAD", path: "/rest/v3/caches/{cache}/config", about: "The configuration of a cache.", ok: 200, kind: anyKind, query: "pretty", fields: "Accept"},
	{verbs: "GET", path: "/rest/v3/caches/{cache}/config/attributes", about: "What can be changed of a cache.", ok: 200, kind: jsonKind, query: "full"},
	{verbs: "GET", path: "/rest/v3/caches/{cache}/config/attributes/{attribute}", about: "One attribute that can be changed.", ok: 200, kind: jsonKind},
	{verbs: "POST", path: "/rest/v3/caches/{cache}/config/attributes/{attribute}", about: "Change an attribute.", ok: 200, query: "attribute-value"},
	{verbs: "POST", path: "/rest/v3/_cache-config-convert", about: "A configuration in another format.", ok: 200, kind: anyKind, query: "pretty", body: "document", fields: "Accept"},
	{verbs: "POST", path: "/rest/v3/_cache-config-compare", about: "Whether two configurations mean the same.", ok: 204, query: "ignoreMutable", body: "parts"},
	{verbs: "GET", path: "/rest/v3/caches/{cache}/_stats", about: "Statistics of a cache.", ok: 200, kind: jsonKind},
	{verbs: "POST", path: "/rest/v3/caches/{cache}/_stats-reset", about: "Begin the statistics anew.", ok: 204},
	{verbs: "POST", path: "/rest/v3/caches/{cache}/_assign-alias", about: "Move an alias to the cache.", ok: 200, query: "alias"},
	{verbs: "POST", path: "/rest/v3/caches/{cache}/_clear", about: "Remove all entries.", ok: 204},
	{verbs: "GET", path: "/rest/v3/caches/{cache}/_size", about: "How many entries there are.", ok: 200, kind: jsonKind},
	{verbs: "GET", path: "/rest/v3/caches/{cache}/keys", about: "All keys.", ok: 200, kind: jsonKind, query: "limit batch"},
	{verbs: "GET", path: "/rest/v3/caches/{cache}/entries", about: "All entries.", ok: 200, kind: jsonKind, query: "limit batch metadata content-negotiation"},
	{verbs: "GET", path: "/rest/v3/caches/{cache}/_listen", about: "What happens to entries, as it happens.", ok: 200, kind: eventKind, query: "includeCurrentState", fields: "Accept"},
	{verbs: "GET", path: "/rest/v3/container/_listen", about: "What happens to caches, as it happens.", ok: 200, kind: eventKind, query: "includeCurrentState pretty", fields: "Accept"},
	{verbs: "GET", path: "/rest/v3/container/config/_listen", about: "What happens to caches, as it happens.", ok: 200, kind: eventKind, query: "includeCurrentState pretty", fields: "Accept"},
	{verbs: "GET", path: "/rest/v3/caches/{cache}/_health", about: "Whether the cache is well.", ok: 200, kind: textKind},
	{verbs: "GET", path: "/rest/v3/caches/{cache}/_distribution", about: "Where the entries are.", ok: 200, kind: jsonKind},
	{verbs: "GET", path: "/rest/v3/caches/{cache}/_availability", about: "Whether the cache can be used.", ok: 200, kind: textKind},
	{verbs: "GET HEAD", path: "/rest/v3/caches/{cache}/entries/{key}", about: "An entry.", ok: 200, kind: anyKind, query: "extended", fields: reading},
	{verbs: "PUT POST", path: "/rest/v3/caches/{cache}/entries/{key}", about: "Store an entry; by POST only where there is none.", ok: 204, body: "bytes", fields: writing},
	{verbs: "DELETE", path: "/rest/v3/caches/{cache}/entries/{key}", about: "Remove an entry.", ok: 204, fields: "If-Match If-None-Match Key-Content-Type"},
	{verbs: "GET", path: "/rest/v3/caches/{cache}/entries/{key}/_distribution", about: "Who has an entry.", ok: 200, kind: jsonKind},
	{verbs: "GET", path: "/rest/v3/container", about: "What is known about the node and its caches.", ok: 200, kind: jsonKind},
	{verbs: "GET HEAD", path: "/rest/v3/container/health", about: "The health of everything.", ok: 200, kind: jsonKind},
	{verbs: "GET HEAD", path: "/rest/v3/container/health/status", about: "The health in a word.", ok: 200, kind: textKind},
	{verbs: "GET", path: "/rest/v3/container/config", about: "The same with the container of caches.", ok: 200, kind: anyKind, query: "pretty", fields: "Accept"},
	{verbs: "GET", path: "/rest/v3/container/_stats", about: "Statistics of all caches together.", ok: 200, kind: jsonKind},
	{verbs: "POST", path: "/rest/v3/container/_stats-reset", about: "Begin the statistics of all caches anew.", ok: 204},
	{verbs: "GET", path: "/rest/v3/container/stats", about: "Statistics of all caches together.", ok: 200, kind: jsonKind},
	{verbs: "POST", path: "/rest/v3/container/_cache-config-to-json", about: "A configuration in JSON.", ok: 200, kind: jsonKind, body: "document"},
	{verbs: "GET", path: "/rest/v3/container/cache-configs", about: "The configurations of all caches and templates.", ok: 200, kind: jsonKind},
	{verbs: "GET", path: "/rest/v3/container/cache-configs/templates", about: "What caches can be made of by name.", ok: 200, kind: jsonKind},
	{verbs: "GET", path: "/rest/v3/cluster/members", about: "The nodes.", ok: 200, kind: jsonKind},
	{verbs: "GET", path: "/rest/v3/cluster/_distribution", about: "What the nodes hold.", ok: 200, kind: jsonKind},
	{verbs: "POST", path: "/rest/v3/cluster/_stop", about: "End the process in order.", ok: 204, query: "server"},
	{verbs: "GET", path: "/rest/v3/server", about: "The version.", ok: 200, kind: jsonKind},
	{verbs: "POST", path: "/rest/v3/server/_stop", about: "End the process in order.", ok: 204},
	{verbs: "GET", path: "/rest/v3/server/ignored-caches", about: "The caches that are not to be used for now.", ok: 200, kind: jsonKind},
	{verbs: "POST", path: "/rest/v3/server/ignored-caches/{cache}", about: "Have a cache refused to HTTP clients.", ok: 204},
	{verbs: "DELETE", path: "/rest/v3/server/ignored-caches/{cache}", about: "Have a cache served again.", ok: 204},
	{verbs: "GET", path: "/rest/v3/server/config", about: "The server's configuration, as far as Infinispan has words for it.", ok: 200, kind: anyKind, query: "pretty", fields: "Accept"},
	{verbs: "GET", path: "/rest/v3/server/overview-report", about: "What the server is used for.", ok: 200, kind: jsonKind},
	{verbs: "GET", path: "/rest/v3/server/caches/defaults", about: "What a cache is of which nothing is said.", ok: 200, kind: jsonKind},
	{verbs: "GET", path: "/rest/v3/server/memory", about: "What memory the process has taken.", ok: 200, kind: jsonKind},
	{verbs: "POST", path: "/rest/v3/server/memory/_heap-dump", about: "Write a profile of the heap to the data directory.", ok: 200, kind: jsonKind, query: "live"},
	{verbs: "GET", path: "/rest/v3/server/threads", about: "What goroutines do.", ok: 200, kind: textKind},
	{verbs: "GET", path: "/rest/v3/server/env", about: "What the process runs in and with.", ok: 200, kind: jsonKind},
	{verbs: "GET", path: "/rest/v3/server/report", about: "An archive of what helps to find out what is the matter.", ok: 200, kind: "application/gzip"},
	{verbs: "GET", path: "/rest/v3/server/report/{node}", about: "That of a node.", ok: 200, kind: "application/gzip"},
	{verbs: "GET", path: "/rest/v3/server/connections", about: "Who is connected.", ok: 200, kind: jsonKind, query: "global"},
	{verbs: "GET", path: "/rest/v3/server/connectors", about: "The names of the listeners.", ok: 200, kind: jsonKind},
	{verbs: "GET", path: "/rest/v3/server/connectors/{connector}", about: "What is known about a listener.", ok: 200, kind: jsonKind},
	{verbs: "POST", path: "/rest/v3/server/connectors/{connector}/_start", about: "Have a listener let clients in.", ok: 204},
	{verbs: "POST", path: "/rest/v3/server/connectors/{connector}/_stop", about: "Have a listener let nobody in.", ok: 204},
	{verbs: "GET", path: "/rest/v3/server/connectors/{connector}/ip-filter", about: "Who may connect.", ok: 200, kind: jsonKind},
	{verbs: "POST", path: "/rest/v3/server/connectors/{connector}/ip-filter", about: "Change who may connect.", ok: 204, body: "rules"},
	{verbs: "DELETE", path: "/rest/v3/server/connectors/{connector}/ip-filter", about: "Let everybody connect.", ok: 204},
	{verbs: "GET", path: "/rest/v3/server/datasources", about: "The data sources, of which there are none.", ok: 200, kind: jsonKind},
	{verbs: "GET", path: "/rest/v3/logging/loggers", about: "From which level on is logged.", ok: 200, kind: jsonKind},
	{verbs: "PUT", path: "/rest/v3/logging/loggers", about: "Change that level.", ok: 204, query: "level appender"},
	{verbs: "GET", path: "/rest/v3/logging/appenders", about: "Where the log goes.", ok: 200, kind: jsonKind},
	{verbs: "GET", path: "/rest/v3/tasks", about: "The tasks, of which there are none.", ok: 200, kind: jsonKind},
	{verbs: "GET", path: "/rest/v3/login", about: "How to log in.", ok: 200, kind: jsonKind, actions: "config"},
	{verbs: "GET", path: "/rest/v3/security/user/acl", about: "What the client may do.", ok: 200, kind: jsonKind},
	{verbs: "GET", path: "/rest/v3/openapi", about: "This document.", ok: 200, kind: jsonKind},

	{verbs: "GET", path: "/rest/v2/caches", about: "Names of all caches, or what is known about them.", ok: 200, kind: jsonKind, actions: " detailed role-accessible", query: "role"},
	{verbs: "POST", path: "/rest/v2/caches", about: "Convert or compare configurations.", ok: 200, kind: anyKind, actions: "convert toJSON compare", body: "document", fields: "Accept"},
	{verbs: "GET", path: "/rest/v2/caches/{cache}", about: "A cache, its parts, and its entries.", ok: 200, kind: anyKind,
		actions: " config stats size keys entries health distribution get-availability get-mutable-attributes get-mutable-attribute",
		query:   "limit batch metadata content-negotiation full pretty attribute-name", fields: "Accept"},
	{verbs: "HEAD", path: "/rest/v2/caches/{cache}", about: "Whether there is such a cache.", ok: 204},
	{verbs: "POST", path: "/rest/v2/caches/{cache}", about: "Make a cache, or do something with one.", ok: 200,
		actions: " clear stats-reset set-mutable-attribute assign-alias", query: "template alias attribute-name attribute-value", body: "document", fields: "flags"},
	{verbs: "PUT", path: "/rest/v2/caches/{cache}", about: "Make a cache, or change what can be changed of one.", ok: 200, body: "document", fields: "flags"},
	{verbs: "DELETE", path: "/rest/v2/caches/{cache}", about: "Remove a cache.", ok: 200},
	{verbs: "GET", path: "/rest/v2/caches/{cache}/{key}", about: "An entry, or who has it.", ok: 200, kind: anyKind, actions: " distribution", query: "extended", fields: reading},
	{verbs: "HEAD", path: "/rest/v2/caches/{cache}/{key}", about: "An entry without its value.", ok: 200, query: "extended", fields: reading},
	{verbs: "PUT POST", path: "/rest/v2/caches/{cache}/{key}", about: "Store an entry; by POST only where there is none.", ok: 204, body: "bytes", fields: writing},
	{verbs: "DELETE", path: "/rest/v2/caches/{cache}/{key}", about: "Remove an entry.", ok: 204, fields: "If-Match If-None-Match Key-Content-Type"},
	{verbs: "GET", path: "/rest/v2/container", about: "What is known about the node and its caches.", ok: 200, kind: jsonKind},
	{verbs: "GET HEAD", path: "/rest/v2/container/health", about: "The health of everything.", ok: 200, kind: jsonKind},
	{verbs: "GET HEAD", path: "/rest/v2/container/health/status", about: "The health in a word.", ok: 200, kind: textKind},
	{verbs: "GET", path: "/rest/v2/container/config", about: "The same with the container of caches.", ok: 200, kind: anyKind, query: "pretty", fields: "Accept"},
	{verbs: "GET", path: "/rest/v2/container/stats", about: "Statistics of all caches together.", ok: 200, kind: jsonKind},
	{verbs: "POST", path: "/rest/v2/container/stats", about: "Begin the statistics of all caches anew.", ok: 204, actions: "reset"},
	{verbs: "GET", path: "/rest/v2/container/cache-configs", about: "The configurations of all caches and templates.", ok: 200, kind: jsonKind},
	{verbs: "GET", path: "/rest/v2/container/cache-configs/templates", about: "What caches can be made of by name.", ok: 200, kind: jsonKind},
	{verbs: "GET", path: "/rest/v2/cache-managers/{manager}", about: "What is known about the node and its caches.", ok: 200, kind: jsonKind},
	{verbs: "GET", path: "/rest/v2/cache-managers/{manager}/caches", about: "What is known about all caches.", ok: 200, kind: jsonKind},
	{verbs: "GET HEAD", path: "/rest/v2/cache-managers/{manager}/health", about: "The health of everything.", ok: 200, kind: jsonKind},
	{verbs: "GET HEAD", path: "/rest/v2/cache-managers/{manager}/health/status", about: "The health in a word.", ok: 200, kind: textKind},
	{verbs: "GET", path: "/rest/v2/cluster", about: "What the nodes hold.", ok: 200, kind: jsonKind, actions: "distribution"},
	{verbs: "GET", path: "/rest/v2/cluster/members", about: "The nodes.", ok: 200, kind: jsonKind},
	{verbs: "POST", path: "/rest/v2/cluster", about: "End the process in order.", ok: 204, actions: "stop", query: "server"},
	{verbs: "GET", path: "/rest/v2/server", about: "The version.", ok: 200, kind: jsonKind},
	{verbs: "POST", path: "/rest/v2/server", about: "End the process in order.", ok: 204, actions: "stop"},
	{verbs: "GET", path: "/rest/v2/server/ignored-caches", about: "The caches that are not to be used for now.", ok: 200, kind: jsonKind},
	{verbs: "POST", path: "/rest/v2/server/ignored-caches/{cache}", about: "Have a cache refused to HTTP clients.", ok: 204},
	{verbs: "DELETE", path: "/rest/v2/server/ignored-caches/{cache}", about: "Have a cache served again.", ok: 204},
	{verbs: "GET", path: "/rest/v2/server/config", about: "The server's configuration, as far as Infinispan has words for it.", ok: 200, kind: anyKind, query: "pretty", fields: "Accept"},
	{verbs: "GET", path: "/rest/v2/server/overview-report", about: "What the server is used for.", ok: 200, kind: jsonKind},
	{verbs: "GET", path: "/rest/v2/server/caches/defaults", about: "What a cache is of which nothing is said.", ok: 200, kind: jsonKind},
	{verbs: "GET", path: "/rest/v2/server/memory", about: "What memory the process has taken.", ok: 200, kind: jsonKind},
	{verbs: "POST", path: "/rest/v2/server/memory", about: "Write a profile of the heap to the data directory.", ok: 200, kind: jsonKind, actions: "heap-dump", query: "live"},
	{verbs: "GET", path: "/rest/v2/server/threads", about: "What goroutines do.", ok: 200, kind: textKind},
	{verbs: "GET", path: "/rest/v2/server/env", about: "What the process runs in and with.", ok: 200, kind: jsonKind},
	{verbs: "GET", path: "/rest/v2/server/report", about: "An archive of what helps to find out what is the matter.", ok: 200, kind: "application/gzip"},
	{verbs: "GET", path: "/rest/v2/server/report/{node}", about: "That of a node.", ok: 200, kind: "application/gzip"},
	{verbs: "GET", path: "/rest/v2/server/connections", about: "Who is connected.", ok: 200, kind: jsonKind, query: "global"},
	{verbs: "GET", path: "/rest/v2/server/connectors", about: "The names of the listeners.", ok: 200, kind: jsonKind},
	{verbs: "GET", path: "/rest/v2/server/connectors/{connector}", about: "What is known about a listener.", ok: 200, kind: jsonKind},
	{verbs: "POST", path: "/rest/v2/server/connectors/{connector}", about: "Have a listener let clients in, or nobody.", ok: 204, actions: "start stop"},
	{verbs: "GET", path: "/rest/v2/server/connectors/{connector}/ip-filter", about: "Who may connect.", ok: 200, kind: jsonKind},
	{verbs: "POST", path: "/rest/v2/server/connectors/{connector}/ip-filter", about: "Change who may connect.", ok: 204, body: "rules"},
	{verbs: "DELETE", path: "/rest/v2/server/connectors/{connector}/ip-filter", about: "Let everybody connect.", ok: 204},
	{verbs: "GET", path: "/rest/v2/server/datasources", about: "The data sources, of which there are none.", ok: 200, kind: jsonKind},
	{verbs: "GET", path: "/rest/v2/logging/loggers", about: "From which level on is logged.", ok: 200, kind: jsonKind},
	{verbs: "PUT", path: "/rest/v2/logging/loggers", about: "Change that level.", ok: 204, query: "level appender"},
	{verbs: "GET", path: "/rest/v2/logging/appenders", about: "Where the log goes.", ok: 200, kind: jsonKind},
	{verbs: "GET", path: "/rest/v2/tasks", about: "The tasks, of which there are none.", ok: 200, kind: jsonKind},
	{verbs: "GET", path: "/rest/v2/login", about: "How to log in.", ok: 200, kind: jsonKind, actions: "config"},
	{verbs: "GET", path: "/rest/v2/security/user/acl", about: "What the client may do.", ok: 200, kind: jsonKind},

	{verbs: "GET HEAD", path: "/health/live", about: "Whether the process lives.", ok: 200},
	{verbs: "GET HEAD", path: "/health/ready", about: "Whether it takes requests.", ok: 200},
	{verbs: "GET HEAD", path: "/health/started", about: "Whether it has started.", ok: 200},
	{verbs: "GET HEAD", path: "/metrics", about: "Metrics for Prometheus.", ok: 200, kind: anyKind},
	{verbs: "GET HEAD", path: "/", about: "The status page.", ok: 200, kind: "text/html"},
	{verbs: "GET HEAD", path: "/status.js", about: "A part of the status page.", ok: 200, kind: "text/javascript"},
	{verbs: "GET HEAD", path: "/status.css", about: "A part of the status page.", ok: 200, kind: "text/css"},
	{verbs: "GET", path: "/status.json", about: "What the status page shows.", ok: 200, kind: jsonKind},
}

// schemas are those of parameters that are no words.
var schemas = map[string]any{
	"limit": m{"type": "integer"}, "batch": m{"type": "integer"}, "Memcached-Flags": m{"type": "integer", "minimum": 0, "maximum": uint32(math.MaxUint32)},
	"timeToLiveSeconds": m{"type": "integer"}, "maxIdleTimeSeconds": m{"type": "integer"},
	"metadata": m{"type": "boolean"}, "content-negotiation": m{"type": "boolean"}, "full": m{"type": "boolean"}, "pretty": m{"type": "boolean"}, "live": m{"type": "boolean"}, "global": m{"type": "boolean"},
	"ignoreMutable": m{"type": "boolean"}, "includeCurrentState": m{"type": "boolean"}, "template": m{"type": "string", "enum": infinispan.Templates},
}

type m = map[string]any

// openAPI is operations as a document.
func openAPI(version string) []byte {
	paths := m{}
	for _, o := range operations {
		item, _ := paths[o.path].(m)
		if item == nil {
			item = m{}
			paths[o.path] = item
		}
		for _, verb := range strings.Fields(o.verbs) {
			item[strings.ToLower(verb)] = o.document(verb)
		}
	}
	doc := m{
		"openapi": "3.1.1",
		"info": m{
			"title": "latticed", "version": version,
			"description": "Caches, their entries and configurations, and what is known about the daemon.",
		},
		"paths": paths,
	}
	b, err := json.Marshal(doc)
	if err != nil {
		panic("BUG: rest: " + err.Error()) // nothing in it cannot be written
	}
	return b
}

func (o *operation) document(verb string) m {
	var params []any
	add := func(name, in string, required bool) {
		schema := schemas[name]
		if schema == nil {
			schema = m{"type": "string"}
		}
		if in == "path" {
			schema = m{"type": "string", "minLength": 1}
		}
		params = append(params, m{"name": name, "in": in, "required": required, "schema": schema})
	}
	for _, p := range strings.Split(o.path, "/") {
		if strings.HasPrefix(p, "{") {
			add(strings.Trim(p, "{}"), "path", true)
		}
	}
	for _, name := range strings.Fields(o.query) {
		add(name, "query", false)
	}
	if o.actions != "" {
		optional := strings.HasPrefix(o.actions, " ")
		params = append(params, m{"name": "action", "in": "query", "required": !optional, "schema": m{"type": "string", "enum": strings.Fields(o.actions)}})
	}
	for _, name := range strings.Fields(o.fields) {
		if name != "Accept" && name != "Content-Type" { // OpenAPI has other means for these
			add(name, "header", false)
		}
	}
	fine := m{"description": "It is done."}
	if o.kind != "" && verb != "HEAD" {
		fine["content"] = m{o.kind: m{}}
	}
	answers := m{
		fmt.Sprint(o.ok): fine,
		"4XX":            m{"description": "The request is refused; a text may say why."},
		"503":            m{"description": "Too much is under way, or the node is stopping."},
	}
	if strings.Contains(o.fields, "If-") {
		answers["304"] = m{"description": "The client has it already."}
	}
	if o.actions != "" && o.ok == fasthttp.StatusOK && verb == "POST" {
		answers["204"] = m{"description": "It is done."}
	}
	if strings.HasSuffix(o.path, "/login") {
		answers["501"] = m{"description": "Nobody has to log in."}
	}
	if o.body != "" {
		answers["507"] = m{"description": "There is no room for it."}
	}
	d := m{"summary": o.about, "operationId": verb + " " + o.path, "responses": answers}
	if len(params) > 0 {
		d["parameters"] = params
	}
	switch o.body {
	case "bytes":
		d["requestBody"] = m{"content": m{"application/octet-stream": m{}, "text/plain": m{}, "application/json": m{}}}
	case "document":
		d["requestBody"] = m{"content": m{"application/json": m{"schema": m{"type": "object"}}, "application/xml": m{}, "application/yaml": m{}}}
	case "rules":
		rule := m{"type": "object", "properties": m{"type": m{"type": "string", "enum": []string{"ACCEPT", "REJECT"}}, "cidr": m{"type": "string"}},
			"required": []string{"type", "cidr"}}
		d["requestBody"] = m{"content": m{"application/json": m{"schema": m{"type": "array", "items": rule}}}}
	case "parts":
		d["requestBody"] = m{"content": m{"multipart/form-data": m{"schema": m{"type": "object", "properties": m{
			"one": m{"type": "string"}, "other": m{"type": "string"},
		}, "required": []string{"one", "other"}}}}}
	}
	return d
}

// otherwise tells whether the request's path is served, and its verb is none that it is ever used with: so it is not "not yet".
func (x *Exchange) otherwise() bool {
	if x.meth == mPost { // of these there are more than are served
		return false
	}
	known := false
	for i := range operations {
		o := &operations[i]
		if !x.t.matches(o.path) {
			continue
		}
		for _, verb := range strings.Fields(o.verbs) {
			if verb == string(x.Req.Method()) {
				return false
			}
		}
		known = true
	}
	return known
}

// matches tells whether the path is one of those that a template describes.
func (t *target) matches(template string) bool {
	n := 0
	for part := range strings.SplitSeq(template, "/") {
		if part == "" {
			continue
		}
		if n >= min(t.n, maxSegments) || part[0] != '{' && part != string(t.seg[n]) {
			return false
		}
		n++
	}
	return n == t.n
}

// describeAll answers with the document about all that is served.
func (x *Exchange) describeAll() {
	if x.meth != mGet {
		x.text(fasthttp.StatusMethodNotAllowed, notAllowed)
		return
	}
	x.out = append(x.out[:0], x.s.document()...)
	x.json()
}
