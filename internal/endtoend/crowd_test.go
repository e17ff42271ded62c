//go:build linux

package endtoend

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tcptrace/tcptrace/internal/lab"
)

// crowd is how many connections TestCrowd has; docs/overhead.md has the figures of
// half a million, which are a million sockets.
var crowd = flag.Int("crowd", 3001, "connections to have open at once")

// However many connections are open at once, all are told of, exactly: where they
// began under the tracer's eyes, and where its first sweep found them, or they
// closed while that was under way.
func TestCrowd(t *testing.T) {
	for _, program := range []string{"conns", "watch", "agent"} {
		for _, late := range []bool{false, true} {
			for _, v6 := range lab.Sample(1, []bool{false, true}) {
				name := fmt.Sprintf("%s/late=%v/ipv6=%v", program, late, v6)
				t.Run(name, func(t *testing.T) {
					if *crowd < 10_000 { // else it is a measurement
						t.Parallel()
					}
					c := &crowded{t: t, program: program, late: late}
					c.see(lab.Params{N: *crowd, IPv6: v6, Hold: time.Millisecond})
				})
			}
		}
	}
}

var arguments = map[string][]string{"conns": {"conns", "--open"}, "watch": {"watch", "--kind", "state"}}

// crowded is a tracer among many connections.
type crowded struct {
	t       *testing.T
	program string
	late    bool // it begins when they are all open
	tr      *tracer
	a       *agent
	out     *os.File
	ready   time.Duration // until it traced
	settled time.Duration // until the agent counted them all
	live    string        // the most memory that it had by then
	peak    string        // and in the end
	wrong   []string
}

func (c *crowded) see(params lab.Params) {
	var netns string
	params.Held = func(truth *lab.Truth) error {
		if c.late {
			c.begin(netns)
		}
		if c.a != nil {
			c.census(truth)
		}
		c.live = c.most()
		return nil
	}
	params.Over = func(truth *lab.Truth) error {
		c.peak = c.most()
		if c.a != nil {
			c.stays(truth)
		}
		if status := c.tr.interrupt(); status != 0 {
			c.t.Errorf("exit status %d, want 0", status)
		}
		return nil
	}
	truth := play(c.t, "crowd", params, func(flags string) {
		if netns = flags; !c.late {
			c.begin(netns)
		}
	})
	if c.out != nil {
		c.compare(truth)
	}
	for _, w := range c.wrong {
		c.t.Error(w)
	}
	c.t.Logf("%d connections: open after %v; %s traces after %v, counts them all after %v; memory at most %s, and %s in the end",
		truth.Count, truth.Elapsed, c.program, c.ready, c.settled, c.live, c.peak)
}

// begin starts the tracer, also where the story is played once more.
func (c *crowded) begin(netns string) {
	*c = crowded{t: c.t, program: c.program, late: c.late}
	began := time.Now()
	if c.program == "agent" {
		c.a = startAgent(c.t, "--labels", "role", netns)
		c.tr = c.a.tracer
	} else {
		c.out = c.file()
		c.tr = start(c.t, c.out, append(arguments[c.program], "-o", "json", netns)...)
	}
	c.ready = time.Since(began)
}

// most returns the most memory that the tracer has had.
func (c *crowded) most() string {
	c.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.tr.cmd.Process.Pid))
	if err != nil {
		c.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	line, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(line)
}

func (c *crowded) file() *os.File {
	c.t.Helper()
	f, err := os.CreateTemp(c.t.TempDir(), "")
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { f.Close() })
	return f
}

// census holds the agent's gauges against the truth while all are open.
func (c *crowded) census(truth *lab.Truth) {
	began, n := time.Now(), float64(truth.Count)
	c.until("sockets", 2*time.Minute, map[string]float64{
		c.client() + " ESTABLISHED": n, "server ESTABLISHED": n, "server LISTEN": float64(len(truth.Listeners)),
	})
	c.settled = time.Since(began)
}

