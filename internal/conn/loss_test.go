package conn

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// numbered is a client of its own for each n.
func numbered(n int) socket {
	c := aClient
	c.id.Cookie = uint64(0x100 + n)
	return c
}

// through is a client's life from begin to end, in two transitions and a bind.
func through(c socket, begin, end time.Duration) []*event.Event {
	return events(
		portKnown(c, c.state(begin, tcp.Close, tcp.SynSent)),
		failing(111, c.state(end, tcp.SynSent, tcp.Close)),
	)
}

// incomplete returns the cookies of the connections that ended incomplete.
func incomplete(t *Tracker, evs []*event.Event, finish time.Duration) []string {
	var spoilt []string
	emit := func(c *Change) {
		if c.Kind == Ended && !c.Conn.Complete {
			spoilt = append(spoilt, fmt.Sprintf("%x", c.Conn.ID.Cookie))
		}
	}
	for _, ev := range evs {
		t.Handle(ev, emit)
	}
	t.Finish(event.Time(finish), emit)
	slices.Sort(spoilt)
	return spoilt
}

// Each connection that lived at some instant of the loss is incomplete, and no
// other.
func TestTracker_LossTouchesThoseAlive(t *testing.T) {
	before, across, idle := numbered(1), numbered(2), numbered(3)
	within, begins, ends, after := numbered(4), numbered(5), numbered(6), numbered(7)
	evs := events(
		through(before, 1*s, 2*s),
		through(across, 3*s, 30*s)[0],
		through(idle, 4*s, 0)[0],
		through(ends, 5*s, 0)[0],
		lost(7, 10*s, 20*s), // comes before the other events of its batch
		through(within, 11*s, 12*s),
		through(begins, 19*s, 0)[0],
		through(ends, 0, 19500*ms)[1],
		through(after, 21*s, 22*s),
		through(across, 0, 30*s)[1],
		through(begins, 0, 31*s)[1],
	)
	tr := New(Options{})
	got := incomplete(tr, evs, 40*s)
	if want := []string{"102", "103", "104", "105", "106"}; !slices.Equal(got, want) {
		t.Errorf("incomplete: %v, want %v", got, want)
	}
	if n := tr.Stats().Lost; n != 7 {
		t.Errorf("%d lost, want 7", n)
	}
}

// The batch may hold events from before the loss: a life that was over then
// is whole.
func TestTracker_LossAfterALifeOfTheSameBatch(t *testing.T) {
	whole, hit := numbered(1), numbered(2)
	evs := events(lost(1, 10*s, 20*s), through(whole, 8*s, 9*s), through(hit, 8*s, 11*s))
	if got := incomplete(New(Options{}), evs, 40*s); !slices.Equal(got, []string{"102"}) {
		t.Errorf("incomplete: %v, want [102]", got)
	}
}

// What a full queue dropped is no event of a connection that is there.
func TestTracker_LossOfFullQueuesTouchesNone(t *testing.T) {
	life := through(numbered(1), 1*s, 4*s)
	last := len(life) - 1
	queues := lost(7, 2*s, 3*s)
	queues.Loss.Kind = event.QueueFull
	tr := New(Options{})
	if got := incomplete(tr, events(life[:last], queues, life[last]), 5*s); got != nil {
		t.Errorf("incomplete: %v, want none", got)
	}
	if got := tr.Stats().Lost; got != 7 {
		t.Errorf("%d lost, want 7", got)
	}
}

// More losses than are remembered: what lived through a forgotten one is still
// known to have.
func TestTracker_ManyLosses(t *testing.T) {
	old, young := numbered(1), numbered(2)
	evs := through(old, 1*s, 0)[:1]
	for i := range 5 * maxWindows {
		at := time.Duration(10+10*i) * s
		evs = append(evs, lost(1, at, at+1*s))
	}
	last := time.Duration(10+10*5*maxWindows) * s
	evs = append(evs, events(through(young, last, last+1*s), through(old, 0, last+2*s)[1])...)
	tr := New(Options{})
	if got := incomplete(tr, evs, last+3*s); !slices.Equal(got, []string{"101"}) {
		t.Errorf("incomplete: %v, want [101]", got)
	}
	if n := len(tr.losses.windows); n != maxWindows {
		t.Errorf("%d windows kept, want %d", n, maxWindows)
	}
}

// Losses reported each second without a pause are one window.
func TestTracker_SteadyLoss(t *testing.T) {
	tr := New(Options{})
	for i := range 100 {
		at := time.Duration(i) * s
		tell(tr, events(lost(1, at, at+1*s)))
	}
	if n := len(tr.losses.windows); n != 1 {
		t.Errorf("%d windows, want 1", n)
	}
	if got := incomplete(tr, through(numbered(1), 50*s, 101*s), 200*s); len(got) != 1 {
		t.Errorf("incomplete: %v, want one", got)
	}
	if got := incomplete(tr, through(numbered(2), 150*s, 151*s), 200*s); len(got) != 0 {
		t.Errorf("incomplete: %v, want none", got)
	}
}

// An open connection that no event touches is marked in what Open yields.
func TestTracker_LossSeenByOpen(t *testing.T) {
	tr := New(Options{})
	tell(tr, events(aClient.connected(1*s), lost(1, 5*s, 6*s)))
	for c := range tr.Open {
		if c.Complete {
			t.Error("complete, but an event may have been lost")
		}
	}
}

// A gap that is filled later leaves a connection incomplete if a loss touched
// it meanwhile.
func TestTracker_LossOutlastsAFilledGap(t *testing.T) {
	c := aClient
	story(t, connectedTold+`
		2.5s - lost 1
		3s client/c1:4000 FIN_WAIT1>FIN_WAIT2 ?
		2s client/c1:4000 ESTABLISHED>FIN_WAIT1 999ms
		16m40s client/c1:4000 ended open incomplete SYN_SENT=1ms ESTABLISHED=999ms FIN_WAIT1=1s FIN_WAIT2=...`,
		c.connected(1*s),
		lost(1, 1500*ms, 2500*ms),
		c.state(3*s, tcp.FinWait1, tcp.FinWait2),
		c.state(2*s, tcp.Established, tcp.FinWait1),
	)
}
