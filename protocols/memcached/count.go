package memcached

import (
	"math/bits"
	"sync/atomic"

	"github.com/latticed/latticed/grid"
)

// counter is one of the figures that the codec counts itself.
type counter uint8

const (
	cmdGet counter = iota
	cmdFlush
	cmdTouch
	cmdMeta
	getMisses
	deleteMisses
	incrMisses
	decrMisses
	casMisses
	touchMisses
	tooLarge
	noMemory
	noLineMemory
	numCounters
)

// classCounter is one that is counted by size class; `stats` shows the sum.
type classCounter uint8

const (
	getHits classCounter = iota
	cmdSet
	deleteHits
	incrHits
	decrHits
	casHits
	casBadval
	touchHits
	numClassCounters
)

// loop is what belongs to a loop: what was counted on it, and the memory of the Step that runs on it. Stream connections
// share a loop's: counters are added to atomically, once a Step, and a Step that finds the memory in use takes new.
type loop struct {
	turn    atomic.Pointer[turn]
	n       [numCounters]atomic.Uint64
	classes [grid.NumClasses][numClassCounters]atomic.Uint64
}

func (p *Protocol) loop(i int) *loop {
	if l := p.loops[i].Load(); l != nil {
		return l
	}
	p.loops[i].CompareAndSwap(nil, &loop{})
	return p.loops[i].Load()
}

// tally counts within one Step.
type tally struct {
	n       [numCounters]uint32
	classes [grid.NumClasses][numClassCounters]uint32
	some    uint64 // classes with something in them
}

func (c *tally) class(k classCounter, class int) {
	c.classes[class][k]++
	c.some |= 1 << class
}

// flush adds to l and starts anew.
func (c *tally) flush(l *loop) {
	for i, n := range c.n {
		if n != 0 {
			l.n[i].Add(uint64(n))
			c.n[i] = 0
		}
	}
	for ; c.some != 0; c.some &= c.some - 1 {
		class := bits.TrailingZeros64(c.some)
		for k, n := range c.classes[class] {
			if n != 0 {
				l.classes[class][k].Add(uint64(n))
				c.classes[class][k] = 0
			}
		}
	}
}

func (p *Protocol) total(c counter) (sum uint64) {
	for i := range p.loops {
		if l := p.loops[i].Load(); l != nil {
			sum += l.n[c].Load()
		}
	}
	return sum
}

func (p *Protocol) inClass(k classCounter, class int) (sum uint64) {
	for i := range p.loops {
		if l := p.loops[i].Load(); l != nil {
			sum += l.classes[class][k].Load()
		}
	}
	return sum
}

func (p *Protocol) inClasses(k classCounter) (sum uint64) {
	for class := range grid.NumClasses {
		sum += p.inClass(k, class)
	}
	return sum
}

func (p *Protocol) resetCounters() {
	for i := range p.loops {
		l := p.loops[i].Load()
		if l == nil {
			continue
		}
		for c := range l.n {
			l.n[c].Store(0)
		}
		for class := range l.classes {
			for k := range l.classes[class] {
				l.classes[class][k].Store(0)
			}
		}
	}
}

// classOf is the size class of the entry that res tells of.
func classOf(r *req, res *grid.Result) int {
	return grid.Class(grid.Charge(int(r.keyLen), int(res.Num), res.Flags))
}
