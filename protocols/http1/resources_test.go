package http1_test

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/latticed/latticed/protocols"
	"github.com/latticed/latticed/protocols/http1"
	"github.com/latticed/latticed/protocols/prototest"
	"github.com/latticed/latticed/protocols/rest"
)

// resources are the paths of Infinispan's REST interface, and what each answers here: 501 is "not yet", with a
// sentence; nothing that is not implemented may look as if it were.
const resources = `
GET /                                              200
HEAD /                                             200
POST /                                             405
GET /status.js                                     200
GET /status.css                                    200
GET /status.json                                   200
GET /nope                                          404
GET /rest                                          404
GET /rest/v2                                       404
GET /rest/v4/caches                                404
GET /health/live                                   200
HEAD /health/live                                  200
GET /health/ready                                  200
HEAD /health/ready                                 200
GET /health/started                                200
POST /health/ready                                 405
GET /health                                        404
GET /health/x                                      404
GET /metrics                                       501
GET /console                                       501
GET /console/welcome                               501
GET /rest/v2/caches                                200
HEAD /rest/v2/caches                               405
GET /rest/v2/caches?action=detailed                200
GET /rest/v2/caches?action=role-accessible         400
GET /rest/v2/caches?action=role-accessible&role=observer 200
GET /rest/v2/caches?action=role-accessible&role=nope 404
GET /rest/v2/caches?action=nope                    400
POST /rest/v2/caches                               400
POST /rest/v2/caches?action=convert                400
POST /rest/v2/caches?action=toJSON                 400
POST /rest/v2/caches?action=compare                400
GET /rest/v2/caches/default                        200
HEAD /rest/v2/caches/default                       204
HEAD /rest/v2/caches/none                          404
HEAD /rest/v2/caches/default?action=config         200
HEAD /rest/v2/caches/default?action=size           400
POST /rest/v2/caches/default                       400
POST /rest/v2/caches/c                             501
PUT /rest/v2/caches/c                              400
DELETE /rest/v2/caches/none                        404
DELETE /rest/v2/caches/default                     400
OPTIONS /rest/v2/caches/default                    405
GET /rest/v2/caches/default?action=config          200
GET /rest/v2/caches/none?action=config             404
GET /rest/v2/caches/default?action=stats           200
POST /rest/v2/caches/default?action=stats-reset    204
POST /rest/v2/caches/default?action=clear          204
POST /rest/v2/caches/none?action=clear             404
GET /rest/v2/caches/default?action=clear           400
GET /rest/v2/caches/default?action=size            200
GET /rest/v2/caches/none?action=size               404
GET /rest/v2/caches/default?action=keys            200
GET /rest/v2/caches/default?action=keys&limit=x    400
GET /rest/v2/caches/default?action=keys&batch=x    400
GET /rest/v2/caches/default?action=entries         200
GET /rest/v2/caches/default?action=health          200
GET /rest/v2/caches/none?action=health             404
GET /rest/v2/caches/default?action=distribution    200
GET /rest/v2/caches/default?action=get-availability 200
POST /rest/v2/caches/default?action=set-availability 501
GET /rest/v2/caches/default?action=get-mutable-attributes 200
GET /rest/v2/caches/default?action=get-mutable-attribute 400
POST /rest/v2/caches/default?action=set-mutable-attribute 400
POST /rest/v2/caches/default?action=assign-alias   400
GET /rest/v2/caches/default?action=listen          200
GET /rest/v2/caches/default?action=search          501
POST /rest/v2/caches/default?action=search         501
POST /rest/v2/caches/default?action=deleteByQuery  501
DELETE /rest/v2/caches/default?action=deleteByQuery 501
POST /rest/v2/caches/default?action=enable-rebalancing 501
POST /rest/v2/caches/default?action=disable-rebalancing 501
POST /rest/v2/caches/default?action=initialize     501
POST /rest/v2/caches/default?action=sync-data      501
POST /rest/v2/caches/default?action=nope           400
GET /rest/v2/caches/default/rolling-upgrade/source-connection 501
GET /rest/v2/caches/default/search/stats           501
POST /rest/v2/caches/default/search/indexes?action=reindex 501
GET /rest/v2/caches/default/x-site/backups         501
GET /rest/v2/caches/default/k?action=distribution  200
GET /rest/v2/counters                              501
POST /rest/v2/counters/c                           501
POST /rest/v2/counters/c?action=increment          501
GET /rest/v2/container                             200
GET /rest/v2/container?action=listen               200
GET /rest/v2/container?action=nope                 400
POST /rest/v2/container                            400
POST /rest/v2/container?action=shutdown            501
POST /rest/v2/container?action=enable-rebalancing  501
PUT /rest/v2/container                             405
GET /rest/v2/container/health                      200
HEAD /rest/v2/container/health                     200
GET /rest/v2/container/health/status               200
HEAD /rest/v2/container/health/status              200
POST /rest/v2/container/health/status              405
GET /rest/v2/container/stats                       200
POST /rest/v2/container/stats                      400
POST /rest/v2/container/stats?action=reset         204
GET /rest/v3/container/_stats                      200
POST /rest/v3/container/_stats-reset               204
GET /rest/v3/container/_stats-reset                405
POST /rest/v3/container/_cache-config-to-json      400
GET /rest/v2/container/config                      200
GET /rest/v2/container/config?action=get-mutable-attributes 400
GET /rest/v3/container/config                      200
PUT /rest/v2/container/config                      405
GET /rest/v2/container/config?action=listen        200
GET /rest/v2/container/cache-configs               200
GET /rest/v2/container/cache-configs/templates     200
GET /rest/v2/container/backups                     501
POST /rest/v2/container/backups/b                  501
GET /rest/v2/container/restores                    501
GET /rest/v2/container/x-site/backups              501
GET /rest/v2/container/nope                        404
GET /rest/v2/cache-managers/default                200
GET /rest/v2/cache-managers/default/caches         200
GET /rest/v2/cache-managers/any/health/status      200
GET /rest/v2/cluster                               400
GET /rest/v2/cluster/members                       200
GET /rest/v2/cluster?action=distribution           200
POST /rest/v2/cluster                              400
PUT /rest/v2/cluster                               405
POST /rest/v2/cluster?action=stop                  204
POST /rest/v2/cluster?action=stop&server=local     204
POST /rest/v2/cluster?action=stop&server=other     404
GET /rest/v2/cluster/backups                       501
GET /rest/v2/cluster/restores                      501
GET /rest/v2/cluster/raft                          501
GET /rest/v2/cluster/nope                          404
GET /rest/v2/server                                200
POST /rest/v2/server                               400
PUT /rest/v2/server                                405
POST /rest/v2/server?action=stop                   204
GET /rest/v2/server?action=stop                    400
GET /rest/v2/server/config                         200
HEAD /rest/v2/server/config                        405
GET /rest/v3/server/config                         200
GET /rest/v2/server/env                            200
GET /rest/v2/server/memory                         200
HEAD /rest/v2/server/memory                        405
GET /rest/v2/server/memory?action=nope             400
POST /rest/v2/server/memory                        400
POST /rest/v2/server/memory?action=heap-dump       200
POST /rest/v2/server/memory?action=heap-dump&live=true 200
DELETE /rest/v2/server/memory                      405
GET /rest/v2/server/memory/nope                    404
GET /rest/v2/server/threads                        200
GET /rest/v2/server/report                         200
GET /rest/v2/server/report/local                   200
GET /rest/v2/server/report/other                   404
GET /rest/v3/server/env                            200
GET /rest/v3/server/memory                         200
POST /rest/v3/server/memory/_heap-dump             200
GET /rest/v3/server/memory/_heap-dump              405
GET /rest/v3/server/threads                        200
GET /rest/v3/server/report                         200
GET /rest/v3/server/report/local                   200
GET /rest/v2/server/overview-report                200
GET /rest/v3/server/overview-report                200
GET /rest/v2/server/ignored-caches                 200
POST /rest/v2/server/ignored-caches                405
GET /rest/v2/server/ignored-caches/default         405
POST /rest/v2/server/ignored-caches/none           404
DELETE /rest/v2/server/ignored-caches/none         404
POST /rest/v2/server/ignored-caches/default        409
GET /rest/v3/server/ignored-caches                 200
DELETE /rest/v3/server/ignored-caches/none         404
POST /rest/v3/server/ignored-caches/__none__        404
GET /rest/v3/server/connectors/_none               404
GET /rest/v3/server/report/_none                   404
GET /rest/v2/server/connections                    200
GET /rest/v2/server/connections?global=true        200
POST /rest/v2/server/connections                   405
GET /rest/v2/server/connections/1                  404
GET /rest/v3/server/connections                    200
GET /rest/v2/server/connectors                     200
HEAD /rest/v2/server/connectors                    405
GET /rest/v2/server/connectors/d                   200
GET /rest/v2/server/connectors/none                404
POST /rest/v2/server/connectors/d                  400
POST /rest/v2/server/connectors/d?action=nope      400
POST /rest/v2/server/connectors/d?action=start     204
POST /rest/v2/server/connectors/d?action=stop      204
POST /rest/v2/server/connectors/none?action=stop   404
DELETE /rest/v2/server/connectors/d                405
GET /rest/v2/server/connectors/d/ip-filter         200
POST /rest/v2/server/connectors/d/ip-filter        400
PUT /rest/v2/server/connectors/d/ip-filter         405
DELETE /rest/v2/server/connectors/d/ip-filter      204
GET /rest/v2/server/connectors/none/ip-filter      404
GET /rest/v2/server/connectors/d/nope              404
GET /rest/v3/server/connectors                     200
GET /rest/v3/server/connectors/d                   200
POST /rest/v3/server/connectors/d/_start           204
POST /rest/v3/server/connectors/d/_stop            204
GET /rest/v3/server/connectors/d/ip-filter         200
DELETE /rest/v3/server/connectors/d/ip-filter      204
GET /rest/v2/server/datasources                    200
HEAD /rest/v2/server/datasources                   405
POST /rest/v2/server/datasources/d                 400
POST /rest/v2/server/datasources/d?action=test     404
GET /rest/v3/server/datasources                    200
POST /rest/v3/server/datasources/d/_test           404
GET /rest/v2/server/caches/defaults                200
GET /rest/v3/server/caches/defaults                200
GET /rest/v2/server/caches                         404
GET /rest/v2/server/cache-managers                 404
GET /rest/v2/server/nope                           404
GET /rest/v2/login?action=config                   200
GET /rest/v2/login                                 501
GET /rest/v2/security/user/acl                     200
GET /rest/v2/security/roles                        501
GET /rest/v2/security/users                        501
GET /rest/v2/tasks                                 200
GET /rest/v2/tasks?type=user                       200
POST /rest/v2/tasks                                405
GET /rest/v3/tasks                                 200
PUT /rest/v2/tasks/t                               501
GET /rest/v2/tasks/t?action=script                 501
POST /rest/v2/tasks/t?action=exec                  501
GET /rest/v2/schemas                               501
POST /rest/v2/schemas/s                            501
GET /rest/v2/logging                               404
GET /rest/v2/logging/loggers                       200
POST /rest/v2/logging/loggers                      405
PUT /rest/v2/logging/loggers                       400
PUT /rest/v2/logging/loggers?level=NOPE            400
PUT /rest/v2/logging/loggers?level=INFO            204
PUT /rest/v2/logging/loggers?appender=FILE         400
PUT /rest/v2/logging/loggers?appender=STDERR       204
PUT /rest/v2/logging/loggers/org.x?level=INFO      501
GET /rest/v2/logging/loggers/org.x                 405
DELETE /rest/v2/logging/loggers/org.x              404
GET /rest/v2/logging/appenders                     200
GET /rest/v3/logging/loggers                       200
PUT /rest/v3/logging/loggers?level=INFO            204
GET /rest/v3/logging/appenders                     200
GET /rest/v3/caches                                200
GET /rest/v3/caches/default/details                200
HEAD /rest/v3/caches/default                       204
POST /rest/v3/caches/c                             501
GET /rest/v3/caches/default/config                 200
GET /rest/v3/caches/default/config/attributes      200
GET /rest/v3/caches/default/config/attributes/memory.max-count 200
GET /rest/v3/caches/default/config/attributes/nope 400
POST /rest/v3/caches/default/config/attributes/memory.max-count 400
PUT /rest/v3/caches/default/config/attributes/memory.max-count 405
POST /rest/v3/_cache-config-compare                400
GET /rest/v3/_cache-config-compare                 405
GET /rest/v3/container/cache-configs/templates     200
GET /rest/v3/caches/default/_stats                 200
POST /rest/v3/caches/default/_stats-reset          204
POST /rest/v3/caches/default/_clear                204
GET /rest/v3/caches/default/_size                  200
GET /rest/v3/caches/default/keys                   200
GET /rest/v3/caches/default/entries                200
GET /rest/v3/caches/default/_health                200
GET /rest/v3/caches/default/_distribution          200
GET /rest/v3/caches/default/_availability          200
POST /rest/v3/caches/default/_availability         501
GET /rest/v3/caches/default/_listen                200
GET /rest/v3/container/_listen                     200
GET /rest/v3/container/config/_listen              200
GET /rest/v3/caches/none/_listen                   404
GET /rest/v2/cache-managers/any/config?action=listen 200
GET /rest/v3/caches/default/_search                501
GET /rest/v3/caches/default/entries/k/_distribution 200
GET /rest/v3/caches/default/nope                   404
GET /rest/v3/meta/caches/_detailed                 200
GET /rest/v3/meta/caches/_role-accessible          400
GET /rest/v3/meta/caches/_role-accessible?role=admin 200
POST /rest/v3/_cache-config-convert                400
GET /rest/v3/container                             200
GET /rest/v3/container/health/status               200
POST /rest/v3/container/_shutdown                  501
GET /rest/v3/server                                200
GET /rest/v3/cluster/members                       200
GET /rest/v3/cluster/_distribution                 200
POST /rest/v3/cluster/_stop                        204
POST /rest/v3/server/_stop                         204
GET /rest/v3/server/_stop                          405
GET /rest/v3/openapi                               200
POST /rest/v3/openapi                              405
POST /rest/v3/mcp                                  501
GET /rest/v3/caches/c                              405
POST /rest/v3/caches/default/_assign-alias         400
PUT /rest/v3/container/stats                       405
PUT /rest/v2/cluster/members                       405
PUT /rest/v3/caches/default/_availability          405
PUT /rest/v3/caches/default/entries/k/_distribution 405
DELETE /rest/v3/caches/default/config/attributes   405
GET /rest/v3/nope                                  404
`

