package record

import (
	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/names"
)

const flagFIN = 1 // of a TCP header

func (w *writer) retransmit(c *conn.Change) {
	if c.Class != conn.ClassUnknown {
		w.Word("class", c.Class.String())
	}
	if c.Class == conn.ClassFIN || c.Class == conn.ClassUnsent {
		if trigger := conn.Trigger(c.Event); trigger != conn.ClassUnknown {
			w.Word("trigger", trigger.String())
		}
	}
	if c.Event.Retransmission.Flags&flagFIN != 0 {
		w.Bool("fin", true)
	}
	w.state("state", c.Event.Old)
	w.Uint("segments", uint64(c.Segments))
	if c.Event.Kind == event.RetransmitMore {
		w.Bool("suppressed", true)
		return // it is many
	}
	if c.Event.Kind == event.RetransmitSynAck {
		return // a request socket has neither a window nor a timer of its own
	}
	r := &c.Event.Retransmission
	w.Uint("seq", uint64(r.Seq))
	w.Uint("bytes", uint64(r.Bytes))
	w.known("rto_ms", r.RTOms)
	w.known("srtt_us", r.SRTTus)
	w.known("cwnd", r.Cwnd)
	w.Word("ca_state", names.CAState(r.CAState))
	switch {
	case r.Err < 0:
		w.Word("error", event.Errno(-r.Err).String())
	case r.Err > 0:
		w.Word("error", "dropped") // NET_XMIT_DROP: the queue of the device was full
	}
}

// crowd writes the counts of what no connection can be named for.
func (w *writer) crowd(c *conn.Change) {
	w.Bool("suppressed", true)
	w.Uint("count", uint64(c.Event.Count))
	if c.Event.Kind == event.ResetMore {
		w.Word("direction", "sent")
		w.state("state", c.Event.Old)
		w.Word("reason", c.Event.Reason)
		return
	}
	w.Uint("segments", uint64(c.Segments))
	w.classes("retransmits", &c.Event.Suppressed.ByClass)
}
