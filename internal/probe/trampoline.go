//go:build linux

package probe

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/bpf"
	"github.com/tcptrace/tcptrace/internal/event"
)

// trampolines see the minisockets by the functions that make and end them.
func trampolines() hookSet {
	return hookSet{
		name:   HooksFentry,
		usable: hasTrampolines,
		hooks: func(k *kernel) []hook {
			hooks := cookieHooks(k)
			if !k.cookieHelper {
				hooks = append(hooks, requestCookieHook())
			}
			return slices.Concat(hooks, trampolineHooks(), []hook{listenerHook(), stormHook(), freeHook(k)}, socketHooks())
		},
		configure: func(k *kernel, c *bpf.TcptraceTtConfig) {
			c.SeesFin = 1
			c.SeesRequests = 1
			c.HashAddArgs = k.hashAddArgs
		},
	}
}

func trampolineHooks() []hook {
	hooks := []hook{
		{program: bpf.TcptraceProgTtF_connect, where: "fentry/tcp_connect", tells: event.Bound, serves: []string{localPort}},
		{program: bpf.TcptraceProgTtF_reqAdd, where: "fexit/inet_csk_reqsk_queue_hash_add", tells: event.RequestBegin, serves: []string{synRecv, requestCookie}},
		{program: bpf.TcptraceProgTtF_reqChild, where: "fentry/inet_csk_complete_hashdance", serves: []string{synRecv}},
		{program: bpf.TcptraceProgTtF_reqPutx, where: "fexit/inet_csk_reqsk_queue_drop_and_put", serves: []string{synRecv}},
		{program: bpf.TcptraceProgTtF_reqPut, where: "fentry/inet_csk_reqsk_queue_drop_and_put", tells: event.RequestEnd, serves: []string{synRecv}},
		{program: bpf.TcptraceProgTtF_reqDrop, where: "fentry/inet_csk_reqsk_queue_drop", tells: event.RequestEnd, serves: []string{synRecv}},
		{program: bpf.TcptraceProgTtF_reqTimerx, where: "fexit/reqsk_timer_handler", tells: event.RequestEnd, serves: []string{synRecv}},
		{program: bpf.TcptraceProgTtF_reqTimer, where: "fentry/reqsk_timer_handler", tells: event.RequestEnd, serves: []string{synRecv}},
		{program: bpf.TcptraceProgTtF_twPacket, where: "fexit/tcp_timewait_state_process", tells: event.TimeWaitFin, serves: []string{orphanFinWait2}},
		{program: bpf.TcptraceProgTtF_twKill, where: "fentry/inet_twsk_kill", tells: event.TimeWaitEnd, serves: []string{orphanFinWait2, timeWait}},
		{program: bpf.TcptraceProgTtF_twTimer, where: "fentry/tw_timer_handler", serves: []string{orphanFinWait2, timeWait}},
		{program: bpf.TcptraceProgTtF_twMade, where: "fexit/inet_twsk_alloc", tells: event.TimeWaitBegin, serves: []string{orphanFinWait2, timeWait}},
	}
	for i := range hooks {
		function := hooks[i].function()
		hooks[i].needed = true
		hooks[i].attach = attachTracing
		hooks[i].usable = func(k *kernel) error {
			if !k.hasFunction(function) {
				return fmt.Errorf("this kernel has no function %s, or has inlined it", function)
			}
			return nil
		}
	}
	return hooks
}

// function returns the name of the kernel function, or of the tracepoint, to
// which the hook is attached.
func (h *hook) function() string {
	_, name, _ := strings.Cut(h.where, "/")
	return name
}

// hasTrampolines finds out whether a program can be attached to a function's
// entry. That takes CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS.
func hasTrampolines(k *kernel) error {
	if k.untyped != nil {
		return k.untyped
	}
	// Linux 5.10 says so itself. Later ones attach the program, and never run it
	// (kernel/trace/ftrace.c: direct calls are FTRACE_OPS_FL_PERMANENT no more).
	if enabled, err := os.ReadFile("/proc/sys/kernel/ftrace_enabled"); err == nil && strings.TrimSpace(string(enabled)) == "0" {
		return errors.New("this kernel runs no program at the entry of its functions: sysctl kernel.ftrace_enabled is 0")
	}
	p, err := loadEmpty(ebpf.AttachTraceFEntry, "tcp_connect")
	if err != nil {
		if err := mayTrace(); err != nil {
			return err
		}
		return noTrampolines(err)
	}
	defer p.Close()
	l, err := attachTracing(p)
	if err != nil {
		return noTrampolines(err)
	}
	return l.Close()
}

// noTrampolines says so with the kernel's own error alone: the advice that comes
// with it speaks of privileges, which are not what is missing.
func noTrampolines(err error) error {
	var errno unix.Errno
	if errors.As(err, &errno) {
		err = errno
	}
	return fmt.Errorf("this kernel takes no program at the entry of tcp_connect: it has no BPF trampolines (%w)", err)
}

// mayTrace finds out whether our privileges allow tracing programs at all.
func mayTrace() error {
	p, err := loadEmpty(ebpf.AttachTraceRawTp, "inet_sock_set_state")
	if err != nil {
		return fmt.Errorf("load a program for tp_btf/inet_sock_set_state: %w", explain(err))
	}
	return p.Close()
}

func loadEmpty(attach ebpf.AttachType, to string) (*ebpf.Program, error) {
	return ebpf.NewProgram(&ebpf.ProgramSpec{
		Name:         "tt_empty",
		Type:         ebpf.Tracing,
		AttachType:   attach,
		AttachTo:     to,
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
		License:      "Dual BSD/GPL",
	})
}
