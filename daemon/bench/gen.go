package bench

import (
	"math"
	"math/bits"
	"math/rand/v2"
)

// gen chooses keys. It is a value without state of its own; the random numbers are the caller's.
type gen struct {
	n          uint64
	zipf       float64
	hx0, hn, s float64
	prime      uint64
}

func newGen(o Options) gen {
	g := gen{n: uint64(o.Keys), zipf: o.Zipf, prime: 2_654_435_761}
	if o.Zipf > 0 {
		g.hx0 = g.h(1.5) - 1
		g.hn = g.h(float64(g.n) + 0.5)
		g.s = 2 - g.inv(g.h(2.5)-math.Pow(2, -g.zipf))
	}
	return g
}

// h is the integral of x^-zipf, inv its inverse.
func (g *gen) h(x float64) float64 {
	if g.zipf == 1 {
		return math.Log(x)
	}
	return math.Pow(x, 1-g.zipf) / (1 - g.zipf)
}

func (g *gen) inv(y float64) float64 {
	if g.zipf == 1 {
		return math.Exp(y)
	}
	return math.Pow(y*(1-g.zipf), 1/(1-g.zipf))
}

// pick returns a key number. Zipf ranks are drawn by rejection-inversion (Hörmann and Derflinger 1996), which needs no
// table, and scattered over the numbers, so that hot keys are not neighbours.
func (g *gen) pick(rnd *rand.PCG) uint32 {
	if g.zipf == 0 {
		hi, _ := bits.Mul64(rnd.Uint64(), g.n)
		return uint32(hi)
	}
	for {
		u := g.hn + float64(rnd.Uint64()>>11)/(1<<53)*(g.hx0-g.hn)
		x := g.inv(u)
		k := math.Min(math.Max(math.Floor(x+0.5), 1), float64(g.n))
		if k-x <= g.s || u >= g.h(k+0.5)-math.Pow(k, -g.zipf) {
			hi, lo := bits.Mul64(uint64(k)-1, g.prime)
			_, rem := bits.Div64(hi%g.n, lo, g.n)
			return uint32(rem)
		}
	}
}

// patternSpread is how many different values there are; a prime, so that neighbouring keys differ.
const patternSpread = 4093

// newPattern returns the bytes that values of up to size bytes are cut from.
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
