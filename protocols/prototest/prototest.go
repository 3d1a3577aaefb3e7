// Package prototest drives any protocols.Session without a socket, as every driver together could: input cut anywhere,
// answers of the grid late and in any order, room from one byte up, values beside the output or in it, each Step on
// another goroutine with other buffers. What a Step was lent is overwritten when it returns, so a session that keeps
// some of it gives itself away. A session has to answer the same bytes, and send the grid the same ops on each key, all
// the same (Setup.Same); what the bytes should be is said by a table in a test, or by a transcript (Transcript).
package prototest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	accesslog "github.com/latticed/latticed/access-log"
	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/grid/gridtest"
	"github.com/latticed/latticed/protocols"
)

// Now is when tests happen unless Parts says otherwise: Tue, 14 Nov 2023 22:13:20 GMT.
var Now = grid.Time{Wall: 1.7e12}

// Parts are what a session is tested with.
type Parts struct {
	Protocol protocols.Protocol
	Caches   grid.Caches
	Clock    grid.Clock // nil: it is always Now
	Log      accesslog.Recorder
	Env      protocols.Env // of the connection; what is not about the driving
}

// Setup makes Parts, fresh ones each time.
type Setup func() Parts

// How is one way to drive a session. The zero value is the plainest: input as it is sent, answers at once, a large Room.
type How struct {
	Cut  int    // at most so many bytes of input at a time; 0: all at once
	Room int    // Turn.Room; 0: 64 KiB
	Tail bool   // Turn.CanTail
	Late int    // percent of ops that are answered late, in any order; large values then come bit by bit
	Move bool   // each Step on a goroutine of its own
	Held int    // Limits.Held; 0: the default
	Seed uint64 // of what is random
}

// Ways returns n ways that differ in everything.
func Ways(n int) []How {
	var list []How
	for seed := range uint64(n) {
		list = append(list, How{
			Cut: []int{1, 3, 40, 5000, 0}[seed%5], Room: []int{1, 50, 3000, 64 << 10}[seed/5%4], Tail: seed%3 == 0,
			Late: []int{0, 0, 30, 100}[seed%4], Move: seed%2 == 0, Held: []int{0, 1, 20}[seed/2%3], Seed: seed,
		})
	}
	return list
}

// Conn is one session and its driver. It is for one test goroutine.
type Conn struct {
	t      testing.TB
	how    How
	parts  Parts
	rng    *rand.Rand
	sess   protocols.Session
	late   *gridtest.Late // nil: none is late
	spy    *spy
	box    mailbox
	sets   [2]lent // used in turn
	steps  int
	unread []byte
	eof    bool
	out    []byte
	prog   protocols.Progress
	handed bool // it runs on a goroutine's driver
}

// lent is what a session is lent for a Step.
type lent struct {
	turn  protocols.Turn
	batch *grid.Batch
	out   []byte
}

// mailbox is the grid.Late of the connection, and its Owner.
type mailbox struct {
	list  []protocols.Answer
	woken bool
}

func (m *mailbox) Answer(_ uint64, seq uint32, r *grid.Result) {
	a := protocols.Answer{Seq: seq, Res: *r}
	a.Res.Value = bytes.Clone(r.Value)
	m.list = append(m.list, a)
}
func (m *mailbox) Wake(uint64) { m.woken = true }

type owner struct{ m *mailbox }

func (o owner) Wake()                   { o.m.woken = true }
func (o owner) Describe(string, string) {}

// Dial opens a session, which is closed when the test ends.
func (s Setup) Dial(t testing.TB, h How) *Conn {
	if h.Room == 0 {
		h.Room = 64 << 10
	}
	c := &Conn{t: t, how: h, parts: s(), rng: rand.New(rand.NewPCG(h.Seed, 2))}
	caches := c.parts.Caches
	if h.Late > 0 {
		c.late = gridtest.NewLate(caches, h.Seed)
		c.late.Share, c.late.Slow = h.Late, true
		caches = c.late
	}
	c.spy = &spy{Caches: caches, ops: map[string][]string{}}
	limits := protocols.DefaultLimits
	if h.Held > 0 {
		limits.Held = h.Held
	}
	for i := range c.sets {
		c.sets[i] = lent{batch: grid.NewBatch(h.Room), out: make([]byte, 0, h.Room)}
	}
	env := c.parts.Env
	env.Conn, env.Caches, env.Owner, env.Limits = 1, c.spy, owner{&c.box}, limits
	if c.parts.Log != nil {
		env.Door = &protocols.Door{Log: c.parts.Log}
	}
	c.sess = c.parts.Protocol.Open(&env)
	t.Cleanup(c.Close)
	return c
}

