// Package conf turns defaults, a file, the environment and flags into one validated value. It knows where each value
// came from, and nothing of the parts that use them: the daemon translates. It opens the one file it is told to read,
// starts no goroutine and keeps no state.
package conf

import (
	"errors"
	"net/netip"
	"os"
	"strings"
	"time"
)

// Config is a whole, valid configuration.
type Config struct {
	Listeners      []Listener
	Memory         uint64 // bytes that entries may take
	EventLoops     int
	MaxConnections int
	DataDir        string // empty: none
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
}

// Memcached is what only memcached clients meet.
type Memcached struct {
	MaxItemSize uint64 // bytes of one item, counted as memcached counts
}

// Machine is what defaults depend on. Zero fields are unknown.
type Machine struct {
	Memory      uint64 // bytes this process may use: the smaller of what is built in and what the container allows
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
	if len(d.errs) == 0 {
		d.validate(c)
	}
	if err := errors.Join(d.errs...); err != nil {
		return nil, err
	}
	return c, nil
}

func defaults(m Machine) *Config {
	c := &Config{
		Memory:         max(m.Memory/2, 64<<20) &^ (1<<20 - 1),
		EventLoops:     min(max(m.CPUs, 1), maxLoops),
		MaxConnections: min(max(m.Descriptors-DescriptorReserve, 32), maxConnections),
		LogLevel:       "info",
		LogFormat:      "auto",
		Memcached:      Memcached{MaxItemSize: 1 << 20},
		HTTP:           HTTP{MaxContent: 10_000_000},
		TLS:            newTLS(),
		origins:        make(map[string]Origin),
	}
	if m.Memory == 0 {
		c.Memory = 1 << 30
	}
	if m.Descriptors == 0 {
		c.MaxConnections = 16 << 10
	}
	for _, a := range []string{"127.0.0.1:11222", "127.0.0.1:11211"} {
		c.Listeners = append(c.Listeners, newListener(a))
	}
	for _, k := range keys {
		if k.name != "" {
			c.origins[k.name] = Origin{Kind: Default, Name: k.def}
		}
	}
	return c
}

// newListener returns a listener as it is when only its address is given.
func newListener(address string) Listener {
	return Listener{Address: address, UnixMode: 0o700, Admin: "auto", TLS: newTLS()}
}
