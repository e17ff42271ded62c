package report

import (
	"html/template"
	"strconv"
	"time"

	"github.com/tcptrace/tcptrace/internal/population"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// A panel is the count of connections in one state against time.
type panel struct {
	State string
	Class string // of its colour
	Now   string // at the end of the trace
	Most  string
	Text  string // the same in words
	Chart template.HTML
}

// The chart of a panel, in units of its viewBox, which are CSS pixels at the
// width of a phone. The page's script knows them too.
const (
	panelWidth, panelHeight = 352, 112
	plotLeft, plotRight     = 46, 340
	plotTop, plotBottom     = 10, 88
	panelTicks              = 5
	panelPoints             = 240
)

// panels draws the states that any connection was in.
func panels(series *population.Series, length time.Duration) []panel {
	var all []panel
	for _, state := range tcp.States() {
		most := series.Most[state]
		if most == 0 {
			continue
		}
		now := series.At[len(series.At)-1][state]
		p := panel{
			State: state.String(), Class: stateClass(state), Now: group(uint64(now)), Most: group(uint64(most)),
			Chart: drawPanel(series, state, length),
		}
		first := series.At[0][state]
		p.Text = state.String() + ": " + group(uint64(first)) + " at the begin, " + p.Most + " at most, " + p.Now + " at the end"
		all = append(all, p)
	}
	return all
}

// stateClass names the style of a state.
func stateClass(s tcp.State) string { return "s" + strconv.Itoa(int(s)) }

// drawPanel returns the axes and the curve of one state: our own words and
// numbers alone.
func drawPanel(series *population.Series, state tcp.State, length time.Duration) template.HTML {
	top := countTop(series.Most[state])
	y := func(n int) float64 {
		return plotBottom - float64(n)/float64(top)*(plotBottom-plotTop)
	}
	x := func(d time.Duration) float64 {
		return plotLeft + float64(d)/float64(max(length, 1))*(plotRight-plotLeft)
	}
	b := drawing{}
	for _, n := range []int{0, top / 2, top} {
		if n == top/2 && (top%2 != 0 || top < 4) {
			continue
		}
		b.add(`<path class="grid" d="M`, plotLeft, ` `, y(n), `H`, plotRight, `"/>`)
		b.add(`<text class="y" x="`, plotLeft-6, `" y="`, y(n)+4, `">`, group(uint64(n)), `</text>`)
	}
	for _, at := range timeTicks(length, panelTicks) {
		b.add(`<path class="tick" d="M`, x(at), ` `, plotBottom, `v4"/>`)
		b.add(`<text class="x" x="`, x(at), `" y="`, plotBottom+17, `">`, tickLabel(at), `</text>`)
	}
	b.add(`<path class="area `, stateClass(state), `" d="M`, plotLeft, ` `, plotBottom)
	before := -1
	for i, peak := range series.Peaks {
		if n := peak[state]; n != before || i == 0 {
			begin := max(series.Time(i, series.Begin.Add(length)).Sub(series.Begin)-series.Every, 0)
			b.add(`H`, x(begin), `V`, y(n))
			before = n
		}
	}
	b.add(`H`, plotRight, `V`, plotBottom, `Z"/>`)
	return template.HTML(b)
}

// A drawing is text in the making.
type drawing []byte

// add appends words, whole numbers, and others to a tenth.
func (b *drawing) add(parts ...any) {
	for _, part := range parts {
		switch v := part.(type) {
		case string:
			*b = append(*b, v...)
		case int:
			*b = strconv.AppendInt(*b, int64(v), 10)
		case float64:
			*b = appendNumber(*b, v, 1)
		}
	}
}

// appendNumber appends v with at most so many decimals, and no needless zeros.
func appendNumber(b []byte, v float64, decimals int) []byte {
	from := len(b)
	b = strconv.AppendFloat(b, v, 'f', decimals, 64)
	if decimals == 0 {
		return b
	}
	for b[len(b)-1] == '0' {
		b = b[:len(b)-1]
	}
	if b[len(b)-1] == '.' {
		b = b[:len(b)-1]
	}
	if string(b[from:]) == "-0" {
		b = append(b[:from], '0')
	}
	return b
}
