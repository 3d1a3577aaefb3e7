package memcached

// Ops is what clients of this protocol did, for statistics that several protocols share. Stores are the cache's to
// count.
type Ops struct{ Hits, Misses, RemoveHits, RemoveMisses uint64 }

// Ops sums over all loops; the figures go on growing.
func (p *Protocol) Ops() Ops {
	return Ops{
		Hits: p.inClasses(getHits) + p.inClasses(touchHits), Misses: p.total(getMisses) + p.total(touchMisses),
		RemoveHits: p.inClasses(deleteHits), RemoveMisses: p.total(deleteMisses),
	}
}
