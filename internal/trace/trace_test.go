package trace

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/filter"
	"github.com/tcptrace/tcptrace/internal/story"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// A told story is a source that ends by itself, as a recording does. It hands
// over what remains even when it is stopped, as the kernel's ring does.
type told struct {
	events []event.Event
	batch  func()
	ctx    context.Context
}

func (s *told) Run(ctx context.Context, handle event.Handler) error {
	s.ctx = ctx
	for i := range s.events {
		handle(&s.events[i])
		if s.batch != nil {
			s.batch()
		}
	}
	return nil
}

// A notebook is a sink that keeps a word for each change.
type notebook struct {
	words   []string
	flushes int
	refuse  func(*conn.Change) bool
	err     error
}

func (n *notebook) Show(c *conn.Change) bool {
	if n.refuse != nil && n.refuse(c) {
		return false
	}
	n.words = append(n.words, describe(c))
	return true
}

func (n *notebook) Flush() error { n.flushes++; return n.err }

func describe(c *conn.Change) string {
	who := "-"
	if c.Conn != nil {
		who = fmt.Sprintf("%x/%d", c.Conn.ID.Cookie, c.Conn.Owner.Task.PID)
	}
	switch c.Kind {
	case conn.Transition:
		return fmt.Sprintf("%s %v>%v", who, c.Old, c.New)
	case conn.Retransmitted:
		return fmt.Sprintf("%s %v", who, c.Class)
	case conn.ResetSent:
		return who + " reset sent"
	case conn.ResetReceived:
		return who + " reset received"
	case conn.Ended:
		if c.Conn.Closed == 0 {
			return who + " open"
		}
		return fmt.Sprintf("%s %v", who, c.Conn.End)
	}
	return fmt.Sprintf("lost %d", c.Event.Loss.Count)
}

// follow runs events through a trace and compares what its sink is shown.
func follow(t *testing.T, options Options, events []event.Event, want ...string) Summary {
	t.Helper()
	var book notebook
	summary, err := New(options).Run(t.Context(), &told{events: events}, &book)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, book.words); diff != "" {
		t.Errorf("shown (-want +got):\n%s", diff)
	}
	if summary.Records != uint64(len(want)) {
		t.Errorf("%d records counted, want %d", summary.Records, len(want))
	}
	return summary
}

func TestTrace_ShowsEverything(t *testing.T) {
	follow(t, Options{}, story.Join(story.Listener(), story.Lossy()),
		"11/1234 CLOSE>LISTEN",
		"11/1234 LISTEN>CLOSE",
		"beef/1234 CLOSE>SYN_SENT",
		"beef/1234 syn",
		"beef/1234 SYN_SENT>ESTABLISHED",
		"beef/1234 tlp",
		"beef/1234 rto",
		"beef/1234 ESTABLISHED>CLOSE",
		"beef/1234 reset_sent",
		"beef/1234 reset sent",
		"lost 17",
	)
}

func TestTrace_OnlyKindsAskedForAndLosses(t *testing.T) {
	follow(t, Options{Filter: filter.Filter{Kinds: []filter.Kind{filter.KindRetransmit, filter.KindConnection}}}, story.Lossy(),
		"beef/1234 syn", "beef/1234 tlp", "beef/1234 rto", "beef/1234 reset_sent", "lost 17")
	follow(t, Options{Filter: filter.Filter{Kinds: []filter.Kind{filter.KindReset}}}, story.Refused(),
		"- reset sent", "ff/4242 reset received")
}

func TestTrace_OnlyStatesAskedFor(t *testing.T) {
	follow(t, Options{Filter: filter.Filter{States: []tcp.State{tcp.TimeWait, tcp.LastAck}}}, story.Plain(),
		"1a5ce/1234 CLOSE_WAIT>LAST_ACK", "1a5cd/4242 FIN_WAIT2>TIME_WAIT")
	follow(t, Options{Filter: filter.Filter{States: []tcp.State{tcp.CloseWait}, Kinds: []filter.Kind{filter.KindConnection}}}, story.Plain(),
		"1a5ce/1234 fin")
}

func TestTrace_OpenAtTheEnd(t *testing.T) {
	follow(t, Options{}, story.Hostile(), "e1/1 CLOSE>SYN_SENT", "e1/1 SYN_SENT>ESTABLISHED", "e1/1 open")
}

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
	// 2 transitions and 62 retransmits waited; the closing and the end follow.
	if len(book.words) != 66 || s.Overflown != 38 {
		t.Errorf("%d changes shown, %d left out, want 66 and 38", len(book.words), s.Overflown)
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
			server.ResetSent(at+3*time.Millisecond, tcp.Close, 1),
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

func TestTrace_Count(t *testing.T) {
	book := notebook{refuse: func(c *conn.Change) bool { return c.Kind == conn.Retransmitted }}
	source := &told{events: story.Lossy()}
	s, err := New(Options{Count: 3}).Run(t.Context(), source, &book)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"beef/1234 CLOSE>SYN_SENT", "beef/1234 SYN_SENT>ESTABLISHED", "beef/1234 ESTABLISHED>CLOSE"}
	if diff := cmp.Diff(want, book.words); diff != "" {
		t.Error(diff)
	}
	if s.Lost != 17 {
		t.Errorf("%d lost, want 17: a loss counts also when there are records enough", s.Lost)
	}
	if source.ctx.Err() == nil {
		t.Error("the source was not told to stop")
	}
}

// A sink that can write no more ends the trace, and is shown nothing further.
func TestTrace_SinkFails(t *testing.T) {
	broken := errors.New("nobody reads")
	book := notebook{err: broken}
	source := &told{events: story.Lossy()}
	tr := New(Options{})
	source.batch = tr.Batch
	_, err := tr.Run(t.Context(), source, &book)
	if !errors.Is(err, broken) {
		t.Errorf("error %v, want %v", err, broken)
	}
	// The first event of a connection waits for its port, so nothing was shown
	// before the flush that failed.
	if len(book.words) != 0 {
		t.Errorf("shown after the failure: %q", book.words)
	}
	if source.ctx.Err() == nil {
		t.Error("the source was not told to stop")
	}
}

func TestTrace_DurationEndsIt(t *testing.T) {
	tr := New(Options{Duration: time.Millisecond})
	if _, err := tr.Run(t.Context(), waiting{}, &notebook{}); err != nil {
		t.Fatal(err)
	}
}

// waiting is a source that has nothing to say until it is stopped.
type waiting struct{}

func (waiting) Run(ctx context.Context, _ event.Handler) error {
	<-ctx.Done()
	return nil
}

func TestTrace_ReadyOnceAndFlushEachBatch(t *testing.T) {
	ready := 0
	tr := New(Options{Ready: func() { ready++ }})
	tr.Batch() // before it runs: says nothing
	if ready != 0 {
		t.Error("ready before it runs")
	}
	var book notebook
	source := &told{events: story.Plain(), batch: tr.Batch}
	if _, err := tr.Run(t.Context(), source, &book); err != nil {
		t.Fatal(err)
	}
	if ready != 1 {
		t.Errorf("ready %d times, want 1", ready)
	}
	if want := len(source.events) + 1; book.flushes != want {
		t.Errorf("%d flushes, want %d: one for each batch and one at the end", book.flushes, want)
	}
}
