package audit_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tcptrace/tcptrace/internal/audit"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

const netns = 4026531840

var (
	local  = netip.MustParseAddrPort("192.0.2.1:40000")
	remote = netip.MustParseAddrPort("198.51.100.2:443")
	us     = event.Task{PID: 7}
)

// at makes an event of socket 5 at so many milliseconds.
func at(ms int, kind event.Kind, change func(*event.Event)) *event.Event {
	ev := &event.Event{
		Kind: kind, Time: event.Time(time.Duration(ms) * time.Millisecond),
		ID: event.ID{NetNS: netns, Cookie: 5}, Local: local, Remote: remote,
	}
	if change != nil {
		change(ev)
	}
	return ev
}

func state(ms int, from, to tcp.State, change func(*event.Event)) *event.Event {
	ev := at(ms, event.State, change)
	ev.Old, ev.New = from, to
	return ev
}

func segment(ms int, x event.Retransmission) *event.Event {
	return at(ms, event.Retransmit, func(ev *event.Event) { ev.Old, ev.Retransmission = tcp.Established, x })
}

// An outcome is what the lines say, but for those with nothing in them.
type outcome struct {
	counts map[string]int64
	bounds map[string][2]int64 // how much less and more the kernel may have
}

func outcomeOf(t *testing.T, tally *audit.Tally) outcome {
	t.Helper()
	zero, err := audit.Parse(zeroed(snmp), zeroed(fullNetstat))
	if err != nil {
		t.Fatal(err)
	}
	got := outcome{map[string]int64{}, map[string][2]int64{}}
	for _, l := range tally.Compare(netns, zero, zero) {
		if l.Tcptrace != 0 {
			got.counts[l.Counter.String()] = l.Tcptrace
		}
		if l.Less != 0 || l.More != 0 {
			got.bounds[l.Counter.String()] = [2]int64{l.Less, l.More}
		}
	}
	return got
}

func tallyOf(events ...*event.Event) *audit.Tally {
	tally := audit.NewTally()
	for _, ev := range events {
		tally.Handle(ev)
	}
	return tally
}

