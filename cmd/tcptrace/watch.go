package main

import (
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/filter"
	"github.com/tcptrace/tcptrace/internal/render"
	"github.com/tcptrace/tcptrace/internal/screen"
	"github.com/tcptrace/tcptrace/internal/trace"
)

type watch struct {
	live
	watchView
	plain bool
}

func newWatch() *cobra.Command {
	w := &watch{}
	cmd := &cobra.Command{
		Use:   "watch [flags]",
		Short: "Show every state transition, retransmit and reset as it happens",
		Long: `On a terminal, shows the host's TCP on a screen that one can leave open: how many
sockets are in each state, now and in the last minute; and in lists on the keys 1 to 7
what is wrong, the connections, processes, remote peers, resets, retransmits and
listeners. Enter looks closer, Esc goes back, / selects by the flags below, ? explains
the keys, q ends it. There, --state says which connections are listed, and --kind reset
or retransmit with which list it begins. docs/watch.md shows it.

Else, or with --plain, shows every state transition, retransmit and reset, one line
each, as it happens:

  TIME     when, in local time
  PROCESS  whose connection it is, name/pid; "-" where that is not known
  ROLE     client (it called connect) or server (a listener made it)
  LOCAL    REMOTE  address and port of either end
  EVENT    OLD -> NEW, and behind a TIME_WAIT's end its cause; "(illegal)" marks a
           transition that TCP does not make: an event is missing; "(corrected)" one
           that was not seen, but found by a look into the kernel's tables. Or a RST
           with the kernel's reason, or a segment sent again and why
  IN OLD   time spent in the old state; ">=" where its begin was not seen;
           then "by name/pid" if another process than the connection's did it

The states are those of netstat:
LISTEN SYN_SENT SYN_RECV ESTABLISHED FIN_WAIT1 FIN_WAIT2 CLOSING TIME_WAIT CLOSE_WAIT
LAST_ACK CLOSE. SYN_RECV begins with the SYN, and TIME_WAIT lasts to its true end.

With --pid or --comm, the lines of a connection wait until its process is known,
which for a server's may be as late as its close().

When everything is attached, a line on standard error begins with "tracing".`,
		Example: `  tcptrace watch                            all of it
  tcptrace watch --view listeners --net 10.0.0.0/8
  tcptrace watch --port 443 --state CLOSE_WAIT
  tcptrace watch --comm nginx --kind reset,retransmit
  tcptrace watch --net 10.0.0.0/8 -o json --duration 30s > states.jsonl`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return w.run(cmd) },
	}
	own := newFlagSet()
	stateFlag(own, &w.filter, "only transitions into these states: `NAME`,...")
	kindFlag(own, &w.filter)
	own.BoolVar(&w.plain, "plain", false, "one line per event, also on a terminal")
	w.watchView.flags(own)
	addFlags(cmd, w.groups(own)...)
	w.complete(cmd)
	completeWords(cmd, "view", screen.Tabs()...)
	completeWords(cmd, "sort", screen.SortNames()...)
	completeList(cmd, "state", stateNames()...)
	completeList(cmd, "kind", kindNames()...)
	return cmd
}

func (w *watch) run(cmd *cobra.Command) error {
	if w.usesScreen(cmd.OutOrStdout()) {
		return w.runScreen(cmd)
	}
	var texts []*watchSink
	summary, err := w.live.run(cmd, func(out io.Writer, clock event.Clock) trace.Sink {
		if w.format == "json" {
			return &jsonSink{lines: newLines(out), clock: clock, open: true}
		}
		text := &watchSink{
			lines:   newLines(out),
			Options: render.Options{Color: w.colored(out), Clock: clock},
			ends:    slices.Contains(w.filter.Kinds, filter.KindConnection),
		}
		_, _ = text.out.Write(render.AppendWatchHeader(nil))
		texts = append(texts, text)
		return text
	})
	if err != nil {
		return err
	}
	stderr := cmd.ErrOrStderr()
	for _, text := range texts {
		text.Color = w.colored(stderr)
		_, _ = stderr.Write(text.AppendOpen(nil, &text.open))
	}
	conclude(stderr, summary)
	return w.audited(cmd)
}
