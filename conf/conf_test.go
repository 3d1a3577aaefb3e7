package conf_test

import (
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/latticed/latticed/conf"
)

var machine = conf.Machine{Memory: 8 << 30, CPUs: 4, Descriptors: 1024}

// load reads yaml as a file called c.yaml, with env and flags on top.
func load(t *testing.T, yaml string, env []string, flags map[string][]string) (*conf.Config, error) {
	t.Helper()
	t.Chdir(t.TempDir())
	all := map[string][]string{}
	if yaml != "" {
		if err := os.WriteFile("c.yaml", []byte(yaml), 0o600); err != nil {
			t.Fatal(err)
		}
		all["config"] = []string{"c.yaml"}
	}
	for k, v := range flags {
		all[k] = v
	}
	return conf.Load(conf.Sources{Machine: machine, Env: env, Flags: all})
}

func TestEveryKeyFromEverySource(t *testing.T) {
	f := func(key, flag, file, env, arg string) {
		t.Helper()
		group, name, nested := strings.Cut(key, ".")
		yaml := "latticed:\n  " + key + ": " + file + "\n"
		line := ":2"
		if nested {
			yaml, line = "latticed:\n  "+group+":\n    "+name+": "+file+"\n", ":3"
		}
		envName := "LATTICED_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
		is := func(what string, envs []string, flags map[string][]string, value, origin string) {
			t.Helper()
			c, err := load(t, yaml, envs, flags)
			if err != nil {
				t.Errorf("%s from %s: %v", key, what, err)
				return
			}
			if got := c.Origin(key).String(); got != origin {
				t.Errorf("%s: origin: got %q, want %q", key, got, origin)
			}
			short := key[strings.IndexByte(key, '.')+1:]
			if y := c.YAML(false); !strings.Contains(y, " "+short+": "+value+"\n") {
				t.Errorf("%s from %s: want %s in\n%s", key, what, value, y)
			}
		}
		is("file", nil, nil, file, "c.yaml"+line)
		is("environment", []string{envName + "=" + env}, nil, env, "environment "+envName)
		is("flag", []string{envName + "=" + env}, map[string][]string{flag: {arg}}, arg, "flag --"+flag)
	}
	f("memory", "memory", "64MiB", "65MiB", "66MB")
	f("event-loops", "event-loops", "2", "3", "4")
	f("max-connections", "max-connections", "20", "30", "40")
	f("data-dir", "data-dir", "/a", "/b", "/c")
	f("warm-restart", "warm-restart", "/a", "/b", "/c")
	f("log-level", "log-level", "debug", "warn", "error")
	f("log-format", "log-format", "json", "console", "auto")
	f("memcached.max-item-size", "memcached-max-item-size", "2MiB", "3MiB", "4MiB")
}

