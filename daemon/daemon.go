// Package daemon composes the parts into a running process: configuration, store, protocols, router, and the orderly
// way down. It imports everything of ours; nothing imports it but the binary and tests. Two daemons can run in one
// process.
package daemon

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"github.com/latticed/latticed/conf"
	"github.com/latticed/latticed/conf/infinispan"
	"github.com/latticed/latticed/daemon/admin"
	"github.com/latticed/latticed/daemon/catalog"
	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/grid/store"
	"github.com/latticed/latticed/protocols"
	"github.com/latticed/latticed/protocols/http1"
	"github.com/latticed/latticed/protocols/http2"
	"github.com/latticed/latticed/protocols/memcached"
	"github.com/latticed/latticed/protocols/rest"
	"github.com/latticed/latticed/router"
	"github.com/latticed/latticed/router/evloop"
)

// maxValue bounds one value in the store, in bytes, whatever protocol it comes by.
const maxValue = 128 << 20

// Daemon is a running daemon.
type Daemon struct {
	version string
	log     zerolog.Logger
	clock   *clock
	started int64
	config  atomic.Pointer[conf.Config] // as it was read last
	memory  atomic.Uint64               // what the budget was made of last; Reload's
	store   *store.Store
	catalog *catalog.Catalog
	dataDir *catalog.Dir // nil: none
	warm    io.Closer    // claims the file of entries; nil: there is none
	hub     *router.Hub
	server  *evloop.Server

	listeners []*router.Listener
	addresses []string        // of the listeners, as configured; likewise
	rules     []router.Rules  // their rules
	own       tls.Certificate // self-signed, made when first needed
	accepting sync.WaitGroup
	failed    chan error // an accept that failed for good
	stopping  atomic.Bool
	background
}

// background is the goroutine that sweeps, and how it ends.
type background struct {
	stop chan struct{}
	done sync.WaitGroup
}

// Options are what a daemon is made of.
type Options struct {
	Config  *conf.Config
	Machine conf.Machine // what the configuration was made for; its Memory bounds what cache_memlimit can ask for
	Version string
	Log     zerolog.Logger
	Stop    func()                            // for clients that may end the process: has Daemon.Stop called, and does not wait; nil: there are none
	Level   rest.Log                          // the level of Log, for clients that may change it; nil: there are none
	Grid    func(own grid.Caches) grid.Caches // puts a grid before the node's own; nil: none
}

