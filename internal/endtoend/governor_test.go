//go:build linux

package endtoend

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tcptrace/tcptrace/internal/lab"
)

// leftOut matches what the agent says as it looks at fewer connections, or more.
var leftOut = regexp.MustCompile(`of (\d+) connections all but one`)

// Where tracing costs more than it may, the agent looks at fewer connections until
// it does not, its counts are right within what a sample allows, and once there is
// less to do it looks at all of them again. What it costs is this machine's affair,
// and what cannot be saved of that, too: so the limit is a share of it, or another.
func TestAgent_HoldsItsCostUnderTheLimit(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds of traffic")
	}
	cost := costUnlimited(t)
	for _, share := range []float64{0.75, 0.6, 0.9} {
		if staysUnder(t, share*cost) {
			return
		}
	}
	t.Errorf("it never came under the limit, of a cost of %.2f%%", 100*cost)
}

// costUnlimited returns what the agent costs, of one processor, where that does not
// matter.
func costUnlimited(t *testing.T) float64 {
	var a *agent
	var costs []float64
	done := make(chan struct{})
	params := lab.Params{Rate: 3000, Duration: 3 * time.Second, Over: func(*lab.Truth) error {
		<-done
		a.interrupt()
		return nil
	}}
	play(t, "churn", params, func(netns string) {
		costs, done = nil, make(chan struct{})
		a = startAgent(t, netns, "--labels", "role", "--max-cpu", "400%", "--cpu-window", "250ms")
		go func(a *agent, done chan<- struct{}) {
			defer close(done)
			for range 4 {
				time.Sleep(600 * time.Millisecond)
				costs = append(costs, a.scrape().values("cpu_cost_ratio")[""])
			}
		}(a, done)
	})
	a.verdict()
	slices.Sort(costs)
	t.Logf("costs %v", costs)
	return costs[len(costs)/2]
}

// staysUnder reports whether the agent comes under the limit by looking at fewer
// connections, and then at all of them again. If so, its counts have to be right.
func staysUnder(t *testing.T, limit float64) (came bool) {
	var a *agent
	var held chan bool
	params := lab.Params{Rate: 3000, Duration: 5 * time.Second, Over: func(truth *lab.Truth) error {
		estimated := a.scrape().values("estimated_total")[""]
		s := a.scrape()
		for range 60 {
			if s.values("shedding")[""] == 0 {
				break
			}
			time.Sleep(500 * time.Millisecond) // a scrape is part of the cost
			s = a.scrape()
		}
		a.interrupt()
		said := a.stderr.String()
		weight := 1.0
		for _, m := range leftOut.FindAllStringSubmatch(said, -1) {
			w, _ := strconv.ParseFloat(m[1], 64) // digits
			weight = max(weight, w)
		}
		came = <-held && weight > 1 && estimated > 0 && strings.Contains(said, "leaves out nothing any more")
		if !came {
			t.Logf("limit %.2f%%: %v is estimated; it says:\n%s", 100*limit, estimated, said)
			return nil
		}
		// Each is told of with a probability of 1/weight, and then counts so often.
		bound := 5*math.Sqrt(float64(truth.Count)*(weight-1)) + 1
		for name, got := range map[string]float64{
			"ended servers":      s.values("connections_ended_total", "role")["server"],
			"stays of servers":   s.values("state_duration_seconds", "role", "state")["server CLOSE_WAIT"] + s.values("state_durations_unknown_total", "role", "state")["server CLOSE_WAIT"],
			"clients' TIME_WAIT": s.values("sockets", "role", "state")["client TIME_WAIT"],
		} {
			t.Logf("%s: %v of %d, where one of %v was looked at", name, got, truth.Count, weight)
			if math.Abs(got-float64(truth.Count)) > bound {
				a.wrong = append(a.wrong, fmt.Sprintf("%s: %v of %d, that is not within %.0f", name, got, truth.Count, bound))
			}
		}
		return nil
	}}
	play(t, "churn", params, func(netns string) {
		a = startAgent(t, netns, "--labels", "role", "--max-cpu", fmt.Sprintf("%.2f%%", 100*limit), "--cpu-window", "250ms")
		held = make(chan bool, 1)
		go func(a *agent, held chan<- bool) { // while there is traffic; a scrape is part of the cost, too
			under := false
			for range 4 {
				time.Sleep(time.Second)
				s := a.scrape()
				under = under || s.values("sampled_connections_ratio")[""] < 1 && s.values("cpu_cost_ratio")[""] <= limit
			}
			held <- under
		}(a, held)
	})
	a.verdict()
	return came
}

// With room to spare nothing is left out, and no count is an estimate.
func TestAgent_LeavesOutNothingUnderTheLimit(t *testing.T) {
	var a *agent
	params := lab.Params{Rate: 1000, Duration: time.Second, Over: func(*lab.Truth) error {
		s := a.scrape()
		for name, want := range map[string]float64{"estimated_total": 0, "shed_events_total": 0, "shedding": 0, "sampled_connections_ratio": 1} {
			if got := s.values(name)[""]; got != want {
				a.wrong = append(a.wrong, fmt.Sprintf("%s is %v, want %v", name, got, want))
			}
		}
		a.interrupt()
		if said := a.stderr.String(); strings.Contains(said, "leaves out") {
			a.wrong = append(a.wrong, "it says: "+said)
		}
		return nil
	}}
	play(t, "churn", params, func(netns string) {
		a = startAgent(t, netns, "--max-cpu", "200%", "--cpu-window", "100ms")
	})
	a.verdict()
}
