package main

import (
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/filter"
	"github.com/tcptrace/tcptrace/internal/trace"
)

type timelineCommand struct {
	live
	plain  bool
	ascii  bool
	rows   uint64
	window time.Duration
	been   filter.Filter // its States: those that a connection must have been in
	files  timelineFiles
}

func newTimeline() *cobra.Command {
	t := &timelineCommand{rows: defaultRows, live: live{every: true, joins: true}}
	cmd := &cobra.Command{
		Use:   "timeline [flags]",
		Short: "Draw the states of connections against time, grouped by process",
		Long: `Draws a row for each connection, its states against a time axis, grouped by the
process whose they are. On a terminal the last minute is drawn again and again, those
rows first that are stuck; at the end, or if the output is no terminal, all that was
seen is drawn once.

  E─────   the time spent in a state: its letter, a line while it lasts
  C═════   a double line: a state that TCP only passes through (any but ESTABLISHED
           and TIME_WAIT). One in which it stayed 200ms or longer is drawn even where
           it is less than half of a column's time; else a column shows the state
           that has most of it
  *  !     a segment was sent again; a RST was sent or received
  <  >     it began earlier than is drawn or known; it is still open

  LONGEST  in which state it was for longest, TIME_WAIT apart; ">=" where its begin
           was not seen
  LIFE     from the first SYN to the end, or till now
  END      how it ended, as in "tcptrace conns"; or open, and in which state now

The table of a process says for each state how many stays of its connections are over
(COUNT; behind "+" those whose begin was not seen), how long they took, and how
many are in it NOW, with the LONGEST of these and its connection.

With --from of several hosts, the connections that they have in common are drawn once
more, both ends one above the other; docs/hosts.md says how they are found.

With -o json, a line of type "timeline" for each connection that ended, and at the
end for those still open: the fields of "connection", and
  begin_mono_ns  its begin; what follows counts from it
  states         [{state, begin_ns, ns}], or at_least_ns where its begin was not seen
  marks          [{kind: retransmit, at_ns, state, class}] and
                 [{kind: reset, at_ns, state, direction, reason}]
then one of type "timeline_process" for each process: connections, open, roles, and
  states         {STATE: {count, median_ns, p99_ns, max_ns, now, longest_now_ns}}`,
		Example: `  tcptrace timeline --comm nginx
  tcptrace timeline --pid 4711 --duration 1m > leak.txt
  tcptrace timeline --port 5432 --state CLOSE_WAIT      those that have been in it
  tcptrace timeline --duration 30s --html lives.html --perfetto lives.json
  tcptrace timeline -o json | jq -c 'select(.type == "timeline_process") | .states'`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return t.run(cmd) },
	}
	own := newFlagSet()
	stateFlag(own, &t.been, "only those that have been in one of these states: `NAME`,...")
	own.Var(period{to: &t.window, min: time.Millisecond}, "window", "draw the last `TIME` only (while it runs: default 1m)")
	own.Var(number{&t.rows}, "rows", "at the end, draw the `N` rows most worth seeing (default 100)")
	own.BoolVar(&t.plain, "plain", false, "draw once, at the end, also on a terminal")
	own.BoolVar(&t.ascii, "ascii", false, "draw with ASCII characters alone (default where the locale is not UTF-8)")
	t.files.flags(own)
	addFlags(cmd, t.groups(own)...)
	t.complete(cmd)
	completeList(cmd, "state", stateNames()...)
	return cmd
}

func (t *timelineCommand) run(cmd *cobra.Command) error {
	if err := t.files.create(cmd); err != nil {
		return err
	}
	defer t.files.close()
	summary, err := t.live.run(cmd, func(out io.Writer, clock event.Clock) trace.Sink {
		var sink trace.Sink
		if t.format == "json" {
			sink = newTimelineJSON(t, out, clock)
		} else {
			sink = newTimelineSink(t, out, clock)
		}
		return t.files.beside(sink, &t.live, clock, t.been.States)
	})
	if err != nil {
		return err
	}
	if err := t.drawEnds(cmd.OutOrStdout()); err != nil {
		return err
	}
	if err := t.files.commit(cmd.ErrOrStderr(), summary); err != nil {
		return err
	}
	conclude(cmd.ErrOrStderr(), summary)
	return t.audited(cmd)
}
