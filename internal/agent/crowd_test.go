package agent

import (
	"flag"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/tcptrace/tcptrace/internal/agent/metrics"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/story"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// crowd is how many connections TestAgent_MemoryDoesNotGrow makes; docs/scale.md
// has the figures of a million.
var crowd = flag.Int("crowd", 20_000, "connections to make up")

// memory returns the bytes that are in use, without garbage.
func memory() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// However many connections 500 containers make to 5,000 addresses, the series stay
// within their budget and memory does not grow: of the tracker, the findings and
// the metrics alike.
func TestAgent_MemoryDoesNotGrow(t *testing.T) {
	s := settings()
	s.Metrics.Labels = []string{metrics.LabelContainer, metrics.LabelPort, metrics.LabelProcess, metrics.LabelRole}
	h := newHost(t, s)
	labels := make([]*event.Label, 500)
	for i := range labels {
		labels[i] = &event.Label{Container: fmt.Sprintf("%012x%052x", i+1, 0)}
	}
	connect := func(i int) {
		c := story.NewSocket(uint64(i)+1, fmt.Sprintf("10.0.0.1:%d", 1024+i%60_000), fmt.Sprintf("10.9.%d.%d:443", i%5000/250, i%250+1))
		at := time.Second + time.Duration(i)*time.Millisecond
		by := story.Task(uint32(1000+i%500), "worker")
		by.Label = labels[i%500]
		h.see(t, story.Join(c.Connect(at, time.Microsecond, by),
			story.Failed(event.ECONNRESET, c.State(at+2*time.Microsecond, tcp.Established, tcp.Close)))...)
	}
	part := *crowd / 4
	var used [4]uint64
	for i := range 4 * part {
		connect(i)
		if (i+1)%part == 0 {
			used[i/part] = memory()
		}
	}
	all, err := h.agent.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if n := value(all, "tcptrace_connections_ended_total"); n != float64(4*part) {
		t.Errorf("%v connections ended, want %d", n, 4*part)
	}
	series := value(all, "tcptrace_series")
	if series > metrics.DefaultMaxSeries {
		t.Errorf("%v series", series)
	}
	const slack = 1 << 20 // for what the runtime and the maps round up
	if used[3] > used[1]+slack {
		t.Errorf("after each quarter %v bytes are in use", used)
	}
	t.Logf("%d connections, %v series, bytes in use after each quarter: %v", 4*part, series, used)
}
