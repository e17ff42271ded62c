package bpf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"
	"unsafe"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// ErrSkip is returned for a record that is no event: a timer that was only
// armed again.
var ErrSkip = errors.New("not an event")

// Frames are the return addresses of a kernel stack, innermost first, less the
// frame base that the programs were given. 0 is none.
type Frames = [16]int32

// A Decoder turns the ring's records into events.
type Decoder struct {
	// HZ is the kernel's number of jiffies a second.
	HZ uint64

	// NoTimeWait says that no hook sees timewait sockets: a full socket that
	// gives way to one seems to end.
	NoTimeWait bool

	// ResetReasons are the kernel's names of enum sk_rst_reason, by number;
	// nil where it has none.
	ResetReasons []string

	// DropReasons are likewise those of enum skb_drop_reason.
	DropReasons []string

	// Function names the kernel function that lies so far from the frame base;
	// "" if it is not known.
	Function func(distance int32) string

	// EndCause tells from a stack why a timewait socket in the given
	// substate ended. It returns false where the socket did not end.
	EndCause func(frames *Frames, substate tcp.State) (event.Cause, bool)
}

// kinds maps the kernel side's kinds to the domain's.
var kinds = [TcptraceTtKindTT_NUM_KINDS]event.Kind{
	TcptraceTtKindTT_STATE:             event.State,
	TcptraceTtKindTT_BOUND:             event.Bound,
	TcptraceTtKindTT_REQUEST_BEGIN:     event.RequestBegin,
	TcptraceTtKindTT_REQUEST_END:       event.RequestEnd,
	TcptraceTtKindTT_TIMEWAIT_BEGIN:    event.TimeWaitBegin,
	TcptraceTtKindTT_TIMEWAIT_FIN:      event.TimeWaitFin,
	TcptraceTtKindTT_TIMEWAIT_END:      event.TimeWaitEnd,
	TcptraceTtKindTT_RETRANSMIT:        event.Retransmit,
	TcptraceTtKindTT_RETRANSMIT_SYNACK: event.RetransmitSynAck,
	TcptraceTtKindTT_RESET_SENT:        event.ResetSent,
	TcptraceTtKindTT_RESET_RECEIVED:    event.ResetReceived,
	TcptraceTtKindTT_TOTALS:            event.Totals,
	TcptraceTtKindTT_USED:              event.Used,
	TcptraceTtKindTT_ACCEPTED:          event.Accepted,
	TcptraceTtKindTT_CONGESTION:        event.Congestion,
	TcptraceTtKindTT_DROPPED:           event.Dropped,
	TcptraceTtKindTT_QUEUE_FULL:        event.QueueFull,
	TcptraceTtKindTT_FAILED:            event.Failed,
	TcptraceTtKindTT_RETRANSMIT_MORE:   event.RetransmitMore,
	TcptraceTtKindTT_RESET_MORE:        event.ResetMore,
	TcptraceTtKindTT_CLOSED:            event.State, // and Totals: see HasTotals
}

// EventKind returns the domain's kind for the kernel side's, or 0.
func EventKind(kind int) event.Kind {
	if kind < 0 || kind >= len(kinds) {
		return 0
	}
	return kinds[kind]
}

// TimeOf returns the time of a record.
func TimeOf(raw []byte) (event.Time, error) {
	if len(raw) < int(unsafe.Sizeof(TcptraceTtHead{})) {
		return 0, fmt.Errorf("record of %d bytes is shorter than its head", len(raw))
	}
	return event.Time(binary.LittleEndian.Uint64(raw[unsafe.Offsetof(TcptraceTtHead{}.TimeNs):])), nil
}

// HasTotals reports whether the record, which is not shorter than its head, holds
// an event Totals, by DecodeTotals, and after it the one that Decode returns.
func HasTotals(raw []byte) bool {
	return raw[unsafe.Offsetof(TcptraceTtHead{}.Kind)] == uint8(TcptraceTtKindTT_CLOSED)
}

