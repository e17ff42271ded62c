package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/tcptrace/tcptrace/internal/census"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/filter"
	"github.com/tcptrace/tcptrace/internal/proc"
	"github.com/tcptrace/tcptrace/internal/record"
	"github.com/tcptrace/tcptrace/internal/recording"
	"github.com/tcptrace/tcptrace/internal/render"
	"github.com/tcptrace/tcptrace/internal/snapshot"
)

type snapshotCommand struct {
	output
	from    []string
	filter  filter.Filter
	summary bool
	cmdline bool
}

func newSnapshot() *cobra.Command {
	s := &snapshotCommand{}
	cmd := &cobra.Command{
		Use:   "snapshot [flags]",
		Short: "Show every TCP socket now, with its process; or how many are in which state",
		Long: `Shows every TCP socket of the host as it is now, those of one process together:

  STATE      as netstat has it
  PROCESS    who holds it, name/pid; "+2": two more descriptors lead to it, of that
             process or of others. "(orphan)": its process has closed it, the kernel
             finishes. Of SYN_RECV, and of what waits for accept(), it is the process
             that listens. "-": nobody's, as TIME_WAIT is, or not known
  FD         the process's descriptor of it
  RECV SEND  bytes received and not read, bytes sent and not acknowledged. For LISTEN:
             connections that wait for accept(), and how many may (the backlog)
  TIMER      what it waits for, and how long yet: rtx (to send again), keep (keepalive,
             or patience), tw (the end of TIME_WAIT), probe (of a closed window);
             "x3": three times in vain so far
  NETNS      network namespace, if there are several: its name, or its inode
  CONTAINER  how the container's id begins, if there are any
  LOCAL      "->" where it called connect(), "<-" where a listener made it. The kernel
  REMOTE     does not keep that: it is "<-" if somebody listens on its address and port
  COMMAND    the command line (--cmdline)

With --summary, there is a line for each process: how many sockets it has in each
state. A socket that several processes hold counts once.

With --from, the sockets are those that there were as the recording began.`,
		Example: `  tcptrace snapshot                           every socket
  tcptrace snapshot --summary                 who has how many in which state
  tcptrace snapshot --state CLOSE_WAIT --comm java
  tcptrace snapshot -o json | jq 'select(.state == "LISTEN" and .recv_q > 0)'`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return s.run(cmd) },
	}
	which := selectionFlags(&s.filter)
	labelFlags(which, &s.filter)
	stateFlag(which, &s.filter, "in one of these states: `NAME`,...")
	printed := newFlagSet()
	fromFlag(printed, &s.from)
	printed.BoolVar(&s.summary, "summary", false, "how many sockets are in each state, for each process")
	cmdlineFlag(printed, &s.cmdline)
	printed.AddFlagSet(s.flags())
	addFlags(cmd,
		flagGroup{"Which sockets (a list is comma-separated: any of it; different flags: all of them)", which},
		flagGroup{"What is printed", printed})
	s.complete(cmd)
	completeList(cmd, "state", stateNames()...)
	return cmd
}

