package conf

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// units of sizes, the larger ones first. As everywhere, MiB is 1024 KiB and MB is 1000 kB; a bare letter means the
// power of two, as it does to memcached.
var units = []struct {
	name  string
	bytes uint64
}{
	{"TiB", 1 << 40}, {"TB", 1e12}, {"T", 1 << 40},
	{"GiB", 1 << 30}, {"GB", 1e9}, {"G", 1 << 30},
	{"MiB", 1 << 20}, {"MB", 1e6}, {"M", 1 << 20},
	{"KiB", 1 << 10}, {"KB", 1e3}, {"K", 1 << 10},
	{"B", 1},
}

// ParseSize reads a number of bytes: 64MB, 64MiB, 1.5g, 4096.
func ParseSize(s string) (uint64, error) {
	number, factor := s, uint64(1)
	for _, u := range units {
		if n := len(s) - len(u.name); n > 0 && strings.EqualFold(s[n:], u.name) {
			number, factor = strings.TrimSpace(s[:n]), u.bytes
			break
		}
	}
	bad := fmt.Errorf("want a size such as 64MB, 64MiB or 2g, got %q", s)
	if n, err := strconv.ParseUint(number, 10, 64); err == nil {
		if n > math.MaxInt64/factor {
			return 0, fmt.Errorf("%s is more than any machine has", s)
		}
		return n * factor, nil
	}
	if strings.Trim(number, "0123456789.") != "" || factor == 1 {
		return 0, bad
	}
	f, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return 0, bad
	}
	if f *= float64(factor); f >= math.MaxInt64 {
		return 0, fmt.Errorf("%s is more than any machine has", s)
	}
	return uint64(f), nil
}

// FormatSize writes n so that ParseSize gives n again.
func FormatSize(n uint64) string {
	for _, u := range units {
		if n != 0 && len(u.name) > 1 && n%u.bytes == 0 {
			return strconv.FormatUint(n/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatUint(n, 10)
}
