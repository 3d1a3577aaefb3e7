package secure_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pavlo-v-chernykh/keystore-go/v4"
	"software.sslmate.com/src/go-pkcs12"

	"github.com/latticed/latticed/router/secure"
)

// TestFiles reads one certificate from every kind of file, and says what is wrong with others.
func TestFiles(t *testing.T) {
	ca, _ := signed(t, nil, "authority")
	_, cert := signed(t, &ca, "node")
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	chainPEM := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw})...)
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})
	p12, err := pkcs12.Modern.Encode(cert.PrivateKey, cert.Leaf, []*x509.Certificate{ca.cert}, "secret")
	if err != nil {
		t.Fatal(err)
	}
	trust, err := pkcs12.Modern.EncodeTrustStore([]*x509.Certificate{ca.cert}, "secret")
	if err != nil {
		t.Fatal(err)
	}
	store := keystore.New()
	x509Of := func(der []byte) keystore.Certificate { return keystore.Certificate{Type: "X509", Content: der} }
	for _, alias := range []string{"one", "two"} {
		err := store.SetPrivateKeyEntry(alias, keystore.PrivateKeyEntry{
			CreationTime: time.Now(), PrivateKey: key,
			CertificateChain: []keystore.Certificate{x509Of(cert.Certificate[0]), x509Of(ca.cert.Raw)},
		}, []byte("secret"))
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := store.SetTrustedCertificateEntry("ca", keystore.TrustedCertificateEntry{CreationTime: time.Now(), Certificate: x509Of(ca.cert.Raw)}); err != nil {
		t.Fatal(err)
	}
	var jks bytes.Buffer
	if err := store.Store(&jks, []byte("secret")); err != nil {
		t.Fatal(err)
	}
	both, chain := write("both.pem", append(bytes.Clone(chainPEM), keyPEM...)), write("chain.pem", chainPEM)
	keyFile, pfx, java := write("key.pem", keyPEM), write("node.p12", p12), write("node.jks", jks.Bytes())

	for _, f := range []secure.File{
		{Path: both}, {Path: chain, Key: keyFile}, {Path: pfx, Password: "secret"}, {Path: java, Password: "secret", Alias: "Two"},
	} {
		got, err := f.Load()
		if err != nil {
			t.Errorf("%v: %v", f, err)
			continue
		}
		if len(got.Certificate) != 2 || !bytes.Equal(got.Certificate[0], cert.Certificate[0]) || !bytes.Equal(got.Certificate[1], ca.cert.Raw) {
			t.Errorf("%v: another chain, of %d", f, len(got.Certificate))
		}
		if _, err := secure.NewServer(secure.Options{Certificates: []tls.Certificate{got}}); err != nil {
			t.Errorf("%v: %v", f, err)
		}
	}
	bad := func(f secure.File, want string) {
		t.Helper()
		if _, err := f.Load(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: got %v, want %q in it", f, err, want)
		}
	}
	bad(secure.File{Path: chain}, "PRIVATE KEY")
	bad(secure.File{Path: pfx, Password: "wrong"}, "password")
	bad(secure.File{Path: java, Password: "wrong"}, "node.jks")
	bad(secure.File{Path: java, Password: "secret"}, "an alias chooses one of several")
	bad(secure.File{Path: java, Password: "secret", Alias: "three"}, `found 0 with the alias "three"`)
	bad(secure.File{Path: filepath.Join(dir, "none")}, "no such file")
	bad(secure.File{Path: write("text", []byte("text\n"))}, "text: it is neither PEM nor a PKCS#12 or Java keystore")
	bad(secure.File{Path: write("empty", nil)}, "empty: it is neither PEM")
	bad(secure.File{Path: write("huge", make([]byte, 1<<20+1))}, "larger")

	for path, ok := range map[string]bool{chain: true, write("trust.p12", trust): true, java: true, keyFile: false} {
		if pool, err := secure.LoadPool(path, "secret"); (err == nil) != ok || ok && pool.Equal(x509.NewCertPool()) {
			t.Errorf("LoadPool(%s): %v, want ok %v", path, err, ok)
		}
	}
}
