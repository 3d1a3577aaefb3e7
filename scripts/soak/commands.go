package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"strings"
	"time"
)

// fill are the keys that hold 1 KiB at first. The mixed commands change them, but their replies stay of some size.
var fill = func() (list []string) {
	for i := range 100 {
		list = append(list, fmt.Sprintf("fill%d", i))
	}
	return list
}()

// prefill fills the store, so that it is as large as it gets. What a flush took is there again.
func prefill(addr string) error {
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * patience))
	value := strings.Repeat("f", 1024)
	go func() {
		w := bufio.NewWriterSize(conn, 64<<10)
		for i := range 80_000 {
			fmt.Fprintf(w, "set p%d 0 0 1024 noreply\r\n%s\r\n", i, value)
		}
		for _, k := range fill {
			fmt.Fprintf(w, "set %s 0 0 1024 noreply\r\n%s\r\n", k, value)
		}
		fmt.Fprintf(w, "mn\r\n")
		_ = w.Flush()
	}()
	return until(bufio.NewReader(conn), "MN\r\n")
}

// command appends one command, nearly always a right one. The last line of no answer is MN.
func (c *client) command(out []byte) []byte {
	r := c.r
	key := fmt.Sprintf("k%d", r.IntN(2000))
	if r.IntN(4) == 0 {
		key = fill[r.IntN(len(fill))]
	}
	size := r.IntN(200)
	switch r.IntN(200) {
	case 0:
		size = r.IntN(1_000_000)
	case 1, 2, 3, 4, 5, 6:
		size = r.IntN(40_000)
	}
	value := bytes.Repeat([]byte{'a' + byte(r.IntN(26))}, size)
	noreply := ""
	if r.IntN(4) == 0 {
		noreply = " noreply"
	}
	ttl := []int{0, 0, 0, 1, 5, 100, -1}[r.IntN(7)]
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	switch r.IntN(24) {
	case 0, 1, 2, 3:
		out = fmt.Appendf(out, "%s %s %d %d %d%s\r\n%s\r\n", pick("set", "set", "add", "replace", "append", "prepend"), key, r.IntN(1000), ttl, size, noreply, value)
	case 4:
		out = fmt.Appendf(out, "cas %s 0 %d %d %d%s\r\n%s\r\n", key, ttl, size, r.IntN(1_000_000), noreply, value)
	case 5, 6, 7:
		out = fmt.Appendf(out, "%s %s\r\n", pick("get", "gets"), key)
	case 8:
		out = append(out, pick("get", "gets")...)
		for range 1 + r.IntN(100) {
			out = fmt.Appendf(out, " k%d", r.IntN(2000))
		}
		out = append(out, "\r\n"...)
	case 9:
		out = fmt.Appendf(out, "%s %d %s\r\n", pick("gat", "gats"), ttl, key)
	case 10:
		out = fmt.Appendf(out, "touch %s %d%s\r\n", key, ttl, noreply)
	case 11:
		out = fmt.Appendf(out, "%s %s %d%s\r\n", pick("incr", "decr"), key, r.IntN(100), noreply)
	case 12:
		out = fmt.Appendf(out, "delete %s%s\r\n", key, noreply)
	case 13, 14, 15:
		out = fmt.Appendf(out, "mg %s %s\r\n", key, pick("v", "v k q", "s v t c f", "h l t v", "v N30", "E123 v", "v T10", "k"))
	case 16, 17:
		out = fmt.Appendf(out, "ms %s %d %s\r\n%s\r\n", key, size, pick("", "c", "T10", "F5 q", "MA", "MP", "ME", "I C123"), value)
	case 18:
		out = fmt.Appendf(out, "md %s %s\r\n", key, pick("", "q", "I T30", "x", "C99"))
	case 19:
		out = fmt.Appendf(out, "ma %s %s\r\n", key, pick("", "v", "N0 J5 v", "MD D3", "q"))
	case 20:
		out = fmt.Appendf(out, "me %s\r\n", key)
	case 21:
		out = fmt.Appendf(out, "%s\r\n", pick("stats", "stats items", "stats slabs", "stats settings", "stats sizes", "stats conns", "stats reset", "version",
			"verbosity 1", "cache_memlimit 64", "lru_crawler enable", "lru tune 10 25 0.1 2.0", "slabs automove 0", "config get cluster"))
	case 22:
		out = fmt.Appendf(out, "%s\r\n", pick("", "get", "set", "set a", "bogus command", "incr a b", "mg", "ms a", "touch a", "gat x y", "\x00\x01", "stats nothing", "verbosity"))
	case 23:
		switch r.IntN(5000) {
		case 0:
			c.flushes.Add(1)
			out = fmt.Appendf(out, "flush_all%s\r\n", noreply)
		case 1:
			out = append(out, "lru_crawler metadump all\r\n"...)
		case 2:
			out = append(out, "lru_crawler mgdump all\r\n"...)
		default:
			out = fmt.Appendf(out, "get %s\r\n", key)
		}
	}
	return out
}
