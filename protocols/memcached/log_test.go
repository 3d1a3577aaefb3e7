package memcached_test

import (
	"fmt"
	"strings"
	"testing"

	accesslog "github.com/latticed/latticed/access-log"
	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/grid/gridtest"
	"github.com/latticed/latticed/protocols"
	"github.com/latticed/latticed/protocols/memcached"
	"github.com/latticed/latticed/protocols/prototest"
)

func line(rec *accesslog.Record) string {
	if rec.Protocol != "memcached" {
		return fmt.Sprintf("%+v", *rec)
	}
	return fmt.Sprintf("%s %s %s %d %d", rec.Op, rec.Key, rec.Status, rec.In, rec.Out)
}

// Every request is recorded once, with its bytes: all that came in and all that went out, however it was driven.
func TestAccessLog(t *testing.T) {
	large := strings.Repeat("v", 20000)
	input := "set a 0 0 1\r\n1\r\nget a b\r\nget a\r\nadd a 0 0 1 noreply\r\nx\r\nincr a 1\r\ndecr b 1\r\ntouch a 10\r\ndelete b\r\ndelete a noreply\r\n" +
		"cas b 0 0 1 5\r\nx\r\nappend b 0 0 1\r\nx\r\nbogus\r\nset a x 0 1\r\nx\r\nmn\r\nversion\r\nms m 1 c\r\nx\r\nmg m v\r\nmg n q\r\nma m\r\nme m\r\nmd m q\r\n" +
		"set big 0 0 20000\r\n" + large + "\r\nget big\r\nstats sizes\r\nflush_all\r\nverbosity x\r\n"
	want := []string{
		"set a STORED 16 8", "get a HIT 5 16", "get b MISS 4 5", "get a HIT 7 21", "add a NOT_STORED 24 0", "incr a STORED 10 3",
		"decr b NOT_FOUND 10 11", "touch a TOUCHED 12 9", "delete b NOT_FOUND 10 11", "delete a DELETED 18 0", "cas b NOT_FOUND 18 11",
		"append b NOT_STORED 19 12", "invalid  ERROR 7 7", "invalid  CLIENT_ERROR 13 38", "mn  OK 4 4", "version  OK 9 16",
		"ms m STORED 13 0", "mg m HIT 8 9", "mg n MISS 8 0", "ma m CLIENT_ERROR 6 62", "me m HIT 6 0", "md m DELETED 8 0",
		"set big STORED 20021 8", "get big HIT 9 20026", "stats  OK 13 33", "flush_all  OK 11 4", "verbosity  CLIENT_ERROR 13 38",
	}
	for _, h := range prototest.Ways(8) {
		log := &prototest.Log{Format: line}
		setup := prototest.Setup(func() prototest.Parts {
			return prototest.Parts{Protocol: memcached.New(memcached.Options{}), Caches: gridtest.NewModel(gridtest.Options{}), Log: log}
		})
		out := setup.Drive(t, []byte(input), h).Out
		in, sum := 0, 0
		for i, line := range log.Lines {
			var a, b int
			words := strings.Fields(line)
			fmt.Sscan(words[len(words)-2], &a)
			fmt.Sscan(words[len(words)-1], &b)
			in, sum = in+a, sum+b
			if h.Late > 0 {
				continue // in the order of answers
			}
			if strings.HasPrefix(line, "ms m") || strings.HasPrefix(line, "me m") { // contain a version
				line = line[:strings.LastIndexByte(line, ' ')] + " 0"
			}
			if i >= len(want) || line != want[i] {
				t.Fatalf("driven as %+v: record %d: got %q, want %q", h, i, line, want[min(i, len(want)-1)])
			}
		}
		// The data block of a refused set is swallowed, and belongs to no request.
		if len(log.Lines) != len(want) || in != len(input)-3 || sum != len(out) || log.Wrong != "" {
			t.Errorf("driven as %+v: %d records of %d bytes in and %d out, want %d of %d and %d; %s",
				h, len(log.Lines), in, sum, len(want), len(input)-3, len(out), log.Wrong)
		}
		if log.Admitted < len(want) {
			t.Errorf("driven as %+v: %d records were let in, %d came", h, log.Admitted, len(want))
		}
	}
}

// What the log does not let in is refused, and not done.
func TestAccessLogRefuses(t *testing.T) {
	log := &prototest.Log{Format: line, Refuse: true}
	model := gridtest.NewModel(gridtest.Options{})
	setup := prototest.Setup(func() prototest.Parts {
		return prototest.Parts{Protocol: memcached.New(memcached.Options{}), Caches: model, Log: log}
	})
	const busy = "SERVER_ERROR busy, try again\r\n"
	got := setup.Drive(t, []byte("set a 0 0 1\r\nx\r\nget a\r\nset b 0 0 20000\r\n"+strings.Repeat("v", 20000)+"\r\nverbosity 5\r\n"), prototest.How{})
	if string(got.Out) != busy+busy+busy+busy || len(got.Ops) != 0 {
		t.Errorf("got %q and ops %v, want four times %q and none", got.Out, got.Ops, busy)
	}
	var st grid.Stats
	admin, _ := model.Admin("", grid.Principal{})
	if admin.Stats(&st, prototest.Now); st.Entries != 0 || st.Reserved != 0 {
		t.Errorf("%d entries, %d bytes reserved, want none", st.Entries, st.Reserved)
	}
}

// A recorder costs no memory a request either.
func TestStepWithAccessLogAllocatesNothing(t *testing.T) {
	s := memcached.New(memcached.Options{}).Open(&protocols.Env{Caches: stub{}, Limits: protocols.DefaultLimits, Door: &protocols.Door{Log: nobody{}}})
	in, out, batch := []byte(strings.Repeat("get key\r\nset key 0 0 5\r\nvalue\r\nmg key v\r\n", 10)), make([]byte, 0, 64<<10), grid.NewBatch(64<<10)
	turn := protocols.Turn{}
	step := func() {
		turn = protocols.Turn{In: in, Out: out, Room: 64 << 10, Now: grid.Time{Wall: 1.7e12}, Batch: batch}
		s.Step(&turn)
	}
	step()
	if n := testing.AllocsPerRun(100, step); n != 0 {
		t.Errorf("%v allocations in a Step, want 0", n)
	}
}

type nobody struct{}

func (nobody) Admit(int) bool           { return true }
func (nobody) Record(*accesslog.Record) {}

// TestAccessLogOfWhoLeaves closes a session while answers are late: these requests are recorded, too.
func TestAccessLogOfWhoLeaves(t *testing.T) {
	log := &prototest.Log{Format: line}
	cache := &remote{}
	s := memcached.New(memcached.Options{}).Open(&protocols.Env{Conn: 1, Caches: cache, Limits: protocols.DefaultLimits, Door: &protocols.Door{Log: log}})
	in := "get l\r\nget k\r\nset l 0 0 1\r\nx\r\n"
	turn := protocols.Turn{In: []byte(in), Room: 64 << 10, Now: prototest.Now, Batch: grid.NewBatch(64 << 10)}
	s.Step(&turn)
	s.Close()
	s.Close()
	if got := strings.Join(log.Lines, "; "); strings.Count(got, "reset") != 2 || len(log.Lines) != 3 || log.Wrong != "" {
		t.Errorf("got %s; %s", got, log.Wrong)
	}
}
