package conn

import (
	"testing"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// The rows are what was recorded on a live kernel for a known cause.
func TestClassify(t *testing.T) {
	tests := []struct {
		name string
		old  tcp.State
		x    event.Retransmission
		want Class
	}{
		{"SYN", tcp.SynSent, event.Retransmission{CAState: 4, Retransmits: 1, Flags: 2}, ClassSYN},
		{"SYN-ACK of a full socket", tcp.SynRecv, event.Retransmission{CAState: 4, Retransmits: 1, Flags: 0x12}, ClassSYNACK},
		{"data in SYN_RECV", tcp.SynRecv, event.Retransmission{CAState: 4, Retransmits: 1, Flags: 0x10}, ClassRTO},
		{"loss probe", tcp.Established, event.Retransmission{Pending: 5}, ClassTLP},
		{"loss probe with SACKed", tcp.Established, event.Retransmission{Pending: 5, Sacked: 1}, ClassTLP},
		{"timer armed for a probe, but marked lost", tcp.Established, event.Retransmission{CAState: 3, Pending: 5, Sacked: 4}, ClassFast},
		{"timeout", tcp.Established, event.Retransmission{CAState: 4, Retransmits: 1}, ClassRTO},
		{"timeout of a FIN", tcp.LastAck, event.Retransmission{CAState: 4, Retransmits: 7, Flags: 0x11}, ClassFIN},
		{"timeout of data with a FIN", tcp.LastAck, event.Retransmission{CAState: 4, Retransmits: 7, Flags: 0x11, Bytes: 7}, ClassRTO},
		{"loss probe of a FIN", tcp.FinWait1, event.Retransmission{Pending: 5, Flags: 0x11}, ClassFIN},
		{"recovery after a timeout", tcp.Established, event.Retransmission{CAState: 4, Pending: 1, Sacked: 4}, ClassRecovery},
		{"recovery with the timer stopped", tcp.Established, event.Retransmission{CAState: 4, Sacked: 4}, ClassRecovery},
		{"fast", tcp.Established, event.Retransmission{CAState: 3, Pending: 1, Sacked: 4}, ClassFast},
		{"fast, by the reordering timer", tcp.CloseWait, event.Retransmission{CAState: 3, Pending: 6, Sacked: 4}, ClassFast},
		{"not sent", tcp.Established, event.Retransmission{CAState: 4, Retransmits: 1, Err: -11}, ClassUnsent},
		{"nothing known", tcp.Established, event.Retransmission{}, ClassUnknown},
	}
	for _, tt := range tests {
		ev := event.Event{Kind: event.Retransmit, Old: tt.old, Retransmission: tt.x}
		if got := Classify(&ev); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
	synack := event.Event{Kind: event.RetransmitSynAck, Old: tcp.SynRecv}
	if got := Classify(&synack); got != ClassSYNACK {
		t.Errorf("SYN-ACK: %v", got)
	}
	synack.Retransmission.Err = -105
	if got := Classify(&synack); got != ClassUnsent {
		t.Errorf("SYN-ACK that was not sent: %v", got)
	}
}

func TestTracker_CountsRetransmits(t *testing.T) {
	c := aClient
	rto := event.Retransmission{CAState: 4, Retransmits: 1}
	fast := event.Retransmission{CAState: 3, Sacked: 4, Segments: 3}
	tr := New(Options{})
	expect(t, tell(tr, events(
		c.connected(1*s),
		c.retransmit(2*s, tcp.Established, rto), c.retransmit(3*s, tcp.Established, fast),
		c.retransmit(4*s, tcp.Established, rto),
	)), connectedTold+`
		2s client/c1:4000 retransmitted rto
		3s client/c1:4000 retransmitted fast
		4s client/c1:4000 retransmitted rto`)
	want := [NumClasses]uint32{ClassRTO: 2, ClassFast: 3}
	for k := range tr.Open {
		if k.Resent() != 5 {
			t.Errorf("%d sent again, want 5", k.Resent())
		}
		if k.Retransmits != want {
			t.Errorf("counted %v, want %v", k.Retransmits, want)
		}
	}
}

// A record without a state makes no connection; one of a connection that has
// ended is told, and changes nothing.
func TestTracker_RetransmitOfNoConnection(t *testing.T) {
	c := aClient
	tr := New(Options{})
	expect(t, tell(tr, events(c.retransmit(1*s, tcp.Unknown, event.Retransmission{}))), "")
	if st := tr.Stats(); st.Stray != 1 || st.Live != 0 {
		t.Errorf("%d stray, %d live; want 1, 0", st.Stray, st.Live)
	}
	tell(tr, through(c, 2*s, 3*s))
	expect(t, tell(tr, events(c.retransmit(2500*ms, tcp.SynSent, event.Retransmission{}))), `
		2.5s client/c1:4000 retransmitted syn`)
}
