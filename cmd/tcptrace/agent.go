package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/tcptrace/tcptrace/internal/agent"
	"github.com/tcptrace/tcptrace/internal/agent/metrics"
	"github.com/tcptrace/tcptrace/internal/diagnose"
	"github.com/tcptrace/tcptrace/internal/probe"
	"github.com/tcptrace/tcptrace/internal/sysctl"
	"github.com/tcptrace/tcptrace/internal/trace"
)

func newAgent() *cobra.Command {
	s := newAgentSettings()
	cmd := &cobra.Command{
		Use:   "agent [flags]",
		Short: "Run as a service: Prometheus metrics, and logs and metrics by OTLP",
		Long: `Traces for as long as it runs, and tells

  /metrics   Prometheus: sockets by state, time in each state, resets by cause, retransmits by
             class, handshakes, accept queues, failed connects, findings; docs/agent.md lists all
  /healthz   whether it runs
  /readyz    whether it traces: 503 where events have not been read for 10 s
  OTLP       with --otlp-endpoint: a log record for each connection that ended, an event for each
             finding, and the metrics

Series are told apart by --labels, and never by a remote address. There are never more than
--max-series: what finds no room is counted under labels that say "other", so that sums stay
right, and in tcptrace_series_overflow_total.

Each flag can also be set by a variable, TCPTRACE_MAX_SERIES for --max-series, and in the file
that --config names, a line for each flag: "max-series: 4000". The command line comes first,
then the environment, then the file. SIGHUP has the file read again: all of it takes effect, or,
where there is a mistake in it, nothing. Which connections are traced, and --listen, are
decided at the start.

Once it traces, it keeps only the capabilities that it still needs: BPF, DAC_READ_SEARCH, and
for the sweeps SYS_ADMIN, SYS_PTRACE and NET_ADMIN.`,
		Example: `  tcptrace agent                                           metrics on http://127.0.0.1:9435/metrics
  tcptrace agent --labels role,port,container              whose they are: by container
  tcptrace agent --otlp-endpoint http://collector:4318     logs and metrics to a collector, too
  tcptrace agent --listen :9435 --web-config web.yml       for others; with TLS and passwords`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return runAgent(cmd, s) },
	}
	addFlags(cmd, s.groups()...)
	s.complete(cmd)
	return cmd
}

// runAgent traces until SIGINT or SIGTERM.
func runAgent(cmd *cobra.Command, s *agentSettings) error {
	if err := s.load(); err != nil {
		return &usageError{err.Error()}
	}
	settings, err := s.agent()
	if err != nil {
		return &usageError{err.Error()}
	}
	stderr := cmd.ErrOrStderr()
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	server, err := agent.NewServer(s.listen, s.webConfig, log)
	if err != nil {
		return err
	}
	defer server.Close()

	sysctls, a, err := openAgent(settings, log)
	if err != nil {
		return err
	}
	defer sysctls.Close()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends it at once
	// From before anybody is told that it runs: the signal would end it else.
	s.hangups = make(chan os.Signal, 1)
	signal.Notify(s.hangups, syscall.SIGHUP)
	defer signal.Stop(s.hangups)
	return s.trace(ctx, a, server, stderr)
}

func openAgent(settings agent.Settings, log *slog.Logger) (io.Closer, *agent.Agent, error) {
	var sysctls diagnose.Settings // nil where they cannot be read
	closer := io.Closer(io.NopCloser(nil))
	if reader, err := sysctl.NewReader(diagnose.Sysctls()); err == nil {
		sysctls, closer = reader, reader
	}
	a, err := agent.New(settings, sysctls, log)
	if err != nil {
		return nil, nil, errors.Join(err, closer.Close())
	}
	return closer, a, nil
}

