package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tcptrace/tcptrace/internal/agent"
	"github.com/tcptrace/tcptrace/internal/agent/config"
	"github.com/tcptrace/tcptrace/internal/agent/export"
	"github.com/tcptrace/tcptrace/internal/agent/governor"
	"github.com/tcptrace/tcptrace/internal/agent/metrics"
)

// agentSettings holds the flags of "agent", whoever sets them.
type agentSettings struct {
	live                      // of it, filter and probe
	listen, webConfig, config string
	labels                    []string
	maxSeries                 int
	expire, window            time.Duration
	histograms                string
	failedCalls, measure      bool
	maxCPU                    governor.Options
	otlp                      export.Options
	headers                   []string
	hangups                   chan os.Signal

	flags *pflag.FlagSet // all of them
	given []setting      // on the command line, in order
}

// A setting is one flag with one value, as they were written.
type setting struct{ name, value string }

// A noted flag remembers what it is set to on the command line.
type noted struct {
	pflag.Value
	name string
	to   *agentSettings
}

func (n noted) Set(text string) error {
	if err := n.Value.Set(text); err != nil {
		return err
	}
	n.to.given = append(n.to.given, setting{n.name, text})
	return nil
}

func newAgentSettings() *agentSettings {
	s := &agentSettings{
		listen: "127.0.0.1:9435", labels: []string{}, maxSeries: metrics.DefaultMaxSeries,
		expire: metrics.DefaultExpire, window: time.Hour, histograms: string(metrics.Both),
		maxCPU: governor.Options{Window: governor.DefaultWindow},
	}
	s.otlp = export.Options{
		Protocol: export.HTTP, Queue: export.DefaultQueue, Patience: export.DefaultPatience, Every: export.DefaultEvery,
	}
	return s
}

// groups makes the flags.
func (s *agentSettings) groups() []flagGroup {
	which := selectionFlags(&s.live.filter)
	labelFlags(which, &s.live.filter)
	groups := []flagGroup{
		{"What is told, and where", s.metricFlags()},
		{"To a collector, by OpenTelemetry's protocol (OTLP)", s.exportFlags()},
		{"Which connections (a list is comma-separated: any of it; different flags: all of them)", which},
		{"Advanced", s.advancedFlags()},
	}
	s.flags = newFlagSet()
	for _, g := range groups {
		g.flags.VisitAll(func(f *pflag.Flag) { f.Value = noted{f.Value, f.Name, s} })
		s.flags.AddFlagSet(g.flags)
	}
	return groups
}

func (s *agentSettings) metricFlags() *pflag.FlagSet {
	fs := newFlagSet()
	fs.Var(address{&s.listen}, "listen", "answer scrapers at this `ADDRESS`; with :9435, to everybody")
	fs.StringVar(&s.webConfig, "web-config", "", "`FILE` that asks for TLS and passwords, as Prometheus's exporters have it; read again at each connection")
	fs.StringVar(&s.config, "config", "", "`FILE` (YAML) with these flags' names and values; read again on SIGHUP")
	fs.Var(list[string]{&s.labels, parseWord(metrics.Labels())}, "labels",
		"tell series apart by these, `NAME`,...: role, port, process, container, unit; none for none of them (default role,port,process)")
	fs.Var(quantity{&s.maxSeries}, "max-series", fmt.Sprintf("never have more than `N` series (default %d)", s.maxSeries))
	fs.Var(period{to: &s.expire, min: time.Second, max: 240 * time.Hour}, "expire",
		"let go of series of which nothing was heard for this `TIME`, and that have no sockets; a minute where --max-series is reached")
	fs.Var(word{&s.histograms, []string{"both", "native", "classic"}}, "histograms",
		"`KIND` of histograms: native is exact within 5% and costs few series, classic is for scrapers without it; or both")
	fs.Var(period{to: &s.window, min: time.Minute, max: 240 * time.Hour}, "findings-window",
		"gather findings for this `TIME`, then begin anew with the connections that are open")
	fs.Var(share{&s.maxCPU.Limit}, "max-cpu",
		"hold what tracing costs, the BPF programs included, under this `SHARE` of one core, such as 1%: leaves out drops, then the details of"+
			" retransmits, then whole connections, and scales the counts; includes --measure")
	fs.BoolVar(&s.failedCalls, "failed-calls", false,
		"watch accept() and connect() fail, too: for fd-exhaustion; that costs every system call of the host some 50 ns")
	return fs
}

func (s *agentSettings) exportFlags() *pflag.FlagSet {
	fs := newFlagSet()
	fs.StringVar(&s.otlp.Endpoint, "otlp-endpoint", "", "`URL` of the collector, such as http://collector:4318; https:// for TLS")
	fs.Var(word{&s.otlp.Protocol, []string{export.HTTP, export.GRPC}}, "otlp-protocol", "`NAME`: http (port 4318) or grpc (4317)")
	fs.Var(list[string]{&s.otlp.Send, parseWord(export.Signals())}, "otlp-send", "send these, `NAME`,...: connections, findings, metrics (default all)")
	fs.Var(list[string]{&s.headers, parseHeader}, "otlp-headers",
		"send `NAME=VALUE`,... with each request; secrets belong in TCPTRACE_OTLP_HEADERS or the file, since others see a command line")
	fs.StringVar(&s.otlp.CAFile, "otlp-ca", "", "`FILE` of certificates (PEM) that sign the collector's, in place of the system's")
	fs.Var(quantity{&s.otlp.Queue}, "otlp-queue", fmt.Sprintf("keep at most `N` records for a collector that is slow or away; more are dropped and counted (default %d)", s.otlp.Queue))
	fs.Var(period{to: &s.otlp.Every, min: time.Second, max: time.Hour}, "otlp-metrics-every", "send the metrics at this `INTERVAL`")
	return fs
}

