//go:build !linux

package bench

import "net"

// epollDrive is nil where there is no epoll.
var epollDrive func(w *work, conns []net.Conn, lanes []lane) error
