package bench

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// Sizes is a distribution of sizes in bytes: a table of its quantiles. A key's size and its value's size are functions
// of the key, so that a reply of another size is noticed. The zero Sizes is for a default.
type Sizes struct {
	spec  string
	table []int // one entry, or sizeSteps
}

const sizeSteps = 4096

// Fixed is the distribution that is always n.
func Fixed(n int) Sizes { return Sizes{strconv.Itoa(n), []int{n}} }

// ParseSizes reads "100", "40-4000" (uniform) or "lognormal:MEAN:SIGMA", whose sizes are cut off at 1 and 32 times the
// mean.
func ParseSizes(spec string) (Sizes, error) {
	bad := fmt.Errorf("want a size such as 100, a range 40-4000, or lognormal:MEAN:SIGMA, got %q", spec)
	s := Sizes{spec: spec}
	if rest, ok := strings.CutPrefix(spec, "lognormal:"); ok {
		m, sg, _ := strings.Cut(rest, ":")
		mean, err := strconv.ParseFloat(m, 64)
		sigma, err2 := strconv.ParseFloat(sg, 64)
		if err != nil || err2 != nil || !(mean >= 1 && mean <= maxSize) || !(sigma > 0 && sigma <= 4) {
			return s, bad
		}
		rnd := rand.New(rand.NewPCG(3, 4))
		sum := 0.0
		draws := make([]float64, sizeSteps)
		for i := range draws {
			draws[i] = math.Exp(sigma * rnd.NormFloat64())
			sum += draws[i]
		}
		for _, d := range draws {
			s.table = append(s.table, int(min(max(d*mean*sizeSteps/sum, 1), 32*mean, maxSize)))
		}
		return s, nil
	}
	if lo, hi, ok := strings.Cut(spec, "-"); ok {
		a, err := strconv.Atoi(lo)
		b, err2 := strconv.Atoi(hi)
		if err != nil || err2 != nil || a < 1 || b < a || b > maxSize {
			return s, bad
		}
		for i := range sizeSteps {
			s.table = append(s.table, a+int(float64(i)/sizeSteps*float64(b-a+1)))
		}
		return s, nil
	}
	n, err := strconv.Atoi(spec)
	if err != nil || n < 1 || n > maxSize {
		return s, bad
	}
	return Fixed(n), nil
}

// maxSize bounds all sizes.
const maxSize = 128 << 20

// of returns the size for id; salt makes distributions independent of each other.
func (s *Sizes) of(id, salt uint32) int {
	if len(s.table) == 1 {
		return s.table[0]
	}
	return s.table[(id+salt)*2_654_435_761>>20]
}

func (s *Sizes) max() int { return slices.Max(s.table) }
func (s *Sizes) min() int { return slices.Min(s.table) }

// String implements pflag.Value.
func (s *Sizes) String() string { return s.spec }

// Set implements pflag.Value.
func (s *Sizes) Set(spec string) (err error) {
	*s, err = ParseSizes(spec)
	return err
}

// Type implements pflag.Value.
func (s *Sizes) Type() string { return "sizes" }

// TTLs is a mix of lifespans in seconds; 0 is without end. Every set draws one.
type TTLs struct {
	spec    string
	seconds []int
	below   []uint64 // cumulated shares of 1<<32
}

// ParseTTLs reads "60", or seconds with weights: "0:50,60:30,3600:20".
func ParseTTLs(spec string) (TTLs, error) {
	t := TTLs{spec: spec}
	var weights []float64
	sum := 0.0
	for part := range strings.SplitSeq(spec, ",") {
		s, w, ok := strings.Cut(part, ":")
		if !ok {
			w = "1"
		}
		seconds, err := strconv.Atoi(s)
		weight, err2 := strconv.ParseFloat(w, 64)
		if err != nil || err2 != nil || seconds < 0 || !(weight > 0) || math.IsInf(weight, 0) {
			return t, fmt.Errorf("want seconds such as 60, or seconds with weights such as 0:50,60:50, got %q", spec)
		}
		t.seconds, weights, sum = append(t.seconds, seconds), append(weights, weight), sum+weight
	}
	at := 0.0
	for _, w := range weights {
		at += w
		t.below = append(t.below, uint64(at/sum*(1<<32)))
	}
	t.below[len(t.below)-1] = 1 << 32
	return t, nil
}

func (t *TTLs) pick(rnd *rand.PCG) int {
	switch len(t.seconds) {
	case 0:
		return 0
	case 1:
		return t.seconds[0]
	}
	u := rnd.Uint64() >> 32
	for i, b := range t.below {
		if u < b {
			return t.seconds[i]
		}
	}
	return 0 // not reached: the last bound is above every u
}

// String implements pflag.Value.
func (t *TTLs) String() string { return t.spec }

// Set implements pflag.Value.
func (t *TTLs) Set(spec string) (err error) {
	*t, err = ParseTTLs(spec)
	return err
}

// Type implements pflag.Value.
func (t *TTLs) Type() string { return "ttls" }
