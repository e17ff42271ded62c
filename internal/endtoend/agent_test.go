//go:build linux

package endtoend

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"golang.org/x/crypto/bcrypt"

	"github.com/tcptrace/tcptrace/internal/lab"
)

// An agent is a running "tcptrace agent". What is wrong with what it tells is
// kept until verdict is called: a story may be played again, with another agent.
type agent struct {
	*tracer
	address string
	client  http.Client
	wrong   []string
}

func (a *agent) verdict() {
	a.t.Helper()
	for _, w := range a.wrong {
		a.t.Error(w)
	}
}

// startAgent returns when it traces. It listens at a port of its own.
func startAgent(t testing.TB, args ...string) *agent {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := &agent{address: l.Addr().String()}
	l.Close()
	a.tracer = start(t, nil, append([]string{"agent", "--listen", a.address}, args...)...)
	return a
}

func (a *agent) get(path string) (status int, body string) {
	a.t.Helper()
	answer, err := a.client.Get("http://" + a.address + path)
	if err != nil {
		a.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

// A scrape is what /metrics said.
type scrape map[string]*dto.MetricFamily

func (a *agent) scrape() scrape {
	a.t.Helper()
	status, body := a.get("/metrics")
	if status != http.StatusOK {
		a.t.Fatalf("/metrics: %d %s", status, body)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	return families
}

// values returns a family's, by the values of its labels: of a histogram the
// counts.
func (s scrape) values(name string, labels ...string) map[string]float64 {
	all := map[string]float64{}
	for _, m := range s["tcptrace_"+name].GetMetric() {
		var key []string
		for _, want := range labels {
			for _, l := range m.Label {
				if l.GetName() == want {
					key = append(key, l.GetValue())
				}
			}
		}
		all[strings.Join(key, " ")] += m.Counter.GetValue() + m.Gauge.GetValue() + float64(m.Histogram.GetSampleCount())
	}
	return all
}

// until scrapes until one is as wanted.
func (a *agent) until(name string, want map[string]float64, labels ...string) {
	a.t.Helper()
	var got map[string]float64
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		if got = a.scrape().values(name, labels...); cmp.Equal(want, got) {
			return
		}
	}
	a.wrong = append(a.wrong, fmt.Sprintf("%s (-want +got):\n%s", name, cmp.Diff(want, got)))
}

// Every state of both ends is in the histograms, exactly as often as there were
// connections.
func TestAgent_CountsEveryConnection(t *testing.T) {
	const n = 101
	var a *agent
	params := lab.Params{N: n, Held: func(*lab.Truth) error {
		a.until("sockets", map[string]float64{"client TIME_WAIT": n, "server LISTEN": 1}, "role", "state")
		return nil
	}, Over: func(*lab.Truth) error {
		a.until("state_duration_seconds", map[string]float64{
			"client SYN_SENT": n, "client ESTABLISHED": n, "client FIN_WAIT1": n, "client FIN_WAIT2": n,
			"server SYN_RECV": n, "server ESTABLISHED": n, "server CLOSE_WAIT": n, "server LAST_ACK": n,
		}, "role", "state")
		s := a.scrape()
		for name, want := range map[string]map[string]float64{
			"handshake_duration_seconds": {"client": n, "server": n},
			"connections_ended_total":    {"server": n}, // the clients' are in TIME_WAIT
			"lost_events_total":          {"": 0},
			"untold_transitions_total":   {"": 0},
		} {
			if diff := cmp.Diff(want, s.values(name, "role")); diff != "" {
				a.wrong = append(a.wrong, fmt.Sprintf("%s (-want +got):\n%s", name, diff))
			}
		}
		if status := a.interrupt(); status != 0 {
			t.Errorf("exit status %d, want 0", status)
		}
		return nil
	}}
	play(t, "client-close", params, func(netns string) { a = startAgent(t, netns, "--labels", "role") })
	a.verdict()
}

func TestAgent_CountsResetsByCause(t *testing.T) {
	const n = 53
	var a *agent
	params := lab.Params{N: n, Over: func(*lab.Truth) error {
		a.until("resets_total", map[string]float64{"sent reset-linger client": n, "received reset-linger server": n}, "direction", "cause", "role")
		a.until("connections_ended_total", map[string]float64{"reset_sent client": n, "reset_received server": n}, "end", "role")
		a.interrupt()
		return nil
	}}
	play(t, "reset-linger", params, func(netns string) { a = startAgent(t, netns) })
	a.verdict()
}

// Each failed connect() is counted once, though one without a port shows twice.
func TestAgent_CountsFailedConnects(t *testing.T) {
	for story, errno := range map[string]string{"refused": "ECONNREFUSED", "ephemeral-port-exhaustion": "EADDRNOTAVAIL"} {
		t.Run(story, func(t *testing.T) {
			var a *agent
			params := lab.Params{Over: func(truth *lab.Truth) error {
				failed := 0
				for i := range truth.Conns {
					if truth.Conns[i].ClientErrno == errno {
						failed++
					}
				}
				a.until("connect_failures_total", map[string]float64{errno: float64(failed)}, "errno")
				a.interrupt()
				return nil
			}}
			play(t, story, params, func(netns string) { a = startAgent(t, netns) })
			a.verdict()
		})
	}
}

// What leaks in CLOSE_WAIT, and whose it is: the gauge, and the finding.
func TestAgent_TellsWhoLeaks(t *testing.T) {
	if testing.Short() {
		t.Skip("a leak shows after 5 s")
	}
	t.Parallel()
	const n = 23
	var a *agent
	var who string
	params := lab.Params{N: n, Held: func(truth *lab.Truth) error {
		comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", truth.Conns[0].ServerPID))
		if err != nil {
			return err
		}
		who = strings.TrimSpace(string(comm))
		sockets := a.scrape().values("sockets", "process", "state")
		if sockets[who+" CLOSE_WAIT"] != n {
			a.wrong = append(a.wrong, fmt.Sprintf("sockets are %v, want %d of %s in CLOSE_WAIT", sockets, n, who))
		}
		a.until("findings", map[string]float64{"close-wait-leak " + who: n}, "rule", "process")
		a.interrupt()
		return nil
	}}
	play(t, "close-wait-leak", params, func(netns string) { a = startAgent(t, netns) })
	a.verdict()
}

var capabilities = regexp.MustCompile(`(?m)^(CapInh|CapPrm|CapEff|CapBnd|CapAmb|NoNewPrivs):\s*(\w+)$`)

// status returns what the kernel says of every thread of a process.
func (a *agent) status() map[string]bool {
	a.t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", a.cmd.Process.Pid))
	if err != nil || len(files) == 0 {
		a.t.Fatal("no thread", err)
	}
	all := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // the thread has ended
		}
		for _, m := range capabilities.FindAllStringSubmatch(string(text), -1) {
			all[m[1]+" "+m[2]] = true
		}
	}
	return all
}

