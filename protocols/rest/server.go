package rest

import (
	"bytes"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/latticed/latticed/conf/infinispan"
	"github.com/latticed/latticed/grid"
)

// Health words, as Infinispan has them.
const healthy = "HEALTHY"

// health answers probes: whether the process lives, has started and may be sent requests.
func (x *Exchange) health(what string) {
	switch {
	case what != "live" && what != "ready" && what != "started":
		x.text(fasthttp.StatusNotFound, notFound)
	case x.meth != mGet && x.meth != mHead:
		x.text(fasthttp.StatusMethodNotAllowed, notAllowed)
	case what == "ready" && x.s.opt.Host().Stopping:
		x.plain(fasthttp.StatusServiceUnavailable)
	default:
		x.plain(fasthttp.StatusOK)
	}
}

// container answers below /container and its older spelling /cache-managers/{name}.
func (x *Exchange) container(sub [][]byte) {
	action, ok := x.action()
	if !ok {
		return
	}
	first, second := part(sub, 0), part(sub, 1)
	get := x.meth == mGet
	switch {
	case len(sub) == 2 && first == "health" && second == "status":
		if get || x.meth == mHead {
			x.word(healthy)
			return
		}
		x.text(fasthttp.StatusMethodNotAllowed, notAllowed)
	case len(sub) == 1 && first == "health":
		if get || x.meth == mHead {
			x.inTurn((*Exchange).clusterHealth)
			return
		}
		x.text(fasthttp.StatusMethodNotAllowed, notAllowed)
	case len(sub) == 0 && get && action == "":
		x.inTurn((*Exchange).containerInfo)
	case get && (len(sub) == 0 || len(sub) == 1 && first == "config") && action == "listen":
		x.listenCaches()
	case len(sub) == 1 && first == "config":
		if x.offers(action, "GET") && x.mayAdmin() {
			x.ownConfig(true)
		}
	case len(sub) == 0 && get:
		x.text(fasthttp.StatusBadRequest, unknownAction)
	case len(sub) == 0 && x.meth == mPost && !slices.Contains([]string{"shutdown", "enable-rebalancing", "disable-rebalancing"}, action):
		x.text(fasthttp.StatusBadRequest, unknownAction)
	case len(sub) == 0 && !get && x.meth != mPost:
		x.text(fasthttp.StatusMethodNotAllowed, notAllowed)
	case len(sub) == 1 && first == "stats" && x.meth == mPost:
		if x.offers(action, "GET", "POST reset") {
			x.inTurn((*Exchange).resetAll)
		}
	case len(sub) == 1 && first == "stats" && get:
		h := x.s.opt.Host()
		o := object(x.out[:0])
		o.open()
		o.bool("statistics_enabled", true)
		o.int("off_heap_memory_used", int64(h.Bytes))
		o.int("data_memory_used", int64(h.Bytes))
		o.int("required_minimum_number_of_nodes", 1)
		o.end()
		x.out = o
		x.json()
	case len(sub) == 1 && first == "caches" && get:
		x.t.query = []byte("action=detailed")
		x.caches()
	case get && first == "cache-configs" && (len(sub) == 1 || len(sub) == 2 && second == "templates"):
		x.cacheConfigs(len(sub) == 2)
	case len(sub) == 0 || slices.Contains([]string{"stats", "cache-configs", "backups", "restores", "x-site"}, first):
		x.notYet("this part of the container")
	default:
		x.text(fasthttp.StatusNotFound, notFound)
	}
}

// resetAll begins the statistics of all caches anew.
func (x *Exchange) resetAll() {
	for _, name := range x.s.opt.Catalog.Names() {
		if c, _ := x.s.opt.Catalog.Find(name); c.Name == name {
			x.resetStats(&c)
		}
	}
	x.plain(fasthttp.StatusNoContent)
}

func part(list [][]byte, i int) string {
	if i < len(list) {
		return string(list[i])
	}
	return ""
}

