//go:build linux

package probe

import (
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/tcptrace/tcptrace/internal/bpf"
	"github.com/tcptrace/tcptrace/internal/event"
)

// acceptHooks see who accepts a connection, and when: at the kernel's own
// function, or at the return of the system calls.
func acceptHooks(bySystemCall bool) []hook {
	if bySystemCall {
		return []hook{
			acceptCall(bpf.TcptraceProgTtAccept, "sys_exit_accept"),
			acceptCall(bpf.TcptraceProgTtAccept4, "sys_exit_accept4"),
		}
	}
	return []hook{{
		program: bpf.TcptraceProgTtF_accept, where: "fexit/inet_csk_accept", serves: []string{acceptTime}, tells: event.Accepted,
		usable: hasTrampolines, attach: attachTracing,
	}}
}

// ownerHooks leaves out of hooks those that name the process behind a server's
// connection, if they are not wanted.
func ownerHooks(opts *Options, hooks []hook) []hook {
	if !opts.NoOwners {
		return hooks
	}
	return slices.DeleteFunc(hooks, func(h hook) bool {
		return slices.Contains(h.serves, acceptOwner) || slices.Contains(h.serves, acceptTime)
	})
}

// acceptCall is the return of a system call. It was asked for by name, so it
// is needed.
func acceptCall(program, tracepoint string) hook {
	return hook{
		program: program, where: "tracepoint/syscalls/" + tracepoint, serves: []string{acceptTime}, needed: true,
		attach: func(p *ebpf.Program) (link.Link, error) {
			return link.Tracepoint("syscalls", tracepoint, p, nil)
		},
	}
}
