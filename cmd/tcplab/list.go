//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tcptrace/tcptrace/internal/lab"
)

func listCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "list the stories, and the transitions that each makes",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch output {
			case "text":
				return listText(cmd.OutOrStdout(), lab.Stories())
			case "json":
				return listJSON(cmd.OutOrStdout(), lab.Stories())
			}
			return usageError{fmt.Errorf("output %q: write text or json", output)}
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text, or json: one object a line")
	return cmd
}

func listText(w io.Writer, stories []lab.Story) error {
	for _, s := range stories {
		if _, err := fmt.Fprintf(w, "%s: %s\n", s.Name, s.Doc); err != nil {
			return err
		}
		for _, end := range []struct {
			role string
			path []string
		}{{"client", s.ClientStates()}, {"server", s.ServerStates()}} {
			if end.path == nil {
				continue
			}
			if _, err := fmt.Fprintf(w, "    %s  %s\n", end.role, strings.Join(end.path, " ")); err != nil {
				return err
			}
		}
		if s.Rule == "" {
			continue
		}
		if _, err := fmt.Fprintf(w, "    finding %s\n", s.Rule); err != nil {
			return err
		}
	}
	return nil
}

// A storyRecord is a line of "tcplab list -o json".
type storyRecord struct {
	Story        string             `json:"story"`
	Doc          string             `json:"doc"`
	Rule         string             `json:"rule,omitempty"` // the finding that it is about
	ClientStates []string           `json:"client_states,omitempty"`
	ServerStates []string           `json:"server_states,omitempty"`
	Transitions  []transitionRecord `json:"transitions"`
	Networks     []lab.Network      `json:"networks"`
	Hold         time.Duration      `json:"hold_ns,omitzero"`
	Takes        time.Duration      `json:"takes_ns,omitzero"`
}

type transitionRecord struct {
	Old string `json:"old"`
	New string `json:"new"`
}

func listJSON(w io.Writer, stories []lab.Story) error {
	enc := json.NewEncoder(w)
	for _, s := range stories {
		r := storyRecord{
			Story: s.Name, Doc: s.Doc, Rule: s.Rule, Networks: s.Networks, Hold: s.Hold, Takes: s.Takes,
			ClientStates: s.ClientStates(), ServerStates: s.ServerStates(),
		}
		for _, t := range s.Transitions() {
			r.Transitions = append(r.Transitions, transitionRecord{t.Old.String(), t.New.String()})
		}
		if err := enc.Encode(r); err != nil {
			return err
		}
	}
	return nil
}