func TestEveryResource(t *testing.T) {
	admin := protocols.Env{Admin: true}
	n := 0
	for _, row := range strings.Split(strings.TrimSpace(resources), "\n") {
		w := strings.Fields(row)
		request := w[0] + " " + w[1] + " HTTP/1.1\r\nHost: a\r\n\r\n"
		got := answers(t, request, admin)
		head, body, _ := strings.Cut(got, "\n\n")
		if !strings.HasPrefix(head, "HTTP/1.1 "+w[2]+" ") {
			t.Errorf("%s %s: got %.200q, want %s", w[0], w[1], got, w[2])
		}
		if w[2] == "501" && !strings.Contains(body, "is not implemented") {
			t.Errorf("%s %s: 501 says %q, want a sentence", w[0], w[1], body)
		}
		// Who may not changes nothing, and learns nothing of the process.
		own := strings.HasPrefix(w[1], "/rest/v2/server/") || strings.HasPrefix(w[1], "/rest/v3/server/") || strings.Contains(w[1], "/logging/") || strings.HasSuffix(w[1], "/container/config")
		if refused := answers(t, request); strings.HasPrefix(refused, "HTTP/1.1 2") && (own || w[2] == "501") {
			t.Errorf("%s %s without rights: got %q", w[0], w[1], refused)
		}
		n++
	}
	if n < 150 {
		t.Fatalf("looked at %d resources", n)
	}
	for _, request := range []string{"POST /rest/v2/caches/c", "PUT /rest/v2/caches/c", "DELETE /rest/v2/caches/default", "POST /rest/v2/server?action=stop",
		"POST /rest/v2/cluster?action=stop", "POST /rest/v3/server/_stop", "POST /rest/v2/cluster?action=stop&server=other", "POST /rest/v2/server/connectors/x?action=stop"} {
		got := answers(t, request+" HTTP/1.1\r\nHost: a\r\n\r\n")
		if !strings.HasPrefix(got, "HTTP/1.1 403 ") || !strings.Contains(got, "admin of listeners") {
			t.Errorf("%s on a listener that is not open to administration: got %q", request, got)
		}
	}
}

