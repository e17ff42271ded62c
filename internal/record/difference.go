package record

import (
	"math"
	"strconv"

	"github.com/tcptrace/tcptrace/internal/compare"
)

// AppendDifference appends the record of one figure on both sides, and a newline.
// Times end in _ns; ratio is absent where the figure is new.
func AppendDifference(b []byte, d *compare.Difference) []byte {
	w := newWriter(b)
	w.Word("type", "difference")
	w.Text("comm", d.Process)
	w.Text("figure", d.Figure)
	before, after := "before", "after"
	if d.Timed {
		before, after = "before_ns", "after_ns"
	}
	w.Uint(before, d.Before)
	w.Uint(after, d.After)
	if !math.IsInf(d.Ratio, 1) {
		w.float("ratio", d.Ratio)
	}
	w.Bool("notable", d.Notable())
	w.Close('}')
	return append(w.B, '\n')
}

func (w *writer) float(name string, value float64) {
	w.Name(name)
	w.B = strconv.AppendFloat(w.B, value, 'f', 3, 64)
}
