package store

import "math/bits"

// ghost remembers fingerprints of keys that were evicted before anything but their store had used them. A key that is
// stored again while it is remembered has shown that it is worth more than a scan's. Buckets of four fingerprints of 16
// bits, the youngest first; about a byte for every entry of the shard. It is made at the first eviction.
type ghost struct {
	buckets []uint64
}

// remember is given how many entries there are, to keep to its size.
func (g *ghost) remember(hash uint64, entries int) {
	if n := ghostLen(entries); n > len(g.buckets) {
		g.buckets = make([]uint64, n)
	}
	b := g.bucket(hash)
	*b = *b<<16 | fingerprint(hash)
}

func ghostLen(entries int) int { return 1 << max(6, bits.Len(uint(entries/8))) }

// trim forgets everything if so few entries are left that it takes far more room than it needs.
func (g *ghost) trim(entries int) {
	if len(g.buckets) > 4*ghostLen(entries) {
		g.buckets = nil
	}
}

// recall tells whether hash is remembered, and forgets it.
func (g *ghost) recall(hash uint64) bool {
	if len(g.buckets) == 0 {
		return false
	}
	b, f := g.bucket(hash), fingerprint(hash)
	for shift := 0; shift < 64; shift += 16 {
		if *b>>shift&0xffff == f {
			*b &^= 0xffff << shift
			return true
		}
	}
	return false
}

func (g *ghost) bucket(hash uint64) *uint64 {
	return &g.buckets[hash>>16&uint64(len(g.buckets)-1)]
}

// fingerprint is never 0, which is a free place.
func fingerprint(hash uint64) uint64 { return max(1, (hash*0x9e3779b97f4a7c15)>>48) }