// Start binds the listeners of the configuration and serves.
func Start(o Options) (_ *Daemon, err error) {
	c, log := o.Config, o.Log
	parts := divide(c.Memory, c.MaxConnections)
	d := &Daemon{version: o.Version, log: log, clock: newClock(), failed: make(chan error, len(c.Listeners))}
	d.memory.Store(c.Memory)
	d.config.Store(c)
	d.started = d.clock.Now().Wall
	d.stop = make(chan struct{})
	defer func() {
		if err != nil {
			d.closeListeners()
			d.Close()
		}
	}()
	s, err := store.New(store.Options{Limit: parts.store, MaxValue: maxValue})
	if err != nil {
		return nil, err
	}
	d.store = s
	if err := d.openCatalog(c); err != nil {
		return nil, err
	}
	thawed := false
	if c.WarmRestart != "" {
		if thawed, err = d.thaw(c.WarmRestart); err != nil {
			return nil, err
		}
	}
	var caches grid.Caches = d.store
	if m := o.Machine.Memory; m > 0 {
		caches = bounded{caches, divide(m, c.MaxConnections).store}
	}
	if o.Grid != nil {
		caches = o.Grid(caches)
	}
	d.hub = router.NewHub(router.Options{
		Caches: d.catalog.Over(caches), Clock: d.clock, MaxConns: c.MaxConnections, MaxBuffers: parts.buffers,
		OnPanic: func(conn uint64, cause any, stack []byte) {
			log.Error().Uint64("conn", conn).Interface("cause", cause).Bytes("stack", stack).Msg("a session failed; its connection was closed")
		},
	})
	if err := d.listen(c); err != nil {
		return nil, err
	}
	options := memcached.Options{MaxItem: int(c.Memcached.MaxItemSize), Host: func() memcached.Host { return d.host(c) }}
	if c.DebugCommands {
		options.MoveClock = func(seconds int64) { d.clock.offset.Add(seconds * 1000) }
	}
	if a, ok := d.listeners[0].Net.Addr().(*net.TCPAddr); ok {
		options.Cluster = fmt.Sprintf("%s|%s|%d", a.IP, a.IP, a.Port)
	}
	seen := &observer{d: d, c: c, mc: memcached.New(options)}
	seen.hostName, _ = os.Hostname()
	seen.service = rest.New(rest.Options{
		Host: seen.host, Stop: o.Stop, Log: o.Level, Catalog: d.catalog, Metrics: admin.NewMetrics(seen.snapshot).Gather,
		Connectors: connectors{d, c.EventLoops}, Connections: connections{d.hub},
		Process: &process{d: d, loops: c.EventLoops}, Config: func() *infinispan.Server { return d.asInfinispan(c) },
		MaxCollect: max(int(parts.buffers/2), 2*int(c.HTTP.MaxContent)),
		MaxContent: int(c.HTTP.MaxContent), AllowedHosts: c.HTTP.AllowedHosts, AllowedOrigins: c.HTTP.AllowedOrigins, CORS: corsRules(c),
	})
	h2 := http2.New(http2.Options{Service: seen.service})
	spoken := []protocols.Protocol{seen.mc, http1.New(http1.Options{Service: seen.service, HTTP2: h2}), h2}
	upgrading := http1.New(http1.Options{Service: seen.service, HTTP2: h2, Upgrades: []protocols.Protocol{seen.mc}})
	for _, p := range spoken {
		if !slices.Contains(seen.names, p.Name()) { // HTTP has two
			seen.names = append(seen.names, p.Name())
		}
	}
	for i, l := range d.listeners {
		l.Protocols = choose(spoken, c.Listeners[i].Protocols)
		if k := slices.Index(l.Protocols, spoken[1]); k >= 0 && slices.Contains(l.Protocols, spoken[0]) {
			l.Protocols[k] = upgrading // HTTP turns into what is spoken here, and nothing else
		}
		if slices.Contains(l.Protocols, protocols.Protocol(h2)) {
			l.ALPN = map[string]protocols.Protocol{alpnHTTP2: h2}
		}
	}
	server, err := evloop.Start(d.hub, c.EventLoops)
	if err != nil {
		return nil, err
	}
	d.server = server
	if thawed { // not before: without a port, say, there is no daemon, and the entries are for one that starts
		if err := forget(c.WarmRestart); err != nil {
			return nil, errors.Join(err, server.Shutdown(context.Background()))
		}
	}
	for _, l := range d.listeners {
		d.accepting.Go(func() {
			if err := server.Serve(l); err != nil {
				d.failed <- err
			}
		})
	}
	d.done.Go(d.sweep)
	return d, nil
}

func corsRules(c *conf.Config) (list []rest.CORS) {
	for _, r := range c.HTTP.CORS {
		list = append(list, rest.CORS{
			Origins: r.Origins, Methods: r.Methods, Headers: r.Headers, Expose: r.Expose, Credentials: r.Credentials, MaxAge: r.MaxAge,
		})
	}
	return list
}

// choose picks protocols by name; no names pick all.
func choose(spoken []protocols.Protocol, names []string) (list []protocols.Protocol) {
	for _, p := range spoken {
		if len(names) == 0 || slices.Contains(names, p.Name()) {
			list = append(list, p)
		}
	}
	return list
}

