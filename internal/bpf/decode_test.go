package bpf

import (
	"net/netip"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

func bytesOf[T any](record T) []byte {
	size := unsafe.Sizeof(record)
	return append([]byte(nil), unsafe.Slice((*byte)(unsafe.Pointer(&record)), size)...)
}

var compareEvents = cmpopts.EquateComparable(netip.AddrPort{})

// testDecoder takes a stack whose innermost frame is 1 for a timer that is
// armed again, 2 for one that ran out, and 3 for one whose socket was killed.
func testDecoder() *Decoder {
	d := &Decoder{HZ: 250, ResetReasons: []string{14: "TCP_STATE"}, DropReasons: []string{5: "SOCKET_FILTER"}}
	d.Function = func(distance int32) string {
		if distance == -3 {
			return "sk_filter_trim_cap"
		}
		return ""
	}
	d.EndCause = func(frames *Frames, _ tcp.State) (event.Cause, bool) {
		switch frames[0] {
		case 1:
			return event.CauseUnknown, false
		case 2:
			return event.CauseExpired, true
		case 3:
			return event.CauseKilled, true
		}
		return event.CauseUnknown, true
	}
	return d
}

func mappedV4(a, b, c, d byte) [16]byte {
	return [16]byte{10: 0xff, 11: 0xff, 12: a, 13: b, 14: c, 15: d}
}

func headOf(kind TcptraceTtKind) TcptraceTtHead {
	return TcptraceTtHead{
		TimeNs: 1000, Cookie: 0x2a, Netns: 4026531840, Kind: uint8(kind), Family: 4,
		Local: mappedV4(10, 0, 0, 1), LocalPort: 443,
		Remote: mappedV4(10, 9, 8, 7), RemotePort: 50000,
	}
}

func eventOf(kind event.Kind) event.Event {
	return event.Event{
		Kind: kind, Time: 1000, ID: event.ID{NetNS: 4026531840, Cookie: 0x2a},
		Local: netip.MustParseAddrPort("10.0.0.1:443"), Remote: netip.MustParseAddrPort("10.9.8.7:50000"),
	}
}

func TestDecode_Transition(t *testing.T) {
	record := TcptraceTtTransition{Head: headOf(TcptraceTtKindTT_STATE)}
	record.Head.OldState, record.Head.NewState = uint8(tcp.Established), uint8(tcp.FinWait1)
	record.Head.Err = uint16(event.ECONNRESET)
	record.Task = TcptraceTtTask{Pid: 7, Uid: 33, Cgroup: 99, Comm: [16]uint8{'n', 'g', 'i', 'n', 'x'}}

	want := eventOf(event.State)
	want.Old, want.New, want.Err = tcp.Established, tcp.FinWait1, event.ECONNRESET
	expect(t, bytesOf(record), want)

	record.Head.Flags = uint8(TcptraceTtFlagTT_F_PROCESS)
	want.Task = event.Task{PID: 7, UID: 33, Cgroup: 99, Comm: record.Task.Comm}
	expect(t, bytesOf(record), want)
}

func TestDecode_AddressesSayWhatTheSocketSpeaks(t *testing.T) {
	head := headOf(TcptraceTtKindTT_BOUND)
	head.Family = 6
	head.Local = netip.MustParseAddr("2001:db8::1").As16()
	head.Remote = netip.MustParseAddr("2001:db8::2").As16()
	want := eventOf(event.Bound)
	want.Local = netip.MustParseAddrPort("[2001:db8::1]:443")
	want.Remote = netip.MustParseAddrPort("[2001:db8::2]:50000")
	expect(t, bytesOf(head), want)

	// An IPv6 socket that speaks IPv4 and is not bound yet.
	head = headOf(TcptraceTtKindTT_BOUND)
	head.Local, head.LocalPort = [16]byte{}, 0
	want = eventOf(event.Bound)
	want.Local = netip.MustParseAddrPort("0.0.0.0:0")
	expect(t, bytesOf(head), want)

	// A listener has no peer.
	head = headOf(TcptraceTtKindTT_BOUND)
	head.Remote, head.RemotePort = mappedV4(0, 0, 0, 0), 0
	want = eventOf(event.Bound)
	want.Remote = netip.AddrPort{}
	expect(t, bytesOf(head), want)
}

func TestDecode_Retransmit(t *testing.T) {
	record := TcptraceTtRetransmit{
		Head: headOf(TcptraceTtKindTT_RETRANSMIT), Seq: 5, Bytes: 1448, RtoJiffies: 51, SrttUs: 200,
		Cwnd: 10, UnsentErr: -11, CaState: 4, Pending: 1, Retransmits: 2, Sacked: 4, TcpFlags: 0x18, Segments: 2,
		Total: 9, Dsacks: 1, UndoRetrans: -1,
	}
	record.Head.OldState = uint8(tcp.Established)
	record.Head.Flags = uint8(TcptraceTtFlagTT_F_HEAD)
	want := eventOf(event.Retransmit)
	want.Old = tcp.Established
	want.Retransmission = event.Retransmission{
		Seq: 5, Bytes: 1448, Segments: 2, RTOms: 204, SRTTus: 200, Cwnd: 10, Err: -11,
		CAState: 4, Pending: 1, Retransmits: 2, Sacked: 4, Flags: 0x18, Head: true,
		Total: 9, DSACKs: 1, UndoRetrans: -1,
	}
	expect(t, bytesOf(record), want)

	record.Head.Kind = uint8(TcptraceTtKindTT_CONGESTION)
	record.Head.Flags = uint8(TcptraceTtFlagTT_F_UNDO | TcptraceTtFlagTT_F_TIMEOUT)
	record.OldCaState = 3
	want.Kind = event.Congestion
	x := &want.Retransmission
	x.Head, x.OldCAState, x.Undo, x.Timeout = false, 3, true, true
	expect(t, bytesOf(record), want)
}

func TestDecode_ResetAndTotals(t *testing.T) {
	reset := TcptraceTtReset{Head: headOf(TcptraceTtKindTT_RESET_SENT), Reason: 14}
	want := eventOf(event.ResetSent)
	want.Reason = "TCP_STATE"
	expect(t, bytesOf(reset), want)

	reset.Reason = 15 // of a kernel whose BTF does not name it
	reset.Facts = uint8(TcptraceTtResetFactTT_R_SOCKET | TcptraceTtResetFactTT_R_DEAD | TcptraceTtResetFactTT_R_LINGER0 |
		TcptraceTtResetFactTT_R_ANSWER)
	reset.Shutdown, reset.Unread, reset.Unacked, reset.Probes, reset.Timeouts = 3, 5, 6, 7, 8
	reset.AnsweredBytes, reset.AnsweredFlags = 9, 0x18
	want.Reason = ""
	want.Reset = event.ResetFacts{
		Socket: true, Dead: true, Linger0: true, Shutdown: 3, Unread: 5, Unacked: 6, Probes: 7, Timeouts: 8,
		Answer: true, AnsweredBytes: 9, AnsweredFlags: 0x18,
	}
	expect(t, bytesOf(reset), want)

	totals := TcptraceTtTotals{
		Head: headOf(TcptraceTtKindTT_TOTALS), BytesSent: 1, BytesAcked: 2, BytesReceived: 3,
		SegsOut: 4, SegsIn: 5, SrttUs: 6,
	}
	want = eventOf(event.Totals)
	want.Counters = event.Counters{BytesSent: 1, BytesAcked: 2, BytesReceived: 3, SegsOut: 4, SegsIn: 5, SRTTus: 6}
	expect(t, bytesOf(totals), want)
	totals.Head.Flags = uint8(TcptraceTtFlagTT_F_FIN_ACKED | TcptraceTtFlagTT_F_FIN_RECEIVED)
	want.Counters.BytesAcked, want.Counters.BytesReceived = 1, 2
	expect(t, bytesOf(totals), want)
	if HasTotals(bytesOf(totals)) {
		t.Error("totals alone are taken for two events")
	}
}

// One record tells the totals and then the transition that ends the socket.
func TestDecode_Closed(t *testing.T) {
	record := TcptraceTtTotals{Head: headOf(TcptraceTtKindTT_CLOSED), BytesAcked: 2, SegsOut: 4}
	record.Head.Flags = uint8(TcptraceTtFlagTT_F_FIN_ACKED | TcptraceTtFlagTT_F_NO_REQUEST)
	record.Head.Cause = uint8(TcptraceTtCauseTT_CAUSE_TIMEOUT)
	raw := bytesOf(record)
	if !HasTotals(raw) {
		t.Error("it holds no totals")
	}
	if at, err := TimeOf(raw); err != nil || at != event.Time(record.Head.TimeNs) {
		t.Errorf("its time is %v, %v; want %v", at, err, record.Head.TimeNs)
	}
	want := eventOf(event.Totals)
	want.Counters = event.Counters{BytesAcked: 1, SegsOut: 4}
	var got event.Event
	if err := testDecoder().DecodeTotals(raw, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, compareEvents); diff != "" {
		t.Errorf("totals (-want +got):\n%s", diff)
	}
	want = eventOf(event.State)
	want.WithoutRequest, want.Cause = true, event.CauseTimeout
	expect(t, raw, want)
	if err := testDecoder().DecodeTotals(raw[:100], &got); err == nil {
		t.Error("a record of 100 bytes is taken for one of 104")
	}
	if _, err := TimeOf(raw[:63]); err == nil {
		t.Error("a record of 63 bytes is taken for one with a head")
	}
}

func TestDecode_Drop(t *testing.T) {
	record := TcptraceTtDrop{
		Head: headOf(TcptraceTtKindTT_DROPPED), Seq: 1, Bytes: 2, Location: -3, Reason: 5, TcpFlags: 0x18, Count: 7,
	}
	record.Head.Flags = uint8(TcptraceTtFlagTT_F_OUTGOING)
	record.Head.OldState = uint8(tcp.Listen)
	want := eventOf(event.Dropped)
	want.Old, want.Reason, want.Count = tcp.Listen, "SOCKET_FILTER", 7
	want.Packet = event.Packet{Where: "sk_filter_trim_cap", Seq: 1, Bytes: 2, Flags: 0x18, Outgoing: true}
	expect(t, bytesOf(record), want)

	record.Location = 0 // where addresses are hidden
	want.Packet.Where = ""
	expect(t, bytesOf(record), want)
}

func TestDecode_QueueFull(t *testing.T) {
	record := TcptraceTtQueue{Head: headOf(TcptraceTtKindTT_QUEUE_FULL), Length: 129, Limit: 128, Count: 7}
	want := eventOf(event.QueueFull)
	want.Queue, want.Count = event.Queue{Length: 129, Limit: 128}, 7
	expect(t, bytesOf(record), want)
	record.Syn = 1
	want.Queue.SYN = true
	expect(t, bytesOf(record), want)
}

func TestDecode_TimeWaitBeginAndSynAck(t *testing.T) {
	record := TcptraceTtTimewaitBegin{Head: headOf(TcptraceTtKindTT_TIMEWAIT_BEGIN), LeftJiffies: 15000}
	record.Head.NewState = uint8(tcp.TimeWait)
	want := eventOf(event.TimeWaitBegin)
	want.New, want.Left = tcp.TimeWait, time.Minute
	expect(t, bytesOf(record), want)

	head := headOf(TcptraceTtKindTT_RETRANSMIT_SYNACK)
	head.Flags = uint8(TcptraceTtFlagTT_F_TIMEOUT)
	want = eventOf(event.RetransmitSynAck)
	want.Retransmission.Timeout = true
	expect(t, bytesOf(head), want)
}

func TestDecode_Failed(t *testing.T) {
	record := TcptraceTtFailed{Head: headOf(TcptraceTtKindTT_FAILED), Count: 3, Op: uint8(TcptraceTtOpTT_OP_ACCEPT), Task: TcptraceTtTask{Pid: 7}}
	record.Head.Err = uint16(event.EMFILE)
	record.Head.OldState = uint8(tcp.Listen)
	want := eventOf(event.Failed)
	want.Old, want.Err, want.Op, want.Count, want.Task.PID = tcp.Listen, event.EMFILE, event.OpAccept, 3, 7
	expect(t, bytesOf(record), want)
}

func TestDecode_Storms(t *testing.T) {
	record := TcptraceTtStormTold{Head: headOf(TcptraceTtKindTT_RETRANSMIT_MORE)}
	record.Counts = TcptraceTtCounts{Events: 9, Probes: 1, Timeouts: 2, Segments: [9]uint32{1: 4, 6: 8}}
	want := eventOf(event.RetransmitMore)
	want.Count = 9
	want.Suppressed = event.Suppressed{Probes: 1, Timeouts: 2, ByClass: [9]uint32{1: 4, 6: 8}}
	expect(t, bytesOf(record), want)

	record = TcptraceTtStormTold{Head: headOf(TcptraceTtKindTT_RESET_MORE), Counts: TcptraceTtCounts{Events: 5}, Reason: 14}
	want = eventOf(event.ResetMore)
	want.Count, want.Reason, want.Reset = 5, "TCP_STATE", event.ResetFacts{Answer: true}
	expect(t, bytesOf(record), want)
}

func TestDecode_TimeWaitEnd(t *testing.T) {
	record := TcptraceTtTimewaitEnd{Head: headOf(TcptraceTtKindTT_TIMEWAIT_END), Frames: Frames{2}}
	record.Head.OldState = uint8(tcp.TimeWait)
	want := eventOf(event.TimeWaitEnd)
	want.Old, want.Cause = tcp.TimeWait, event.CauseExpired
	expect(t, bytesOf(record), want)

	record.Frames[0] = 1
	if err := testDecoder().Decode(bytesOf(record), new(event.Event)); err != ErrSkip {
		t.Errorf("a timer that is armed again: got %v, want ErrSkip", err)
	}

	for cause, tells := range map[TcptraceTtCause]event.Cause{
		TcptraceTtCauseTT_CAUSE_EXPIRED: event.CauseExpired,
		TcptraceTtCauseTT_CAUSE_NETNS:   event.CauseNetnsExit,
	} {
		head := record.Head
		head.Cause, want.Cause = uint8(cause), tells
		expect(t, bytesOf(head), want)
	}
}

// One record is two events: of a process that closes, its task too.
func TestDecode_ClosedByAProcess(t *testing.T) {
	record := TcptraceTtClosed{Totals: TcptraceTtTotals{Head: headOf(TcptraceTtKindTT_CLOSED), BytesSent: 5, SegsIn: 6}}
	record.Totals.Head.OldState, record.Totals.Head.NewState = uint8(tcp.LastAck), uint8(tcp.Close)
	record.Totals.Head.Flags, record.Totals.Head.Err = uint8(TcptraceTtFlagTT_F_PROCESS), 104
	record.Task = TcptraceTtTask{Pid: 7, Uid: 8, Cgroup: 9, Comm: [16]uint8{'a'}}
	raw := bytesOf(record)

	var totals event.Event
	if err := testDecoder().DecodeTotals(raw, &totals); err != nil {
		t.Fatal(err)
	}
	want := eventOf(event.Totals)
	want.Old, want.New, want.Counters = tcp.LastAck, tcp.Close, event.Counters{BytesSent: 5, SegsIn: 6}
	if diff := cmp.Diff(want, totals, compareEvents); diff != "" {
		t.Errorf("totals (-want +got):\n%s", diff)
	}
	want = eventOf(event.State)
	want.Old, want.New, want.Err = tcp.LastAck, tcp.Close, 104
	want.Task = event.Task{PID: 7, UID: 8, Cgroup: 9, Comm: [16]byte{'a'}}
	expect(t, raw, want)
	if err := testDecoder().Decode(raw[:len(raw)-1], &totals); err == nil {
		t.Error("a record that ends in its task was decoded")
	}
}

func TestUnsays(t *testing.T) {
	end := bytesOf(TcptraceTtTimewaitEnd{Head: headOf(TcptraceTtKindTT_TIMEWAIT_END)})
	other := headOf(TcptraceTtKindTT_TIMEWAIT_BEGIN)
	other.Cookie++
	nameless, later := headOf(TcptraceTtKindTT_TIMEWAIT_BEGIN), headOf(TcptraceTtKindTT_TIMEWAIT_BEGIN)
	nameless.RemotePort++
	later.TimeNs++
	for _, test := range []struct {
		name string
		head TcptraceTtHead
		want bool
	}{
		{"its timer is armed", headOf(TcptraceTtKindTT_TIMEWAIT_BEGIN), true},
		{"its timer runs", headOf(TcptraceTtKindTT_TIMEWAIT_END), true},
		{"its FIN", headOf(TcptraceTtKindTT_TIMEWAIT_FIN), false},
		{"another's cookie", other, false},
		{"another's port", nameless, false},
		{"another time", later, false},
	} {
		if got := Unsays(bytesOf(test.head), end); got != test.want {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}

func expect(t *testing.T, raw []byte, want event.Event) {
	t.Helper()
	var got event.Event
	if err := testDecoder().Decode(raw, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, compareEvents); diff != "" {
		t.Errorf("event (-want +got):\n%s", diff)
	}
}

func TestDecode_RejectsWhatTheKernelSideDoesNotWrite(t *testing.T) {
	badFamily := headOf(TcptraceTtKindTT_BOUND)
	badFamily.Family = 5
	badState := headOf(TcptraceTtKindTT_BOUND)
	badState.OldState = 12
	for name, test := range map[string]struct {
		raw  []byte
		want string
	}{
		"empty":        {nil, "shorter than its head"},
		"cut head":     {bytesOf(headOf(TcptraceTtKindTT_BOUND))[:63], "shorter than its head"},
		"cut body":     {bytesOf(headOf(TcptraceTtKindTT_TIMEWAIT_BEGIN)), "too short"},
		"unknown kind": {bytesOf(headOf(0)), "unknown kind 0"},
		"family":       {bytesOf(badFamily), "unknown family 5"},
		"state":        {bytesOf(badState), "states 12, 0"},
	} {
		err := testDecoder().Decode(test.raw, new(event.Event))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got error %v, want %q", name, err, test.want)
		}
	}
}

// Whatever the bytes, the decoder returns an error or an event whose kind and
// states are in range, and it never reads past the record.
func FuzzDecode(f *testing.F) {
	for kind := range TcptraceTtKindTT_NUM_KINDS {
		f.Add(bytesOf(TcptraceTtTimewaitEnd{Head: headOf(kind)}))
		f.Add(bytesOf(headOf(kind)))
	}
	decoder := testDecoder()
	f.Fuzz(func(t *testing.T, raw []byte) {
		var ev event.Event
		if err := decoder.Decode(raw, &ev); err != nil {
			return
		}
		if ev.Kind == 0 || ev.Kind >= event.NumKinds || ev.Old >= tcp.NumStates || ev.New >= tcp.NumStates {
			t.Errorf("decoded out of range: %+v", ev)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	raw := bytesOf(TcptraceTtTransition{Head: headOf(TcptraceTtKindTT_STATE)})
	decoder := testDecoder()
	var ev event.Event
	b.ReportAllocs()
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		if err := decoder.Decode(raw, &ev); err != nil {
			b.Fatal(err)
		}
	}
}

// Where no hook sees timewait sockets, a close must not look like one for which
// there was no room.
func TestDecode_TimeWaitUnseen(t *testing.T) {
	record := TcptraceTtTransition{Head: headOf(TcptraceTtKindTT_STATE)}
	record.Head.OldState, record.Head.NewState = uint8(tcp.FinWait2), uint8(tcp.Close)
	decoder := testDecoder()
	for unseen, want := range map[bool]event.Cause{false: event.CauseUnknown, true: event.CauseUnseen} {
		decoder.NoTimeWait = unseen
		var got event.Event
		if err := decoder.Decode(bytesOf(record), &got); err != nil || got.Cause != want {
			t.Errorf("unseen %v: cause %q, error %v; want %q", unseen, got.Cause, err, want)
		}
	}
}

// A child that is taken back is no end of its connection.
func TestDecode_Twin(t *testing.T) {
	var record TcptraceTtHandshake
	record.Transition.Head = headOf(TcptraceTtKindTT_STATE)
	record.Transition.Head.OldState, record.Transition.Head.NewState = uint8(tcp.SynRecv), uint8(tcp.Close)
	record.Transition.Head.Cause = uint8(TcptraceTtCauseTT_CAUSE_TWIN)
	decoder := testDecoder()
	var got event.Event
	if err := decoder.Decode(bytesOf(record), &got); err != nil || got.Cause != event.CauseTwin {
		t.Errorf("cause %q, error %v; want twin", got.Cause, err)
	}
}

// As a handshake ends, the initial sequence numbers are known: the peer's where its
// SYN has come.
func TestDecode_ISNs(t *testing.T) {
	both := event.ISNs{Sent: event.ISN{Seq: 7, Known: true}, Received: event.ISN{Seq: 0, Known: true}}
	ours := event.ISNs{Sent: both.Sent}
	for _, step := range []struct {
		from, to tcp.State
		want     event.ISNs
	}{
		{tcp.SynSent, tcp.Established, both},
		{tcp.SynRecv, tcp.Established, both},
		{tcp.SynRecv, tcp.Close, both},
		{tcp.SynSent, tcp.Close, ours},
		{tcp.SynSent, tcp.SynRecv, ours},
	} {
		record := TcptraceTtHandshake{Isn: TcptraceTtIsn{Sent: 7}}
		record.Transition.Head = headOf(TcptraceTtKindTT_STATE)
		record.Transition.Head.OldState, record.Transition.Head.NewState = uint8(step.from), uint8(step.to)
		want := eventOf(event.State)
		want.Old, want.New, want.ISNs = step.from, step.to, step.want
		expect(t, bytesOf(record), want)

		var got event.Event
		if err := testDecoder().Decode(bytesOf(record.Transition), &got); err == nil {
			t.Errorf("%v -> %v: a record without the numbers is taken", step.from, step.to)
		}
	}
	end := TcptraceTtRequestEnd{Head: headOf(TcptraceTtKindTT_REQUEST_END), Isn: TcptraceTtIsn{Sent: 7}}
	end.Head.OldState, end.Head.NewState = uint8(tcp.SynRecv), uint8(tcp.Close)
	want := eventOf(event.RequestEnd)
	want.Old, want.New, want.ISNs = tcp.SynRecv, tcp.Close, both
	expect(t, bytesOf(end), want)
}

// What a packet ends, and what a killer, is told apart by the stack alone.
func TestDecode_RequestEnd(t *testing.T) {
	for innermost, want := range map[int32]event.Cause{0: event.CauseReset, 2: event.CauseReset, 3: event.CauseKilled} {
		record := TcptraceTtRequestEnd{Head: headOf(TcptraceTtKindTT_REQUEST_END)}
		record.Head.OldState, record.Head.NewState = uint8(tcp.SynRecv), uint8(tcp.Close)
		record.Head.Cause = uint8(TcptraceTtCauseTT_CAUSE_DROPPED)
		record.Frames[0] = innermost
		var got event.Event
		if err := testDecoder().Decode(bytesOf(record), &got); err != nil || got.Cause != want {
			t.Errorf("innermost frame %d: cause %v, error %v; want %v", innermost, got.Cause, err, want)
		}
	}
}
