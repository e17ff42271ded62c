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
)

type bench struct {
	options  *options
	dir      string
	tcplab   string
	binary   int64 // bytes of tcptrace
	subjects []subject
	missing  []string // peers that this host has not
	results
}

// A speed is the traffic of a turn.
type speed struct {
	name  string
	rate  int  // connections a second; 0: as many as go
	idle  bool // no traffic at all
	timed bool // with the kernel's clock on BPF programs, which costs something itself
}

// The names of the speeds.
const (
	atFull  = "full speed"
	atRate  = "a given rate"
	atTimed = "a given rate, BPF programs timed"
	atIdle  = "no traffic"
)

func (b *bench) speeds() []speed {
	return []speed{
		{name: atFull},
		{name: atRate, rate: b.options.rate},
		{name: atTimed, rate: b.options.rate, timed: true},
		{name: atIdle, idle: true},
	}
}

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
	tcptrace := filepath.Join(dir, "tcptrace")
	info, err := os.Stat(tcptrace)
	if err != nil {
		return nil, err
	}
	b := &bench{options: o, dir: dir, tcplab: filepath.Join(dir, "tcplab"), binary: info.Size()}
	if b.results, err = load(o.keep); err != nil {
		return nil, err
	}
	b.subjects, b.missing = subjects(tcptrace, dir, o.only)
	for _, name := range b.missing {
		fmt.Fprintf(os.Stderr, "tcpbench: this host has no %s; remedy: apt-get install libbpf-tools bpftrace\n", name)
	}
	return b, nil
}

// measure plays the rounds that are not played yet, as many as there is time
// for, and says whether that was all.
func (b *bench) measure(ctx context.Context) (complete bool, err error) {
	began := time.Now()
	for b.Rounds < b.options.rounds {
		took := time.Duration(0)
		if played := b.Rounds - b.before; played > 0 {
			took = time.Since(began) / time.Duration(played)
		}
		if b.options.budget > 0 && time.Since(began)+took > b.options.budget {
			return false, nil
		}
		if err := b.round(ctx); err != nil {
			return false, err
		}
		if err := b.save(b.options.keep); err != nil {
			return false, err
		}
	}
	return true, nil
}

// round gives each subject its turn at each speed. In each round another one
// begins, so that what the machine does beside falls on all of them. Of a round
// that fails nothing is kept.
func (b *bench) round(ctx context.Context) error {
	played := map[string]map[string]turn{}
	for _, at := range b.speeds() {
		turns, err := b.turns(ctx, at)
		if err != nil {
			return err
		}
		played[at.name] = turns
	}
	b.add(played)
	return nil
}

func (b *bench) turns(ctx context.Context, at speed) (_ map[string]turn, err error) {
	var timer *clock
	if at.timed {
		if timer, err = startClock(); err != nil {
			return nil, err
		}
		defer timer.stop()
	}
	turns := map[string]turn{}
	for i := range b.subjects {
		s := &b.subjects[(i+b.Rounds)%len(b.subjects)]
		if b.Broken[s.name] != "" || at.idle && s.argv == nil {
			continue
		}
		fmt.Fprintf(os.Stderr, "tcpbench: round %d of %d, %s: %s\n", b.Rounds+1, b.options.rounds, at.name, s.name)
		one, err := b.turn(ctx, s, at)
		if errors.Is(err, errDoesNotRun) && b.Rounds == 0 {
			b.Broken[s.name] = err.Error()
			fmt.Fprintf(os.Stderr, "tcpbench: %s %v\n", s.name, err)
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
		if at.timed {
			if one.Clock, err = timer.perCall(); err != nil {
				return nil, err
			}
		}
		turns[s.name] = one
	}
	return turns, nil
}

func (b *bench) turn(ctx context.Context, s *subject, at speed) (one turn, err error) {
	began := time.Now()
	t, err := start(ctx, s, b.dir)
	if err != nil {
		return one, err
	}
	defer func() {
		err = errors.Join(err, t.stop())
		one.Lost = t.lost()
	}()
	one.Ready = time.Since(began)
	if err := pause(ctx, settled); err != nil {
		return one, err
	}
	before, err := t.cost()
	if err != nil {
		return one, err
	}
	if at.idle {
		err = pause(ctx, b.options.duration)
	} else {
		if one.Churn, err = b.traffic(ctx, at.rate); err == nil {
			err = pause(ctx, drained)
		}
	}
	if err != nil {
		return one, err
	}
	after, err := t.cost()
	if err != nil {
		return one, err
	}
	one.Cost = cost{after.CPU - before.CPU, after.Memory, after.BPF - before.BPF, after.Calls - before.Calls}
	return one, nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
