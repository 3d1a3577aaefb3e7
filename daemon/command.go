package daemon

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/latticed/latticed/conf"
	"github.com/latticed/latticed/router/secure"
)

// stopTimeout bounds an orderly stop.
const stopTimeout = 10 * time.Second

// Main runs the command line args and returns the process's exit code.
func Main(version string, args []string, out, errOut io.Writer) int {
	root := command(version)
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(errOut)
	if err := root.Execute(); err != nil {
		fmt.Fprintln(errOut, "latticed:", strings.ReplaceAll(err.Error(), "\n", "\nlatticed: "))
		return 1
	}
	return 0
}

func command(version string) *cobra.Command {
	m := machine()
	serve := func(cmd *cobra.Command, _ []string) error { return serve(cmd, m, version) }
	root := &cobra.Command{
		Use:   "latticed",
		Short: "A cache daemon for memcached clients, many protocols on one port",
		Long: "latticed keeps data in memory and serves it to memcached clients.\n" +
			"Without a command it serves: see latticed serve --help for its flags.",
		Example: "  latticed                                   serve 127.0.0.1:11222 and 127.0.0.1:11211\n" +
			"  latticed --listen 0.0.0.0:11211 --memory 4GiB\n  latticed --listen unix:/run/latticed.sock\n" +
			"  latticed config show --origin              what is set, and where",
		Args: cobra.NoArgs, RunE: serve, SilenceUsage: true, SilenceErrors: true, Version: version,
	}
	addFlags(root.Flags(), m)
	s := &cobra.Command{Use: "serve", Short: "Serve clients (the default)", Args: cobra.NoArgs, RunE: serve}
	addFlags(s.Flags(), m)
	show := &cobra.Command{
		Use: "show", Short: "Print the configuration as it would be used", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := load(cmd, m)
			if err != nil {
				return err
			}
			origin, err := cmd.Flags().GetBool("origin")
			if err == nil {
				_, err = io.WriteString(cmd.OutOrStdout(), c.YAML(origin))
			}
			return err
		},
	}
	addFlags(show.Flags(), m)
	show.Flags().Bool("origin", false, "tell where each value comes from")
	config := &cobra.Command{Use: "config", Short: "Look at the configuration", Args: cobra.NoArgs}
	config.AddCommand(show)
	root.AddCommand(s, config, benchCommand(), sizeCommand(), &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		Run: func(cmd *cobra.Command, _ []string) {
			fmt.Fprintf(cmd.OutOrStdout(), "latticed %s %s %s/%s\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
		},
	})
	return root
}

func addFlags(f *pflag.FlagSet, m conf.Machine) {
	f.SortFlags = false
	for _, s := range conf.Settings(m) {
		usage := s.Usage
		if s.Default != "" {
			usage += " (default " + s.Default + ")"
		}
		usage += " [" + s.Env + "]"
		if s.Arg == "" {
			f.Bool(s.Flag, false, usage)
		} else {
			f.StringArray(s.Flag, nil, usage)
		}
		if s.Hidden {
			_ = f.MarkHidden(s.Flag) // the flag exists: it was just made
		}
	}
}

// load reads the configuration for cmd.
func load(cmd *cobra.Command, m conf.Machine) (*conf.Config, error) {
	flags := make(map[string][]string)
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if v, ok := f.Value.(pflag.SliceValue); ok {
			flags[f.Name] = v.GetSlice()
		} else {
			flags[f.Name] = []string{f.Value.String()}
		}
	})
	delete(flags, "origin")
	return conf.Load(conf.Sources{Machine: m, Env: os.Environ(), Flags: flags})
}

