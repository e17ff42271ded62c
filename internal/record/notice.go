package record

import (
	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/names"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// drop writes a packet that the kernel dropped.
func (w *writer) drop(ev *event.Event) {
	w.state("state", ev.Old)
	w.Word("reason", ev.Reason)
	w.Text("where", ev.Packet.Where)
	w.Uint("seq", uint64(ev.Packet.Seq))
	w.Uint("bytes", uint64(ev.Packet.Bytes))
	w.Word("tcp_flags", names.TCPFlags(ev.Packet.Flags))
	if ev.Packet.Outgoing {
		w.Bool("outgoing", true)
	}
	if ev.Count > 1 {
		w.Uint("count", uint64(ev.Count))
	}
}

// queueFull writes packets that a listener had no room for.
func (w *writer) queueFull(ev *event.Event) {
	w.state("state", tcp.Listen)
	queue := "accept"
	if ev.Queue.SYN {
		queue = "syn"
	}
	w.Word("queue", queue)
	w.Uint("queue_length", uint64(ev.Queue.Length))
	w.Uint("queue_limit", uint64(ev.Queue.Limit))
	w.Uint("count", uint64(ev.Count))
}

// failed writes a system call that failed, and whose it was.
func (w *writer) failed(c *conn.Change) {
	w.Word("op", c.Event.Op.String())
	w.errno(c.Event.Err)
	w.Uint("count", uint64(max(c.Event.Count, 1)))
	if c.Conn == nil {
		via := conn.ViaConnect
		if c.Event.Op == event.OpAccept {
			via = conn.ViaAccept
		}
		w.process("process", &c.Task, via)
		return
	}
	w.actor(c, &c.Task)
}

// errored writes the error by which a connection was closed.
func (w *writer) errored(c *conn.Change) {
	if c.Old == tcp.SynSent {
		w.Word("op", event.OpConnect.String())
	}
	w.errno(c.Conn.Err)
	w.state("state", c.Old)
}

func (w *writer) errno(e event.Errno) { w.Word("errno", e.String()) }
