package router

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strconv"

	"github.com/latticed/latticed/protocols"
)

// proxied reads the PROXY protocol header, version 1 or 2, that a trusted load balancer sends before anything else,
// and goes on with the address it names. A trusted sender without a header is closed: without it the daemon would take
// the balancer for the client.
type proxied struct {
	l *Listener
	c *Conn
}

const (
	proxyV1Max = 107
	proxyV2Max = 16 + 4096 // our bound on addresses and TLVs; the format allows 64 KiB
)

var proxyV2Signature = []byte("\r\n\r\n\x00\r\nQUIT\n")

// Step implements protocols.Session.
func (s *proxied) Step(t *protocols.Turn) protocols.Progress {
	addr, used, need := parseProxy(t.In)
	switch {
	case need > 0 && !t.EOF:
		if len(t.In) > 0 {
			s.c.Await(FirstBytes, t.Now.Wall)
		}
		return protocols.Progress{Need: need}
	case used == 0:
		s.c.hub.BadProxy.Add(1)
		return protocols.Progress{Used: len(t.In), Next: protocols.Close}
	}
	s.c.Settle(FirstBytes)
	s.c.mu.Lock()
	if s.c.behind = false; addr.IsValid() {
		s.c.Env.Remote = addr // else it is the sender's own
	}
	s.c.mu.Unlock()
	if !s.c.let() {
		s.c.hub.Refused.Add(1)
		return protocols.Progress{Used: len(t.In), Next: protocols.Close}
	}
	return protocols.Progress{Used: used, Next: protocols.Switch, To: begin(s.l, s.c)}
}

// Close implements protocols.Session.
func (s *proxied) Close() {}

// parseProxy reads a header at the start of in. used 0 and need 0: there is none. addr is invalid where the header
// names none (LOCAL, UNKNOWN, other families).
func parseProxy(in []byte) (addr netip.AddrPort, used, need int) {
	n := min(len(in), len(proxyV2Signature))
	if n > 0 && bytes.Equal(in[:n], proxyV2Signature[:n]) {
		return parseProxyV2(in)
	}
	const v1 = "PROXY "
	if n = min(len(in), len(v1)); string(in[:n]) != v1[:n] {
		return addr, 0, 0
	}
	end := bytes.Index(in[:min(len(in), proxyV1Max)], []byte("\r\n"))
	if end < 0 {
		if len(in) >= proxyV1Max {
			return addr, 0, 0
		}
		return addr, 0, len(in) + 1
	}
	f := bytes.Split(in[:end], []byte{' '})
	if len(f) >= 2 && string(f[1]) == "UNKNOWN" {
		return addr, end + 2, 0
	}
	if len(f) != 6 || string(f[1]) != "TCP4" && string(f[1]) != "TCP6" {
		return addr, 0, 0
	}
	ip, err := netip.ParseAddr(string(f[2]))
	port, err2 := strconv.ParseUint(string(f[4]), 10, 16)
	if err != nil || err2 != nil || ip.Is4() != (string(f[1]) == "TCP4") {
		return addr, 0, 0
	}
	return netip.AddrPortFrom(ip.Unmap(), uint16(port)), end + 2, 0
}

func parseProxyV2(in []byte) (addr netip.AddrPort, used, need int) {
	if len(in) < 16 {
		return addr, 0, len(in) + 1
	}
	total := 16 + int(binary.BigEndian.Uint16(in[14:]))
	command := in[12]
	if command>>4 != 2 || command&15 > 1 || total > proxyV2Max {
		return addr, 0, 0
	}
	if len(in) < total {
		return addr, 0, total
	}
	body := in[16:total]
	if command&15 == 0 {
		return addr, total, 0 // LOCAL: the balancer's own check
	}
	switch in[13] {
	case 0x11:
		if len(body) < 12 {
			return addr, 0, 0
		}
		addr = netip.AddrPortFrom(netip.AddrFrom4([4]byte(body)), binary.BigEndian.Uint16(body[8:]))
	case 0x21:
		if len(body) < 36 {
			return addr, 0, 0
		}
		addr = netip.AddrPortFrom(netip.AddrFrom16([16]byte(body)).Unmap(), binary.BigEndian.Uint16(body[32:]))
	}
	return addr, total, 0
}
