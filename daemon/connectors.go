package daemon

import (
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/latticed/latticed/daemon/catalog"
	"github.com/latticed/latticed/protocols"
	"github.com/latticed/latticed/protocols/rest"
	"github.com/latticed/latticed/router"
)

// connectors implements rest.Connectors: each listener is one.
type connectors struct {
	d     *Daemon
	loops int
}

// name is what Infinispan would call a listener.
func (c connectors) name(i int) string { return "endpoint-" + c.d.binding(i) }

// binding is what Infinispan calls the first listener by default; others are called by their address.
func (d *Daemon) binding(i int) string {
	if i == 0 {
		return "default"
	}
	return listenAddress(d.listeners[i].Net.Addr())
}

// speaks tells whether a protocol is spoken on a listener.
func speaks(l *router.Listener, name string) bool {
	return slices.ContainsFunc(l.Protocols, func(p protocols.Protocol) bool { return p.Name() == name })
}

// connections implements rest.Connections.
type connections struct{ hub *router.Hub }

// IDs implements rest.Connections.
func (c connections) IDs(part int, ids []uint64) ([]uint64, bool) { return c.hub.IDs(part, ids) }

// Find implements rest.Connections.
func (c connections) Find(id uint64) (rest.Connection, bool) {
	r, there := c.hub.Row(id)
	k := rest.Connection{Created: r.Created, Protocol: r.About.Protocol, Client: r.About.Client, ALPN: r.About.ALPN}
	if r.Local != nil {
		k.Local = javaAddress(listenAddress(r.Local))
	}
	if r.Remote.IsValid() {
		k.Remote = javaAddress(r.Remote.String())
	}
	if r.About.TLS != 0 {
		k.TLS, k.Suite = true, tls.CipherSuiteName(r.About.Suite)
		k.Version = strings.Replace(tls.VersionName(r.About.TLS), "TLS ", "TLSv", 1)
	}
	return k, there
}

// javaAddress writes an address as Java does: the slash is behind the name, of which there is none.
func javaAddress(a string) string {
	if strings.HasPrefix(a, "unix:") {
		return a
	}
	return "/" + a
}

// Names implements rest.Connectors.
func (c connectors) Names() (names []string) {
	for i := range c.d.listeners {
		names = append(names, c.name(i))
	}
	return names
}

func (c connectors) find(name string) *router.Listener {
	if i := slices.Index(c.Names(), name); i >= 0 {
		return c.d.listeners[i]
	}
	return nil
}

// Find implements rest.Connectors.
func (c connectors) Find(name string) (rest.Connector, bool) {
	l := c.find(name)
	if l == nil {
		return rest.Connector{}, false
	}
	k := rest.Connector{
		Name: name, Host: listenAddress(l.Net.Addr()), Open: l.Open(), Connections: l.Conns(), Loops: c.loops,
	}
	if a, ok := l.Net.Addr().(*net.TCPAddr); ok {
		k.Host, k.Port = a.IP.String(), a.Port
	}
	if speaks(l, "memcached") {
		k.Cache = catalog.DefaultName
	}
	for _, r := range l.Policy().Rules {
		k.Rules = append(k.Rules, rest.Rule(r))
	}
	return k, true
}

// Open implements rest.Connectors.
func (c connectors) Open(name string) error {
	c.find(name).SetOpen(true)
	c.d.log.Info().Str("connector", name).Msg("a client had the listener let clients in")
	return nil
}

// Close implements rest.Connectors.
func (c connectors) Close(name string, by uint64) error {
	l := c.find(name)
	if own, _ := c.d.hub.Where(by); own == l {
		return &rest.Refusal{Status: 409, Text: fmt.Sprintf("ISPN012501: Request to stop connector '%s' attempted from the connector itself", name)}
	}
	l.SetOpen(false)
	c.d.hub.Expel(l)
	c.d.log.Info().Str("connector", name).Msg("a client had the listener let nobody in")
	return nil
}

// Filter implements rest.Connectors. The rules last until the listener's in the configuration are others.
func (c connectors) Filter(name string, list []rest.Rule, by uint64) error {
	l := c.find(name)
	var rules router.Rules
	for _, r := range list {
		rules = append(rules, router.Rule(r))
	}
	if own, addr := c.d.hub.Where(by); own == l {
		if r, ok := rules.Match(addr.Addr()); ok && !r.Accept {
			return &rest.Refusal{Status: 409, Text: fmt.Sprintf(
				"ISPN012500: Reject rule 'IpSubnetFilterRule{rule=REJECT, cidr='%v'}' matches request address '/%v'", r.From, addr)}
		}
	}
	l.Change(func(p *router.Policy) { p.Rules = rules })
	c.d.hub.Expel(l)
	c.d.log.Info().Str("connector", name).Int("rules", len(rules)).Msg("a client changed who may connect")
	return nil
}