// Unsays reports whether the record takes back what another says, the end of a
// timewait socket: it is of the same socket and time, and says that its timer was
// armed again, or ran. Neither is shorter than its head.
func Unsays(raw, end []byte) bool {
	switch TcptraceTtKind(raw[unsafe.Offsetof(TcptraceTtHead{}.Kind)]) {
	case TcptraceTtKindTT_TIMEWAIT_BEGIN, TcptraceTtKindTT_TIMEWAIT_END:
	default:
		return false
	}
	var now, then *TcptraceTtHead
	return read(raw, &now) && read(end, &then) && now.TimeNs == then.TimeNs && now.Netns == then.Netns && now.Cookie == then.Cookie &&
		now.Local == then.Local && now.LocalPort == then.LocalPort &&
		now.Remote == then.Remote && now.RemotePort == then.RemotePort
}

// DecodeTotals overwrites ev with the first event of such a record. It returns an
// error for bytes that the kernel side does not write.
func (d *Decoder) DecodeTotals(raw []byte, ev *event.Event) error {
	var body *TcptraceTtTotals
	if !read(raw, &body) {
		return fmt.Errorf("%v record of %d bytes is too short", event.Totals, len(raw))
	}
	*ev = event.Event{Kind: event.Totals}
	if err := decodeHead(&body.Head, ev); err != nil {
		return err
	}
	ev.Err, ev.WithoutRequest = 0, false
	ev.Counters = counters(body)
	return nil
}

// Decode overwrites ev with the event that raw, one record of the ring, holds.
// It returns ErrSkip for a record that is none, and another error, naming what
// is wrong, for bytes that the kernel side does not write.
func (d *Decoder) Decode(raw []byte, ev *event.Event) error {
	var head *TcptraceTtHead
	if !read(raw, &head) {
		return fmt.Errorf("record of %d bytes is shorter than its head", len(raw))
	}
	*ev = event.Event{Kind: EventKind(int(head.Kind))}
	if err := decodeHead(head, ev); err != nil {
		return err
	}
	return d.decodeBody(raw, head, ev)
}

func decodeHead(head *TcptraceTtHead, ev *event.Event) error {
	if ev.Kind == 0 {
		return fmt.Errorf("record of unknown kind %d", head.Kind)
	}
	if head.OldState >= tcp.NumStates || head.NewState >= tcp.NumStates {
		return fmt.Errorf("%v record with states %d, %d", ev.Kind, head.OldState, head.NewState)
	}
	ev.Time = event.Time(head.TimeNs)
	ev.ID = event.ID{NetNS: head.Netns, Cookie: head.Cookie}
	ev.Old, ev.New = tcp.State(head.OldState), tcp.State(head.NewState)
	ev.Err = event.Errno(head.Err)
	ev.WithoutRequest = has(head, TcptraceTtFlagTT_F_NO_REQUEST)
	switch head.Family {
	case 0:
		return nil
	case 4, 6:
	default:
		return fmt.Errorf("%v record of unknown family %d", ev.Kind, head.Family)
	}
	ev.Local = endpoint(head.Local, head.LocalPort, head.Family)
	ev.Remote = endpoint(head.Remote, head.RemotePort, head.Family)
	if !head.hasPeer() {
		ev.Remote = netip.AddrPort{}
	}
	return nil
}

// hasPeer reports whether the socket has a remote end; a listener has none.
func (head *TcptraceTtHead) hasPeer() bool { return head.RemotePort != 0 }

// endpoint makes an address of the family that the socket speaks: IPv4 also
// where an IPv6 socket speaks it. An unbound one of IPv4 may come as "::".
func endpoint(addr [16]byte, port uint16, family uint8) netip.AddrPort {
	ip := netip.AddrFrom16(addr)
	if family == 4 {
		ip = netip.AddrFrom4([4]byte(addr[12:]))
	}
	return netip.AddrPortFrom(ip, port)
}

func has(head *TcptraceTtHead, flag TcptraceTtFlag) bool {
	return TcptraceTtFlag(head.Flags)&flag != 0
}

