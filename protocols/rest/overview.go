package rest

import (
	"maps"
	"math"
	"slices"
	"strings"
)

// maxClients bounds how many kinds of clients, and how many versions of protocols, an overview names.
const maxClients = 64

// overview answers with what the server is used for: how large its caches are, roughly, what of them is made use of, who its
// clients are. It looks at all connections.
func (x *Exchange) overview() {
	config := x.s.opt.Config()
	o := object(x.out[:0])
	o.open()
	o.text("version", "1.0.0") // of what such an overview has
	o.text("product-version", "latticed "+x.s.opt.Host().Version)
	o.null("node-id")
	o.null("coordinator-id")
	o.int("cluster-size", 1)
	o.int("sites", 0)
	o.bool("relay-node", false)
	var sizes []string
	features, encodings := map[string]int{}, map[string]bool{}
	for _, name := range x.s.opt.Catalog.Names() {
		c, _ := x.s.opt.Catalog.Find(name)
		if c.Name != name { // removed meanwhile
			continue
		}
		s := x.statsOf(name)
		sizes = append(sizes, magnitude(s.Entries))
		features[featuresOf(&c)]++
		key, value := c.Config.MediaTypes()
		for _, e := range []string{key, value} {
			if e != "" {
				encodings[e] = true
			}
		}
	}
	o.list("cache-cardinalities", sizes)
	o.name("cache-features")
	o.open()
	for _, f := range slices.Sorted(maps.Keys(features)) {
		o.int(f, int64(features[f]))
	}
	o.end()
	o.list("cache-stores", nil)
	o.int("proto-schemas", 0)
	o.list("used-encodings", slices.Sorted(maps.Keys(encodings)))
	versions, clients := x.kinds()
	o.name("clients")
	o.open()
	o.name("SinglePort")
	o.open()
	o.list("protocol-versions", versions)
	o.list("client-library-names", clients)
	o.end()
	o.end()
	o.name("security")
	o.open()
	o.name("security-realms")
	o.open()
	var encrypted []string
	realms := map[string]bool{}
	for _, e := range config.Realms() {
		if encrypted = append(encrypted, "endpoint-"+e.Endpoint+"-"+e.Realm); realms[e.Realm] {
			continue
		}
		realms[e.Realm] = true
		o.name(e.Realm)
		o.open()
		o.text("tls", "SERVER")
		o.end()
	}
	o.end()
	o.list("tls-endpoints", encrypted)
	o.end()
	o.end()
	x.out = o
	x.json()
}

// magnitude is how large a number is, roughly: K for less than thousand, M for less than a million, and so on.
func magnitude(n uint64) string {
	k := int(math.Log10(float64(n)+1) / 3)
	return "KMGTPEZ"[k : k+1]
}

// featuresOf is what is made use of in a cache.
func featuresOf(c *Cache) string {
	var list []string
	if c.Config.Bool("simple-cache") {
		list = append(list, "simpleCache")
	}
	if c.Config.Int("memory.max-count") > 0 || c.Config.Int("memory.max-size") > 0 {
		list = append(list, "bounded")
	}
	if len(list) == 0 {
		return "no-features"
	}
	return strings.Join(list, "+")
}

// kinds returns which protocols and clients there are, as many as are told.
func (x *Exchange) kinds() (versions, clients []string) {
	list := x.s.opt.Connections
	v, c := map[string]bool{}, map[string]bool{}
	note := func(set map[string]bool, word string) {
		if word != "" && len(set) < maxClients {
			set[word] = true
		}
	}
	var ids []uint64
	for part, more := 0, true; more; part++ {
		ids, more = list.IDs(part, ids[:0])
		for _, id := range ids {
			if one, there := list.Find(id); there {
				note(v, one.Protocol)
				note(c, one.Client)
			}
		}
	}
	return slices.Sorted(maps.Keys(v)), slices.Sorted(maps.Keys(c))
}
