package router

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"
)

// TooMany is what a client gets for whom there is no room.
const TooMany = "ERROR Too many open connections\r\n"

// Accept takes connections from l until its listener is closed, and gives those that are admitted to serve. It returns
// nil when the listener was closed, and the error of any other failing accept.
//
// Out of descriptors it neither ends nor spins nor lets clients hang: a descriptor kept for this is given up for as long
// as it takes to accept the next client and say so.
func (h *Hub) Accept(l *Listener, serve func(c *Conn, nc net.Conn)) error {
	reserve, _ := os.Open(os.DevNull)
	defer func() { _ = reserve.Close() }()
	for {
		nc, err := l.Net.Accept()
		switch {
		case err == nil:
		case errors.Is(err, net.ErrClosed):
			return nil
		case exhausted(err):
			h.Descriptors.Add(1)
			reserve.Close()
			if !refuseNext(l.Net) {
				time.Sleep(10 * time.Millisecond) // another took the descriptor, or it is memory that is short
			}
			reserve, _ = os.Open(os.DevNull)
			continue
		case errors.Is(err, syscall.ECONNABORTED), errors.Is(err, syscall.EINTR):
			continue
		default:
			return fmt.Errorf("router: accept on %s: %w", l.Net.Addr(), err)
		}
		// A driver may need a second descriptor to take the connection over. Once it has tried, it is too late to
		// tell the client.
		probe, err := os.Open(os.DevNull)
		if err != nil {
			h.Descriptors.Add(1)
			refuse(nc, TooMany)
			continue
		}
		probe.Close()
		c, say, ok := h.Admit(l, nc.RemoteAddr(), nc.LocalAddr())
		if !ok {
			refuse(nc, say)
			continue
		}
		serve(c, nc)
	}
}

func exhausted(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOBUFS) || errors.Is(err, syscall.ENOMEM)
}

// refuseNext refuses the client at the head of the queue. It waits for none: one who has gone makes no room.
func refuseNext(ln net.Listener) bool {
	d, ok := ln.(interface{ SetDeadline(time.Time) error })
	if !ok || d.SetDeadline(time.Now().Add(50*time.Millisecond)) != nil {
		return false
	}
	defer d.SetDeadline(time.Time{})
	nc, err := ln.Accept()
	if err != nil {
		return false
	}
	refuse(nc, TooMany)
	return true
}

// refuse closes a connection that was not admitted. A fresh socket takes one short line at once, or its client is not
// worth waiting for.
func refuse(nc net.Conn, say string) {
	if say != "" && nc.SetWriteDeadline(time.Now().Add(time.Second)) == nil {
		_, _ = nc.Write([]byte(say))
	}
	_ = nc.Close()
}
