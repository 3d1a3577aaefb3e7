package daemon

import (
	"time"

	"github.com/latticed/latticed/conf"
	"github.com/latticed/latticed/grid"
)

// What the process takes before the first entry and connection: its program, of which as much is in memory as has run, and
// what the runtime, the loops and the protocols have on the heap.
const (
	baseProgram = 14 << 20
	baseHeap    = 6 << 20
)

// budget is how the memory that the process may use is divided. Its parts together are at most the whole.
type budget struct {
	store   uint64 // the engine: entries and index
	buffers int64  // what connections keep between two events: unread input, replies nobody takes, late answers
	heap    int64  // the bound for Go's collector; buffers and connections are on its heap; the store is not
}

// divide is the one place that knows who gets how much of total bytes, with so many connections at most. What is not the
// store's: the base, connections at rest, their buffers, half as much again for garbage, and a 32nd for what nobody counts
// (page tables, stacks, blocks that are not quite full). Of what the base leaves, the store always gets two thirds: a
// process with little memory is for entries first, and not all of its connections come with full buffers.
func divide(total uint64, connections int) budget {
	buffers := min(max(total/16, 2<<20), 256<<20)
	left := max(total, conf.MinMemory) - baseProgram - baseHeap
	uncounted := left / 32
	rest := min((buffers+uint64(connections)*conf.ConnectionCost)*3/2, left/3-uncounted)
	return budget{store: left - rest - uncounted, buffers: int64(buffers), heap: int64(baseHeap + rest)}
}

// rebudget follows a reload that changed memory. Where it did not change, what cache_memlimit made of the store's part stays.
func (d *Daemon) rebudget(c *conf.Config) {
	if c.Memory == d.memory.Load() {
		return
	}
	if !d.store.SetLimit(divide(c.Memory, d.hub.MaxConns).store) {
		d.log.Error().Str("memory", conf.FormatSize(c.Memory)).Msg("memory not changed: the store cannot take that while it runs; restart latticed")
		return
	}
	d.memory.Store(c.Memory)
}

// enough is how many sweeps there must be with all memory given before the operator hears that it is: when there is some more,
// the store finds out only with use that it is not all.
const enough = int(time.Minute / sweepEvery)

// shortage tells the operator that the system refuses memory below the limit, and when that is over. refused is in bytes.
// left is what the last call returned: 0, or the sweeps until it is over.
func (d *Daemon) shortage(refused uint64, left int) int {
	switch {
	case refused > 0:
		if left == 0 {
			d.log.Warn().Str("refused", conf.FormatSize(refused)).Msg("the system refuses memory that the limit allows; evicting as if there were so much less, and asking again. Lower memory, or see what else takes it (limits on address space, overcommit)")
		}
		return enough
	case left == 1:
		d.log.Info().Msg("the system gives all memory that the limit allows again")
	}
	return max(0, left-1)
}

// bounded is a grid whose limit cannot be set to what the machine does not have.
type bounded struct {
	grid.Caches
	most uint64 // bytes
}

type boundedAdmin struct {
	grid.Admin
	most uint64
}

// Admin implements grid.Caches.
func (b bounded) Admin(name string, p grid.Principal) (grid.Admin, error) {
	a, err := b.Caches.Admin(name, p)
	if err != nil {
		return nil, err
	}
	return boundedAdmin{a, b.most}, nil
}

// SetLimit implements grid.Admin.
func (a boundedAdmin) SetLimit(bytes uint64) bool { return bytes <= a.most && a.Admin.SetLimit(bytes) }