func TestTally(t *testing.T) {
	syn := []*event.Event{
		state(10, tcp.Close, tcp.SynSent, func(ev *event.Event) { ev.Task = us }),
		at(10, event.Bound, nil),
	}
	sent := func(ms int, reason string, facts event.ResetFacts, by event.Task) *event.Event {
		return at(ms, event.ResetSent, func(ev *event.Event) { ev.Reason, ev.Reset, ev.Task = reason, facts, by })
	}
	in := func(state tcp.State, ev *event.Event) *event.Event {
		ev.Old = state
		return ev
	}
	failed := func(err event.Errno, by event.Task) func(*event.Event) {
		return func(ev *event.Event) { ev.Err, ev.Task = err, by }
	}
	timeWait := func(ms int, s tcp.State, left time.Duration) *event.Event {
		return at(ms, event.TimeWaitBegin, func(ev *event.Event) { ev.New, ev.Left = s, left })
	}
	rto := event.Retransmission{Segments: 1, CAState: 4, Retransmits: 1, Head: true, RTOms: 200}
	for _, tt := range []struct {
		name   string
		events []*event.Event
		counts map[string]int64
		bounds map[string][2]int64
	}{
		{
			name: "a client from SYN to TIME_WAIT, whose timer is set anew",
			events: append(syn,
				at(10, event.Bound, nil), // a stray ACK had the timer set again
				state(11, tcp.SynSent, tcp.Established, nil),
				state(12, tcp.Established, tcp.FinWait1, nil),
				state(13, tcp.FinWait1, tcp.FinWait2, nil),
				timeWait(14, tcp.TimeWait, time.Minute),
				state(14, tcp.FinWait2, tcp.Close, nil),
				timeWait(20, tcp.TimeWait, time.Minute),
			),
			counts: map[string]int64{"ActiveOpens": 1, "TW": 1},
		},
		{
			name: "a server that the peer leaves first",
			events: []*event.Event{
				state(11, tcp.SynRecv, tcp.Established, nil),
				state(12, tcp.Established, tcp.CloseWait, nil),
			},
			counts: map[string]int64{"PassiveOpens": 1, "CurrEstab": 1},
			bounds: map[string][2]int64{"CurrEstab": {1, 0}}, // an old kernel would not count it
		},
		{
			name: "crossed SYNs are no passive open",
			events: append(syn,
				state(11, tcp.SynSent, tcp.SynRecv, nil),
				state(12, tcp.SynRecv, tcp.Established, nil),
				state(13, tcp.Established, tcp.Close, failed(event.ECONNRESET, event.Task{})),
			),
			counts: map[string]int64{"ActiveOpens": 1, "EstabResets": 1},
		},
		{
			name: "two ACKs make two sockets, of which one is taken back",
			events: []*event.Event{
				state(11, tcp.SynRecv, tcp.Established, nil),
				state(11, tcp.SynRecv, tcp.Close, func(ev *event.Event) { ev.Cause = event.CauseTwin }),
			},
			counts: map[string]int64{"PassiveOpens": 2, "CurrEstab": 1},
		},
		{
			name:   "a child without a route is no twin",
			events: []*event.Event{state(11, tcp.SynRecv, tcp.Close, nil)},
			counts: map[string]int64{"PassiveOpens": 1, "AttemptFails": 1},
		},
		{
			name:   "refused, in the system call itself",
			events: append(syn, state(11, tcp.SynSent, tcp.Close, failed(event.ECONNREFUSED, us))),
			counts: map[string]int64{"ActiveOpens": 1, "AttemptFails": 1},
		},
		{
			name:   "closed before an answer: SO_LINGER 0 may be set",
			events: append(syn, state(11, tcp.SynSent, tcp.Close, failed(0, us))),
			counts: map[string]int64{"ActiveOpens": 1},
			bounds: map[string][2]int64{"TCPAbortOnData": {0, 1}},
		},
		{
			name:   "connect() that found no port",
			events: []*event.Event{syn[0], state(11, tcp.SynSent, tcp.Close, failed(0, us))},
			counts: map[string]int64{},
		},
		{
			name: "a SYN that is never answered",
			events: append(syn,
				at(1000, event.Retransmit, func(ev *event.Event) {
					ev.Old, ev.Retransmission = tcp.SynSent, rto
					ev.Retransmission.Flags, ev.Retransmission.RTOms = 2, 1000
				}),
				state(3000, tcp.SynSent, tcp.Close, failed(event.ETIMEDOUT, event.Task{})),
			),
			counts: map[string]int64{
				"ActiveOpens": 1, "AttemptFails": 1, "RetransSegs": 1, "TCPSynRetrans": 1, "TCPTimeouts": 2, "TCPAbortOnTimeout": 1,
			},
		},
		{
			name: "keepalive that runs out counts no timeout",
			events: []*event.Event{
				sent(50, "TCP_KEEPALIVE_TIMEOUT", event.ResetFacts{Socket: true}, event.Task{}),
				state(50, tcp.Established, tcp.Close, failed(event.ETIMEDOUT, event.Task{})),
			},
			counts: map[string]int64{"CurrEstab": -1, "EstabResets": 1, "OutRsts": 1, "TCPAbortOnTimeout": 1},
		},
		{
			name: "a timeout is told by the congestion state, and its segment is no second one",
			events: []*event.Event{
				at(50, event.Congestion, func(ev *event.Event) {
					ev.Old, ev.Retransmission.CAState, ev.Retransmission.Timeout = tcp.Established, 4, true
				}),
				segment(50, rto),
			},
			counts: map[string]int64{"RetransSegs": 1, "TCPTimeouts": 1},
		},
		{
			name: "segments too many for an event each",
			events: []*event.Event{at(50, event.RetransmitMore, func(ev *event.Event) {
				ev.Count = 120
				ev.Suppressed = event.Suppressed{ByClass: [9]uint32{1: 7, 2: 100, 3: 5, 4: 2, 5: 3, 6: 11, 7: 13, 8: 1}, Probes: 6, Timeouts: 3}
			})},
			counts: map[string]int64{"RetransSegs": 129, "TCPSynRetrans": 5, "TCPTimeouts": 12, "TCPLossProbes": 6},
			bounds: map[string][2]int64{"RetransSegs": {0, 13}},
		},
		{
			name: "a window that stays shut counts no timeout",
			events: []*event.Event{
				at(50, event.Congestion, func(ev *event.Event) { ev.Old, ev.Retransmission.CAState = tcp.Established, 4 }),
				segment(50, rto),
			},
			counts: map[string]int64{"RetransSegs": 1},
		},
		{
			name: "segments by every class, some not sent",
			events: []*event.Event{
				segment(50, rto),
				segment(51, event.Retransmission{Segments: 3, CAState: 3, Pending: 1, Sacked: 4}),
				segment(52, event.Retransmission{Segments: 1, Pending: 5}),
				segment(53, event.Retransmission{Segments: 1, Pending: 5, Err: -16}),              // still in the queue
				segment(54, event.Retransmission{Segments: 2, CAState: 3, Pending: 1, Err: -1}),   // a firewall
				segment(55, event.Retransmission{Segments: 1, CAState: 3, Pending: 1, Err: -113}), // no route
				segment(56, event.Retransmission{Segments: 1, CAState: 3, Pending: 1, Err: -113, Sacked: 0x80}),
			},
			counts: map[string]int64{"RetransSegs": 8, "TCPTimeouts": 1, "TCPLossProbes": 1},
			bounds: map[string][2]int64{"RetransSegs": {1, 0}},
		},
		{
			name: "SYN-ACKs again: by the timer, by the SYN, and given up",
			events: []*event.Event{
				at(1000, event.RetransmitSynAck, func(ev *event.Event) { ev.Retransmission.Timeout = true }),
				at(1100, event.RetransmitSynAck, nil),
				at(3000, event.RequestEnd, func(ev *event.Event) { ev.Cause = event.CauseTimeout }),
			},
			counts: map[string]int64{"RetransSegs": 2, "TCPSynRetrans": 2, "TCPTimeouts": 2},
		},
		{
			name:   "a RST in the handshake",
			events: []*event.Event{at(50, event.RequestEnd, func(ev *event.Event) { ev.Cause = event.CauseReset })},
			counts: map[string]int64{"AttemptFails": 1},
		},
		{
			name: "tcp_abort_on_overflow fails no attempt",
			events: []*event.Event{
				at(50, event.QueueFull, func(ev *event.Event) { ev.Count = 1 }),
				sent(50, "INVALID_SYN", event.ResetFacts{Listener: true, Answer: true, AnsweredFlags: 16}, event.Task{}),
				at(50, event.RequestEnd, func(ev *event.Event) { ev.Cause = event.CauseReset }),
			},
			counts: map[string]int64{"OutRsts": 1, "ListenOverflows": 1, "ListenDrops": 1},
		},
		{
			name: "a request whose listener is closed",
			events: []*event.Event{
				state(40, tcp.Listen, tcp.Close, nil),
				at(50, event.RequestEnd, func(ev *event.Event) { ev.Cause = event.CauseReset }),
			},
			counts: map[string]int64{},
			bounds: map[string][2]int64{"AttemptFails": {0, 1}},
		},
		{
			name: "a full queue of requests drops SYNs",
			events: []*event.Event{at(500, event.QueueFull, func(ev *event.Event) {
				ev.Count, ev.Queue.SYN, ev.Remote = 17, true, netip.AddrPort{}
			})},
			counts: map[string]int64{"ListenDrops": 17},
		},
		{
			name: "close() with SO_LINGER 0, and connect() to nowhere, which is none",
			events: []*event.Event{
				state(50, tcp.Established, tcp.Close, failed(0, us)),
				sent(50, "TCP_STATE", event.ResetFacts{Socket: true, Linger0: true, Shutdown: 3}, us),
				state(60, tcp.Established, tcp.Close, failed(0, us)),
				sent(60, "TCP_STATE", event.ResetFacts{Socket: true, Linger0: true}, us),
			},
			counts: map[string]int64{"CurrEstab": -2, "EstabResets": 2, "OutRsts": 2, "TCPAbortOnData": 1},
		},
		{
			name: "unread data, with the kernel's reason and without",
			events: []*event.Event{
				sent(50, "TCP_ABORT_ON_CLOSE", event.ResetFacts{Socket: true, Unread: 2}, us),
				sent(60, "", event.ResetFacts{Socket: true, Unread: 2}, us),
				sent(70, "", event.ResetFacts{}, event.Task{}),
			},
			counts: map[string]int64{"OutRsts": 3, "TCPAbortOnClose": 2},
		},
		{
			name: "an orphan that may not be one, with the kernel's reason and without",
			events: []*event.Event{
				sent(50, "TCP_ABORT_ON_LINGER", event.ResetFacts{Socket: true, Dead: true, Linger2: true}, us),
				in(tcp.Close, sent(60, "", event.ResetFacts{Socket: true, Dead: true, Linger2: true}, us)),
				sent(70, "TCP_ABORT_ON_MEMORY", event.ResetFacts{Socket: true, Dead: true}, us),
				in(tcp.Close, sent(80, "", event.ResetFacts{Socket: true, Dead: true}, us)),
				in(tcp.FinWait1, sent(90, "", event.ResetFacts{Socket: true, Dead: true}, event.Task{})),
				in(tcp.FinWait1, sent(95, "", event.ResetFacts{Socket: true, Dead: true}, us)), // killed
			},
			counts: map[string]int64{"OutRsts": 6, "TCPAbortOnLinger": 2, "TCPAbortOnMemory": 3},
		},
		{
			name:   "RSTs too many for an event each",
			events: []*event.Event{at(50, event.ResetMore, func(ev *event.Event) { ev.Count = 99991 })},
			counts: map[string]int64{"OutRsts": 99991},
		},
		{
			name: "FIN_WAIT2 of 4 s is short-lived, of 5 s not",
			events: []*event.Event{
				timeWait(50, tcp.FinWait2, 4*time.Second),
				state(50, tcp.FinWait2, tcp.Close, nil),
				timeWait(60, tcp.FinWait2, 5*time.Second),
				state(60, tcp.FinWait2, tcp.Close, nil),
			},
			counts: map[string]int64{"TW": 1, "TWKilled": 1},
		},
		{
			name: "no room for TIME_WAIT, unless a RST says otherwise",
			events: []*event.Event{
				state(50, tcp.FinWait2, tcp.Close, nil),
				state(60, tcp.FinWait2, tcp.Close, nil),
				sent(60, "TCP_STATE", event.ResetFacts{Socket: true}, event.Task{}),
			},
			counts: map[string]int64{"OutRsts": 1, "TCPTimeWaitOverflow": 1},
		},
		{
			name: "TIME_WAIT taken over by a connect()",
			events: append([]*event.Event{
				at(9, event.TimeWaitEnd, func(ev *event.Event) { ev.Cause = event.CauseReused }),
			}, syn...),
			counts: map[string]int64{"ActiveOpens": 1, "TWRecycled": 1},
		},
		{
			name: "TIME_WAIT taken over by a SYN, which does not count",
			events: append([]*event.Event{
				at(9, event.TimeWaitEnd, func(ev *event.Event) { ev.Cause = event.CauseReused }),
				at(9, event.RequestBegin, nil),
			}, syn...),
			counts: map[string]int64{"ActiveOpens": 1},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.bounds == nil {
				tt.bounds = map[string][2]int64{}
			}
			want := outcome{tt.counts, tt.bounds}
			if diff := cmp.Diff(want, outcomeOf(t, tallyOf(tt.events...)), cmp.AllowUnexported(outcome{})); diff != "" {
				t.Errorf("counts and bounds (-want +got):\n%s", diff)
			}
		})
	}
}
