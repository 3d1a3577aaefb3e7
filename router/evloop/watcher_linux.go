package evloop

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/latticed/latticed/router"
)

// watcher tells loops that a client has taken some of what was written to it. gnet has no such event for output that is
// not its own, so this is a second epoll beside those of the loops. It keeps nothing: an event carries the connection's
// id, which is never reused, and it happens once for each call of watch.
type watcher struct {
	fd   int
	file *os.File // the same, so that waiting for it costs no thread
	done chan struct{}
}

func newWatcher(hub *router.Hub) (*watcher, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	w := &watcher{fd: fd, file: os.NewFile(uintptr(fd), "epoll"), done: make(chan struct{})}
	raw, err := w.file.SyscallConn()
	if err != nil {
		_ = w.file.Close()
		return nil, err
	}
	go w.run(hub, raw)
	return w, nil
}

func (w *watcher) run(hub *router.Hub, raw syscall.RawConn) {
	defer close(w.done)
	events := make([]unix.EpollEvent, 128)
	for {
		n := 0
		err := raw.Read(func(fd uintptr) bool { // ends with an error when the file is closed
			var err error
			n, err = unix.EpollWait(int(fd), events, 0)
			return n > 0 || err != nil && err != unix.EINTR
		})
		if err != nil {
			return
		}
		for i := range events[:max(n, 0)] {
			hub.Wake(uint64(uint32(events[i].Fd)) | uint64(uint32(events[i].Pad))<<32)
		}
	}
}

// watch wakes k once when its client takes more. False: it cannot.
func (w *watcher) watch(k *conn) bool {
	op := unix.EPOLL_CTL_ADD
	if k.watched {
		op = unix.EPOLL_CTL_MOD
	}
	id := k.c.Env.Conn
	e := unix.EpollEvent{Events: unix.EPOLLOUT | unix.EPOLLONESHOT, Fd: int32(uint32(id)), Pad: int32(uint32(id >> 32))}
	if unix.EpollCtl(w.fd, op, k.gc.Fd(), &e) != nil {
		return false
	}
	k.watched = true
	return true
}

// forget is called before k's descriptor is closed or handed on.
func (w *watcher) forget(k *conn) {
	if k.watched {
		_ = unix.EpollCtl(w.fd, unix.EPOLL_CTL_DEL, k.gc.Fd(), nil)
		k.watched = false
	}
}

// close is called when no loop watches any more.
func (w *watcher) close() {
	_ = w.file.Close()
	<-w.done
}
