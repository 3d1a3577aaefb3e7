package infinispan_test

import (
	"strings"
	"testing"

	"github.com/latticed/latticed/conf/infinispan"
)

func parse(t *testing.T, in string, f infinispan.Format) *infinispan.Cache {
	t.Helper()
	c, _, err := infinispan.ParseCache([]byte(in), f)
	if err != nil {
		t.Fatalf("%s: %v", in, err)
	}
	return c
}

// full says everything that can be said.
const full = `{"distributed-cache":{"mode":"ASYNC","owners":"3","segments":"64","remote-timeout":"20000","aliases":["other","one more"],"statistics":true,` +
	`"encoding":{"key":{"media-type":"text/plain"},"value":{"media-type":"application/json"}},"expiration":{"lifespan":"60000","max-idle":"1000"},` +
	`"memory":{"max-size":"1500000","when-full":"EXCEPTION"}}}`

// A document in any format becomes the same value, and is written so that it does so again.
func TestRoundTrip(t *testing.T) {
	in := strings.Replace(full, "one more", "more", 1)
	c := parse(t, in, infinispan.JSON)
	for i, pretty := range []bool{false, true, false} {
		name := "a name: <é>"
		if i == 2 {
			name = ""
		}
		var last []byte
		at, from := c, infinispan.JSON
		for _, f := range []infinispan.Format{infinispan.XML, infinispan.YAML, infinispan.JSON} {
			last = at.Append(nil, f, name, pretty)
			at = parse(t, string(last), f)
			if whole := at.AppendDocument(nil, f, "a name: <é>", pretty); !parse(t, string(whole), f).Equal(c) {
				t.Errorf("format %d: %s means something else", f, whole)
			}
			if !at.Equal(c) {
				t.Errorf("format %d after %d: %s means something else", f, from, last)
			}
			from = f
		}
		if want := `{"a name: <é>":` + in + `}`; i == 0 && string(last) != want {
			t.Errorf("got\n%s\nwant\n%s", last, want)
		}
	}
	all := map[string]*infinispan.Cache{"a": c, "local-cache": infinispan.Local(), `"`: c}
	back, err := infinispan.ParseCaches(infinispan.AppendCaches(nil, all))
	if err != nil || len(back) != 3 || !back["a"].Equal(c) || !back["local-cache"].Equal(infinispan.Local()) || !back[`"`].Equal(c) {
		t.Errorf("caches: got %v, %v", back, err)
	}
}