// Close ends the session, as a broken connection does.
func (c *Conn) Close() {
	if c.sess != nil {
		c.sess.Close()
		c.sess = nil
		if c.late != nil {
			c.late.DeliverAll()
		}
	}
}

// Closed tells whether the session has closed the connection.
func (c *Conn) Closed() bool { return c.prog.Next == protocols.Close }

// Send sends input and returns what the session has answered when it waits for more.
func (c *Conn) Send(input []byte) []byte {
	c.t.Helper()
	c.unread = append(c.unread, input...)
	c.settle()
	return c.take()
}

func (c *Conn) take() []byte {
	out := c.out
	c.out = nil
	return out
}

// settle steps until the session only waits for input.
func (c *Conn) settle() {
	c.t.Helper()
	for first := true; !c.Closed(); first = false {
		if c.late != nil {
			c.late.DeliverAll()
		}
		ready := len(c.box.list) > 0 || c.box.woken || c.prog.Next == protocols.Flush || c.prog.Next == protocols.HandOff
		switch {
		case ready:
		case c.prog.Next == protocols.Park:
			c.t.Fatalf("parked for ever at %.40q; %+v, answered ...%q", c.unread, c.how, c.lastOut())
		case first && (c.eof || len(c.unread) >= max(1, c.prog.Need)):
		default:
			return
		}
		c.step()
	}
}

func (c *Conn) lastOut() []byte { return c.out[max(0, len(c.out)-60):] }

// step calls Step once.
func (c *Conn) step() {
	c.t.Helper()
	set := &c.sets[c.steps%2]
	c.steps++
	in := bytes.Clone(c.unread)
	late := c.box.list
	c.box.list, c.box.woken = nil, false
	now := Now
	if c.parts.Clock != nil {
		now = c.parts.Clock.Now()
	}
	set.batch.Reset()
	set.batch.Late = &c.box
	set.turn = protocols.Turn{
		In: in, EOF: c.eof, Late: late, Out: set.out[:0], Room: c.how.Room, CanTail: c.how.Tail, Now: now, Batch: set.batch,
		Loop: c.steps % protocols.MaxLoops,
	}
	if c.handed = c.handed || c.prog.Next == protocols.HandOff; c.handed {
		set.turn.Loop = protocols.MaxLoops - 1
	}
	if c.how.Move {
		done := make(chan struct{})
		go func() {
			defer close(done)
			c.prog = c.sess.Step(&set.turn)
		}()
		<-done
	} else {
		c.prog = c.sess.Step(&set.turn)
	}
	if c.prog.Used < 0 || c.prog.Used > len(in) {
		c.t.Fatalf("used %d of %d bytes of input", c.prog.Used, len(in))
	}
	if len(set.turn.Tail) > 0 && !c.how.Tail {
		c.t.Fatalf("a Tail although there may be none; %+v", c.how)
	}
	c.out = append(append(c.out, set.turn.Out...), set.turn.Tail...)
	c.unread = c.unread[c.prog.Used:]
	// Nothing that was lent may be kept.
	poison(in)
	poison(set.turn.Out)
	for i := range late {
		poison(late[i].Res.Value)
		late[i] = protocols.Answer{Seq: 1 << 31}
	}
	ops := set.batch.Ops[:cap(set.batch.Ops)]
	for i := range ops {
		ops[i] = grid.Op{Kind: 255}
	}
	for i := range set.batch.Res {
		set.batch.Res[i] = grid.Result{Code: 255}
	}
	poison(set.batch.Mem[:cap(set.batch.Mem)])
	set.batch.Ops, set.batch.Mem = set.batch.Ops[:0], set.batch.Mem[:0]
	set.turn = protocols.Turn{}
	if c.prog.Next == protocols.Switch {
		c.sess.Close()
		c.sess = c.prog.To
	}
}

func poison(b []byte) {
	for i := range b {
		b[i] = '#'
	}
}

// Outcome is what came of an input: all bytes that were answered, and the ops that were run, by key.
type Outcome struct {
	Out []byte
	Ops map[string][]string
}

