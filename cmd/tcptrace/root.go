package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "tcptrace",
		Short: "Every state of every TCP connection: how long, whose, and why it ended",
		Long: `tcptrace watches the Linux kernel's TCP (by eBPF) and shows, for every
connection of the host, which states it has been in, for how long each, whose
process it is, and how it ended. It sees what polling and the kernel's own
state tracepoint cannot: SYN_RECV from the SYN on, and TIME_WAIT to its end.

It needs root, or the capabilities CAP_BPF and CAP_PERFMON.`,
		Example: `  sudo tcptrace watch --port 443            every transition, as it happens
  sudo tcptrace conns --comm nginx          a line for each connection that ended
  sudo tcptrace snapshot --summary          who has how many sockets in which state, now
  sudo tcptrace watch -o json | jq .        the same for programs
  sudo tcptrace doctor                      what this kernel allows`,
		Args:          noArguments,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       version(),
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetFlagErrorFunc(flagError)
	cobra.EnableCommandSorting = false
	root.AddCommand(newWatch(), newConns(), newTimeline(), newWhy(), newSnapshot(), newRecord(), newReport(), newExport(), newDiff(), newAgent(), newAssert(), newAudit(), newDoctor(), newVersion())
	root.InitDefaultHelpFlag()
	root.SetHelpCommand(newHelp(root))
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	shells, _, _ := root.Find([]string{"completion"})
	shells.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	shells.Args = func(cmd *cobra.Command, args []string) error { return unknownCommand(cmd, args) }
	for _, shell := range shells.Commands() {
		shell.Args = noArguments
	}
	return root
}

func newHelp(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Explain a command, its columns and its flags",
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return commandNames(root), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if err := unknownCommand(root, args); err != nil {
				return err
			}
			cmd, rest, err := root.Find(args)
			if err != nil {
				return err
			}
			if len(rest) > 0 {
				return usagef("unexpected argument %q; write %q", rest[0], "tcptrace help "+args[0])
			}
			return cmd.Help()
		},
	}
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), version())
			return err
		},
	}
}
