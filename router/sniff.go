package router

import (
	"crypto/tls"

	"github.com/latticed/latticed/protocols"
	"github.com/latticed/latticed/router/secure"
)

// UnknownProtocol is what a client gets whose first bytes nobody recognises.
const UnknownProtocol = "ERROR unknown protocol: this port speaks memcached and HTTP\r\n"

// TLSOnly is what a client gets that speaks clear text where that is not allowed.
const TLSOnly = "ERROR this port speaks TLS only\r\n"

// open returns the session a connection begins with: its protocol's where there is no choice, else one that decides.
func open(l *Listener, c *Conn) protocols.Session {
	if c.behind {
		return &proxied{l: l, c: c}
	}
	return begin(l, c)
}

// begin returns the session for a connection's own first bytes, which may be a TLS handshake.
func begin(l *Listener, c *Conn) protocols.Session {
	if l.TLS != nil {
		return &encrypted{l: l, c: c}
	}
	return choose(l, c)
}

// encrypted waits for the first byte, which tells TLS from everything else.
type encrypted struct {
	l *Listener
	c *Conn
}

// Step implements protocols.Session.
func (s *encrypted) Step(t *protocols.Turn) protocols.Progress {
	switch {
	case len(t.In) == 0:
		return protocols.Progress{Need: 1}
	case t.In[0] == secure.RecordHandshake:
		s.c.Await(FirstBytes, t.Now.Wall) // a handshake has as long as first bytes that stay ambiguous
		s.c.hub.shakes(s.c)
		return protocols.Progress{Next: protocols.Switch, To: s.l.TLS.Open(s.c, func(state tls.ConnectionState) protocols.Session {
			s.c.Settle(FirstBytes)
			s.c.hub.shook(s.c)
			s.c.Env.TLS = true
			s.c.secured(&state)
			if p := s.l.ALPN[state.NegotiatedProtocol]; p != nil {
				return p.Open(&s.c.Env)
			}
			return choose(s.l, s.c)
		})}
	case s.l.TLSOnly:
		s.c.hub.Unrecognised.Add(1)
		t.Out = append(t.Out, TLSOnly...)
		return protocols.Progress{Used: len(t.In), Next: protocols.Close}
	}
	return protocols.Progress{Next: protocols.Switch, To: choose(s.l, s.c)}
}

// Close implements protocols.Session.
func (s *encrypted) Close() {}

// choose returns the session for clear text.
func choose(l *Listener, c *Conn) protocols.Session {
	if len(l.Protocols) == 1 {
		return l.Protocols[0].Open(&c.Env)
	}
	return &sniffer{l: l, c: c}
}

// sniffer waits for the first bytes and switches to the protocol that recognises them.
type sniffer struct {
	l *Listener
	c *Conn
}

// Step implements protocols.Session.
func (s *sniffer) Step(t *protocols.Turn) protocols.Progress {
	if len(t.In) == 0 {
		return protocols.Progress{Need: 1}
	}
	prefix := t.In[:min(len(t.In), protocols.SniffMax)]
	maybe := false
	for _, p := range s.l.Protocols {
		switch p.Sniff(prefix) {
		case protocols.Yes:
			s.c.Settle(FirstBytes)
			return protocols.Progress{Next: protocols.Switch, To: p.Open(&s.c.Env)}
		case protocols.Maybe:
			maybe = true
		}
	}
	if maybe && len(t.In) < protocols.SniffMax && !t.EOF {
		s.c.Await(FirstBytes, t.Now.Wall)
		return protocols.Progress{Need: len(t.In) + 1}
	}
	s.c.hub.Unrecognised.Add(1)
	t.Out = append(t.Out, UnknownProtocol...)
	return protocols.Progress{Used: len(t.In), Next: protocols.Close}
}

// Close implements protocols.Session.
func (s *sniffer) Close() {}
