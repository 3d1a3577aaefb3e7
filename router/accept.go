package router

import (
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"
)

// Accept takes connections from l until its listener is closed, and gives those that are admitted to serve. It returns
// nil when the listener was closed, and the error of any other failing accept.
//
// Out of descriptors it neither ends nor spins: the kernel's queue waits, and accepting goes on when some are free.
func (h *Hub) Accept(l *Listener, serve func(c *Conn, nc net.Conn)) error {
	for {
		nc, err := l.Net.Accept()
		switch {
		case err == nil:
		case errors.Is(err, net.ErrClosed):
			return nil
		case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.ENOBUFS), errors.Is(err, syscall.ENOMEM):
			h.Descriptors.Add(1)
			time.Sleep(10 * time.Millisecond)
			continue
		case errors.Is(err, syscall.ECONNABORTED), errors.Is(err, syscall.EINTR):
			continue
		default:
			return fmt.Errorf("router: accept on %s: %w", l.Net.Addr(), err)
		}
		c, say, ok := h.Admit(l, nc.RemoteAddr(), nc.LocalAddr())
		if !ok {
			// A fresh socket takes one short line at once, or its client is not worth waiting for.
			if say != "" && nc.SetWriteDeadline(time.Now().Add(time.Second)) == nil {
				_, _ = nc.Write([]byte(say))
			}
			_ = nc.Close()
			continue
		}
		serve(c, nc)
	}
}
