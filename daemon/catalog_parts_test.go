package daemon_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/latticed/latticed/conf/infinispan"
	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/grid/gridtest"
	"github.com/latticed/latticed/protocols"
	"github.com/latticed/latticed/protocols/http1"
	"github.com/latticed/latticed/protocols/rest"
)

// manyCaches are caches with all the aliases there may be.
type manyCaches struct {
	rest.Catalog
	names  []string
	caches map[string]rest.Cache
}

func (m *manyCaches) Version() uint64                     { return 1 }
func (m *manyCaches) Names() []string                     { return m.names }
func (m *manyCaches) Find(name string) (rest.Cache, bool) { c, ok := m.caches[name]; return c, ok }
func (m *manyCaches) Watch(grid.Ticket) (func(), error)   { return func() {}, nil }

// What is said of all caches is made in parts, as the client takes it: neither does it wait in memory, nor is it made for
// requests whose turn has not come.
func TestCachesAreToldInParts(t *testing.T) {
	const caches, requests, most = 200, 20, 128 << 10
	aliases := make([]string, 32)
	for i := range aliases {
		aliases[i] = fmt.Sprintf("%d%s", i, strings.Repeat("a", 240))
	}
	config, err := infinispan.Local().With("aliases", strings.Join(aliases, " "))
	if err != nil {
		t.Fatal(err)
	}
	m := &manyCaches{caches: map[string]rest.Cache{}}
	for i := range caches {
		name := fmt.Sprintf("c%03d%s", i, strings.Repeat("n", 100))
		m.names = append(m.names, name)
		m.caches[name] = rest.Cache{Name: name, Config: config}
	}
	slices.Sort(m.names)
	for path, mark := range map[string]string{
		"/rest/v2/container/cache-configs":                          `"name":"%s`,
		"/rest/v2/caches?action=detailed":                           `"name":"%s`,
		"/rest/v2/container?action=listen&includeCurrentState=true": `"caches":{"%s`,
		"/rest/v2/caches":                                           `"%s`,
		"/rest/v2/container":                                        `"name":"%s`,
		"/rest/v2/container/health":                                 `"cache_name":"%s`,
		"/status.json":                                              `"%s`,
	} {
		env := &protocols.Env{Caches: gridtest.NewModel(gridtest.Options{}), Limits: protocols.DefaultLimits}
		s := http1.New(http1.Options{Service: rest.New(rest.Options{Catalog: m})}).Open(env)
		turn := protocols.Turn{Batch: grid.NewBatch(64 << 10), Room: 16 << 10, Now: grid.Time{Wall: 1}}
		turn.In = []byte(strings.Repeat("GET "+path+" HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n\r\n", requests))
		var told strings.Builder
		for steps := 0; ; steps++ {
			p := s.Step(&turn)
			if n := p.Kept + len(turn.Out); n > most {
				t.Errorf("%s: %d bytes at a time, want at most %d", path, n, most)
				break
			}
			told.Write(turn.Out)
			turn.In, turn.Out = turn.In[p.Used:], turn.Out[:0]
			if p.Next != protocols.Flush {
				break
			}
			if steps > 100_000 {
				t.Fatalf("%s: there is no end", path)
			}
		}
		want := requests
		if strings.Contains(path, "listen") {
			want = 1
		}
		for _, name := range []string{"c000", "c100", "c199"} {
			if n := strings.Count(told.String(), fmt.Sprintf(mark, name)); n != want {
				t.Errorf("%s: told of %s %d times, want %d", path, name, n, want)
			}
		}
		s.Close()
	}
}
