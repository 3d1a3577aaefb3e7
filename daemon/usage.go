package daemon

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/latticed/latticed/conf"
)

// helpWidth is where help texts are wrapped.
const helpWidth = "110"

// helpful makes every command below root answer mistakes with what was probably meant, and wraps help. root has its outputs.
func helpful(root *cobra.Command) {
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages", ".FlagUsagesWrapped "+helpWidth))
	root.SetFlagErrorFunc(flagError)
	root.InitDefaultCompletionCmd()
	root.SetHelpCommand(&cobra.Command{
		Use: "help [command]", Short: "Help about a command",
		RunE: func(cmd *cobra.Command, args []string) error {
			about, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return unknownCommand(about, args[len(args)-max(1, len(rest))])
			}
			about.InitDefaultHelpFlag()
			return about.Help()
		},
	})
	var each func(*cobra.Command)
	each = func(cmd *cobra.Command) {
		for _, c := range cmd.Commands() {
			each(c)
		}
		if cmd.HasSubCommands() && !cmd.Runnable() {
			cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		}
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) == 0:
				return nil
			case cmd.HasSubCommands():
				return unknownCommand(cmd, args[0])
			}
			return fmt.Errorf("unexpected argument %q; %s takes flags only, see %s --help", args[0], cmd.CommandPath(), cmd.CommandPath())
		}
	}
	each(root)
}

func unknownCommand(parent *cobra.Command, word string) error {
	var names []string
	for _, c := range parent.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	hint := "known here: " + strings.Join(names, ", ")
	if s := conf.Suggest(word, names); s != "" {
		hint = fmt.Sprintf("did you mean %s %s?", parent.CommandPath(), s)
	}
	return fmt.Errorf("unknown command %q; %s", word, hint)
}

// fromMemcached is what the flags are called here that people have from memcached.
var fromMemcached = map[string]string{
	"m": "--memory 64MiB, which is for the whole process", "p": "--listen HOST:PORT", "l": "--listen HOST:PORT", "s": "--listen unix:PATH",
	"a": "unix-mode of a listener in the file", "c": "--max-connections", "t": "--event-loops", "I": "--memcached-max-item-size",
	"Z": "--tls-certificate", "V": "latticed version",
}

// wanted says in words what a flag's type takes.
var wanted = map[string]string{
	"bool": "true or false", "int": "a whole number", "uint64": "a whole number", "intSlice": "whole numbers",
	"float64": "a number", "duration": "a time such as 500ms or 10s",
}

// flagError says what was probably meant.
func flagError(cmd *cobra.Command, err error) error {
	var bad *pflag.InvalidValueError
	if errors.As(err, &bad) {
		want := bad.GetFlag().Value.Type()
		if w, ok := wanted[want]; ok {
			want = w
		}
		return fmt.Errorf("--%s: want %s, got %q", bad.GetFlag().Name, want, bad.GetValue())
	}
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())
	}
	name, hint := unknown.GetSpecifiedName(), ""
	if unknown.GetSpecifiedShortnames() != "" {
		hint = fromMemcached[name]
		name = "-" + name
	} else {
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				names = append(names, f.Name)
			}
		})
		if s := conf.Suggest(name, names); s != "" {
			hint = "--" + s
		}
		name = "--" + name
	}
	if hint == "" {
		return fmt.Errorf("unknown flag %s; see %s --help", name, cmd.CommandPath())
	}
	return fmt.Errorf("unknown flag %s; did you mean %s?", name, hint)
}
