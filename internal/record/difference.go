package record

import (
	"math"
	"strconv"

	"github.com/tcptrace/tcptrace/internal/compare"
)

// AppendDifference appends the record of one figure on both sides, and a newline.
// Times end in _ns; ratio is absent where the figure is new.
func AppendDifference(b []byte, d *compare.Difference) []byte {
	w := writer{append(b, '{')}
	w.word("type", "difference")
	w.text("comm", d.Process)
	w.text("figure", d.Figure)
	before, after := "before", "after"
	if d.Timed {
		before, after = "before_ns", "after_ns"
	}
	w.uint(before, d.Before)
	w.uint(after, d.After)
	if !math.IsInf(d.Ratio, 1) {
		w.float("ratio", d.Ratio)
	}
	w.bool("notable", d.Notable())
	w.close('}')
	return append(w.b, '\n')
}

func (w *writer) float(name string, value float64) {
	w.name(name)
	w.b = strconv.AppendFloat(w.b, value, 'f', 3, 64)
}
