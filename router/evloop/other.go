//go:build !unix

// Package evloop drives connections on event loops where the platform has them; here it runs them on goroutines.
package evloop

import (
	"context"
	"net"

	"github.com/latticed/latticed/router"
	"github.com/latticed/latticed/router/stream"
)

// Server runs connections on goroutines.
type Server struct {
	hub     *router.Hub
	streams *stream.Server
}

// Start returns a server; n is not used.
func Start(hub *router.Hub, n int) (*Server, error) {
	return &Server{hub: hub, streams: stream.NewServer(hub)}, nil
}

// Serve accepts connections from l until its listener is closed.
func (s *Server) Serve(l *router.Listener) error {
	return s.hub.Accept(l, func(c *router.Conn, nc net.Conn) {
		if !s.streams.Serve(c, nc, stream.Rest{}) {
			s.hub.Leave(c)
			_ = nc.Close()
		}
	})
}

// Shutdown closes connections as soon as nothing is in flight on them, or when ctx ends.
func (s *Server) Shutdown(ctx context.Context) error {
	s.streams.Shutdown(ctx)
	return nil
}
