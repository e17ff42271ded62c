package render

import (
	"math"
	"testing"

	"github.com/tcptrace/tcptrace/internal/compare"
)

func TestAppendDifferences(t *testing.T) {
	got := string(AppendDifferences(nil, []compare.Difference{
		{Figure: "connections", Before: 12345, After: 0, Ratio: 0},
		{Process: "api\x1b", Figure: "CLOSE_WAIT p99", Timed: true, Before: 3e6, After: 8e8, Ratio: 266.7},
		{Process: "api\x1b", Figure: "reset: reset-linger", After: 7, Ratio: math.Inf(1)},
		{Process: "api\x1b", Figure: "connections", Before: 10, After: 16, Ratio: 1.6},
	}, false))
	want := `(process not known)
  FIGURE                  BEFORE      AFTER  CHANGE
  connections             12,345          0  gone

api\x1b
  FIGURE                  BEFORE      AFTER  CHANGE
  CLOSE_WAIT p99          3.00ms      800ms  x267
  reset: reset-linger          0          7  new
  connections                 10         16  x1.60
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
