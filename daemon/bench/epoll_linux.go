package bench

import (
	"fmt"
	"net"
	"runtime"
	"syscall"
	"time"
	"unsafe"
)

// epollDrive is the driver for speed.
var epollDrive = drivePoll

// peer is a lane with its socket.
type peer struct {
	lane
	fd    int
	carry []byte // a reply line that is not whole
	out   []byte // what the socket did not take
	own   []byte // memory of out
}

// drivePoll runs all lanes of a thread on one epoll instance. Reads and writes do not block, so they are made
// without telling Go's scheduler, which saves a tenth of the client's time.
func drivePoll(w *work, conns []net.Conn) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	ep, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return fmt.Errorf("bench: epoll: %w", err)
	}
	defer syscall.Close(ep)
	peers := make([]*peer, len(conns))
	for i, c := range conns {
		fd, err := descriptor(c)
		if err != nil {
			return err
		}
		defer syscall.Close(fd)
		peers[i] = &peer{lane: lane{w: w}, fd: fd}
		if err := syscall.EpollCtl(ep, syscall.EPOLL_CTL_ADD, fd, &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(i)}); err != nil {
			return fmt.Errorf("bench: epoll: %w", err)
		}
	}
	in, out := make([]byte, 256<<10), make([]byte, 0, 64<<10)
	events := make([]syscall.EpollEvent, 256)
	live := len(peers)
	drop := func(p *peer) {
		p.broken = true
		p.pending, p.head = p.pending[:0], 0
		syscall.EpollCtl(ep, syscall.EPOLL_CTL_DEL, p.fd, nil)
		live--
	}
	watch := func(i int, writable bool) {
		ev := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(i)}
		if writable {
			ev.Events |= syscall.EPOLLOUT
		}
		syscall.EpollCtl(ep, syscall.EPOLL_CTL_MOD, peers[i].fd, &ev)
	}
	// send writes buf, which is out or the peer's own, and keeps what the socket does not take.
	send := func(i int, buf []byte) {
		p := peers[i]
		n, errno := rawWrite(p.fd, buf)
		if errno != 0 && errno != syscall.EAGAIN && errno != syscall.EINTR {
			p.fail(&w.errs.Closed, "connection: %v", errno)
			drop(p)
			return
		}
		if w.r.phase.Load() == measuring {
			w.out += uint64(n)
		}
		waiting := len(p.out) > 0
		if n == len(buf) {
			p.out = nil
		} else if waiting {
			p.out = buf[n:]
		} else {
			p.own = append(p.own[:0], buf[n:]...)
			p.out = p.own
		}
		if (len(p.out) > 0) != waiting {
			watch(i, !waiting)
		}
	}
	fill := func(i int, now int64) {
		out = peers[i].fill(out[:0], now)
		if len(out) > 0 {
			send(i, out)
		} else {
			drop(peers[i])
		}
	}
	for i := range peers {
		fill(i, w.r.now())
	}
	var drainEnd time.Time
	for live > 0 {
		stop := w.r.phase.Load() == stopping
		if stop {
			if drainEnd.IsZero() {
				drainEnd = time.Now().Add(drainFor)
			}
			waiting := 0
			for _, p := range peers {
				waiting += p.outstanding()
			}
			if waiting == 0 || time.Now().After(drainEnd) {
				break
			}
		}
		n, err := syscall.EpollWait(ep, events, 50)
		if err != nil && err != syscall.EINTR {
			return fmt.Errorf("bench: epoll: %w", err)
		}
		for _, ev := range events[:max(n, 0)] {
			i := int(ev.Fd)
			p := peers[i]
			if p.broken {
				continue
			}
			if ev.Events&syscall.EPOLLOUT != 0 && len(p.out) > 0 {
				if send(i, p.out); p.broken {
					continue
				}
			}
			if ev.Events&^syscall.EPOLLOUT == 0 {
				continue
			}
			kept := copy(in, p.carry)
			n, errno := rawRead(p.fd, in[kept:])
			if errno == syscall.EAGAIN || errno == syscall.EINTR {
				continue
			}
			if errno != 0 || n == 0 {
				if errno == 0 {
					p.fail(&w.errs.Closed, "connection: closed by the server")
				} else {
					p.fail(&w.errs.Closed, "connection: %v", errno)
				}
				drop(p)
				continue
			}
			now := w.r.now()
			used := p.feed(in[:kept+n], now)
			if w.r.phase.Load() == measuring {
				w.in += uint64(n)
			}
			if p.broken {
				drop(p)
				continue
			}
			p.carry = append(p.carry[:0], in[used:kept+n]...)
			if p.outstanding() == 0 {
				if p.over {
					drop(p)
				} else if !stop {
					fill(i, now)
				}
			}
		}
		w.done.Store(w.settled)
	}
	return nil
}

// descriptor duplicates the socket of c, so that Go's poller has no part in it.
func descriptor(c net.Conn) (int, error) {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return 0, fmt.Errorf("bench: %T has no descriptor", c)
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return 0, fmt.Errorf("bench: descriptor: %w", err)
	}
	fd := -1
	var dupErr error
	if err := raw.Control(func(s uintptr) { fd, dupErr = syscall.Dup(int(s)) }); err != nil {
		return 0, fmt.Errorf("bench: descriptor: %w", err)
	}
	if dupErr != nil {
		return 0, fmt.Errorf("bench: descriptor: %w", dupErr)
	}
	syscall.CloseOnExec(fd)
	return fd, nil
}

func rawRead(fd int, b []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall(syscall.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

func rawWrite(fd int, b []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}
