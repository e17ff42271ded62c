//go:build linux

// Command tcpbench measures what tracing costs, beside the peers that this host
// has: how many connections a second are left of a churn under each tracer, its
// processor time, the time of its BPF programs, its memory and its losses. Every
// figure is of this machine and this run; the ratios are of tracers that took
// turns. It is no part of what is installed. It needs root, and it traces and
// makes loopback traffic in a namespace of its own only.
//
//	go run ./cmd/tcpbench -write docs/overhead.md
//	go run ./cmd/tcpbench -rounds 3 -only tcpstates,conns
//	go run ./cmd/tcpbench -keep bench.json -budget 5m
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

type options struct {
	rounds   int
	duration time.Duration // of one churn
	rate     int           // of the slower churn
	only     string
	write    string
	keep     string
	budget   time.Duration
}

func main() {
	var o options
	flag.IntVar(&o.rounds, "rounds", 7, "`how many` turns each tracer has at each speed")
	flag.DurationVar(&o.duration, "duration", 4*time.Second, "`how long` traffic is made in each turn")
	flag.IntVar(&o.rate, "rate", 3000, "connections a second of the slower traffic")
	flag.StringVar(&o.only, "only", "", "measure only these tracers: `NAME`,...")
	flag.StringVar(&o.write, "write", "", "put the tables into this `file`, between its marks")
	flag.StringVar(&o.keep, "keep", "", "keep what is measured in this `file`, and go on from what is in it")
	flag.DurationVar(&o.budget, "budget", 0, "begin no round that would end after `this long`; with -keep, to measure in parts")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, &o); err != nil {
		fmt.Fprintln(os.Stderr, "tcpbench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o *options) error {
	if os.Geteuid() != 0 {
		return errors.New("tracers need root: run this as root")
	}
	if o.rounds < 1 || o.duration < time.Second {
		return fmt.Errorf("%d rounds of %v: at least one round, of at least 1s, is needed", o.rounds, o.duration)
	}
	dir, err := os.MkdirTemp("", "tcpbench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b, err := newBench(ctx, o, dir)
	if err != nil {
		return err
	}
	complete, err := b.measure(ctx)
	if err != nil {
		return err
	}
	if !complete {
		fmt.Fprintf(os.Stderr, "tcpbench: %d of %d rounds are played; the same command goes on\n", b.Rounds, o.rounds)
	}
	if b.Rounds == 0 {
		return nil
	}
	tables := b.tables()
	fmt.Print(tables)
	if o.write != "" {
		return rewrite(o.write, tables)
	}
	return nil
}

// The marks in a file between which the tables are.
const (
	markBegin = "<!-- begin of what tcpbench writes -->\n"
	markEnd   = "<!-- end of what tcpbench writes -->\n"
)

// rewrite puts the text between the marks of the file.
func rewrite(path, text string) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, begins := strings.Cut(string(old), markBegin)
	_, after, ends := strings.Cut(rest, markEnd)
	if !begins || !ends {
		return fmt.Errorf("%s has no place for the tables: it needs the lines %q and %q", path, strings.TrimSpace(markBegin), strings.TrimSpace(markEnd))
	}
	return os.WriteFile(path, []byte(before+markBegin+"\n"+text+"\n"+markEnd+after), 0o644)
}