func TestListeners(t *testing.T) {
	const yaml = `latticed:
  listeners:
    - address: 127.0.0.1:1
      protocols: [memcached]
      allow: [10.0.0.0/8, '::1']
      deny: [10.1.2.3]
      proxy-protocol: {trusted: [192.0.2.0/24]}
      idle-timeout: 90s
      tls: {certificates: [a.pem, b.p12], password-file: p, clear: true, client-certificates: optional, client-ca: ca, min-version: 1.3}
    - {address: 'unix:/tmp/s', unix-mode: 0770}
    - {address: 'a:3'}
  tls: {certificates: [c.pem], keys: [c.key], suites: [A, B]}
`
	c, err := load(t, yaml, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	// What is shown reads as the same configuration again.
	again, err := load(t, c.YAML(true), nil, nil)
	if err != nil {
		t.Fatalf("%v in\n%s", err, c.YAML(true))
	}
	if d := conf.Diff(c, again); len(d) != 0 || len(again.Listeners) != 3 {
		t.Errorf("shown and read again: %v differ, in\n%s", d, c.YAML(true))
	}
	if l := c.Listeners[1]; l.UnixMode != 0o770 {
		t.Errorf("unix-mode: got %o, want 770", l.UnixMode)
	}
	for i, want := range []string{"a.pem", "", "c.pem"} {
		if got := c.TLSOf(&c.Listeners[i]); strings.Join(got.Certificates[:min(1, len(got.Certificates))], "") != want {
			t.Errorf("TLS of listener %d: got %v, want %q", i, got.Certificates, want)
		}
	}
	changed, err := load(t, strings.ReplaceAll(yaml, "[10.1.2.3]", "[]"), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []conf.Change{{Key: "listeners[127.0.0.1:1].deny", From: "10.1.2.3/32", Live: true}}
	if d := conf.Diff(c, changed); !slices.Equal(d, want) {
		t.Errorf("Diff: got %v, want %v", d, want)
	}
	c, err = load(t, yaml, []string{"LATTICED_LISTEN=:5, unix:/x"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Listeners) != 2 || c.Listeners[0].Address != ":5" || c.Listeners[1].Address != "unix:/x" {
		t.Errorf("LATTICED_LISTEN: got %v", c.Listeners)
	}
}

func TestErrors(t *testing.T) {
	f := func(yaml, want string) {
		t.Helper()
		if _, err := load(t, yaml, nil, nil); err == nil || err.Error() != want {
			t.Errorf("%q:\ngot  %v\nwant %s", yaml, err, want)
		}
	}
	f("latticed:\n  memroy: 1\n", `c.yaml:2: latticed.memroy: unknown key; did you mean "memory"?`)
	f("latticed:\n  memcached:\n    max-item: 1\n", `c.yaml:3: latticed.memcached.max-item: unknown key; known here: max-item-size`)
	f("latticed:\n  event-loops: [1]\n", "c.yaml:2: latticed.event-loops: want one value, got a list")
	f("latticed:\n  event-loops: two\n", `c.yaml:2: latticed.event-loops: want a number from 1 to 255, got "two"`)
	f("latticed:\n  memory:\n", "c.yaml:2: latticed.memory: want one value, got nothing")
	f("latticed:\n  memory: -1\n", `c.yaml:2: latticed.memory: want a size such as 64MB, 64MiB or 2g, got "-1"`)
	f("latticed: [a]\n", "c.yaml:1: latticed: want keys with values, got a list")
	f("latticd:\n  memory: 1\n", `c.yaml:1: latticd: unknown key; did you mean "latticed"?`)
	f("infinispan:\n  a: 1\n", "c.yaml:1: infinispan: Infinispan's configuration is not supported yet")
	f("latticed:\n  memory: &a 1GB\n", "c.yaml:2: an anchor (&a) is not supported here")
	f("latticed:\n  listeners: [{protocols: [memcached]}]\n", "c.yaml:2: latticed.listeners[0]: an address is missing")
	f("latticed:\n  listeners:\n    - {address: a:1, protocols: [memcache]}\n",
		`c.yaml:3: latticed.listeners[0].protocols: want memcached or http, got "memcache"; did you mean memcached?`)
	f("latticed:\n  listeners:\n    - {address: a:1, allow: 10.0.0.0/8}\n", "c.yaml:3: latticed.listeners[0].allow: want a list, got one value")
	f("latticed:\n  listeners:\n    - {address: a:1, allow: [10.0.0.1/8]}\n",
		"c.yaml:3: latticed.listeners[0].allow: 10.0.0.1/8 has bits beyond its length; did you mean 10.0.0.0/8?")
	f("latticed:\n  listeners:\n    - {address: a:1, deny: ['::ffff:10.0.0.1/104']}\n",
		"c.yaml:3: latticed.listeners[0].deny: ::ffff:10.0.0.1/104 has bits beyond its length; did you mean 10.0.0.0/8?")
	f("latticed:\n  listeners:\n    - {address: a:1, deny: ['::ffff:0:0/95']}\n",
		"c.yaml:3: latticed.listeners[0].deny: ::ffff:0:0/95 has addresses of version 4 among others; name those of each version")
	f("latticed:\n  listeners:\n    - {address: 'unix:/a', allow: [10.0.0.0/8]}\n",
		"c.yaml:3: latticed.listeners[0].allow: a Unix socket has no addresses to judge; unix-mode says who may connect")
	f("latticed:\n  memory: 30MiB\n  memcached: {max-item-size: 40MiB}\n",
		"memcached.max-item-size (40MiB, c.yaml:3) is more than memory (30MiB, c.yaml:2)")
	f("latticed:\n  listeners:\n    - {address: a:1, tls: {certificates: [a], keys: [b, c]}}\n",
		"c.yaml:3: latticed.listeners[0].tls: want as many keys as certificates or none, got 2 and 1")
	f("latticed:\n  listeners:\n    - {address: a:1, tls: {client-certificates: required}}\n",
		"c.yaml:3: latticed.listeners[0].tls: client-certificates needs client-ca, the file with the certificates of who signs them")
	f("latticed:\n  tls: {self-signed: true, certificates: [a]}\n", "tls: want either self-signed or certificates, not both")
	f("latticed:\n  tls: {clear: true}\n", "tls: certificates are missing")
	f("latticed:\n  tls: {min-version: 1.1}\n", `c.yaml:2: latticed.tls.min-version: want 1.2 or 1.3, got "1.1"; did you mean 1.2?`)
	// All of them at once, in order.
	f("latticed:\n  memroy: 1\n  log-level: loud\n", "c.yaml:2: latticed.memroy: unknown key; did you mean \"memory\"?\n"+
		`c.yaml:3: latticed.log-level: want debug or info or warn or error, got "loud"`)
}

func TestDefaultsFollowTheMachine(t *testing.T) {
	f := func(m conf.Machine, flags map[string][]string, memory string, connections int, why string) {
		t.Helper()
		c, err := conf.Load(conf.Sources{Machine: m, Flags: flags})
		if err != nil {
			t.Fatal(err)
		}
		if got := conf.FormatSize(c.Memory); got != memory || c.MaxConnections != connections || c.Origin("memory").String() != why {
			t.Errorf("%+v: got %s, %d connections, %v, want %s, %d, %s", m, got, c.MaxConnections, c.Origin("memory"), memory, connections, why)
		}
	}
	f(conf.Machine{Memory: 8 << 30, Descriptors: 1024}, nil, "4GiB", 896, "default: half of the machine's memory")
	f(conf.Machine{Memory: 256 << 20, Group: "/a", Descriptors: 1024}, nil, "224MiB", 896, "default: 7/8 of what the control group /a allows")
	f(conf.Machine{Memory: 256 << 20, Group: "/a", Descriptors: 1 << 20}, nil, "224MiB", 14336, "default: 7/8 of what the control group /a allows")
	f(conf.Machine{Memory: 8 << 30, Descriptors: 1 << 20}, map[string][]string{"memory": {"64MiB"}}, "64MiB", 4096, "flag --memory")
	f(conf.Machine{}, nil, "1GiB", 16384, "default: the memory there is is not known")
	f(conf.Machine{Descriptors: 40}, nil, "1GiB", 32, "default: the memory there is is not known")
}

func TestFits(t *testing.T) {
	f := func(m conf.Machine, flags map[string][]string, want string) {
		t.Helper()
		on := machine
		if flags == nil {
			on = m
		}
		c, err := conf.Load(conf.Sources{Machine: on, Flags: flags})
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if err := c.Fits(m); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%+v on %+v: got %q, want %q", flags, m, got, want)
		}
	}
	f(machine, nil, "")
	f(conf.Machine{}, map[string][]string{"memory": {"1TiB"}, "max-connections": {"1000000"}}, "")
	f(machine, map[string][]string{"memory": {"9GiB"}}, "memory (9GiB, flag --memory) is more than the machine has, which is 8GiB; lower it or leave it out")
	f(conf.Machine{Memory: 256 << 20, Group: "/a"}, map[string][]string{"memory": {"1GiB"}},
		"memory (1GiB, flag --memory) is more than the control group /a allows, which is 256MiB; lower it or leave it out")
	f(conf.Machine{Memory: 16 << 20, Group: "/a"}, nil, "at least 24MiB of memory is needed, and the control group /a allows 16MiB")
	f(machine, map[string][]string{"max-connections": {"992"}}, "")
	f(machine, map[string][]string{"max-connections": {"993"}}, "max-connections (993, flag --max-connections) does not fit the limit on open files, which is 1024; "+
		"raise that (ulimit -n, LimitNOFILE=) or lower max-connections")
}

func TestEnvironmentOfOthers(t *testing.T) {
	c, err := load(t, "", []string{"LATTICED_PORT=tcp://10.0.0.1:11222", "LATTICED_SERVICE_HOST=10.0.0.1", "LATTICED_MEMROY=1GB"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"unknown environment variable LATTICED_MEMROY; did you mean LATTICED_MEMORY?"}
	if !slices.Equal(c.Warnings, want) {
		t.Errorf("warnings: got %q, want %q", c.Warnings, want)
	}
}

func TestSize(t *testing.T) {
	f := func(text string, want uint64) {
		t.Helper()
		got, err := conf.ParseSize(text)
		if err != nil || got != want {
			t.Errorf("%q: got %d, %v, want %d", text, got, err, want)
		}
		if again, err := conf.ParseSize(conf.FormatSize(got)); again != got || err != nil {
			t.Errorf("%d: shown as %q, which reads as %d, %v", got, conf.FormatSize(got), again, err)
		}
	}
	f("4096", 4096)
	f("64MB", 64e6)
	f("64mib", 64<<20)
	f("64m", 64<<20)
	f("1g", 1<<30)
	f("1.5 GiB", 3<<29)
	f("7b", 7)
	for _, bad := range []string{"", "MB", "1x", "1.5", "1e3MB", "-1k", "0x10", "9999999TiB"} {
		if n, err := conf.ParseSize(bad); err == nil {
			t.Errorf("%q: got %d, want an error", bad, n)
		}
	}
}

func FuzzFile(f *testing.F) {
	f.Add("latticed:\n  listeners: [{address: 'a:1', allow: [10.0.0.0/8]}]\n  memory: 1g\n")
	f.Add("a: &x [*x]\n? [1]\n: 2\n<<: {}\n")
	f.Fuzz(func(t *testing.T, yaml string) {
		if c, err := load(t, yaml, nil, nil); err == nil {
			if again, err := load(t, c.YAML(true), nil, nil); err != nil || len(conf.Diff(c, again)) != 0 {
				t.Errorf("%q: shown as\n%s\nwhich does not read as the same: %v", yaml, c.YAML(true), err)
			}
		}
	})
}

// systemd makes a directory for a unit that asks for one, and says which.
func TestStateDirectory(t *testing.T) {
	env := []string{"STATE_DIRECTORY=/var/lib/latticed:/var/lib/other"}
	c, err := load(t, "", env, nil)
	if err != nil || c.DataDir != "/var/lib/latticed" || c.Origin("data-dir").String() != "default: the first of STATE_DIRECTORY" {
		t.Errorf("got %q, %v, %v", c.DataDir, c.Origin("data-dir"), err)
	}
	if c, err = load(t, "latticed:\n  data-dir: ''\n", env, nil); err != nil || c.DataDir != "" {
		t.Errorf("set to none: got %q, %v", c.DataDir, err)
	}
}

func TestCORSRules(t *testing.T) {
	const rules = "latticed:\n  http:\n    cors-rules: "
	c, err := load(t, rules+"\n      - {name: apps, allowed-origins: [https://a.example, 'http://b.example:80'], allowed-methods: [GET, PUT], allowed-headers: [X-A], expose-headers: [Etag], allow-credentials: true, max-age-seconds: 60}\n"+
		"      - {allowed-origins: ['*'], allowed-methods: [GET]}\n", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []conf.CORSRule{
		{Name: "apps", Origins: []string{"https://a.example", "http://b.example:80"}, Methods: []string{"GET", "PUT"}, Headers: []string{"X-A"}, Expose: []string{"Etag"}, Credentials: true, MaxAge: 60},
		{Origins: []string{"*"}, Methods: []string{"GET"}},
	}
	if !reflect.DeepEqual(c.HTTP.CORS, want) {
		t.Errorf("got %+v, want %+v", c.HTTP.CORS, want)
	}
	for _, origins := range []bool{false, true} {
		again, err := load(t, c.YAML(origins), nil, nil)
		if err != nil {
			t.Fatalf("%v in\n%s", err, c.YAML(origins))
		}
		if !reflect.DeepEqual(again.HTTP.CORS, want) || len(conf.Diff(c, again)) != 0 {
			t.Errorf("shown as\n%s\nand read again: %+v", c.YAML(origins), again.HTTP.CORS)
		}
	}
	other, err := load(t, rules+"[{allowed-origins: ['*'], allowed-methods: [PUT]}]\n", nil, nil)
	if err != nil || len(conf.Diff(c, other)) != 1 {
		t.Errorf("changed: %v, %v", conf.Diff(c, other), err)
	}
	if none, err := load(t, rules+"[]\n", nil, nil); err != nil || !strings.Contains(none.YAML(false), "cors-rules: []\n") {
		t.Errorf("none: %v", err)
	}
	for bad, want := range map[string]string{
		"[{allowed-methods: [GET]}]":                                                  "cors-rules[0]: allowed-origins are missing",
		"[{allowed-origins: ['*']}]":                                                  "cors-rules[0]: allowed-methods are missing",
		"[{allowed-origins: [a.example], allowed-methods: [GET]}]":                    "want an origin such as",
		"[{allowed-origins: ['*'], allowed-methods: [get]}]":                          `want GET or HEAD or POST or PUT or DELETE or OPTIONS, got "get"`,
		"[{allowed-origins: ['*'], allowed-methods: [GET], allow-credentials: true}]": "name the origins instead of *",
		"[{allowed-origins: ['*'], allowed-methods: [GET], expose-headers: ['a b']}]": "want the name of a header field",
		"[{allowed-origins: ['*'], allowed-methods: [GET], max-age-seconds: -1}]":     "want a number from 0",
		"[{allowed-origin: ['*']}]":                                                   "did you mean \"allowed-origins\"?",
		"{}":                                                                          "want a list such as",
	} {
		if _, err := load(t, rules+bad+"\n", nil, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", bad, err, want)
		}
	}
}
