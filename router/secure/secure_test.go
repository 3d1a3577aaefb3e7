package secure_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/protocols"
	"github.com/latticed/latticed/router/secure"
)

// echo answers whole lines, at most room bytes a Step; a line "quit" ends it.
type echo struct{ closed *atomic.Int64 }

func (e echo) Step(t *protocols.Turn) protocols.Progress {
	used := 0
	for {
		i := bytes.IndexByte(t.In[used:], '\n')
		if i < 0 {
			return protocols.Progress{Used: used, Need: len(t.In) - used + 1}
		}
		if len(t.Out) >= t.Room {
			return protocols.Progress{Used: used, Next: protocols.Flush}
		}
		line := t.In[used : used+i+1]
		used += i + 1
		if string(line) == "quit\n" {
			return protocols.Progress{Used: used, Next: protocols.Close}
		}
		t.Out = append(t.Out, line...)
	}
}

func (e echo) Close() { e.closed.Add(1) }

// link drives one session over an in-memory pipe, feeding at most chunk bytes at a time.
type link struct {
	t       testing.TB
	session protocols.Session
	wake    chan struct{}
	ended   chan struct{}
	state   tls.ConnectionState
	closed  atomic.Int64 // inner sessions that were closed
	overdue atomic.Bool
	amid    atomic.Bool // as of the last Step
}

func (l *link) Wake() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// start returns the client's end.
func start(t testing.TB, s *secure.Server, chunk, room int) (*link, net.Conn) {
	client, server := net.Pipe()
	l := &link{t: t, wake: make(chan struct{}, 1), ended: make(chan struct{})}
	l.session = s.Open(l, func(state tls.ConnectionState) protocols.Session {
		l.state = state
		return echo{&l.closed}
	})
	go l.drive(server, chunk, room)
	t.Cleanup(func() { client.Close(); <-l.ended })
	return l, client
}

func (l *link) drive(nc net.Conn, chunk, room int) {
	defer close(l.ended)
	defer nc.Close()
	defer l.session.Close()
	var in []byte
	eof, batch := false, grid.NewBatch(room)
	for {
		n := min(len(in), chunk)
		given := bytes.Clone(in[:n])
		turn := protocols.Turn{In: given, EOF: eof && n == len(in), Room: room, Batch: batch, Overdue: l.overdue.Load()}
		p := l.session.Step(&turn)
		l.amid.Store(p.Amid)
		for i := range given {
			given[i] = 0xEE // nothing of the input may be kept
		}
		in = in[p.Used:]
		if len(turn.Out) > 0 {
			if _, err := nc.Write(turn.Out); err != nil {
				return
			}
		}
		switch {
		case p.Next == protocols.Close:
			return
		case p.Next == protocols.Park:
			<-l.wake
		case p.Next == protocols.Flush || len(in) > 0:
		case eof:
			return
		default:
			buf := make([]byte, 32<<10)
			n, err := nc.Read(buf)
			in = append(in, buf[:n]...)
			eof = err != nil
		}
	}
}

func selfSigned(t testing.TB) tls.Certificate {
	t.Helper()
	c, err := secure.SelfSigned(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func server(t testing.TB, o secure.Options) *secure.Server {
	t.Helper()
	if o.Certificates == nil {
		o.Certificates = []tls.Certificate{selfSigned(t)}
	}
	s, err := secure.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestEcho sends lines of many sizes through every cut of the ciphertext and every room.
func TestEcho(t *testing.T) {
	s := server(t, secure.Options{})
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, chunk := range []int{1, 100, 10_000, 1 << 20} {
			var want bytes.Buffer
			for i := range 40 { // the smaller the pieces, the less of them
				want.WriteString(strings.Repeat("x", i*min(i*10, chunk)) + "\n")
			}
			for _, room := range []int{1, 5000, 64 << 10} {
				l, nc := start(t, s, chunk, room)
				c := tls.Client(nc, &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version})
				failed := make(chan error, 1)
				go func() {
					_, err := c.Write(append(bytes.Clone(want.Bytes()), "quit\n"...))
					failed <- err
				}()
				got, err := io.ReadAll(c)
				if err != nil || !bytes.Equal(got, want.Bytes()) {
					t.Fatalf("version %x, chunk %d, room %d: %d of %d bytes, %v", version, chunk, room, len(got), want.Len(), err)
				}
				if err := <-failed; err != nil {
					t.Fatal(err)
				}
				<-l.ended
				if l.closed.Load() != 1 {
					t.Errorf("the inner session was closed %d times", l.closed.Load())
				}
			}
		}
	}
	if n := s.Handshaking.Load(); n != 0 {
		t.Errorf("%d handshakes are still counted", n)
	}
}

// TestEndOfInput ends the client's side with and without saying so; what came before is answered.
func TestEndOfInput(t *testing.T) {
	s := server(t, secure.Options{})
	l, nc := start(t, s, 1<<20, 64<<10)
	c := tls.Client(nc, &tls.Config{InsecureSkipVerify: true})
	if _, err := c.Write([]byte("one\ntw")); err != nil {
		t.Fatal(err)
	}
	go c.CloseWrite()
	got, err := io.ReadAll(c)
	if string(got) != "one\n" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	<-l.ended

	l, nc = start(t, s, 1<<20, 64<<10)
	c = tls.Client(nc, &tls.Config{InsecureSkipVerify: true})
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	nc.Close()
	<-l.ended
	if l.closed.Load() != 1 {
		t.Error("the inner session was not closed")
	}
}

// waiting has an answer outstanding for ever. Once its input has ended it gives up after a hundred Steps.
// TestSlowRecords has a record come in part and then nothing, or a little, of it.
func TestSlowRecords(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		l, nc := start(t, server(t, secure.Options{}), 1<<20, 1<<20)
		c := tls.Client(nc, &tls.Config{InsecureSkipVerify: true, MaxVersion: version})
		for range 2 {
			if _, err := io.WriteString(c, "line\n"); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
				t.Fatal(err)
			}
		}
		if l.amid.Load() {
			t.Errorf("%x: amid between records", version)
		}
		l.overdue.Store(true)
		if _, err := nc.Write([]byte{23, 3, 3}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(c); err != nil {
			t.Errorf("%x: %v", version, err)
		}
		<-l.ended
	}
}

