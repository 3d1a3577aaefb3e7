package router

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
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
	d := &door{h: h, open: make(map[net.Conn]struct{})}
	defer d.close()
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
			if !d.refuseNext(l.Net) {
				time.Sleep(10 * time.Millisecond) // another took the descriptor, or it is memory that is short
			}
			reserve, _ = os.Open(os.DevNull)
			continue
		case ofOne(err):
			continue
		default:
			return fmt.Errorf("router: accept on %s: %w", l.Net.Addr(), err)
		}
		// A driver may need a second descriptor to take the connection over. Once it has tried, it is too late to
		// tell the client.
		probe, err := os.Open(os.DevNull)
		if err != nil {
			h.Descriptors.Add(1)
			d.refuse(nc, TooMany, false)
			continue
		}
		probe.Close()
		c, say, ok := h.Admit(l, nc.RemoteAddr(), nc.LocalAddr())
		if !ok {
			d.refuse(nc, say, true)
			continue
		}
		serve(c, nc)
	}
}

// ofOne tells whether an accept failed for the sake of the connection that it would have brought: Linux hands on what has become
// of that, or what a filter says. The next one may be good.
func ofOne(err error) bool {
	var no syscall.Errno
	return errors.As(err, &no) && slices.Contains([]syscall.Errno{
		syscall.ECONNABORTED, syscall.EINTR, syscall.ECONNRESET, syscall.ETIMEDOUT, syscall.EPERM, syscall.EPROTO, syscall.ENOPROTOOPT,
		syscall.ENETDOWN, syscall.ENETUNREACH, syscall.EHOSTDOWN, syscall.EHOSTUNREACH,
	}, no)
}

func exhausted(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOBUFS) || errors.Is(err, syscall.ENOMEM)
}

// refuseNext refuses the client at the head of the queue. It waits for none: one who has gone makes no room.
func (d *door) refuseNext(ln net.Listener) bool {
	timed, ok := ln.(interface{ SetDeadline(time.Time) error })
	if !ok || timed.SetDeadline(time.Now().Add(50*time.Millisecond)) != nil {
		return false
	}
	defer timed.SetDeadline(time.Time{})
	nc, err := ln.Accept()
	if err != nil {
		return false
	}
	d.refuse(nc, TooMany, false)
	return true
}

// door refuses connections that were not admitted. A fresh socket takes one short line at once, or its client is not
// worth waiting for.
type door struct {
	h    *Hub
	mu   sync.Mutex
	open map[net.Conn]struct{} // refused, and waiting for their clients to go
	wg   sync.WaitGroup
}

// maxRefused is how many refused clients of one listener are given time to read why.
const maxRefused = 64

// refuse says say to the client and closes nc. patient: if there are not too many, the client gets LingerTimeout to read
// it, which takes a descriptor for as long.
func (d *door) refuse(nc net.Conn, say string, patient bool) {
	if say == "" || nc.SetDeadline(time.Now().Add(time.Second)) != nil {
		_ = nc.Close()
		return
	}
	_, _ = nc.Write([]byte(say))
	if patient && d.enter(nc) {
		d.wg.Go(func() {
			if Linger(nc) {
				d.h.Lingers.Add(1)
			} else {
				d.h.LingersCut.Add(1)
			}
			_ = nc.Close()
			d.mu.Lock()
			delete(d.open, nc)
			d.mu.Unlock()
		})
		return
	}
	if nc.SetReadDeadline(time.Now().Add(time.Millisecond)) == nil { // what it sent is probably here already
		_, _ = nc.Read(make([]byte, 4096))
	}
	_ = nc.Close()
}

func (d *door) enter(nc net.Conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.open) >= maxRefused {
		return false
	}
	d.open[nc] = struct{}{}
	return true
}

// close ends what refuse has begun.
func (d *door) close() {
	d.mu.Lock()
	for nc := range d.open {
		_ = nc.Close()
	}
	d.mu.Unlock()
	d.wg.Wait()
}

// Linger closes our side of nc and takes what the client still sends until it closes its own: closed with anything
// unread, the client would get a reset, and perhaps not our last words. False: the client took too long or sent too much.
// nc is still to be closed.
func Linger(nc net.Conn) bool {
	half, ok := nc.(interface{ CloseWrite() error })
	if !ok {
		return true // in memory there is no reset
	}
	if half.CloseWrite() != nil || nc.SetReadDeadline(time.Now().Add(LingerTimeout)) != nil {
		return false
	}
	n, err := io.Copy(io.Discard, io.LimitReader(nc, LingerBytes))
	return err == nil && n < LingerBytes
}
