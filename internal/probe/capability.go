package probe

// A Grade says how well a capability is served on this host.
type Grade string

const (
	Exact   Grade = "exact"   // begin, end and cause are the kernel's own
	Bounded Grade = "bounded" // true, but less is known: see Capability.Lost
	Absent  Grade = "absent"
)

// A Capability is one thing that tcptrace can tell, and how it does so here.
type Capability struct {
	Name   string // such as "TIME_WAIT begin"
	Grade  Grade
	Hook   string // what serves it, such as "tp_btf/timer_start"; "" where absent
	Lost   string // what is not known for want of a better hook; "" where Exact
	Why    string // why the better hook is not used
	Remedy string // what the user can do about it; "" where nothing
}

// leftOut is the Why of what the options leave out.
const leftOut = "left out"

// LeftOut reports whether it is the options that leave the better hook out, and
// not the host that lacks it.
func (c *Capability) LeftOut() bool { return c.Why == leftOut }
