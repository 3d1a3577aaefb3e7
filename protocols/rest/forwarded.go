package rest

import (
	"bytes"
	"net/netip"
)

// forwarded is what trusted proxies say about who asks, how, and for what host. What they do not say is empty.
type forwarded struct {
	remote      netip.Addr
	proto, host []byte
}

const forwardBits = 1<<fForwarded | 1<<fForwardedFor | 1<<fForwardedHost | 1<<fForwardedProto

// heed takes what the request's fields say about its way here, if the client is a proxy that is trusted. Of a chain of
// proxies each is asked about the one before it, as long as that is trusted too: what is in front of these, anybody may have
// written.
func (x *Exchange) heed() {
	env := x.peer.Env
	if x.has&forwardBits == 0 || !env.Trusts(env.Remote.Addr()) {
		return
	}
	f := &x.from
	list, given := x.field(fForwarded)
	if !given {
		list, _ = x.field(fForwardedFor)
		proto, _ := x.field(fForwardedProto)
		host, _ := x.field(fForwardedHost)
		_, f.proto = cutLast(proto, ',')
		_, f.host = cutLast(host, ',')
	}
	for len(list) > 0 {
		var hop []byte
		list, hop = cutLast(list, ',')
		node := hop
		if given {
			node, f.proto, f.host = pairs(hop)
		}
		addr := nodeAddr(node)
		if !addr.IsValid() {
			return // hidden or unknown
		}
		if f.remote = addr; !env.Trusts(addr) {
			return
		}
	}
}

// pairs takes a hop of a Forwarded field apart (RFC 7239).
func pairs(hop []byte) (node, proto, host []byte) {
	for len(hop) > 0 {
		var pair []byte
		hop, pair = cutLast(hop, ';')
		name, value, _ := bytes.Cut(pair, []byte("="))
		if n := len(value); n > 1 && value[0] == '"' && value[n-1] == '"' {
			value = value[1 : n-1]
		}
		switch {
		case equalFold(name, "for"):
			node = value
		case equalFold(name, "proto"):
			proto = value
		case equalFold(name, "host"):
			host = value
		}
	}
	return node, proto, host
}

// cutLast takes the last element off a list, whose elements may have quoted strings in them.
func cutLast(list []byte, separator byte) (rest, last []byte) {
	quoted := false
	for i := len(list) - 1; i >= 0; i-- {
		switch {
		case list[i] == '"':
			quoted = !quoted
		case list[i] == separator && !quoted:
			return list[:i], bytes.TrimSpace(list[i+1:])
		}
	}
	return nil, bytes.TrimSpace(list)
}

// nodeAddr reads an address with or without a port, of version 6 with or without brackets. Invalid: it is none.
func nodeAddr(node []byte) netip.Addr {
	s := string(node)
	if a, err := netip.ParseAddr(s); err == nil {
		return a.Unmap()
	}
	if len(s) > 1 && s[0] == '[' && s[len(s)-1] == ']' {
		s += ":0"
	}
	p, err := netip.ParseAddrPort(s)
	if err != nil {
		return netip.Addr{}
	}
	return p.Addr().Unmap()
}
