//go:build linux

package probe

import (
	"errors"
	"fmt"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/bpf"
)

// A hook is a program of ours and the place where it is attached.
type hook struct {
	program string
	where   string // as users know it: "tp_btf/timer_start"
	// needed: without it there is nothing to show.
	needed bool
	// usable says whether this kernel can have it, and if not, why. nil
	// means yes.
	usable func(*kernel) error
	attach func(*ebpf.Program) (link.Link, error)
}

// allHooks lists the programs in the order in which they are attached: the
// transitions last, so that a connection whose first transition is seen has
// all its other hooks in place.
func allHooks() []hook {
	hooks := []hook{{program: bpf.TcptraceProgTtSockops, where: "sockops", attach: attachSockops}}
	hooks = append(hooks, timerHooks()...)
	return append(hooks, socketHooks()...)
}

// timerHooks show the minisockets by their timers.
func timerHooks() []hook {
	return []hook{
		{program: bpf.TcptraceProgTtTimerStart, where: "tp_btf/timer_start", usable: withSymbols, attach: attachTracing},
		{program: bpf.TcptraceProgTtTimerCancel, where: "tp_btf/timer_cancel", usable: withSymbols, attach: attachTracing},
		{program: bpf.TcptraceProgTtTimerExpire, where: "tp_btf/timer_expire_entry", usable: withSymbols, attach: attachTracing},
		{program: bpf.TcptraceProgTtTimerDone, where: "tp_btf/timer_expire_exit", usable: withSymbols, attach: attachTracing},
		{program: bpf.TcptraceProgTtKfreeSkb, where: "tp_btf/kfree_skb", usable: withReceiver, attach: attachTracing},
	}
}

// socketHooks are the tracepoints that are given a socket.
func socketHooks() []hook {
	return []hook{
		{program: bpf.TcptraceProgTtRead, where: "tp_btf/tcp_rcv_space_adjust", usable: withStorage, attach: attachTracing},
		{program: bpf.TcptraceProgTtRetrans, where: "tp_btf/tcp_retransmit_skb", attach: attachTracing},
		{program: bpf.TcptraceProgTtSynack, where: "tp_btf/tcp_retransmit_synack", attach: attachTracing},
		{program: bpf.TcptraceProgTtSendReset, where: "tp_btf/tcp_send_reset", attach: attachTracing},
		{program: bpf.TcptraceProgTtRecvReset, where: "tp_btf/tcp_receive_reset", attach: attachTracing},
		{program: bpf.TcptraceProgTtSetState, where: "tp_btf/inet_sock_set_state", needed: true, attach: attachTracing},
	}
}

func withSymbols(k *kernel) error { return k.hidden }

func withReceiver(k *kernel) error {
	if k.hidden != nil {
		return k.hidden
	}
	if !k.freedReceiver {
		return errors.New("this kernel's kfree_skb does not name the receiving socket (Linux 6.12 and later do)")
	}
	return nil
}

func withStorage(k *kernel) error {
	if !k.socketStorage {
		return errors.New("this kernel's tracing programs cannot mark a socket (Linux 5.11 and later do)")
	}
	return nil
}

func attachTracing(p *ebpf.Program) (link.Link, error) {
	return link.AttachTracing(link.TracingOptions{Program: p})
}

// attachSockops attaches to the root of the cgroup v2 hierarchy, so that every
// socket of the host is covered, beside the programs that others attached.
func attachSockops(p *ebpf.Program) (link.Link, error) {
	root, err := cgroupRoot()
	if err != nil {
		return nil, err
	}
	return link.AttachCgroup(link.CgroupOptions{Path: root, Attach: ebpf.AttachCGroupSockOps, Program: p})
}

// cgroupRoot finds where the cgroup v2 hierarchy is mounted: alone, or beside
// the controllers of v1.
func cgroupRoot() (string, error) {
	for _, dir := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		var fs unix.Statfs_t
		if err := unix.Statfs(dir, &fs); err == nil && fs.Type == unix.CGROUP2_SUPER_MAGIC {
			return dir, nil
		}
	}
	return "", fmt.Errorf("no cgroup v2 hierarchy is mounted: %w", os.ErrNotExist)
}
