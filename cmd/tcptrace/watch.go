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
	plain  bool
	stacks bool
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

--kind also shows what is not shown otherwise: drop, packets that the kernel dropped, or
had no room for in a listener's queue; error, connect() and accept() that failed, and the
errors that ended connections; finding, what "tcptrace why" finds, as it arises and all of
it at the end.

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
  tcptrace watch --plain --kind error,drop,finding
  tcptrace watch --net 10.0.0.0/8 -o json --duration 30s > states.jsonl`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return w.run(cmd) },
	}
	own := newFlagSet()
	stateFlag(own, &w.filter, "only transitions into these states: `NAME`,...")
	kindFlag(own, &w.filter)
	own.BoolVar(&w.plain, "plain", false, "one line per event, also on a terminal")
	stacksFlag(own, &w.stacks)
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
	asked := w.filter
	findings := slices.Contains(asked.Kinds, filter.KindFinding)
	filled := w.usesScreen(cmd.OutOrStdout())
	switch {
	case w.stacks && filled:
		return usagef("--stacks is shown in lines alone; add --plain, or use tcptrace why --stacks")
	case w.stacks && !findings:
		return usagef("--stacks belongs to findings; add --kind finding, or use tcptrace why --stacks")
	case filled:
		return w.runScreen(cmd)
	}
	w.probe.Errors = findings || slices.Contains(asked.Kinds, filter.KindError)
	var facts *diagnosis
	if findings {
		var err error
		if facts, err = newDiagnosis(&w.live, w.stacks); err != nil {
			return err
		}
		defer facts.close()
		w.filter.Kinds, w.filter.States, w.every = nil, nil, true
	}
	var texts []*watchSink
	summary, err := w.live.run(cmd, func(out io.Writer, clock event.Clock) trace.Sink {
		shown := func(to lines) trace.Sink {
			if w.format == "json" {
				return &jsonSink{lines: to, clock: clock, open: true}
			}
			text := &watchSink{
				lines:   to,
				Options: render.Options{Color: w.colored(out), Clock: clock},
				ends:    slices.Contains(asked.Kinds, filter.KindConnection),
			}
			if !findings || len(asked.Kinds) > 1 {
				_, _ = text.out.Write(render.AppendWatchHeader(nil))
			}
			texts = append(texts, text)
			return text
		}
		if findings {
			return watchFindings(&w.live, asked, out, clock, facts, shown)
		}
		return shown(newLines(out))
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
