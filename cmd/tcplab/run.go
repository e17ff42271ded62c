//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tcptrace/tcptrace/internal/lab"
)

type runOptions struct {
	params  lab.Params
	ipv4    bool
	network string
	wait    bool
	timeout time.Duration
}

func runCommand() *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:   "run STORY",
		Short: "play a story and print its truth as one line of JSON",
		Long: `Plays a story in network namespaces of its own and prints what it did, as one
line of JSON, when they are gone again. Needs root.

With --wait it first prints {"ready":true,"netns":[...]}, the inodes of the
namespaces, and begins when a line comes on standard input: time for a tracer
to attach.`,
		Example: "  tcplab run client-close -n 23\n  tcplab run churn -6 --rate 3000 --duration 10s",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{errors.New("run takes the name of one story: see tcplab list")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), args[0], cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
	o.addFlags(cmd)
	return cmd
}

func (o *runOptions) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.IntVarP(&o.params.N, "count", "n", 0, fmt.Sprintf("connections (%d by default; churn: at most this many)", lab.DefaultN))
	f.BoolVarP(&o.ipv4, "ipv4", "4", false, "over IPv4 (the default)")
	f.BoolVarP(&o.params.IPv6, "ipv6", "6", false, "over IPv6")
	f.StringVar(&o.network, "network", "", "loopback, veth or wire (the story's own choice by default)")
	f.DurationVar(&o.params.Hold, "hold", 0, "how long to stay in the story's state")
	f.BoolVar(&o.wait, "wait", false, "wait for a line on standard input before the first packet")
	f.DurationVar(&o.timeout, "timeout", 0, "give up after this long (30 s more than the story takes by default)")
	f.IntVar(&o.params.Rate, "rate", 0, "churn: connections per second (as many as go by default)")
	f.DurationVar(&o.params.Duration, "duration", 0, "churn: for how long (2 s by default)")
	f.IntVar(&o.params.Threads, "threads", 0, "churn: client threads, and as many server threads (2 by default)")
	cmd.MarkFlagsMutuallyExclusive("ipv4", "ipv6")
}

func (o *runOptions) run(ctx context.Context, name string, in io.Reader, out io.Writer) error {
	story, err := lab.Lookup(strings.ToLower(name))
	if err != nil {
		return usageError{err}
	}
	o.params.Network = lab.Network(o.network)
	if err := story.Check(o.params); err != nil {
		return usageError{err}
	}
	if o.timeout == 0 {
		o.timeout = 30*time.Second + story.Takes + max(story.Hold, o.params.Hold) + o.params.Duration
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	o.params.Ready = func(netns []uint32) error {
		if o.wait {
			if err := waitForLine(ctx, netns, in, out); err != nil {
				return err
			}
		}
		time.AfterFunc(o.timeout, func() { cancel(fmt.Errorf("not done after %v: see --timeout", o.timeout)) })
		return nil
	}
	truth, err := story.Run(ctx, o.params)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(truth)
}

// waitForLine says that the namespaces are there and returns when a line has
// come.
func waitForLine(ctx context.Context, netns []uint32, in io.Reader, out io.Writer) error {
	ready := struct {
		Ready bool     `json:"ready"`
		NetNS []uint32 `json:"netns"`
	}{true, netns}
	if err := json.NewEncoder(out).Encode(ready); err != nil {
		return fmt.Errorf("print that all is ready: %w", err)
	}
	line := make(chan error, 1)
	go func() {
		_, err := bufio.NewReader(in).ReadString('\n')
		line <- err
	}()
	select {
	case err := <-line:
		if err != nil {
			return fmt.Errorf("read the line to begin at: %w", err)
		}
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
