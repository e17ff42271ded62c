package trace

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/filter"
	"github.com/tcptrace/tcptrace/internal/story"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// The server's process is known only when it closes, 14 s after the SYN: what
// came before waits, and carries the process then.
func TestTrace_ByProcess_KnownLate(t *testing.T) {
	for _, f := range []filter.Filter{{PIDs: []uint32{1234}}, {Comms: []string{"nginx"}}} {
		follow(t, Options{Filter: f}, story.Plain(),
			"1a5ce/1234 LISTEN>SYN_RECV",
			"1a5ce/1234 SYN_RECV>ESTABLISHED",
			"1a5ce/1234 ESTABLISHED>CLOSE_WAIT",
			"1a5ce/1234 CLOSE_WAIT>LAST_ACK",
			"1a5ce/1234 LAST_ACK>CLOSE",
			"1a5ce/1234 fin",
		)
	}
}

// What waited comes as soon as the process is known, not with the next change.
func TestTrace_ByProcess_KnownByReading(t *testing.T) {
	server := story.NewSocket(0x51, "10.9.8.7:443", "10.0.0.1:40000")
	worker := story.Task(1234, "worker")
	for name, owned := range map[string]event.Event{
		"read":     server.Used(2*time.Second, tcp.Established, worker),
		"accepted": server.Accepted(2*time.Second, tcp.Established, worker),
		"swept":    story.By(worker, server.Seen(2*time.Second, tcp.Established)),
	} {
		var book notebook
		tr := New(Options{Filter: filter.Filter{PIDs: []uint32{1234}}})
		tr.sink = &book
		for _, ev := range story.Join(server.Accept(time.Second, time.Millisecond), owned) {
			tr.handle(&ev)
		}
		want := []string{"51/1234 LISTEN>SYN_RECV", "51/1234 SYN_RECV>ESTABLISHED"}
		if diff := cmp.Diff(want, book.words); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestTrace_ByProcess_AnothersByReading(t *testing.T) {
	server := story.NewSocket(0x51, "10.9.8.7:443", "10.0.0.1:40000")
	tr := New(Options{Filter: filter.Filter{PIDs: []uint32{1234}}})
	for _, ev := range story.Join(
		server.Accept(time.Second, time.Millisecond),
		server.Used(2*time.Second, tcp.Established, story.Task(7, "other")),
	) {
		tr.handle(&ev)
	}
	if len(tr.gate.waiting) != 0 || tr.tracker.Stats().Live != 1 {
		t.Errorf("%d wait, %d live, want 0 and 1: the closer may be ours", len(tr.gate.waiting), tr.tracker.Stats().Live)
	}
}

// A source that falls silent about strangers leaves nothing of them behind.
func TestTrace_Sparse(t *testing.T) {
	var book notebook
	tr := New(Options{Filter: filter.Filter{PIDs: []uint32{1234}, Kinds: []filter.Kind{filter.KindConnection}}, Sparse: true})
	tr.sink = &book
	const flood = 10007
	for life := range uint64(flood) {
		at := time.Duration(life+1) * time.Millisecond
		server := story.NewSocket(1<<32+life, "10.9.8.7:443", "10.0.0.9:40000")
		for _, ev := range story.Join(server.Accept(at, time.Microsecond), server.Used(at+2*time.Microsecond, tcp.Established, story.Task(7, "other"))) {
			tr.handle(&ev)
		}
	}
	ours := story.NewSocket(0x51, "10.9.8.7:443", "10.0.0.1:40000")
	listener := story.NewSocket(0x11, "10.9.8.7:443", "")
	evicted := story.NewSocket(0xe1, "10.9.8.7:443", "10.0.0.9:40001")
	for _, ev := range story.Join(
		story.By(story.Task(1, "parent"), listener.Seen(time.Hour, tcp.Listen)),
		evicted.TimeWaitEnd(time.Hour, event.CauseExpired),
		story.By(story.Task(1234, "worker"), ours.Seen(2*time.Hour, tcp.Established)),
		ours.State(3*time.Hour, tcp.Established, tcp.CloseWait),
	) {
		tr.handle(&ev)
	}
	if st := tr.tracker.Stats(); st.Live != 2 || st.Forgotten != flood {
		t.Errorf("%+v, want the listener and ours to live", st)
	}
	for c := range tr.tracker.Open {
		if c.ID.Cookie == 0x51 && c.Role != conn.Server {
			t.Errorf("ours is a %q; its port is listened on", c.Role)
		}
	}
	if tr.gate.unjudged != 0 || len(tr.gate.waiting) != 0 {
		t.Errorf("%d unjudged, %d wait", tr.gate.unjudged, len(tr.gate.waiting))
	}
}

// Lost events left a connection in a state that a sweep finds to be another.
func TestTrace_Corrected(t *testing.T) {
	client := story.NewSocket(5, "10.0.0.1:40000", "10.9.8.7:443")
	events := story.Join(
		client.Connect(time.Second, time.Millisecond, story.Task(1, "curl")),
		client.Seen(60*time.Second, tcp.CloseWait),
		client.Swept(60*time.Second, 61*time.Second),
	)
	follow(t, Options{}, events,
		"5/1 CLOSE>SYN_SENT", "5/1 SYN_SENT>ESTABLISHED", "5/1 ESTABLISHED>CLOSE_WAIT corrected", "5/1 open")
	follow(t, Options{Filter: filter.Filter{States: []tcp.State{tcp.CloseWait}}}, events,
		"5/1 ESTABLISHED>CLOSE_WAIT corrected")
	follow(t, Options{Filter: filter.Filter{States: []tcp.State{tcp.TimeWait}}}, events)
}

// A socket older than the trace is no record until something happens to it, or
// the trace ends.
func TestTrace_OlderThanTrace(t *testing.T) {
	client := story.NewSocket(5, "10.0.0.1:40000", "10.9.8.7:443")
	listener := story.NewSocket(6, "10.0.0.1:80", "")
	owner := story.Task(1, "curl")
	follow(t, Options{}, story.Join(
		story.By(owner, client.Seen(time.Second, tcp.Established)),
		story.By(owner, listener.Seen(time.Second, tcp.Listen)),
		client.State(2*time.Second, tcp.Established, tcp.CloseWait),
	), "5/1 ESTABLISHED>CLOSE_WAIT", "5/1 open")
}

func TestTrace_ByProcess_Another(t *testing.T) {
	s := follow(t, Options{Filter: filter.Filter{PIDs: []uint32{99}}}, story.Plain())
	if s.Unjudged != 0 {
		t.Errorf("%d connections unjudged; the processes of both are known", s.Unjudged)
	}
}

// Who closes a connection of another's is shown what it did, and what follows.
func TestTrace_ByProcess_TheCloser(t *testing.T) {
	client := story.NewSocket(5, "10.0.0.1:40000", "10.9.8.7:443")
	events := story.Join(
		client.Connect(time.Second, time.Millisecond, story.Task(1, "parent")),
		story.By(story.Task(2, "child"), client.State(2*time.Second, tcp.Established, tcp.FinWait1)),
	)
	follow(t, Options{Filter: filter.Filter{PIDs: []uint32{2}}}, events, "5/1 ESTABLISHED>FIN_WAIT1", "5/1 open")
}

func TestTrace_ByProcess_NeverKnown(t *testing.T) {
	server := story.NewSocket(0x51, "10.9.8.7:443", "10.0.0.1:40000")
	events := story.Join(server.Accept(time.Second, time.Millisecond), server.State(2*time.Second, tcp.Established, tcp.CloseWait))
	s := follow(t, Options{Filter: filter.Filter{Comms: []string{"nginx"}}}, events)
	if s.Unjudged != 1 {
		t.Errorf("%d connections unjudged, want 1", s.Unjudged)
	}
}

// A RST of no socket has no process, and waits for none.
func TestTrace_ByProcess_ResetWithoutSocket(t *testing.T) {
	follow(t, Options{Filter: filter.Filter{PIDs: []uint32{4242}, Kinds: []filter.Kind{filter.KindReset}}}, story.Refused(),
		"ff/4242 reset received")
}

// A connection may retransmit for long before its process is known, or for
// ever: what waits is bounded, and what does not fit is counted.
func TestTrace_ByProcess_Bounded(t *testing.T) {
	server := story.NewSocket(0x51, "10.9.8.7:443", "10.0.0.1:40000")
	events := server.Accept(time.Second, time.Millisecond)
	for i := range 100 {
		events = append(events, server.Retransmit(time.Duration(2+i)*time.Second, tcp.Established, event.Retransmission{CAState: 4, Retransmits: 1}))
	}
	closing := story.By(story.Task(7, "nginx"), server.State(200*time.Second, tcp.Established, tcp.FinWait1))

	var book notebook
	options := Options{Filter: filter.Filter{PIDs: []uint32{7}}}
	s, err := New(options).Run(t.Context(), &told{events: append(events, closing)}, &book)
	if err != nil {
		t.Fatal(err)
	}
	// 2 transitions and 62 retransmits waited; the closing and the end follow. Of
	// what is left out one is the end of the loss.
	if len(book.words) != 66 || s.Overflown != 39 {
		t.Errorf("%d changes shown, %d left out, want 66 and 39", len(book.words), s.Overflown)
	}
}

func TestGate_KeepsNothingOfWhatHasEnded(t *testing.T) {
	options := Options{Filter: filter.Filter{PIDs: []uint32{99999}}}
	tr := New(options)
	for life := range 100 {
		server := story.NewSocket(uint64(life+1), "10.9.8.7:443", "10.0.0.1:40000")
		at := time.Duration(life+1) * time.Second
		for _, ev := range story.Join(
			server.Accept(at, time.Millisecond),
			server.ResetReceived(at+2*time.Millisecond, tcp.Established),
			server.State(at+2*time.Millisecond, tcp.Established, tcp.Close),
			server.ResetSent(at+3*time.Millisecond, tcp.Close, "NO_SOCKET"),
		) {
			tr.handle(&ev)
		}
	}
	if len(tr.gate.waiting) != 0 || tr.gate.total != 0 || tr.gate.order.Len() != 0 {
		t.Errorf("%d changes of %d connections wait", tr.gate.total, len(tr.gate.waiting))
	}
}

// Of a flood of connections whose process stays unknown, the oldest make room:
// one that began late is shown whole.
func TestGate_TheLongestWaitingMakeRoom(t *testing.T) {
	var book notebook
	tr := New(Options{Filter: filter.Filter{PIDs: []uint32{1234}}})
	tr.sink = &book
	const flood = heldTotal // of two changes each
	for life := range uint64(flood) {
		at := time.Duration(life+1) * time.Millisecond
		server := story.NewSocket(1<<32+life, "10.9.8.7:443", "10.0.0.9:40000")
		for _, ev := range server.Accept(at, time.Microsecond) {
			tr.handle(&ev)
		}
	}
	if got := tr.gate.total; got != heldTotal {
		t.Errorf("%d changes wait, want %d", got, heldTotal)
	}
	if got := tr.gate.overflown; got != 2*flood-heldTotal {
		t.Errorf("%d changes made room, want %d", got, 2*flood-heldTotal)
	}
	late := story.NewSocket(0x51, "10.9.8.7:443", "10.0.0.1:40000")
	for _, ev := range story.Join(
		late.Accept(time.Hour, time.Millisecond),
		story.By(story.Task(1234, "nginx"), late.State(2*time.Hour, tcp.Established, tcp.FinWait1)),
	) {
		tr.handle(&ev)
	}
	want := []string{"51/1234 LISTEN>SYN_RECV", "51/1234 SYN_RECV>ESTABLISHED", "51/1234 ESTABLISHED>FIN_WAIT1"}
	if diff := cmp.Diff(want, book.words); diff != "" {
		t.Error(diff)
	}
}