// listen binds every listener. Port 11211 among the defaults may be taken: then the daemon says so and serves the rest.
func (d *Daemon) listen(c *conf.Config) error {
	byDefault := c.Origin("listeners").Kind == conf.Default
	kept := c.Listeners[:0:0]
	for i := range c.Listeners {
		l := &c.Listeners[i]
		network, address := l.Network()
		if network == "unix" {
			if err := removeStale(address); err != nil {
				return err
			}
		}
		ln, err := net.Listen(network, address)
		if err != nil {
			if byDefault && i > 0 && errors.Is(err, syscall.EADDRINUSE) {
				d.log.Warn().Str("address", address).Msg("address is taken by another process, perhaps a memcached; serving without it. Stop that process, or name the addresses to serve with --listen")
				continue
			}
			return fmt.Errorf("listen on %s: %w; choose another address with --listen", l.Address, plainly(err))
		}
		if network == "unix" {
			if err := os.Chmod(address, l.UnixMode); err != nil {
				return fmt.Errorf("listen on %s: %w", l.Address, err)
			}
		}
		kept = append(kept, *l)
		rl := &router.Listener{
			Net: ln, Trusted: l.ProxyTrusted, Local: isLocal(ln.Addr()), Door: protocols.Door{Trusts: router.Within(l.TrustProxies)},
		}
		rl.SetPolicy(policy(l))
		// Behind a proxy on this machine is the whole world.
		rl.Admin = l.Admin == "open" || l.Admin == "auto" && rl.Local && len(l.ProxyTrusted)+len(l.TrustProxies) == 0
		d.listeners = append(d.listeners, rl)
		d.addresses, d.rules = append(d.addresses, l.Address), append(d.rules, policy(l).Rules)
		if err := d.encrypt(rl, c.TLSOf(l), l.Protocols); err != nil {
			return fmt.Errorf("listen on %s: %w", l.Address, err)
		}
	}
	c.Listeners = kept
	return nil
}

// isLocal tells whether only this machine can connect to a.
func isLocal(a net.Addr) bool {
	t, ok := a.(*net.TCPAddr)
	return !ok || t.IP.IsLoopback()
}

func policy(l *conf.Listener) router.Policy {
	return router.Policy{Rules: router.Ranges(l.Allow, l.Deny), IdleTimeout: l.IdleTimeout}
}

// plainly takes from an error of the network what its caller says anyway: the operation and the address.
func plainly(err error) error {
	if e := (*net.OpError)(nil); errors.As(err, &e) {
		err = e.Err
	}
	if e := (*os.SyscallError)(nil); errors.As(err, &e) {
		err = e.Err
	}
	return err
}

// removeStale removes a socket file that nobody answers on.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != os.ModeSocket {
		return nil // nothing there, or a file that bind will refuse with its own words
	}
	if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
		c.Close()
		return fmt.Errorf("listen on unix:%s: another process answers there", path)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove stale socket: %w", err)
	}
	return nil
}

// Addrs returns where the daemon listens, in the order of the configuration.
func (d *Daemon) Addrs() []net.Addr {
	var list []net.Addr
	for _, l := range d.listeners {
		list = append(list, l.Net.Addr())
	}
	return list
}

// Counters returns what the router counts; they go on counting.
func (d *Daemon) Counters() *router.Counters { return &d.hub.Counters }

// Every sweepEvery, sweepRecords entries are looked at, or more if there are so many that store.SweepRound sweeps would not come
// around; but none where nothing can have expired. So what has expired and nobody reads takes room for a minute at most, usually
// half of one. Ten million entries, some of which expire everywhere, cost a percent of a CPU.
const (
	sweepEvery   = 200 * time.Millisecond
	sweepRecords = 8192
	// What died within this is left to requests, as memcached's counters of them distinguish it from what never was.
	fresh = time.Second

	_ = uint64(time.Minute - store.SweepRound*sweepEvery - fresh) // what running.md says
)