func (x *Exchange) clusterHealth() {
	h := x.s.opt.Host()
	o := object(x.out[:0])
	o.open()
	o.name("cluster_health")
	o.open()
	o.text("cluster_name", h.Cluster)
	o.text("health_status", healthy)
	o.int("number_of_nodes", 0) // as Infinispan without a cluster
	o.list("node_names", nil)
	o.end()
	o.name("cache_health")
	o = append(o, '[')
	for i, name := range x.s.opt.Catalog.Names() {
		if i > 0 {
			o = append(o, ',')
		}
		o.open()
		o.text("status", healthy)
		o.text("cache_name", name)
		o.end()
	}
	o = append(o, ']')
	o.end()
	x.out = o
	x.json()
}

// Interface is the version of Infinispan whose interface this is: its clients and operators ask for it to know what
// they may call.
const Interface = "16.0.7"

func (x *Exchange) containerInfo() {
	h := x.s.opt.Host()
	status := "RUNNING"
	if h.Stopping {
		status = "STOPPING"
	}
	o := object(x.out[:0])
	o.open()
	o.text("version", Interface)
	o.text("name", "default")
	o.bool("coordinator", false)
	o.list("cache_configuration_names", x.s.opt.Catalog.Names())
	o.text("cluster_name", h.Cluster)
	o.text("physical_addresses", "local")
	o.text("coordinator_address", "N/A")
	o.text("cache_manager_status", status)
	o.int("created_cache_count", int64(len(x.s.opt.Catalog.Names())))
	o.int("running_cache_count", int64(len(x.s.opt.Catalog.Names())))
	o.text("node_address", h.Node)
	o.list("cluster_members", []string{h.Node})
	o.list("cluster_members_physical_addresses", []string{"local"})
	o.int("cluster_size", 1)
	o.name("defined_caches")
	o = append(o, '[')
	for i, name := range x.s.opt.Catalog.Names() {
		if i > 0 {
			o = append(o, ',')
		}
		o.open()
		o.text("name", name)
		o.bool("started", true)
		o.end()
	}
	o = append(o, ']')
	o.text("local_site", "local")
	o.bool("relay_node", false)
	o.list("relay_nodes_address", []string{"local"})
	o.list("sites_view", nil)
	o.bool("tracing_enabled", false)
	o.end()
	x.out = o
	x.json()
}

// server answers for /server and what is below it.
func (x *Exchange) server(sub [][]byte) {
	action, ok := x.action()
	switch {
	case !ok:
	case len(sub) == 0:
		if !x.offers(action, "GET", "POST stop") {
			return
		}
		if x.meth == mPost {
			x.stop()
			return
		}
		o := object(x.out[:0])
		o.open()
		o.text("version", "latticed "+x.s.opt.Host().Version)
		o.text("cache-manager-name", "default")
		o.end()
		x.out = o
		x.json()
	case part(sub, 0) == "datasources" && len(sub) == 1:
		if x.offers(action, "GET") && x.mayAdmin() {
			x.none()
		}
	case part(sub, 0) == "datasources" && len(sub) == 2:
		if x.offers(action, "POST test") && x.mayAdmin() {
			x.plain(fasthttp.StatusNotFound) // as any that there is not
		}
	case part(sub, 0) == "ignored-caches" && len(sub) == 1:
		if x.offers(action, "GET") && x.mayAdmin() {
			x.inTurn((*Exchange).listIgnored)
		}
	case part(sub, 0) == "ignored-caches" && len(sub) == 2:
		if x.offers(action, "POST", "DELETE") && x.mayAdmin() {
			x.ignore(string(sub[1]), x.meth == mPost)
		}
	case part(sub, 0) == "connections" && len(sub) == 1:
		if x.offers(action, "GET") && x.mayAdmin() {
			x.connections()
		}
	case part(sub, 0) == "connectors":
		x.connectors(sub[1:], action)
	case x.process(sub, action):
	case part(sub, 0) == "config" && len(sub) == 1:
		if x.offers(action, "GET") && x.mayAdmin() {
			x.ownConfig(false)
		}
	case part(sub, 0) == "overview-report" && len(sub) == 1:
		switch {
		case !x.offers(action, "GET") || !x.mayAdmin():
		case x.s.opt.Config == nil || x.s.opt.Connections == nil:
			x.notYet("an overview")
		default:
			x.Heavy = true
			x.inTurn((*Exchange).overview)
		}
	case part(sub, 0) == "caches" && len(sub) == 2 && part(sub, 1) == "defaults":
		if x.offers(action, "GET") && x.mayAdmin() {
			x.out = infinispan.AppendDefaults(x.out[:0])
			x.json()
		}
	default:
		x.text(fasthttp.StatusNotFound, notFound)
	}
}

