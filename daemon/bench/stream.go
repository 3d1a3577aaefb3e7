package bench

import (
	"io"
	"net"
	"sync"
	"time"
)

// streamDrive runs lanes on one goroutine for each connection. They take turns at the thread's counts, so it is no
// driver for speed: it is for TLS, and for systems without epoll.
func streamDrive(w *work, conns []net.Conn, lanes []lane) error {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i, c := range conns {
		wg.Go(func() {
			l := &lanes[i]
			var out []byte
			in, kept := make([]byte, 64<<10), 0
			closed := func(err error) {
				mu.Lock()
				l.fail(&w.errs.Closed, "connection: %v", err)
				mu.Unlock()
			}
			for {
				if wait := time.Duration(l.due - w.r.now()); l.every > 0 && wait > 0 && w.r.phase.Load() != stopping && !l.over {
					time.Sleep(min(wait, 50*time.Millisecond))
				}
				mu.Lock()
				out = out[:0]
				if w.r.phase.Load() != stopping && !l.over {
					out = l.fill(out, w.r.now())
				}
				mu.Unlock()
				if len(out) == 0 && !l.held() {
					if l.every > 0 && !l.over && w.r.phase.Load() != stopping {
						continue // not due yet
					}
					return
				}
				sent := make(chan error, 1)
				if len(out) > 64<<10 { // may not fit the sockets' buffers before replies are read
					go func() { _, err := c.Write(out); sent <- err }()
				} else {
					_, err := c.Write(out)
					sent <- err
				}
				for l.outstanding() > 0 || l.held() && w.r.phase.Load() != stopping {
					if w.r.phase.Load() == stopping {
						c.SetReadDeadline(time.Now().Add(drainFor))
					}
					n, err := c.Read(in[kept:])
					if n == 0 && err != nil {
						if err == io.EOF {
							err = io.ErrUnexpectedEOF
						}
						closed(err)
						c.Close()
						<-sent
						return
					}
					mu.Lock()
					used := l.feed(in[:kept+n], w.r.now())
					if w.r.phase.Load() == measuring {
						w.in += uint64(n)
					}
					w.done.Store(w.begun)
					mu.Unlock()
					if l.broken {
						c.Close()
						<-sent
						return
					}
					kept = copy(in, in[used:kept+n])
				}
				if err := <-sent; err != nil {
					closed(err)
					return
				}
				if w.r.phase.Load() == measuring {
					mu.Lock()
					w.out += uint64(len(out))
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	return nil
}

// drainFor bounds the wait for the last replies.
const drainFor = 5 * time.Second
