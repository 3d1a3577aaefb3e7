package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Clients of HTTP and TLS.

// site is a daemon that speaks everything: at addr in clear and by TLS, at strict by TLS to clients with a certificate,
// and in clear at a Unix socket. Its certificates are for localhost, and for the name other.test.
type site struct {
	addr, strict, dir string
	daemon            *program
}

// site starts one, with a folder for files that is removed by stop.
func (r *runner) site() (*site, error) {
	// Not below the cache: the path of a Unix socket is short.
	dir, err := os.MkdirTemp("", "conformance-site-")
	if err != nil {
		return nil, err
	}
	s := &site{addr: r.against, strict: r.against, dir: dir}
	if err := certificates(dir); err != nil {
		s.stop()
		return nil, err
	}
	if r.against != "" {
		return s, nil
	}
	s.strict = freePort()
	if err := s.start(r, freePort()); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// start starts the daemon, listening at addr.
func (s *site) start(r *runner, addr string) (err error) {
	const conf = `
latticed:
  memory: 512MiB
  http: {allowed-hosts: [other.test]}
  tls: {certificates: [DIR/localhost.pem, DIR/other.pem]}
  listeners:
    - {address: 'ADDR', tls: {certificates: [DIR/localhost.pem, DIR/other.pem], clear: true}}
    - {address: 'STRICT', tls: {certificates: [DIR/localhost.pem], client-certificates: required, client-ca: DIR/ca.pem}}
    - {address: 'unix:DIR/socket'}
`
	path := filepath.Join(s.dir, "latticed.yaml")
	text := strings.NewReplacer("DIR", s.dir, "ADDR", addr, "STRICT", s.strict).Replace(conf)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		return err
	}
	s.daemon, s.addr, err = r.daemonOf(exec.Command(r.daemon, "--config", path))
	return err
}

func (s *site) stop() {
	if s.daemon != nil {
		_ = s.daemon.finish()
	}
	os.RemoveAll(s.dir)
}

// env tells a scenario where certificates lie and where the other listeners are.
func (s *site) env() []string {
	file := func(name string) string { return filepath.Join(s.dir, name) }
	return []string{"CA=" + file("ca.pem"), "CERT=" + file("client.pem"), "KEY=" + file("client.pem"), "STRANGER=" + file("stranger.pem"),
		"STRICT=" + s.strict, "SOCKET=" + file("socket"), "NODE_EXTRA_CA_CERTS=" + file("ca.pem")}
}

// web runs a scenario against a site.
func web(run func(*runner, string) (int, error)) func(*runner, string) (int, error) {
	return onSite(func(r *runner, s *site) (int, error) {
		with := *r
		with.env = s.env()
		return run(&with, s.addr)
	})
}

func onSite(run func(*runner, *site) (int, error)) func(*runner, string) (int, error) {
	return func(r *runner, _ string) (int, error) {
		s, err := r.site()
		if err != nil {
			return 0, err
		}
		defer s.stop()
		return run(r, s)
	}
}

// certificates makes an authority and what it vouches for, and a certificate of a stranger. Each file but the authority's
// holds its key as well.
func certificates(dir string) error {
	template := func(name string) *x509.Certificate {
		serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62))
		c := &x509.Certificate{
			SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
			KeyUsage: x509.KeyUsageDigitalSignature, DNSNames: []string{name}, BasicConstraintsValid: true,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		}
		if name == "localhost" {
			c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
		}
		return c
	}
	authority := template("authority")
	authority.IsCA, authority.KeyUsage, authority.DNSNames, authority.ExtKeyUsage = true, x509.KeyUsageCertSign, nil, nil
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	write := func(name string, c, parent *x509.Certificate, own, signer *ecdsa.PrivateKey, withKey bool) error {
		der, err := x509.CreateCertificate(rand.Reader, c, parent, own.Public(), signer)
		if err != nil {
			return err
		}
		b := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
		if withKey {
			der, err := x509.MarshalPKCS8PrivateKey(own)
			if err != nil {
				return err
			}
			b = append(b, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})...)
		}
		return os.WriteFile(filepath.Join(dir, name+".pem"), b, 0o600)
	}
	if err := write("ca", authority, authority, key, key, false); err != nil {
		return err
	}
	for file, name := range map[string]string{"localhost": "localhost", "other": "other.test", "client": "client", "stranger": "stranger"} {
		own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return err
		}
		c, parent, signer := template(name), authority, key
		if name == "stranger" {
			parent, signer = c, own
		}
		if err := write(file, c, parent, own, signer, true); err != nil {
			return err
		}
	}
	return nil
}

