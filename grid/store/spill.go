package store

// spill is the entries of an index that find their group full, in a list for each group, so that whoever looks for one, or
// adds a bucket to a group, passes only what is that group's. Groups get entries as evenly as hashes fall, so with the share
// of slots that is taken at most, lists stay short however many entries there are: about one entry of 400 is in a list, and
// none of a million groups has more than 64 (TestSpillIsShort). It lies on Go's heap, at 24 bytes for each of these entries and
// 4 for each group.
type spill struct {
	lists  []uint32  // by the group's first bucket, where its list begins in all; 0 for an empty one
	all    []spilled // all[0] is none
	unused uint32    // a list of those in all that are free
	count  int
}

type spilled struct {
	hash, slot uint64
	next       uint32
}

// first is where the list of a group begins.
func (p *spill) first(group uint32) uint32 {
	if int(group) >= len(p.lists) {
		return 0
	}
	return p.lists[group]
}

func (p *spill) put(group uint32, hash, slot uint64) {
	for int(group) >= len(p.lists) {
		p.lists = append(p.lists, 0)
	}
	n := p.unused
	if n != 0 {
		p.unused = p.all[n].next
	} else {
		if len(p.all) == 0 {
			p.all = append(p.all, spilled{})
		}
		n = uint32(len(p.all))
		p.all = append(p.all, spilled{})
	}
	p.all[n] = spilled{hash, slot, p.lists[group]}
	p.lists[group] = n
	p.count++
}

// cut takes the whole list of a group, which is to be freed one by one.
func (p *spill) cut(group uint32) (list uint32) {
	if list = p.first(group); list != 0 {
		p.lists[group] = 0
	}
	return list
}

// free frees the first of a list that was cut off and returns it and what is behind it.
func (p *spill) free(list uint32) (s spilled, rest uint32) {
	s = p.all[list]
	p.all[list] = spilled{next: p.unused}
	p.unused = list
	p.count--
	if p.count == 0 {
		p.all, p.unused = p.all[:1], 0
	}
	return s, s.next
}

// take removes any entry of a group.
func (p *spill) take(group uint32) (s spilled, ok bool) {
	list := p.first(group)
	if list == 0 {
		return s, false
	}
	s, p.lists[group] = p.free(list)
	return s, true
}

// remove removes the entry of a group that is at off.
func (p *spill) remove(group uint32, off uint64) bool {
	last := uint32(0)
	for n := p.first(group); n != 0; last, n = n, p.all[n].next {
		if p.all[n].slot&offsetMask != off {
			continue
		}
		_, rest := p.free(n)
		if last != 0 {
			p.all[last].next = rest
		} else {
			p.lists[group] = rest
		}
		return true
	}
	return false
}

// each calls f with the slots of all groups.
func (p *spill) each(f func(slot uint64)) {
	for _, s := range p.all {
		if s.slot != 0 {
			f(s.slot)
		}
	}
}
