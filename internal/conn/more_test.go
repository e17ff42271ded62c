package conn

import (
	"testing"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// What a storm left to be counted belongs to its connection like the rest.
func TestTracker_CountsWhatAStormSentAgain(t *testing.T) {
	c := aClient
	more := c.event(event.RetransmitMore, 3*s)
	more.Old, more.Count = tcp.Established, 5
	more.Suppressed.ByClass = [NumClasses]uint32{ClassRTO: 1, ClassRecovery: 7}
	tr := New(Options{})
	tell(tr, events(c.connected(1*s), c.retransmit(2*s, tcp.Established, event.Retransmission{CAState: 4, Retransmits: 1, Total: 1})))
	var changes []Change
	tr.Handle(more, func(c *Change) { changes = append(changes, *c) })
	if len(changes) != 2 || changes[0].Class != ClassRTO || changes[0].Segments != 1 || changes[1].Class != ClassRecovery || changes[1].Segments != 7 {
		t.Fatalf("%+v", changes)
	}
	conn := changes[0].Conn
	if got := conn.Resent(); got != 9 || conn.Retransmits[ClassRTO] != 2 || conn.Retransmits[ClassRecovery] != 7 {
		t.Errorf("%d segments sent again: %v", got, conn.Retransmits)
	}

	// One that failed before the kernel counted it is no tenth.
	unsent := c.retransmit(4*s, tcp.Established, event.Retransmission{CAState: 4, Retransmits: 1, Total: 9, Err: -11})
	tell(tr, events(unsent))
	if got := conn.Resent(); got != 9 {
		t.Errorf("%d segments after one that was not sent", got)
	}

	// Of too many connections at once there is none to count it for, and RSTs
	// that answer packets of none.
	nobodys := *more
	nobodys.ID.Cookie, nobodys.Local, nobodys.Remote = 0, more.Remote, more.Remote
	resets := c.event(event.ResetMore, 4*s)
	resets.ID.Cookie, resets.Count = 0, 70
	expect(t, tell(tr, events(&nobodys, resets)), `
		3s - 8 segments more of retransmit_more
		4s - 0 segments more of reset_more`)

	// In an episode they belong to it, and put off its end.
	tr = New(Options{})
	expect(t, tellLoss(tr, c.connected(1*s), c.rto(2*s, 100, 200)), ``)
	again := *more
	again.Time = event.Time(2400 * ms)
	expect(t, tellLoss(tr, &again, c.event(event.Used, 2900*ms)), ``)
	expect(t, tellLoss(tr, c.event(event.Used, 3*s)), `2.9s client/c1:4000 episode recovered >=200ms rto@200 rto recovery*7`)
}