type waiting struct{ behind *atomic.Int64 }

func (w waiting) Step(t *protocols.Turn) protocols.Progress {
	p := protocols.Progress{Used: len(t.In), Held: 1}
	if t.EOF && w.behind.Add(1) == 100 {
		p.Next = protocols.Close
	}
	return p
}

func (waiting) Close() {}

// TestBehindTheEnd sends on when the end has been said, while an answer is outstanding: nothing of that is left for the
// driver to keep.
func TestBehindTheEnd(t *testing.T) {
	s := server(t, secure.Options{})
	client, nc := net.Pipe()
	l := &link{t: t, wake: make(chan struct{}, 1), ended: make(chan struct{})}
	behind := &atomic.Int64{}
	l.session = s.Open(l, func(tls.ConnectionState) protocols.Session { return waiting{behind} })
	go l.drive(nc, 1<<20, 64<<10)
	c := tls.Client(client, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12})
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if err := client.SetWriteDeadline(time.Now().Add(10 * time.Second)); err != nil { // crypto/tls has let it pass
		t.Fatal(err)
	}
	for range 10 {
		if _, err := client.Write([]byte("get key\r\n")); err != nil {
			t.Fatalf("the connection is closed: %v", err)
		}
	}
	client.Close()
	<-l.ended
	if n := behind.Load(); n > 20 {
		t.Errorf("%d Steps behind the end", n)
	}
}

// TestBadHandshakes ends handshakes in ways they should not end.
func TestBadHandshakes(t *testing.T) {
	s := server(t, secure.Options{})
	fail := func(name, send string, close bool) {
		t.Helper()
		l, nc := start(t, s, 1<<20, 64<<10)
		go func() {
			_, _ = nc.Write([]byte(send))
			if close {
				nc.Close()
			}
		}()
		_, _ = io.Copy(io.Discard, nc)
		<-l.ended
		if n := s.Handshaking.Load(); n != 0 {
			t.Errorf("%s: %d handshakes are still counted", name, n)
		}
	}
	fail("not TLS", "\x16get key\r\nget key\r\n", false)
	fail("torn", "\x16\x03\x01\x02\x00\x01\x00", true)
	fail("at once", "", true)
	if n := s.Failed.Load(); n != 3 {
		t.Errorf("%d failures are counted, want 3", n)
	}

	// Given up in the middle: nothing may hang.
	session := s.Open(&link{wake: make(chan struct{}, 1)}, nil)
	session.Step(&protocols.Turn{In: []byte("\x16\x03\x01"), Room: 1000, Batch: grid.NewBatch(1000)})
	session.Close()
	deadline := time.Now().Add(10 * time.Second)
	for s.Handshaking.Load() != 0 {
		if time.Now().After(deadline) {
			t.Fatal("a handshake that was given up did not end")
		}
	}
}

