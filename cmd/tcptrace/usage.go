package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tcptrace/tcptrace/internal/suggest"
)

// A usageError says what is wrong with the command line, and what to write
// instead.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...)}
}

// unknownCommand checks that the first argument, if it is no flag, is a command
// of parent. It runs before the flags are looked at: those of a mistyped
// command would be called unknown.
func unknownCommand(parent *cobra.Command, args []string) error {
	if len(args) == 0 || strings.HasPrefix(args[0], "-") || strings.HasPrefix(args[0], cobra.ShellCompRequestCmd) {
		return nil
	}
	names := commandNames(parent)
	if slices.Contains(names, args[0]) {
		return nil
	}
	if meant := suggest.Closest(args[0], names); meant != "" {
		return usagef("unknown command %q; did you mean %q?", args[0], parent.CommandPath()+" "+meant)
	}
	return usagef("unknown command %q; write one of %s", args[0], strings.Join(names, ", "))
}

func commandNames(parent *cobra.Command) (names []string) {
	for _, c := range parent.Commands() {
		names = append(names, c.Name())
	}
	return names
}

// noArguments accepts flags alone. Who gives a bare word means a process or a
// port.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	word := args[0]
	switch {
	case cmd.Flags().Lookup("pid") == nil:
		return usagef("unexpected argument %q; %q takes none", word, cmd.CommandPath())
	case isNumber(word):
		return usagef("unexpected argument %q; write --port %s or --pid %s", word, word, word)
	}
	return usagef("unexpected argument %q; write --comm %s to select by process name", word, word)
}

func isNumber(s string) bool {
	_, err := strconv.ParseUint(s, 10, 64)
	return err == nil
}

// flagError turns what the flag package says into one line of ours.
func flagError(cmd *cobra.Command, err error) error {
	var (
		unknown *pflag.NotExistError
		missing *pflag.ValueRequiredError
		invalid *pflag.InvalidValueError
	)
	switch {
	case errors.As(err, &unknown):
		return unknownFlag(cmd, unknown)
	case errors.As(err, &missing):
		flag := missing.GetFlag()
		placeholder, _ := pflag.UnquoteUsage(flag)
		return usagef("--%s needs a value; write --%s %s", flag.Name, flag.Name, placeholder)
	case errors.As(err, &invalid):
		flag := invalid.GetFlag()
		if flag.Value.Type() == "bool" {
			return usagef("--%s takes no value; write --%s alone", flag.Name, flag.Name)
		}
		return usagef("--%s: %v", flag.Name, invalid.Unwrap())
	}
	return usagef("%v; see %q", err, cmd.CommandPath()+" --help")
}

func unknownFlag(cmd *cobra.Command, err *pflag.NotExistError) error {
	if err.GetSpecifiedShortnames() != "" {
		return usagef("unknown flag -%s; %q lists the flags", err.GetSpecifiedName(), cmd.CommandPath()+" --help")
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	if meant := suggest.Closest(err.GetSpecifiedName(), names); meant != "" {
		return usagef("unknown flag --%s; did you mean --%s?", err.GetSpecifiedName(), meant)
	}
	return usagef("unknown flag --%s; %q lists the flags", err.GetSpecifiedName(), cmd.CommandPath()+" --help")
}
