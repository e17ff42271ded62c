package export

import (
	"context"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	otellog "go.opentelemetry.io/otel/log"

	"github.com/tcptrace/tcptrace/internal/conn"
	"github.com/tcptrace/tcptrace/internal/diagnose"
	"github.com/tcptrace/tcptrace/internal/event"
)

// Finding sends a finding as it stands at a time, if findings are to be sent: an
// event of the name tcptrace.finding. Of all with the same tcptrace.finding.id
// the last stands.
func (x *Exporter) Finding(f *diagnose.Finding, at event.Time) {
	if !x.options.sends(Findings) || x.queue.full() {
		return
	}
	var r otellog.Record
	r.SetEventName("tcptrace.finding")
	r.SetTimestamp(x.clock.Wall(at))
	r.SetObservedTimestamp(time.Now())
	switch f.Severity {
	case diagnose.Critical:
		r.SetSeverity(otellog.SeverityError)
	case diagnose.Warning:
		r.SetSeverity(otellog.SeverityWarn)
	default:
		r.SetSeverity(otellog.SeverityInfo)
	}
	r.SetSeverityText(strings.ToUpper(f.Severity.String()))
	r.SetBody(attribute.StringValue(strings.ToValidUTF8(f.Summary+": "+f.Cause, "\ufffd")))
	x.attributes = x.attributes[:0]
	x.text("tcptrace.finding.rule", f.Rule.Name)
	x.text("tcptrace.finding.id", f.ID)
	x.text("tcptrace.finding.severity", f.Severity.String())
	x.number("tcptrace.finding.count", int64(f.Count))
	x.text("tcptrace.finding.summary", f.Summary)
	x.text("tcptrace.finding.cause", f.Cause)
	x.text("tcptrace.finding.advice", f.Advice)
	x.text("tcptrace.finding.more", f.More)
	for i := range f.Evidence {
		x.figure(&f.Evidence[i])
	}
	x.process("", &f.Process)
	x.process("tcptrace.peer.", &conn.Owner{Task: f.Peer.Task})
	x.process("tcptrace.actor.", &conn.Owner{Task: f.Actor.Task})
	if f.NetNS != 0 {
		x.number("tcptrace.netns", int64(f.NetNS))
	}
	var ids []string
	for _, id := range f.Conns {
		ids = append(ids, strconv.FormatUint(id.Cookie, 16))
	}
	if len(ids) > 0 {
		x.attributes = append(x.attributes, attribute.StringSlice("tcptrace.finding.connections", ids))
	}
	if f.Withdrawn {
		x.attributes = append(x.attributes, attribute.Bool("tcptrace.finding.withdrawn", true))
	}
	r.AddAttributes(x.attributes...)
	x.logger.Emit(context.Background(), r)
}

func (x *Exporter) figure(f *diagnose.Figure) {
	name := "tcptrace.finding.evidence." + f.Name
	switch f.Kind {
	case diagnose.Number:
		x.number(name, f.Number)
	case diagnose.Length:
		x.number(name+"_ns", int64(f.Length))
	case diagnose.Word:
		x.text(name, f.Word)
	}
}
