package conn

import (
	"testing"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

const (
	synOnly = answeredSYN
	synACK  = answeredSYN | answeredACK
	ackOnly = answeredACK
	finACK  = answeredACK | 1
)

// answer is what is known of a segment that is answered with a RST.
func answer(flags uint8, bytes uint32) event.ResetFacts {
	return event.ResetFacts{Answer: true, AnsweredFlags: flags, AnsweredBytes: bytes}
}

// with sets what is known of the socket too.
func with(f event.ResetFacts, set func(*event.ResetFacts)) event.ResetFacts {
	set(&f)
	return f
}

func fullSocket(f *event.ResetFacts) { f.Socket = true }
func listener(f *event.ResetFacts)   { f.Listener = true }
func minisocket(f *event.ResetFacts) { f.TimeWait = true }
func linger2(f *event.ResetFacts)    { f.Socket, f.Linger2 = true, true }

// Each row of the table of docs/resets.md, as Linux 6.18 reports it, and as a
// kernel does that gives no reason.
func TestCauseOfSent(t *testing.T) {
	lingering := event.ResetFacts{Socket: true, Shutdown: 3, Linger0: true}
	unread := event.ResetFacts{Socket: true, Shutdown: 3, Unread: 5}
	both := event.ResetFacts{Socket: true, Shutdown: 3, Unread: 5, Linger0: true}
	connected := event.ResetFacts{Socket: true}
	halfClosed := event.ResetFacts{Socket: true, Shutdown: 2}
	orphan := event.ResetFacts{Socket: true, Dead: true, Shutdown: 3, Unacked: 1}
	queued := event.ResetFacts{Socket: true, Dead: true, Shutdown: 3, Unacked: 65536, Queued: true}
	outOfMemory := event.ResetFacts{Socket: true, Dead: true, Shutdown: 3, Unacked: 65536, Queued: true, MemoryFull: true}
	tests := []struct {
		name     string
		reason   string
		old      tcp.State
		process  bool
		facts    event.ResetFacts
		history  resetHistory
		want     ResetCause
		inferred bool // with the reason; without one it always is
	}{
		{"closed port", "NO_SOCKET", tcp.Unknown, false, answer(synOnly, 0), resetHistory{}, ResetRefused, false},
		{"a SYN-ACK for one that gave up", "NO_SOCKET", tcp.Unknown, false, answer(synACK, 0), resetHistory{known: true}, ResetAfterClose, false},
		{"data for one that is gone", "NO_SOCKET", tcp.Unknown, false, answer(ackOnly, 9), resetHistory{known: true}, ResetAfterClose, false},
		{"a FIN, and only its sender is known", "NO_SOCKET", tcp.Unknown, false, answer(finACK, 0), resetHistory{peerConnected: true}, ResetAfterClose, false},
		{"a stray segment", "NO_SOCKET", tcp.Unknown, false, answer(ackOnly, 0), resetHistory{}, ResetNoConnection, false},
		{"a stray segment for a listener", "TCP_FLAGS", tcp.Listen, false, with(answer(ackOnly, 0), listener), resetHistory{}, ResetNoConnection, false},
		{"data for one that is gone, its listener is not", "TCP_FLAGS", tcp.Listen, false, with(answer(ackOnly, 9), listener), resetHistory{known: true}, ResetAfterClose, false},
		{"its listener closed in the handshake", "NO_SOCKET", tcp.Unknown, false, answer(ackOnly, 0), resetHistory{known: true, request: true}, ResetListenerClosed, true},

		{"unread data", "TCP_ABORT_ON_CLOSE", tcp.Close, true, unread, resetHistory{}, ResetUnreadData, false},
		{"unread data, SO_LINGER 0 too", "TCP_ABORT_ON_CLOSE", tcp.Close, true, both, resetHistory{}, ResetUnreadData, false},
		{"SO_LINGER 0", "TCP_STATE", tcp.Close, true, lingering, resetHistory{}, ResetLinger, false},
		{"disconnect", "TCP_STATE", tcp.Close, true, connected, resetHistory{accepted: true}, ResetDisconnect, false},
		{"disconnect, half closed", "TCP_STATE", tcp.Close, true, halfClosed, resetHistory{}, ResetDisconnect, false},
		{"SO_LINGER 0 with data not sent yet", "TCP_DISCONNECT_WITH_DATA", tcp.Close, true, lingering, resetHistory{}, ResetLinger, false},
		{"ss -K", "TCP_STATE", tcp.Established, true, connected, resetHistory{}, ResetAborted, false},
		{"ss -K in CLOSE_WAIT with data unread", "TCP_STATE", tcp.CloseWait, true, event.ResetFacts{Socket: true, Shutdown: 1, Unread: 3}, resetHistory{}, ResetAborted, false},
		{"never accepted", "TCP_STATE", tcp.Close, false, connected, resetHistory{}, ResetListenerClosed, false},

		{"accept queue full", "INVALID_SYN", tcp.Listen, false, with(answer(ackOnly, 0), listener), resetHistory{known: true, request: true}, ResetAcceptOverflow, false},
		{"TCP_LINGER2", "TCP_ABORT_ON_DATA", tcp.Close, false, with(answer(ackOnly, 0), linger2), resetHistory{known: true}, ResetLinger2, false},
		{"data after close", "TCP_ABORT_ON_DATA", tcp.Close, false, with(answer(ackOnly, 4), fullSocket), resetHistory{known: true, data: true}, ResetAfterClose, false},
		{"data after close, TCP_LINGER2 set", "TCP_ABORT_ON_DATA", tcp.Close, false, with(answer(ackOnly, 4), linger2), resetHistory{known: true, data: true}, ResetAfterClose, false},
		{"data for an orphan", "TCP_TIMEWAIT_SOCKET", tcp.FinWait2, false, with(answer(ackOnly, 4), minisocket), resetHistory{known: true}, ResetAfterClose, false},
		{"in TIME_WAIT", "TCP_TIMEWAIT_SOCKET", tcp.TimeWait, false, with(answer(ackOnly, 4), minisocket), resetHistory{known: true}, ResetTimeWait, false},
		{"keepalive", "TCP_KEEPALIVE_TIMEOUT", tcp.Established, false, event.ResetFacts{Socket: true, Probes: 1}, resetHistory{}, ResetDeadPeer, false},
		{"orphan limit", "TCP_ABORT_ON_MEMORY", tcp.FinWait1, false, orphan, resetHistory{}, ResetOrphanLimit, false},
		{"memory limit", "TCP_ABORT_ON_MEMORY", tcp.FinWait1, false, outOfMemory, resetHistory{}, ResetMemoryLimit, false},
		{"memory limit in close()", "TCP_ABORT_ON_MEMORY", tcp.Close, true, outOfMemory, resetHistory{}, ResetMemoryLimit, false},
		{"orphan limit, or memory that is freed since", "TCP_ABORT_ON_MEMORY", tcp.Close, true, queued, resetHistory{}, ResetOrphanLimit, true},
		{"orphan limit in close()", "TCP_ABORT_ON_MEMORY", tcp.Close, true, orphan, resetHistory{}, ResetOrphanLimit, false},
		{"a bad ACK in SYN_SENT", "TCP_INVALID_ACK_SEQUENCE", tcp.SynSent, false, with(answer(ackOnly, 0), fullSocket), resetHistory{known: true}, ResetBadSegment, false},
	}
	for _, tt := range tests {
		for _, reason := range []string{tt.reason, ""} {
			t.Run(tt.name+" "+reason, func(t *testing.T) {
				ev := event.Event{Kind: event.ResetSent, Reason: reason, Old: tt.old, Reset: tt.facts}
				if tt.process {
					by("x", &ev)
				}
				cause, inferred := causeOfSent(&ev, tt.history)
				if cause != tt.want || inferred != (tt.inferred || reason == "") {
					t.Errorf("%v, inferred %v; want %v, %v", cause, inferred, tt.want, tt.inferred || reason == "")
				}
			})
		}
	}
}

// TCP_LINGER2 and close() in FIN_WAIT2 have a reason of their own.
func TestCauseOfSent_Linger2AtClose(t *testing.T) {
	ev := event.Event{Kind: event.ResetSent, Old: tcp.Close, Reset: event.ResetFacts{Socket: true, Dead: true, Linger2: true, Shutdown: 3}}
	by("x", &ev)
	for reason, inferred := range map[string]bool{"TCP_ABORT_ON_LINGER": false, "": true} {
		ev.Reason = reason
		if cause, got := causeOfSent(&ev, resetHistory{}); cause != ResetLinger2 || got != inferred {
			t.Errorf("%q: %v, inferred %v", reason, cause, got)
		}
	}
}

// A reason that a later kernel has is no cause that we know.
func TestCauseOfSent_UnknownReason(t *testing.T) {
	ev := event.Event{Kind: event.ResetSent, Reason: "SOMETHING_NEW", Old: tcp.Established}
	if cause, inferred := causeOfSent(&ev, resetHistory{}); cause != ResetCauseUnknown || !inferred {
		t.Errorf("%v, inferred %v", cause, inferred)
	}
}

func TestResetCause_Names(t *testing.T) {
	seen := map[string]ResetCause{}
	for c := ResetCauseNone; int(c) < len(resetCauseNames); c++ {
		if other, ok := seen[c.String()]; ok || c != ResetCauseNone && c.String() == "" {
			t.Errorf("%d is called %q, as %d is", c, c, other)
		}
		seen[c.String()] = c
	}
}
