package main

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/filter"
	"github.com/tcptrace/tcptrace/internal/render"
	"github.com/tcptrace/tcptrace/internal/trace"
)

type conns struct {
	live
	open bool
}

func newConns() *cobra.Command {
	c := &conns{}
	cmd := &cobra.Command{
		Use:   "conns [flags]",
		Short: "Show each connection when it has ended, with the time spent in each state",
		Long: `Shows one line for each connection when it has ended, which is after TIME_WAIT:

  CLOSED   when it ended, in local time; "-" if it is still open (--open)
  PROCESS  whose connection it is, name/pid; "-" where that is not known
  ROLE     client (it called connect) or server (a listener made it)
  LOCAL    REMOTE  address and port of either end
  LIFE     from its first SYN to its end; ">=" where its begin was not seen
  END      fin: both sides closed; reset_sent, reset_received: by RST; refused;
           timeout, unreachable: no answer; aborted: killed from outside, as by
           ss -K; and other words, rarely
  STATES   each state that it was in, in order, and for how long; then what is out of
           the ordinary: retransmits, accept_wait if accept() took 10 ms or more
           from the handshake's end, the socket's error, "incomplete" where its
           begin was not seen or an event of it was lost, and the process that closed
           it if that is another; the process's container, and its command line with
           --cmdline`,
		Example: `  tcptrace conns --port 443
  tcptrace conns --comm nginx --open --duration 1m
  tcptrace conns --state SYN_RECV           those that have been in SYN_RECV
  tcptrace conns -o json | jq 'select(.durations.CLOSE_WAIT > 1e9)'`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.run(cmd) },
	}
	own := newFlagSet()
	own.BoolVar(&c.open, "open", false, "at the end, also those that are still open")
	stateFlag(own, &c.filter, "only those that have been in one of these states: `NAME`,...")
	addFlags(cmd, c.groups(own)...)
	c.complete(cmd)
	completeList(cmd, "state", stateNames()...)
	return cmd
}

func (c *conns) run(cmd *cobra.Command) error {
	c.filter.Kinds = []filter.Kind{filter.KindConnection}
	summary, err := c.live.run(cmd, func(out io.Writer, clock event.Clock) trace.Sink {
		if c.format == "json" {
			return &jsonSink{lines: newLines(out), clock: clock, open: c.open}
		}
		s := &connSink{
			lines:   newLines(out),
			Options: render.Options{Color: c.colored(out), Clock: clock},
			open:    c.open,
		}
		_, _ = s.out.Write(render.AppendConnsHeader(nil))
		return s
	})
	if err != nil {
		return err
	}
	conclude(cmd.ErrOrStderr(), summary)
	return c.audited(cmd)
}
