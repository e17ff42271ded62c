package collectortest

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/provider/fileprovider"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/otelcol"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/service/telemetry/otelconftelemetry"

	"github.com/tcptrace/tcptrace/internal/agent/export"
	"github.com/tcptrace/tcptrace/internal/lab"
)

// configVar makes the test binary a collector with this configuration.
const configVar = "COLLECTOR_TEST_CONFIG"

func TestMain(m *testing.M) {
	lab.Act()
	if config := os.Getenv(configVar); config != "" {
		if err := collect(config); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// collect runs a collector until it is killed.
func collect(config string) error {
	c, err := otelcol.NewCollector(otelcol.CollectorSettings{
		BuildInfo: component.BuildInfo{Command: "collectortest"},
		Factories: func() (f otelcol.Factories, err error) {
			f.Telemetry = otelconftelemetry.NewFactory()
			if f.Receivers, err = otelcol.MakeFactoryMap[receiver.Factory](otlpreceiver.NewFactory()); err != nil {
				return f, err
			}
			f.Exporters, err = otelcol.MakeFactoryMap[exporter.Factory](newLedger())
			return f, err
		},
		ConfigProviderSettings: otelcol.ConfigProviderSettings{ResolverSettings: confmap.ResolverSettings{
			URIs: []string{"file:" + config}, ProviderFactories: []confmap.ProviderFactory{fileprovider.NewFactory()},
		}},
	})
	if err != nil {
		return err
	}
	return c.Run(context.Background())
}

// A ledger is an exporter that writes the log.record.uid of each connection's
// record to a file, before the agent is told that the record was taken.
type ledger struct {
	component.StartFunc
	component.ShutdownFunc
	file *os.File
}

type ledgerConfig struct {
	Path string `mapstructure:"path"`
}

func newLedger() exporter.Factory {
	create := func(_ context.Context, _ exporter.Settings, c component.Config) (exporter.Logs, error) {
		file, err := os.OpenFile(c.(*ledgerConfig).Path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		return &ledger{file: file}, err
	}
	return exporter.NewFactory(component.MustNewType("ledger"), func() component.Config { return &ledgerConfig{} },
		exporter.WithLogs(create, component.StabilityLevelStable))
}

func (*ledger) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

func (l *ledger) ConsumeLogs(_ context.Context, logs plog.Logs) error {
	var all strings.Builder
	for _, r := range logs.ResourceLogs().All() {
		for _, s := range r.ScopeLogs().All() {
			for _, record := range s.LogRecords().All() {
				if uid, ok := record.Attributes().Get("log.record.uid"); ok {
					fmt.Fprintln(&all, uid.Str())
				}
			}
		}
	}
	_, err := l.file.WriteString(all.String())
	return err
}

// A collector is a process that can be killed and started again: it listens
// where it did and goes on in the same file.
type collector struct {
	t          *testing.T
	config     string
	uids       string // file
	http, grpc string
	cmd        *exec.Cmd
}

func newCollector(t *testing.T) *collector {
	t.Helper()
	dir := t.TempDir()
	c := &collector{t: t, config: filepath.Join(dir, "config.yml"), uids: filepath.Join(dir, "uids"), http: freeAddress(t), grpc: freeAddress(t)}
	text := fmt.Sprintf(`
receivers: {otlp: {protocols: {http: {endpoint: %q}, grpc: {endpoint: %q}}}}
exporters: {ledger: {path: %q}}
service:
  telemetry: {logs: {level: error}, metrics: {level: none}}
  pipelines: {logs: {receivers: [otlp], exporters: [ledger]}}
`, c.http, c.grpc, c.uids)
	if err := os.WriteFile(c.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c.start()
	t.Cleanup(c.kill)
	return c
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// address returns where it takes records by a protocol.
func (c *collector) address(protocol string) string {
	if protocol == export.GRPC {
		return c.grpc
	}
	return c.http
}

// start returns when it can be connected to.
func (c *collector) start() {
	c.t.Helper()
	c.cmd = exec.Command("/proc/self/exe")
	c.cmd.Env = append(os.Environ(), configVar+"="+c.config)
	c.cmd.Stdout, c.cmd.Stderr = os.Stderr, os.Stderr
	if err := c.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", c.http)
		if err == nil {
			conn.Close()
			return
		}
		if time.Now().After(end) {
			c.t.Fatal("the collector does not listen")
		}
	}
}

func (c *collector) kill() {
	_ = c.cmd.Process.Kill() // it may have been
	_ = c.cmd.Wait()
}

// taken returns how often each record came.
func (c *collector) taken() map[string]int {
	c.t.Helper()
	file, err := os.Open(c.uids)
	if err != nil {
		c.t.Fatal(err)
	}
	defer file.Close()
	all := map[string]int{}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		all[lines.Text()]++
	}
	return all
}

// doubled returns how many came more than once.
func doubled(all map[string]int) (n int) {
	for _, times := range all {
		if times > 1 {
			n++
		}
	}
	return n
}
