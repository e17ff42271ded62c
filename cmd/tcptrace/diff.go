package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/tcptrace/tcptrace/internal/compare"
	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/diagnose"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/record"
	"github.com/tcptrace/tcptrace/internal/render"
	"github.com/tcptrace/tcptrace/internal/trace"
)

type diffCommand struct {
	live
	all bool
}

func newDiff() *cobra.Command {
	d := &diffCommand{}
	cmd := &cobra.Command{
		Use:   "diff BEFORE AFTER [flags]",
		Short: "Compare two recordings, process by process: before and after a deploy",
		Long: `Compares two recordings (of "tcptrace record"), for each process name:

  connections, ended by ..., open at the end, been in STATE
  reset: ...     connections that a RST ended, by cause
  retransmits    segments sent again, by class
  failed ...     calls that failed
  finding ...    what "tcptrace why" finds, by rule, with its count
  STATE p50, p99, max   the time of a stay in a state

and shows what is new, gone, or has changed by half or more (--all: everything). Times
that are below 1ms on both sides change by themselves and are left out.

  BEFORE  AFTER  the figures as they are
  CHANGE  after to before; of numbers for the same length of time, so that recordings
          of different lengths can be compared

With -o json a record of type "difference" for each figure: comm, figure, before and
after (or before_ns, after_ns), ratio (absent: it is new), notable.`,
		Example: `  tcptrace diff before.ttr after.ttr
  tcptrace diff before.ttr after.ttr --comm api --all
  tcptrace diff before.ttr after.ttr -o json | jq 'select(.notable)'`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usagef(`which two recordings? write for example "tcptrace diff before.ttr after.ttr"`)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return d.run(cmd, args) },
	}
	which := selectionFlags(&d.filter)
	labelFlags(which, &d.filter)
	out := newFlagSet()
	out.BoolVar(&d.all, "all", false, "also figures that have changed by less than half")
	out.AddFlagSet(d.flags())
	addFlags(cmd,
		flagGroup{"Which connections (a list is comma-separated: any of it; different flags: all of them)", which},
		flagGroup{"What is printed", out})
	d.complete(cmd)
	return cmd
}

func (d *diffCommand) run(cmd *cobra.Command, files []string) error {
	d.every = true
	var sides [2]*compare.Side
	for i, file := range files {
		var err error
		if sides[i], err = d.read(cmd, file); err != nil {
			return err
		}
	}
	all := compare.Diff(sides[0], sides[1])
	if !d.all {
		kept := all[:0]
		for _, x := range all {
			if x.Notable() {
				kept = append(kept, x)
			}
		}
		all = kept
	}
	return d.write(cmd, sides, all)
}

// read takes in one recording.
func (d *diffCommand) read(cmd *cobra.Command, file string) (*compare.Side, error) {
	d.from = []string{file}
	side := compare.NewSide()
	var engine *diagnose.Engine
	summary, err := d.live.run(cmd, func(_ io.Writer, _ event.Clock) trace.Sink {
		engine = diagnose.New(diagnose.Options{Settings: d.playing, Processes: d.playing})
		return &diffSink{Side: side, engine: engine, now: d.now}
	})
	if err != nil {
		return nil, err
	}
	conclude(cmd.ErrOrStderr(), summary)
	side.Findings(engine.Findings())
	side.Lasted = d.playing.Now().Sub(d.playing.Begun()) // whatever was selected of it
	return side, nil
}

func (d *diffCommand) write(cmd *cobra.Command, sides [2]*compare.Side, all []compare.Difference) error {
	out := cmd.OutOrStdout()
	var b []byte
	if d.format == "json" {
		for i := range all {
			b = record.AppendDifference(b, &all[i])
		}
	} else {
		fmt.Fprintf(cmd.ErrOrStderr(), "tcptrace: before %s, after %s\n",
			render.AppendDuration(nil, sides[0].Lasted), render.AppendDuration(nil, sides[1].Lasted))
		b = render.AppendDifferences(b, all, d.colored(out))
		if len(all) == 0 {
			b = append(b, "nothing has changed by half or more\n"...)
		}
	}
	_, err := out.Write(b)
	return err
}

// A diffSink gathers one side, and diagnoses it.
type diffSink struct {
	*compare.Side
	engine *diagnose.Engine
	now    func() event.Time
}

func (s *diffSink) Show(c *conn.Change) bool {
	s.engine.Handle(c)
	return s.Side.Show(c)
}

// Flush lets time pass, which makes findings too.
func (s *diffSink) Flush() error {
	s.engine.Advance(s.now().Add(-handedOver))
	return nil
}
