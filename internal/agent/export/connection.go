package export

import (
	"bytes"
	"context"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	otellog "go.opentelemetry.io/otel/log"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// Connection sends the record of a connection that ended, if connections are to
// be sent. Where others were left out, weight says how many it stands for. It keeps
// nothing of c.
func (x *Exporter) Connection(c *conn.Change, weight uint64) {
	if !x.options.sends(Connections) || x.queue.full() {
		return
	}
	var r otellog.Record
	r.SetEventName("tcptrace.connection")
	r.SetTimestamp(x.clock.Wall(c.Conn.Closed))
	r.SetObservedTimestamp(time.Now())
	severity(&r, c.Conn.End)
	x.attributes = x.attributes[:0]
	x.identity(c.Conn)
	x.life(c.Conn)
	x.traffic(c.Conn)
	if weight > 1 {
		x.number("tcptrace.weight", int64(weight))
	}
	r.SetBody(attribute.StringValue(line(c.Conn)))
	r.AddAttributes(x.attributes...)
	x.logger.Emit(context.Background(), r)
}

// severity tells an end in order from one that is none.
func severity(r *otellog.Record, end conn.End) {
	switch end {
	case conn.EndFIN, conn.EndUnknown:
		r.SetSeverity(otellog.SeverityInfo)
		r.SetSeverityText("INFO")
	default:
		r.SetSeverity(otellog.SeverityWarn)
		r.SetSeverityText("WARN")
	}
}

// line says the connection in words that a person reads.
func line(c *conn.Connection) string {
	b := append([]byte(nil), c.Role.String()...)
	if c.Owner.Known() {
		b = append(append(b, ' '), comm(&c.Owner.Task)...)
		b = append(strconv.AppendUint(append(b, '['), uint64(c.Owner.Task.PID), 10), ']')
	}
	b = appendEnd(append(b, ' '), c.Local)
	b = appendEnd(append(b, ' '), c.Remote)
	if end := c.End.String(); end != "" {
		b = append(append(b, ' '), end...)
	}
	if c.ResetCause != conn.ResetCauseNone {
		b = append(append(b, ' '), c.ResetCause.String()...)
	}
	return string(bytes.TrimSpace(b))
}

func appendEnd(b []byte, e netip.AddrPort) []byte {
	return netip.AddrPortFrom(e.Addr().Unmap(), e.Port()).AppendTo(b)
}

func comm(t *event.Task) string {
	name, _, _ := bytes.Cut(t.Comm[:], []byte{0})
	return strings.ToValidUTF8(string(name), "\ufffd")
}

func (x *Exporter) text(name, value string) {
	if value != "" {
		x.attributes = append(x.attributes, attribute.String(name, strings.ToValidUTF8(value, "\ufffd")))
	}
}

func (x *Exporter) number(name string, value int64) {
	x.attributes = append(x.attributes, attribute.Int64(name, value))
}

// identity says which connection, and whose. Names without "tcptrace." are
// OpenTelemetry's.
func (x *Exporter) identity(c *conn.Connection) {
	cookie, netns := strconv.FormatUint(c.ID.Cookie, 16), strconv.FormatUint(uint64(c.ID.NetNS), 10)
	begun := c.Opened
	x.text("log.record.uid", x.options.HostID+"-"+strconv.FormatInt(x.clock.Boot.Unix(), 36)+"-"+netns+"-"+cookie+"-"+strconv.FormatInt(int64(begun), 36))
	x.text("network.transport", "tcp")
	kind := "ipv6"
	if c.Local.Addr().Unmap().Is4() {
		kind = "ipv4"
	}
	x.text("network.type", kind)
	x.end("network.local", c.Local)
	x.end("network.peer", c.Remote)
	x.text("tcptrace.conn", cookie)
	x.number("tcptrace.netns", int64(c.ID.NetNS))
	x.text("tcptrace.role", c.Role.String())
	x.process("", &c.Owner)
	if c.Closer.Known() && c.Closer.Task.PID != c.Owner.Task.PID {
		x.process("tcptrace.closer.", &c.Closer)
	}
}

func (x *Exporter) end(name string, e netip.AddrPort) {
	if e.Addr().IsValid() && e.Port() != 0 {
		x.text(name+".address", e.Addr().Unmap().String())
		x.number(name+".port", int64(e.Port()))
	}
}

func (x *Exporter) process(prefix string, o *conn.Owner) {
	if !o.Known() {
		return
	}
	x.number(prefix+"process.pid", int64(o.Task.PID))
	x.text(prefix+"process.comm", comm(&o.Task))
	x.number(prefix+"process.uid", int64(o.Task.UID))
	x.text(prefix+"tcptrace.via", o.Via.String())
	if l := o.Task.Label; l != nil {
		x.text(prefix+"container.id", l.Container)
		x.text(prefix+"k8s.pod.uid", l.PodUID)
		x.text(prefix+"tcptrace.unit", l.Unit)
		x.text(prefix+"tcptrace.cgroup", l.Cgroup)
	}
}

// life says when it was, for how long in which state, and how it ended.
func (x *Exporter) life(c *conn.Connection) {
	if c.OpenedKnown {
		x.number("tcptrace.opened_unix_ns", x.clock.Wall(c.Opened).UnixNano())
		x.number("tcptrace.lifetime_ns", int64(c.Closed.Sub(c.Opened)))
	}
	x.number("tcptrace.closed_unix_ns", x.clock.Wall(c.Closed).UnixNano())
	if wait, ok := c.AcceptWait(); ok {
		x.number("tcptrace.accept_wait_ns", int64(wait))
	}
	var bound [tcp.NumStates]conn.Bound
	var seen [tcp.NumStates]bool
	for i := range c.Spans {
		s := &c.Spans[i]
		seen[s.State] = true
		bound[s.State] = bound[s.State].And(s.Bound())
		if c.SpansCut > 0 {
			bound[s.State] = bound[s.State].And(conn.AtLeast)
		}
	}
	total := c.Durations(c.Closed)
	for s := tcp.Established; s < tcp.NumStates; s++ {
		if !seen[s] || s == tcp.Close {
			continue
		}
		switch bound[s] {
		case conn.Exact:
			x.number(stateNames[s].exact, int64(total[s]))
		case conn.AtLeast:
			x.number(stateNames[s].atLeast, int64(total[s]))
		case conn.AtMost:
			x.number(stateNames[s].atMost, int64(total[s]))
		}
	}
	x.text("tcptrace.end", c.End.String())
	x.text("error.type", c.Err.String())
	x.text("tcptrace.reset_cause", c.ResetCause.String())
	x.attributes = append(x.attributes, attribute.Bool("tcptrace.complete", c.Complete))
}

// stateNames are the attributes of the time spent in each state.
var stateNames = func() (all [tcp.NumStates]struct{ exact, atLeast, atMost string }) {
	for s := range tcp.State(tcp.NumStates) {
		all[s].exact = "tcptrace.durations_ns." + s.String()
		all[s].atLeast = "tcptrace.durations_at_least_ns." + s.String()
		all[s].atMost = "tcptrace.durations_at_most_ns." + s.String()
	}
	return all
}()

// traffic says with which numbers it began, what was sent, and what was sent
// again.
func (x *Exporter) traffic(c *conn.Connection) {
	if n := c.ISNs.Sent; n.Known {
		x.number("tcptrace.isn_sent", int64(n.Seq))
	}
	if n := c.ISNs.Received; n.Known {
		x.number("tcptrace.isn_received", int64(n.Seq))
	}
	if c.HasCounters {
		n := &c.Counters
		x.number("tcptrace.bytes_sent", int64(n.BytesSent))
		if acked, ok := c.BytesAcked(); ok {
			x.number("tcptrace.bytes_acked", int64(acked))
		}
		x.number("tcptrace.bytes_received", int64(n.BytesReceived))
		x.number("tcptrace.segs_out", int64(n.SegsOut))
		x.number("tcptrace.segs_in", int64(n.SegsIn))
		if n.SRTTus != 0 {
			x.number("tcptrace.srtt_us", int64(n.SRTTus))
		}
	}
	for class, n := range c.Retransmits {
		if n != 0 {
			x.number("tcptrace.retransmits."+conn.Class(class).String(), int64(n))
		}
	}
	if c.Episodes != 0 {
		x.number("tcptrace.loss_episodes", int64(c.Episodes))
		x.number("tcptrace.loss_ns", int64(c.EpisodeTime))
	}
}
