package perfetto

import (
	"encoding/json"
	"net/netip"
	"strconv"
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/member"
	"github.com/tcptrace/tcptrace/internal/render"
)

// An object appends the members of one JSON object to a buffer.
type object struct{ member.Writer }

// spelled writes what anybody may have chosen, unless it is "": what could disturb
// who reads it on a page is spelled out, and nothing is markup.
func (o *object) spelled(name, value string) {
	if value == "" {
		return
	}
	quoted, err := json.Marshal(render.Safe(value))
	if err != nil { // a string has no error
		quoted = []byte(`""`)
	}
	o.Name(name)
	o.B = append(o.B, quoted...)
}

// micros writes a time in microseconds, the format's unit, to the nanosecond.
func (o *object) micros(name string, ns int64) {
	o.Name(name)
	if ns < 0 {
		o.B = append(o.B, '-')
		ns = -ns
	}
	o.B = strconv.AppendInt(o.B, ns/1000, 10)
	if rest := ns % 1000; rest != 0 {
		o.B = append(o.B, '.', byte('0'+rest/100), byte('0'+rest/10%10), byte('0'+rest%10))
	}
}

func (o *object) at(t event.Time)         { o.micros("ts", int64(t)) }
func (o *object) lasting(d time.Duration) { o.micros("dur", int64(max(d, 0))) }

// place writes "ip:port" without a zone, and nothing where the address is not known.
func (o *object) place(name string, e netip.AddrPort) {
	if e.IsValid() && e.Port() != 0 {
		o.Word(name, spell(e))
	}
}

func spell(e netip.AddrPort) string {
	if !e.IsValid() || e.Port() == 0 {
		return "?"
	}
	return netip.AddrPortFrom(e.Addr().Unmap().WithZone(""), e.Port()).String()
}
