package memcached

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// maxPrefixes bounds `stats detail`: keys of further prefixes are not counted.
const maxPrefixes = 10000

// prefixes is what `stats detail` collects: commands by what stands before the first colon of their keys. It is off
// until a client turns it on, and then costs a lock a key.
type prefixes struct {
	mu sync.Mutex
	m  map[string]*prefixCounts
}

type prefixCounts struct{ get, hit, set, del uint64 }

func (p *prefixes) reset() {
	p.mu.Lock()
	p.m = nil
	p.mu.Unlock()
}

// record counts one answered request. Meta commands are not counted.
func (p *prefixes) record(r *req, hit bool) {
	if r.verb >= vMetaGet {
		return
	}
	i := bytes.IndexByte(r.key, ':')
	if i <= 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.m[string(r.key[:i])]
	if c == nil {
		if len(p.m) >= maxPrefixes {
			return
		}
		if p.m == nil {
			p.m = make(map[string]*prefixCounts)
		}
		c = &prefixCounts{}
		p.m[string(r.key[:i])] = c
	}
	switch r.verb {
	case vGet, vGets, vGat, vGats:
		c.get++
		if hit {
			c.hit++
		}
	case vSet, vAdd, vReplace, vAppend, vPrepend, vCas:
		c.set++
	case vDelete:
		c.del++
	}
}

func (p *prefixes) dump() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	names := make([]string, 0, len(p.m))
	for name := range p.m {
		names = append(names, name)
	}
	slices.Sort(names)
	var b strings.Builder
	for _, name := range names {
		c := p.m[name]
		fmt.Fprintf(&b, "PREFIX %s get %d hit %d set %d del %d\r\n", name, c.get, c.hit, c.set, c.del)
	}
	b.WriteString("END\r\n")
	return b.String()
}
