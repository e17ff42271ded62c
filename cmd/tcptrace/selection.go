package main

import (
	"net/netip"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tcptrace/tcptrace/internal/filter"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// selectionFlags are those that mean the same on every command that takes
// them: whose connections, and which. Lists are comma-separated.
func selectionFlags(f *filter.Filter) *pflag.FlagSet {
	fs := newFlagSet()
	fs.Var(list[uint32]{&f.PIDs, filter.ParsePID}, "pid", "connections of these processes: `N`,...")
	fs.Var(list[string]{&f.Comms, filter.ParseComm}, "comm", "connections of processes with these names: `NAME`,...")
	fs.Var(list[uint32]{&f.NetNS, filter.ParseNetNS}, "netns", "in these network namespaces, by inode: `INODE`,...")
	fs.Var(list[uint16]{&f.Ports, filter.ParsePort}, "port", "with one of these ports on either side: `N`,...")
	fs.Var(list[uint16]{&f.LocalPorts, filter.ParsePort}, "lport", "with one of these local ports: `N`,...")
	fs.Var(list[uint16]{&f.RemotePorts, filter.ParsePort}, "rport", "with one of these remote ports: `N`,...")
	fs.Var(list[netip.Prefix]{&f.Nets, filter.ParseNet}, "net", "with an address in one of these networks: `CIDR`,...")
	fs.BoolVarP(&f.IPv4, "ipv4", "4", false, "IPv4 only")
	fs.BoolVarP(&f.IPv6, "ipv6", "6", false, "IPv6 only")
	return fs
}

// labelFlags are those that need to know more of a process than its number
// and name.
func labelFlags(fs *pflag.FlagSet, f *filter.Filter) {
	fs.Var(list[string]{&f.Containers, filter.ParseContainer}, "container", "of processes in these containers, by the begin of their `ID`,...")
	fs.Var(list[string]{&f.Cgroups, filter.ParseCgroup}, "cgroup", "of processes in these cgroups, or below: `PATH`,... or its end")
}

func stateFlag(fs *pflag.FlagSet, f *filter.Filter, usage string) {
	fs.Var(list[tcp.State]{&f.States, filter.ParseState}, "state", usage)
}

func kindFlag(fs *pflag.FlagSet, f *filter.Filter) {
	fs.Var(list[filter.Kind]{&f.Kinds, filter.ParseKind}, "kind",
		"only records of these kinds, `KIND`,...: state, retransmit, reset, drop, error, connection, finding."+
			" Drops, errors and findings are shown only if they are asked for. To see accept() and connect() fail, as"+
			" errors and findings need, costs every system call of the host some 50 ns")
}

// completeWords completes a flag's value from a fixed list.
func completeWords(cmd *cobra.Command, flag string, words ...string) {
	// It fails only for a flag that is not there.
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
}

// completeList completes the last element of a comma-separated value.
func completeList(cmd *cobra.Command, flag string, words ...string) {
	complete := func(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		before := typed[:strings.LastIndexByte(typed, ',')+1]
		var whole []string
		for _, w := range words {
			whole = append(whole, before+w)
		}
		return whole, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
	_ = cmd.RegisterFlagCompletionFunc(flag, complete) // fails only for a flag that is not there
}

func stateNames() (names []string) {
	for _, s := range tcp.States() {
		names = append(names, s.String())
	}
	return names
}

func kindNames() (names []string) {
	for _, k := range filter.Kinds() {
		names = append(names, string(k))
	}
	return names
}

func newFlagSet() *pflag.FlagSet {
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	fs.SortFlags = false
	return fs
}

// A flagGroup is a titled part of a command's help.
type flagGroup struct {
	title string
	flags *pflag.FlagSet
}

// addFlags gives cmd the flags of groups, and a help that shows them so.
func addFlags(cmd *cobra.Command, groups ...flagGroup) {
	for _, g := range groups {
		cmd.Flags().AddFlagSet(g.flags)
	}
	cmd.SetUsageFunc(func(cmd *cobra.Command) error {
		out := cmd.OutOrStderr()
		write := func(parts ...string) {
			for _, p := range parts {
				_, _ = out.Write([]byte(p))
			}
		}
		write("Usage:\n  ", cmd.UseLine(), "\n\nExamples:\n", cmd.Example, "\n")
		for _, g := range groups {
			write("\n", g.title, ":\n", g.flags.FlagUsagesWrapped(100))
		}
		return nil
	})
}
