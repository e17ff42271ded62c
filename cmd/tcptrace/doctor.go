package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/tcptrace/tcptrace/internal/probe"
	"github.com/tcptrace/tcptrace/internal/render"
)

func newDoctor() *cobra.Command {
	var out output
	var what probe.Options
	cmd := &cobra.Command{
		Use:   "doctor [flags]",
		Short: "Say what this kernel and these privileges allow",
		Long: `Says, for each thing that tcptrace can tell, how well this host serves it and by
which hook of the kernel. To be sure, it attaches its programs for a moment.

  exact    begin, end and cause are the kernel's own
  bounded  true, but less is known: "lost" says what, "why" for what reason
  absent   not seen here: "remedy" says what would help

Then it lists the privileges that tcptrace makes use of, and whether it has them;
without those that are needed, only these.

The exit status is 0 where connections can be traced, 1 where they cannot. In JSON
the records are of type "capability", "privilege" and "host".`,
		Example: `  sudo tcptrace doctor
  sudo tcptrace doctor -o json | jq -r 'select(.grade != "exact") | .name'`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return doctor(cmd.OutOrStdout(), &out, what) },
	}
	examined := newFlagSet()
	hooksFlag(examined, &what)
	btfFlag(examined, &what)
	addFlags(cmd, flagGroup{"What is printed", out.flags()}, flagGroup{"What is examined", examined})
	completeWords(cmd, "hooks", hookNames...)
	out.complete(cmd)
	return cmd
}

// doctor prints the tables: where nothing can be traced, and its error says
// why, that of the privileges alone. Without transitions there is nothing to
// trace.
func doctor(stdout io.Writer, out *output, what probe.Options) error {
	capabilities, refused := probe.Examine(what)
	host := probe.ExamineHost()
	if what.BTF != "" {
		host.BTF = what.BTF
	}
	var err error
	if out.format == "json" {
		err = errors.Join(writeCapabilities(stdout, capabilities), writeHost(stdout, &host))
	} else {
		_, err = stdout.Write(appendDoctor(capabilities, &host, out.colored(stdout)))
	}
	if err = errors.Join(err, refused); err != nil {
		return err
	}
	for _, c := range capabilities {
		if c.Name == "transitions" && c.Grade == probe.Absent {
			return fmt.Errorf("this kernel cannot be traced: %s", c.Why)
		}
	}
	return nil
}

func appendDoctor(capabilities []probe.Capability, host *probe.Host, color bool) []byte {
	var b []byte
	if len(capabilities) > 0 {
		b = append(render.AppendCapabilities(b, rows(capabilities), color), '\n')
	}
	shown := render.Host{Kernel: host.Kernel, BTF: host.BTF, Lockdown: host.Lockdown}
	for _, p := range host.Privileges {
		shown.Privileges = append(shown.Privileges, render.Privilege{Name: p.Name, For: p.For, Had: p.Had, Needed: p.Needed})
	}
	return render.AppendHost(b, &shown, color)
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

func writeHost(out io.Writer, host *probe.Host) error {
	enc := json.NewEncoder(out)
	for _, p := range host.Privileges {
		line := struct {
			Type   string `json:"type"`
			Name   string `json:"name"`
			Had    bool   `json:"had"`
			Needed bool   `json:"needed"`
			For    string `json:"for"`
		}{"privilege", p.Name, p.Had, p.Needed, p.For}
		if err := enc.Encode(line); err != nil {
			return err
		}
	}
	return enc.Encode(struct {
		Type     string `json:"type"`
		Kernel   string `json:"kernel,omitempty"`
		BTF      string `json:"btf,omitempty"`
		Lockdown string `json:"lockdown,omitempty"`
	}{"host", host.Kernel, host.BTF, host.Lockdown})
}