func TestCertificateByName(t *testing.T) {
	make := func(name string) tls.Certificate {
		_, c := signed(t, nil, name)
		return c
	}
	a, b := make("a.example"), make("*.b.example")
	s := server(t, secure.Options{Certificates: []tls.Certificate{a, b}})
	f := func(name string, want tls.Certificate) {
		t.Helper()
		_, nc := start(t, s, 1<<20, 1000)
		c := tls.Client(nc, &tls.Config{InsecureSkipVerify: true, ServerName: name})
		if err := c.Handshake(); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(c.ConnectionState().PeerCertificates[0].Raw, want.Certificate[0]) {
			t.Errorf("%q: got the certificate of %v", name, c.ConnectionState().PeerCertificates[0].DNSNames)
		}
	}
	f("a.example", a)
	f("x.b.example", b)
	f("other.example", a)
	f("", a)
	if err := s.Reload(secure.Options{Certificates: []tls.Certificate{b}}); err != nil {
		t.Fatal(err)
	}
	f("a.example", b)
	if err := s.Reload(secure.Options{}); err == nil {
		t.Error("a reload without a certificate is accepted")
	}
	f("a.example", b)
}

func TestALPN(t *testing.T) {
	s := server(t, secure.Options{Protocols: []string{"h2", "http/1.1"}})
	f := func(want string, offered ...string) {
		t.Helper()
		l, nc := start(t, s, 1<<20, 1000)
		c := tls.Client(nc, &tls.Config{InsecureSkipVerify: true, NextProtos: offered})
		if _, err := c.Write([]byte("hello\n")); err != nil {
			t.Fatalf("%v: %v", offered, err)
		}
		if _, err := io.ReadFull(c, make([]byte, 6)); err != nil {
			t.Fatalf("%v: %v", offered, err)
		}
		if got := c.ConnectionState().NegotiatedProtocol; got != want || l.state.NegotiatedProtocol != want {
			t.Errorf("%v: got %q and %q, want %q", offered, got, l.state.NegotiatedProtocol, want)
		}
	}
	f("")
	f("h2", "http/1.1", "h2")
	f("http/1.1", "http/1.1", "HR")
	f("", "HR") // still welcome
}

// TestResumption holds that sessions are resumed, also over a reload.
func TestResumption(t *testing.T) {
	o := secure.Options{Certificates: []tls.Certificate{selfSigned(t)}}
	s := server(t, o)
	client := &tls.Config{InsecureSkipVerify: true, ServerName: "localhost", ClientSessionCache: tls.NewLRUClientSessionCache(4)}
	for i := range 3 {
		_, nc := start(t, s, 1<<20, 1000)
		c := tls.Client(nc, client)
		if _, err := c.Write([]byte("hello\n")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, make([]byte, 6)); err != nil { // brings the ticket too
			t.Fatal(err)
		}
		if got := c.ConnectionState().DidResume; got != (i > 0) {
			t.Errorf("connection %d: resumed: %v", i, got)
		}
		if err := s.Reload(o); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.Resumed.Load(); n != 2 {
		t.Errorf("%d resumptions are counted, want 2", n)
	}
}

// authority can sign certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func signed(t testing.TB, by *authority, name string) (authority, tls.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: by == nil, BasicConstraintsValid: true,
	}
	if by == nil {
		by = &authority{c, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, by.cert, key.Public(), by.key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority{leaf, key}, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func TestClientCertificates(t *testing.T) {
	ca, _ := signed(t, nil, "authority")
	_, good := signed(t, &ca, "client")
	_, foreign := signed(t, nil, "foreign")
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	f := func(auth secure.ClientAuth, cert *tls.Certificate, ok bool) {
		t.Helper()
		s := server(t, secure.Options{ClientAuth: auth, ClientCAs: pool})
		_, nc := start(t, s, 1<<20, 1000)
		cfg := &tls.Config{InsecureSkipVerify: true}
		if cert != nil {
			cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
		}
		c := tls.Client(nc, cfg)
		failed := make(chan error, 1)
		go func() {
			_, err := c.Write([]byte("hello\n"))
			failed <- err
		}()
		_, err := io.ReadFull(c, make([]byte, 6))
		if (err == nil) != ok {
			t.Errorf("auth %d: read: %v, want ok %v", auth, err, ok)
		}
		nc.Close()
		<-failed
	}
	f(secure.ClientNone, nil, true)
	f(secure.ClientOptional, nil, true)
	f(secure.ClientOptional, &good, true)
	f(secure.ClientOptional, &foreign, false)
	f(secure.ClientRequired, nil, false)
	f(secure.ClientRequired, &good, true)
	f(secure.ClientRequired, &foreign, false)
	if _, err := secure.NewServer(secure.Options{Certificates: []tls.Certificate{good}, ClientAuth: secure.ClientRequired}); err == nil {
		t.Error("client certificates without an authority are accepted")
	}
}
