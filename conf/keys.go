package conf

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/latticed/latticed/conf/tree"
)

// Bounds that hold whatever the machine is.
const (
	maxLoops       = 255
	maxConnections = 1 << 20
	maxMemory      = 1 << 50
	minItemSize    = 1 << 10
	maxItemSize    = 1 << 30
	minContent     = 1 << 10
	maxContent     = 1 << 30
)

// key is one key of the file below a section, or one flag and environment variable, or mostly all three.
type key[T any] struct {
	name    string // in the file, dots between the levels; empty: not in the file
	flag    string // on the command line, and with LATTICED_ in the environment; empty: neither
	arg     string // stands for the value in help; empty: a switch
	usage   string
	def     string   // how the default is found, where that needs words
	live    bool     // a reload changes it
	list    bool     // in the file a list
	choices []string // what the value can be, where that is a few words
	repeat  bool     // the flag may be repeated, the variable holds a list with commas
	empty   bool     // an empty value says something
	hidden  bool     // not in help
	quiet   bool     // config show leaves it out while it has its default

	set  func(dst *T, texts []string) error // one text unless list or repeat
	show func(src *T) []string              // as set takes it
	node func(d *decoder, dst *T, name string, n *tree.Node)
}

var (
	logLevels  = []string{"debug", "info", "warn", "error"}
	logFormats = []string{"auto", "console", "json"}
)

// MinMemory is the least that memory can be; in less the process itself would not fit.
const MinMemory = 24 << 20

const envPrefix = "LATTICED_"

