package main

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/bradfitz/gomemcache/memcache"
)

// gomemcache is a scenario on Brad Fitzpatrick's client.
func gomemcache(_ *runner, addr string) (n int, err error) {
	c := memcache.New(addr)
	big := bytes.Repeat([]byte("0123456789"), 100000)
	check := func(what string, ok bool) {
		if ok {
			n++
		} else {
			err = errors.Join(err, fmt.Errorf("gomemcache: %s", what))
		}
	}
	check("ping", c.Ping() == nil)
	check("set", c.Set(&memcache.Item{Key: "k", Value: []byte("v"), Flags: 7, Expiration: 60}) == nil)
	it, e := c.Get("k")
	check("get", e == nil && string(it.Value) == "v" && it.Flags == 7)
	_, e = c.Get("absent")
	check("miss", errors.Is(e, memcache.ErrCacheMiss))
	check("add", errors.Is(c.Add(&memcache.Item{Key: "k", Value: []byte("x")}), memcache.ErrNotStored))
	check("replace", errors.Is(c.Replace(&memcache.Item{Key: "absent", Value: []byte("x")}), memcache.ErrNotStored))
	check("append", c.Append(&memcache.Item{Key: "k", Value: []byte("w")}) == nil)
	check("prepend", c.Prepend(&memcache.Item{Key: "k", Value: []byte("u")}) == nil)
	it, e = c.Get("k")
	check("joined", e == nil && string(it.Value) == "uvw")
	it.Value = []byte("cas")
	check("cas", c.CompareAndSwap(it) == nil)
	it.CasID--
	check("cas conflict", errors.Is(c.CompareAndSwap(it), memcache.ErrCASConflict))
	check("set number", c.Set(&memcache.Item{Key: "n", Value: []byte("9")}) == nil)
	v, e := c.Increment("n", 2)
	check("incr", e == nil && v == 11)
	v, e = c.Decrement("n", 20)
	check("decr", e == nil && v == 0)
	check("touch", c.Touch("n", 100) == nil)
	check("delete", c.Delete("n") == nil)
	check("delete absent", errors.Is(c.Delete("n"), memcache.ErrCacheMiss))
	var keys []string
	for i := range 50 {
		keys = append(keys, fmt.Sprintf("multi%d", i))
		check("set multi", c.Set(&memcache.Item{Key: keys[i], Value: []byte(keys[i])}) == nil)
	}
	m, e := c.GetMulti(append(keys, "absent"))
	check("multi", e == nil && len(m) == 50 && string(m["multi49"].Value) == "multi49")
	check("set big", c.Set(&memcache.Item{Key: "big", Value: big}) == nil)
	it, e = c.Get("big")
	check("get big", e == nil && bytes.Equal(it.Value, big))
	check("too large", c.Set(&memcache.Item{Key: "big", Value: append(big, big...)}) != nil)
	_, e = c.Get("big")
	check("old value gone", errors.Is(e, memcache.ErrCacheMiss))
	check("flush", c.FlushAll() == nil)
	_, e = c.Get("k")
	check("flushed", errors.Is(e, memcache.ErrCacheMiss))
	return n, err
}
