// Package admin renders what the parts of the daemon count, as plain snapshots that are handed up to it, for those who
// watch it from outside.
package admin

import (
	"bytes"
	"fmt"
	"net/http"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/common/expfmt"
)

// Snapshot is everything that is told about a node at one moment.
type Snapshot struct {
	Version, Node string
	Port          int   // of the first listener that has one
	Up            int64 // ms
	Loops         int
	Limit         uint64
	Router        []Figure
	HTTP          []Figure
	Caches        []Cache
}

// Figure is one number. Total says that it only grows.
type Figure struct {
	Name, Help string
	Total      bool
	Value      float64
}

// Cache is what one cache counts.
type Cache struct {
	Name                                            string
	Entries, Bytes, Limit, Evicted, Stored, Expired uint64
	Hits, Misses, RemoveHits, RemoveMisses          uint64
}

// Metrics gathers snapshots for Prometheus.
type Metrics struct {
	registry *prometheus.Registry
}

// NewMetrics returns the metrics of whatever take returns, of the Go runtime and of the process.
func NewMetrics(take func() Snapshot) *Metrics {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collector(take))
	return &Metrics{registry: r}
}

// Gather returns all metrics in the format that an Accept field asks for, and its name.
func (m *Metrics) Gather(accept string) (text []byte, kind string) {
	format := expfmt.NegotiateAccept(http.Header{"Accept": {accept}}, expfmt.DefaultOpenMetricsAcceptedFormats()...)
	var b bytes.Buffer
	families, err := m.registry.Gather()
	if err != nil {
		// What could be gathered is given all the same; the rest is missing there, which alerts can see.
		fmt.Fprintf(&b, "# %q\n", err)
	}
	enc := expfmt.NewEncoder(&b, format)
	for _, f := range families {
		if err := enc.Encode(f); err != nil {
			panic(fmt.Sprintf("BUG: encode %s: %v", f.GetName(), err)) // a buffer takes everything
		}
	}
	if c, ok := enc.(expfmt.Closer); ok {
		_ = c.Close()
	}
	return b.Bytes(), string(format)
}

// collector makes metrics of a snapshot when it is asked.
type collector func() Snapshot

// Describe implements prometheus.Collector. Nothing is described before: which caches there are changes.
func (collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (take collector) Collect(ch chan<- prometheus.Metric) {
	s := take()
	put := func(name, help string, total bool, v float64, labels ...string) {
		kind := prometheus.GaugeValue
		if total {
			kind = prometheus.CounterValue
		}
		names, values := []string{}, []string{}
		for i := 0; i < len(labels); i += 2 {
			names, values = append(names, labels[i]), append(values, labels[i+1])
		}
		ch <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, names, nil), kind, v, values...)
	}
	put("latticed_build_info", "Constant 1; the label tells the version.", false, 1, "version", s.Version)
	put("latticed_uptime_seconds", "How long the daemon has run.", false, float64(s.Up)/1000)
	put("latticed_event_loops", "Event loops that handle connections.", false, float64(s.Loops))
	put("latticed_memory_limit_bytes", "What entries of all caches may take.", false, float64(s.Limit))
	for _, f := range append(s.Router, s.HTTP...) {
		put("latticed_"+f.Name, f.Help, f.Total, f.Value)
	}
	for _, c := range s.Caches {
		for _, f := range c.figures() {
			put("latticed_cache_"+f.Name, f.Help, f.Total, f.Value, "cache", c.Name)
		}
	}
	s.infinispan(func(name string, v float64, labels ...string) {
		put("infinispan_"+name, "As Infinispan tells it.", false, v, append(labels, "cache_manager", "default", "node", s.Node)...)
	})
}

func (c *Cache) figures() []Figure {
	return []Figure{
		{"entries", "Entries there are, also expired ones whose room was not used again yet.", false, float64(c.Entries)},
		{"bytes", "What the entries take, as it counts against the limit.", false, float64(c.Bytes)},
		{"limit_bytes", "What the entries may take.", false, float64(c.Limit)},
		{"hits_total", "Reads that found an entry.", true, float64(c.Hits)},
		{"misses_total", "Reads that found none.", true, float64(c.Misses)},
		{"stores_total", "Successful stores.", true, float64(c.Stored)},
		{"remove_hits_total", "Removals that found an entry.", true, float64(c.RemoveHits)},
		{"remove_misses_total", "Removals that found none.", true, float64(c.RemoveMisses)},
		{"evictions_total", "Entries that were removed to make room.", true, float64(c.Evicted)},
		{"expired_reads_total", "Reads that found an expired entry.", true, float64(c.Expired)},
	}
}

// infinispan gives the figures that dashboards for Infinispan 16 look for, by its names. They are all gauges here: as
// counters they would get other names in OpenMetrics.
func (s *Snapshot) infinispan(put func(name string, v float64, labels ...string)) {
	put("cluster_size", 1)
	put("number_of_cache_configurations", float64(len(s.Caches)))
	put("number_of_created_caches", float64(len(s.Caches)))
	put("number_of_running_caches", float64(len(s.Caches)))
	put("cache_container_health_number_of_cpus", float64(runtime.NumCPU()))
	put("cache_container_health_number_of_nodes", 1)
	used := 0.0
	for i := range s.Caches {
		used += float64(s.Caches[i].Bytes)
	}
	put("cache_container_stats_data_memory_used", used)
	put("cache_container_stats_off_heap_memory_used", used)
	put("cache_container_stats_required_minimum_number_of_nodes", 1)
	put("local_container_stats_memory_max", float64(s.Limit))
	put("local_container_stats_memory_used", used)
	put("local_container_stats_memory_available", max(0, float64(s.Limit)-used))
	if s.Port > 0 {
		transport := fmt.Sprintf("server_single_port_%d_transport_", s.Port)
		put(transport+"number_iothreads", float64(s.Loops))
		for _, f := range s.Router {
			switch f.Name {
			case "connections":
				put(transport+"number_of_local_connections", f.Value)
			case "read_bytes_total":
				put(transport+"total_bytes_read", f.Value)
			case "written_bytes_total":
				put(transport+"total_bytes_written", f.Value)
			}
		}
	}
	for i := range s.Caches {
		c := &s.Caches[i]
		reads, writes := float64(c.Hits+c.Misses), float64(c.Stored)
		ratio, readWrite := 0.0, 0.0
		if reads > 0 {
			ratio = float64(c.Hits) / reads
		}
		if writes > 0 {
			readWrite = reads / writes
		}
		for name, v := range map[string]float64{
			"approximate_entries": float64(c.Entries), "approximate_entries_in_memory": float64(c.Entries),
			"approximate_entries_unique": float64(c.Entries), "number_of_entries": float64(c.Entries),
			"number_of_entries_in_memory": float64(c.Entries), "data_memory_used": float64(c.Bytes),
			"off_heap_memory_used": float64(c.Bytes), "hits": float64(c.Hits), "misses": float64(c.Misses),
			"stores": float64(c.Stored), "evictions": float64(c.Evicted), "remove_hits": float64(c.RemoveHits),
			"remove_misses": float64(c.RemoveMisses), "hit_ratio": ratio, "read_write_ratio": readWrite,
			"required_minimum_number_of_nodes": 1, "time_since_start": float64(s.Up / 1000),
		} {
			put("statistics_"+name, v, "cache", c.Name)
		}
		put("configuration_eviction_size", -1, "cache", c.Name)
	}
}
