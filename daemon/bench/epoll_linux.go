package bench

import (
	"fmt"
	"net"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// epollDrive is the driver for speed.
var epollDrive = drivePoll

// peer is a lane with its socket.
type peer struct {
	lane
	fd    int
	carry []byte // a piece of a reply that is not whole
	out   []byte // what the socket did not take, from sent on
	sent  int
}

// poll is one thread's loop.
type poll struct {
	w      *work
	ep     int
	peers  []*peer
	live   int
	out    []byte
	events []syscall.EpollEvent
	in     []byte

	// In an open loop: when the next request of any peer is due, whose it is, and the time between two of them.
	due, step float64
	turn      int
}

// drivePoll runs all lanes of a thread on one epoll instance. Reads and writes do not block, so they are made
// without telling Go's scheduler, which saves a tenth of the client's time.
func drivePoll(w *work, conns []net.Conn, lanes []lane) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	ep, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return fmt.Errorf("bench: epoll: %w", err)
	}
	defer syscall.Close(ep)
	p := &poll{w: w, ep: ep, out: make([]byte, 0, 64<<10), in: make([]byte, 256<<10), events: make([]syscall.EpollEvent, 256)}
	for i, c := range conns {
		fd, err := descriptor(c)
		if err != nil {
			return err
		}
		defer syscall.Close(fd)
		p.peers = append(p.peers, &peer{lane: lanes[i], fd: fd})
		if err := syscall.EpollCtl(ep, syscall.EPOLL_CTL_ADD, fd, &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(i)}); err != nil {
			return fmt.Errorf("bench: epoll: %w", err)
		}
	}
	p.live = len(p.peers)
	if every := p.peers[0].every; every > 0 {
		p.due, p.step = float64(p.peers[0].due), float64(every)/float64(len(p.peers))
	}
	return p.run()
}

func (p *poll) run() error {
	w, open := p.w, p.step > 0
	if !open {
		for i := range p.peers {
			p.fill(i, w.r.now())
		}
	}
	var drainEnd time.Time
	for p.live > 0 {
		stop := w.r.phase.Load() == stopping
		wait := 50 * time.Millisecond
		if stop {
			if drainEnd.IsZero() {
				drainEnd = time.Now().Add(drainFor)
			}
			waiting := 0
			for _, q := range p.peers {
				waiting += q.outstanding()
			}
			if waiting == 0 || time.Now().After(drainEnd) {
				break
			}
		} else if open {
			now := w.r.now()
			for int64(p.due) <= now {
				p.fill(p.turn, now)
				p.turn = (p.turn + 1) % len(p.peers)
				p.due += p.step
			}
			wait = min(wait, time.Duration(int64(p.due)-now))
		}
		n, err := epollWait(p.ep, p.events, wait)
		if err != nil && err != syscall.EINTR {
			return fmt.Errorf("bench: epoll: %w", err)
		}
		for _, ev := range p.events[:max(n, 0)] {
			i := int(ev.Fd)
			if q := p.peers[i]; ev.Events&syscall.EPOLLOUT != 0 && !q.broken && q.sent < len(q.out) {
				p.flush(i)
			}
			if ev.Events&^syscall.EPOLLOUT != 0 && !p.peers[i].broken {
				p.read(i, stop)
			}
		}
		w.done.Store(w.begun)
	}
	w.done.Store(w.begun)
	return nil
}

func (p *poll) drop(q *peer) {
	q.broken = true
	q.pending, q.head = q.pending[:0], 0
	_ = syscall.EpollCtl(p.ep, syscall.EPOLL_CTL_DEL, q.fd, nil) // the descriptor is open
	p.live--
}

func (p *poll) watch(i int, writable bool) {
	ev := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(i)}
	if writable {
		ev.Events |= syscall.EPOLLOUT
	}
	_ = syscall.EpollCtl(p.ep, syscall.EPOLL_CTL_MOD, p.peers[i].fd, &ev) // as above
}

// fill sends what the lane has to send. In a closed loop a lane without anything is done.
func (p *poll) fill(i int, now int64) {
	q := p.peers[i]
	if q.broken {
		return
	}
	p.out = q.fill(p.out[:0], now)
	switch {
	case len(p.out) == 0:
		if q.over {
			p.drop(q)
		}
	case q.sent < len(q.out): // the socket is full
		q.out = append(q.out, p.out...)
	default:
		if n := p.write(q, p.out); n < len(p.out) && !q.broken {
			q.out, q.sent = append(q.out[:0], p.out[n:]...), 0
			p.watch(i, true)
		}
	}
}

func (p *poll) flush(i int) {
	q := p.peers[i]
	if q.sent += p.write(q, q.out[q.sent:]); q.sent == len(q.out) && !q.broken {
		q.out, q.sent = q.out[:0], 0
		p.watch(i, false)
	}
}

func (p *poll) write(q *peer, b []byte) int {
	n, errno := rawWrite(q.fd, b)
	if errno != 0 && errno != syscall.EAGAIN && errno != syscall.EINTR {
		q.fail(&p.w.errs.Closed, "connection: %v", errno)
		p.drop(q)
		return 0
	}
	if p.w.r.phase.Load() == measuring {
		p.w.out += uint64(n)
	}
	return n
}

func (p *poll) read(i int, stop bool) {
	q, w := p.peers[i], p.w
	kept := copy(p.in, q.carry)
	n, errno := rawRead(q.fd, p.in[kept:])
	if errno == syscall.EAGAIN || errno == syscall.EINTR {
		return
	}
	if errno != 0 || n == 0 {
		if errno == 0 {
			q.fail(&w.errs.Closed, "connection: closed by the server")
		} else {
			q.fail(&w.errs.Closed, "connection: %v", errno)
		}
		p.drop(q)
		return
	}
	now := w.r.now()
	used := q.feed(p.in[:kept+n], now)
	if w.r.phase.Load() == measuring {
		w.in += uint64(n)
	}
	if q.broken {
		p.drop(q)
		return
	}
	q.carry = append(q.carry[:0], p.in[used:kept+n]...)
	if !stop && (q.outstanding() == 0 || p.step > 0) {
		p.fill(i, now)
	}
}

// spin is how long a wait must be to be slept: waking up takes about half of it.
const spin = 100 * time.Microsecond

// epollWait waits to within microseconds, for which it polls at the end.
func epollWait(ep int, events []syscall.EpollEvent, d time.Duration) (int, error) {
	d -= spin
	if d <= 0 {
		n, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, uintptr(ep), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), 0, 0, 0)
		if errno != 0 {
			return 0, errno
		}
		return int(n), nil
	}
	ts := unix.NsecToTimespec(int64(d))
	n, _, errno := syscall.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(ep), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)),
		uintptr(unsafe.Pointer(&ts)), 0, 0)
	switch errno {
	case 0:
		return int(n), nil
	case syscall.ENOSYS: // Linux before 5.11 counts in milliseconds
		return syscall.EpollWait(ep, events, int(d/time.Millisecond))
	}
	return 0, errno
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
