package perfetto

import (
	"encoding/json"
	"net/netip"
	"strconv"
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/render"
)

// An object appends the members of one JSON object to a buffer. Names of
// members are ours and need no escaping.
type object struct{ b []byte }

func (o *object) name(name string) {
	if last := o.b[len(o.b)-1]; last != '{' {
		o.b = append(o.b, ',')
	}
	o.b = append(o.b, '"')
	o.b = append(o.b, name...)
	o.b = append(o.b, '"', ':')
}

func (o *object) open(name string) {
	o.name(name)
	o.b = append(o.b, '{')
}

func (o *object) close() { o.b = append(o.b, '}') }

// word writes one of our own words, unless it is "".
func (o *object) word(name, value string) {
	if value == "" {
		return
	}
	o.name(name)
	o.b = append(o.b, '"')
	o.b = append(o.b, value...)
	o.b = append(o.b, '"')
}

// text writes what anybody may have chosen, unless it is "": what could disturb
// a reader is spelled out.
func (o *object) text(name, value string) {
	if value == "" {
		return
	}
	o.name(name)
	quoted, err := json.Marshal(render.Safe(value))
	if err != nil { // a string has no error
		quoted = []byte(`""`)
	}
	o.b = append(o.b, quoted...)
}

func (o *object) int(name string, value int64) {
	o.name(name)
	o.b = strconv.AppendInt(o.b, value, 10)
}

func (o *object) uint(name string, value uint64) {
	o.name(name)
	o.b = strconv.AppendUint(o.b, value, 10)
}

func (o *object) bool(name string, value bool) {
	o.name(name)
	o.b = strconv.AppendBool(o.b, value)
}

func (o *object) hex(name string, value uint64) {
	o.name(name)
	o.b = append(o.b, '"')
	o.b = strconv.AppendUint(o.b, value, 16)
	o.b = append(o.b, '"')
}

// micros writes a time in microseconds, the format's unit, to the nanosecond.
func (o *object) micros(name string, ns int64) {
	o.name(name)
	if ns < 0 {
		o.b = append(o.b, '-')
		ns = -ns
	}
	o.b = strconv.AppendInt(o.b, ns/1000, 10)
	if rest := ns % 1000; rest != 0 {
		o.b = append(o.b, '.', byte('0'+rest/100), byte('0'+rest/10%10), byte('0'+rest%10))
	}
}

func (o *object) at(t event.Time)         { o.micros("ts", int64(t)) }
func (o *object) lasting(d time.Duration) { o.micros("dur", int64(max(d, 0))) }

// endpoint writes "ip:port", and nothing where the address is not known.
func (o *object) endpoint(name string, e netip.AddrPort) {
	if e.IsValid() && e.Port() != 0 {
		o.word(name, spell(e))
	}
}

func spell(e netip.AddrPort) string {
	if !e.IsValid() || e.Port() == 0 {
		return "?"
	}
	return netip.AddrPortFrom(e.Addr().Unmap().WithZone(""), e.Port()).String()
}
