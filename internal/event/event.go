// Package event defines the facts that tcptrace learns about TCP sockets, as
// one flat value each. Sources (the live kernel, a recording) produce events;
// the tracker consumes them. The package knows nothing of BPF, and events know
// nothing of each other: joining them into connections is the tracker's work.
package event

import (
	"net/netip"
	"time"

	"github.com/tcptrace/tcptrace/internal/tcp"
)

// A Time is an instant on the kernel's CLOCK_MONOTONIC, in nanoseconds since
// boot. It is the only clock of everything behind a source.
type Time int64

// Sub returns the time from u to t, which is negative if u is later.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t - u) }

// Add returns the instant d after t.
func (t Time) Add(d time.Duration) Time { return t + Time(d) }

// An ID identifies a connection for as long as the host is up: the network
// namespace (its inode, as in /proc/PID/ns/net) and the socket cookie (as
// "ss -e" prints it behind "sk:"). Cookie is 0 where the kernel had not made
// one yet, which happens only before a request socket gets its child.
type ID struct {
	NetNS  uint32
	Cookie uint64
}

// A Kind says what an Event reports, and with that which of its fields mean
// something. Time, ID, Local and Remote are common to all but Lost.
type Kind uint8

const (
	// State: a full socket went from Old to New. Err is its sk_err; Task is
	// set when the process itself caused the transition.
	State Kind = iota + 1

	// Bound: a connecting socket, in SYN_SENT, has got its local port.
	Bound

	// RequestBegin: a SYN arrived for a listener and a request socket was
	// made: SYN_RECV begins. ID.Cookie may be 0.
	RequestBegin
	// RequestEnd: a request socket ended without a child. Cause says why.
	RequestEnd

	// TimeWaitBegin: the full socket was replaced by a timewait socket whose
	// substate, TIME_WAIT or FIN_WAIT2, is New. The kernel reports the full
	// socket's transition to CLOSE right after it; that one is no state of
	// the connection. A second TimeWaitBegin re-arms the timer.
	TimeWaitBegin
	// TimeWaitFin: the peer's FIN met a timewait socket in substate
	// FIN_WAIT2, which is in TIME_WAIT from now on.
	TimeWaitFin
	// TimeWaitEnd: a timewait socket ended. Old is its last substate, Cause
	// says why.
	TimeWaitEnd

	// Retransmit: a segment was sent again. Old is the socket's state and
	// Retransmission the details.
	Retransmit
	// RetransmitSynAck: a request socket's SYN-ACK was sent again: its timer
	// ran out (Retransmission.Timeout), or the SYN came again.
	RetransmitSynAck

	// ResetSent: a RST was sent. Old is the socket's state, or Unknown where
	// there was no socket; Reason the kernel's; Task the process, if one
	// caused it.
	ResetSent
	// ResetReceived: a RST was received. Old is the socket's state.
	ResetReceived

	// Totals: the counters of a full socket, sent as it closes. It precedes
	// the State event to CLOSE and has the same Time.
	Totals

	// Used: Task read from a socket that a listener made, the first process to
	// do so. It has accepted the socket, or got it from the one that did.
	Used
	// Accepted: Task's accept() returned the socket.
	Accepted

	// Dropped: the kernel dropped a packet of TCP, Packet. Reason is the
	// kernel's. ID and Old are of the socket or listener that sent it or that
	// it was for, where one was found; Local and Remote are the packet's. Of
	// too many for an event each, Count were, with the same addresses; Packet is
	// of one of them, without Where and Seq, and all are what that is, a SYN, a
	// FIN, data or none of these. Those of too many addresses have neither Local
	// nor Remote, and no Packet.
	Dropped
	// QueueFull: the ACK that completes a handshake met a listener whose queue
	// was full: Count is 1, Local and Remote are the packet's. Or Count SYNs
	// did, a moment ago: then Remote is not set. ID is the listener's; Queue
	// says which queue and how full.
	QueueFull
	// Failed: a system call of Task failed with Err, Count times; of more than
	// once, the rest is of the last. Op says which; Local and Remote are as far
	// as known, Old is the socket's state. A connect() whose SYN was answered, or
	// not, by another is no Failed but a State with Err.
	Failed
	// Congestion: the congestion state of a socket changed to
	// Retransmission.CAState, with the other members of Retransmission as far
	// as a socket has them. Each timeout sets Loss anew, and is reported also
	// where the state was Loss already. Old is the socket's state.
	Congestion
	// RetransmitMore: Count times something was sent again that has no
	// Retransmit of its own, because there were too many: Suppressed counts
	// their segments, since the last such event of the connection. Of those
	// for which there was no room to tell whose they are, ID has no cookie, and
	// neither Local nor Remote is set.
	RetransmitMore
	// ResetMore: likewise Count RSTs were sent without a ResetSent of their own,
	// each to answer a packet of no connection; Old, Reason, and of Reset what
	// object answered, are those that they have in common.
	ResetMore

	// Seen: a sweep through the kernel's tables found the socket, in state Old.
	// Task is the process that holds it, where it is just one.
	Seen
	// Swept: a sweep of the namespace ID.NetNS is complete. Every socket that
	// was open all the time in [From, Time] has had its Seen, unless it changed
	// its place in the tables at the wrong moment: only who is missed twice is
	// gone. Local and Remote are not set.
	Swept

	// Lost: Loss.Count events of kind Loss.Kind could not be handed over by
	// the kernel side at some time in [Loss.From, Time].
	Lost

	// NumKinds is one more than the largest Kind.
	NumKinds
)

