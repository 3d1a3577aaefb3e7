package secure

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/pavlo-v-chernykh/keystore-go/v4"
	"software.sslmate.com/src/go-pkcs12"
)

// ClientAuth is what is asked of clients.
type ClientAuth uint8

// The demands on clients.
const (
	ClientNone     ClientAuth = iota
	ClientOptional            // a certificate that is sent must be good
	ClientRequired
)

// Options say who this server is and whom it talks to.
type Options struct {
	// Certificates are offered by the name the client asks for (SNI); the first one is for all other names.
	Certificates []tls.Certificate
	ClientAuth   ClientAuth
	ClientCAs    *x509.CertPool // whose signature makes a client's certificate good
	MinVersion   uint16         // 0: TLS 1.2
	Suites       []uint16       // of TLS 1.2; nil: Go's choice. Those of TLS 1.3 cannot be chosen
	Protocols    []string       // offered by ALPN, the best first
}

// identities are the two configurations that Options make. A client whose ALPN names nothing of ours is still
// welcome: what it speaks is seen from its first bytes, as without TLS. crypto/tls refuses such a client, so it gets a
// configuration that ignores ALPN.
type identities struct{ alpn, plain *tls.Config }

func load(o Options) (*identities, error) {
	if len(o.Certificates) == 0 {
		return nil, errors.New("a certificate is missing")
	}
	if o.ClientAuth != ClientNone && o.ClientCAs == nil {
		return nil, errors.New("client certificates cannot be judged without the certificates of who signs them")
	}
	c := &tls.Config{
		Certificates: o.Certificates, ClientCAs: o.ClientCAs, MinVersion: max(o.MinVersion, tls.VersionTLS12),
		CipherSuites: o.Suites, NextProtos: o.Protocols,
		// Whole records: replies are written once for each readable event, not as a stream that grows.
		DynamicRecordSizingDisabled: true,
	}
	switch o.ClientAuth {
	case ClientOptional:
		c.ClientAuth = tls.VerifyClientCertIfGiven
	case ClientRequired:
		c.ClientAuth = tls.RequireAndVerifyClientCert
	}
	plain := c.Clone()
	plain.NextProtos = nil
	return &identities{alpn: c, plain: plain}, nil
}

func (ids *identities) choose(hello *tls.ClientHelloInfo) *tls.Config {
	for _, p := range hello.SupportedProtos {
		if slices.Contains(ids.alpn.NextProtos, p) {
			return ids.alpn
		}
	}
	return ids.plain
}

// File names a certificate with its key: both in one PEM file or in two, or in a PKCS#12 or Java keystore.
type File struct {
	Path     string
	Key      string // a PEM file with the private key, where Path does not hold it
	Alias    string // of the entry in a keystore with several
	Password string // of the keystore
}

// Load reads the certificate. What kind of file it is, is seen from its content.
func (f File) Load() (tls.Certificate, error) {
	data, err := readBounded(f.Path)
	if err != nil {
		return tls.Certificate{}, err
	}
	var c tls.Certificate
	switch {
	case bytes.Contains(data, []byte("-----BEGIN ")):
		key := data
		if f.Key != "" {
			if key, err = readBounded(f.Key); err != nil {
				return tls.Certificate{}, err
			}
		}
		c, err = tls.X509KeyPair(data, key)
	case bytes.HasPrefix(data, []byte{0xfe, 0xed, 0xfe, 0xed}):
		c, err = fromJKS(data, f.Alias, f.Password)
	case bytes.HasPrefix(data, pkcs12Begin):
		c, err = fromPKCS12(data, f.Password)
	default:
		err = errStrange
	}
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("read certificate %s: %w", f.Path, err)
	}
	return c, nil
}

// pkcs12Begin is what a PKCS#12 file begins with: a sequence of ASN.1.
var pkcs12Begin = []byte{0x30}

var errStrange = errors.New("it is neither PEM nor a PKCS#12 or Java keystore")

// maxFile bounds a file of certificates.
const maxFile = 1 << 20

func readBounded(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("read certificate: %s is larger than %d bytes", path, maxFile)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	return data, nil
}

