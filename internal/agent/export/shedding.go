package export

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	otellog "go.opentelemetry.io/otel/log"

	"github.com/tcptrace/tcptrace/internal/event"
)

// A Shedding says what is left out from a time on, and why: what tracing costs,
// and what it may, both in CPU time a second.
type Shedding struct {
	Left        event.Shedding
	Cost, Limit float64
}

// String says it in words.
func (s Shedding) String() string {
	switch {
	case s.Left.Sockets > 0:
		return fmt.Sprintf("leaves out drops, the details of retransmits, and of %d connections all but one", s.Left.Weight())
	case s.Left.Retransmits:
		return "leaves out drops, and the details of retransmits"
	case s.Left.Drops:
		return "leaves out drops"
	}
	return "leaves out nothing any more"
}

// Shedding sends that something else is left out from now on, if anything is to
// be sent: an event of the name tcptrace.shedding.
func (x *Exporter) Shedding(s Shedding, at event.Time) {
	if !x.options.sends(Connections) && !x.options.sends(Findings) || x.queue.full() {
		return
	}
	var r otellog.Record
	r.SetEventName("tcptrace.shedding")
	r.SetTimestamp(x.clock.Wall(at))
	r.SetObservedTimestamp(time.Now())
	r.SetSeverity(otellog.SeverityWarn)
	r.SetSeverityText("WARN")
	r.SetBody(attribute.StringValue("tcptrace " + s.String()))
	r.AddAttributes(
		attribute.Bool("tcptrace.shedding.drops", s.Left.Drops),
		attribute.Bool("tcptrace.shedding.retransmit_details", s.Left.Retransmits),
		attribute.Int64("tcptrace.weight", int64(s.Left.Weight())),
		attribute.Float64("tcptrace.cpu_cost_ratio", s.Cost),
		attribute.Float64("tcptrace.cpu_limit_ratio", s.Limit),
	)
	x.logger.Emit(context.Background(), r)
}
