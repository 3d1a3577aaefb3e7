package rest

import (
	"encoding/binary"
	"math/bits"
)

// hash is Infinispan's hash of a value, which its entity tags show: a variant of MurmurHash3 x64 whose multipliers
// change with every block and whose last bytes are sign-extended. Clients that keep an entity tag across a move from
// Infinispan go on finding it valid.
type hash struct {
	h1, h2, c1, c2 uint64
	tail           [16]byte
	size           int
}

const hashSeed = 9001

func newHash() hash {
	return hash{
		h1: 0x9368e53c2f6af274 ^ hashSeed, h2: 0x586dcd208f7cd3fd ^ hashSeed,
		c1: 0x87c37b91114253d5, c2: 0x4cf5ad432745937f,
	}
}

func (h *hash) mix(k1, k2 uint64) {
	k1 *= h.c1
	k1 = bits.RotateLeft64(k1, 23)
	k1 *= h.c2
	h.h1 ^= k1
	h.h1 += h.h2
	h.h2 = bits.RotateLeft64(h.h2, 41)
	k2 *= h.c2
	k2 = bits.RotateLeft64(k2, 23)
	k2 *= h.c1
	h.h2 ^= k2
	h.h2 += h.h1
	h.h1 = h.h1*3 + 0x52dce729
	h.h2 = h.h2*3 + 0x38495ab5
	h.c1 = h.c1*5 + 0x7b7d159c
	h.c2 = h.c2*5 + 0x6bce6396
}

// write adds p to what is hashed; any cut gives the same sum.
func (h *hash) write(p []byte) {
	if n := h.size % 16; n > 0 {
		k := copy(h.tail[n:], p)
		h.size += k
		p = p[k:]
		if n+k < 16 {
			return
		}
		h.mix(binary.LittleEndian.Uint64(h.tail[:]), binary.LittleEndian.Uint64(h.tail[8:]))
	}
	for ; len(p) >= 16; p = p[16:] {
		h.mix(binary.LittleEndian.Uint64(p), binary.LittleEndian.Uint64(p[8:]))
		h.size += 16
	}
	h.size += copy(h.tail[:], p)
}

// sum ends the hash: nothing is written after it.
func (h *hash) sum() int32 {
	if n := h.size % 16; n > 0 {
		var k [2]uint64
		for i, b := range h.tail[:n] {
			k[i/8] ^= uint64(int64(int8(b))) << (8 * (i % 8))
		}
		h.mix(k[0], k[1])
	}
	a, b := h.h1, h.h2
	b ^= uint64(h.size)
	a += b
	b += a
	a, b = finish(a), finish(b)
	return int32((a + b) >> 32)
}

func finish(k uint64) uint64 {
	k ^= k >> 33
	k *= 0xff51afd7ed558ccd
	k ^= k >> 33
	k *= 0xc4ceb9fe1a85ec53
	return k ^ k>>33
}

// etag returns the entity tag of a value.
func etag(p []byte) int32 {
	h := newHash()
	h.write(p)
	return h.sum()
}
