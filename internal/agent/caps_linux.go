package agent

import (
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// KeptCapabilities returns those that an agent needs once its programs are
// attached, by number (linux/capability.h).
//
// BPF: the counts of lost events are read from a map, and up to Linux 5.18
// nobody else may (kernel/bpf/syscall.c, __sys_bpf). DAC_READ_SEARCH: a cgroup's
// path is found by its id (open_by_handle_at(2)).
//
// Sweeps need more. SYS_ADMIN: the sockets of a network namespace are listed
// from within (setns(2)). SYS_PTRACE: the namespaces are found by the links in
// /proc/PID/ns, and by descriptors of processes (pidfd_getfd(2)). NET_ADMIN: a
// namespace that has no process is found by a socket of it (SIOCGSKNS).
func KeptCapabilities(sweeps bool) []int {
	kept := []int{unix.CAP_BPF, unix.CAP_DAC_READ_SEARCH}
	if sweeps {
		kept = append(kept, unix.CAP_SYS_ADMIN, unix.CAP_SYS_PTRACE, unix.CAP_NET_ADMIN)
	}
	return kept
}

// DropCapabilities gives up all capabilities but those of KeptCapabilities, in
// every thread and for good: nothing that the process starts gets more, either.
// What the process does not have it does not get. It returns ErrThreads, and has
// dropped nothing, in a program that was built with cgo.
func DropCapabilities(sweeps bool) error {
	if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_GETPID, 0, 0, 0); errno == unix.ENOTSUP {
		return ErrThreads
	}
	var want [2]uint32
	for _, c := range KeptCapabilities(sweeps) {
		want[c/32] |= 1 << (c % 32)
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var have [2]unix.CapUserData
	if err := unix.Capget(&header, &have[0]); err != nil {
		return fmt.Errorf("read the capabilities: %w", err)
	}
	if have[0].Effective&(1<<unix.CAP_SETPCAP) != 0 { // else there is nothing that could use the bounding set
		for c := range last() + 1 {
			if want[c/32]&(1<<(c%32)) != 0 {
				continue
			}
			if err := everyThread(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, uintptr(c), 0); err != nil {
				return fmt.Errorf("drop capability %d from the bounding set: %w", c, err)
			}
		}
	}
	if err := everyThread(unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0); err != nil {
		return fmt.Errorf("clear the ambient capabilities: %w", err)
	}
	for i := range have {
		have[i] = unix.CapUserData{Effective: have[i].Permitted & want[i], Permitted: have[i].Permitted & want[i]}
	}
	err := everyThread(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&have[0])), 0)
	if err != nil {
		return fmt.Errorf("drop the capabilities: %w", err)
	}
	if err := everyThread(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0); err != nil {
		return fmt.Errorf("forswear new privileges: %w", err)
	}
	return nil
}

// last returns the highest capability that this kernel knows.
func last() int {
	for c := 63; c > 0; c-- {
		if r, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(c), 0, 0, 0); err == nil && r >= 0 {
			return c
		}
	}
	return 0
}

func everyThread(call, a, b, c uintptr) error {
	if _, _, errno := syscall.AllThreadsSyscall6(call, a, b, c, 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}
