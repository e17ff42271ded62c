package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/tcptrace/tcptrace/internal/diagnose"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/filter"
	"github.com/tcptrace/tcptrace/internal/probe"
	"github.com/tcptrace/tcptrace/internal/screen"
	"github.com/tcptrace/tcptrace/internal/sysctl"
	"github.com/tcptrace/tcptrace/internal/trace"
)

// A watchView holds the flags of the screen alone.
type watchView struct {
	view        string
	sort        string
	reverse     bool
	failedCalls bool
}

func (w *watchView) flags(fs *pflag.FlagSet) {
	fs.Var(word{&w.view, screen.Tabs()}, "view", "on a terminal, begin with this `VIEW`: "+strings.Join(screen.Tabs(), ", "))
	fs.Var(word{&w.sort, screen.SortNames()}, "sort", "on a terminal, the `ORDER` of that view's rows; the key s goes through them")
	fs.BoolVar(&w.reverse, "reverse", false, "on a terminal, that order reversed")
	fs.BoolVar(&w.failedCalls, "failed-calls", false,
		"on a terminal, also see accept() and connect() fail, which fd-exhaustion is found by; that costs every system"+
			" call of the host some 50 ns")
}

// usesScreen reports whether the terminal is to be filled: there is one, it can
// show more than lines, and keys come from it.
func (w *watch) usesScreen(out io.Writer) bool {
	if w.plain || len(w.from) > 0 || w.format != "text" || !screen.Fits() {
		return false
	}
	return isTerminal(out) && term.IsTerminal(int(os.Stdin.Fd()))
}

// start returns the tab, the order and the filter to begin with. --kind and
// --state say what is looked at here, not what is traced.
func (w *watch) start() (tab screen.Tab, selection *screen.Selection, err error) {
	switch {
	case w.view != "":
		tab, err = screen.ParseTab(w.view)
	case slices.Contains(w.filter.Kinds, filter.KindFinding):
		tab = screen.Findings
	case slices.Contains(w.filter.Kinds, filter.KindReset):
		tab = screen.Resets
	case slices.Contains(w.filter.Kinds, filter.KindRetransmit):
		tab = screen.Retransmits
	case len(w.filter.Kinds) > 0 || len(w.filter.States) > 0:
		tab = screen.Connections
	}
	if err == nil {
		if bad := screen.CheckSort(tab, w.sort); bad != nil {
			err = usagef("%v", bad)
		}
	}
	if len(w.filter.States) > 0 {
		var names []string
		for _, s := range w.filter.States {
			names = append(names, s.String())
		}
		selection = &screen.Selection{
			Text: "--state " + strings.Join(names, ","), Filter: filter.Filter{States: w.filter.States},
		}
	}
	w.filter.Kinds, w.filter.States = nil, nil
	return tab, selection, err
}

// runScreen is run where the terminal is filled.
func (w *watch) runScreen(cmd *cobra.Command) error {
	tab, selection, err := w.start()
	if err != nil {
		return err
	}
	w.every, w.prompt = true, true
	w.probe.Errors = w.failedCalls
	options := screen.Options{Selective: len(selectedArgs(cmd)) > 0}
	if settings, err := sysctl.NewReader(diagnose.Sysctls()); err == nil {
		defer settings.Close()
		options.Settings = settings
	}
	queues := newQueueReader()
	defer queues.close()
	host, _ := os.Hostname()
	view := screen.DisplayOptions{
		Host: host, Kernel: probe.ExamineHost().Kernel, ASCII: !utf8Locale(),
		Selected: selectedArgs(cmd), Args: ownArgs(cmd), ParseFilter: parseScreenFilter,
		Tab: tab, Sort: w.sort, Reverse: w.reverse, Filter: selection,
	}
	var sink *screenSink
	build := func(_ io.Writer, clock event.Clock) trace.Sink {
		view.Clock = clock
		sink = &screenSink{color: w.color, record: screenRecorder{live: &w.live}}
		sink.Screen = screen.New(options, view, screen.Hooks{
			Now: w.now, Cost: sink.cost.look, Listeners: queues.read, Record: sink.record.toggle, Note: sink.record.note,
		})
		return sink
	}
	summary, err := w.live.run(cmd, build)
	if sink != nil && !sink.close() {
		cmd.SetOut(io.Discard) // else these wait for the terminal, too
		if isTerminal(cmd.ErrOrStderr()) {
			cmd.SetErr(io.Discard)
		}
	}
	if errors.Is(err, screen.ErrQuit) {
		err = nil
	}
	if err != nil {
		return err
	}
	if sink != nil {
		sink.record.conclude(cmd.ErrOrStderr())
		fmt.Fprintln(cmd.OutOrStdout(), sink.Command())
	}
	conclude(cmd.ErrOrStderr(), summary)
	return w.audited(cmd)
}