func envName(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// keys are all there are. Reading, help, config show and the test of the documentation go by this table.
var keys = slices.Concat([]key[Config]{
	{
		name: "listeners", flag: "listen", arg: "ADDRESS", repeat: true,
		usage: "serve `ADDRESS`, HOST:PORT or unix:PATH; may be repeated",
		set: func(c *Config, addresses []string) error {
			c.Listeners = nil
			for _, a := range addresses {
				if err := checkAddress(a); err != nil {
					return err
				}
				c.Listeners = append(c.Listeners, newListener(a))
			}
			return nil
		},
		node: decodeListeners,
	}, {
		name: "memory", flag: "memory", arg: "SIZE", live: true, def: "half of the machine's memory, or 7/8 of a control group's limit",
		usage: "let the process use `SIZE`, such as 256MB or 2GiB",
		set: func(c *Config, t []string) (err error) {
			c.Memory, err = sizeBetween(t[0], MinMemory, maxMemory)
			return err
		},
		show: func(c *Config) []string { return []string{FormatSize(c.Memory)} },
	}, {
		name: "event-loops", flag: "event-loops", arg: "N", def: "one per CPU, and one on a machine with two",
		usage: "handle connections on `N` event loops",
		set: func(c *Config, t []string) (err error) {
			c.EventLoops, err = numberBetween(t[0], 1, maxLoops)
			return err
		},
		show: func(c *Config) []string { return []string{strconv.Itoa(c.EventLoops)} },
	}, {
		name: "max-connections", flag: "max-connections", arg: "N", def: "what descriptors and memory allow",
		usage: "refuse more than `N` connections at a time",
		set: func(c *Config, t []string) (err error) {
			c.MaxConnections, err = numberBetween(t[0], 1, maxConnections)
			return err
		},
		show: func(c *Config) []string { return []string{strconv.Itoa(c.MaxConnections)} },
	}, {
		name: "data-dir", flag: "data-dir", arg: "DIR", empty: true, def: "none",
		usage: "keep what clients configure in `DIR`",
		set:   func(c *Config, t []string) error { c.DataDir = t[0]; return nil },
		show:  func(c *Config) []string { return []string{c.DataDir} },
	}, {
		name: "warm-restart", flag: "warm-restart", arg: "FILE", empty: true, live: true, def: "none",
		usage: "save entries in `FILE` at an orderly stop, take them back at the next start",
		set:   func(c *Config, t []string) error { c.WarmRestart = t[0]; return nil },
		show:  func(c *Config) []string { return []string{c.WarmRestart} },
	}, {
		name: "log-level", flag: "log-level", arg: "LEVEL", live: true,
		usage:   "log from `LEVEL` up: debug, info, warn or error",
		choices: logLevels,
		set:     func(c *Config, t []string) error { return oneOf(&c.LogLevel, t[0], logLevels...) },
		show:    func(c *Config) []string { return []string{c.LogLevel} },
	}, {
		name: "log-format", flag: "log-format", arg: "FORMAT",
		usage:   "log as `FORMAT`: console, json, or auto (console on a terminal)",
		choices: logFormats,
		set:     func(c *Config, t []string) error { return oneOf(&c.LogFormat, t[0], logFormats...) },
		show:    func(c *Config) []string { return []string{c.LogFormat} },
	}, {
		name: "memcached.max-item-size", flag: "memcached-max-item-size", arg: "SIZE",
		usage: "refuse items of memcached clients above `SIZE`",
		set: func(c *Config, t []string) (err error) {
			c.Memcached.MaxItemSize, err = sizeBetween(t[0], minItemSize, maxItemSize)
			return err
		},
		show: func(c *Config) []string { return []string{FormatSize(c.Memcached.MaxItemSize)} },
	}, {
		name: "http.max-content-length", flag: "http-max-content-length", arg: "SIZE",
		usage: "refuse HTTP requests whose body is above `SIZE`",
		set: func(c *Config, t []string) (err error) {
			c.HTTP.MaxContent, err = sizeBetween(t[0], minContent, maxContent)
			return err
		},
		show: func(c *Config) []string { return []string{FormatSize(c.HTTP.MaxContent)} },
	}, {
		name: "http.allowed-hosts", list: true,
		set: func(c *Config, t []string) error {
			for _, h := range t {
				if h == "" || strings.ContainsAny(h, ":/* \t") {
					return fmt.Errorf("want a host name without a port, got %q", h)
				}
			}
			c.HTTP.AllowedHosts = t
			return nil
		},
		show: func(c *Config) []string { return slices.Clone(c.HTTP.AllowedHosts) },
	}, {
		name: "http.allowed-origins", list: true,
		set: func(c *Config, t []string) error {
			c.HTTP.AllowedOrigins = t
			return checkOrigins(t)
		},
		show: func(c *Config) []string { return slices.Clone(c.HTTP.AllowedOrigins) },
	}, {
		name: "http.cors-rules", quiet: true,
		show: func(c *Config) (texts []string) {
			for i := range c.HTTP.CORS {
				for _, l := range c.HTTP.CORS[i].lines() {
					texts = append(texts, l.text)
				}
			}
			return texts
		},
		node: decodeCORS,
	}, {
		flag: "config", arg: "FILE", usage: "read the configuration from `FILE`",
		set: func(c *Config, t []string) error { c.File = t[0]; return nil },
	}, {
		flag: "debug-commands", hidden: true, usage: "answer commands that only test suites need",
		set: func(c *Config, t []string) (err error) {
			if c.DebugCommands, err = strconv.ParseBool(t[0]); err != nil {
				return fmt.Errorf("want true or false, got %q", t[0])
			}
			return nil
		},
	},
}, tlsKeys(func(c *Config) *TLS { return &c.TLS }, map[string]key[Config]{
	"tls.self-signed": {
		flag: "tls-self-signed", usage: "speak TLS beside clear text, with a certificate made for trying out",
	},
	"tls.certificates": {
		flag: "tls-certificate", arg: "FILE", repeat: true,
		usage: "speak TLS only, with the certificate in `FILE`: PEM, PKCS#12 or a Java keystore; may be repeated",
	},
	"tls.keys": {
		flag: "tls-key", arg: "FILE", repeat: true, usage: "read the certificate's private key from `FILE`",
	},
	"tls.password-file": {
		flag: "tls-password-file", arg: "FILE", usage: "open the keystore with the first line of `FILE`",
	},
}))

// listenerKeys are the keys of one element of listeners.
var listenerKeys = slices.Concat([]key[Listener]{
	{
		name: "address",
		set: func(l *Listener, t []string) error {
			l.Address = t[0]
			return checkAddress(t[0])
		},
		show: func(l *Listener) []string { return []string{l.Address} },
	}, {
		name: "protocols", list: true,
		set: func(l *Listener, t []string) error {
			for _, p := range t {
				if err := oneOf(new(string), p, protocols...); err != nil {
					return err
				}
			}
			l.Protocols = t
			return nil
		},
		show: func(l *Listener) []string { return l.Protocols },
	},
	prefixKey("allow", true, func(l *Listener) *[]netip.Prefix { return &l.Allow }),
	prefixKey("deny", true, func(l *Listener) *[]netip.Prefix { return &l.Deny }),
	prefixKey("proxy-protocol.trusted", false, func(l *Listener) *[]netip.Prefix { return &l.ProxyTrusted }),
	prefixKey("trusted-proxies", false, func(l *Listener) *[]netip.Prefix { return &l.TrustProxies }),
	{
		name: "idle-timeout", live: true,
		set: func(l *Listener, t []string) (err error) {
			l.IdleTimeout, err = parseDuration(t[0])
			return err
		},
		show: func(l *Listener) []string { return []string{formatDuration(l.IdleTimeout)} },
	}, {
		name: "admin",
		set:  func(l *Listener, t []string) error { return oneOf(&l.Admin, t[0], "auto", "open", "off") },
		show: func(l *Listener) []string { return []string{l.Admin} },
	}, {
		name: "unix-mode",
		set: func(l *Listener, t []string) error {
			n, err := strconv.ParseUint(t[0], 8, 32)
			if err != nil || n > 0o777 {
				return fmt.Errorf("want permissions such as 0700 or 0770, got %q", t[0])
			}
			l.UnixMode = os.FileMode(n)
			return nil
		},
		show: func(l *Listener) []string { return []string{fmt.Sprintf("%04o", l.UnixMode)} },
	},
}, tlsKeys(func(l *Listener) *TLS { return &l.TLS }, nil))

// protocols that a listener can be restricted to.
var protocols = []string{"memcached", "http"}

func prefixKey(name string, live bool, in func(*Listener) *[]netip.Prefix) key[Listener] {
	return key[Listener]{
		name: name, list: true, live: live,
		set: func(l *Listener, texts []string) error {
			ps := []netip.Prefix{}
			for _, t := range texts {
				p, err := parsePrefix(t)
				if err != nil {
					return err
				}
				ps = append(ps, p)
			}
			*in(l) = ps
			return nil
		},
		show: func(l *Listener) []string {
			texts := []string{}
			for _, p := range *in(l) {
				texts = append(texts, p.String())
			}
			return texts
		},
	}
}

func decodeListeners(d *decoder, c *Config, name string, n *tree.Node) {
	if n.Shape != tree.List || len(n.List) == 0 {
		d.fail(n.Line, name, "want a list such as [{address: 127.0.0.1:11222}], got %s", n.Shape)
		return
	}
	c.Listeners = nil
	for i, e := range n.List {
		l, here := newListener(""), fmt.Sprintf("%s[%d]", name, i)
		errs := len(d.errs)
		given := map[string]int{}
		decode(d, e, here, "", listenerKeys, &l, func(k *key[Listener], line int) { given[k.name] = line })
		if len(d.errs) > errs {
			continue
		}
		if given["address"] == 0 {
			d.fail(e.Line, here, "an address is missing")
			continue
		}
		network, _ := l.Network()
		if line := given["unix-mode"]; line > 0 && network != "unix" {
			d.fail(line, here+".unix-mode", "only a listener on unix:PATH has one")
		}
		for _, k := range []string{"allow", "deny", "proxy-protocol.trusted", "trusted-proxies"} {
			if line := given[k]; line > 0 && network == "unix" {
				d.fail(line, here+"."+k, "a Unix socket has no addresses to judge; unix-mode says who may connect")
			}
		}
		if err := l.TLS.check(); err != nil {
			d.fail(e.Line, here+".tls", "%v", err)
		}
		c.Listeners = append(c.Listeners, l)
	}
}

// validate judges what no key can judge alone.
func (d *decoder) validate(c *Config) {
	if c.Memcached.MaxItemSize > c.Memory {
		d.errs = append(d.errs, fmt.Errorf("memcached.max-item-size (%s, %v) is more than memory (%s, %v)",
			FormatSize(c.Memcached.MaxItemSize), c.Origin("memcached.max-item-size"), FormatSize(c.Memory), c.Origin("memory")))
	}
	if err := c.TLS.check(); err != nil {
		d.errs = append(d.errs, fmt.Errorf("tls: %w", err))
	}
	for i := range c.Listeners {
		a := c.Listeners[i].Address
		if _, port, _ := net.SplitHostPort(a); port == "0" {
			continue
		}
		if slices.ContainsFunc(c.Listeners[:i], func(l Listener) bool { return l.Address == a }) {
			d.errs = append(d.errs, fmt.Errorf("listeners (%v): %s is there twice", c.Origin("listeners"), a))
		}
	}
}

func checkAddress(s string) error {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		if path == "" || len(path) > 103 { // what the smallest of the systems has room for
			return fmt.Errorf("want unix: and a path of at most 103 bytes, got %q", s)
		}
		return nil
	}
	bad := fmt.Errorf("want HOST:PORT or unix:PATH, got %q", s)
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		if _, e := strconv.ParseUint(s, 10, 16); e == nil {
			return fmt.Errorf("%w; did you mean 127.0.0.1:%s?", bad, s)
		}
		if strings.HasPrefix(s, "/") {
			return fmt.Errorf("%w; did you mean unix:%s?", bad, s)
		}
		return bad
	}
	if strings.ContainsAny(host, " \t/") {
		return bad
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		return fmt.Errorf("%w; the port must be a number up to 65535", bad)
	}
	return nil
}