// offers tells whether the request is one of those that a path has: a verb, or a verb and an action. False: x is answered.
func (x *Exchange) offers(action string, requests ...string) bool {
	known := false
	for _, r := range requests {
		verb, with, _ := strings.Cut(r, " ")
		if verb != methodNames[x.meth] {
			continue
		}
		if known = true; with == action {
			return true
		}
	}
	if known {
		x.text(fasthttp.StatusBadRequest, unknownAction)
	} else {
		x.text(fasthttp.StatusMethodNotAllowed, notAllowed)
	}
	return false
}

// ownConfig answers with the configuration of the server, or with that and of the container of caches, which Infinispan does not
// write as YAML.
func (x *Exchange) ownConfig(container bool) {
	if x.s.opt.Config == nil {
		x.notYet("telling the configuration of the server")
		return
	}
	f, ok := x.acceptsFormat()
	switch accept, _ := x.field(fAccept); {
	case !ok:
	case container && f == infinispan.YAML:
		x.text(fasthttp.StatusNotAcceptable, "ISPN012007: Cannot convert to ", string(accept))
	default:
		pretty := x.truth("pretty")
		x.inTurn(func(x *Exchange) {
			c := x.s.opt.Config()
			if container {
				x.out = c.AppendContainer(x.out[:0], f, pretty)
			} else {
				x.out = c.Append(x.out[:0], f, pretty)
			}
			x.json()
			x.Res.SetContentType(formatNames[f])
		})
	}
}

// stop has the process end as by SIGTERM, once this is answered: what is in flight is let finish.
func (x *Exchange) stop() {
	if !x.mayAdmin() {
		return
	}
	if x.s.opt.Stop == nil {
		x.notYet("stopping by HTTP")
		return
	}
	x.alone(func(x *Exchange, _ grid.Ticket) bool {
		x.s.opt.Stop()
		x.plain(fasthttp.StatusNoContent)
		return true
	})
}

// ignore has a cache refused to HTTP clients, or served again.
func (x *Exchange) ignore(name string, ignored bool) {
	x.apart(x.s.opt.MaxContent, func(x *Exchange) {
		if err := x.s.opt.Catalog.Ignore(name, ignored); err != nil {
			x.failed(err)
			return
		}
		x.plain(fasthttp.StatusNoContent)
	})
}

func (x *Exchange) listIgnored() {
	var names []string
	for _, name := range x.s.opt.Catalog.Names() {
		if c, _ := x.s.opt.Catalog.Find(name); c.Ignored {
			names = append(names, name)
		}
	}
	x.out = appendStrings(x.out[:0], names)
	x.json()
}

// ignored answers for a cache that is not to be used for now.
func (x *Exchange) ignored() {
	x.text(fasthttp.StatusServiceUnavailable, "ISPN012008: Cache with name '", x.peer.found.Name, "' is temporarily unavailable.")
}

// cluster answers for /cluster.
func (x *Exchange) cluster(sub [][]byte) {
	h := x.s.opt.Host()
	action, ok := x.action()
	switch {
	case !ok:
	case len(sub) == 1 && part(sub, 0) == "members" && x.meth == mGet:
		o := object(x.out[:0])
		o.open()
		o.name("members")
		o = append(o, '[')
		o.open()
		o.text("version", Interface)
		o.text("node_address", h.Node)
		o.text("physical_addresses", "local")
		o.text("cache_manager_status", "RUNNING")
		o.end()
		o = append(o, ']')
		o.bool("rolling_upgrade", false)
		o.end()
		x.out = o
		x.json()
	case len(sub) == 0 && x.meth == mGet && action == "distribution":
		o := object(append(x.out[:0], '['))
		o.open()
		x.nodeFields(&o)
		o.int("memory_available", max(0, int64(h.Limit)-int64(h.Bytes)))
		o.int("memory_used", int64(h.Bytes))
		o.end()
		x.out = append(o, ']')
		x.json()
	case len(sub) == 0 && x.meth == mPost && action == "stop":
		servers, err := x.t.params("server")
		switch {
		case err != nil:
			x.plain(fasthttp.StatusBadRequest)
		case len(servers) > 0 && !slices.Contains(servers, h.Node) && x.mayAdmin():
			x.text(fasthttp.StatusNotFound, "the only node is called ", h.Node)
		case len(servers) == 0 || slices.Contains(servers, h.Node):
			x.stop()
		}
	case len(sub) == 0 && (x.meth == mGet || x.meth == mPost):
		x.text(fasthttp.StatusBadRequest, unknownAction)
	case len(sub) == 0:
		x.text(fasthttp.StatusMethodNotAllowed, notAllowed)
	case slices.Contains([]string{"members", "backups", "restores", "raft"}, part(sub, 0)):
		x.notYet("this part of the cluster")
	default:
		x.text(fasthttp.StatusNotFound, notFound)
	}
}

