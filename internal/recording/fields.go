package recording

import (
	"encoding/binary"

	"github.com/tcptrace/tcptrace/internal/event"
)

// shapeOf returns what an event's row has, but for its addressing.
func shapeOf(ev *event.Event) (has uint32) {
	has = hasTime
	add := func(bit uint32, is bool) {
		if is {
			has |= bit
		}
	}
	add(hasTask, ev.Task != event.Task{})
	add(hasErr, ev.Err != 0)
	add(hasCount, ev.Count != 0)
	add(hasReason, ev.Reason != "")
	add(hasFrom, ev.From != 0)
	add(hasLeft, ev.Left != 0)
	add(isWithoutRequest, ev.WithoutRequest)
	add(hasReset, ev.Reset != event.ResetFacts{})
	add(hasPacket, ev.Packet != event.Packet{})
	add(hasQueue, ev.Queue != event.Queue{})
	add(hasSuppressed, ev.Suppressed != event.Suppressed{})
	add(hasRetransmission, ev.Retransmission != event.Retransmission{})
	add(hasCounters, ev.Counters != event.Counters{})
	add(hasLoss, ev.Loss != event.Loss{})
	add(hasISNs, ev.ISNs.Sent.Known || ev.ISNs.Received.Known)
	add(hasIdle, ev.Idle != 0)
	add(isKeptAlive, ev.KeepAlive)
	return has
}

// fields codes what an event has beside its shape and its socket.
func (b *block) fields(has uint32, ev *event.Event) {
	if has&hasTask != 0 {
		b.task(&ev.Task)
	}
	c := &b.coder
	if has&hasCounters != 0 {
		counters(c, &ev.Counters)
	}
	if has&^uint32(addressing|hasTime|hasTask|hasCounters) == 0 {
		return // as most
	}
	if has&hasErr != 0 {
		number(c, colErr, &ev.Err)
	}
	if has&hasCount != 0 {
		number(c, colCount, &ev.Count)
	}
	if has&hasReason != 0 {
		b.string(colReason, &ev.Reason)
	}
	if has&hasFrom != 0 {
		since(c, colFrom, &ev.From, ev.Time)
	}
	if has&hasLeft != 0 {
		signed(c, colLeft, &ev.Left)
	}
	ev.WithoutRequest = has&isWithoutRequest != 0
	ev.KeepAlive = has&isKeptAlive != 0
	if has&hasReset != 0 {
		reset(c, &ev.Reset)
	}
	if has&hasPacket != 0 {
		b.packet(&ev.Packet)
	}
	if has&hasQueue != 0 {
		flags(c, colQueueSYN, &ev.Queue.SYN)
		number(c, colQueueLength, &ev.Queue.Length)
		number(c, colQueueLimit, &ev.Queue.Limit)
	}
	if has&hasSuppressed != 0 {
		suppressed(c, &ev.Suppressed)
	}
	if has&hasRetransmission != 0 {
		retransmission(c, &ev.Retransmission)
	}
	if has&hasLoss != 0 {
		b.loss(&ev.Loss, ev.Time)
	}
	if has&hasISNs != 0 {
		b.isns(&ev.ISNs)
	}
	if has&hasIdle != 0 {
		signed(c, colIdle, &ev.Idle)
	}
}

// isns codes the initial sequence numbers of a connection, which are noise: those
// of its other end, where that is of the block, are the same two.
func (b *block) isns(v *event.ISNs) {
	var own *socket
	if b.current < len(b.sockets) {
		own = &b.sockets[b.current]
	} else {
		own = new(socket) // of the row alone
	}
	var others event.ISNs
	if own.twin > 0 {
		twin := &b.sockets[own.twin-1].isns
		others = event.ISNs{Sent: twin.Received, Received: twin.Sent}
	}
	same := b.writing && *v == others
	flags(&b.coder, colISNs, &v.Sent.Known, &v.Received.Known, &same)
	if same {
		*v = others
	} else {
		b.isn(&v.Sent)
		b.isn(&v.Received)
	}
	own.isns = *v
}

func (b *block) isn(v *event.ISN) {
	switch {
	case !v.Known:
	case b.writing:
		b.data[colISN] = binary.LittleEndian.AppendUint32(b.data[colISN], v.Seq)
	default:
		if raw := b.take(colISN, 4); raw != nil {
			v.Seq = binary.LittleEndian.Uint32(raw)
		}
	}
}

func counters(c *coder, v *event.Counters) {
	number(c, colBytesSent, &v.BytesSent)
	number(c, colBytesAcked, &v.BytesAcked)
	number(c, colBytesReceived, &v.BytesReceived)
	number(c, colSegsOut, &v.SegsOut)
	number(c, colSegsIn, &v.SegsIn)
	number(c, colCounterSRTT, &v.SRTTus)
}

func reset(c *coder, v *event.ResetFacts) {
	flags(c, colResetFlags, &v.Socket, &v.Listener, &v.Request, &v.TimeWait, &v.Dead, &v.Linger0, &v.Linger2, &v.Answer, &v.Queued, &v.MemoryFull)
	number(c, colShutdown, &v.Shutdown)
	number(c, colUnread, &v.Unread)
	number(c, colUnacked, &v.Unacked)
	number(c, colProbes, &v.Probes)
	number(c, colTimeouts, &v.Timeouts)
	number(c, colAnsweredBytes, &v.AnsweredBytes)
	number(c, colAnsweredFlags, &v.AnsweredFlags)
}

func (b *block) packet(v *event.Packet) {
	b.string(colWhere, &v.Where)
	number(&b.coder, colPacketSeq, &v.Seq)
	number(&b.coder, colPacketBytes, &v.Bytes)
	number(&b.coder, colPacketFlags, &v.Flags)
	flags(&b.coder, colOutgoing, &v.Outgoing)
}

func suppressed(c *coder, v *event.Suppressed) {
	for i := range v.ByClass {
		number(c, colSuppressed, &v.ByClass[i])
	}
	number(c, colSuppressedProbes, &v.Probes)
	number(c, colSuppressedTimeouts, &v.Timeouts)
}

func retransmission(c *coder, v *event.Retransmission) {
	number(c, colSeq, &v.Seq)
	number(c, colBytes, &v.Bytes)
	number(c, colSegments, &v.Segments)
	number(c, colRTO, &v.RTOms)
	number(c, colSRTT, &v.SRTTus)
	number(c, colCwnd, &v.Cwnd)
	number(c, colCAState, &v.CAState)
	number(c, colPending, &v.Pending)
	number(c, colRetransmits, &v.Retransmits)
	number(c, colSacked, &v.Sacked)
	number(c, colTCPFlags, &v.Flags)
	signed(c, colUnsent, &v.Err)
	number(c, colTotal, &v.Total)
	number(c, colDSACKs, &v.DSACKs)
	number(c, colOldCAState, &v.OldCAState)
	signed(c, colUndoRetrans, &v.UndoRetrans)
	flags(c, colRetransmissionFlags, &v.Head, &v.Timeout, &v.Undo)
}

func (b *block) loss(v *event.Loss, at event.Time) {
	name := v.Kind.String()
	b.string(colLossKind, &name)
	v.Kind = event.Kind(kindsByName[name])
	number(&b.coder, colLossCount, &v.Count)
	since(&b.coder, colLossFrom, &v.From, at)
}
