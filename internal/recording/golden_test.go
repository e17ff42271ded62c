package recording

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
)

// testdata/v1.ttr is of "tcplab run", traced live: closes by either side,
// resets, a leak in CLOSE_WAIT, full accept queues, no descriptors left, lost
// FINs, IPv6. The host's name and its processes' cgroups were replaced. It was
// written by the first version of the format and is never written anew: every
// later version reads it and finds the same.
func TestGolden_Version1(t *testing.T) {
	r, events := replay(t, "testdata/v1.ttr")
	info := r.Info()
	if info.Host != "lab" || info.Kernel != "6.18.44" || info.Part != 1 || len(info.Capabilities) == 0 {
		t.Errorf("it is of %+v", info)
	}
	if !r.Ended() || r.Unknown() != 0 {
		t.Errorf("ended in order: %v; %d rows are not known", r.Ended(), r.Unknown())
	}
	if got := r.Sysctl(4026532246, "net.ipv4.tcp_fin_timeout"); got != "60" {
		t.Errorf("tcp_fin_timeout is %q, want 60", got)
	}
	kinds := map[string]int{}
	labels := map[*event.Label]int{}
	for i := range events {
		kinds[events[i].Kind.String()]++
		if l := events[i].Task.Label; l != nil {
			labels[l]++
		}
	}
	want := map[string]int{
		"accepted": 60, "bound": 74, "congestion": 17, "failed": 7, "queue_full": 2, "request_begin": 60,
		"reset_received": 11, "reset_sent": 13, "retransmit": 19, "state": 554, "time_wait_begin": 57,
		"time_wait_end": 52, "time_wait_fin": 17, "totals": 134, "used": 60,
	}
	if diff := cmp.Diff(want, kinds); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if len(labels) != 1 {
		t.Errorf("%d labels, want 1: the same process has one in all blocks", len(labels))
	}
	if first, last := events[0].Time, events[len(events)-1].Time; first != 29518930731316 || last != 29528308449098 {
		t.Errorf("from %d to %d", first, last)
	}
	if connections := ended(events); connections != 134 {
		t.Errorf("%d connections ended, want 134", connections)
	}
}

// ended counts the connections of which a tracker sees the end.
func ended(events []event.Event) (n int) {
	tracker := conn.New(conn.Options{})
	count := func(c *conn.Change) {
		if c.Kind == conn.Ended && !c.Conn.Listener() && c.Conn.Closed != 0 {
			n++
		}
	}
	for i := range events {
		tracker.Handle(&events[i], count)
	}
	tracker.Finish(events[len(events)-1].Time, count)
	return n
}