func (s *agentSettings) advancedFlags() *pflag.FlagSet {
	fs := s.live.advanced()
	fs.Var(period{to: &s.maxCPU.Window, min: 100 * time.Millisecond, max: time.Hour}, "cpu-window", "average what tracing costs over this `TIME` before --max-cpu acts on it")
	fs.BoolVar(&s.measure, "measure", false,
		"have the kernel measure what tcptrace's BPF programs cost, for tcptrace_bpf_cpu_seconds_total; that costs 30 to 50 ns for each run of one")
	return fs
}

func (s *agentSettings) complete(cmd *cobra.Command) {
	completeList(cmd, "labels", append(metrics.Labels(), "none")...)
	completeList(cmd, "otlp-send", export.Signals()...)
	completeWords(cmd, "histograms", "both", "native", "classic")
	completeWords(cmd, "otlp-protocol", export.HTTP, export.GRPC)
}

// load sets what the command line has not, from the environment and the file.
func (s *agentSettings) load() error {
	given := s.given
	var names []string
	for _, g := range given {
		names = append(names, g.name)
	}
	layers := config.New(s.flags, names)
	if err := layers.Environment(os.LookupEnv); err != nil {
		return err
	}
	if s.config != "" {
		if err := layers.File(s.config); err != nil {
			return err
		}
	}
	s.given = given
	if len(s.labels) == 0 {
		s.labels = []string{metrics.LabelRole, metrics.LabelPort, metrics.LabelProcess}
	}
	s.labels = slices.DeleteFunc(s.labels, func(l string) bool { return l == "none" })
	slices.Sort(s.labels)
	s.labels = slices.Compact(s.labels)
	if len(s.otlp.Send) == 0 {
		s.otlp.Send = export.Signals()
	}
	s.probe.Filter, s.probe.Errors = s.filter, s.failedCalls
	return nil
}

// again returns the settings as the environment and the file have them now,
// with the same command line.
func (s *agentSettings) again() (*agentSettings, error) {
	fresh := newAgentSettings()
	fresh.groups()
	for _, g := range s.given {
		if err := fresh.flags.Set(g.name, g.value); err != nil {
			return nil, err
		}
	}
	return fresh, fresh.load()
}

// agent returns what the agent makes of the settings.
func (s *agentSettings) agent() (agent.Settings, error) {
	o := s.otlp
	o.Version = strings.Fields(version())[1] // of "tcptrace VERSION go..."
	o.Host, _ = os.Hostname()                // "" where there is none
	o.HostID = hostID()
	o.Headers = map[string]string{}
	for _, h := range s.headers {
		name, value, _ := strings.Cut(h, "=")
		o.Headers[name] = value
	}
	if err := o.Check(); err != nil {
		return agent.Settings{}, fmt.Errorf("--otlp-endpoint: %w", err)
	}
	m := metrics.Options{
		Version: o.Version, Labels: s.labels, MaxSeries: s.maxSeries, Expire: s.expire, Histograms: metrics.Histograms(s.histograms),
	}
	if _, err := metrics.New(m); err != nil {
		return agent.Settings{}, fmt.Errorf("--max-series: %w", err)
	}
	return agent.Settings{Metrics: m, Export: o, Window: s.window}, nil
}

// hostID returns the id of this installation, machine-id(5), or "".
func hostID() string {
	id, err := os.ReadFile("/etc/machine-id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}

// fixed returns the names of the flags that differ in fresh and take effect at
// the start alone.
func (s *agentSettings) fixed(fresh *agentSettings) (names []string) {
	differs := func(name string, a, b any) {
		if fmt.Sprintf("%+v", a) != fmt.Sprintf("%+v", b) {
			names = append(names, name)
		}
	}
	differs("listen", s.listen, fresh.listen)
	differs("web-config", s.webConfig, fresh.webConfig)
	differs("which connections", s.filter, fresh.filter)
	differs("failed-calls", s.failedCalls, fresh.failedCalls)
	differs("measure", s.measure, fresh.measure)
	differs("max-cpu", s.maxCPU, fresh.maxCPU)
	a, b := s.probe, fresh.probe
	a.OnBatch, b.OnBatch = nil, nil
	a.Filter, b.Filter, a.Errors, b.Errors = fresh.filter, fresh.filter, false, false
	differs("advanced flags", a, b)
	return names
}

// parseWord returns what parses one of a few words, or none.
func parseWord(from []string) func(string) (string, error) {
	return func(s string) (string, error) {
		var w string
		err := word{&w, append(slices.Clone(from), "none")}.Set(s)
		return w, err
	}
}

func parseHeader(s string) (string, error) {
	if name, _, ok := strings.Cut(s, "="); !ok || name == "" {
		return "", errors.New(`it is no header; write name=value, such as authorization="Bearer TOKEN"`)
	}
	return s, nil
}
