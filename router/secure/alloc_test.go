//go:build !race

package secure_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/protocols"
	"github.com/latticed/latticed/router/secure"
)

// TestStepAllocatesLittle counts what one request costs once the handshake is done: crypto/tls makes a reader of 24 bytes
// for each look at the input, two on the server's side and one on the client's. Nothing is
// ours. (Not under the race detector: there a sync.Pool forgets on purpose.)
func TestStepAllocatesLittle(t *testing.T) {
	s := server(t, secure.Options{})
	l := &link{wake: make(chan struct{}, 1)}
	session := s.Open(l, func(tls.ConnectionState) protocols.Session { return echo{&l.closed} })
	client := &memory{}
	c := tls.Client(client, &tls.Config{InsecureSkipVerify: true})
	turn, batch := &protocols.Turn{}, grid.NewBatch(1000)
	out := make([]byte, 0, 64<<10)
	step := func() {
		*turn = protocols.Turn{In: client.out, Out: out[:0], Room: 1000, Batch: batch}
		p := session.Step(turn)
		client.out = client.out[:copy(client.out, client.out[p.Used:])]
		client.in = append(client.in, turn.Out...)
		if p.Next == protocols.Park {
			<-l.wake
		}
	}
	client.pump = step
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	line, got := []byte("hello\n"), make([]byte, 6)
	round := func() {
		if _, err := c.Write(line); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, got); err != nil {
			t.Fatal(err)
		}
	}
	round()
	if n := testing.AllocsPerRun(200, round); n > 3 {
		t.Errorf("%v allocations a request, want 3 at most", n)
	}
	session.Close()
}

// memory is the client's end of a session that is stepped when the client has nothing to read.
type memory struct {
	in, out []byte
	pump    func()
}

func (m *memory) Read(p []byte) (int, error) {
	for i := 0; len(m.in) == 0; i++ {
		if i == 100 {
			return 0, errors.New("no answer")
		}
		m.pump()
	}
	n := copy(p, m.in)
	m.in = m.in[:copy(m.in, m.in[n:])]
	return n, nil
}
func (m *memory) Write(p []byte) (int, error)      { m.out = append(m.out, p...); return len(p), nil }
func (m *memory) Close() error                     { return nil }
func (m *memory) LocalAddr() net.Addr              { return nil }
func (m *memory) RemoteAddr() net.Addr             { return nil }
func (m *memory) SetDeadline(time.Time) error      { return nil }
func (m *memory) SetReadDeadline(time.Time) error  { return nil }
func (m *memory) SetWriteDeadline(time.Time) error { return nil }
