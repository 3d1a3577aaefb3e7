package store

// dirt is a shard's segments by their share of dead bytes, in steps of a twentieth, so that who wants a segment to clean need not
// look at all of them. A segment is in the list of its step, unless that is the first, or it is written to or being emptied.
// The lists go through info.
type dirt [dirtSteps + 1]uint32 // by step, the first segment; 0 for none

const (
	dirtSteps = 20
	cleanFrom = 7 // the step from which a segment is cleaned
	packFrom  = 1 // the same when nothing may be evicted
)

// soil puts seg into the list that it belongs to now.
func (sh *shard) soil(seg uint32) {
	a := sh.c.a
	s := &a.info[seg]
	step := uint8(0)
	if !s.open && seg != sh.walking {
		step = uint8(uint64(s.dead) * dirtSteps >> a.shift)
	}
	if step == s.dirt {
		return
	}
	if s.dirt != 0 {
		if s.prev != 0 {
			a.info[s.prev].next = s.next
		} else {
			sh.dirt[s.dirt] = s.next
		}
		if s.next != 0 {
			a.info[s.next].prev = s.prev
		}
	}
	if s.dirt = step; step != 0 {
		s.prev, s.next = 0, sh.dirt[step]
		if s.next != 0 {
			a.info[s.next].prev = seg
		}
		sh.dirt[step] = seg
	}
}

// dirtiest is a segment of the highest step, if that is at least least; 0 for none.
func (d *dirt) dirtiest(least int) uint32 {
	for step := dirtSteps; step >= least; step-- {
		if d[step] != 0 {
			return d[step]
		}
	}
	return 0
}
