//go:build linux

// Command tcplab makes real TCP traffic of every kind, in network namespaces
// of its own, and says in JSON what it did: ground truth for a tracer's tests,
// demonstrations and benchmarks.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/tcptrace/tcptrace/internal/lab"
)

func main() {
	lab.Act()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx))
}

// run returns the exit status: 2 for a wrong command line, 1 for what went
// wrong afterwards.
func run(ctx context.Context) int {
	err := root().ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, "tcplab:", err)
	if errors.As(err, new(usageError)) {
		return 2
	}
	return 1
}

// A usageError says what to write instead.
type usageError struct{ error }

func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:           "tcplab",
		Short:         "make real TCP traffic whose truth is known",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w: see %s --help", err, cmd.CommandPath())}
	})
	cmd.AddCommand(listCommand(), runCommand())
	return cmd
}

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("%q is not a command of %s: see %s --help", args[0], cmd.CommandPath(), cmd.CommandPath())}
	}
	return nil
}
