package metrics

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/story"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

func options() Options {
	return Options{
		Version: "test", Labels: []string{LabelPort, LabelProcess, LabelRole}, MaxSeries: DefaultMaxSeries,
		Expire: DefaultExpire, Histograms: Both,
	}
}

func newMetrics(t *testing.T, o Options) *Metrics {
	t.Helper()
	m, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// text returns what a scrape in the given format shows, comments left out.
func text(t *testing.T, m *Metrics, format expfmt.Format) []string {
	t.Helper()
	all, err := m.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	for _, f := range all {
		if format == expfmt.NewFormat(expfmt.TypeOpenMetrics) {
			_, err = expfmt.MetricFamilyToOpenMetrics(&b, f)
		} else {
			_, err = expfmt.MetricFamilyToText(&b, f)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	return slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, "#") })
}

var plainText = expfmt.NewFormat(expfmt.TypeTextPlain)

// shown returns the lines about subjects whose names begin so, without buckets.
func shown(t *testing.T, m *Metrics, names ...string) (lines []string) {
	t.Helper()
	for _, l := range text(t, m, plainText) {
		for _, n := range names {
			if strings.HasPrefix(l, "tcptrace_"+n) && !strings.Contains(l, "_bucket{") {
				lines = append(lines, strings.TrimPrefix(l, "tcptrace_"))
			}
		}
	}
	return lines
}

func TestMetrics_BothEndsOfAConnection(t *testing.T) {
	m := newMetrics(t, options())
	story.Tell(story.Plain(), 80*time.Second, m.Show)
	want := []string{
		`connections_ended_total{end="fin",port="443",process="curl",role="client"} 1`,
		`connections_ended_total{end="fin",port="443",process="nginx",role="server"} 1`,
		`handshake_duration_seconds_sum{port="443",process="curl",role="client"} 0.0004`,
		`handshake_duration_seconds_count{port="443",process="curl",role="client"} 1`,
		`handshake_duration_seconds_sum{port="443",process="unknown",role="server"} 0.00035`,
		`handshake_duration_seconds_count{port="443",process="unknown",role="server"} 1`,
		`state_duration_seconds_sum{port="443",process="curl",role="client",state="ESTABLISHED"} 1.9996`,
		`state_duration_seconds_count{port="443",process="curl",role="client",state="ESTABLISHED"} 1`,
		`state_duration_seconds_sum{port="443",process="curl",role="client",state="FIN_WAIT1"} 2e-05`,
		`state_duration_seconds_count{port="443",process="curl",role="client",state="FIN_WAIT1"} 1`,
		`state_duration_seconds_sum{port="443",process="curl",role="client",state="FIN_WAIT2"} 12.344985`,
		`state_duration_seconds_count{port="443",process="curl",role="client",state="FIN_WAIT2"} 1`,
		`state_duration_seconds_sum{port="443",process="curl",role="client",state="SYN_SENT"} 0.0004`,
		`state_duration_seconds_count{port="443",process="curl",role="client",state="SYN_SENT"} 1`,
		`state_duration_seconds_sum{port="443",process="curl",role="client",state="TIME_WAIT"} 60.999995`,
		`state_duration_seconds_count{port="443",process="curl",role="client",state="TIME_WAIT"} 1`,
		`state_duration_seconds_sum{port="443",process="nginx",role="server",state="CLOSE_WAIT"} 12.34499`,
		`state_duration_seconds_count{port="443",process="nginx",role="server",state="CLOSE_WAIT"} 1`,
		`state_duration_seconds_sum{port="443",process="nginx",role="server",state="LAST_ACK"} 9e-06`,
		`state_duration_seconds_count{port="443",process="nginx",role="server",state="LAST_ACK"} 1`,
		`state_duration_seconds_sum{port="443",process="unknown",role="server",state="ESTABLISHED"} 1.99956`,
		`state_duration_seconds_count{port="443",process="unknown",role="server",state="ESTABLISHED"} 1`,
		`state_duration_seconds_sum{port="443",process="unknown",role="server",state="SYN_RECV"} 0.00035`,
		`state_duration_seconds_count{port="443",process="unknown",role="server",state="SYN_RECV"} 1`,
		`time_wait_ended_total{cause="expired",port="443",process="curl",role="client"} 1`,
	}
	if diff := cmp.Diff(want, shown(t, m, "connections", "handshake", "state", "time_wait")); diff != "" {
		t.Error(diff)
	}
}