// metrics answers Prometheus. What is gathered takes about a millisecond, so who asks more often than ten times a second
// gets it again.
func (x *Exchange) metrics() {
	if x.meth != mGet && x.meth != mHead {
		x.text(fasthttp.StatusMethodNotAllowed, notAllowed)
		return
	}
	if x.s.opt.Metrics == nil {
		x.notYet("metrics")
		return
	}
	x.Heavy = true
	x.alone(func(x *Exchange, _ grid.Ticket) bool {
		accept, _ := x.field(fAccept)
		g := x.s.gather(string(accept))
		if g == nil {
			x.text(fasthttp.StatusServiceUnavailable, "too many clients are slow in taking what was gathered for them")
			return true
		}
		x.gathered = g
		x.plain(fasthttp.StatusOK)
		x.Res.SetContentType(g.kind)
		x.body(g.body, false)
		if len(g.body) < compressMin || x.meth == mHead {
			return true
		}
		x.Res.Add("Vary", "Accept-Encoding")
		if kind := x.wanted(); kind != identity {
			x.Res.Set("Content-Encoding", codingNames[kind])
			x.body(x.s.squeezed(g, kind), false)
		}
		return true
	})
}

// gathering is what the metrics were when they were asked for.
type gathering struct {
	at           time.Time
	body         []byte // never changed
	accept, kind string
	users        int // who is being sent it; guarded by gatherings.mu

	mu       sync.Mutex // guards squeezed
	squeezed [len(codingNames)][]byte
}

// gatherings are the last one, and those from before that are still being sent. Each may take megabytes.
type gatherings struct {
	mu   sync.Mutex
	last *gathering
	old  int // with users
}

const (
	gatherEvery = 100 * time.Millisecond
	maxOld      = 3
)

// gather returns what the metrics are, for one more user. nil: there are too many from before.
func (s *Service) gather(accept string) *gathering {
	gs := &s.gatherings
	gs.mu.Lock()
	defer gs.mu.Unlock()
	if g := gs.last; g == nil || g.accept != accept || time.Since(g.at) > gatherEvery {
		sent := g != nil && g.users > 0
		if sent && gs.old == maxOld {
			return nil
		}
		g = &gathering{accept: accept}
		g.body, g.kind = s.opt.Metrics(accept)
		g.at = time.Now()
		if gs.last = g; sent {
			gs.old++
		}
	}
	gs.last.users++
	return gs.last
}

// squeezed returns g compressed: once, whoever else asks for it so.
func (s *Service) squeezed(g *gathering, kind coding) []byte {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.squeezed[kind] == nil {
		q := s.squeezes.get(kind)
		_, _ = q.c.Write(g.body) // a buffer takes everything
		_ = q.c.Close()
		g.squeezed[kind] = bytes.Clone(q.buf.Bytes())
		s.squeezes.put(q)
	}
	return g.squeezed[kind]
}

// ungather says that a user of g has it, or has gone.
func (s *Service) ungather(g *gathering) {
	gs := &s.gatherings
	gs.mu.Lock()
	defer gs.mu.Unlock()
	if g.users--; g.users == 0 && g != gs.last {
		gs.old--
	}
}

// notYet answers for what Infinispan has and this server has not.
func (x *Exchange) notYet(what string) {
	if x.otherwise() {
		x.text(fasthttp.StatusMethodNotAllowed, notAllowed)
		return
	}
	x.s.unimplemented.Add(1)
	x.text(fasthttp.StatusNotImplemented, what, " is not implemented; docs/compatibility.md tells what is")
}