// trace attaches the programs, gives up what it then needs no more, and runs
// until ctx is done.
func (s *agentSettings) trace(ctx context.Context, a *agent.Agent, server *agent.Server, stderr io.Writer) error {
	labels, err := newLabeler(false)
	if err != nil {
		return err
	}
	defer labels.Close()
	var source *probe.Source
	t := trace.New(trace.Options{
		Filter: s.probe.Filter, Now: monotonic, Every: true, Sparse: s.probe.FiltersProcesses(),
		Ready: func() { s.began(a, server, stderr) },
	})
	options := s.probe
	options.OnBatch = t.Batch
	rest(&options)
	if source, err = probe.Open(options); err != nil {
		return &unableError{err}
	}
	defer source.Close()
	if s.measure || s.maxCPU.Limit > 0 {
		on, err := probe.Measure()
		if err != nil {
			return err
		}
		defer on.Close()
	}
	if err := agent.DropCapabilities(!s.probe.NoSweep); errors.Is(err, agent.ErrThreads) {
		fmt.Fprintf(stderr, "tcptrace: keeps all its capabilities: %v\n", err)
	} else if err != nil {
		return err
	}
	// What reading the kernel's types took is not needed again; and of what the
	// tracker keeps, little becomes garbage.
	debug.FreeOSMemory()
	debug.SetGCPercent(50)
	a.Watch(agent.Watched{
		Limit: s.maxCPU, Cost: func() (time.Duration, error) { return spent(source) }, Shed: source.Shed, Forget: t.Forget,
		Clock: source.Clock(), Now: monotonic, Open: t.Open,
		Health: func() metrics.Health {
			h := metrics.Health{Tracker: t.Stats()}
			if ran, runs, err := source.Cost(); err == nil { // the rest is as true without
				h.CPU, h.Runs = ran, runs
			}
			h.Load.Drops, h.Load.Retransmits, h.Load.Connections = source.LeftOut()
			return h
		},
	})
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		if err := server.Serve(ctx, a); err != nil {
			cancel(err)
		}
	}()
	go s.reloads(ctx, a, stderr)
	summary, err := t.Run(ctx, labelled(source, labels.label), a)
	a.Stopping()
	a.Close()
	conclude(stderr, summary)
	if cause := context.Cause(ctx); err == nil && cause != nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	return err
}

// began says that nothing is missed from now on.
func (s *agentSettings) began(a *agent.Agent, server *agent.Server, stderr io.Writer) {
	metrics := "http://" + server.Address() + "/metrics"
	if s.webConfig != "" {
		metrics = server.Address() + "/metrics, as " + s.webConfig + " says"
	}
	fmt.Fprintf(stderr, "tracing TCP connections; metrics on %s\n", metrics)
	if s.otlp.Endpoint != "" {
		fmt.Fprintf(stderr, "tcptrace: sends %v to %s\n", s.otlp.Send, s.otlp.Endpoint)
	}
	a.Begun("tracing; metrics on " + server.Address())
}

// reloads reads the configuration again at each SIGHUP.
func (s *agentSettings) reloads(ctx context.Context, a *agent.Agent, stderr io.Writer) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.hangups:
		}
		a.Reloading()
		if fixed, err := s.reload(ctx, a); err != nil {
			fmt.Fprintf(stderr, "tcptrace: the configuration stays as it was: %v\n", err)
		} else {
			fmt.Fprintln(stderr, "tcptrace: the configuration was read again")
			if len(fixed) > 0 {
				fmt.Fprintf(stderr, "tcptrace: needs a restart to take effect: %v\n", fixed)
			}
		}
		a.Begun("tracing")
	}
}

// reload takes over what can be changed, and returns the names of the flags
// that have changed and cannot.
func (s *agentSettings) reload(ctx context.Context, a *agent.Agent) (fixed []string, err error) {
	fresh, err := s.again()
	if err != nil {
		return nil, err
	}
	settings, err := fresh.agent()
	if err != nil {
		return nil, err
	}
	if err := a.Reload(ctx, settings); err != nil {
		return nil, err
	}
	return s.fixed(fresh), nil
}