// A connection that nobody has accepted yet is its listener's.
func TestMetrics_UnacceptedConnectionIsTheListeners(t *testing.T) {
	m := newMetrics(t, options())
	listener := story.NewSocket(0x11, "[::]:443", "")
	story.Tell(story.Join(
		story.By(story.Task(1234, "nginx"), listener.State(time.Millisecond, tcp.Close, tcp.Listen)),
		story.NewSocket(0x1a5ce, "10.9.8.7:443", "10.0.0.1:40000").Accept(time.Second, 350*time.Microsecond),
	), 2*time.Second, m.Show)
	want := []string{
		`handshake_duration_seconds_sum{port="443",process="nginx",role="server"} 0.00035`,
		`handshake_duration_seconds_count{port="443",process="nginx",role="server"} 1`,
	}
	if diff := cmp.Diff(want, shown(t, m, "handshake")); diff != "" {
		t.Error(diff)
	}
}

func TestMetrics_WhatGoesWrong(t *testing.T) {
	m := newMetrics(t, options())
	story.Tell(story.Refused(), 3*time.Second, m.Show)
	story.Tell(story.Lossy(), 7*time.Second, m.Show)
	story.Tell(story.HandedOn(), 70*time.Second, m.Show)
	want := []string{
		`accept_wait_seconds_sum{port="22",process="sshd",role="server"} 2`,
		`accept_wait_seconds_count{port="22",process="sshd",role="server"} 1`,
		`connect_failures_total{errno="ECONNREFUSED",port="81",process="curl",role="client"} 1`,
		`loss_episodes_total{outcome="recovered",port="8080",process="nginx",role="client"} 2`,
		`lost_events_total{kind="state"} 17`,
		`resets_total{cause="connect-refused",direction="received",port="81",process="curl",role="client"} 1`,
		`resets_total{cause="connect-refused",direction="sent",port="unknown",process="unknown",role="unknown"} 1`,
		`resets_total{cause="reset-unread-data",direction="sent",port="8080",process="nginx",role="client"} 1`,
		`retransmitted_segments_total{class="rto",port="8080",process="nginx",role="client"} 1`,
		`retransmitted_segments_total{class="syn",port="8080",process="nginx",role="client"} 1`,
		`retransmitted_segments_total{class="tlp",port="8080",process="nginx",role="client"} 1`,
	}
	got := shown(t, m, "accept_wait", "connect_fail", "loss_episodes", `lost_events_total{kind="state"}`, "resets", "retransmitted")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// crowd plays n connections, each to a port of its own.
func crowd(n int, from time.Duration) (events []event.Event) {
	for i := range n {
		at := from + time.Duration(i)*time.Millisecond
		c := story.NewSocket(uint64(from)+uint64(i)+1, "10.0.0.1:40000", fmt.Sprintf("10.9.8.7:%d", 1+i%60000))
		events = append(events, story.Join(
			c.Connect(at, 100*time.Microsecond, story.Task(uint32(i+1), fmt.Sprint("worker", i%60000))),
			story.Failed(event.ECONNRESET, c.State(at+200*time.Microsecond, tcp.Established, tcp.Close)),
		)...)
	}
	return events
}

// series counts what a scrape has: lines, and one more for each native
// histogram.
func series(t *testing.T, m *Metrics) (n int) {
	t.Helper()
	n = len(text(t, m, plainText))
	all, err := m.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		for _, x := range f.Metric {
			if x.Histogram.GetSchema() != 0 || x.Histogram.GetZeroThreshold() != 0 {
				n++
			}
		}
	}
	return n
}

