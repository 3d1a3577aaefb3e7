package rest

import (
	"cmp"
	"slices"

	"github.com/valyala/fasthttp"

	"github.com/latticed/latticed/conf/infinispan"
	"github.com/latticed/latticed/grid"
)

// caches answers for the list of caches.
func (x *Exchange) caches() {
	action, ok := x.action()
	if !ok {
		return
	}
	switch {
	case x.meth == mGet && action == "":
		x.inTurn(func(x *Exchange) {
			x.out = appendStrings(x.out[:0], x.s.opt.Catalog.Names())
			x.json()
		})
	case x.meth == mGet && action == "detailed":
		x.eachCache(nil, true, func(x *Exchange, c *Cache) { x.describe(c, false) })
	case x.meth == mPost && (action == "convert" || action == "toJSON"):
		x.convert(action == "toJSON")
	case x.meth == mPost && action == "compare":
		x.compare()
	case x.meth == mGet && action == "role-accessible":
		x.accessible()
	case x.meth == mGet || x.meth == mPost:
		x.text(fasthttp.StatusBadRequest, unknownAction)
	default:
		x.text(fasthttp.StatusMethodNotAllowed, notAllowed)
	}
}

// roles are those that Infinispan knows without being told.
var roles = []string{"admin", "application", "deployer", "monitor", "observer"}

// accessible answers with the caches that a role may use: all, as there is no authorization.
func (x *Exchange) accessible() {
	role, given, err := x.t.param("role")
	switch {
	case err != nil, !given:
		x.plain(fasthttp.StatusBadRequest)
	case !slices.Contains(roles, string(role)):
		x.plain(fasthttp.StatusNotFound)
	default:
		x.inTurn(func(x *Exchange) {
			o := object(x.out[:0])
			o.open()
			o.list("secured", nil)
			o.list("non-secured", x.s.opt.Catalog.Names())
			o.end()
			x.out = o
			x.json()
		})
	}
}

// inTurn has an answer that grows with the number of caches made when those before it are sent: of pipelined requests, one at a
// time is in memory.
func (x *Exchange) inTurn(answer func(x *Exchange)) {
	x.alone(func(x *Exchange, _ grid.Ticket) bool {
		answer(x)
		return true
	})
}

// eachCache answers with an array of what add appends for each of the templates, and for each cache if caches. It is made while
// it is sent: with all of their aliases, caches take megabytes, and clients ask as often as they like.
func (x *Exchange) eachCache(templates []string, caches bool, add func(x *Exchange, c *Cache)) {
	at, names, begun := 0, []string(nil), false
	x.alone(func(x *Exchange, _ grid.Ticket) bool {
		x.out = x.out[:0]
		some := begun
		if !begun {
			x.out = append(x.out, '[')
			if caches {
				names = x.s.opt.Catalog.Names()
			}
		}
		for ; at < len(templates)+len(names) && len(x.out) < listPart; at++ {
			var c Cache
			if at < len(templates) {
				c.Name = templates[at]
				c.Config, _ = infinispan.Template(c.Name)
			} else if c, _ = x.s.opt.Catalog.Find(names[at-len(templates)]); c.Name != names[at-len(templates)] {
				continue // removed meanwhile
			}
			if some {
				x.out = append(x.out, ',')
			}
			some = true
			add(x, &c)
		}
		more := at < len(templates)+len(names)
		if !more {
			x.out = append(x.out, ']')
		}
		if !more && !begun {
			x.json()
			return true
		}
		if !begun {
			begun, x.Length = true, -1
			x.Res.SetContentType("application/json")
		}
		x.showPart(x.out, more)
		return true
	})
}

// Actions on a cache that Infinispan has and this server has not yet.
var (
	getActions  = []string{"search"}
	postActions = []string{
		"search", "deleteByQuery", "set-availability", "enable-rebalancing",
		"disable-rebalancing", "initialize", "sync-data", "disconnect-source",
	}
)

