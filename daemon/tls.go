package daemon

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/latticed/latticed/conf"
	"github.com/latticed/latticed/router"
	"github.com/latticed/latticed/router/secure"
)

// encrypt gives l the TLS that t describes.
func (d *Daemon) encrypt(l *router.Listener, t conf.TLS, protocols []string) error {
	if !t.On() {
		return nil
	}
	o, err := d.tlsOptions(t, speaksHTTP(protocols))
	if err != nil {
		return err
	}
	l.TLSOnly = !t.Clear && !t.SelfSigned
	if l.TLS, err = secure.NewServer(o); err != nil {
		return fmt.Errorf("tls: %w", err)
	}
	return nil
}

// speaksHTTP tells whether HTTP is among the names of a listener's protocols; none are all.
func speaksHTTP(names []string) bool { return len(names) == 0 || slices.Contains(names, "http") }

// encryption says in words how l is encrypted.
func encryption(l *router.Listener) string {
	switch {
	case l.TLS == nil:
		return ""
	case l.TLSOnly:
		return ", TLS only"
	}
	return ", with and without TLS"
}

// reloadTLS reads the certificates of l again. What cannot be read stays as it was, and is logged.
func (d *Daemon) reloadTLS(c *conf.Config, l *router.Listener, cl *conf.Listener) {
	if l.TLS == nil {
		return
	}
	o, err := d.tlsOptions(c.TLSOf(cl), speaksHTTP(cl.Protocols))
	if err == nil {
		err = l.TLS.Reload(o)
	}
	if err != nil {
		d.log.Error().Err(err).Str("listener", l.Net.Addr().String()).Msg("certificates not reloaded; those from before stay in use")
	}
}

// Names of ALPN.
const (
	alpnHTTP2 = "h2"
	alpnHTTP1 = "http/1.1"
)

// tlsOptions reads the files that t names. http: the listener speaks HTTP.
func (d *Daemon) tlsOptions(t conf.TLS, http bool) (o secure.Options, err error) {
	if http {
		o.Protocols = []string{alpnHTTP2, alpnHTTP1}
	}
	password, err := firstLine(t.PasswordFile)
	if err != nil {
		return o, err
	}
	if t.SelfSigned {
		if d.own.PrivateKey == nil {
			if d.own, err = secure.SelfSigned(time.Now()); err != nil {
				return o, err
			}
		}
		o.Certificates = []tls.Certificate{d.own}
	}
	for i, path := range t.Certificates {
		f := secure.File{Path: path, Alias: t.Alias, Password: password}
		if len(t.Keys) > 0 {
			f.Key = t.Keys[i]
		}
		cert, err := f.Load()
		if err != nil {
			return o, err
		}
		o.Certificates = append(o.Certificates, cert)
	}
	switch t.ClientCertificates {
	case "optional":
		o.ClientAuth = secure.ClientOptional
	case "required":
		o.ClientAuth = secure.ClientRequired
	}
	if t.ClientCA != "" {
		if o.ClientCAs, err = secure.LoadPool(t.ClientCA, password); err != nil {
			return o, err
		}
	}
	if t.MinVersion == "1.3" {
		o.MinVersion = tls.VersionTLS13
	}
	o.Suites, err = suites(t.Suites)
	return o, err
}

// suites finds cipher suites by their standard names. Only those count that are not known to be weak.
func suites(names []string) (ids []uint16, err error) {
	list := tls.CipherSuites()
	var known []string
	for _, s := range list {
		known = append(known, s.Name)
	}
	for _, name := range names {
		i := slices.Index(known, name)
		if i < 0 {
			hint := "known are " + strings.Join(known, ", ")
			if near := conf.Suggest(name, known); near != "" {
				hint = "did you mean " + near + "?"
			}
			return nil, fmt.Errorf("tls.suites: unknown cipher suite %q; %s", name, hint)
		}
		ids = append(ids, list[i].ID)
	}
	return ids, nil
}

// firstLine reads a password from a file; no path, no password.
func firstLine(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("read password: %w", err)
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	if !s.Scan() {
		return "", errors.Join(fmt.Errorf("read password: %s is empty", path), s.Err())
	}
	return strings.TrimRight(s.Text(), "\r"), nil
}
