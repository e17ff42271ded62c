//go:build linux

package endtoend

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

const deploy = "../../docs/deploy"

// need returns the path of a program, or skips the test and says which package
// of Debian has it.
func need(t *testing.T, program, in string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if errors.Is(err, exec.ErrNotFound) {
		t.Skipf("no program %s (Debian has it in %s)", program, in)
	}
	return path
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(deploy, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func succeeds(t *testing.T, dir, program string, args ...string) {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s %s: %v\n%s", filepath.Base(program), strings.Join(args, " "), err, out)
	}
}

func TestDeploy_PrometheusTakesTheRules(t *testing.T) {
	promtool := need(t, "promtool", "prometheus")
	dir := filepath.Join(deploy, "prometheus")
	succeeds(t, dir, promtool, "check", "config", "scrape.yml")
	succeeds(t, dir, promtool, "check", "rules", "rules.yml")
	succeeds(t, dir, promtool, "test", "rules", "rules_test.yml")
}

// dashboardQueries returns the expressions of the dashboard, with values for
// Grafana's variables.
func dashboardQueries(t *testing.T) (all []string) {
	t.Helper()
	var dashboard struct {
		Panels []struct {
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, "grafana/dashboard.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	variables := strings.NewReplacer("$__rate_interval", "5m", "$instance", ".*", "$by", "process")
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			all = append(all, variables.Replace(target.Expr))
		}
	}
	return all
}

func TestDeploy_PrometheusTakesTheDashboardsQueries(t *testing.T) {
	promtool := need(t, "promtool", "prometheus")
	var rules strings.Builder
	fmt.Fprintln(&rules, "groups: [{name: dashboard, rules: [")
	for i, q := range dashboardQueries(t) {
		fmt.Fprintf(&rules, "{record: 'query:%d', expr: %q},\n", i, q)
	}
	fmt.Fprintln(&rules, "]}]")
	file := filepath.Join(t.TempDir(), "rules.yml")
	if err := os.WriteFile(file, []byte(rules.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	succeeds(t, ".", promtool, "check", "rules", file)
}

var metricName = regexp.MustCompile(`\btcptrace_[a-z0-9_]+`)

// Whatever the dashboard and the rules ask for, docs/agent.md explains.
func TestDeploy_AsksForMetricsThatThereAre(t *testing.T) {
	manual, err := os.ReadFile("../../docs/agent.md")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, name := range metricName.FindAllString(string(manual), -1) {
		known[name] = true
	}
	asked := strings.Join(dashboardQueries(t), " ") + read(t, "prometheus/rules.yml")
	for _, name := range metricName.FindAllString(asked, -1) {
		base := regexp.MustCompile(`_(bucket|count|sum)$`).ReplaceAllString(name, "")
		if !known[name] && !known[base] {
			t.Errorf("docs/agent.md has no %s", name)
		}
	}
}

// The unit is one that systemd takes, and its capabilities show all that root
// sees.
func TestDeploy_SystemdUnit(t *testing.T) {
	unit := read(t, "systemd/tcptrace.service")
	analyze := need(t, "systemd-analyze", "systemd")
	dir := t.TempDir()
	there := filepath.Join(dir, "tcptrace.service")
	if err := os.WriteFile(there, []byte(strings.Replace(unit, "/usr/local/bin/tcptrace", binary, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	succeeds(t, dir, analyze, "verify", "--man=no", there)

	line := regexp.MustCompile(`(?m)^CapabilityBoundingSet=(.*)$`).FindStringSubmatch(unit)
	if line == nil {
		t.Fatal("the unit bounds no capabilities")
	}
	set := "-all"
	for c := range strings.FieldsSeq(line[1]) {
		set += ",+" + strings.ToLower(strings.TrimPrefix(c, "CAP_"))
	}
	all := tcptrace(t, "doctor", "-o", "json")
	less, err := exec.Command(lookup(t, "setpriv"), "--bounding-set", set, "--inh-caps", "-all", binary, "doctor", "-o", "json").Output()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(all), string(less)); diff != "" {
		t.Errorf("what is seen with these capabilities (-as root +as the unit):\n%s", diff)
	}
}

// runOptions returns the options of the "docker run" that a file recommends.
func runOptions(t *testing.T, text string) (options []string) {
	t.Helper()
	_, command, found := strings.Cut(text, "docker run -d ")
	if !found {
		t.Fatal("no docker run -d")
	}
	command, _, _ = strings.Cut(command, "\nFROM")
	for line := range strings.Lines(command) {
		line = strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(line), "#"), `\`)
		options = append(options, strings.Fields(line)...)
		if strings.HasSuffix(strings.TrimSpace(line), " tcptrace") {
			break
		}
	}
	return options[:len(options)-1] // without the image
}

// The image is made from nothing but the program, and runs with the privileges
// that its Dockerfile names, no more.
func TestDeploy_ContainerFromScratch(t *testing.T) {
	if testing.Short() {
		t.Skip("starts an engine")
	}
	e := startEngine(t)
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/Dockerfile", []byte(read(t, "container/Dockerfile")), 0o600); err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/tcptrace", program, 0o755); err != nil {
		t.Fatal(err)
	}
	e.docker("build", "-q", "-t", "tcptrace", dir)
	helper := startHelper(t, "each containerd-see", nil) // of the host, in another namespace

	args := append([]string{"run", "--rm"}, runOptions(t, read(t, "container/Dockerfile"))...)
	args = append(args, "tcptrace", "agent", "--netns", helper.netns)
	cmd := exec.Command(lookup(t, "docker"), args...)
	cmd.Env = e.env
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		e.docker("rm", "-f", "tcptrace")
		cmd.Wait()
	})
	said := bufio.NewReader(stderr)
	if first, err := said.ReadString('\n'); err != nil || !strings.HasPrefix(first, "tracing") {
		t.Fatalf("it does not say that it is tracing, but %q, %v", first, err)
	}
	a := &agent{tracer: &tracer{t: t}, address: "127.0.0.1:9435", client: http.Client{Transport: &http.Transport{DialContext: dialWithin(e.host.pid)}}}
	a.until("sockets", map[string]float64{
		"containerd-see LISTEN": 1, "containerd-see ESTABLISHED": 4, "containerd-see CLOSE_WAIT": 1, "unknown FIN_WAIT2": 1, "unknown TIME_WAIT": 1,
	}, "process", "state")
	a.verdict()
}

// dialWithin connects from the network namespace of a process.
func dialWithin(pid int) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (c net.Conn, err error) {
		done := make(chan struct{})
		go func() { // the thread ends with the goroutine
			defer close(done)
			runtime.LockOSThread()
			var ns *os.File
			if ns, err = os.Open(fmt.Sprintf("/proc/%d/ns/net", pid)); err != nil {
				return
			}
			defer ns.Close()
			if err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err == nil {
				c, err = new(net.Dialer).DialContext(ctx, network, address)
			}
		}()
		<-done
		return c, err
	}
}
