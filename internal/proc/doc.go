// Package proc says who is behind the numbers that the kernel hands over: from
// a pid, a cgroup v2 id or the inode of a network namespace to a process, a
// container, a systemd unit, a Kubernetes pod or the name of a namespace. It
// reads /proc, /run and the cgroup v2 hierarchy, and knows nothing of BPF.
//
// What it cannot know, it says so: false, or an empty field. A pid alone is
// no identity, as the kernel gives it to another process once its holder is
// gone. So whoever asks for a pid says when it was seen, and gets the process
// that is known to have had it at that time, or none.
//
// Names of processes, command lines, cgroups, units and namespaces are what
// somebody chose, as raw bytes: they may hold control characters and need not
// be UTF-8. Who prints them escapes them (package render).
package proc