// Drive sends input and then the end of input to a fresh session, in the way h.
func (s Setup) Drive(t testing.TB, input []byte, h How) Outcome {
	t.Helper()
	c := s.Dial(t, h)
	defer c.Close()
	most := 100*len(input) + 100000
	for !c.Closed() {
		if c.steps > most {
			t.Fatalf("no progress at %.40q; %+v, answered ...%q", c.unread, c.how, c.lastOut())
		}
		if c.late != nil {
			for range c.rng.IntN(3) {
				c.late.Deliver()
			}
		}
		ready := len(c.box.list) > 0 || c.box.woken
		switch {
		case c.prog.Next == protocols.Flush || c.prog.Next == protocols.HandOff || ready:
		case c.prog.Next == protocols.Park:
			if c.late == nil || !c.late.Deliver() {
				t.Fatalf("parked for ever at %.40q; %+v, answered ...%q", c.unread, c.how, c.lastOut())
			}
			continue
		case len(input) > 0:
			n := len(input)
			if h.Cut > 0 {
				n = min(n, 1+c.rng.IntN(h.Cut))
			}
			c.unread = append(c.unread, input[:n]...)
			input = input[n:]
			// A driver may wait for Need, and need not.
			if len(c.unread) < c.prog.Need && len(input) > 0 && c.rng.IntN(4) > 0 {
				continue
			}
		case c.eof && c.prog.Held == 0:
			return Outcome{c.out, c.spy.ops}
		case c.eof:
			if c.late == nil || c.late.DeliverAll() == 0 {
				t.Fatalf("%d answers are missing for ever; %+v, answered ...%q", c.prog.Held, c.how, c.lastOut())
			}
			continue
		}
		c.eof = len(input) == 0
		c.step()
	}
	return Outcome{c.out, c.spy.ops}
}

// Same drives input in each of ways and fails unless that gives the same as the plainest way. It returns what that is.
func (s Setup) Same(t testing.TB, input []byte, ways []How) Outcome {
	t.Helper()
	want := s.Drive(t, input, How{})
	if len(input) > 500_000 { // or it takes too long
		ways = ways[:min(len(ways), 8)]
	}
	for _, h := range ways {
		if h.Cut > 0 && len(input) > 2000 {
			h.Cut = max(h.Cut, len(input)/50)
		}
		got := s.Drive(t, input, h)
		if !bytes.Equal(got.Out, want.Out) {
			n := 0
			for n < len(got.Out) && n < len(want.Out) && got.Out[n] == want.Out[n] {
				n++
			}
			t.Fatalf("%.200q driven as %+v: answers differ from byte %d:\n got ...%.100q\nwant ...%.100q", input, h, n, got.Out[n:], want.Out[n:])
		}
		for key := range want.Ops {
			if !slices.Equal(got.Ops[key], want.Ops[key]) {
				t.Fatalf("%.200q driven as %+v: ops on %q differ:\n got %.300q\nwant %.300q", input, h, key, got.Ops[key], want.Ops[key])
			}
		}
		if len(got.Ops) != len(want.Ops) {
			t.Fatalf("%.200q driven as %+v: ops on %d keys, want %d", input, h, len(got.Ops), len(want.Ops))
		}
	}
	return want
}

// spy notes the ops that are run.
type spy struct {
	grid.Caches
	ops map[string][]string
}

func (s *spy) Open(name string, who grid.Principal) (grid.Cache, error) {
	c, err := s.Caches.Open(name, who)
	if err != nil {
		return nil, err
	}
	return &spyCache{c, s}, nil
}

type spyCache struct {
	grid.Cache
	s *spy
}

func (c *spyCache) Do(b *grid.Batch) int {
	var notes [grid.MaxBatch]string
	for i := range b.Ops {
		op := &b.Ops[i]
		body := ""
		if op.Body != nil {
			body = " and a body"
		}
		notes[i] = fmt.Sprintf("%d if %d ask %#x flags %d value %.40q%s ttl %d %d %d version %d %d arg %d %d attr %d",
			op.Kind, op.Cond, op.Ask, op.Flags, op.Value, body, op.TTL, op.Idle, op.VivifyTTL, op.Version, op.NewVersion, op.Arg, op.Initial, op.Attr)
	}
	n := c.Cache.Do(b)
	for i := range n {
		key := string(b.Ops[i].Key)
		c.s.ops[key] = append(c.s.ops[key], notes[i])
	}
	return n
}