func fromPKCS12(data []byte, password string) (tls.Certificate, error) {
	key, leaf, chain, err := pkcs12.DecodeChain(data, password)
	if err != nil {
		return tls.Certificate{}, err
	}
	c := tls.Certificate{PrivateKey: key, Leaf: leaf, Certificate: [][]byte{leaf.Raw}}
	for _, up := range chain {
		c.Certificate = append(c.Certificate, up.Raw)
	}
	return c, nil
}

func fromJKS(data []byte, alias, password string) (tls.Certificate, error) {
	ks := keystore.New()
	if err := ks.Load(bytes.NewReader(data), []byte(password)); err != nil {
		return tls.Certificate{}, err
	}
	var keys []string
	for _, a := range ks.Aliases() {
		if ks.IsPrivateKeyEntry(a) && (alias == "" || strings.EqualFold(a, alias)) {
			keys = append(keys, a)
		}
	}
	if len(keys) != 1 {
		return tls.Certificate{}, fmt.Errorf("want one private key, found %d%s; an alias chooses one of several", len(keys), named(alias))
	}
	e, err := ks.GetPrivateKeyEntry(keys[0], []byte(password))
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := x509.ParsePKCS8PrivateKey(e.PrivateKey)
	if err != nil {
		return tls.Certificate{}, err
	}
	c := tls.Certificate{PrivateKey: key}
	for _, up := range e.CertificateChain {
		c.Certificate = append(c.Certificate, up.Content)
	}
	if len(c.Certificate) == 0 {
		return tls.Certificate{}, errors.New("the key has no certificate")
	}
	return c, nil
}

func named(alias string) string {
	if alias == "" {
		return ""
	}
	return fmt.Sprintf(" with the alias %q", alias)
}

// LoadPool reads the certificates of those who sign clients' certificates: PEM, or a PKCS#12 or Java truststore.
func LoadPool(path, password string) (*x509.CertPool, error) {
	data, err := readBounded(path)
	if err != nil {
		return nil, err
	}
	list, err := trusted(data, password)
	if err == nil && len(list) == 0 {
		err = errors.New("there is no certificate in it")
	}
	if err != nil {
		return nil, fmt.Errorf("read certificates %s: %w", path, err)
	}
	pool := x509.NewCertPool()
	for _, c := range list {
		pool.AddCert(c)
	}
	return pool, nil
}

func trusted(data []byte, password string) (list []*x509.Certificate, err error) {
	switch {
	case bytes.Contains(data, []byte("-----BEGIN ")):
		for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
			if block.Type != "CERTIFICATE" {
				continue
			}
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, err
			}
			list = append(list, c)
		}
		return list, nil
	case bytes.HasPrefix(data, []byte{0xfe, 0xed, 0xfe, 0xed}):
		ks := keystore.New()
		if err := ks.Load(bytes.NewReader(data), []byte(password)); err != nil {
			return nil, err
		}
		for _, a := range ks.Aliases() {
			if !ks.IsTrustedCertificateEntry(a) {
				continue
			}
			e, err := ks.GetTrustedCertificateEntry(a)
			if err != nil {
				return nil, err
			}
			c, err := x509.ParseCertificate(e.Certificate.Content)
			if err != nil {
				return nil, err
			}
			list = append(list, c)
		}
		return list, nil
	case bytes.HasPrefix(data, pkcs12Begin):
		return pkcs12.DecodeTrustStore(data, password)
	}
	return nil, errStrange
}

// SelfSigned makes a certificate for this machine that nobody vouches for, valid from an hour before now for a year.
// It says of itself what it is.
func SelfSigned(now time.Time) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make certificate: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make certificate: %w", err)
	}
	names := []string{"localhost"}
	if host, err := os.Hostname(); err == nil && host != "localhost" {
		names = append(names, host)
	}
	c := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{Organization: []string{"latticed"}, CommonName: "latticed, self-signed, for trying out only"},
		NotBefore:    now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		DNSNames:              names,
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), crypto.Signer(key))
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// Fingerprint returns the SHA-256 of a certificate as tools show it.
func Fingerprint(c tls.Certificate) string {
	sum := sha256.Sum256(c.Certificate[0])
	var parts []string
	for i := range sum {
		parts = append(parts, strings.ToUpper(hex.EncodeToString(sum[i:i+1])))
	}
	return strings.Join(parts, ":")
}
