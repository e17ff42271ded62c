package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tcptrace/tcptrace/internal/probe"
	"github.com/tcptrace/tcptrace/internal/render"
)

func newDoctor() *cobra.Command {
	var out output
	var hooks string
	cmd := &cobra.Command{
		Use:   "doctor [flags]",
		Short: "Say what this kernel and these privileges allow",
		Long: `Says, for each thing that tcptrace can tell, how well this host serves it and by
which hook of the kernel. To be sure, it attaches its programs for a moment.

  exact    begin, end and cause are the kernel's own
  bounded  true, but less is known: "lost" says what, "why" for what reason
  absent   not seen here: "remedy" says what would help

The exit status is 0 where connections can be traced, 1 where they cannot.`,
		Example: `  sudo tcptrace doctor
  sudo tcptrace doctor -o json | jq -r 'select(.grade != "exact") | .name'`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return doctor(cmd.OutOrStdout(), &out, hooks) },
	}
	what := newFlagSet()
	what.Var(word{&hooks, hookNames}, "hooks", "with `HOW` to see SYN_RECV and TIME_WAIT: "+strings.Join(hookNames, " or ")+" (default: the best that this kernel has)")
	addFlags(cmd, flagGroup{"What is printed", out.flags()}, flagGroup{"What is examined", what})
	completeWords(cmd, "hooks", hookNames...)
	out.complete(cmd)
	return cmd
}

// doctor prints the table. Without transitions there is nothing to trace.
func doctor(stdout io.Writer, out *output, hooks string) error {
	capabilities, err := probe.Examine(hooks)
	if out.format == "json" {
		if err := writeCapabilities(stdout, capabilities); err != nil {
			return err
		}
	} else if len(capabilities) > 0 {
		if _, err := stdout.Write(render.AppendCapabilities(nil, rows(capabilities), out.colored(stdout))); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	for _, c := range capabilities {
		if c.Name == "transitions" && c.Grade == probe.Absent {
			return fmt.Errorf("this kernel cannot be traced: %s", c.Why)
		}
	}
	return nil
}

func rows(capabilities []probe.Capability) []render.Capability {
	var rows []render.Capability
	for _, c := range capabilities {
		rows = append(rows, render.Capability{
			Name: c.Name, Grade: string(c.Grade), Hook: c.Hook, Lost: c.Lost, Why: c.Why, Remedy: c.Remedy,
		})
	}
	return rows
}

func writeCapabilities(out io.Writer, capabilities []probe.Capability) error {
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	for _, c := range capabilities {
		line := struct {
			Type   string      `json:"type"`
			Name   string      `json:"name"`
			Grade  probe.Grade `json:"grade"`
			Hook   string      `json:"hook,omitempty"`
			Lost   string      `json:"lost,omitempty"`
			Why    string      `json:"why,omitempty"`
			Remedy string      `json:"remedy,omitempty"`
		}{"capability", c.Name, c.Grade, c.Hook, c.Lost, c.Why, c.Remedy}
		if err := enc.Encode(line); err != nil {
			return err
		}
	}
	return nil
}
