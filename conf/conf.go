// Package conf turns defaults, a file, the environment and flags into one validated value. It knows where each value
// came from, and nothing of the parts that use them: the daemon translates. It opens the one file it is told to read,
// starts no goroutine and keeps no state.
package conf

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"
)

// Config is a whole, valid configuration.
type Config struct {
	Listeners      []Listener
	Memory         uint64 // bytes that the process may use
	EventLoops     int
	MaxConnections int
	DataDir        string // where what clients configure outlives the process; empty: it does not
	WarmRestart    string // file for entries between two processes; empty: none
	LogLevel       string // debug, info, warn or error
	LogFormat      string // auto, console or json
	Memcached      Memcached
	HTTP           HTTP
	TLS            TLS // for the listeners that say nothing about it themselves

	File          string // what was read, empty for none
	DebugCommands bool

	// Warnings are worth telling the operator, but no reason not to start.
	Warnings []string

	origins map[string]Origin
}

// Listener is one address to serve.
type Listener struct {
	Address      string         // HOST:PORT, or unix:PATH
	Protocols    []string       // which protocols are spoken here; empty: all
	Allow        []netip.Prefix // only these may connect; empty: everybody
	Deny         []netip.Prefix // these may not, whatever Allow says
	ProxyTrusted []netip.Prefix // these speak the PROXY protocol before anything else
	TrustProxies []netip.Prefix // these say truly for whom they ask by HTTP
	IdleTimeout  time.Duration  // 0: never
	Admin        string         // auto, open or off
	UnixMode     os.FileMode    // of the socket file
	TLS          TLS
}

// HTTP is what only HTTP clients meet.
type HTTP struct {
	MaxContent     uint64   // bytes of a request's body
	AllowedHosts   []string // names that a local listener answers to beside localhost
	AllowedOrigins []string // whose pages may use the server
	CORS           []CORSRule
}

// Memcached is what only memcached clients meet.
type Memcached struct {
	MaxItemSize uint64 // bytes of one item, counted as memcached counts
}

// Machine is what defaults depend on. Zero fields are unknown.
type Machine struct {
	Memory      uint64 // bytes this process may use: what the machine has, or what its control group allows if that is less
	Group       string // the control group whose limit Memory is; empty: it is the machine's
	CPUs        int
	Descriptors int // how many files and sockets this process may open
}

// Sources says where values come from, the weakest first.
type Sources struct {
	Machine Machine
	Env     []string            // NAME=value, as in os.Environ
	Flags   map[string][]string // what was given on the command line, by Setting.Flag
}

// DescriptorReserve is how many descriptors the default of max-connections leaves for everything but connections.
const DescriptorReserve = 128

// Network splits the address into what net.Listen wants.
func (l *Listener) Network() (network, address string) {
	if path, ok := strings.CutPrefix(l.Address, "unix:"); ok {
		return "unix", path
	}
	return "tcp", l.Address
}

const stateDirectory = "STATE_DIRECTORY"

// Load reads all sources. An error names every problem found, each with its place.
func Load(s Sources) (*Config, error) {
	c := defaults(s.Machine)
	env := make(map[string]string)
	for _, kv := range s.Env {
		if name, value, ok := strings.Cut(kv, "="); ok && strings.HasPrefix(name, envPrefix) {
			env[name] = value
		}
	}
	d := &decoder{}
	for _, kv := range s.Env { // what systemd makes for a unit with StateDirectory=
		if dirs, ok := strings.CutPrefix(kv, stateDirectory+"="); ok && dirs != "" {
			c.DataDir, _, _ = strings.Cut(dirs, ":")
			c.origins["data-dir"] = Origin{Kind: Default, Name: "the first of " + stateDirectory}
		}
	}

	// The file's name itself comes from the stronger sources, so they are asked for it first.
	if v, ok := env[envName("config")]; ok {
		c.File = v
	}
	if v := s.Flags["config"]; len(v) > 0 {
		c.File = v[len(v)-1]
	}
	if c.File != "" {
		d.file(c)
	}
	d.environment(c, env)
	d.flags(c, s.Flags)
	if c.Origin("max-connections").Kind == Default {
		c.MaxConnections = connections(s.Machine, c.Memory)
	}
	if len(d.errs) == 0 {
		d.validate(c)
	}
	if err := errors.Join(d.errs...); err != nil {
		return nil, err
	}
	return c, nil
}

// Fits tells what m has too little of for c to be served there.
func (c *Config) Fits(m Machine) error {
	var errs []error
	if m.Memory > 0 && c.Memory > m.Memory {
		who := "the machine has"
		if m.Group != "" {
			who = "the control group " + m.Group + " allows"
		}
		if o := c.Origin("memory"); o.Kind == Default {
			errs = append(errs, fmt.Errorf("at least %s of memory is needed, and %s %s", FormatSize(MinMemory), who, FormatSize(m.Memory)))
		} else {
			errs = append(errs, fmt.Errorf("memory (%s, %v) is more than %s, which is %s; lower it or leave it out",
				FormatSize(c.Memory), o, who, FormatSize(m.Memory)))
		}
	}
	if m.Descriptors > 0 && c.MaxConnections > m.Descriptors-DescriptorReserve/4 {
		errs = append(errs, fmt.Errorf("max-connections (%d, %v) does not fit the limit on open files, which is %d; raise that (ulimit -n, LimitNOFILE=) or lower max-connections",
			c.MaxConnections, c.Origin("max-connections"), m.Descriptors))
	}
	return errors.Join(errs...)
}

func defaults(m Machine) *Config {
	c := &Config{
		Memory:     1 << 30,
		EventLoops: min(max(m.CPUs, 1), maxLoops),
		LogLevel:   "info",
		LogFormat:  "auto",
		Memcached:  Memcached{MaxItemSize: 1 << 20},
		HTTP:       HTTP{MaxContent: 10_000_000},
		TLS:        newTLS(),
		origins:    make(map[string]Origin),
	}
	why := "the memory there is is not known"
	switch {
	case m.Group != "": // made for this process; the kernel takes some of it for sockets and page tables
		c.Memory, why = m.Memory/8*7, "7/8 of what the control group "+m.Group+" allows"
	case m.Memory > 0: // others live here too
		c.Memory, why = m.Memory/2, "half of the machine's memory"
	}
	c.Memory = max(c.Memory&^(1<<20-1), MinMemory)
	c.MaxConnections = connections(m, c.Memory)
	for _, a := range []string{"127.0.0.1:11222", "127.0.0.1:11211"} {
		c.Listeners = append(c.Listeners, newListener(a))
	}
	for _, k := range keys {
		if k.name != "" {
			c.origins[k.name] = Origin{Kind: Default, Name: k.def}
		}
	}
	c.origins["memory"] = Origin{Kind: Default, Name: why}
	return c
}

// ConnectionCost is about what an idle connection takes, in bytes. The default of max-connections keeps connections to an
// eighth of the memory.
const ConnectionCost = 2 << 10

// connections is the default of max-connections.
func connections(m Machine, memory uint64) int {
	n := 16 << 10
	if m.Descriptors > 0 {
		n = max(m.Descriptors-DescriptorReserve, 32)
	}
	return min(n, int(min(memory/8/ConnectionCost, maxConnections)))
}

// newListener returns a listener as it is when only its address is given.
func newListener(address string) Listener {
	return Listener{Address: address, UnixMode: 0o700, Admin: "auto", TLS: newTLS()}
}
