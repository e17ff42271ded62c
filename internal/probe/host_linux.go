package probe

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// kernelTypes is where a kernel with CONFIG_DEBUG_INFO_BTF shows its types.
const kernelTypes = "/sys/kernel/btf/vmlinux"

// privileges are the capabilities that tcptrace makes use of, by number.
var privileges = []struct {
	capability  int
	administers bool // the kernel takes CAP_SYS_ADMIN for it (include/linux/capability.h)
	Privilege
}{
	{unix.CAP_BPF, true, Privilege{Name: "CAP_BPF", Needed: true, For: "loading BPF programs"}},
	{unix.CAP_PERFMON, true, Privilege{Name: "CAP_PERFMON", Needed: true, For: "attaching them to the kernel's functions and tracepoints"}},
	{unix.CAP_NET_ADMIN, true, Privilege{Name: "CAP_NET_ADMIN", For: "the cookies of half-open connections, by a program at the root cgroup"}},
	{unix.CAP_SYSLOG, false, Privilege{Name: "CAP_SYSLOG", For: "the addresses in /proc/kallsyms: why TIME_WAIT ended, and where a packet was dropped"}},
	{unix.CAP_SYS_ADMIN, false, Privilege{Name: "CAP_SYS_ADMIN", For: "sockets older than the trace in other network namespaces"}},
	{unix.CAP_SYS_PTRACE, false, Privilege{Name: "CAP_SYS_PTRACE", For: "the same where only a descriptor holds the namespace, and the containers of others' processes"}},
	{unix.CAP_SYS_RESOURCE, false, Privilege{Name: "CAP_SYS_RESOURCE", For: "the memory of BPF before Linux 5.11"}},
}

// ExamineHost reads what tracing rests on. What cannot be read is left out.
func ExamineHost() Host {
	h := Host{Lockdown: lockdown()}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		h.Kernel = unix.ByteSliceToString(name.Release[:])
	}
	if _, err := os.Stat(kernelTypes); err == nil {
		h.BTF = kernelTypes
	}
	for _, p := range privileges {
		p.Had = hasCapability(p.capability) || p.administers && hasCapability(unix.CAP_SYS_ADMIN)
		h.Privileges = append(h.Privileges, p.Privilege)
	}
	return h
}

// hasCapability says whether this process has the capability in effect.
func hasCapability(number int) bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return false
	}
	return data[number/32].Effective&(1<<(number%32)) != 0
}

// lockdown returns the mode in force, the one in brackets of a line such as
// "none [integrity] confidentiality".
func lockdown() string {
	text, err := os.ReadFile("/sys/kernel/security/lockdown")
	if err != nil {
		return ""
	}
	_, mode, _ := strings.Cut(string(text), "[")
	mode, _, _ = strings.Cut(mode, "]")
	return mode
}
