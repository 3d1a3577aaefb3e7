package daemon_test

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/latticed/latticed/daemon/daemontest"
)

// TestProcessByHTTP asks what the process is made of: the figures are those of the process, and nothing is told that it was
// not meant to know.
func TestProcessByHTTP(t *testing.T) {
	t.Setenv("DATABASE_PASSWORD", "hidden")
	t.Setenv("LATTICED_PASSWORD", "hidden")
	t.Setenv("GOTRACEBACK", "all")
	dir := t.TempDir()
	d := daemontest.Boot(t, daemontest.AnyPort+"  data-dir: "+dir+"\n  tls: {self-signed: true}\n")
	web := browse(t, d)
	call(t, web, "PUT", keys+"k", strings.NewReader(strings.Repeat("v", 3<<20)))
	get := func(path string) string {
		t.Helper()
		a, got := call(t, web, "GET", "/rest/v2/server/"+path, nil)
		if a.StatusCode != 200 {
			t.Fatalf("%s: got %d %q", path, a.StatusCode, got)
		}
		return got
	}
	type usage struct{ Used, Committed, Max int64 }
	var m struct {
		Memory_pools []struct {
			Name, Type string
			Usage      usage
		}
		GC           []struct{ Collection_count, Collection_time int64 }
		Buffer_pools []struct{ Memory_used, Total_capacity, Count int64 }
		Heap         usage
		Non_heap     usage
	}
	text := get("memory")
	if err := json.Unmarshal([]byte(text), &m); err != nil || len(m.Memory_pools) != 4 || len(m.GC) != 1 || len(m.Buffer_pools) != 1 {
		t.Fatalf("memory: got %s, %v", text, err)
	}
	entries := m.Memory_pools[3]
	if entries.Name != "entries" || entries.Type != "Non-heap memory" || entries.Usage.Used < 3<<20 || entries.Usage.Max < 100<<20 || entries.Usage.Max > 512<<20 {
		t.Errorf("memory of entries: got %+v", entries)
	}
	if m.Heap.Used < 100<<10 || m.Heap.Committed < m.Heap.Used || m.Non_heap.Committed < entries.Usage.Committed || m.Buffer_pools[0].Count != 1 || m.Buffer_pools[0].Total_capacity < 1<<20 {
		t.Errorf("memory: got %+v", m)
	}
	if got := get("threads"); !strings.HasPrefix(got, "goroutine profile: total ") || !strings.Contains(got, "daemon.(*Daemon).sweep") {
		t.Errorf("threads: got %.300s", got)
	}
	var env map[string]string
	text = get("env")
	if err := json.Unmarshal([]byte(text), &env); err != nil || env["GOTRACEBACK"] != "all" || env["go.version"] == "" || strings.Contains(text, "hidden") || strings.Contains(text, "PASSWORD") {
		t.Errorf("env: got %s, %v", text, err)
	}

	a, archive := call(t, web, "GET", "/rest/v3/server/report", nil)
	if name := a.Header.Get("Content-Disposition"); a.StatusCode != 200 || a.Header.Get("Content-Type") != "application/gzip" ||
		!strings.HasPrefix(name, `attachment; filename="latticed-local-20`) || !strings.HasSuffix(name, `-report.tar.gz"`) {
		t.Errorf("report: got %d %v", a.StatusCode, a.Header)
	}
	z, err := gzip.NewReader(strings.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
		want := map[string]string{
			"configuration.yaml": "self-signed: true", "threads.txt": "goroutine profile", "metrics.txt": "latticed_cache_entries", "memory.json": `"Go heap"`,
			"environment.json": "go.version",
		}[h.Name]
		if want == "" || !strings.Contains(string(b), want) || strings.Contains(string(b), "hidden") {
			t.Errorf("%s of the report: got %.300s", h.Name, b)
		}
	}
	if len(names) != 5 {
		t.Errorf("report: got %v", names)
	}
}

// TestHeapDumps writes more dumps than are kept.
func TestHeapDumps(t *testing.T) {
	dir := t.TempDir()
	web := browse(t, daemontest.Boot(t, daemontest.AnyPort+"  data-dir: "+dir+"\n"))
	var names []string
	for i := range 18 {
		path := "/rest/v2/server/memory?action=heap-dump&live=" + map[bool]string{true: "true", false: "false"}[i == 0]
		if i == 17 {
			path = "/rest/v3/server/memory/_heap-dump"
		}
		a, got := call(t, web, "POST", path, nil)
		var answer struct{ Filename string }
		if err := json.Unmarshal([]byte(got), &answer); err != nil || a.StatusCode != 200 {
			t.Fatalf("got %d %q, %v", a.StatusCode, got, err)
		}
		names = append(names, answer.Filename)
	}
	there, err := filepath.Glob(filepath.Join(dir, "heap-*.pprof"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range there {
		there[i] = filepath.Base(there[i])
	}
	if !slices.Equal(there, names[2:]) {
		t.Errorf("in the directory: got %v, want the last 16 of %v", there, names)
	}
	info, err := os.Stat(filepath.Join(dir, names[17]))
	if err != nil || info.Mode().Perm() != 0o600 || info.Size() < 1000 {
		t.Errorf("the last: got %v, %v", info, err)
	}
	bare := browse(t, daemontest.Boot(t, daemontest.AnyPort))
	if a, got := call(t, bare, "POST", "/rest/v2/server/memory?action=heap-dump", nil); a.StatusCode != 409 || !strings.Contains(got, "data-dir") {
		t.Errorf("without a data directory: got %d %q", a.StatusCode, got)
	}
}
