//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

type bench struct {
	options  *options
	dir      string
	tcplab   string
	subjects []subject
	missing  []string          // peers that this host has not
	broken   map[string]string // subjects that do not run here, and what they say
}

// A turn is one subject's, at one speed.
type turn struct {
	churn churn
	cost  cost // during the traffic
	lost  int
}

// A series is the turns of all subjects at one speed, in the order of rounds.
type series map[string][]turn

// newBench builds what is measured.
func newBench(ctx context.Context, o *options, dir string) (*bench, error) {
	for _, command := range []string{"tcptrace", "tcplab"} {
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", filepath.Join(dir, command), "./cmd/"+command)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		cmd.Stderr = os.Stderr
		if err := cmd.Run(); err != nil {
			return nil, fmt.Errorf("build %s: %w", command, err)
		}
	}
	b := &bench{options: o, dir: dir, tcplab: filepath.Join(dir, "tcplab"), broken: map[string]string{}}
	b.subjects, b.missing = subjects(filepath.Join(dir, "tcptrace"), dir, o.only)
	for _, name := range b.missing {
		fmt.Fprintf(os.Stderr, "tcpbench: this host has no %s; remedy: apt-get install libbpf-tools bpftrace\n", name)
	}
	return b, nil
}

// measure plays the rounds: at full speed and at the given rate, and there once
// more with the kernel's clock on BPF programs, which costs something itself.
func (b *bench) measure(ctx context.Context) (string, error) {
	full, err := b.rounds(ctx, "full speed", 0)
	if err != nil {
		return "", err
	}
	paced, err := b.rounds(ctx, fmt.Sprintf("%d connections a second", b.options.rate), b.options.rate)
	if err != nil {
		return "", err
	}
	stats, err := ebpf.EnableStats(unix.BPF_STATS_RUN_TIME)
	if err != nil {
		return "", fmt.Errorf("have the kernel measure BPF programs: %w", err)
	}
	timed, err := b.rounds(ctx, "the same, BPF programs timed", b.options.rate)
	if err := errors.Join(err, stats.Close()); err != nil {
		return "", err
	}
	return b.tables(full, paced, timed), nil
}

// rounds gives each subject its turns. In each round another one begins, so that
// what the machine does beside falls on all of them.
func (b *bench) rounds(ctx context.Context, title string, rate int) (series, error) {
	turns := series{}
	for round := range b.options.rounds {
		for i := range b.subjects {
			s := &b.subjects[(i+round)%len(b.subjects)]
			if b.broken[s.name] != "" {
				continue
			}
			fmt.Fprintf(os.Stderr, "tcpbench: %s, round %d of %d: %s\n", title, round+1, b.options.rounds, s.name)
			one, err := b.turn(ctx, s, rate)
			if errors.Is(err, errDoesNotRun) && len(turns[s.name]) == 0 {
				b.broken[s.name] = err.Error()
				fmt.Fprintf(os.Stderr, "tcpbench: %s %v\n", s.name, err)
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", s.name, err)
			}
			turns[s.name] = append(turns[s.name], one)
		}
	}
	return turns, nil
}

func (b *bench) turn(ctx context.Context, s *subject, rate int) (one turn, err error) {
	t, err := start(ctx, s, b.dir)
	if err != nil {
		return one, err
	}
	defer func() {
		err = errors.Join(err, t.stop())
		one.lost = t.lost()
	}()
	before, err := t.cost()
	if err != nil {
		return one, err
	}
	if one.churn, err = b.traffic(ctx, rate); err != nil {
		return one, err
	}
	select {
	case <-time.After(drained):
	case <-ctx.Done():
		return one, ctx.Err()
	}
	after, err := t.cost()
	if err != nil {
		return one, err
	}
	one.cost = cost{after.cpu - before.cpu, after.memory, after.bpf - before.bpf, after.calls - before.calls}
	return one, nil
}
