package main

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
)

// gomemcache is a scenario on Brad Fitzpatrick's client.
func gomemcache(_ *runner, addr string) (int, error) {
	t := &tally{}
	scenario(t, addr)
	c := client(addr)
	t.check("flush", c.FlushAll() == nil)
	_, err := c.Get("k")
	t.check("flushed", errors.Is(err, memcache.ErrCacheMiss))
	return t.n, t.err
}

// client returns one that waits longer than the half second it would by itself.
func client(addr string) *memcache.Client {
	c := memcache.New(addr)
	c.Timeout = time.Minute
	return c
}

// tally counts checks that pass and names those that do not.
type tally struct {
	n   int
	err error
}

func (t *tally) check(what string, ok bool) {
	if ok {
		t.n++
	} else {
		t.err = errors.Join(t.err, fmt.Errorf("not ok %s", what))
	}
}

// scenario holds what any memcached server does for gomemcache, and what passes through any proxy.
func scenario(t *tally, addr string) {
	c := client(addr)
	defer c.Close()
	check := t.check
	big := bytes.Repeat([]byte("0123456789"), 100000)
	check("ping", c.Ping() == nil)
	check("set", c.Set(&memcache.Item{Key: "k", Value: []byte("v"), Flags: 7, Expiration: 60}) == nil)
	it, err := c.Get("k")
	check("get", err == nil && string(it.Value) == "v" && it.Flags == 7)
	_, err = c.Get("absent")
	check("miss", errors.Is(err, memcache.ErrCacheMiss))
	check("add", errors.Is(c.Add(&memcache.Item{Key: "k", Value: []byte("x")}), memcache.ErrNotStored))
	check("replace", errors.Is(c.Replace(&memcache.Item{Key: "absent", Value: []byte("x")}), memcache.ErrNotStored))
	check("append", c.Append(&memcache.Item{Key: "k", Value: []byte("w")}) == nil)
	check("prepend", c.Prepend(&memcache.Item{Key: "k", Value: []byte("u")}) == nil)
	it, err = c.Get("k")
	check("joined", err == nil && string(it.Value) == "uvw")
	if it != nil {
		it.Value = []byte("cas")
		check("cas", c.CompareAndSwap(it) == nil)
		it.CasID--
		check("cas conflict", errors.Is(c.CompareAndSwap(it), memcache.ErrCASConflict))
	}
	check("set number", c.Set(&memcache.Item{Key: "n", Value: []byte("9")}) == nil)
	v, err := c.Increment("n", 2)
	check("incr", err == nil && v == 11)
	v, err = c.Decrement("n", 20)
	check("decr", err == nil && v == 0)
	check("touch", c.Touch("n", 100) == nil)
	check("delete", c.Delete("n") == nil)
	check("delete absent", errors.Is(c.Delete("n"), memcache.ErrCacheMiss))
	check("lifetime", c.Set(&memcache.Item{Key: "short", Value: []byte("v"), Expiration: 1}) == nil)
	var keys []string
	for i := range 50 {
		keys = append(keys, fmt.Sprintf("multi%d", i))
		check("set multi", c.Set(&memcache.Item{Key: keys[i], Value: []byte(keys[i])}) == nil)
	}
	m, err := c.GetMulti(append(keys, "absent"))
	check("multi", err == nil && len(m) == 50 && string(m["multi49"].Value) == "multi49")
	check("set big", c.Set(&memcache.Item{Key: "big", Value: big}) == nil)
	it, err = c.Get("big")
	check("get big", err == nil && bytes.Equal(it.Value, big))
	check("too large", c.Set(&memcache.Item{Key: "big", Value: append(big, big...)}) != nil)
	_, err = c.Get("big")
	check("old value gone", errors.Is(err, memcache.ErrCacheMiss))
	time.Sleep(2100 * time.Millisecond)
	_, err = c.Get("short")
	check("expired", errors.Is(err, memcache.ErrCacheMiss))
}
