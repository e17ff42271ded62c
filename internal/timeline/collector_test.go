package timeline

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/story"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

const (
	ms = time.Millisecond
	s  = time.Second
)

// tell runs events through a tracker that reuses its memory, as a live trace
// does, into a collector. The trace goes on if end is 0.
func tell(l *Collector, events []event.Event, end time.Duration) {
	t := conn.New(conn.Options{Reuse: true})
	show := func(c *conn.Change) { l.Show(c) }
	for i := range events {
		t.Handle(&events[i], show)
	}
	if end > 0 {
		t.Finish(event.Time(end), show)
	} else if n := len(events); n > 0 {
		t.Advance(events[n-1].Time.Add(time.Second), show)
	}
}

// sketch draws a chart in a line for each row: the bar between the gutters.
func sketch(c *Chart, cells int) string {
	c.Draw(cells)
	var b strings.Builder
	for _, p := range c.Processes {
		for i := range p.Rows {
			r := &p.Rows[i]
			fmt.Fprintf(&b, "%x/%d ", r.Conn.ID.Cookie, r.Conn.Owner.Task.PID)
			for _, cell := range r.Bar {
				b.WriteString(map[Glyph]string{Blank: "_", Fill: "-", Earlier: "<", Later: ">", Resent: "*", Reset: "!"}[cell.Glyph])
				if cell.Glyph == Letter {
					b.WriteByte("_ESR12T_CLNX"[cell.State])
				}
			}
			fmt.Fprintf(&b, " %v %v %v %s\n", r.Longest.State, r.Longest.For, r.Life, r.Ending())
		}
	}
	return b.String()
}

func draw(t *testing.T, events []event.Event, now time.Duration, v View, cells int, want string) {
	t.Helper()
	l := NewCollector(Options{})
	tell(l, events, 0)
	v.Now = event.Time(now)
	want = strings.ReplaceAll(strings.TrimPrefix(want, "\n"), "\t", "")
	if diff := cmp.Diff(want, sketch(l.Chart(v), cells)); diff != "" {
		t.Errorf("chart (-want +got):\n%s", diff)
	}
}

// Both ends of one connection, while it is in TIME_WAIT: FIN_WAIT2 and CLOSE_WAIT
// go before what else was in their first cell.
func TestChart_BothEnds(t *testing.T) {
	events := story.Plain()
	draw(t, events[:len(events)-1], 21*s, View{}, 20, `
		1a5ce/1234 _E-C------------______ CLOSE_WAIT 12.34499s 14.344909s fin
		1a5cd/4242 _E-2------------T----> FIN_WAIT2 12.344985s 20s open
	`)
	draw(t, events, 76345*ms, View{}, 15, `
		1a5ce/1234 _C--_____________ CLOSE_WAIT 12.34499s 14.344909s fin
		1a5cd/4242 _2--T-----------_ FIN_WAIT2 12.344985s 1m15.345s fin
	`)
}

// What is before the window is only told of.
func TestChart_Window(t *testing.T) {
	events := story.Plain()
	draw(t, events[:len(events)-1], 20*s, View{Window: 10 * s}, 10, `
		1a5ce/1234 <C-----_____ CLOSE_WAIT 12.34499s 14.344909s fin
		1a5cd/4242 <2-----T---> FIN_WAIT2 12.344985s 19s open
	`)
	draw(t, events, 200*s, View{Window: 10 * s}, 10, "")
}

func TestChart_Marks(t *testing.T) {
	draw(t, story.Lossy(), 6*s, View{}, 16, `
		beef/1234 _S---*E*--------!_ ESTABLISHED 2.97s 4s reset_sent
	`)
	// The RST follows the close() and is drawn in its last cell all the same,
	// before the retransmit that it shares it with.
	client := story.NewSocket(1, "10.0.0.1:4000", "10.0.0.2:80")
	draw(t, story.Join(
		client.Connect(0, ms, story.Task(9, "x")),
		client.Retransmit(999*ms, tcp.Established, event.Retransmission{}),
		client.ResetReceived(1000*ms, tcp.Established),
		client.State(1000*ms, tcp.Established, tcp.Close),
	), 2*s, View{}, 4, `
		1/9 _E--!_ ESTABLISHED 999ms 1s reset_received
	`)
}

