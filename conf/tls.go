package conf

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
)

// TLS says how a listener is encrypted.
type TLS struct {
	SelfSigned   bool     // make a certificate at start, for trying out
	Certificates []string // files: PEM, PKCS#12 or a Java keystore; the first is for names that no other has
	Keys         []string // PEM files with the keys of Certificates, in the same order; empty: they hold their keys themselves
	Alias        string   // of the entry in a Java keystore with several
	PasswordFile string   // its first line opens the keystores
	Clear        bool     // clear text is served too

	ClientCertificates string // none, optional or required
	ClientCA           string // file with the certificates of who signs the clients'
	MinVersion         string // 1.2 or 1.3
	Suites             []string
}

// On tells whether TLS is spoken.
func (t *TLS) On() bool { return t.SelfSigned || len(t.Certificates) > 0 }

// newTLS is how TLS is where nothing is said about it.
func newTLS() TLS { return TLS{ClientCertificates: "none", MinVersion: "1.2"} }

// TLSOf returns what holds for l: what it says itself, else what is said for all listeners with a port.
func (c *Config) TLSOf(l *Listener) TLS {
	if network, _ := l.Network(); l.TLS.On() || network == "unix" {
		return l.TLS
	}
	return c.TLS
}

// tlsKeys are the keys below tls, of a listener or of all.
func tlsKeys[T any](in func(*T) *TLS, more map[string]key[T]) []key[T] {
	text := func(name string, f func(*TLS) *string) key[T] {
		return key[T]{
			name: name, empty: true,
			set:  func(c *T, t []string) error { *f(in(c)) = t[0]; return nil },
			show: func(c *T) []string { return []string{*f(in(c))} },
		}
	}
	words := func(name string, f func(*TLS) *[]string) key[T] {
		return key[T]{
			name: name, list: true,
			set:  func(c *T, t []string) error { *f(in(c)) = t; return nil },
			show: func(c *T) []string { return slices.Clone(*f(in(c))) },
		}
	}
	truth := func(name string, f func(*TLS) *bool) key[T] {
		return key[T]{
			name: name,
			set: func(c *T, t []string) (err error) {
				if *f(in(c)), err = strconv.ParseBool(t[0]); err != nil {
					return fmt.Errorf("want true or false, got %q", t[0])
				}
				return nil
			},
			show: func(c *T) []string { return []string{strconv.FormatBool(*f(in(c)))} },
		}
	}
	choice := func(name string, f func(*TLS) *string, choices ...string) key[T] {
		k := text(name, f)
		k.set = func(c *T, t []string) error { return oneOf(f(in(c)), t[0], choices...) }
		return k
	}
	list := []key[T]{
		truth("tls.self-signed", func(t *TLS) *bool { return &t.SelfSigned }),
		words("tls.certificates", func(t *TLS) *[]string { return &t.Certificates }),
		words("tls.keys", func(t *TLS) *[]string { return &t.Keys }),
		text("tls.alias", func(t *TLS) *string { return &t.Alias }),
		text("tls.password-file", func(t *TLS) *string { return &t.PasswordFile }),
		truth("tls.clear", func(t *TLS) *bool { return &t.Clear }),
		choice("tls.client-certificates", func(t *TLS) *string { return &t.ClientCertificates }, "none", "optional", "required"),
		text("tls.client-ca", func(t *TLS) *string { return &t.ClientCA }),
		choice("tls.min-version", func(t *TLS) *string { return &t.MinVersion }, "1.2", "1.3"),
		words("tls.suites", func(t *TLS) *[]string { return &t.Suites }),
	}
	for i := range list {
		list[i].live, list[i].quiet = true, true
		if m, ok := more[list[i].name]; ok {
			list[i].flag, list[i].arg, list[i].usage, list[i].repeat = m.flag, m.arg, m.usage, m.repeat
		}
	}
	return list
}

// check judges what no key of t can judge alone.
func (t *TLS) check() error {
	switch {
	case t.SelfSigned && len(t.Certificates) > 0:
		return errors.New("want either self-signed or certificates, not both")
	case len(t.Keys) > 0 && len(t.Keys) != len(t.Certificates):
		return fmt.Errorf("want as many keys as certificates or none, got %d and %d", len(t.Keys), len(t.Certificates))
	case t.ClientCertificates != "none" && t.ClientCA == "":
		return errors.New("client-certificates needs client-ca, the file with the certificates of who signs them")
	case !t.On() && (t.Clear || len(t.Keys) > 0 || t.ClientCertificates != "none"):
		return errors.New("certificates are missing")
	}
	return nil
}
