package event

// A Label says of a process what the kernel does not hand over with an event:
// where it runs, and what it is. An empty field is not known, or there is no
// such thing. All are raw bytes that somebody chose: who prints them escapes
// them. A Label is never changed.
type Label struct {
	Container string // the innermost container's id, in full
	Runtime   string // who made it: docker, containerd, cri-o, podman, lxc
	Unit      string // the innermost systemd service or scope
	PodUID    string // of the Kubernetes pod
	Cgroup    string // path from the root of its hierarchy
	Exe       string // path of its program; only if asked for
	Cmdline   string // arguments with a space between them; only if asked for
	Host      string // that it is on; only where that is another one than the event's
}