func sum(t *testing.T, m *Metrics, name string) (total float64) {
	t.Helper()
	all, err := m.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.GetName() != "tcptrace_"+name {
			continue
		}
		for _, x := range f.Metric {
			total += x.Counter.GetValue() + x.Gauge.GetValue() + float64(x.Histogram.GetSampleCount())
		}
	}
	return total
}

func TestMetrics_NeverMoreSeriesThanTheBudget(t *testing.T) {
	const connections = 2003
	for _, h := range []Histograms{Both, Native, Classic} {
		t.Run(string(h), func(t *testing.T) {
			o := options()
			o.Histograms, o.MaxSeries = h, max(1000, MinSeries(h))
			m := newMetrics(t, o)
			story.Tell(crowd(connections, time.Second), time.Minute, m.Show)
			if n := series(t, m); n > o.MaxSeries || n < o.MaxSeries/2 {
				t.Errorf("%d series, want some below %d", n, o.MaxSeries)
			}
			if n := len(m.subjects); n > o.MaxSeries {
				t.Errorf("%d subjects are remembered", n)
			}
			for _, name := range []string{"connections_ended_total", "handshake_duration_seconds"} {
				if n := sum(t, m, name); n != connections {
					t.Errorf("%s: the sum is %v, want %d", name, n, connections)
				}
			}
			if n := sum(t, m, "state_duration_seconds"); n != 2*connections { // SYN_SENT, ESTABLISHED
				t.Errorf("%v stays, want %d", n, 2*connections)
			}
			if n := sum(t, m, "series_overflow_total"); n < connections {
				t.Errorf("%v times without room, want most of %d", n, connections)
			}
		})
	}
}

// What other and tcptrace itself can have has room at the least budget, too.
func TestMetrics_ReserveHoldsAllThatMustHaveRoom(t *testing.T) {
	for _, h := range []Histograms{Both, Native, Classic} {
		o := options()
		o.Histograms, o.MaxSeries = h, MinSeries(h)
		m := newMetrics(t, o)
		for i := range m.families {
			for v := range m.families[i].variants {
				m.child(m.other, i, v)
			}
		}
		m.Census(func(func(*conn.Connection) bool) {}, 1, Health{Runs: 1, Load: Load{Limit: 1}})
		if n, reserved := series(t, m), reserve(&m.families, h); n > reserved-maxFindings {
			t.Errorf("%s: %d series without findings, and %d are kept for them", h, n, reserved-maxFindings)
		}
	}
	o := options()
	o.MaxSeries = MinSeries(Both) - 1
	if _, err := New(o); err == nil {
		t.Error("a budget below that is accepted")
	}
}

func TestMetrics_SeriesOfWhoIsGoneExpire(t *testing.T) {
	m := newMetrics(t, options())
	story.Tell(story.Plain(), 80*time.Second, m.Show)
	nobody := func(func(*conn.Connection) bool) {}
	last := event.Time(76345 * time.Millisecond) // the end of the client's TIME_WAIT
	m.Census(nobody, last.Add(DefaultExpire-1), Health{})
	if n := sum(t, m, "time_wait_ended_total"); n != 1 {
		t.Errorf("before its time: %v, want 1", n)
	}
	m.Census(nobody, last.Add(DefaultExpire), Health{})
	if left := shown(t, m, "connections", "state", "time_wait", "handshake", "sockets"); len(left) != 0 || m.used != 0 || len(m.subjects) != 0 {
		t.Errorf("left over: %q, %d in use", left, m.used)
	}
}