// Once it traces, no thread has more capabilities than it needs, and with those
// a sweep still finds the sockets of another namespace.
func TestAgent_KeepsOnlyTheCapabilitiesItNeeds(t *testing.T) {
	needStatic(t)
	const (
		bpf, search             = 1 << 39, 1 << 2
		admin, ptrace, netAdmin = 1 << 21, 1 << 19, 1 << 12
	)
	for _, c := range []struct {
		args []string
		want uint64
	}{
		{nil, bpf | search | admin | ptrace | netAdmin},
		{[]string{"--no-sweep"}, bpf | search},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			h := startHelper(t, "each agenthelper", nil)
			a := startAgent(t, append(c.args, "--netns", h.netns)...)
			if c.args == nil {
				a.until("sockets", map[string]float64{
					"agenthelper LISTEN": 1, "agenthelper ESTABLISHED": 4, "agenthelper CLOSE_WAIT": 1, "unknown FIN_WAIT2": 1, "unknown TIME_WAIT": 1,
				}, "process", "state")
			}
			mask := fmt.Sprintf("%016x", c.want)
			want := map[string]bool{
				"CapInh 0000000000000000": true, "CapAmb 0000000000000000": true, "NoNewPrivs 1": true,
				"CapPrm " + mask: true, "CapEff " + mask: true, "CapBnd " + mask: true,
			}
			if diff := cmp.Diff(want, a.status()); diff != "" {
				t.Errorf("of all threads (-want +got):\n%s", diff)
			}
			a.interrupt()
			a.verdict()
		})
	}
}

