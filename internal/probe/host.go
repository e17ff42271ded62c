package probe

// A Host is what tracing rests on, beside the kernel's hooks.
type Host struct {
	Kernel   string // as uname -r says
	BTF      string // where the kernel's own types are read; "" where it has none
	Lockdown string // "none", "integrity" or "confidentiality"; "" where the kernel has no such thing
	// Privileges lists the capabilities that tcptrace makes use of, the needed first.
	Privileges []Privilege
}

// A Privilege is one of the capabilities of capabilities(7).
type Privilege struct {
	Name   string // such as "CAP_BPF"
	Had    bool
	Needed bool   // nothing can be traced without it
	For    string // what it allows
}
