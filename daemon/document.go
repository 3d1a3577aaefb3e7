package daemon

import (
	"net"
	"slices"
	"strings"

	"github.com/latticed/latticed/conf"
	"github.com/latticed/latticed/conf/infinispan"
	"github.com/latticed/latticed/daemon/catalog"
)

// asInfinispan is what Infinispan has words for of how the daemon runs now; c is what it was started with. Listeners without a
// port have none, nor have rules on addresses, which a connector tells.
func (d *Daemon) asInfinispan(c *conf.Config) *infinispan.Server {
	s := &infinispan.Server{DataDir: c.DataDir}
	var rules []infinispan.CORSRule
	for _, r := range c.HTTP.CORS {
		rules = append(rules, infinispan.CORSRule{
			Name: r.Name, Credentials: r.Credentials, MaxAge: r.MaxAge, Origins: strings.Join(r.Origins, " "), Methods: strings.Join(r.Methods, " "),
			Headers: strings.Join(r.Headers, " "), Expose: strings.Join(r.Expose, " "),
		})
	}
	for i, l := range d.listeners {
		a, ok := l.Net.Addr().(*net.TCPAddr)
		if !ok {
			continue
		}
		e := infinispan.Endpoint{
			Name: d.binding(i), Host: a.IP.String(), Any: a.IP.IsUnspecified(), Port: a.Port,
			IdleTimeout: l.Policy().IdleTimeout.Milliseconds(), NoAdmin: !l.Admin,
		}
		if l.TLS != nil {
			e.TLS = encryptionOf(d.config.Load(), d.addresses[i])
		}
		if speaks(l, "http") {
			e.REST, e.MaxContent, e.CORS = true, conf.FormatSize(c.HTTP.MaxContent), rules
		}
		if speaks(l, "memcached") {
			e.Memcached = catalog.DefaultName
		}
		s.Endpoints = append(s.Endpoints, e)
	}
	return s
}

// encryptionOf is how the listener at an address is encrypted, as far as Infinispan has words for it: there is one certificate.
func encryptionOf(c *conf.Config, address string) *infinispan.TLS {
	i := slices.IndexFunc(c.Listeners, func(l conf.Listener) bool { return l.Address == address })
	if i < 0 {
		return &infinispan.TLS{}
	}
	t := c.TLSOf(&c.Listeners[i])
	e := &infinispan.TLS{
		SelfSigned: t.SelfSigned, Alias: t.Alias, Truststore: t.ClientCA, Password: t.PasswordFile != "",
		Suites: strings.Join(t.Suites, " "), ClientAuth: t.ClientCertificates == "required",
	}
	if len(t.Certificates) > 0 {
		e.Keystore = t.Certificates[0]
	}
	if t.MinVersion == "1.3" {
		e.Protocols = "TLSv1.3"
	}
	return e
}