// A reload takes effect as a whole, or not at all.
func TestAgent_ReloadsItsFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "agent.yml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("max-series: 3000\n")
	a := startAgent(t, "--config", file, "--labels", "role", "--netns", "1")
	limit := func(want float64) {
		t.Helper()
		a.until("series_limit", map[string]float64{"": want})
	}
	limit(3000)
	hangup := func() { a.cmd.Process.Signal(syscall.SIGHUP) }
	write("max-series: 4000\nlabels: [process]\nport: 80\n")
	hangup()
	limit(4000)
	write("max-series: 5000\nexpire: soon\n")
	hangup()
	write("max-series: 1\n")
	hangup()
	limit(4000)
	write("max-series: 6000\n")
	for range 100 { // signals that come together are one
		hangup()
		if a.scrape().values("series_limit")[""] == 6000 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	limit(6000)
	a.interrupt()
	a.verdict()
	said := a.stderr.String()
	for _, want := range []string{
		"tcptrace: needs a restart to take effect: [which connections]",
		"tcptrace: the configuration was read again",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("it does not say %q, but:\n%s", want, said)
		}
	}
}

func TestAgent_SaysWhatIsWrongWithItsFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "agent.yml")
	if err := os.WriteFile(file, []byte("listen: 127.0.0.1:0\nmax-serie: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(binary, "agent", "--config", file).CombinedOutput()
	want := "tcptrace: " + file + ": line 2: max-serie: no such setting; did you mean max-series?\n"
	if err == nil || string(out) != want {
		t.Errorf("%v, it says %q, want %q", err, out, want)
	}
}

// The service manager hears that it has begun, that it is alive, that it reads
// its configuration again, and that it ends.
func TestAgent_TellsTheServiceManager(t *testing.T) {
	name := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv("NOTIFY_SOCKET", name)
	t.Setenv("WATCHDOG_USEC", "300000")
	a := startAgent(t, "--netns", "1")
	heard := func(want string) {
		t.Helper()
		l.SetReadDeadline(time.Now().Add(20 * time.Second))
		b := make([]byte, 4096)
		for {
			n, err := l.Read(b)
			if err != nil {
				t.Fatalf("it does not say %s: %v", want, err)
			}
			if strings.HasPrefix(string(b[:n]), want) {
				return
			}
		}
	}
	heard("READY=1\nSTATUS=tracing; metrics on " + a.address)
	heard("WATCHDOG=1")
	a.cmd.Process.Signal(syscall.SIGHUP)
	heard("RELOADING=1\nMONOTONIC_USEC=")
	heard("READY=1")
	heard("WATCHDOG=1")
	for path, want := range map[string]string{"/healthz": "alive\n", "/readyz": "tracing\n"} {
		if status, body := a.get(path); status != http.StatusOK || body != want {
			t.Errorf("%s: %d %q, want %q", path, status, body, want)
		}
	}
	if status := a.interrupt(); status != 0 {
		t.Errorf("exit status %d, want 0", status)
	}
	heard("STOPPING=1")
}

// With a file of exporter-toolkit, only who has the password gets metrics, by
// TLS.
func TestAgent_TLSAndPassword(t *testing.T) {
	dir := t.TempDir()
	pool := certificate(t, dir)
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	web := fmt.Sprintf("tls_server_config: {cert_file: cert.pem, key_file: key.pem}\nbasic_auth_users: {prometheus: %s}\n", hash)
	if err := os.WriteFile(dir+"/web.yml", []byte(web), 0o600); err != nil {
		t.Fatal(err)
	}
	a := startAgent(t, "--web-config", dir+"/web.yml", "--netns", "1")
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	for password, want := range map[string]int{"secret": http.StatusOK, "wrong": http.StatusUnauthorized, "": http.StatusUnauthorized} {
		q, err := http.NewRequest("GET", "https://"+a.address+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		if password != "" {
			q.SetBasicAuth("prometheus", password)
		}
		answer, err := client.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("password %q: %d, want %d", password, answer.StatusCode, want)
		}
	}
	a.interrupt()
}

// certificate makes a key and a certificate of 127.0.0.1.
func certificate(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "tcptrace"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(dir+"/cert.pem", public, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600); err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(public)
	return pool
}
