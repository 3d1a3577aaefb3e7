//go:build unix

package evloop

import (
	"bytes"
	"context"

	"github.com/panjf2000/gnet/v2"

	"github.com/latticed/latticed/protocols"
)

// Gathering. A reply that is written wakes its client, and each such wake-up costs more than the request itself. When
// many connections are readable in one round, their replies are therefore put aside and written one after the other once
// the round is over: the first wakes the client, and it finds the rest when it looks again. gnet does not say when a
// round is over, but runs tasks after its events, so a task is posted with the first reply that is put aside. That costs
// a write to an eventfd, so it is not done where rounds are short.

const (
	gatherMost  = 64       // replies; then they are written at once
	gatherBytes = 64 << 10 // likewise
	gatherReply = 4 << 10  // bytes of a reply; larger ones are not put aside
	gatherWorth = 8        // replies that a round must have brought for the next ones to be gathered, too

	// Replies that are written at once before gathering is tried again; it doubles with each trial that was not worth it.
	gatherPause, gatherPauseMost = 64, 4096
)

// gathering is what a loop has put aside.
type gathering struct {
	replies []reply
	end     int  // of the last one, in loop.out
	posted  bool // a task will write them
	seen    int  // replies since it was posted
	pause   int  // replies to be written at once before the next trial
	last    int  // the pause before
}

// reply is put aside: it ends at to in loop.out, and begins where the one before ends.
type reply struct {
	k  *conn
	to int
}

// gather puts the reply out to k aside, unless it has to be written now.
func (l *loop) gather(k *conn, p *protocols.Progress, out []byte) bool {
	g := &l.gathered
	if p.Next != protocols.More || l.turn.Leaving || len(out) == 0 || len(out) > gatherReply || &out[0] != &l.out[:g.end+1][g.end] {
		return false
	}
	if g.pause > 0 {
		g.pause--
		return false
	}
	if !g.posted {
		if l.el.Execute(context.Background(), (*scatterer)(l)) != nil {
			return false
		}
		g.posted, g.seen = true, 0
	}
	g.end += len(out)
	g.replies = append(g.replies, reply{k, g.end})
	g.seen++
	k.gathered = true
	if len(g.replies) == gatherMost || g.end >= gatherBytes {
		l.scatter()
	}
	return true
}

// scatter writes what was put aside.
func (l *loop) scatter() {
	g := &l.gathered
	from := 0
	for i := range g.replies {
		r := &g.replies[i]
		out := l.out[from:r.to]
		from = r.to
		r.k.gathered = false
		l.send(r.k, out)
		r.k = nil
	}
	l.traffic.Gathered.Add(uint64(len(g.replies)))
	g.replies, g.end = g.replies[:0], 0
}

// send writes a reply that was put aside, as step would have done.
func (l *loop) send(k *conn, out []byte) {
	action := gnet.None
	out, _, ok := l.write(k, out, nil)
	switch {
	case !ok:
		action = gnet.Close
	case len(out) > 0:
		k.backlog().out = bytes.Clone(out)
		action = l.wait(k, l.s.hub.Clock.Now().Wall)
	}
	if action == gnet.Close {
		_ = l.el.Close(k.gc)
	}
}

// scatterer is a loop at the end of a round.
type scatterer loop

// Run implements gnet.Runnable.
func (s *scatterer) Run(context.Context) error {
	l := (*loop)(s)
	l.scatter()
	g := &l.gathered
	g.posted = false
	if g.seen >= gatherWorth {
		g.last = 0
		return nil
	}
	g.last = min(max(2*g.last, gatherPause), gatherPauseMost)
	g.pause = g.last
	return nil
}
