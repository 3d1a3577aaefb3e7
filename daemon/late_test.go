package daemon_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/latticed/latticed/daemon/daemontest"
	"github.com/latticed/latticed/grid/gridtest"
)

// conversation is random requests on keys of their own, without what depends on time or versions.
func conversation(seed uint64) []byte {
	rng := rand.New(rand.NewPCG(seed, 7))
	var b bytes.Buffer
	for range 400 {
		k := fmt.Sprintf("c%d-%d", seed, rng.IntN(8))
		switch rng.IntN(14) {
		case 0, 1, 2:
			v := strings.Repeat("v", rng.IntN(300))
			fmt.Fprintf(&b, "set %s %d 0 %d\r\n%s\r\n", k, rng.IntN(9), len(v), v)
		case 3:
			v := strings.Repeat("large", 4000+rng.IntN(4000))
			fmt.Fprintf(&b, "set %s 0 0 %d\r\n%s\r\n", k, len(v), v)
		case 4, 5:
			fmt.Fprintf(&b, "get %s c%d-1 %s c%d-2\r\n", k, seed, k, seed)
		case 6:
			fmt.Fprintf(&b, "append %s 0 0 3\r\nend\r\n", k)
		case 7:
			fmt.Fprintf(&b, "set %s 0 0 2\r\n41\r\nincr %s 1\r\n", k, k)
		case 8:
			fmt.Fprintf(&b, "delete %s\r\n", k)
		case 9:
			fmt.Fprintf(&b, "mg %s v s k O%d q\r\nmn\r\n", k, rng.IntN(99))
		case 10:
			fmt.Fprintf(&b, "ms %s 4 T0 k\r\nmeta\r\nmd %s I\r\nmg %s v\r\nmg %s v\r\n", k, k, k, k)
		case 11:
			fmt.Fprintf(&b, "bogus\r\nset %s 0 0 2\r\nxyz\r\n", k)
		case 12:
			fmt.Fprintf(&b, "add %s 0 0 1\r\na\r\nreplace %s 0 0 1 noreply\r\nr\r\n", k, k)
		case 13:
			fmt.Fprintf(&b, "ma %s N0 J7 v\r\nversion\r\n", k)
		}
	}
	b.WriteString("quit\r\n")
	return b.Bytes()
}

// talk sends input in pieces and returns all that comes back.
func talk(t *testing.T, c net.Conn, input []byte, rng *rand.Rand) []byte {
	t.Helper()
	go func() {
		for len(input) > 0 {
			n := min(len(input), 1+rng.IntN(5000))
			if _, err := c.Write(input[:n]); err != nil {
				return
			}
			input = input[n:]
		}
	}()
	got, err := io.ReadAll(c)
	if err != nil {
		t.Errorf("read: %v after %d bytes", err, len(got))
	}
	return got
}

func TestLateGridGivesTheSameBytes(t *testing.T) {
	inline := daemontest.Boot(t, daemontest.AnyPort)
	f := func(name string, set func(*gridtest.Late)) {
		t.Run(name, func(t *testing.T) {
			d := daemontest.BootLate(t, daemontest.AnyPort, set)
			var wg sync.WaitGroup
			for seed := range uint64(8) {
				want := talk(t, daemontest.Dial(t, inline), conversation(seed), rand.New(rand.NewPCG(seed, 0)))
				a, b := daemontest.Dial(t, inline), daemontest.Dial(t, d)
				_ = a.Close()
				wg.Go(func() {
					got := talk(t, b, conversation(seed), rand.New(rand.NewPCG(seed, 1)))
					n := 0
					for n < len(got) && n < len(want) && got[n] == want[n] {
						n++
					}
					if n < len(got) || n < len(want) {
						t.Errorf("conversation %d: differs at byte %d of %d: got ...%.80q, want ...%.80q", seed, n, len(want), got[n:], want[n:])
					}
				})
			}
			wg.Wait()
		})
		daemontest.Ask(t, daemontest.Dial(t, inline), "flush_all\r\n", "OK\r\n")
	}
	f("answers", func(*gridtest.Late) {})
	f("effects", func(l *gridtest.Late) { l.Defer = true })
	f("some", func(l *gridtest.Late) { l.Share, l.Defer = 30, true })
	f("slow", func(l *gridtest.Late) { l.Share, l.Slow, l.Defer = 30, true, true })
}

func TestLateAndGone(t *testing.T) {
	d := daemontest.BootLate(t, daemontest.AnyPort, func(l *gridtest.Late) { l.Defer = true })
	for i := range 500 {
		c, err := net.Dial("tcp", d.Addrs()[0].String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write(bytes.Repeat([]byte("get k\r\nset k 0 0 1\r\nx\r\n"), 1+i%12))
		if i%2 == 0 {
			_ = c.(*net.TCPConn).SetLinger(0)
		}
		c.Close()
	}
	daemontest.Eventually(t, "all connections gone", func() bool { return d.Counters().Conns.Load() == 0 && d.Counters().Streams.Load() == 0 })
	daemontest.Ask(t, daemontest.Dial(t, d), "get nothing\r\n", "END\r\n")
}