var kindNames = [NumKinds]string{
	State:            "state",
	Bound:            "bound",
	RequestBegin:     "request_begin",
	RequestEnd:       "request_end",
	TimeWaitBegin:    "time_wait_begin",
	TimeWaitFin:      "time_wait_fin",
	TimeWaitEnd:      "time_wait_end",
	Retransmit:       "retransmit",
	RetransmitSynAck: "retransmit_synack",
	ResetSent:        "reset_sent",
	ResetReceived:    "reset_received",
	Totals:           "totals",
	Dropped:          "dropped",
	QueueFull:        "queue_full",
	Failed:           "failed",
	Congestion:       "congestion",
	RetransmitMore:   "retransmit_more",
	ResetMore:        "reset_more",
	Used:             "used",
	Accepted:         "accepted",
	Seen:             "seen",
	Swept:            "swept",
	Lost:             "lost",
}

// String returns the kind's name in lower case.
func (k Kind) String() string {
	if k < NumKinds && kindNames[k] != "" {
		return kindNames[k]
	}
	return "unknown"
}

// A Cause says why a request or timewait socket ended, and of a full one what
// its Err does not say.
type Cause uint8

const (
	CauseUnknown   Cause = iota
	CauseExpired         // its timer ran out
	CauseReused          // a new connection took its 4-tuple
	CauseReset           // a RST ended it
	CauseOverflow        // there was no room: tcp_max_tw_buckets, accept queue
	CauseNetnsExit       // its network namespace was deleted
	CauseKilled          // killed from outside, as by "ss -K"
	CauseTimeout         // the handshake's retries ran out; of State: any timeout, the error of which the process had taken before
	CauseUnseen          // TIME_WAIT may follow, but cannot be seen here
	CauseTwin            // of State: a second child of one request, in SYN_RECV, is taken back; the connection lives on in the first
)

// String returns the cause as records spell it, or "" for CauseUnknown.
func (c Cause) String() string {
	switch c {
	case CauseExpired:
		return "expired"
	case CauseReused:
		return "reused"
	case CauseReset:
		return "reset"
	case CauseOverflow:
		return "overflow"
	case CauseNetnsExit:
		return "netns_exit"
	case CauseKilled:
		return "killed"
	case CauseTimeout:
		return "timeout"
	case CauseUnseen:
		return "unseen"
	case CauseTwin:
		return "twin"
	}
	return ""
}