func (d *Decoder) decodeBody(raw []byte, head *TcptraceTtHead, ev *event.Event) error {
	ok := true
	switch ev.Kind {
	case event.State, event.Used, event.Accepted:
		ok = d.transition(raw, head, ev)
	case event.RetransmitSynAck:
		ev.Retransmission.Timeout = has(head, TcptraceTtFlagTT_F_TIMEOUT)
	case event.TimeWaitBegin:
		var body *TcptraceTtTimewaitBegin
		if ok = read(raw, &body); ok {
			ev.Left = time.Duration(uint64(body.LeftJiffies) * uint64(time.Second) / d.HZ)
		}
	case event.RequestEnd:
		ev.Cause = requestCause(TcptraceTtCause(head.Cause))
		var body *TcptraceTtRequestEnd
		if ok = read(raw, &body); ok {
			ev.ISNs = isns(&body.Isn, ev)
			d.requestEnd(body, ev)
		}
	case event.TimeWaitEnd:
		return d.timeWaitEnd(raw, head, ev)
	case event.Retransmit, event.Congestion:
		var body *TcptraceTtRetransmit
		if ok = read(raw, &body); ok {
			ev.Retransmission = d.retransmission(body)
		}
	case event.ResetSent, event.ResetReceived:
		var body *TcptraceTtReset
		if ok = read(raw, &body); ok {
			ev.Reason = nameOf(d.ResetReasons, uint32(body.Reason))
			ev.Reset = resetFacts(body)
			if has(head, TcptraceTtFlagTT_F_PROCESS) {
				ev.Task = task(&body.Task)
			}
		}
	case event.Dropped:
		var body *TcptraceTtDrop
		if ok = read(raw, &body); ok {
			ev.Reason = nameOf(d.DropReasons, uint32(body.Reason))
			ev.Packet, ev.Count = d.packet(body), body.Count
		}
	case event.QueueFull:
		var body *TcptraceTtQueue
		if ok = read(raw, &body); ok {
			ev.Queue = event.Queue{SYN: body.Syn != 0, Length: body.Length, Limit: body.Limit}
			ev.Count = body.Count
		}
	case event.Failed:
		var body *TcptraceTtFailed
		if ok = read(raw, &body); ok {
			ev.Task, ev.Op, ev.Count = task(&body.Task), ops[body.Op%uint8(len(ops))], body.Count
		}
	case event.RetransmitMore, event.ResetMore:
		var body *TcptraceTtStormTold
		if ok = read(raw, &body); ok {
			d.storm(body, ev)
		}
	case event.Totals:
		var body *TcptraceTtTotals
		if ok = read(raw, &body); ok {
			ev.Counters = counters(body)
		}
	}
	if !ok {
		return tooShort(raw, ev)
	}
	return nil
}

// givesWay reports whether ev is the end of a full socket that a timewait
// socket replaces, as a rule.
func givesWay(ev *event.Event) bool {
	return ev.Kind == event.State && ev.New == tcp.Close && ev.Err == 0 &&
		(ev.Old == tcp.FinWait2 || ev.Old == tcp.Closing)
}

// transition decodes what a transition, or a process's first use of a socket, has
// beside its head. It reports whether the record is long enough.
func (d *Decoder) transition(raw []byte, head *TcptraceTtHead, ev *event.Event) bool {
	switch {
	case !has(head, TcptraceTtFlagTT_F_PROCESS):
	case TcptraceTtKind(head.Kind) == TcptraceTtKindTT_CLOSED:
		var body *TcptraceTtClosed
		if !read(raw, &body) {
			return false
		}
		ev.Task = task(&body.Task)
	default:
		var body *TcptraceTtTransition
		if !read(raw, &body) {
			return false
		}
		ev.Task = task(&body.Task)
	}
	switch {
	case TcptraceTtCause(head.Cause) == TcptraceTtCauseTT_CAUSE_TWIN:
		ev.Cause = event.CauseTwin
	case TcptraceTtCause(head.Cause) == TcptraceTtCauseTT_CAUSE_TIMEOUT:
		ev.Cause = event.CauseTimeout
	case d.NoTimeWait && givesWay(ev):
		ev.Cause = event.CauseUnseen
	}
	if !endsHandshake(ev) {
		return true
	}
	var handshake *TcptraceTtHandshake
	if !read(raw, &handshake) {
		return false
	}
	ev.ISNs = isns(&handshake.Isn, ev)
	return true
}