// sweep drops expired entries and connections that have been idle for too long, in small bites.
func (d *Daemon) sweep() {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	off, short := false, 0
	for n := 0; ; n++ {
		select {
		case <-d.stop:
			return
		case <-tick.C:
		}
		off = d.follow(off)
		past := d.clock.Now()
		past.Wall -= fresh.Milliseconds()
		d.store.Sweep(past, sweepRecords)
		short = d.shortage(d.store.Refused(), short)
		if n%5 == 0 {
			d.hub.Sweep()
		}
	}
}

// Reload applies what can change while running.
func (d *Daemon) Reload(c *conf.Config) {
	d.rebudget(c)
	d.config.Store(c)
	taken := make([]bool, len(c.Listeners))
	for i, l := range d.listeners {
		for j := range c.Listeners {
			if !taken[j] && c.Listeners[j].Address == d.addresses[i] {
				taken[j] = true
				d.reloadPolicy(i, policy(&c.Listeners[j]))
				d.reloadTLS(c, l, &c.Listeners[j])
				break
			}
		}
	}
}

// reloadPolicy makes p the policy of a listener. Rules that a client has set stay, unless those of the configuration are others.
func (d *Daemon) reloadPolicy(i int, p router.Policy) {
	same := slices.Equal(d.rules[i], p.Rules)
	d.rules[i] = p.Rules
	d.listeners[i].Change(func(now *router.Policy) {
		if same {
			p.Rules = now.Rules
		}
		*now = p
	})
}

func (d *Daemon) closeListeners() {
	for _, l := range d.listeners {
		_ = l.Net.Close()
	}
}

// graceTimeout is how long connections with something in flight are waited for. Those that are left are cut.
const graceTimeout = 5 * time.Second

// Stop stops accepting, lets what is in flight finish, and ends all goroutines, or gives up when ctx does. What the daemon uses
// on disks is its own until Close.
func (d *Daemon) Stop(ctx context.Context) error {
	d.stopping.Store(true)
	d.closeListeners()
	ended := make(chan error, 1)
	go func() {
		d.accepting.Wait()
		grace, cancel := context.WithTimeout(ctx, graceTimeout)
		defer cancel()
		err := d.server.Shutdown(grace)
		close(d.stop)
		d.done.Wait()
		ended <- err
	}()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return fmt.Errorf("stop: %w", ctx.Err())
	}
}

// host tells the memcached protocol what only the process knows.
func (d *Daemon) host(c *conf.Config) memcached.Host {
	user, system := cpuTime()
	k := &d.hub.Counters
	read, written := d.hub.Bytes()
	h := memcached.Host{
		PID: os.Getpid(), Threads: c.EventLoops, Started: d.started, UserMicros: user, SystemMicros: system,
		MaxConns: uint64(c.MaxConnections), Conns: uint64(k.Conns.Load()), TotalConns: k.Accepted.Load(),
		RejectedConns: k.Rejected.Load(), Yields: k.Yields.Load(), IdleKicks: k.IdleKicks.Load(),
		BytesRead: read, BytesWritten: written, BufferUsed: uint64(max(0, k.Buffered.Load())),
	}
	for i, l := range d.listeners {
		h.List = append(h.List, memcached.HostConn{ID: uint64(i + 1), Addr: address(l.Net.Addr()), State: "conn_listening"})
	}
	now := d.clock.Now().Wall
	d.hub.Each(func(c *router.Conn) {
		row := memcached.HostConn{ID: c.Env.Conn + 64, Addr: "unix", State: "conn_read", Idle: max(0, now-c.Last.Load()) / 1000}
		if remote := c.Remote(); remote.IsValid() {
			row.Addr = "tcp:" + remote.String()
		}
		if c.Local != nil {
			row.Local = address(c.Local)
		}
		h.List = append(h.List, row)
	})
	return h
}

// address writes a as memcached does.
func address(a net.Addr) string {
	if a.Network() == "tcp" && strings.HasPrefix(a.String(), "[") {
		return "tcp6:" + a.String()
	}
	return a.Network() + ":" + a.String()
}
