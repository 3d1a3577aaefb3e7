package daemon

import (
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/latticed/latticed/conf"
	"github.com/latticed/latticed/router"
	"github.com/latticed/latticed/router/secure"
)

// greet tells a person what runs and what to try.
func greet(out io.Writer, d *Daemon, c *conf.Config, version string) {
	var b strings.Builder
	fmt.Fprintf(&b, "latticed %s\n", version)
	for _, l := range d.listeners {
		fmt.Fprintf(&b, "  listening on %s%s\n", listenAddress(l.Net.Addr()), encryption(l))
	}
	if d.own.PrivateKey != nil {
		fmt.Fprintf(&b, "  self-signed certificate, for trying out only; its SHA-256 is\n    %s\n", secure.Fingerprint(d.own))
	}
	budget := divide(c.Memory, c.MaxConnections)
	fmt.Fprintf(&b, "  memory %s (%v), of which entries take up to %s\n", roughly(c.Memory), c.Origin("memory"), roughly(budget.store))
	for _, line := range try(d.listeners) {
		fmt.Fprintf(&b, "  try: %s\n", line)
	}
	_, _ = io.WriteString(out, b.String())
}

// listenAddress writes a as --listen takes it.
func listenAddress(a net.Addr) string {
	if a.Network() == "unix" {
		return "unix:" + a.String()
	}
	return a.String()
}

// roughly writes n for people.
func roughly(n uint64) string {
	if n >= 10<<30 {
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

// try is what a person can paste into a shell: a set and get by memcached's protocol with bash alone, and the same entry by
// HTTP.
func try(listeners []*router.Listener) (lines []string) {
	const entry = "/rest/v2/caches/default/greeting"
	var memcached, http string
	for _, l := range listeners {
		a, tcp := l.Net.Addr().(*net.TCPAddr)
		if tcp && memcached == "" && !l.TLSOnly && speaks(l, "memcached") {
			memcached = fmt.Sprintf("exec 3<>/dev/tcp/%s/%d; printf 'set greeting 0 0 5\\r\\nhello\\r\\nget greeting\\r\\nquit\\r\\n' >&3; cat <&3", reachable(a.IP), a.Port)
		}
		if http != "" || !speaks(l, "http") {
			continue
		}
		switch {
		case !tcp:
			http = fmt.Sprintf("curl --unix-socket %s http://localhost%s", l.Net.Addr(), entry)
		case l.TLSOnly:
			http = fmt.Sprintf("curl -k https://%s%s", net.JoinHostPort(reachable(a.IP), fmt.Sprint(a.Port)), entry)
		default:
			http = fmt.Sprintf("curl http://%s%s", net.JoinHostPort(reachable(a.IP), fmt.Sprint(a.Port)), entry)
		}
	}
	if memcached != "" {
		lines = append(lines, memcached)
	}
	if http != "" {
		if memcached == "" {
			http += " -X PUT --data hello; " + http
		}
		lines = append(lines, http)
	}
	return lines
}

// reachable is an address at which a client on this machine reaches a listener on ip.
func reachable(ip net.IP) string {
	if ip.IsUnspecified() {
		return "localhost"
	}
	return ip.String()
}