// TestOpenAPI holds the document that describes the interface to what is served: whatever it names is there and answers as it
// says, and whatever is there is named.
func TestOpenAPI(t *testing.T) {
	_, body, _ := strings.Cut(answers(t, "GET /rest/v3/openapi HTTP/1.1\r\nHost: a\r\n\r\n"), "\n\n")
	var doc struct {
		OpenAPI string
		Paths   map[string]map[string]struct {
			OperationID string
			Responses   map[string]any
			Parameters  []struct {
				Name, In string
				Required bool
				Schema   struct{ Enum []string }
			}
		}
	}
	if err := json.Unmarshal([]byte(body), &doc); err != nil || doc.OpenAPI != "3.1.1" {
		t.Fatalf("got %v, %.200s", err, body)
	}
	admin := protocols.Env{Admin: true}
	ids := map[string]bool{}
	for path, verbs := range doc.Paths {
		for verb, o := range verbs {
			if ids[o.OperationID] {
				t.Errorf("%q is there twice", o.OperationID)
			}
			ids[o.OperationID] = true
			at := strings.NewReplacer("{cache}", "default", "{key}", "k", "{attribute}", "memory.max-count", "{manager}", "x", "{connector}", "d", "{node}", "local").Replace(path)
			if path == "/metrics" {
				continue // not among what these tests serve
			}
			actions := []string{""}
			for _, p := range o.Parameters {
				if p.Name == "action" {
					if p.Required {
						actions = nil
					}
					actions = append(actions, p.Schema.Enum...)
				}
				if p.In == "path" && !strings.Contains(path, "{"+p.Name+"}") {
					t.Errorf("%s %s: parameter %s is not in the path", verb, path, p.Name)
				}
			}
			for _, action := range actions {
				request := strings.ToUpper(verb) + " " + at
				if action != "" {
					request += "?action=" + action
				}
				got := answers(t, put("k", "v")+request+" HTTP/1.1\r\nHost: a\r\n\r\n", admin)
				_, got, _ = strings.Cut(got, "\n\n")
				if len(got) < 12 {
					t.Fatalf("%s: got %q", request, got)
				}
				status := got[9:12]
				_, said := o.Responses[status]
				_, class := o.Responses[status[:1]+"XX"]
				if !said && !class || status == "405" || strings.Contains(got, "Resource not found") || strings.Contains(got, "'action' parameter") {
					t.Errorf("%s: got %.200q, which is not what the document says", request, got)
				}
			}
		}
	}
	for _, row := range strings.Split(strings.TrimSpace(resources), "\n") {
		w := strings.Fields(row)
		if w[2] != "200" && w[2] != "204" {
			continue
		}
		at, query, _ := strings.Cut(w[1], "?")
		if query == "action=listen" {
			continue // described by its path of v3
		}
		action, acts := strings.CutPrefix(query, "action=")
		action, _, _ = strings.Cut(action, "&")
		named := slices.ContainsFunc(slices.Collect(maps.Keys(doc.Paths)), func(path string) bool {
			o, ok := doc.Paths[path][strings.ToLower(w[0])]
			ok = ok && len(strings.Split(at, "/")) == len(strings.Split(path, "/"))
			for i, part := range strings.Split(path, "/") {
				ok = ok && (strings.HasPrefix(part, "{") || part == strings.Split(at, "/")[i])
			}
			if ok && acts && w[0] != "HEAD" {
				ok = false
				for _, p := range o.Parameters {
					ok = ok || p.Name == "action" && slices.Contains(p.Schema.Enum, action)
				}
			}
			return ok
		})
		if !named {
			t.Errorf("%s %s is served and not described", w[0], w[1])
		}
	}
	if len(ids) < 80 {
		t.Errorf("the document has %d operations", len(ids))
	}
}

