// Command testkernel boots Debian's kernels under emulation and runs in each
// what cannot be shown without a kernel: the live tests of internal/probe, in
// every way of seeing minisockets that the kernel has. It is no part of what
// is installed. It needs the packages qemu-system-x86 and busybox-static.
//
//	go run ./cmd/testkernel 6.1        one kernel
//	go run ./cmd/testkernel -native    all of them, and this host's own
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

type options struct {
	cache  string
	all    bool
	native bool
	run    string // tests, as go test -run has it
	write  string // where to write the table; "" is nowhere
	cost   bool   // measure what each way costs
	jobs   int
	limit  time.Duration // of each guest
}

func main() {
	var o options
	flag.StringVar(&o.cache, "cache", ".cache/kernels", "`directory` for kernels, apt's lists and the guests' consoles")
	flag.BoolVar(&o.all, "all", false, "play every story with both families, not each state, end and cause once")
	flag.BoolVar(&o.native, "native", false, "the same on this host, without emulation (needs root)")
	flag.StringVar(&o.run, "run", "", "run only the tests of internal/probe that match this `pattern`")
	flag.StringVar(&o.write, "write", "", "write the table to this `file`, and the verifier's budget beside it")
	flag.BoolVar(&o.cost, "cost", false, "measure what the BPF programs cost in each way, in turn")
	flag.IntVar(&o.jobs, "j", runtime.NumCPU(), "how `many` guests run at a time")
	flag.DurationVar(&o.limit, "limit", 10*time.Minute, "end a guest that has had the CPU for this `time`, or three times that has passed")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, &o, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "testkernel:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o *options, names []string) error {
	wanted, err := lookup(names)
	if err != nil {
		return err
	}
	if o.cache, err = filepath.Abs(o.cache); err != nil {
		return err
	}
	if err := os.MkdirAll(o.cache, 0o755); err != nil {
		return err
	}
	programs, err := compile(ctx, o.cache)
	if err != nil {
		return err
	}
	m := matrix{options: o, programs: programs}
	if err := m.fetch(ctx, wanted); err != nil {
		return err
	}
	m.began = time.Now()
	m.run(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return m.judge(len(names) == 0)
}
