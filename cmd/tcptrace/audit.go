package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tcptrace/tcptrace/internal/audit"
	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/filter"
	"github.com/tcptrace/tcptrace/internal/probe"
	"github.com/tcptrace/tcptrace/internal/record"
	"github.com/tcptrace/tcptrace/internal/render"
	"github.com/tcptrace/tcptrace/internal/trace"
)

func newAudit() *cobra.Command {
	a := &live{audit: true, judges: true}
	cmd := &cobra.Command{
		Use:   "audit [flags]",
		Short: "Hold what tcptrace counts against the kernel's own counters",
		Long: `Counts, from what it traces, what the kernel counts in /proc/net/snmp and
/proc/net/netstat, and compares the two at the end, for each network namespace
over the same seconds:

  COUNTER   the kernel's name of it
  TCPTRACE  what tcptrace counted; for CurrEstab, by how much it changed
  KERNEL    by how much the kernel's counter changed. Between the two stands "=",
            or "~" where the difference is within what cannot be known, or "!";
            the difference and its reasons then follow

What was under way while the kernel's counters were read, some milliseconds at
the begin and at the end, may be counted on one side only: "~" on a busy host.
A network namespace that ends before the audit has no last figures to compare.

The exit status is 0 where every line has "=" or "~", and 3 where one has "!".`,
		Example: `  tcptrace audit --duration 1m
  tcptrace audit --netns $(stat -Lc %i /proc/1234/ns/net)
  tcptrace audit -o json --duration 10s | jq 'select(.equal | not)'
  tcptrace conns --audit --duration 1m       the same, beside another command
  tcptrace audit --from incident.ttr        of a recording: it has the kernel's counters`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runAudit(cmd) },
	}
	which := newFlagSet()
	which.Var(list[uint32]{&a.filter.NetNS, filter.ParseNetNS}, "netns", "these network namespaces, by inode: `INODE`,... (default: all)")
	out := newFlagSet()
	fromFlag(out, &a.from)
	a.durationFlag(out)
	out.AddFlagSet(a.flags())
	addFlags(cmd, flagGroup{"Which network namespaces", which}, flagGroup{"What is printed", out}, flagGroup{"Advanced", a.advanced()})
	a.complete(cmd)
	return cmd
}

func (l *live) runAudit(cmd *cobra.Command) error {
	summary, err := l.run(cmd, func(io.Writer, event.Clock) trace.Sink { return silentSink{} })
	if err != nil {
		return err
	}
	conclude(cmd.ErrOrStderr(), summary)
	return l.audited(cmd)
}

// A silentSink shows nothing.
type silentSink struct{}

func (silentSink) Show(*conn.Change) bool { return false }
func (silentSink) Flush() error           { return nil }

// auditFlag is "--audit" of the commands that trace for another purpose.
func (l *live) auditFlag(fs *pflag.FlagSet) {
	fs.BoolVar(&l.audit, "audit", false, "at the end, compare what was traced with the kernel's counters; see \"tcptrace audit --help\"")
}

// checkAudit refuses an audit of less than whole namespaces: the kernel has no
// other counters.
func (l *live) checkAudit() error {
	if l.audit && !wholeSpaces(&l.filter) {
		return usagef("--audit compares whole network namespaces; leave out what selects connections, but for --netns")
	}
	if l.audit && len(l.from) > 0 && l.duration > 0 {
		return usagef("--audit of a recording is of all of it; leave out --duration")
	}
	return nil
}

// wholeSpaces reports whether f leaves out no connection of a network namespace.
func wholeSpaces(f *filter.Filter) bool {
	lists := len(f.Ports) + len(f.LocalPorts) + len(f.RemotePorts) + len(f.Nets)
	return !f.ByProcess() && lists == 0 && !f.IPv4 && !f.IPv6
}

// A metering is the audit of a source that is under way.
type metering struct {
	meter *audit.Meter
	clock event.Clock
	out   io.Writer
	netns []uint32 // those that were asked for; none: all
}

// metered returns the source, with a meter in between if an audit is asked for, now
// or of the recording that is made. Its programs are attached, so that the meter's
// figures begin now.
func (l *live) metered(source *probe.Source, cmd *cobra.Command) (trace.Source, error) {
	if !l.audit && !l.keepsCounters() {
		return source, nil
	}
	meter, err := audit.NewMeter(l.filter.NetNS)
	if err == nil {
		meter.Uncounted = !l.audit
		err = meter.Begin()
	}
	if err != nil && !l.audit {
		fmt.Fprintf(cmd.ErrOrStderr(), "tcptrace: the recording cannot be audited: %v\n", err)
		return source, nil
	}
	if err != nil {
		return nil, err
	}
	if l.audit {
		l.meterings = append(l.meterings, metering{meter, source.Clock(), cmd.OutOrStdout(), l.filter.NetNS})
	}
	if l.keepsCounters() {
		l.reader = meter
	}
	for _, c := range source.Capabilities() {
		allow(meter.Tally(), c.Name, string(c.Grade))
	}
	return meteredSource{meter, source}, nil
}

// keepsCounters reports whether a recording is made that can be audited.
func (l *live) keepsCounters() bool {
	return l.save != "" && l.saving.Hold == 0 && l.saving.Rotate == 0 && wholeSpaces(&l.filter)
}

// allow tells the tally what a kernel with this capability does not see.
func allow(tally *audit.Tally, name, grade string) {
	switch {
	case name == "why a reset was sent" && grade == string(probe.Absent):
		tally.Blind(audit.OutRsts, "before Linux 6.10 a RST without a socket is not seen")
	case name == "retransmits not sent" && grade != string(probe.Absent):
		tally.SeesUnsent()
	}
}

// A meteredSource hands over what source does, and lets the meter count it.
type meteredSource struct {
	meter  *audit.Meter
	source trace.Source
}

func (s meteredSource) Run(ctx context.Context, handle event.Handler) error {
	return s.meter.Run(ctx, s.source, handle)
}

// audited prints the audits of the run that is over, if they were asked for.
func (l *live) audited(cmd *cobra.Command) error {
	var errs []error
	unequal := false
	for i := range l.meterings {
		m := &l.meterings[i]
		report, err := m.meter.Report()
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for j := range report.Gone {
			fmt.Fprintf(cmd.ErrOrStderr(), "tcptrace: network namespace %d ended before the audit; its counters went with it\n", report.Gone[j].NetNS)
		}
		for _, inode := range m.netns {
			if !report.Has(inode) {
				fmt.Fprintf(cmd.ErrOrStderr(), "tcptrace: network namespace %d was not found\n", inode)
			}
		}
		errs = append(errs, l.writeAudit(m, report))
		unequal = unequal || !report.Holds()
	}
	if l.flush != nil {
		errs = append(errs, l.flush())
	}
	err := errors.Join(errs...)
	if unequal && (err == nil || errors.Is(err, syscall.EPIPE)) { // who reads no more wants the verdict all the same
		return &unequalError{}
	}
	return err
}

func (l *live) writeAudit(m *metering, report *audit.Report) error {
	var b []byte
	if l.format != "json" {
		b = render.AppendAudit(b, report, l.colored(m.out))
	} else {
		for i := range report.Spaces {
			space := &report.Spaces[i]
			for j := range space.Lines {
				b = record.AppendAudit(b, &space.Lines[j], space.Window.To, m.clock)
			}
		}
	}
	_, err := m.out.Write(b)
	return err
}

// An unequalError says that an audit did not come out right.
type unequalError struct{}

func (*unequalError) Error() string {
	return "the audit does not hold: tcptrace or the kernel counted what the other did not"
}
