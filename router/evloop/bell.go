//go:build unix

package evloop

import (
	"net"
	"os"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"
)

// bell brings a loop back to connections that have had their share of a round. That has to be an event: gnet runs tasks
// until none is left, also those that tasks post, before it looks at its sockets again. So each loop has a socket of its
// own, and writes a byte to the other end.
type bell struct {
	l    *loop // set in the loop
	rope int   // the other end
}

// hang gives a loop its bell.
func (s *Server) hang() (*bell, error) {
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	for _, fd := range ends {
		unix.CloseOnExec(fd)
	}
	b := &bell{rope: ends[0]}
	f := os.NewFile(uintptr(ends[1]), "")
	nc, err := net.FileConn(f)
	_ = f.Close()
	if err == nil {
		err = unix.SetNonblock(b.rope, true)
	}
	if err == nil {
		_, err = s.client.EnrollContext(nc, b) // which closes nc
	}
	if err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

// close is called when the loop has ended, or will not have the bell.
func (b *bell) close() { _ = unix.Close(b.rope) }

// ring makes an event. It rings once at a time, so that there is always room for its byte.
func (b *bell) ring() { _, _ = send(b.rope, []byte{0}) }

// rest has k stepped again when the others have had their turn.
func (l *loop) rest(k *conn) {
	k.again = true
	if k.resting {
		return
	}
	k.resting = true
	if l.resting = append(l.resting, k); len(l.resting) == 1 {
		l.bell.ring()
	}
}

// rung steps those that rest. Those that need more than one share rest again.
func (b *bell) rung(gc gnet.Conn) gnet.Action {
	if n := gc.InboundBuffered(); n > 0 {
		_, _ = gc.Discard(n)
	}
	l := b.l
	rested := l.resting
	l.resting = l.spent[:0]
	for i, k := range rested {
		rested[i] = nil
		k.resting = false
		if k.again && !k.gone && l.event(k, true, nil) == gnet.Close {
			_ = l.el.Close(k.gc)
		}
	}
	l.spent = rested
	return gnet.None
}
