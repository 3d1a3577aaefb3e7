package admin_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/latticed/latticed/daemon/admin"
)

func snapshot() admin.Snapshot {
	return admin.Snapshot{
		Version: "1", Node: "n1", Port: 11222, Up: 90_000, Loops: 2, Limit: 1000,
		Router: []admin.Figure{{Name: "connections", Help: "x", Value: 3}, {Name: "read_bytes_total", Help: "x", Total: true, Value: 77}},
		Caches: []admin.Cache{{Name: "a", Entries: 5, Bytes: 100, Hits: 3, Misses: 1, Stored: 2}, {Name: "b"}},
	}
}

func TestMetricsCanBeRead(t *testing.T) {
	text, kind := admin.NewMetrics(snapshot).Gather("")
	if !strings.HasPrefix(kind, "text/plain; version=0.0.4") {
		t.Errorf("got %q", kind)
	}
	p := expfmt.NewTextParser(model.LegacyValidation)
	families, err := p.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("not a text that Prometheus reads: %v", err)
	}
	f := func(name, cache string, want float64) {
		t.Helper()
		for _, m := range families[name].GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "cache" && l.GetValue() == cache {
					if got := m.GetGauge().GetValue() + m.GetCounter().GetValue(); got != want {
						t.Errorf("%s of %s: got %v, want %v", name, cache, got, want)
					}
					return
				}
			}
		}
		t.Errorf("there is no %s of cache %s", name, cache)
	}
	f("latticed_cache_entries", "a", 5)
	f("latticed_cache_hits_total", "a", 3)
	f("latticed_cache_entries", "b", 0)
	f("infinispan_statistics_hit_ratio", "a", 0.75)
	f("infinispan_statistics_read_write_ratio", "a", 2)
	f("infinispan_statistics_hit_ratio", "b", 0)
	for name, want := range map[string]float64{
		"infinispan_server_single_port_11222_transport_number_of_local_connections": 3,
		"infinispan_server_single_port_11222_transport_total_bytes_read":            77,
		"latticed_uptime_seconds": 90,
	} {
		m := families[name].GetMetric()
		if len(m) != 1 || m[0].GetGauge().GetValue() != want {
			t.Errorf("%s: got %v, want %v", name, m, want)
		}
	}
}

func TestOpenMetrics(t *testing.T) {
	text, kind := admin.NewMetrics(snapshot).Gather("application/openmetrics-text; version=1.0.0, text/plain;q=0.5")
	if !strings.HasPrefix(kind, "application/openmetrics-text; version=1.0.0") {
		t.Errorf("got %q", kind)
	}
	if !bytes.HasSuffix(text, []byte("\n# EOF\n")) || !bytes.Contains(text, []byte("\nlatticed_read_bytes_total 77.0\n")) ||
		!bytes.Contains(text, []byte("\ninfinispan_statistics_hits{cache=\"a\",")) {
		t.Errorf("got %.300q ... %.100q", text, text[max(0, len(text)-100):])
	}
}