func serve(cmd *cobra.Command, m conf.Machine, version string) error {
	c, err := load(cmd, m)
	if err != nil {
		return err
	}
	if m.Descriptors > 0 && c.MaxConnections > m.Descriptors-conf.DescriptorReserve/4 {
		return fmt.Errorf("max-connections is %d, but this process may open only %d files; raise the limit (ulimit -n) or lower the number",
			c.MaxConnections, m.Descriptors)
	}
	log, level := logger(c, cmd.ErrOrStderr())
	for _, w := range c.Warnings {
		log.Warn().Msg(w)
	}
	if m.Memory > 0 {
		debug.SetMemoryLimit(int64(max(c.Memory+c.Memory/2+256<<20, m.Memory/10*8)))
	}
	if _, chosen := os.LookupEnv("GOMAXPROCS"); !chosen && runtime.GOMAXPROCS(0) <= c.EventLoops {
		// A busy loop never gives its processor away by itself. Without one more, accepting, the collector and
		// connections on goroutines would wait about 10 ms for each of their turns.
		runtime.GOMAXPROCS(c.EventLoops + 1)
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt, syscall.SIGHUP)
	defer signal.Stop(signals)
	d, err := Start(Options{Config: c, Version: version, Log: log})
	if err != nil {
		return err
	}
	greet(cmd.OutOrStdout(), d, c, version)
	notify("READY=1")
	for {
		select {
		case err := <-d.failed:
			return err
		case sig := <-signals:
			if sig != syscall.SIGHUP {
				log.Info().Str("signal", sig.String()).Msg("stopping")
				notify("STOPPING=1")
				d.logCounters()
				return stop(d, signals)
			}
			notify(fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", monotonicMicros()))
			c = reload(cmd, m, c, d, log, level)
			d.logCounters()
			notify("READY=1")
		}
	}
}

// reload reads the configuration again and applies what can change.
func reload(cmd *cobra.Command, m conf.Machine, old *conf.Config, d *Daemon, log zerolog.Logger, level *level) *conf.Config {
	c, err := load(cmd, m)
	if err != nil {
		log.Error().Err(err).Msg("configuration not reloaded")
		return old
	}
	for _, ch := range conf.Diff(old, c) {
		e, what := log.Info(), "applied"
		if !ch.Live {
			e, what = log.Warn(), "needs a restart"
		}
		e.Str("key", ch.Key).Str("from", ch.From).Str("to", ch.To).Msg("configuration changed: " + what)
	}
	level.set(c.LogLevel)
	d.Reload(c)
	log.Info().Msg("configuration reloaded")
	return c
}

// stop ends d in bounded time; a second signal ends it at once.
func stop(d *Daemon, signals <-chan os.Signal) error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	go func() {
		select {
		case <-signals:
			cancel()
		case <-ctx.Done():
		}
	}()
	if err := d.Stop(ctx); err != nil {
		d.log.Warn().Err(err).Msg("connections were still busy")
	}
	return nil
}

// level is a log writer that drops what is below a level that can change.
type level struct {
	w   io.Writer
	min atomic.Int32
}

func (l *level) set(name string) {
	if v, err := zerolog.ParseLevel(name); err == nil {
		l.min.Store(int32(v))
	}
}

// Write implements io.Writer.
func (l *level) Write(p []byte) (int, error) { return l.w.Write(p) }

// WriteLevel implements zerolog.LevelWriter.
func (l *level) WriteLevel(v zerolog.Level, p []byte) (int, error) {
	if int32(v) < l.min.Load() {
		return len(p), nil
	}
	return l.w.Write(p)
}

func logger(c *conf.Config, w io.Writer) (zerolog.Logger, *level) {
	console := c.LogFormat == "console"
	if f, ok := w.(*os.File); ok && c.LogFormat == "auto" {
		info, err := f.Stat()
		console = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	if console {
		w = zerolog.ConsoleWriter{Out: w, TimeFormat: time.TimeOnly, NoColor: os.Getenv("NO_COLOR") != ""}
	}
	l := &level{w: w}
	l.set(c.LogLevel)
	return zerolog.New(l).With().Timestamp().Logger(), l
}

// greet tells a person what runs and what to try.
func greet(out io.Writer, d *Daemon, c *conf.Config, version string) {
	var b strings.Builder
	fmt.Fprintf(&b, "latticed %s\n", version)
	for _, l := range d.listeners {
		fmt.Fprintf(&b, "  listening on %s%s\n", l.Net.Addr(), encryption(l))
	}
	if d.own.PrivateKey != nil {
		fmt.Fprintf(&b, "  self-signed certificate, for trying out only; its SHA-256 is\n    %s\n", secure.Fingerprint(d.own))
	}
	fmt.Fprintf(&b, "  memory for entries: %s\n", conf.FormatSize(c.Memory))
	if a, ok := d.Addrs()[0].(*net.TCPAddr); ok {
		fmt.Fprintf(&b, "  try: printf 'set greeting 0 0 5\\r\\nhello\\r\\nget greeting\\r\\nquit\\r\\n' | nc %s %d\n", a.IP, a.Port)
	}
	_, _ = io.WriteString(out, b.String())
}

// notify tells systemd about the daemon's state, where systemd asked for it.
func notify(state string) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return
	}
	defer c.Close()
	_, _ = io.WriteString(c, state)
}