// h2spec runs the conformance suite of that name, in clear or by TLS, and counts the tests that pass.
func h2spec(args ...string) func(*runner, string) (int, error) {
	return onSite(func(r *runner, s *site) (int, error) {
		binary := filepath.Join(r.cache, "h2spec")
		// go.mod pins it.
		if err := r.fetch("", nil, "go", "build", "-o", binary, "github.com/summerwind/h2spec/cmd/h2spec"); err != nil {
			return 0, err
		}
		host, port, err := net.SplitHostPort(s.addr)
		if err != nil {
			return 0, err
		}
		out, err := r.command(s.dir, nil, binary, append(args, "-h", host, "-p", port, "-o", "20")...)
		found := regexp.MustCompile(`(\d+) tests, (\d+) passed`).FindStringSubmatch(out)
		if found == nil {
			return 0, fmt.Errorf("h2spec gave no sum: %w", err)
		}
		n, _ := strconv.Atoi(found[2])
		if _, failures, ok := strings.Cut(out, "Failures:"); ok {
			err = errors.New(last(failures))
		}
		return n, err
	})
}

// prometheus has promtool judge the metrics, then scrapes them.
func prometheus(r *runner, s *site) (int, error) {
	front := freePort()
	conf := `
global: {scrape_interval: 1s}
scrape_configs:
- job_name: latticed
  static_configs: [{targets: ['` + s.addr + `']}]
- job_name: latticed-tls
  scheme: https
  tls_config: {ca_file: ` + s.dir + `/ca.pem}
  static_configs: [{targets: ['` + s.addr + `']}]
`
	return r.through(front, conf, func(t *tally, dir string) {
		_, _, text := request("GET", "http://"+s.addr+"/metrics", "")
		file := filepath.Join(dir, "metrics")
		_ = os.WriteFile(file, []byte(text), 0o644) // an absent file fails the check
		said, err := r.command(dir, nil, "sh", "-c", "promtool check metrics <"+file)
		t.check("promtool check metrics: "+said, err == nil && len(text) > 1000)
		query := func(q string) string {
			_, _, body := request("GET", "http://"+front+"/api/v1/query?query="+q, "")
			return body
		}
		has := func(q, value string) bool {
			return until(func() bool { return strings.Contains(query(q), `"`+value+`"]`) })
		}
		t.check("both are up", has("sum(up)", "2"))
		t.check("version", has("count(latticed_build_info)", "2"))
		for i := range 10 {
			status, _, _ := request("PUT", fmt.Sprint("http://", s.addr, "/rest/v2/caches/default/k", i), "v")
			t.check("put", status == 204)
		}
		t.check("entries", has("max(latticed_cache_entries)", "10"))
		t.check("stores", has("max(latticed_cache_stores_total)", "10"))
		t.check("by Infinispan's name", has("max(infinispan_statistics_stores)", "10"))
		t.check("the process's own", has("count(process_resident_memory_bytes{job='latticed'})", "1"))
	}, "prometheus", "--config.file=DIR/conf", "--storage.tsdb.path=DIR/data", "--web.listen-address="+front)
}

// schemathesis makes requests of the document that describes the REST interface, and judges the answers by it: 501 and 503
// are answers, 500 is none. It counts the operations when nothing was wrong with any of them.
func schemathesis(r *runner, s *site) (int, error) {
	// pip-compile --generate-hashes --allow-unsafe makes schemathesis.txt from schemathesis.in.
	dir, err := r.virtual("schemathesis", "schemathesis.txt")
	if err != nil {
		return 0, err
	}
	rules, err := files.ReadFile("clients/schemathesis.toml")
	if err != nil {
		return 0, err
	}
	if err := os.WriteFile(filepath.Join(s.dir, "schemathesis.toml"), rules, 0o644); err != nil {
		return 0, err
	}
	out, err := r.within(20*time.Minute, s.dir, nil, filepath.Join(dir, "venv/bin/schemathesis"), "run", "http://"+s.addr+"/rest/v3/openapi",
		"--max-examples", "10", "--seed", "1", "--request-timeout", "60", "--no-color")
	found := regexp.MustCompile(`Tested: (\d+)`).FindStringSubmatch(out)
	if err != nil || found == nil {
		// The requests that failed stand above warnings and sums.
		_, failures, _ := strings.Cut(out, " FAILURES ====")
		failures, _, _ = strings.Cut(failures, " WARNINGS ====")
		return 0, errors.Join(errors.New(last(failures)), err)
	}
	return strconv.Atoi(found[1])
}