// parsePrefix reads a range, or an address alone. Addresses of version 4 that are written as of version 6 become what they are:
// as such they are never compared with.
func parsePrefix(s string) (netip.Prefix, error) {
	if p, err := netip.ParsePrefix(s); err == nil {
		if a := p.Addr(); a.Is4In6() {
			if p.Bits() < 96 {
				return p, fmt.Errorf("%s has addresses of version 4 among others; name those of each version", s)
			}
			p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
		}
		if p != p.Masked() {
			return p, fmt.Errorf("%s has bits beyond its length; did you mean %v?", s, p.Masked())
		}
		return p, nil
	}
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	return netip.Prefix{}, fmt.Errorf("want an address or a range such as 10.0.0.0/8, got %q", s)
}

func parseDuration(s string) (time.Duration, error) {
	if s == "0" {
		return 0, nil
	}
	v, err := time.ParseDuration(s)
	if err != nil || v < 0 {
		return 0, fmt.Errorf("want a time such as 30s, 5m or 1h, or 0 for never, got %q", s)
	}
	return v, nil
}

// formatDuration writes 5m, not 5m0s.
func formatDuration(v time.Duration) string {
	if v == 0 {
		return "0"
	}
	s := v.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func oneOf(dst *string, s string, choices ...string) error {
	if !slices.Contains(choices, s) {
		hint := ""
		if g := Suggest(s, choices); g != "" {
			hint = fmt.Sprintf("; did you mean %s?", g)
		}
		return fmt.Errorf("want %s, got %q%s", strings.Join(choices, " or "), s, hint)
	}
	*dst = s
	return nil
}

func sizeBetween(s string, low, high uint64) (uint64, error) {
	n, err := ParseSize(s)
	if err == nil && (n < low || n > high) {
		err = fmt.Errorf("want a size from %s to %s, got %s", FormatSize(low), FormatSize(high), s)
	}
	return n, err
}

func numberBetween(s string, low, high int) (int, error) {
	n, err := strconv.Atoi(s)
	if err == nil && (n < low || n > high) {
		err = errors.New("")
	}
	if err != nil {
		return 0, fmt.Errorf("want a number from %d to %d, got %q", low, high, s)
	}
	return n, nil
}
