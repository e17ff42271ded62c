package main

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/trace"
)

type why struct {
	live
	quiet   bool
	noCalls bool
	stacks  bool
}

func newWhy() *cobra.Command {
	w := &why{live: live{every: true, joins: true}}
	cmd := &cobra.Command{
		Use:   "why [flags]",
		Short: "Say what is wrong, whose it is, why, and what to do",
		Long: `Says what is wrong with the connections of this host: a line for each finding as it
arises, and at the end all of them, the worst first:

  CRITICAL  connections fail, or soon will
  WARNING   somebody should act
  INFO      worth knowing; shown at the end only, and in short

  what      what is seen, in figures
  why       the cause
  other end the process at the other end, where that is on this host too
  done by   the process that did it, where that is neither
  evidence  the figures behind it, and the sysctls in force; of sockets that a process
            holds the descriptors
  stack     with --stacks, where in its code the process opened or accepted them
  do        what to do about it
  cost      what that costs
  more      the command that shows more
  conns     the first few connections, as "ss -e" prints them behind sk:

There is one finding for each cause. Where all is well, it says so. Some need time: a
leak in CLOSE_WAIT shows after 5s, so let it run for 30s or more.

docs/findings.md explains each rule.

With -o json, a record of type "finding" as it arises, again when its figures have
changed by half or its severity has, and at the end with final: true; of all with the
same id the last one stands.`,
		Example: `  tcptrace why --duration 1m                what is wrong with this host
  tcptrace why --stacks --pid 4242          which code leaks its sockets
  tcptrace why --comm nginx                 with one service; until Ctrl-C
  tcptrace why -o json --duration 1m | jq -c 'select(.final) | [.severity, .rule, .summary]'`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return w.run(cmd) },
	}
	own := newFlagSet()
	own.BoolVar(&w.quiet, "quiet", false, "no lines as findings arise: only the list at the end")
	own.BoolVar(&w.noCalls, "no-failed-calls", false,
		"do not watch accept() and connect() fail: that costs every system call of the host some 50 ns;"+
			" without it fd-exhaustion is not found")
	stacksFlag(own, &w.stacks)
	addFlags(cmd, w.groups(own)...)
	w.complete(cmd)
	return cmd
}

func (w *why) run(cmd *cobra.Command) error {
	facts, err := newDiagnosis(&w.live, w.stacks)
	if err != nil {
		return err
	}
	defer facts.close()
	w.probe.Errors = !w.noCalls
	summary, err := w.live.run(cmd, func(out io.Writer, clock event.Clock) trace.Sink {
		return newWhySink(&w.live, w.quiet, out, clock, facts)
	})
	if err != nil {
		return err
	}
	conclude(cmd.ErrOrStderr(), summary)
	return nil
}
