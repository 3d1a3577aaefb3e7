package router

import (
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
)

// failing is a listener whose accepts fail.
type failing struct {
	net.Listener
	with []error
}

func (f *failing) Accept() (net.Conn, error) {
	err := f.with[0]
	f.with = f.with[1:]
	return nil, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", err)}
}

func (f *failing) Addr() net.Addr { return &net.TCPAddr{} }

// What has become of one connection ends no listener; what is wrong with the listener does.
func TestAcceptsThatFail(t *testing.T) {
	f := &failing{with: []error{syscall.ECONNABORTED, syscall.EPERM, syscall.EPROTO, syscall.ENETDOWN, syscall.EHOSTUNREACH, syscall.ETIMEDOUT, syscall.EBADF}}
	err := NewHub(Options{}).Accept(&Listener{Net: f}, nil)
	if !errors.Is(err, syscall.EBADF) || len(f.with) != 0 {
		t.Errorf("got %v, %d more", err, len(f.with))
	}
}
