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

// acceptByCall says whether accepting is seen at the return of the system calls:
// where there are no trampolines and these hooks are wanted anyway.
func (k *kernel) acceptByCall(opts *Options) bool {
	return (opts.ExactAccept || opts.Errors && !opts.NoOwners) && hasTrampolines(k) != nil
}

// callHooks are those that see system calls return, or what stands for them.
func callHooks(opts *Options, acceptByCall bool) []hook {
	hooks := acceptHooks(acceptByCall)
	if !opts.Errors {
		return hooks
	}
	if !acceptByCall {
		hooks = append(hooks, call(bpf.TcptraceProgTtAccept, "sys_exit_accept"), call(bpf.TcptraceProgTtAccept4, "sys_exit_accept4"))
	}
	for i := range hooks {
		hooks[i].needed = opts.ExactAccept && hooks[i].needed
		if hooks[i].program != bpf.TcptraceProgTtF_accept {
			hooks[i].serves = append(hooks[i].serves, failedCalls)
		}
	}
	// A call that is seen to begin is seen to return.
	for _, begin := range []hook{
		call(bpf.TcptraceProgTtConnect, "sys_exit_connect"),
		call(bpf.TcptraceProgTtAccepting, "sys_enter_accept"),
		call(bpf.TcptraceProgTtAccepting4, "sys_enter_accept4"),
		call(bpf.TcptraceProgTtConnecting, "sys_enter_connect"),
	} {
		begin.serves = []string{failedCalls}
		hooks = append(hooks, begin)
	}
	return hooks
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
	h := call(program, tracepoint)
	h.serves, h.needed = []string{acceptTime}, true
	return h
}

// call is where a system call begins or returns. While one is watched so, each
// call of the host, of whatever kind, takes 50 ns more.
func call(program, tracepoint string) hook {
	return hook{
		program: program, where: "tracepoint/syscalls/" + tracepoint, tells: event.Failed,
		attach: func(p *ebpf.Program) (link.Link, error) {
			return link.Tracepoint("syscalls", tracepoint, p, nil)
		},
	}
}