// A Task is the process in whose context the kernel acted on a socket. It is
// set only when that is certain (the socket was locked by a system call); a
// PID of 0 says that the kernel acted by itself.
type Task struct {
	PID    uint32 // thread group id, as the host sees it
	UID    uint32
	Cgroup uint64 // cgroup v2 id
	Comm   [16]byte
	Label  *Label // what more is known of it; nil where nothing is
}

// Known reports whether t names a process.
func (t *Task) Known() bool { return t.PID != 0 }

// Retransmission holds what the kernel knew of a segment as it sent it again.
type Retransmission struct {
	Seq         uint32 // first sequence number
	Bytes       uint32 // payload length
	Segments    uint32 // that it makes on the wire, as the kernel's RetransSegs counts
	RTOms       uint32 // retransmission timeout, ms
	SRTTus      uint32 // smoothed round-trip time, µs; 0 where not measured
	Cwnd        uint32 // congestion window, segments
	CAState     uint8  // icsk_ca_state: 0 Open, 1 Disorder, 2 CWR, 3 Recovery, 4 Loss
	Pending     uint8  // icsk_pending: the timer armed, ICSK_TIME_*
	Retransmits uint8  // icsk_retransmits: timeouts since the last ACK
	Sacked      uint8  // TCP_SKB_CB(skb)->sacked
	Flags       uint8  // TCP flags of the segment; FIN is 1, SYN is 2
	Err         int16  // why it was not sent, as a negative errno; 0 where it was
	Head        bool   // it is the first unacknowledged segment

	// Of the socket so far: segments sent again, this one included, as the
	// kernel's RetransSegs counts them, and copies that the peer's DSACKs
	// reported to be needless.
	Total, DSACKs uint32

	// Timeout: of Congestion and RetransmitSynAck, a timer ran out. The kernel's
	// TCPTimeouts counts these, and the one that ends a connection.
	Timeout bool

	// Of Congestion alone.
	OldCAState  uint8
	Undo        bool  // undo_marker is set: this episode may still prove needless
	UndoRetrans int32 // segments of it not yet known to be needless; -1 not known
}

// ResetFacts are what the kernel knew of a socket as a RST was sent or
// received: what tells the causes apart that have one reason, or none.
type ResetFacts struct {
	// At most one of these is set; none where there was no socket.
	Socket   bool // a full socket, of which the members up to MemoryFull tell
	Listener bool // a listener met a packet that it answered
	Request  bool // a request socket, in SYN_RECV
	TimeWait bool // a timewait socket: TIME_WAIT, or FIN_WAIT2 after close()

	Dead     bool   // no process has it any more: it was closed, or never accepted
	Linger0  bool   // SO_LINGER is set, of 0 seconds
	Linger2  bool   // TCP_LINGER2 is negative
	Shutdown uint8  // sk_shutdown: 1 for receiving, 2 for sending
	Unread   uint32 // bytes received that nobody has read
	Unacked  uint32 // bytes, FIN included, sent or to be sent, not acknowledged
	Probes   uint8  // icsk_probes_out: keepalive or window probes not answered
	Timeouts uint8  // icsk_retransmits: since the last ACK

	// Of a socket that is Dead. Queued: it has more to send than is left to
	// every socket whatever tcp_mem says. MemoryFull: besides, all sockets of
	// TCP together have taken more than tcp_mem allows.
	Queued, MemoryFull bool

	// Answer: a RST sent answers a packet, with so much payload and these TCP
	// flags: FIN is 1, SYN 2, RST 4, PSH 8, ACK 16.
	Answer        bool
	AnsweredBytes uint32
	AnsweredFlags uint8
}

// A Packet is one of TCP that the kernel dropped.
type Packet struct {
	Where    string // the kernel function that gave it up; "" where not known
	Seq      uint32
	Bytes    uint32 // payload
	Flags    uint8  // FIN is 1, SYN 2, RST 4, PSH 8, ACK 16
	Outgoing bool   // we sent it; else it came in
}