// client is the role of who called connect(): before the agent began, it cannot
// know.
func (c *crowded) client() string {
	if c.late {
		return "unknown"
	}
	return "client"
}

// stays holds the agent's histograms against the truth when all are closed.
func (c *crowded) stays(truth *lab.Truth) {
	n := float64(truth.Count)
	want := map[string]float64{
		c.client() + " FIN_WAIT1": n, c.client() + " FIN_WAIT2": n, "server CLOSE_WAIT": n, "server LAST_ACK": n,
	}
	if !c.late {
		for _, states := range []string{"client SYN_SENT", "client ESTABLISHED", "server SYN_RECV", "server ESTABLISHED"} {
			want[states] = n
		}
	}
	c.until("state_duration_seconds", 10*time.Second, want)
	for _, name := range []string{"lost_events_total", "untold_transitions_total"} {
		if got := c.a.scrape().values(name)[""]; got != 0 {
			c.wrong = append(c.wrong, fmt.Sprintf("%s is %v, want 0", name, got))
		}
	}
}

// until scrapes, seldom, until a family is as wanted, what is 0 and TIME_WAIT
// apart, which may have ended meanwhile.
func (c *crowded) until(name string, patience time.Duration, want map[string]float64) {
	c.t.Helper()
	var got map[string]float64
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		got = c.a.scrape().values(name, "role", "state")
		maps.DeleteFunc(got, func(key string, n float64) bool { return n == 0 || strings.HasSuffix(key, " TIME_WAIT") })
		if cmp.Equal(want, got) {
			return
		}
	}
	c.wrong = append(c.wrong, fmt.Sprintf("%s (-want +got):\n%s", name, cmp.Diff(want, got)))
}

// compare holds what was printed, of each connection or of each transition,
// against the story.
func (c *crowded) compare(truth *lab.Truth) {
	c.t.Helper()
	if _, err := c.out.Seek(0, io.SeekStart); err != nil {
		c.t.Fatal(err)
	}
	want, got := c.expected(truth), map[string]int{}
	lines := bufio.NewScanner(c.out)
	for lines.Scan() {
		var l line
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			c.t.Fatalf("%v: %s", err, lines.Bytes())
		}
		switch l.Type {
		case "connection":
			var states []string
			for _, s := range l.States {
				states = append(states, s.State)
			}
			got[strings.Join(states, " ")]++
		case "state":
			if l.Old != "TIME_WAIT" { // which may have ended
				got[l.Old+"->"+l.New]++
			}
		}
	}
	if err := lines.Err(); err != nil {
		c.t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		c.t.Errorf("records (-want +got):\n%s", diff)
	}
	if said := c.tr.stderr.String(); strings.Contains(said, " lost") || strings.Contains(said, " missing") {
		c.t.Errorf("it says: %s", said)
	}
}

// expected is what is printed of the story, but for the ends of TIME_WAIT.
func (c *crowded) expected(truth *lab.Truth) map[string]int {
	story, err := lab.Lookup(truth.Story)
	if err != nil {
		c.t.Fatal(err)
	}
	want := map[string]int{}
	for _, states := range [][]string{story.ClientStates(), story.ServerStates()} {
		if c.late {
			states = states[slices.Index(states, "ESTABLISHED"):]
		}
		if c.program == "conns" {
			lived := slices.DeleteFunc(states, func(s string) bool { return s == "CLOSE" || s == "LISTEN" })
			want[strings.Join(lived, " ")] = truth.Count
			continue
		}
		for i := 1; i < len(states) && states[i-1] != "TIME_WAIT"; i++ {
			want[states[i-1]+"->"+states[i]] = truth.Count
		}
		want["LISTEN->CLOSE"] = len(truth.Listeners)
		if !c.late {
			want["CLOSE->LISTEN"] = len(truth.Listeners)
		}
	}
	return want
}
