package store

import (
	"bytes"

	"github.com/latticed/latticed/grid"
)

// A large value that is appended or prepended to is written anew, which may take as long as copying a hundred megabytes does. So
// that is done ahead, while the shard is not locked: of the values that are put together those that are runs do not change, and
// the others are small. If the entry has another value when it is done, it is done again; some times, and then with the shard
// locked, so that it ends.
const (
	copyMost  = 64 << 10 // bytes that are copied with the shard locked
	copyTries = 4
)

// ahead is what was copied ahead.
type ahead struct {
	tries int
	done  bool   // call.spare has the whole result, if the entry's value is still the one that was copied:
	run   uint64 // this run, which has a reference for that; 0 for a small value
	size  int    // its length
}

func (h *ahead) drop(c *cache) {
	if h.run != 0 {
		c.unref(h.run, int64(h.size))
		h.run = 0
	}
}

// prepare tells whether the result, of n bytes, can be entered. False: something is needed before.
func (c *call) prepare(n int) bool {
	h := &c.ahead
	if h.done && c.spareSize == n && c.unchanged() {
		return true
	}
	h.done = false
	if h.tries == copyTries {
		return true
	}
	h.drop(c.c)
	if !c.room(n) {
		return false
	}
	h.tries++
	h.size = c.it.size
	if c.it.bits&inRun != 0 {
		h.run = c.it.run
		c.a.refs(h.run).Add(1)
	} else {
		c.a.fill(c.spare, c.mineAt(), c.mine())
	}
	c.needs.copy = true
	return false
}

// copy does what prepare could not. The shard is not locked.
func (c *call) copy() {
	h, theirs := &c.ahead, 0
	if h.run != 0 {
		c.a.fill(c.spare, c.mineAt(), part{run: h.run})
	}
	if c.op.Kind == grid.Append {
		theirs = h.size
	}
	c.a.fill(c.spare, theirs, c.theirs())
	h.done = true
	if c.a.copied != nil {
		c.a.copied()
	}
}

// mineAt is where the entry's value begins in the result.
func (c *call) mineAt() int {
	if c.op.Kind == grid.Prepend {
		return c.size
	}
	return 0
}

// unchanged tells whether the entry has the value that was copied.
func (c *call) unchanged() bool {
	h := &c.ahead
	if h.run != 0 || c.it.bits&inRun != 0 {
		return c.it.bits&inRun != 0 && c.it.run == h.run // it is the same run: there is a reference to it
	}
	if c.it.size != h.size {
		return false
	}
	copied, at := c.a.start(c.spare), c.mineAt()
	for mine := c.mine().b; len(mine) > 0; {
		p := copied.at(c.a, at)
		n := min(len(p), len(mine))
		if !bytes.Equal(p[:n], mine[:n]) {
			return false
		}
		mine, at = mine[n:], at+n
	}
	return true
}