// endsHandshake reports whether ev is a full socket's last step in a handshake.
func endsHandshake(ev *event.Event) bool {
	return ev.Kind == event.State && (ev.Old == tcp.SynSent || ev.Old == tcp.SynRecv)
}

// isns returns the numbers that are known as a handshake ends: of a socket that
// connects, the peer's only if its SYN was answered. In a simultaneous open, the
// step to SYN_RECV comes before the kernel has taken note of that.
func isns(isn *TcptraceTtIsn, ev *event.Event) event.ISNs {
	known := event.ISNs{Sent: event.ISN{Seq: isn.Sent, Known: true}}
	if ev.Old == tcp.SynRecv || ev.New == tcp.Established {
		known.Received = event.ISN{Seq: isn.Received, Known: true}
	}
	return known
}

func requestCause(cause TcptraceTtCause) event.Cause {
	switch cause {
	case TcptraceTtCauseTT_CAUSE_DROPPED:
		return event.CauseReset
	case TcptraceTtCauseTT_CAUSE_TIMEOUT:
		return event.CauseTimeout
	}
	return event.CauseUnknown
}

// requestEnd tells of a request that no packet has ended.
func (d *Decoder) requestEnd(body *TcptraceTtRequestEnd, ev *event.Event) {
	if TcptraceTtCause(body.Head.Cause) != TcptraceTtCauseTT_CAUSE_DROPPED {
		return
	}
	var frames Frames
	copy(frames[:], body.Frames[:])
	switch cause, _ := d.EndCause(&frames, ev.Old); cause {
	case event.CauseKilled, event.CauseNetnsExit:
		ev.Cause = cause
	}
}

// timeWaitEnd decodes the cause, which a stack tells where the head does not.
func (d *Decoder) timeWaitEnd(raw []byte, head *TcptraceTtHead, ev *event.Event) error {
	switch TcptraceTtCause(head.Cause) {
	case TcptraceTtCauseTT_CAUSE_EXPIRED:
		ev.Cause = event.CauseExpired
		return nil
	case TcptraceTtCauseTT_CAUSE_NETNS:
		ev.Cause = event.CauseNetnsExit
		return nil
	}
	var body *TcptraceTtTimewaitEnd
	if !read(raw, &body) {
		return tooShort(raw, ev)
	}
	cause, ended := d.EndCause(&body.Frames, ev.Old)
	if !ended {
		return ErrSkip
	}
	ev.Cause = cause
	return nil
}

func tooShort(raw []byte, ev *event.Event) error {
	return fmt.Errorf("%v record of %d bytes is too short", ev.Kind, len(raw))
}

func (d *Decoder) retransmission(body *TcptraceTtRetransmit) event.Retransmission {
	return event.Retransmission{
		Seq:         body.Seq,
		Bytes:       body.Bytes,
		Segments:    uint32(body.Segments),
		RTOms:       uint32(uint64(body.RtoJiffies) * 1000 / d.HZ),
		SRTTus:      body.SrttUs,
		Cwnd:        body.Cwnd,
		CAState:     body.CaState,
		Pending:     body.Pending,
		Retransmits: body.Retransmits,
		Sacked:      body.Sacked,
		Flags:       body.TcpFlags,
		Err:         body.UnsentErr,
		Head:        has(&body.Head, TcptraceTtFlagTT_F_HEAD),
		Total:       body.Total,
		DSACKs:      body.Dsacks,
		OldCAState:  body.OldCaState,
		Undo:        has(&body.Head, TcptraceTtFlagTT_F_UNDO),
		UndoRetrans: body.UndoRetrans,
		Timeout:     has(&body.Head, TcptraceTtFlagTT_F_TIMEOUT),
	}
}

// nameOf returns the name of a number of the kernel's, or "".
func nameOf(names []string, n uint32) string {
	if uint64(n) >= uint64(len(names)) {
		return ""
	}
	return names[n]
}

