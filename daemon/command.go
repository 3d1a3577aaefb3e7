package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/latticed/latticed/conf"
)

// stopTimeout bounds an orderly stop. warmTimeout is what systemd is asked to wait for entries being loaded or saved.
const (
	stopTimeout = 10 * time.Second
	warmTimeout = 10 * time.Minute
)

// Main runs the command line args and returns the process's exit code.
func Main(version string, args []string, out, errOut io.Writer) int {
	root := command(version)
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(errOut)
	helpful(root)
	if err := root.Execute(); err != nil {
		fmt.Fprintln(errOut, "latticed:", strings.ReplaceAll(err.Error(), "\n", "\nlatticed: "))
		return 1
	}
	return 0
}

func command(version string) *cobra.Command {
	m := machine()
	serve := func(cmd *cobra.Command, _ []string) error { return serve(cmd, version) }
	root := &cobra.Command{
		Use:   "latticed",
		Short: "A cache daemon for memcached and HTTP clients, on one port",
		Long: "latticed keeps entries in memory and serves them to memcached and HTTP clients on the same port.\n" +
			"Without a command it serves, and takes the flags of latticed serve.",
		Example: "  latticed                                   serve 127.0.0.1:11222 and 127.0.0.1:11211\n" +
			"  latticed --listen 0.0.0.0:11211 --memory 4GiB\n  latticed --listen unix:/run/latticed.sock\n" +
			"  latticed config show --origin              what is set, and where",
		RunE: serve, SilenceUsage: true, SilenceErrors: true, Version: version,
	}
	addFlags(root, m)
	s := &cobra.Command{
		Use: "serve", Short: "Serve clients (the default)", RunE: serve,
		Long: "serve serves clients until SIGTERM or SIGINT. SIGHUP reads the configuration again.\n" +
			"A flag is stronger than its environment variable, which is given in brackets; that is stronger than the file.",
	}
	addFlags(s, m)
	show := &cobra.Command{
		Use: "show", Short: "Print the configuration as it would be used",
		Long: "show prints the configuration as serve would use it here, as a file that --config takes.",
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
	show.Flags().Bool("origin", false, "tell where each value comes from")
	addFlags(show, m)
	config := &cobra.Command{Use: "config", Short: "Look at the configuration"}
	config.AddCommand(show)
	root.AddCommand(s, config, benchCommand(), sizeCommand(), &cobra.Command{
		Use: "version", Short: "Print the version",
		Run: func(cmd *cobra.Command, _ []string) {
			fmt.Fprintf(cmd.OutOrStdout(), "latticed %s %s %s/%s\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
		},
	})
	return root
}

func addFlags(cmd *cobra.Command, m conf.Machine) {
	f := cmd.Flags()
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
		switch {
		case s.Arg == "FILE":
		case s.Arg == "DIR":
			_ = cmd.MarkFlagDirname(s.Flag)
		default:
			_ = cmd.RegisterFlagCompletionFunc(s.Flag, cobra.FixedCompletions(s.Choices, cobra.ShellCompDirectiveNoFileComp))
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

func serve(cmd *cobra.Command, version string) error {
	m := machine()
	c, err := load(cmd, m)
	if err == nil {
		err = c.Fits(m)
	}
	if err != nil {
		return err
	}
	log, level := logger(c, cmd.ErrOrStderr())
	for _, w := range c.Warnings {
		log.Warn().Msg(w)
	}
	debug.SetMemoryLimit(divide(c.Memory, c.MaxConnections).heap)
	if _, chosen := os.LookupEnv("GOMAXPROCS"); !chosen && runtime.GOMAXPROCS(0) <= c.EventLoops {
		// A busy loop never gives its processor away by itself. Without one more, accepting, the collector and
		// connections on goroutines would wait about 10 ms for each of their turns; and a loop that has nothing to do for
		// a moment would wait as long behind each of those that compute. On a single CPU it is then the kernel that shares
		// it. The price there: the runtime wakes the other thread before it takes the time at the end of a stop of the
		// world, so that what it records as the stop includes that thread's turn, mostly the collector's.
		runtime.GOMAXPROCS(c.EventLoops + 1)
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt, syscall.SIGHUP)
	defer signal.Stop(signals)
	asked := make(chan struct{}, 1)
	ask := func() {
		select {
		case asked <- struct{}{}:
		default: // it was asked for already
		}
	}
	wait := func() { notify(fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", warmTimeout.Microseconds())) }
	if c.WarmRestart != "" {
		wait()
	}
	d, err := Start(Options{Config: c, Machine: m, Version: version, Log: log, Stop: ask, Level: level})
	if err != nil {
		return err
	}
	greet(cmd.OutOrStdout(), d, c, version)
	notify("READY=1")
	debug.FreeOSMemory() // what starting has used of the heap, and of the program
	trim(os.DirFS("/"))
	leave := func(why *zerolog.Event) error {
		why.Msg("stopping")
		notify("STOPPING=1")
		d.logCounters()
		ctx, cancel := hurry(signals)
		defer cancel()
		return d.Leave(ctx, c.WarmRestart, wait)
	}
	for {
		select {
		case err := <-d.failed:
			return errors.Join(err, leave(log.Error().Err(err)))
		case <-asked:
			return leave(log.Info().Str("asked", "by HTTP"))
		case sig := <-signals:
			if sig != syscall.SIGHUP {
				return leave(log.Info().Str("signal", sig.String()))
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
	now := machine()
	m.Memory, m.Group = now.Memory, now.Group // what a control group allows can change
	c, err := load(cmd, m)
	if err == nil {
		err = c.Fits(m)
	}
	if err != nil {
		log.Error().Err(err).Msg("configuration not reloaded; what was in use stays in use. Correct it and send SIGHUP again")
		return old
	}
	for _, w := range c.Warnings {
		log.Warn().Msg(w)
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
	debug.SetMemoryLimit(divide(c.Memory, d.hub.MaxConns).heap)
	log.Info().Msg("configuration reloaded")
	return c
}

// hurry returns what bounds an orderly stop: stopTimeout, or a second signal, which is to end at once. SIGHUP is none: service
// managers send it behind a SIGTERM to tell shells.
func hurry(signals <-chan os.Signal) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	go func() {
		for {
			select {
			case s := <-signals:
				if s != syscall.SIGHUP {
					cancel()
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return ctx, cancel
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
