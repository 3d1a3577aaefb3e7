package bench

import (
	"math"
	"math/bits"
	"math/rand/v2"
)

// zipf draws ranks: 0 is the most frequent, rank k comes (k+1)^-s times as often. With s 0 all are equally frequent. It
// is a value without state; the random numbers are the caller's.
type zipf struct {
	n          uint64
	s          float64
	hx0, hn, c float64
}

func newZipf(n uint64, s float64) zipf {
	z := zipf{n: n, s: s}
	if s > 0 {
		z.hx0 = z.h(1.5) - 1
		z.hn = z.h(float64(n) + 0.5)
		z.c = 2 - z.inv(z.h(2.5)-math.Pow(2, -s))
	}
	return z
}

// h is the integral of x^-s, inv its inverse.
func (z *zipf) h(x float64) float64 {
	if z.s == 1 {
		return math.Log(x)
	}
	return math.Pow(x, 1-z.s) / (1 - z.s)
}

func (z *zipf) inv(y float64) float64 {
	if z.s == 1 {
		return math.Exp(y)
	}
	return math.Pow(y*(1-z.s), 1/(1-z.s))
}

// rank draws by rejection-inversion (Hörmann and Derflinger 1996), which needs no table.
func (z *zipf) rank(rnd *rand.PCG) uint64 {
	if z.s == 0 {
		hi, _ := bits.Mul64(rnd.Uint64(), z.n)
		return hi
	}
	for {
		u := z.hn + float64(rnd.Uint64()>>11)/(1<<53)*(z.hx0-z.hn)
		x := z.inv(u)
		k := math.Min(math.Max(math.Floor(x+0.5), 1), float64(z.n))
		if k-x <= z.c || u >= z.h(k+0.5)-math.Pow(k, -z.s) {
			return uint64(k) - 1
		}
	}
}

// source chooses the keys of one thread's requests.
type source struct {
	zipf
	once, scan uint64 // shares of 1<<32: keys that never come again; keys in their order
	drift      uint64 // draws after which the ranks move; 0: never
	drawn      uint64
	moved      uint64 // by how much they have moved
	nextOnce   uint64
	onceStep   uint64
	nextScan   uint64
}

func newSource(r *run, thread int) source {
	o := &r.o
	s := source{
		zipf: r.zipf,
		once: uint64(o.OneHit * (1 << 32)), scan: uint64((o.OneHit + o.Scan) * (1 << 32)),
		nextOnce: o.firstOnce() + uint64(thread), onceStep: uint64(o.Threads),
		nextScan: uint64(o.Keys) / uint64(o.Threads) * uint64(thread),
	}
	if o.Drift > 0 {
		s.drift = max(1, uint64(o.Drift/o.Threads))
	}
	return s
}

// pick returns a key's id.
func (s *source) pick(rnd *rand.PCG) uint32 {
	if s.scan > 0 {
		u := rnd.Uint64() >> 32
		if u < s.once {
			id := s.nextOnce
			s.nextOnce += s.onceStep
			return uint32(id)
		}
		if u < s.scan {
			s.nextScan = (s.nextScan + 1) % s.n
			return uint32(s.nextScan)
		}
	}
	rank := s.rank(rnd)
	if s.zipf.s == 0 {
		return uint32(rank)
	}
	if s.drift > 0 {
		if s.drawn++; s.drawn%s.drift == 0 {
			s.moved += max(1, s.n/1000)
		}
		rank = (rank + s.moved) % s.n
	}
	return scatter(rank, s.n)
}

// scatter spreads ranks over the ids, so that hot keys are not neighbours.
func scatter(rank, n uint64) uint32 {
	hi, lo := bits.Mul64(rank, 2_654_435_761) // a prime larger than n
	_, rem := bits.Div64(hi%n, lo, n)
	return uint32(rem)
}

// patternSpread is how many different values there are; a prime, so that neighbouring keys differ.
const patternSpread = 4093

// newPattern returns the bytes that values of up to size bytes are cut from. A larger one begins like a smaller one.
func newPattern(size int) []byte {
	rnd := rand.NewPCG(1, 2)
	p := make([]byte, size+patternSpread)
	for i := range p {
		p[i] = 'A' + byte(rnd.Uint64()>>33)%57
	}
	return p
}

// valueAt is where in the pattern the value of key id starts. Values are a function of the key, so that a reply with
// another key's value is noticed.
func valueAt(id uint32) int { return int(uint64(id) * 7919 % patternSpread) }

// putDigits writes the decimal digits of id right-aligned at the end of b, which holds zeros or earlier digits.
func putDigits(b []byte, width int, id uint32) {
	for i := len(b) - 1; width > 0; i, width = i-1, width-1 {
		b[i] = '0' + byte(id%10)
		id /= 10
	}
}
