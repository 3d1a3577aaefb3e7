package daemon_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/latticed/latticed"

// allowed is the architecture: each area names the areas of ours that it may import. An area is a folder; a folder
// without an entry of its own belongs to the longest prefix that has one. Test files are held to the same rules,
// except that they may also import packages that exist for tests.
var allowed = map[string][]string{
	"grid":       {},
	"access-log": {},
	"conf":       {"conf/tree"},

	"conf/tree":       {},
	"conf/infinispan": {"conf/tree"},

	"grid/gridtest": {"grid"},
	"grid/store":    {"grid"},

	"protocols":           {"grid", "access-log"},
	"protocols/memcached": {"protocols", "grid", "access-log"},
	"protocols/media":     {},
	"protocols/rest":      {"protocols", "protocols/media", "conf/infinispan", "grid", "access-log"},
	"protocols/http1":     {"protocols", "protocols/http2", "protocols/rest", "grid", "access-log"},
	"protocols/http2":     {"protocols", "protocols/rest", "grid", "access-log"},
	"protocols/prototest": {"protocols", "grid", "grid/gridtest", "access-log"},

	"router":            {"router/secure", "protocols", "grid", "access-log"},
	"router/secure":     {"protocols", "grid"},
	"router/evloop":     {"router", "router/stream", "protocols", "grid", "access-log"},
	"router/stream":     {"router", "protocols", "grid", "access-log"},
	"router/loopback":   {"router", "router/stream", "protocols", "grid", "access-log"},
	"router/routertest": {"grid"},

	"daemon":          {"*"},
	"daemon/admin":    {},
	"daemon/claim":    {},
	"daemon/catalog":  {"daemon/claim", "conf/infinispan", "protocols/rest", "grid", "grid/store"},
	"daemon/bench":    {},
	"scripts/process": {},
	"scripts/bench":   {"scripts/bench/peers", "scripts/process", "daemon/bench", "router/secure"},
	"scripts/soak":    {"scripts/process"},

	"scripts/bench/peers": {},
}

// forTests are packages that only tests may import.
var forTests = []string{"grid/gridtest", "protocols/prototest", "router/loopback", "router/routertest", "daemon/daemontest"}

// only names foreign packages that stop at one place.
var only = map[string][]string{
	"github.com/panjf2000/gnet/v2":    {"router/evloop"},
	"github.com/hashicorp/memberlist": {"grid/link"},
	"github.com/spf13/cobra":          {"daemon"},
	"go.yaml.in/yaml/v3":              {"conf"},
	"github.com/rs/zerolog":           {"daemon"},
	"github.com/valyala/fasthttp":     {"protocols/http1", "protocols/http2", "protocols/rest", "scripts/bench/peers"},
	"net/http":                        {"daemon", "scripts/bench/peers", "scripts/soak"},
	"crypto/tls":                      {"router", "daemon", "grid/link", "scripts/soak"},
	"github.com/prometheus":           {"daemon/admin"},
	"github.com/cespare/xxhash/v2":    {"grid/segment", "grid/store", "grid/gridtest"},
}

func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports,TestImports,XTestImports", module+"/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	seen := 0
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath                         string
			Imports, TestImports, XTestImports []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		seen++
		from := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
		for _, imp := range p.Imports {
			check(t, from, imp, false)
		}
		for _, imp := range slices.Concat(p.TestImports, p.XTestImports) {
			check(t, from, imp, true)
		}
	}
	if seen < 3 {
		t.Fatalf("go list saw %d packages; the test looks at nothing", seen)
	}
}

func check(t *testing.T, from, imp string, inTest bool) {
	t.Helper()
	for prefix, places := range only {
		if (imp == prefix || strings.HasPrefix(imp, prefix+"/")) && !inTest && !slices.ContainsFunc(places, func(p string) bool { return within(from, p) }) {
			t.Errorf("%s must not import %s: it stops at %v", from, imp, places)
		}
	}
	to, ours := strings.CutPrefix(imp, module+"/")
	if !ours || to == from {
		return
	}
	if !inTest && slices.Contains(forTests, to) && !within(from, "daemon/daemontest") && !slices.Contains(forTests, from) {
		t.Errorf("%s must not import %s: that package is for tests", from, to)
	}
	if inTest && (slices.Contains(forTests, to) || to == "grid/store") {
		return // the node's own engine is what protocols are tested on
	}
	area := from
	for {
		rules, ok := allowed[area]
		if ok {
			if !slices.Contains(rules, "*") && !slices.Contains(rules, to) {
				t.Errorf("%s must not import %s: %q may import %v", from, to, area, rules)
			}
			return
		}
		i := strings.LastIndexByte(area, '/')
		if i < 0 {
			t.Errorf("%s has no place in the architecture: add it to allowed", from)
			return
		}
		area = area[:i]
	}
}

func within(path, area string) bool { return path == area || strings.HasPrefix(path, area+"/") }