// So does one with a list that is empty, as that of aliases is when the last one was moved to another cache.
func TestRoundTripOfAnEmptyList(t *testing.T) {
	c := parse(t, `{"local-cache":{"aliases":[]}}`, infinispan.JSON)
	for _, f := range []infinispan.Format{infinispan.XML, infinispan.YAML, infinispan.JSON} {
		text := c.Append(nil, f, "c", true)
		if back, _, err := infinispan.ParseCache(text, f); err != nil || !back.Equal(c) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// What Infinispan 16.0.7 writes, to the byte.
func TestWritten(t *testing.T) {
	c := parse(t, `{"local-cache":{"statistics":true,"encoding":{"media-type":"text/plain"},"expiration":{"lifespan":60000},"memory":{"max-count":100}}}`, infinispan.JSON)
	for f, want := range map[infinispan.Format]string{
		infinispan.JSON: `{"c":{"local-cache":{"statistics":true,"encoding":{"media-type":"text/plain"},"expiration":{"lifespan":"60000"},"memory":{"max-count":"100"}}}}`,
		infinispan.YAML: "c: \n  localCache: \n    statistics: \"true\"\n    encoding: \n      mediaType: \"text/plain\"\n    expiration: \n      lifespan: \"60000\"\n    memory: \n      maxCount: \"100\"\n",
		infinispan.XML:  `<?xml version="1.0"?><local-cache name="c" statistics="true"><encoding media-type="text/plain"/><expiration lifespan="60000"/><memory max-count="100"/></local-cache>`,
	} {
		if got := string(c.Append(nil, f, "c", false)); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}
	c = parse(t, `{"local-cache":{"aliases":["a1","a2"],"memory":{"max-size":"1MB"}}}`, infinispan.JSON)
	for f, want := range map[infinispan.Format]string{
		infinispan.JSON: "{\n  \"c\" : {\n    \"local-cache\" : {\n      \"aliases\" : [ \"a1\",\"a2\" ],\n      \"memory\" : {\n        \"max-size\" : \"1MB\"\n      }\n    }\n  }\n}",
		infinispan.YAML: "c: \n  localCache: \n    aliases:\n      - \"a1\"\n      - \"a2\"\n    memory: \n      maxSize: \"1MB\"\n",
		infinispan.XML:  "<?xml version=\"1.0\"?>\n<local-cache name=\"c\" aliases=\"a1 a2\">\n    <memory max-size=\"1MB\"/>\n</local-cache>\n",
	} {
		if got := string(c.Append(nil, f, "c", true)); got != want {
			t.Errorf("got\n%q\nwant\n%q", got, want)
		}
	}
	if got := string(infinispan.Local().Append(nil, infinispan.YAML, "c", false)); got != "c: \n  localCache: ~\n" {
		t.Errorf("got %q", got)
	}
	if got := string(infinispan.Local().Append(nil, infinispan.JSON, "c", false)); got != `{"c":{"local-cache":{}}}` {
		t.Errorf("got %s", got)
	}
}

// A server as Infinispan 16.0.7 writes one, to the byte, but for what it does wrong: of two endpoints it writes one in JSON, and
// no YAML.
func TestWrittenServer(t *testing.T) {
	s := &infinispan.Server{DataDir: "/d", Endpoints: []infinispan.Endpoint{
		{Name: "default", Host: "127.0.0.1", Port: 21222, REST: true, MaxContent: "1MB", Memcached: "default", CORS: []infinispan.CORSRule{
			{Name: "one", Credentials: true, MaxAge: 60, Origins: "http://a.example", Methods: "GET POST", Headers: "X-A", Expose: "X-B"},
		}},
		{Name: "b", Host: "::", Any: true, Port: 21225, REST: true, IdleTimeout: 60000, NoAdmin: true, TLS: &infinispan.TLS{
			Keystore: "/k.p12", Alias: "server", Password: true, Truststore: "/ca", Protocols: "TLSv1.3 TLSv1.2", Suites: "A B", ClientAuth: true,
		}},
	}}
	for f, want := range map[infinispan.Format]string{
		infinispan.JSON: `{"server":{"interfaces":[{"name":"public","inet-address":{"value":"127.0.0.1"}},{"name":"::","any-address":{}}],` +
			`"socket-bindings":{"port-offset":"0","default-interface":"public","socket-binding":[{"name":"default","port":"21222","interface":"public"},` +
			`{"name":"b","port":"21225","interface":"::"}]},"security":{"security-realms":[{"name":"b","server-identities":{"ssl":{"keystore":` +
			`{"alias":"server","path":"/k.p12","password":"***"},"truststore":{"path":"/ca"},"engine":{"enabled-protocols":["TLSv1.3","TLSv1.2"],"enabled-ciphersuites":"A:B"}}}}]},` +
			`"endpoints":{"endpoint":[{"socket-binding":"default","rest-connector":{"name":"rest","socket-binding":"default","max-content-length":"1MB",` +
			`"cors-rules":[{"name":"one","allow-credentials":true,"max-age-seconds":"60","allowed-origins":["http://a.example"],"allowed-methods":["GET","POST"],` +
			`"allowed-headers":["X-A"],"expose-headers":["X-B"]}]},"memcached-connector":{"cache":"default","name":"memcached","socket-binding":"default","protocol":"TEXT"}},` +
			`{"idle-timeout":"60000","socket-binding":"b","security-realm":"b","require-ssl-client-auth":true,"admin":false,"rest-connector":{"name":"rest-b","socket-binding":"b"}}]}}}`,
		infinispan.XML: `<?xml version="1.0"?><server xmlns="urn:infinispan:server:16.0"><interfaces><interface name="public"><inet-address value="127.0.0.1"/></interface>` +
			`<interface name="::"><any-address/></interface></interfaces><socket-bindings port-offset="0" default-interface="public">` +
			`<socket-binding name="default" port="21222" interface="public"/><socket-binding name="b" port="21225" interface="::"/></socket-bindings>` +
			`<security><security-realms><security-realm name="b"><server-identities><ssl><keystore alias="server" path="/k.p12" password="***"/><truststore path="/ca"/>` +
			`<engine enabled-protocols="TLSv1.3 TLSv1.2" enabled-ciphersuites="A:B"/></ssl></server-identities></security-realm></security-realms></security>` +
			`<endpoints><endpoint socket-binding="default"><rest-connector name="rest" socket-binding="default" max-content-length="1MB"><cors-rules>` +
			`<cors-rule name="one" allow-credentials="true" max-age-seconds="60" allowed-origins="http://a.example" allowed-methods="GET POST" allowed-headers="X-A" expose-headers="X-B"/>` +
			`</cors-rules></rest-connector><memcached-connector cache="default" name="memcached" socket-binding="default" protocol="TEXT"/></endpoint>` +
			`<endpoint idle-timeout="60000" socket-binding="b" security-realm="b" require-ssl-client-auth="true" admin="false"><rest-connector name="rest-b" socket-binding="b"/></endpoint>` +
			`</endpoints></server>`,
	} {
		if got := string(s.Append(nil, f, false)); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}
	one := &infinispan.Server{DataDir: "/d", Endpoints: []infinispan.Endpoint{{Name: "default", Host: "127.0.0.1", Port: 21222, REST: true}}}
	const server = `"server":{"interfaces":[{"name":"public","inet-address":{"value":"127.0.0.1"}}],"socket-bindings":{"port-offset":"0","default-interface":"public",` +
		`"socket-binding":[{"name":"default","port":"21222","interface":"public"}]},"security":{},"endpoints":{"endpoint":{"socket-binding":"default",` +
		`"rest-connector":{"name":"rest","socket-binding":"default"}}}}}`
	if got := string(one.Append(nil, infinispan.JSON, false)); got != "{"+server {
		t.Errorf("got\n%s\nwant\n{%s", got, server)
	}
	if got, want := string(one.AppendContainer(nil, infinispan.JSON, false)), `{"infinispan":{"cache-container":{"name":"default","statistics":"true",`+
		`"global-state":{"persistent-location":{"path":"/d"}},"caches":{}},`+server+"}"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got, want := string(one.Append(nil, infinispan.YAML, false)), `server: 
  interfaces: 
    - name: "public"
      inetAddress: 
        value: "127.0.0.1"
  socketBindings: 
    portOffset: "0"
    defaultInterface: "public"
    socketBinding: 
      - name: "default"
        port: "21222"
        interface: "public"
  security: ~
  endpoints: 
    endpoint: 
      socketBinding: "default"
      restConnector: 
        name: "rest"
        socketBinding: "default"
`; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := string(one.Append(nil, infinispan.JSON, true)); !strings.HasPrefix(got, "{\n  \"server\" : {\n    \"interfaces\" : [ {\n      \"name\" : \"public\",\n      \"inet-address\" : {\n") ||
		!strings.Contains(got, "\n      }\n    } ],\n    \"socket-bindings\" : {\n") {
		t.Errorf("got %s", got)
	}
}

func TestDefaults(t *testing.T) {
	want := `{"local-cache":{"aliases":"[]","simple-cache":"false","encoding":{"media-type":null,"key":{"media-type":null},"value":{"media-type":null}},` +
		`"expiration":{"lifespan":"-1","max-idle":"-1"},"memory":{"max-size":null,"max-count":"-1","when-full":"NONE"},"jmx-statistics":{"statistics":"false"}}}`
	if got := string(infinispan.AppendDefaults(nil)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		in   string
		f    infinispan.Format
		path string
		want string
	}{
		{``, infinispan.JSON, "statistics", "false"},
		{`{}`, infinispan.JSON, "memory.max-count", "-1"},
		{`{"x":{"local-cache":{"statistics":"on"}}}`, infinispan.JSON, "statistics", "true"},
		{`{"localCache":{"memory":{"maxSize":"1.5"}}}`, infinispan.JSON, "", "illegal value"},
		{`{"localCache":{"memory":{"maxSize":"2 MiB"}}}`, infinispan.JSON, "memory.max-size", "2 MiB"},
		{`{"local-cache":{"expiration":{"lifespan":"2m"}}}`, infinispan.JSON, "expiration.lifespan", "2m"},
		{`{"local-cache":{"expiration":{"lifespan":"-1"}}}`, infinispan.JSON, "expiration.lifespan", "-1"},
		{`{"infinispan":{"cache-container":{"name":"d","caches":{"local-cache":{"replicated-cache":{"mode":"async"}}}}}}`, infinispan.JSON, "mode", "ASYNC"},
		{"infinispan:\n  cacheContainer:\n    caches:\n      c:\n        distributedCache:\n          owners: 3\n", infinispan.YAML, "owners", "3"},
		{"localCache:\n", infinispan.YAML, "statistics", "false"},
		{`<infinispan xmlns="urn:infinispan:config:16.0"><cache-container name="x" statistics="true"><distributed-cache name="c" aliases="a b"/></cache-container></infinispan>`, infinispan.XML, "aliases", "a b"},
		{`{"distributed-cache":{"configuration":"org.infinispan.DIST_ASYNC"}}`, infinispan.JSON, "mode", "ASYNC"},
		{`{"local-cache":{"memory":{"max-count":5,"when-full":"NONE"}}}`, infinispan.JSON, "memory.when-full", "NONE"},
		{`{"local-cache":{"security":{"authorization":{"enabled":true}}}}`, infinispan.JSON, "", "local-cache.security: there is no authorization yet"},
		{`{"local-cache":{"nonsense":{}}}`, infinispan.JSON, "", "ISPN000327: local-cache.nonsense: unknown element; known here: name, "},
		{`{"local-cache":{"nonsense":1}}`, infinispan.JSON, "", "local-cache.nonsense: unknown attribute"},
		{"<local-cache>\n <memory bound='1'/>\n</local-cache>", infinispan.XML, "", "local-cache.memory.bound: unknown attribute; known here: storage, max-size, max-count, when-full, eviction-container at [2,2]"},
		{`{"local-cache":{"owners":2}}`, infinispan.JSON, "", "a local-cache has no such attribute"},
		{`{"local-cache":{"indexing":{"enabled":true}}}`, infinispan.JSON, "", "local-cache.indexing: this feature is not supported yet"},
		{`{"local-cache":{"indexing":{"enabled":false},"transaction":{"mode":"NONE"}}}`, infinispan.JSON, "statistics", "false"},
		{`{"local-cache":{"persistence":{"file-store":{}}}}`, infinispan.JSON, "", "local-cache.persistence: this feature is not supported yet"},
		{`{"distributed-cache":{"partition-handling":{"when-split":"DENY_READ_WRITES"}}}`, infinispan.JSON, "", "not supported yet"},
		{`{"local-cache":{"statistics":"maybe"}}`, infinispan.JSON, "", `ISPN000686: local-cache.statistics: illegal value "maybe": want true or false at [1,17]`},
		{`{"local-cache":{"statistics":true,"statistics":true}}`, infinispan.JSON, "", "it is there twice"},
		{`{"local-cache":{"memory":{"max-count":1,"max-size":1}}}`, infinispan.JSON, "", "ISPN000583"},
		{`{"local-cache":{"expiration":{"lifespan":5,"max-idle":5}}}`, infinispan.JSON, "", "ISPN000705"},
		{`{"local-cache":{"memory":{"when-full":"EXCEPTION"}}}`, infinispan.JSON, "", "EXCEPTION needs"},
		{`{"local-cache":{"encoding":{"media-type":"text"}}}`, infinispan.JSON, "", "want a media type"},
		{`{"local-cache":{"aliases":["a b"]}}`, infinispan.JSON, "", "want words without spaces"},
		{`{"local-cache":{"memory":[]}}`, infinispan.JSON, "", "want attributes and elements, got a list"},
		{`{"local-cache":{"statistics":{}}}`, infinispan.JSON, "", "want a value"},
		{`{"scattered-cache":{}}`, infinispan.JSON, "", "ISPN000622"},
		{`{"nonsense":{}}`, infinispan.JSON, "", "want the element of one cache"},
		{`{"a":{"b":{}}}`, infinispan.JSON, "", "ISPN000327: b: unknown element"},
		{`{"a":{"local-cache":{}},"b":{"local-cache":{}}}`, infinispan.JSON, "", "there are 2"},
		{`{"local-cache-configuration":{}}`, infinispan.JSON, "", "templates of your own"},
		{`{"local-cache":{"configuration":"mine"}}`, infinispan.JSON, "", "ISPN000374: local-cache.configuration: No such template 'mine'"},
		{`{"local-cache":{"configuration":"org.infinispan.DIST_SYNC"}}`, infinispan.JSON, "", "the template is a distributed-cache"},
		{`[]`, infinispan.JSON, "", "got a list"},
		{`{"local-cache":`, infinispan.JSON, "", "Reached end of input at [1,16]"},
		{strings.Repeat(" ", infinispan.MaxCache+1), infinispan.JSON, "", "larger than 65536 bytes"},
	} {
		got, _, err := infinispan.ParseCache([]byte(c.in), c.f)
		switch {
		case err != nil && (c.path != "" || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%.200s: got %v, want %s", c.in, err, c.want)
		case err == nil && (c.path == "" || got.Value(c.path) != c.want):
			t.Errorf("%.200s: got %+v, want %s %s", c.in, got, c.path, c.want)
		}
	}
}

// What only tunes is left out, and one warning tells all of it.
func TestWarnings(t *testing.T) {
	c, warnings, err := infinispan.ParseCache([]byte(`{"local-cache":{"locking":{"isolation":"NONE"},"expiration":{"interval":1,"lifespan":7},"memory":{"storage":"HEAP"}}}`), infinispan.JSON)
	want := "no effect here, left out: local-cache.locking, local-cache.expiration.interval, local-cache.memory.storage"
	if err != nil || len(warnings) != 1 || warnings[0] != want {
		t.Errorf("got %q, %v, want %q", warnings, err, want)
	}
	if got := string(c.Append(nil, infinispan.JSON, "c", false)); got != `{"c":{"local-cache":{"expiration":{"lifespan":"7"}}}}` {
		t.Errorf("got %s", got)
	}
}

// Times and sizes are told as they were said, and mean the same in any unit.
func TestUnits(t *testing.T) {
	c := parse(t, `{"local-cache":{"expiration":{"lifespan":"2m"},"memory":{"max-size":"1 MiB"}}}`, infinispan.JSON)
	other := parse(t, `<local-cache name="n"><expiration lifespan="120000"/><memory max-size="1048576"/></local-cache>`, infinispan.XML)
	if c.Int("expiration.lifespan") != 120_000 || c.Int("memory.max-size") != 1<<20 || c.Value("expiration.lifespan") != "2m" {
		t.Errorf("got %+v", c)
	}
	if !c.Equal(other) || c.Name != "" || other.Name != "n" {
		t.Errorf("%+v is not %+v", c, other)
	}
}

func TestTemplates(t *testing.T) {
	for _, name := range infinispan.Templates {
		c, ok := infinispan.Template(name)
		if !ok || "org.infinispan."+c.Mode() != name || !c.Bool("statistics") {
			t.Errorf("%s: got %+v", name, c)
		}
	}
	if _, ok := infinispan.Template("org.infinispan.SCATTERED_SYNC"); ok {
		t.Error("a template of what there is not")
	}
}

func TestChanges(t *testing.T) {
	c := parse(t, `{"distributed-cache":{"memory":{"max-count":100},"encoding":{"media-type":"text/plain"}}}`, infinispan.JSON)
	for _, m := range c.Mutables() {
		if v, err := c.Attribute(m.Path); err != nil {
			t.Errorf("%s: got %q, %v", m.Path, v, err)
		}
	}
	for _, x := range []struct{ path, value, want string }{
		{"memory.max-count", "200", ""},
		{"clustering.remote-timeout", "1s", ""},
		{"jmx-statistics.statistics", "true", ""},
		{"aliases", "a  b", ""},
		{"memory.max-count", "-2", "ISPN000686"},
		{"memory.max-size", "5", "ISPN000583"},
		{"encoding.media-type", "text/xml", "ISPN012035: Attribute 'encoding.media-type' is immutable"},
		{"nope", "1", "ISPN000960: No attribute 'nope' in 'distributed-cache'"},
		{"simple-cache", "true", "ISPN000960"},
	} {
		got, err := c.With(x.path, x.value)
		if x.want != "" {
			if err == nil || !strings.Contains(err.Error(), x.want) {
				t.Errorf("%s=%s: got %v, want %s", x.path, x.value, err, x.want)
			}
			continue
		}
		if err != nil || got.Equal(c) {
			t.Errorf("%s=%s: got %v, %v", x.path, x.value, got, err)
		}
	}
	if v, _ := c.Attribute("memory.max-count"); v != "100" {
		t.Errorf("a change reached what it was made of: %s", v)
	}
	_, err := c.Update("c", parse(t, `{"distributed-cache":{"encoding":{"media-type":"application/json"}}}`, infinispan.JSON))
	if err == nil || err.Error() != "ISPN000963: Invalid configuration in 'c.distributed-cache'\n    ISPN000961: Incompatible attribute 'c.distributed-cache.encoding.media-type' existing value='text/plain', new value='application/json'" {
		t.Errorf("got %v", err)
	}
	if _, err := c.Update("c", infinispan.Local()); err == nil {
		t.Error("the type changed")
	}
	next, err := c.Update("c", parse(t, `{"distributed-cache":{"encoding":{"media-type":"text/plain"},"expiration":{"lifespan":5}}}`, infinispan.JSON))
	if err != nil || next.Int("expiration.lifespan") != 5 || next.Bounded() {
		t.Errorf("got %+v, %v", next, err)
	}
}

// Whatever comes in, what is accepted is written so that all formats read the same again.
func FuzzParseCache(f *testing.F) {
	f.Add([]byte(full), uint8(0))
	c := infinispan.Local()
	for _, format := range []infinispan.Format{infinispan.JSON, infinispan.XML, infinispan.YAML} {
		f.Add(c.Append(nil, format, "c", true), uint8(format))
	}
	f.Fuzz(func(t *testing.T, in []byte, format uint8) {
		c, _, err := infinispan.ParseCache(in, infinispan.Format(format%3))
		if err != nil {
			return
		}
		for _, to := range []infinispan.Format{infinispan.JSON, infinispan.XML, infinispan.YAML} {
			text := c.Append(nil, to, "c", false)
			if back, _, err := infinispan.ParseCache(text, to); err != nil || !back.Equal(c) {
				t.Fatalf("%q became %q: %v", in, text, err)
			}
		}
	})
}