// A connection older than the trace, and one of which a transition is missing.
func TestChart_AtLeast(t *testing.T) {
	draw(t, story.Killed()[:1], 14*s, View{}, 8, `
		abc/77 <1-------> FIN_WAIT1 4s 4s open
	`)
	client := story.NewSocket(1, "10.0.0.1:4000", "10.0.0.2:80")
	draw(t, story.Join(
		client.Connect(0, ms, story.Task(9, "x")),
		client.State(4*s, tcp.CloseWait, tcp.LastAck),
	), 8*s, View{}, 8, `
		1/9 _E---<L--> LAST_ACK 4s 8s open
	`)
}

// A cell shows what it has most of, unless TCP should have left a state long
// before.
func TestChart_SlowStatesWin(t *testing.T) {
	life := func(cookie uint64, wait time.Duration) []event.Event {
		server := story.NewSocket(cookie, "10.0.0.2:80", "10.0.0.1:4000")
		server.Local = server.Remote // each has its own
		return story.Join(
			server.Accept(time.Duration(cookie), ms),
			server.State(4200*ms, tcp.Established, tcp.CloseWait),
			server.State(4200*ms+wait, tcp.CloseWait, tcp.LastAck),
			server.State(4201*ms+wait, tcp.LastAck, tcp.Close),
		)
	}
	events := story.Join(life(1, 10*ms), life(2, Slow-1), life(3, Slow), life(4, 790*ms))
	draw(t, events, 10*s, View{Window: 10 * s}, 5, `
		1/0 _E--___ ESTABLISHED 4.198999999s 4.210999999s fin
		2/0 _E--___ ESTABLISHED 4.198999998s 4.400999997s fin
		3/0 _E-C___ ESTABLISHED 4.198999997s 4.400999997s fin
		4/0 _E-C___ ESTABLISHED 4.198999996s 4.990999996s fin
	`)
}

// Of a request that never became a connection the cookie is not known.
func TestCollector_RequestWithoutCookie(t *testing.T) {
	half := story.NewSocket(0, "10.0.0.2:80", "10.0.0.1:4000")
	end := half.Accept(1*s, s)[0]
	end.Kind, end.Time, end.Cause = event.RequestEnd, event.Time(4*s), event.CauseTimeout
	whole := story.NewSocket(5, "10.0.0.2:80", "10.0.0.1:4001")
	request := whole.Accept(2*s, s)
	request[0].ID.Cookie = 0
	l := NewCollector(Options{})
	tell(l, story.Join(half.Accept(1*s, s)[:1], request, end), 5*s)
	if got := l.Totals(); got.Connections != 2 || got.Ended != 2 {
		t.Errorf("%+v, want 2 connections", got)
	}
	if diff := cmp.Diff("0/0 _R----__ SYN_RECV 3s 3s timeout\n5/0 __R-E--> ESTABLISHED 2s 3s open\n",
		strings.Replace(sketch(l.Chart(View{Now: event.Time(5 * s)}), 6), "  ", " ", -1)); diff != "" {
		t.Error(diff)
	}
}

// lives are n connections, one a second, of one process, each a second long.
func lives(n int) (all []event.Event) {
	for i := range n {
		client := story.NewSocket(uint64(i+1), "10.0.0.1:4000", "10.0.0.2:80")
		at := time.Duration(i) * s
		all = append(all, client.Connect(at, ms, story.Task(9, "x"))...)
		all = append(all, client.State(at+500*ms, tcp.Established, tcp.CloseWait),
			client.State(at+600*ms, tcp.CloseWait, tcp.LastAck), client.State(at+700*ms, tcp.LastAck, tcp.Close))
	}
	return all
}

// What ended first makes room, and stays in the summary.
func TestCollector_Bounded(t *testing.T) {
	l := NewCollector(Options{MaxConnections: 10})
	tell(l, lives(1009), 0)
	chart := l.Chart(View{Now: event.Time(1009 * s)})
	if got := l.Totals(); got != (Totals{Connections: 1009, Ended: 1009, Dropped: 999}) {
		t.Errorf("%+v", got)
	}
	p := chart.Processes[0]
	if len(p.Rows) != 10 || p.Rows[0].Conn.ID.Cookie != 1000 || p.Clients != 1009 {
		t.Errorf("%d rows from %d on, of %d", len(p.Rows), p.Rows[0].Conn.ID.Cookie, p.Clients)
	}
	want := []StateSummary{
		{State: tcp.SynSent, Count: 1009, Median: ms, P99: ms, Max: ms},
		{State: tcp.Established, Count: 1009, Median: 499 * ms, P99: 499 * ms, Max: 499 * ms},
		{State: tcp.CloseWait, Count: 1009, Median: 100 * ms, P99: 100 * ms, Max: 100 * ms},
		{State: tcp.LastAck, Count: 1009, Median: 100 * ms, P99: 100 * ms, Max: 100 * ms},
	}
	if diff := cmp.Diff(want, p.States); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
	if n := len(l.byKey); n != 10 {
		t.Errorf("%d keys are kept", n)
	}
}