// A screenSink takes over the terminal as soon as it is tracing.
type screenSink struct {
	*screen.Screen
	color   string
	cost    costMeter
	record  screenRecorder
	started bool
}

func (s *screenSink) attach(t *trace.Trace, source *probe.Source) {
	s.Attach(t)
	s.record.source = source
	s.cost.source, s.cost.events = source, func() uint64 { return t.Stats().Events }
}

// Flush starts the screen, or has it made anew.
func (s *screenSink) Flush() error {
	if !s.started {
		s.started = true
		color := s.color == "always" || s.color == "auto" && os.Getenv("NO_COLOR") == ""
		s.Start(context.Background(), screen.Terminal{In: os.Stdin, Out: os.Stdout, Color: color})
	}
	return s.Screen.Flush()
}

// close reports whether the terminal can be written to.
func (s *screenSink) close() bool {
	s.cost.close()
	return !s.started || s.Close()
}

// parseScreenFilter reads the flags that select connections.
func parseScreenFilter(text string) (filter.Filter, error) {
	var f filter.Filter
	fs := selectionFlags(&f)
	labelFlags(fs, &f)
	stateFlag(fs, &f, "")
	fs.Usage = func() {}
	if err := fs.Parse(strings.Fields(text)); err != nil {
		cmd := &cobra.Command{Use: "tcptrace watch"}
		cmd.Flags().AddFlagSet(fs)
		return f, flagError(cmd, err)
	}
	if fs.NArg() > 0 {
		return f, usagef("%q is no flag; write such as --port 443, --comm nginx or --state CLOSE_WAIT", fs.Arg(0))
	}
	return f, nil
}

// ownArgs returns the command line's flags, but for those of the view and of how
// it looks: what a command that is to show the same must have.
func ownArgs(cmd *cobra.Command) []string {
	return changedFlags(cmd, func(name string) bool {
		switch name {
		case "view", "sort", "reverse", "kind", "state":
			return false
		}
		return true
	})
}

// selectedArgs returns those of the command line's flags that select connections.
func selectedArgs(cmd *cobra.Command) []string {
	var none filter.Filter
	selecting := selectionFlags(&none)
	labelFlags(selecting, &none)
	return changedFlags(cmd, func(name string) bool { return selecting.Lookup(name) != nil })
}

// changedFlags returns the flags as they were given, those that are to be kept.
func changedFlags(cmd *cobra.Command, keep func(name string) bool) (kept []string) {
	args := os.Args[1:]
	for i := 0; i < len(args); i++ {
		name, _, inline := strings.Cut(strings.TrimLeft(args[i], "-"), "=")
		if args[i] == name { // no flag: the command itself
			continue
		}
		flag := cmd.Flags().Lookup(name)
		if len(name) == 1 {
			flag = cmd.Flags().ShorthandLookup(name)
		}
		if flag == nil {
			continue
		}
		whole := args[i : i+1]
		if !inline && flag.NoOptDefVal == "" && i+1 < len(args) {
			whole = args[i : i+2]
			i++
		}
		if keep(flag.Name) {
			kept = append(kept, whole...)
		}
	}
	return kept
}
