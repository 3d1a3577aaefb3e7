package daemon

import (
	"net"
	"strings"

	"github.com/latticed/latticed/conf"
	"github.com/latticed/latticed/daemon/admin"
	"github.com/latticed/latticed/daemon/catalog"
	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/protocols/memcached"
	"github.com/latticed/latticed/protocols/rest"
)

// observer tells those who ask by HTTP what only the process knows. It is made before the protocols it asks.
type observer struct {
	d        *Daemon
	c        *conf.Config
	names    []string // of the protocols
	mc       *memcached.Protocol
	service  *rest.Service
	hostName string
}

func (o *observer) stats(name string) (s grid.Stats) {
	if a, err := o.d.hub.Caches.Admin(name, grid.Principal{}); err == nil {
		a.Stats(&s, o.d.clock.Now())
	}
	return s
}

// others is what clients did on the default cache by other protocols than HTTP.
func (o *observer) others() rest.Ops {
	mc := o.mc.Ops()
	return rest.Ops{Hits: mc.Hits, Misses: mc.Misses, RemoveHits: mc.RemoveHits, RemoveMisses: mc.RemoveMisses}
}

func (o *observer) host() rest.Host {
	d := o.d
	h := rest.Host{
		Version: d.version, Node: "local", Cluster: "ISPN", Protocols: o.names, Started: d.started,
		Stopping: d.stopping.Load(), Connections: d.hub.Counters.Conns.Load(), Others: o.others(),
	}
	for _, l := range d.listeners {
		h.Addresses = append(h.Addresses, l.Net.Addr().String())
	}
	for _, name := range d.catalog.Names() {
		s := o.stats(name)
		h.Entries += s.Entries
		h.Bytes += s.Bytes
		h.Stores += s.Stored
		if name == catalog.DefaultName {
			h.Limit = s.Limit // of all of them: the bounds of others are within it
		}
	}
	return h
}

func (o *observer) snapshot() admin.Snapshot {
	d := o.d
	k := &d.hub.Counters
	var st grid.Stats
	d.store.Stats(&st, d.clock.Now())
	s := admin.Snapshot{
		Version: d.version, Node: o.hostName, Up: d.clock.Now().Wall - d.started, Loops: o.c.EventLoops, Limit: st.Limit,
		Router: []admin.Figure{
			{Name: "memory_budget_bytes", Help: "What the whole process may use; process_resident_memory_bytes is what it does.", Value: float64(d.memory.Load())},
			{Name: "memory_store_bytes", Help: "What the store has taken for entries and their index, of memory_limit_bytes.", Value: float64(st.Memory)},
			{Name: "connections", Help: "Connections now.", Value: float64(k.Conns.Load())},
			{Name: "connections_on_goroutines", Help: "Connections now that are not on an event loop.", Value: float64(k.Streams.Load())},
			{Name: "buffered_bytes", Help: "What connections keep between their turns.", Value: float64(k.Buffered.Load())},
		},
		HTTP: []admin.Figure{{
			Name: "http_unimplemented_total", Help: "HTTP requests answered with 501.", Total: true, Value: float64(o.service.Unimplemented()),
		}},
	}
	for _, c := range d.counts() {
		f := admin.Figure{Name: strings.ReplaceAll(c.name, "-", "_") + "_total", Help: "Counted by the router.", Total: true, Value: float64(c.n)}
		switch c.name {
		case "bytes-read":
			f.Name, f.Help = "read_bytes_total", "Bytes that clients sent."
		case "bytes-written":
			f.Name, f.Help = "written_bytes_total", "Bytes that clients were sent."
		default:
			f.Name = "router_" + f.Name
		}
		s.Router = append(s.Router, f)
	}
	for _, l := range d.listeners {
		if a, ok := l.Net.Addr().(*net.TCPAddr); ok {
			s.Port = a.Port
			break
		}
	}
	for _, name := range d.catalog.Names() {
		found, _ := d.catalog.Find(name)
		ops := found.Tally.Ops()
		if name == catalog.DefaultName {
			ops = ops.Plus(o.others())
		}
		st := o.stats(name)
		c := admin.Cache{
			Name: name, Entries: st.Entries, Bytes: st.Bytes, Limit: st.Limit, Stored: st.Stored, Expired: st.GetExpired,
			Hits: ops.Hits, Misses: ops.Misses, RemoveHits: ops.RemoveHits, RemoveMisses: ops.RemoveMisses,
		}
		for i := range st.Classes {
			c.Evicted += st.Classes[i].Evicted
		}
		s.Caches = append(s.Caches, c)
	}
	return s
}