func (s *snapshotCommand) run(cmd *cobra.Command) error {
	if len(s.from) > 0 {
		return s.replay(cmd)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	debug.SetGCPercent(400) // it ends soon
	reader, err := snapshot.Open()
	if err != nil {
		return &unableError{err}
	}
	defer reader.Close()
	labels, err := newLabeler(s.cmdline)
	if err != nil {
		return err
	}
	defer labels.Close()
	all, err := takeCensus(ctx, reader, labels.resolver, s.filter.NetNS, cmd.ErrOrStderr())
	if errors.Is(err, context.Canceled) {
		return nil
	}
	if err != nil {
		return err
	}
	clock := event.Clock{Boot: time.Now().Add(-time.Duration(monotonic()))}
	return s.show(cmd.OutOrStdout(), all, labels.label, clock)
}

// replay shows the sockets that there were as recordings began.
func (s *snapshotCommand) replay(cmd *cobra.Command) error {
	if err := checkFrom(cmd); err != nil {
		return err
	}
	set, err := recording.Open(s.from...)
	if err != nil {
		return err
	}
	defer set.Close()
	hosts := newHosts(cmd.OutOrStdout(), s.format == "json", set.Recordings)
	for _, r := range set.Recordings {
		all := r.Snapshot()
		if all == nil {
			return fmt.Errorf("the recording of %s has no snapshot: it was made with --no-sweep or --since-finding,"+
				" or the first of its parts is not given", hostName(r))
		}
		for _, p := range r.Processes() {
			s.cmdline = s.cmdline || p.Task.Label != nil && p.Task.Label.Cmdline != ""
		}
		if err := s.show(hosts.writer(r), all, r.Label, r.Clock()); err != nil {
			return err
		}
	}
	return hosts.out.Flush()
}

// show prints the sockets that are asked for.
func (s *snapshotCommand) show(out io.Writer, all *census.Census, label census.Labeler, clock event.Clock) error {
	all.Infer()
	all.Select(&s.filter, label)
	return s.print(out, all, clock)
}

func (s *snapshotCommand) print(out io.Writer, all *census.Census, clock event.Clock) error {
	text := render.Options{Color: s.colored(out)}
	lines := newLines(out)
	switch {
	case s.summary && s.format == "json":
		rows, total := all.Summarize()
		for _, row := range append(rows, total) {
			lines.scratch = record.AppendSummary(lines.scratch[:0], &row, all.Time, clock)
			lines.write()
		}
		return lines.Flush()
	case s.summary:
		rows, total := all.Summarize()
		return text.WriteSummary(out, rows, &total)
	case s.format == "json":
		for _, socket := range all.Sorted() {
			lines.scratch = record.AppendSocket(lines.scratch[:0], socket, all, clock)
			lines.write()
		}
		return lines.Flush()
	}
	return text.WriteSockets(out, all, s.cmdline, terminalWidth(out))
}

// terminalWidth returns 0 where out is no terminal.
func terminalWidth(out io.Writer) int {
	if f, ok := out.(*os.File); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil {
			return width
		}
	}
	return 0
}

// takeCensus reads the sockets of all network namespaces, or of those asked
// for, and says on stderr which it could not read.
func takeCensus(ctx context.Context, reader *snapshot.Reader, resolver *proc.Resolver, only []uint32, stderr io.Writer) (*census.Census, error) {
	namespaces, err := resolver.NetNamespaces()
	if err != nil {
		return nil, err
	}
	options := snapshot.Options{Held: true}
	c := &census.Census{Namespaces: map[uint32]string{}}
	found := 0
	for _, ns := range namespaces {
		if ns.Via != proc.NetNSProcess {
			c.Namespaces[ns.Inode] = ns.Name
		}
		if len(only) == 0 || slices.Contains(only, ns.Inode) {
			options.Namespaces = append(options.Namespaces, snapshot.NetNS{Inode: ns.Inode, Path: ns.Path})
			found++
		}
	}
	if len(only) > 0 && found == len(only) {
		options.Held = false
	}
	snap, err := reader.Take(ctx, options)
	if err != nil {
		return nil, err
	}
	for _, u := range snap.Unread {
		fmt.Fprintf(stderr, "tcptrace: network namespace %d left out: %v\n", u.NetNS.Inode, u.Err)
	}
	if snap.LostHolders > 0 {
		fmt.Fprintf(stderr, "tcptrace: %d descriptors left out, too many of namespaces without a name\n", snap.LostHolders)
	}
	c.Time = snap.Time
	c.Sockets = make([]census.Socket, len(snap.Sockets))
	for i := range snap.Sockets {
		convert(&c.Sockets[i], &snap.Sockets[i])
	}
	return c, nil
}
