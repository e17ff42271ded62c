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
	case conn.Corrected:
		return fmt.Sprintf("%s %v>%v corrected", who, c.Old, c.New)
	case conn.Retransmitted:
		return fmt.Sprintf("%s %v", who, c.Class)
	case conn.Crowd:
		return fmt.Sprintf("%d more", c.Segments)
	case conn.Episode:
		return fmt.Sprintf("%s loss %v", who, c.Episode.Outcome)
	case conn.ResetSent:
		return who + " reset sent"
	case conn.ResetReceived:
		return who + " reset received"
	case conn.Found:
		return fmt.Sprintf("%s found %v", who, c.New)
	case conn.Owned:
		return who + " owned"
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
		"beef/1234 loss recovered",
		"beef/1234 SYN_SENT>ESTABLISHED",
		"beef/1234 tlp",
		"beef/1234 rto",
		"beef/1234 loss recovered",
		"beef/1234 ESTABLISHED>CLOSE",
		"beef/1234 reset_sent",
		"beef/1234 reset sent",
		"lost 17",
	)
}

func TestTrace_OnlyKindsAskedForAndLosses(t *testing.T) {
	follow(t, Options{Filter: filter.Filter{Kinds: []filter.Kind{filter.KindRetransmit, filter.KindConnection}}}, story.Lossy(),
		"beef/1234 syn", "beef/1234 loss recovered", "beef/1234 tlp", "beef/1234 rto", "beef/1234 loss recovered",
		"beef/1234 reset_sent", "lost 17")
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

func TestTrace_Count(t *testing.T) {
	book := notebook{refuse: func(c *conn.Change) bool { return c.Kind == conn.Retransmitted || c.Kind == conn.Episode }}
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

// A sink that shows what is open now hears of a connection when it is found,
// and when its process becomes known, if it asks to.
func TestTrace_Every(t *testing.T) {
	server := story.NewSocket(7, "10.0.0.1:443", "10.0.0.9:50000")
	found := server.State(1*time.Second, tcp.CloseWait, tcp.CloseWait)
	found.Kind = event.Seen
	owned := story.By(story.Task(5, "shop"), server.State(2*time.Second, tcp.CloseWait, tcp.CloseWait))
	owned.Kind = event.Accepted
	events := []event.Event{found, owned}
	follow(t, Options{}, events, "7/5 open")
	follow(t, Options{Every: true}, events, "7/0 found CLOSE_WAIT", "7/5 owned", "7/5 open")
	follow(t, Options{Every: true, Filter: filter.Filter{PIDs: []uint32{5}}}, events,
		"7/5 found CLOSE_WAIT", "7/5 owned", "7/5 open")
	follow(t, Options{Every: true, Filter: filter.Filter{PIDs: []uint32{6}}}, events)
}

// What a storm left to be counted is of a kind of record, and of a namespace.
func TestTrace_Crowd(t *testing.T) {
	more := event.Event{Kind: event.RetransmitMore, Time: 1, ID: event.ID{NetNS: 4}}
	more.Suppressed.ByClass[conn.ClassRTO] = 7
	resets := event.Event{Kind: event.ResetMore, Time: 2, ID: event.ID{NetNS: 4}, Count: 9}
	events := []event.Event{more, resets}
	follow(t, Options{}, events, "7 more", "0 more")
	follow(t, Options{Filter: filter.Filter{Kinds: []filter.Kind{filter.KindRetransmit}}}, events, "7 more")
	follow(t, Options{Filter: filter.Filter{Kinds: []filter.Kind{filter.KindReset}}}, events, "0 more")
	follow(t, Options{Filter: filter.Filter{NetNS: []uint32{5}}}, events)
}