// aCache answers for one cache.
func (x *Exchange) aCache(name []byte, action string) {
	x.name = name
	there := x.open(name) != nil
	changes := false
	switch x.meth {
	case mGet:
		switch action {
		case "", "details", "config", "stats", "size", "keys", "entries", "health", "distribution", "get-availability",
			"get-mutable-attributes", "get-mutable-attribute", "listen":
		default:
			x.unknown(action, getActions)
			return
		}
	case mHead:
		if action != "" && action != "config" {
			x.plain(fasthttp.StatusBadRequest)
			return
		}
		status := fasthttp.StatusNoContent
		if !there {
			status = fasthttp.StatusNotFound
		} else if action == "config" {
			status = fasthttp.StatusOK
		}
		x.plain(status)
		return
	case mPost:
		switch action {
		case "clear", "stats-reset":
		case "", "set-mutable-attribute", "assign-alias":
			changes = true
		default:
			x.unknown(action, postActions)
			return
		}
	case mPut, mDelete:
		switch action {
		case "":
			changes = true
		case "deleteByQuery":
			x.notYet("deleting by query")
			return
		default:
			x.text(fasthttp.StatusBadRequest, unknownAction)
			return
		}
	default:
		x.text(fasthttp.StatusMethodNotAllowed, notAllowed)
		return
	}
	switch {
	case changes && !x.mayAdmin():
	case changes && x.meth == mDelete && !there:
		x.plain(fasthttp.StatusNotFound)
	case changes && x.meth == mDelete:
		x.removeCache(string(name))
	case changes && action == "":
		x.putCache(string(name))
	case changes && action == "set-mutable-attribute" && there && x.peer.found.Ignored:
		x.ignored()
	case !there && slices.Contains([]string{"config", "health", "get-availability"}, action):
		x.plain(fasthttp.StatusNotFound)
	case !there:
		x.noCache(name)
	case x.peer.found.Ignored && !slices.Contains([]string{"config", "health", "get-availability"}, action):
		x.ignored()
	case action == "size":
		x.size(name)
	case action == "keys" || action == "entries":
		x.listing(name, action == "entries")
	case action == "listen":
		x.listen(name)
	case action == "clear":
		x.clear(name)
	case action == "assign-alias":
		x.assignAlias(string(name))
	case action == "get-mutable-attribute" || action == "set-mutable-attribute":
		path, ok := x.attributeName()
		switch {
		case !ok:
		case changes:
			x.setAttribute(string(name), path)
		default:
			x.attribute(x.peer.found.Config, path)
		}
	default:
		x.aCacheLater(string(name), action)
	}
}

// unknown answers for an action that is known elsewhere, or nowhere.
func (x *Exchange) unknown(action string, known []string) {
	if slices.Contains(known, action) {
		x.notYet("the action " + action)
		return
	}
	x.text(fasthttp.StatusBadRequest, unknownAction)
}

// aCacheLater answers with what is known about a cache, once the requests before this one have had their effect.
func (x *Exchange) aCacheLater(name, action string) {
	x.alone(func(x *Exchange, t grid.Ticket) bool {
		c, there := x.s.opt.Catalog.Find(name)
		if !there {
			x.noCache([]byte(name))
			return true
		}
		switch action {
		case "", "details":
			x.out = x.out[:0]
			x.describe(&c, true)
			x.json()
		case "config":
			if f, ok := x.acceptsFormat(); ok {
				x.configuration(c.Name, c.Config, f)
			}
		case "get-mutable-attributes":
			x.attributes(c.Config, x.truth("full"))
		case "stats":
			x.out = x.out[:0]
			x.stats(&c)
			x.json()
		case "stats-reset":
			x.resetStats(&c)
			x.plain(fasthttp.StatusNoContent)
		case "health":
			x.word("HEALTHY")
		case "get-availability":
			x.word("AVAILABLE")
		case "distribution":
			n := int64(x.statsOf(name).Entries)
			o := object(append(x.out[:0], '['))
			o.open()
			x.nodeFields(&o)
			o.int("memory_entries", n)
			o.int("total_entries", n)
			o.int("memory_used", int64(x.statsOf(name).Bytes))
			o.end()
			x.out = append(o, ']')
			x.json()
		}
		return true
	})
}

// word answers 200 with a text.
func (x *Exchange) word(text string) {
	x.text(fasthttp.StatusOK, text)
	x.Res.SetContentType("text/plain")
}

func (x *Exchange) nodeFields(o *object) {
	node := x.s.opt.Host().Node
	o.text("node_name", node)
	o.list("node_addresses", []string{node})
}

// clear removes all entries.
func (x *Exchange) clear(name []byte) {
	admin, err := x.peer.Env.Caches.Admin(string(name), grid.Principal{})
	if err != nil {
		x.noCache(name)
		return
	}
	x.alone(func(x *Exchange, t grid.Ticket) bool {
		x.Seq = t.Seq
		x.then = func(x *Exchange) {
			if !x.refuse() {
				x.plain(fasthttp.StatusNoContent)
			}
		}
		x.Result(&grid.Result{Code: admin.Flush(0, t)}, t.Now)
		return true
	})
}

