//go:build unix && !linux

package evloop

import "github.com/latticed/latticed/router"

// watcher is only written for Linux. Elsewhere a connection whose client does not read moves to a goroutine at once.
type watcher struct{}

func newWatcher(*router.Hub) (*watcher, error) { return nil, nil }

func (*watcher) watch(*conn) bool { return false }
func (*watcher) forget(*conn)     {}
func (*watcher) close()           {}