// Sockets keep their subject, however quiet it is, and one that comes finds
// room where another was quiet for a minute.
func TestMetrics_QuietOnesMakeRoom(t *testing.T) {
	o := options()
	o.MaxSeries = MinSeries(Both)
	m := newMetrics(t, o)
	story.Tell(crowd(101, time.Second), 2*time.Second, m.Show)
	before := sum(t, m, "series_overflow_total")
	if before == 0 {
		t.Fatal("the budget is not used up")
	}
	late := story.NewSocket(0xdead, "10.0.0.1:40000", "10.9.8.7:9999")
	story.Tell(late.Connect(5*time.Minute, time.Millisecond, story.Task(7, "late")), 6*time.Minute, m.Show)
	if after := sum(t, m, "series_overflow_total"); after != before {
		t.Errorf("%v more without room, want 0", after-before)
	}
	want := []string{
		`handshake_duration_seconds_sum{port="9999",process="late",role="client"} 0.001`,
		`handshake_duration_seconds_count{port="9999",process="late",role="client"} 1`,
	}
	if diff := cmp.Diff(want, shown(t, m, `handshake_duration_seconds_sum{port="9999"`, `handshake_duration_seconds_count{port="9999"`)); diff != "" {
		t.Error(diff)
	}
}

// census takes one of the sockets that are open after the story.
func census(m *Metrics, events []event.Event) {
	tr := conn.New(conn.Options{})
	for i := range events {
		tr.Handle(&events[i], m.Show)
	}
	m.Census(tr.Open, events[len(events)-1].Time, Health{Tracker: tr.Stats()})
}

func TestMetrics_SocketsByState(t *testing.T) {
	m := newMetrics(t, options())
	events := story.Plain()
	census(m, story.Join(story.Listener()[:1], events[:slices.IndexFunc(events, func(e event.Event) bool { return e.New == tcp.FinWait2 })+1]))
	want := []string{
		`sockets{port="443",process="curl",role="client",state="FIN_WAIT2"} 1`,
		`sockets{port="443",process="nginx",role="server",state="CLOSE_WAIT"} 1`,
		`sockets{port="443",process="nginx",role="server",state="LISTEN"} 1`,
	}
	if diff := cmp.Diff(want, shown(t, m, "sockets")); diff != "" {
		t.Error(diff)
	}
}

func TestMetrics_ExemplarsNameTheConnection(t *testing.T) {
	m := newMetrics(t, options())
	story.Tell(story.Plain(), 80*time.Second, m.Show)
	var client, server int
	for _, l := range text(t, m, expfmt.NewFormat(expfmt.TypeOpenMetrics)) {
		_, exemplar, _ := strings.Cut(l, " # ") // its labels have no order
		if !strings.Contains(exemplar, `netns="4026531840"`) {
			continue
		}
		switch {
		case strings.Contains(exemplar, `conn="1a5cd"`) && strings.Contains(l, `role="client"`):
			client++
		case strings.Contains(exemplar, `conn="1a5ce"`) && strings.Contains(l, `role="server"`):
			server++
		}
	}
	if client != 8 || server != 6 { // one for each stay, the handshake, the end; and of TIME_WAIT's
		t.Errorf("%d exemplars name the client's end, %d the server's; want 8 and 6", client, server)
	}
}

func TestNew_UnknownLabel(t *testing.T) {
	o := options()
	o.Labels = []string{"remote"}
	if _, err := New(o); err == nil || !strings.Contains(err.Error(), `"remote"`) {
		t.Errorf("the error is %v", err)
	}
}

// Names, units and help are as Prometheus wants them.
func TestMetrics_Lint(t *testing.T) {
	m := newMetrics(t, options())
	for _, s := range [][]event.Event{story.Plain(), story.Refused(), story.Lossy(), story.HandedOn()} {
		story.Tell(s, 80*time.Second, m.Show)
	}
	census(m, story.Listener()[:1])
	all, err := m.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(all).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	promtool, err := exec.LookPath("promtool")
	if errors.Is(err, exec.ErrNotFound) {
		t.Skip("no program promtool (Debian has it in prometheus)")
	}
	var b bytes.Buffer
	for _, f := range all {
		if _, err := expfmt.MetricFamilyToText(&b, f); err != nil {
			t.Fatal(err)
		}
	}
	check := exec.Command(promtool, "check", "metrics")
	check.Stdin = &b
	if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}