func (x *Exchange) statsOf(name string) (s grid.Stats) {
	if admin, err := x.peer.Env.Caches.Admin(name, grid.Principal{}); err == nil {
		admin.Stats(&s, x.now)
	}
	return s
}

// resetStats begins the statistics of a cache anew.
func (x *Exchange) resetStats(c *Cache) {
	c.Tally.Reset(x.now.Wall, x.opsOf(c))
	if admin, err := x.peer.Env.Caches.Admin(c.Name, grid.Principal{}); err == nil {
		admin.ResetStats()
	}
}

// opsOf is what clients of all protocols did with a cache.
func (x *Exchange) opsOf(c *Cache) Ops {
	ops := c.Tally.Ops()
	if c.Name == "default" {
		ops = ops.Plus(x.s.opt.Host().Others)
	}
	return ops
}

// describe appends what is told about a cache; whole tells everything.
func (x *Exchange) describe(c *Cache, whole bool) {
	o := object(x.out)
	o.open()
	status := "RUNNING"
	if c.Ignored {
		status = "IGNORED"
	}
	o.text("status", status)
	o.text("name", c.Name)
	o.text("type", c.Config.Type)
	o.bool("simple_cache", c.Config.Type == "local-cache" && c.Config.Bool("simple-cache"))
	for _, no := range []string{"transactional", "persistent"} {
		o.bool(no, false)
	}
	s := x.statsOf(c.Name)
	o.bool("bounded", s.Limit > 0)
	for _, no := range []string{"secured", "indexed", "has_remote_backup", "tracing"} {
		o.bool(no, false)
	}
	o.text("health", "HEALTHY")
	o.list("aliases", c.Config.Aliases())
	o.bool("statistics", c.Config.Bool("statistics"))
	key, value := c.Config.MediaTypes()
	o.text("key_storage", cmp.Or(key, "application/unknown"))
	o.text("value_storage", cmp.Or(value, "application/unknown"))
	o.text("mode", c.Config.Mode())
	if whole {
		o.name("stats")
		x.out = o
		x.stats(c)
		o = x.out
		for _, no := range []string{"rehash_in_progress", "indexing_in_progress", "queryable"} {
			o.bool(no, false)
		}
		o.name("configuration")
		o = c.Config.Append(o, infinispan.JSON, c.Name, false)
		o.text("storage_type", "OFF_HEAP")
		size := ""
		if c.Config.Int("memory.max-size") > 0 {
			size = c.Config.Value("memory.max-size")
		}
		o.text("max_size", size)
		o.int("max_size_bytes", int64(s.Limit))
	}
	o.end()
	x.out = o
}

// stats appends the statistics of a cache.
func (x *Exchange) stats(c *Cache) {
	s := x.statsOf(c.Name)
	h := x.s.opt.Host()
	ops, since := c.Tally.Since(x.opsOf(c), h.Started)
	var evicted uint64
	for i := range s.Classes {
		evicted += s.Classes[i].Evicted
	}
	o := object(x.out)
	o.open()
	o.int("time_since_start", max(0, x.now.Wall-h.Started)/1000)
	o.int("time_since_reset", max(0, x.now.Wall-since)/1000)
	for _, n := range []string{
		"approximate_entries", "approximate_entries_in_memory", "approximate_entries_unique", "current_number_of_entries",
		"current_number_of_entries_in_memory",
	} {
		o.int(n, int64(s.Entries))
	}
	o.int("off_heap_memory_used", int64(s.Bytes))
	o.int("data_memory_used", int64(s.Bytes))
	o.int("stores", int64(s.Stored))
	o.int("retrievals", int64(ops.Hits+ops.Misses))
	o.int("hits", int64(ops.Hits))
	o.int("misses", int64(ops.Misses))
	o.int("remove_hits", int64(ops.RemoveHits))
	o.int("remove_misses", int64(ops.RemoveMisses))
	o.int("evictions", int64(evicted))
	// Times of single operations are not taken.
	for _, n := range []string{
		"average_read_time", "average_read_time_nanos", "average_write_time", "average_write_time_nanos", "average_remove_time",
		"average_remove_time_nanos",
	} {
		o.int(n, -1)
	}
	o.int("required_minimum_number_of_nodes", 1)
	o.end()
	x.out = o
}