// Where nothing has ended, what comes is refused; its end is counted still.
func TestCollector_FullOfOpenConnections(t *testing.T) {
	var open, late []event.Event
	for i := range 5 {
		client := story.NewSocket(uint64(100+i), "10.0.0.1:4000", "10.0.0.2:80")
		open = append(open, client.Connect(0, ms, story.Task(9, "x"))...)
	}
	late = lives(3)
	l := NewCollector(Options{MaxConnections: 5})
	tell(l, story.Join(open, late), 0)
	chart := l.Chart(View{Now: event.Time(10 * s)})
	if p := chart.Processes[0]; p.Clients != 8 || p.Open != 5 || len(p.Rows) != 5 {
		t.Errorf("%d clients, %d open, %d rows; want 8, 5, 5", p.Clients, p.Open, len(p.Rows))
	}
	if got := l.Totals(); got.Refused == 0 || got.Connections != 8 {
		t.Errorf("%+v", got)
	}
}

func TestCollector_ProcessesBounded(t *testing.T) {
	l := NewCollector(Options{MaxConnections: 10, MaxProcesses: 20})
	for i := range 100 {
		events := lives(1)
		for j := range events {
			events[j].ID.Cookie = uint64(i + 1)
			if events[j].Task.Known() {
				events[j].Task.PID = uint32(i + 1)
			}
		}
		tell(l, events, 0)
	}
	if n := len(l.processes); n != 20 || l.Totals().Forgotten != 80 {
		t.Errorf("%d processes, %d forgotten; want 20, 80", n, l.Totals().Forgotten)
	}
}

// A cookie lives once, but a tracker may see it end and begin again; and the
// same addresses serve one connection after the other.
func TestCollector_AnotherLife(t *testing.T) {
	events := lives(3)
	for i := range events {
		events[i].ID.Cookie = 7
	}
	l := NewCollector(Options{})
	tell(l, events, 0)
	if rows := l.Connections(); len(rows) != 3 {
		t.Errorf("%d rows, want 3", len(rows))
	}
}

func TestCollector_States(t *testing.T) {
	l := NewCollector(Options{States: []tcp.State{tcp.CloseWait}})
	ends := 0
	story.Tell(story.Join(story.Plain(), story.Refused()), 2*time.Minute, func(c *conn.Change) {
		if l.Show(c) {
			ends++
		}
	})
	rows := l.Connections()
	if len(rows) != 1 || rows[0].ID.Cookie != 0x1a5ce || ends != 1 {
		t.Errorf("%d rows, %d ends; want 1a5ce alone", len(rows), ends)
	}
	if p := l.Processes(event.Time(2 * time.Minute)); len(p) != 1 || p[0].Owner.Task.PID != 1234 {
		t.Errorf("%d processes", len(p))
	}
}

// A thousand retransmits leave marks from all of the life.
func TestCollector_MarksBounded(t *testing.T) {
	client := story.NewSocket(1, "10.0.0.1:4000", "10.0.0.2:80")
	events := client.Connect(0, ms, story.Task(9, "x"))
	for i := range 1009 {
		events = append(events, client.Retransmit(time.Duration(i+1)*s, tcp.Established, event.Retransmission{}))
	}
	l := NewCollector(Options{})
	tell(l, events, 0)
	r := l.Connections()[0]
	if len(r.Marks)+r.MarksCut != 1009 || len(r.Marks) > maxMarks {
		t.Errorf("%d marks, %d cut", len(r.Marks), r.MarksCut)
	}
	chart := l.Chart(View{Now: event.Time(1010 * s)})
	if got := sketch(chart, 10); !strings.HasPrefix(got, "1/9 _**********>") {
		t.Errorf("marks are missing: %s", got)
	}
}

func TestCollector_Expire(t *testing.T) {
	var dropped []uint64
	l := NewCollector(Options{Dropped: func(c *Connection) { dropped = append(dropped, c.ID.Cookie) }})
	tell(l, lives(5), 0)
	l.Expire(event.Time(2800 * ms))
	l.Expire(event.Time(2800 * ms))
	if diff := cmp.Diff([]uint64{1, 2, 3}, dropped); diff != "" {
		t.Error(diff)
	}
	if got := l.Totals().Dropped; got != 0 {
		t.Errorf("%d dropped for want of room", got)
	}
}
