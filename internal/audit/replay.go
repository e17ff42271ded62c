package audit

import "errors"

// NewReplay returns a Meter of events that were recorded, with readings that were
// recorded: TakeBegin and TakeEnd come in place of Begin and of the end of Run.
func NewReplay() *Meter { return &Meter{tally: NewTally(), replayed: true} }

// TakeBegin takes the figures that were read before the first event.
func (m *Meter) TakeBegin(readings []Reading) {
	m.before = readings
	for i := range readings {
		m.tally.Begin(readings[i].NetNS, readings[i].Window)
		m.tally.FinTimeout(readings[i].NetNS, readings[i].FinTimeout)
	}
}

// TakeEnd takes those that were read at this place among the events, as the last.
func (m *Meter) TakeEnd(readings []Reading) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.takeEnd(readings)
}

func (m *Meter) takeEnd(readings []Reading) {
	m.after, m.ended = readings, true
	for i := range readings {
		m.tally.End(readings[i].NetNS, readings[i].Window)
	}
}

// errNotRecorded says that there is nothing to hold the events against.
var errNotRecorded = errors.New("the recording does not have the kernel's counters of its begin and its end: it was rotated," +
	" waited for a finding, was cut off, is of a part of the connections, or is older than this; record whole namespaces into one file")

// Named returns the figures by the kernel's names.
func (v *Values) Named() map[string]int64 {
	named := map[string]int64{}
	for c, name := range counterNames {
		if v.known[c] {
			named[name] = v.value[c]
		}
	}
	return named
}

// ValuesOf returns figures that Named has returned. It passes over what it does
// not know.
func ValuesOf(named map[string]int64) *Values {
	v := &Values{}
	for name, n := range named {
		if c, ours := counterOf[name]; ours {
			v.value[c], v.known[c] = n, true
		}
	}
	return v
}