// Suppressed counts the segments of RetransmitMore.
type Suppressed struct {
	// ByClass counts segments, as the kernel's RetransSegs does, by why they
	// were sent again: 0 unknown, 1 a timeout, 2 fast retransmit, 3 tail loss
	// probe, 4 SYN, 5 SYN-ACK, 6 recovery after a timeout, 7 not sent, 8 FIN
	// without data. The rules are those of conn.Classify.
	ByClass [9]uint32
	Probes  uint32 // of the Count, those that were tail loss probes, FINs included

	// Timeouts counts timers that ran out and have neither a Congestion nor a
	// RetransmitSynAck of their own.
	Timeouts uint32
}

// A Queue is one of a listener's two, as a packet met it.
type Queue struct {
	SYN    bool   // of requests, in SYN_RECV; else of connections that wait for accept()
	Length uint32 // sockets in it
	Limit  uint32 // sk_max_ack_backlog: the least of listen()'s backlog and somaxconn
}

// An Op is a system call that failed.
type Op uint8

const (
	OpUnknown Op = iota
	OpConnect
	OpAccept
)

// String returns the call's name, or "" for OpUnknown.
func (o Op) String() string { return [...]string{"", "connect", "accept"}[o] }

// Counters are the totals of a full socket at its end, as in struct tcp_info,
// but without the FINs, which the kernel counts as bytes.
type Counters struct {
	BytesSent     uint64 // payload, retransmissions included
	BytesAcked    uint64 // payload, and the SYN of a socket that connected
	BytesReceived uint64 // payload
	SegsOut       uint32
	SegsIn        uint32
	SRTTus        uint32 // 0 where never measured
}

// An ISN is an initial sequence number: that of a SYN.
type ISN struct {
	Seq   uint32
	Known bool
}

// ISNs are those of both directions. Most translations of addresses keep them,
// and the number that one end sent is the one that the other received: with them
// the ends of a connection find each other.
type ISNs struct{ Sent, Received ISN }

// A Loss counts events that did not arrive.
type Loss struct {
	Kind  Kind
	Count uint64
	From  Time
}

// An Event is one fact. It is passed by pointer and belongs to its source: who
// wants to keep it copies it.
type Event struct {
	Kind  Kind
	Cause Cause
	Old   tcp.State
	New   tcp.State
	Op    Op
	Err   Errno  // sk_err
	Count uint32 // of what there are too many of for an event each

	// Reason is the running kernel's own name of why it sent a RST (enum
	// sk_rst_reason, from Linux 6.10) or dropped a packet (enum
	// skb_drop_reason, from 5.17), without the prefix SK_RST_REASON_ or
	// SKB_DROP_REASON_; "" where it gives none.
	Reason string

	Time   Time
	ID     ID
	Local  netip.AddrPort // invalid, or with port 0, where not known (yet)
	Remote netip.AddrPort
	Task   Task

	// From is when the sweep began of which Swept is the end.
	From Time

	// Left is how long a timewait socket that was Seen has still to live, or
	// one that begins; 0 where not known.
	Left time.Duration

	// Idle is since a socket that was Seen, and has nothing in flight, heard of its
	// peer; 0 where that is not known. KeepAlive says that SO_KEEPALIVE is set.
	Idle      time.Duration
	KeepAlive bool

	// WithoutRequest is set on the SYN_RECV -> ESTABLISHED of a socket that
	// was made from a SYN cookie: its SYN_RECV lasted an instant.
	WithoutRequest bool

	ISNs ISNs // of State out of SYN_SENT or SYN_RECV, and of RequestEnd

	Reset  ResetFacts // of ResetSent and ResetReceived
	Packet Packet     // of Dropped
	Queue  Queue

	Suppressed Suppressed // of RetransmitMore

	Retransmission Retransmission
	Counters       Counters
	Loss           Loss
}

// A Handler receives events in order of their Time, from one goroutine.
type Handler func(*Event)
