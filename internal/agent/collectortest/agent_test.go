//go:build linux

package collectortest

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/tcptrace/tcptrace/internal/lab"
)

// scraped adds up what an agent tells of a metric.
func scraped(t *testing.T, address, name string) (n int) {
	t.Helper()
	answer, err := http.Get("http://" + address + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	all, err := parser.TextToMetricFamilies(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	var family *dto.MetricFamily = all[name]
	for _, m := range family.GetMetric() {
		n += int(m.Counter.GetValue() + m.Gauge.GetValue())
	}
	return n
}

// An agent sees 100,000 real connections to a port of this host, and the
// collector gets a record of each accepted one: as many as the agent has seen.
func TestCollector_RealConnections(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("this traces real sockets: run it as root")
	}
	if testing.Short() {
		t.Skip("makes 100,000 connections")
	}
	const n = 100_000
	program := filepath.Join(t.TempDir(), "tcptrace")
	build := exec.Command("go", "build", "-o", program, "./cmd/tcptrace")
	build.Dir = "../../.."
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	story, err := lab.Lookup("churn")
	if err != nil {
		t.Fatal(err)
	}
	c, address := newCollector(t), freeAddress(t)
	var agent *exec.Cmd
	var ended, sent, dropped int
	truth, err := story.Run(t.Context(), lab.Params{
		N: n, Rate: 4000, Duration: 3 * time.Minute,
		Ready: func(netns []uint32) error {
			agent = exec.Command(program, "agent", "--listen", address, "--netns", strings.Trim(fmt.Sprint(netns), "[]"),
				"--labels", "role", "--otlp-endpoint", "http://"+c.http, "--otlp-send", "connections")
			said, err := agent.StderrPipe()
			if err != nil {
				return err
			}
			if err := agent.Start(); err != nil {
				return err
			}
			lines := bufio.NewReader(said)
			if first, err := lines.ReadString('\n'); !strings.HasPrefix(first, "tracing") {
				return fmt.Errorf("it does not say that it is tracing, but %q, %v", first, err)
			}
			go io.Copy(io.Discard, lines)
			return nil
		},
		Over: func(*lab.Truth) error {
			for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
				sent = scraped(t, address, "tcptrace_export_records_sent_total")
				if scraped(t, address, "tcptrace_export_records_queued") == 0 && sent >= n {
					break
				}
			}
			ended = scraped(t, address, "tcptrace_connections_ended_total")
			dropped = scraped(t, address, "tcptrace_export_records_dropped_total")
			return agent.Process.Signal(syscall.SIGTERM)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := agent.Wait(); err != nil {
		t.Error(err)
	}
	all := c.taken()
	if len(all) < max(ended, sent) || doubled(all) != 0 || dropped != 0 || sent < n*999/1000 {
		t.Errorf("the collector got %d, %d twice; the agent counts %d ended, %d sent, %d dropped", len(all), doubled(all), ended, sent, dropped)
	}
	t.Logf("%d connections at %.0f/s: the collector got %d records, %d twice; the agent counts %d ended, %d sent, %d dropped",
		truth.Count, truth.Rate, len(all), doubled(all), ended, sent, dropped)
}
