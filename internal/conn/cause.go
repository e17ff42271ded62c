package conn

import (
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// A ResetCause says why a RST was sent. docs/resets.md says for each what it
// is told by, and where in the kernel.
type ResetCause uint8

const (
	ResetCauseNone    ResetCause = iota // no RST, or none of which anything is known
	ResetCauseUnknown                   // a RST of which too little is known

	ResetRefused          // a SYN met a closed port
	ResetUnreadData       // close() with data unread
	ResetLinger           // close() with SO_LINGER 0
	ResetDisconnect       // connect() with AF_UNSPEC, on a connected socket
	ResetAborted          // killed from outside, as by "ss -K"
	ResetListenerClosed   // the listener was closed before this was accepted
	ResetAcceptOverflow   // the accept queue was full, and tcp_abort_on_overflow is set
	ResetAfterClose       // data, or a FIN, met a socket that its process had closed
	ResetNoConnection     // a segment that opens nothing met no connection: perhaps one that is long over
	ResetDeadPeer         // keepalive, or TCP_USER_TIMEOUT in it, gave the peer up
	ResetOrphanLimit      // tcp_max_orphans was exceeded as a process closed, or later
	ResetMemoryLimit      // the memory for TCP, tcp_mem, was exceeded likewise
	ResetLinger2          // TCP_LINGER2 is negative: FIN_WAIT2 is left out
	ResetTimeWait         // a segment that TIME_WAIT does not accept
	ResetBadSegment       // a segment that its socket's state does not accept
	ResetProtocolMultiTCP // MPTCP wanted it

	ResetByPeer   // received from another host, which alone knows why
	ResetFirewall // received, though the peer is on this host and sent none
)

var resetCauseNames = [...]string{
	ResetCauseNone: "", ResetCauseUnknown: "unknown", ResetRefused: "connect-refused",
	ResetUnreadData: "reset-unread-data", ResetLinger: "reset-linger", ResetDisconnect: "reset-disconnect",
	ResetAborted: "reset-aborted", ResetListenerClosed: "listener-closed",
	ResetAcceptOverflow: "accept-queue-overflow", ResetAfterClose: "reset-after-close",
	ResetNoConnection: "no-connection", ResetDeadPeer: "dead-peer", ResetOrphanLimit: "orphan-limit",
	ResetMemoryLimit: "memory-limit",
	ResetLinger2:     "linger2", ResetTimeWait: "time-wait", ResetBadSegment: "bad-segment",
	ResetProtocolMultiTCP: "mptcp", ResetByPeer: "reset-by-peer", ResetFirewall: "firewall",
}

// String returns the name that records use, or "" for ResetCauseNone. Where a
// rule of "why" is about the cause, it is the rule's.
func (c ResetCause) String() string { return resetCauseNames[c] }

// A Reset is what is understood of a RST.
type Reset struct {
	Cause ResetCause

	// Inferred is set where the kernel's reason, with the socket's own state
	// at that moment, leaves more than one cause: the connection's history, or
	// what is usual, decided. So are all causes of kernels that give none.
	Inferred bool

	// PeerKnown is set where the other end is on this host: of a RST received,
	// who sent it; of one sent, who is to receive it. Peer is that end's
	// identity, with Cookie 0 where it has no socket, PeerOwner whose it is,
	// and PeerActor the process that caused the RST, each where known.
	PeerKnown bool
	Peer      event.ID
	PeerOwner Owner
	PeerActor event.Task
}

// A resetHistory is what the tracker knows, beside the event, about the socket
// that sent a RST.
type resetHistory struct {
	known    bool // the connection is, or was, known
	request  bool // it is a handshake whose request socket has not ended, or has for want of room
	data     bool // the kernel has just reported a RST "received" in FIN_WAIT1 or 2: data came
	accepted bool // a process has it, or had

	// peerConnected: the other end is on this host and takes itself for
	// connected.
	peerConnected bool
	// peerConnecting: it is, and has sent its SYN.
	peerConnecting bool
}

const (
	answeredSYN = 1 << 1 // ResetFacts.AnsweredFlags
	answeredACK = 1 << 4

	shutdownBoth = 3 // sk_shutdown
)

// causeOfSent tells why a RST was sent. It knows the kernel's reasons by name,
// and without one goes by what the functions do that send a RST
// (net/ipv4/tcp.c, tcp_input.c, tcp_timer.c, tcp_minisocks.c, inet_connection_sock.c).
func causeOfSent(ev *event.Event, h resetHistory) (cause ResetCause, inferred bool) {
	f := &ev.Reset
	switch ev.Reason {
	case "TCP_ABORT_ON_CLOSE":
		return ResetUnreadData, false
	case "TCP_ABORT_ON_LINGER":
		return ResetLinger2, false
	case "TCP_ABORT_ON_MEMORY":
		return causeOfMemory(f)
	case "TCP_KEEPALIVE_TIMEOUT":
		return ResetDeadPeer, false
	case "TCP_STATE", "TCP_DISCONNECT_WITH_DATA":
		return causeOfState(ev, h)
	case "TCP_ABORT_ON_DATA":
		return causeOfData(f, h), false
	case "TCP_TIMEWAIT_SOCKET":
		return causeOfTimeWait(ev.Old), false
	case "NO_SOCKET":
		return causeWithoutSocket(f, h)
	case "INVALID_SYN":
		if f.Answer && f.AnsweredFlags&answeredSYN != 0 {
			return ResetBadSegment, false
		}
		return ResetAcceptOverflow, !h.request
	case "TCP_FLAGS":
		if met := metListener(ev); met && opensNothing(f) {
			return causeWithoutSocket(f, h)
		}
		return ResetBadSegment, false
	case "TCP_INVALID_ACK_SEQUENCE", "TCP_RFC7323_PAWS", "TCP_TOO_OLD_ACK", "TCP_ACK_UNSENT_DATA", "TCP_OLD_ACK":
		return ResetBadSegment, false
	case "MPTCP_RST_EUNSPEC", "MPTCP_RST_EMPTCP", "MPTCP_RST_ERESOURCE", "MPTCP_RST_EPROHIBIT",
		"MPTCP_RST_EWQ2BIG", "MPTCP_RST_EBADPERF", "MPTCP_RST_EMIDDLEBOX":
		return ResetProtocolMultiTCP, false
	case "":
		return causeWithoutReason(ev, h), true
	}
	return ResetCauseUnknown, true
}

// causeOfState tells apart what the kernel gives one reason, TCP_STATE:
// tcp_abort sends while the socket still has its state; tcp_disconnect sets
// CLOSE first, and is called by connect(AF_UNSPEC), by close() with SO_LINGER 0
// (which has shut the socket down by then), and for each socket that a closing
// listener has not handed out, which no system call holds.
func causeOfState(ev *event.Event, h resetHistory) (cause ResetCause, inferred bool) {
	f := &ev.Reset
	switch {
	case ev.Old != tcp.Close:
		return ResetAborted, false
	case !ev.Task.Known():
		return ResetListenerClosed, h.accepted
	case !f.Socket:
		return ResetLinger, true
	case f.Linger0 && f.Shutdown == shutdownBoth:
		return ResetLinger, false
	}
	return ResetDisconnect, false
}

// causeOfData tells apart two uses of TCP_ABORT_ON_DATA (tcp_rcv_state_process):
// with TCP_LINGER2 negative the ACK of our FIN ends the socket; and so does
// data in FIN_WAIT1 or FIN_WAIT2, for which the kernel calls tcp_reset before.
func causeOfData(f *event.ResetFacts, h resetHistory) ResetCause {
	if f.Linger2 && !h.data {
		return ResetLinger2
	}
	return ResetAfterClose
}

// causeOfMemory tells apart the two limits that tcp_check_oom looks at. Memory may
// have been freed since, by the other end of what was reset: what is left then is
// the other limit, not for certain.
func causeOfMemory(f *event.ResetFacts) (cause ResetCause, inferred bool) {
	if f.MemoryFull {
		return ResetMemoryLimit, false
	}
	return ResetOrphanLimit, f.Queued
}

func causeOfTimeWait(substate tcp.State) ResetCause {
	if substate == tcp.TimeWait {
		return ResetTimeWait
	}
	return ResetAfterClose // FIN_WAIT2 of a socket that was closed
}

// causeWithoutSocket tells why a segment was answered that met no socket of its
// own: none at all, or a listener.
func causeWithoutSocket(f *event.ResetFacts, h resetHistory) (cause ResetCause, inferred bool) {
	switch {
	case f.Answer && !opensNothing(f):
		return ResetRefused, false
	case h.request:
		return ResetListenerClosed, true // tcp_v4_rcv drops the request and looks again
	case h.known || h.peerConnected:
		return ResetAfterClose, false
	case !f.Answer && h.peerConnecting:
		return ResetRefused, true
	case !f.Answer:
		return ResetCauseUnknown, true
	}
	return ResetNoConnection, false
}

// opensNothing reports whether the answered segment is not a SYN.
func opensNothing(f *event.ResetFacts) bool {
	return f.AnsweredFlags&(answeredSYN|answeredACK) != answeredSYN
}

func metListener(ev *event.Event) bool { return ev.Reset.Listener || ev.Old == tcp.Listen }

// causeWithoutReason infers the cause on kernels that give no reason.
func causeWithoutReason(ev *event.Event, h resetHistory) ResetCause {
	f := &ev.Reset
	switch {
	case f.Answer:
		return causeOfAnswer(ev, h)
	case ev.Old == tcp.Close && ev.Task.Known():
		switch { // in the order of __tcp_close, but that Dead is set half-way
		case f.Dead && f.Linger2:
			return ResetLinger2
		case f.Dead:
			cause, _ := causeOfMemory(f)
			return cause
		case f.Unread > 0 && f.Shutdown == shutdownBoth:
			return ResetUnreadData
		}
		cause, _ := causeOfState(ev, h)
		return cause
	case ev.Old == tcp.Close:
		return ResetListenerClosed
	case ev.Task.Known():
		return ResetAborted
	case f.Dead:
		cause, _ := causeOfMemory(f)
		return cause
	case f.Socket:
		return ResetDeadPeer
	}
	return ResetCauseUnknown
}

// causeOfAnswer infers why a segment was answered with a RST.
func causeOfAnswer(ev *event.Event, h resetHistory) ResetCause {
	f := &ev.Reset
	switch {
	case f.TimeWait:
		return causeOfTimeWait(ev.Old)
	case metListener(ev) && h.request && opensNothing(f):
		return ResetAcceptOverflow
	case metListener(ev) && opensNothing(f), ev.Old == tcp.Unknown:
		cause, _ := causeWithoutSocket(f, h)
		return cause
	case f.Socket && ev.Old == tcp.Close:
		return causeOfData(f, h)
	}
	return ResetBadSegment
}

// causeOfReceived tells what can be said of a RST whose sending was not seen.
// state is the receiver's as it came. What the receiver sees is all there is.
func causeOfReceived(state tcp.State) (cause ResetCause, inferred bool) {
	switch state {
	case tcp.SynSent:
		return ResetRefused, true // or a firewall says so
	case tcp.CloseWait, tcp.LastAck, tcp.Closing:
		return ResetAfterClose, true // the peer had sent its FIN
	}
	return ResetByPeer, false
}