// chunkLine stands between two chunks.
var chunkLine = regexp.MustCompile(`\n[0-9a-f]+\n`)

// A listing of many entries comes in parts and is one JSON array.
func TestLongListing(t *testing.T) {
	var b strings.Builder
	for i := range 3000 {
		b.WriteString(put("key"+strconv.Itoa(i), "v"))
	}
	b.WriteString(on("GET", "?action=keys") + on("GET", "?action=size") + on("GET", "?action=keys&limit=7"))
	for _, h := range []prototest.How{{}, {Room: 1000, Late: 60, Seed: 5}} {
		got := bare(setup(protocols.Env{}).Drive(t, []byte(b.String()), h).Out)
		got = chunkLine.ReplaceAllString(got, "")
		if n := strings.Count(got, `"key`); n != 3007 {
			t.Errorf("%+v: got %d keys, want 3007", h, n)
		}
		if !strings.Contains(got, "\n\n3000HTTP/1.1 200") {
			t.Errorf("%+v: got no size of 3000", h)
		}
	}
}

// A listing of many connections comes in parts and is one JSON array, without those that left meanwhile.
func TestManyConnections(t *testing.T) {
	got := bare(prototest.Setup(func() prototest.Parts {
		parts := setup(protocols.Env{Admin: true})()
		parts.Protocol = http1.New(http1.Options{Service: rest.New(rest.Options{Connections: crowd(3000)})})
		return parts
	}).Drive(t, []byte("GET /rest/v2/server/connections HTTP/1.1\r\nHost: a\r\n\r\n"), prototest.How{Room: 1000}).Out)
	_, body, _ := strings.Cut(got, "\n\n")
	_, body, _ = strings.Cut(body, "\n")
	var list []struct{ ID int }
	if err := json.Unmarshal([]byte(strings.TrimSuffix(chunkLine.ReplaceAllString(body, ""), "\n0\n\n")), &list); err != nil || len(list) != 2999 {
		t.Errorf("got %d connections, %v, in %.300q", len(list), err, got)
	}
}
