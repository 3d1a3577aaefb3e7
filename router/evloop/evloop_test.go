package evloop_test

import (
	"errors"
	"io"
	"net"
	"testing"

	"github.com/latticed/latticed/router/evloop"
)

func TestEcho(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e, err := evloop.NewEcho(1)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- e.Serve(ln) }()

	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "hello\r\n"); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 7)
	if _, err := io.ReadFull(c, got); err != nil {
		t.Fatal(err)
	}
	if string(got) != "hello\r\n" {
		t.Errorf("echo: got %q, want %q", got, "hello\r\n")
	}
	ln.Close()
	if err := <-served; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve after Close of the listener: got %v, want net.ErrClosed", err)
	}
	if err := e.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}
