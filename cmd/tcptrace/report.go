package main

import (
	"errors"
	"io"

	"github.com/spf13/cobra"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/recording"
	reports "github.com/tcptrace/tcptrace/internal/report"
	"github.com/tcptrace/tcptrace/internal/trace"
)

type reportCommand struct {
	live
	force   bool
	noCalls bool
}

func newReport() *cobra.Command {
	r := &reportCommand{live: live{every: true, joins: true}}
	cmd := &cobra.Command{
		Use:   "report [flags] FILE.html",
		Short: "Write one page to attach to an incident: findings, timelines, tables",
		Long: `Traces, for --duration or until Ctrl-C, or reads a recording with --from, and then
writes one page of HTML. It opens from disk, loads nothing and sends nothing. In it are

  Summary    what was seen, in words
  Findings   as "tcptrace why" tells them: what, why, the evidence, what to do
  States     how many sockets were in each state, over time
  Timelines  the states of each process's connections against time; they zoom and move
  Tables     connections, processes, remote peers, resets, retransmits; they sort, and
             one filter is for all: a row stays if it has every word
  Host       the sysctls in force, and what this kernel allowed to see
  Not seen   events that were lost, and what the page had no room for

It can be read without scripts, printed, in the dark and on a phone. It stays below 2 MB:
of many connections it lists those that findings name, those that failed, those that
stayed long where TCP only passes through, those that sent something again, and the
longest. The figures count all.

Names of processes and addresses are in it: look at it before it leaves your house.
FILE must not exist (--force replaces it), no link is followed, and it appears when it is
whole; others may read it as far as your umask lets them. - is standard output.

docs/report.md says more.`,
		Example: `  tcptrace report --duration 1m incident.html
  tcptrace report --duration 30s --comm nginx nginx.html
  tcptrace report --from incident.ttr incident.html
  ssh host sudo tcptrace report --duration 30s - > host.html`,
		Args: oneFile("incident.html"),
		RunE: func(cmd *cobra.Command, args []string) error { return r.run(cmd, args[0]) },
	}
	which := selectionFlags(&r.filter)
	labelFlags(which, &r.filter)
	out := newFlagSet()
	fromFlag(out, &r.from)
	out.StringVar(&r.save, "record", "", "also save what is seen to this `FILE`, for --from; see \"tcptrace record --help\"")
	r.durationFlag(out)
	out.BoolVar(&r.force, "force", false, "replace FILE if it exists")
	advanced := r.advanced()
	advanced.BoolVar(&r.noCalls, "no-failed-calls", false,
		"do not watch accept() and connect() fail: that costs every system call of the host some 50 ns;"+
			" without it fd-exhaustion is not found")
	addFlags(cmd,
		flagGroup{"Which connections (a list is comma-separated: any of it; different flags: all of them)", which},
		flagGroup{"What is written", out}, flagGroup{"Advanced", advanced})
	completeWords(cmd, "hooks", hookNames...)
	return cmd
}

func (r *reportCommand) run(cmd *cobra.Command, path string) error {
	if path == "-" && isTerminal(cmd.OutOrStdout()) {
		return usagef("a page is nothing for a terminal; name a file, or write \"| ...\" behind")
	}
	file, err := createPage(path, r.force, cmd.OutOrStdout())
	if err != nil {
		return err
	}
	defer file.abandon()
	known, err := newDiagnosis(&r.live, false)
	if err != nil {
		return err
	}
	defer known.close()
	r.probe.Errors = !r.noCalls
	var sheets []*reportSink
	summary, err := r.live.run(cmd, func(_ io.Writer, clock event.Clock) trace.Sink {
		s := newReportSink(&r.live, clock)
		s.facts.Settings = r.settings(known.settings)
		s.collector = reports.NewCollector(reports.Options{Engine: known.engine(&r.live), Explain: r.explainer()})
		sheets = append(sheets, s)
		return s
	})
	damage := new(recording.DamageError)
	if err != nil && !errors.As(err, &damage) {
		return err
	}
	verdicts, failed := writeSheets(file, sheets, summary, err)
	if failed != nil {
		return failed
	}
	if path != "-" {
		wrote(cmd.ErrOrStderr(), path, verdicts...)
	}
	conclude(cmd.ErrOrStderr(), summary)
	return err
}
