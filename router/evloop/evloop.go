// Package evloop drives connections on gnet's event loops. It is the only package that imports gnet.
//
// Listeners are ours: gnet ends its whole engine when accept runs out of descriptors, so connections are accepted
// with package net and enrolled into loops that have no listener of their own.
package evloop

import (
	"fmt"
	"net"

	"github.com/panjf2000/gnet/v2"
)

// Echo runs event loops that send back what they receive, until Close.
type Echo struct {
	gnet.BuiltinEventEngine
	loops *gnet.Client
}

// NewEcho starts loops event loops.
func NewEcho(loops int) (*Echo, error) {
	e := &Echo{}
	cli, err := gnet.NewClient(e, gnet.WithNumEventLoop(loops))
	if err != nil {
		return nil, fmt.Errorf("router/evloop: create loops: %w", err)
	}
	e.loops = cli
	if err := cli.Start(); err != nil {
		return nil, fmt.Errorf("router/evloop: start loops: %w", err)
	}
	return e, nil
}

// Serve accepts connections from ln until ln is closed, and returns the error of the failing accept.
func (e *Echo) Serve(ln net.Listener) error {
	for {
		c, err := ln.Accept()
		if err != nil {
			return fmt.Errorf("router/evloop: accept: %w", err)
		}
		if _, err := e.loops.Enroll(c); err != nil {
			return fmt.Errorf("router/evloop: enroll: %w", err)
		}
	}
}

// Close closes all connections and ends the loops.
func (e *Echo) Close() error { return e.loops.Stop() }

// OnTraffic implements gnet.EventHandler.
func (e *Echo) OnTraffic(c gnet.Conn) gnet.Action {
	b, err := c.Next(-1)
	if err != nil {
		return gnet.Close
	}
	if _, err := c.Write(b); err != nil {
		return gnet.Close
	}
	return gnet.None
}
