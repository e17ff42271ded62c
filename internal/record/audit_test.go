package record_test

import (
	"testing"
	"time"

	"github.com/tcptrace/tcptrace/internal/audit"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/record"
)

func TestAppendAudit(t *testing.T) {
	clock := event.Clock{Boot: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	for _, tt := range []struct {
		name string
		line audit.Line
		want string
	}{
		{
			"equal",
			audit.Line{NetNS: 7, Counter: audit.TW, Tcptrace: 211, Kernel: 211, More: 1, Why: []string{"why"}},
			`{"type":"audit","time":"2026-01-02T03:04:06.000000000Z","mono_ns":1000000000,"netns":7,"counter":"TW","tcptrace":211,"kernel":211,"equal":true}`,
		},
		{
			"within its bound",
			audit.Line{NetNS: 7, Counter: audit.OutRsts, Tcptrace: 3, Kernel: 5, More: 2, Why: []string{"one", "two"}},
			`{"type":"audit","time":"2026-01-02T03:04:06.000000000Z","mono_ns":1000000000,"netns":7,"counter":"OutRsts","tcptrace":3,"kernel":5,"equal":false,"difference":2,"bounded":true,"reason":"one; two"}`,
		},
		{
			"unequal",
			audit.Line{NetNS: 7, Counter: audit.CurrEstab, Tcptrace: -3, Kernel: -5, More: 2},
			`{"type":"audit","time":"2026-01-02T03:04:06.000000000Z","mono_ns":1000000000,"netns":7,"counter":"CurrEstab","tcptrace":-3,"kernel":-5,"equal":false,"difference":-2,"bounded":false}`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := string(record.AppendAudit(nil, &tt.line, event.Time(time.Second), clock))
			if got != tt.want+"\n" {
				t.Errorf("got  %swant %s", got, tt.want)
			}
		})
	}
}
