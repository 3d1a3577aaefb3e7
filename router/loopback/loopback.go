// Package loopback is a listener without a network: a program that holds a daemon in itself, or a test, connects through
// memory. Its connections are pipes, which event loops cannot poll; they are driven by router/stream.
package loopback

import (
	"context"
	"fmt"
	"net"
	"sync"
)

// Listener implements net.Listener. Use Listen.
type Listener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// Listen returns a listener that is ready for Dial.
func Listen() *Listener { return &Listener{conns: make(chan net.Conn), closed: make(chan struct{})} }

// Dial connects. It waits until the connection is accepted, ctx ends or the listener is closed. A write on a connection
// waits for the other side to read: there is no buffer between.
func (l *Listener) Dial(ctx context.Context) (net.Conn, error) {
	client, server := net.Pipe()
	err := net.ErrClosed
	select {
	case <-l.closed:
	case l.conns <- server:
		return client, nil
	case <-ctx.Done():
		err = ctx.Err()
	}
	return nil, fmt.Errorf("loopback: dial: %w", err)
}

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case <-l.closed:
	case c := <-l.conns:
		return c, nil
	}
	return nil, net.ErrClosed
}

// Close implements net.Listener. It leaves connections alone.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements net.Listener.
func (l *Listener) Addr() net.Addr { return addr{} }

type addr struct{}

func (addr) Network() string { return "loopback" }
func (addr) String() string  { return "loopback" }