func resetFacts(body *TcptraceTtReset) event.ResetFacts {
	is := func(fact TcptraceTtResetFact) bool { return TcptraceTtResetFact(body.Facts)&fact != 0 }
	return event.ResetFacts{
		Socket:        is(TcptraceTtResetFactTT_R_SOCKET),
		Listener:      is(TcptraceTtResetFactTT_R_LISTENER),
		Request:       is(TcptraceTtResetFactTT_R_REQUEST),
		TimeWait:      is(TcptraceTtResetFactTT_R_TIMEWAIT),
		Dead:          is(TcptraceTtResetFactTT_R_DEAD),
		Linger0:       is(TcptraceTtResetFactTT_R_LINGER0),
		Linger2:       is(TcptraceTtResetFactTT_R_LINGER2),
		Shutdown:      body.Shutdown,
		Unread:        body.Unread,
		Unacked:       body.Unacked,
		Probes:        body.Probes,
		Timeouts:      body.Timeouts,
		Queued:        TcptraceTtMemory(body.Memory)&TcptraceTtMemoryTT_M_QUEUED != 0,
		MemoryFull:    TcptraceTtMemory(body.Memory)&TcptraceTtMemoryTT_M_FULL != 0,
		Answer:        is(TcptraceTtResetFactTT_R_ANSWER),
		AnsweredBytes: body.AnsweredBytes,
		AnsweredFlags: body.AnsweredFlags,
	}
}

func (d *Decoder) packet(body *TcptraceTtDrop) event.Packet {
	p := event.Packet{Seq: body.Seq, Bytes: body.Bytes, Flags: body.TcpFlags, Outgoing: has(&body.Head, TcptraceTtFlagTT_F_OUTGOING)}
	if body.Location != 0 {
		p.Where = d.Function(body.Location)
	}
	return p
}

// ops maps the kernel side's operations to the domain's.
var ops = [...]event.Op{0: event.OpUnknown, TcptraceTtOpTT_OP_CONNECT: event.OpConnect, TcptraceTtOpTT_OP_ACCEPT: event.OpAccept}

func (d *Decoder) storm(body *TcptraceTtStormTold, ev *event.Event) {
	ev.Count = body.Counts.Events
	if ev.Kind == event.ResetMore {
		ev.Reason = nameOf(d.ResetReasons, uint32(body.Reason))
		ev.Reset = event.ResetFacts{
			Answer:   true,
			Listener: ev.Old == tcp.Listen,
			Request:  ev.Old == tcp.SynRecv,
			TimeWait: ev.Old == tcp.FinWait2 || ev.Old == tcp.TimeWait,
		}
		return
	}
	ev.Suppressed = event.Suppressed{Probes: body.Counts.Probes, Timeouts: body.Counts.Timeouts, ByClass: body.Counts.Segments}
}

// counters takes the FINs off, which the kernel counts as bytes.
func counters(body *TcptraceTtTotals) event.Counters {
	return event.Counters{
		BytesSent:     body.BytesSent,
		BytesAcked:    less(body.BytesAcked, has(&body.Head, TcptraceTtFlagTT_F_FIN_ACKED)),
		BytesReceived: less(body.BytesReceived, has(&body.Head, TcptraceTtFlagTT_F_FIN_RECEIVED)),
		SegsOut:       body.SegsOut,
		SegsIn:        body.SegsIn,
		SRTTus:        body.SrttUs,
	}
}

func less(n uint64, fin bool) uint64 {
	if fin && n > 0 {
		n--
	}
	return n
}

func task(t *TcptraceTtTask) event.Task {
	return event.Task{PID: t.Pid, UID: t.Uid, Cgroup: t.Cgroup, Comm: t.Comm}
}

// read points out at the record that raw begins with, in place, and reports whether raw
// is long enough for it.
func read[T any](raw []byte, out **T) bool {
	var record T
	if len(raw) < int(unsafe.Sizeof(record)) {
		return false
	}
	*out = (*T)(unsafe.Pointer(unsafe.SliceData(raw)))
	return true
}
