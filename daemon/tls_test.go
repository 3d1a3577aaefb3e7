package daemon_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/latticed/latticed/daemon"
	"github.com/latticed/latticed/daemon/daemontest"
	"github.com/latticed/latticed/router"
	"github.com/latticed/latticed/router/secure"
)

// pemFile writes a new certificate for localhost with its key.
func pemFile(t *testing.T, path string) *x509.Certificate {
	t.Helper()
	c, err := secure.SelfSigned(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	data := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]})
	data = append(data, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(c.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}

func trusting(c *x509.Certificate) *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(c)
	return &tls.Config{RootCAs: pool, ServerName: "localhost"}
}

// TestTLS runs memcached's text protocol under TLS, with values that are streamed, and reloads the certificate.
func TestTLS(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cert.pem")
	yaml := daemontest.AnyPort + "  tls: {certificates: [" + path + "]}\n"
	first := pemFile(t, path)
	daemontest.OnEachGrid(t, yaml, func(t *testing.T, d *daemon.Daemon) {
		encrypted(t, d, path, yaml, first)
		first = pemFile(t, path) // for the next grid
	})
}

func encrypted(t *testing.T, d *daemon.Daemon, path, yaml string, first *x509.Certificate) {
	secured := func(c *x509.Certificate) *tls.Conn {
		t.Helper()
		nc := tls.Client(daemontest.Dial(t, d), trusting(c))
		if err := nc.Handshake(); err != nil {
			t.Fatal(err)
		}
		return nc
	}
	nc := secured(first)
	big := strings.Repeat("0123456789", 90_000)
	daemontest.Ask(t, nc, "set a 1 0 5\r\nhello\r\nget a\r\n", "STORED\r\nVALUE a 1 5\r\nhello\r\nEND\r\n")
	daemontest.Ask(t, nc, "set b 0 0 900000\r\n"+big+"\r\n", "STORED\r\n")
	daemontest.Ask(t, nc, "get b a\r\n", "VALUE b 0 900000\r\n"+big+"\r\nVALUE a 1 5\r\nhello\r\nEND\r\n")
	go nc.Write(bytes.Repeat([]byte("get a\r\n"), 5000))
	daemontest.Ask(t, nc, "", strings.Repeat("VALUE a 1 5\r\nhello\r\nEND\r\n", 5000))

	// Clear text is refused with words.
	plain := daemontest.Dial(t, d)
	daemontest.Ask(t, plain, "get a\r\n", router.TLSOnly)
	if n, err := plain.Read(make([]byte, 1)); err == nil {
		t.Errorf("clear text: %d bytes more, want the end", n)
	}

	c := daemontest.Configure(t, yaml)
	second := pemFile(t, path)
	d.Reload(c)
	daemontest.Ask(t, nc, "get a\r\n", "VALUE a 1 5\r\nhello\r\nEND\r\n") // from before the reload
	secured(second)
	if err := os.WriteFile(path, []byte("-----BEGIN nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.Reload(c)
	secured(second)
}

// TestBadCertificateOnReload has the file of a certificate be garbage, cut, gone, or without its key when it is read again: that
// is logged, and the one from before goes on.
func TestBadCertificateOnReload(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cert.pem")
	first := pemFile(t, path)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	c := daemontest.Configure(t, daemontest.AnyPort+"  tls: {certificates: ["+path+"]}\n")
	var log bytes.Buffer
	d, err := daemon.Start(daemon.Options{Config: c, Version: "test", Log: zerolog.New(&log)})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Stop(context.Background())
	cert, _, _ := bytes.Cut(good, []byte("-----BEGIN PRIVATE"))
	for name, content := range map[string][]byte{
		"garbage": []byte("\x00garbage"), "empty": nil, "cut": good[:len(good)/2], "no key": cert, "gone": []byte("gone"),
	} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if name == "gone" {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
		log.Reset()
		d.Reload(c)
		if got := log.String(); !strings.Contains(got, `"level":"error"`) || !strings.Contains(got, path) {
			t.Errorf("%s: logged %q", name, got)
		}
		nc := tls.Client(daemontest.Dial(t, d), trusting(first))
		daemontest.Ask(t, nc, "mn\r\n", "MN\r\n")
	}
}

// TestTLSBesideClearText serves both on one port.
func TestTLSBesideClearText(t *testing.T) {
	d := daemontest.Boot(t, daemontest.AnyPort+"  tls: {self-signed: true}\n")
	secured := tls.Client(daemontest.Dial(t, d), &tls.Config{InsecureSkipVerify: true})
	for _, nc := range []net.Conn{secured, daemontest.Dial(t, d)} {
		daemontest.Ask(t, nc, "version\r\nquit\r\n", "VERSION 1.6.45\r\n")
		if rest, err := io.ReadAll(nc); err != nil || len(rest) > 0 {
			t.Errorf("after quit: %q, %v", rest, err)
		}
	}
}
