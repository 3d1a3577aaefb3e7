package store

import (
	"cmp"
	"math/bits"
	"slices"

	"github.com/latticed/latticed/grid"
)

// A scan goes through the shards and in each through the entries in the order of their position: the bits of the hash
// that choose the group, reversed, then its tag, then the rest. That order is the same however large the index is, since
// a group that splits becomes two that follow each other in it. So the cursor is a shard and the position to go on from.
//
// A grid segment lies in one shard, so only that one is gone through for it. Within a shard, the entries of a grid segment lie
// anywhere: clients know which segment their keys fall into, so if it chose the group, they could choose keys that all fall
// into few groups.
const (
	positionBits = 64 - 8
	scanGroups   = 16 // groups that one Scan looks at
)

func position(hash uint64) uint64 {
	return uint64(bits.Reverse32(uint32(hash>>16)))<<24 | hash&0xffff<<8 | hash>>56
}

// Segments implements grid.Admin.
func (c *cache) Segments() int { return int(c.segments) }

// Scan implements grid.Admin.
func (c *cache) Scan(p *grid.Page, now grid.Time) (more bool) {
	p.Entries, p.Mem = p.Entries[:0], p.Mem[:0]
	return c.visit(p, now.Wall, func(sh *shard, it *item, _ uint64) bool {
		n := len(p.Entries)
		if n == cap(p.Entries) || n > 0 && len(p.Mem)+it.keyLen > cap(p.Mem) {
			return false
		}
		start := len(p.Mem)
		p.Mem = append(p.Mem, sh.key(it)...)
		p.Entries = append(p.Entries, grid.Entry{
			Key: p.Mem[start:len(p.Mem):len(p.Mem)], Flags: it.flags, Attr: it.attr, State: state(it.bits),
			Version: it.version, Expires: it.expires, LastUse: it.lastUse, Size: it.size,
		})
		return true
	}, nil)
}

// Count implements grid.Admin.
func (c *cache) Count(p *grid.Page, now grid.Time) (more bool) {
	return c.visit(p, now.Wall, func(*shard, *item, uint64) bool {
		p.Count++
		return true
	}, nil)
}

// Clear implements grid.Admin.
func (c *cache) Clear(p *grid.Page, now grid.Time, quiet bool) (more bool) {
	return c.visit(p, now.Wall, func(sh *shard, it *item, hash uint64) bool {
		p.Count++
		if e := c.events.Load(); e != nil && !quiet {
			e.tell(sh, grid.Removed, it, sh.key(it))
		}
		sh.remove(hash, it)
		return true
	}, func(sh *shard, it *item, hash uint64, flushed bool) {
		sh.reclaim(hash, it, flushed || quiet)
	})
}

// visitor is what is done with entries that are visited. False: it does not take that one, and wants no other.
type visitor func(sh *shard, it *item, hash uint64) bool

// undertaker is the same for those that are dead.
type undertaker func(sh *shard, it *item, hash uint64, flushed bool)

// visit goes on with the entries that p asks for until use does not take one, or it has looked at enough.
func (c *cache) visit(p *grid.Page, now int64, use visitor, end undertaker) (more bool) {
	c.tick(now)
	n, last := p.Cursor>>positionBits, uint64(len(c.shards)-1)
	if p.Segment != 0 {
		if p.Segment < 0 || uint64(p.Segment) > c.segments {
			return false
		}
		if last = uint64(p.Segment-1) & c.shardMask; n < last {
			n, p.Cursor = last, last<<positionBits
		}
	}
	for look := scanGroups; n <= last; look-- {
		if look == 0 {
			return true
		}
		sh := &c.shards[n]
		sh.mu.Lock()
		sh.at(now)
		next, full, done := sh.scan(p, p.Cursor&(1<<positionBits-1), now, use, end)
		sh.unlock()
		if done {
			n, next = n+1, 0
		}
		p.Cursor = n<<positionBits | next
		if full {
			return true
		}
	}
	return false
}

type found struct{ position, off, hash uint64 }

// scan goes through the group that a position lies in and reports where to go on, whether use did not take an entry, and
// whether that was the last group.
func (sh *shard) scan(p *grid.Page, from uint64, now int64, use visitor, bury undertaker) (next uint64, full, done bool) {
	c, a := sh.c, sh.c.a
	if c.closed.Load() {
		return 0, false, true
	}
	first := bits.Reverse32(uint32(from >> 24))
	g := sh.index.group(uint64(first) << 16)
	level := bits.Len32(g.stride) - 1
	end := uint64(0) // where the group ends; 0: it is the last
	if level > 0 {
		end = (from>>(positionBits-level) + 1) << (positionBits - level) & (1<<positionBits - 1)
	}
	all := sh.found[:0]
	sh.index.each(uint64(first)<<16, func(slot uint64) {
		sh.step(1)
		off := slot & offsetMask
		key := sh.keyAt(off)
		hash := c.hash(key)
		if at := position(hash); at >= from && (p.Segment == 0 || c.segmentOf(hash, key) == uint64(p.Segment-1)) {
			all = append(all, found{at, off, hash})
		}
	})
	sh.found = all
	slices.SortFunc(all, func(x, y found) int { return cmp.Compare(x.position, y.position) })
	for _, f := range all {
		var it item
		a.load(&it, f.off)
		if p.Class != 0 && int(p.Class) != grid.Class(it.charge()) {
			continue
		}
		if dead, flushed := sh.dead(&it, now); dead {
			if bury != nil {
				bury(sh, &it, f.hash, flushed)
			}
			continue
		}
		if !use(sh, &it, f.hash) {
			return f.position, true, false
		}
	}
	return end, false, end == 0
}
