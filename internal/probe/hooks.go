//go:build linux

package probe

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/bpf"
	"github.com/tcptrace/tcptrace/internal/event"
)

// A hook is a program of ours and the place where it is attached.
type hook struct {
	program string
	where   string   // as users know it: "tp_btf/timer_start"
	serves  []string // the services that rest on it
	// tells is the kind of event that is lost with a call of the program that
	// the kernel skips; 0 where the next call makes up for it.
	tells event.Kind
	// limits says which of the services it cannot serve on this kernel, and why.
	limits map[string]error
	// needed: without it the set that it belongs to is of no use.
	needed bool
	// usable says whether this kernel can have it, and if not, why. nil
	// means yes.
	usable func(*kernel) error
	attach func(*ebpf.Program) (link.Link, error)
	// over names the map that an iterator goes through, which has no attach.
	over string
}

// A hookSet is one of the ways to see the minisockets, which no tracepoint
// names. Each gives the same events.
type hookSet struct {
	name string // as Options.Hooks spells it
	// usable says whether this kernel can have the set, and if not, why.
	usable func(*kernel) error
	// hooks lists the programs in the order in which they are attached: the
	// transitions last, so that a connection whose first transition is seen
	// has all its other hooks in place.
	hooks func(*kernel) []hook
	// What the programs need to know of the set.
	configure func(*kernel, *bpf.TcptraceTtConfig)
}

// hookSets returns the sets to try, the best first: all of them, or the one
// asked for. Trampolines cost less, above all where TIME_WAIT ends by itself,
// and see the FIN that ends FIN_WAIT2 on every kernel.
func hookSets(name string) ([]hookSet, error) {
	sets := []hookSet{trampolines(), timers()}
	if name == "" {
		// The last resort shows transitions alone, which is better than nothing.
		sets[len(sets)-1].usable = func(*kernel) error { return nil }
		return sets, nil
	}
	for _, set := range sets {
		if set.name == name {
			return []hookSet{set}, nil
		}
	}
	return nil, fmt.Errorf("hooks %q: there are %s and %s", name, HooksFentry, HooksTimers)
}

// timers see the minisockets by their timers.
func timers() hookSet {
	return hookSet{
		name:   HooksTimers,
		usable: withTimers,
		hooks: func(k *kernel) []hook {
			return slices.Concat(cookieHooks(k), []hook{requestCookieHook()}, timerHooks(), []hook{listenerHook(), stormHook(), freeHook(k, orphanFinWait2)}, socketHooks())
		},
		configure: func(k *kernel, c *bpf.TcptraceTtConfig) {
			known, err := k.timerHandlers()
			c.TimewaitHandler, c.RequestHandler, c.WriteHandler = known.timewait, known.request, known.write
			c.SeesFin = flag(err == nil && k.freedReceiver)
			c.FindsFin = c.SeesFin
			c.SeesRequests = flag(err == nil)
		},
	}
}

func timerHooks() []hook {
	hooks := []hook{
		{program: bpf.TcptraceProgTtTimerStart, where: "tp_btf/timer_start", tells: event.TimeWaitBegin,
			serves: []string{localPort, synRecv, orphanFinWait2, timeWait}},
		{program: bpf.TcptraceProgTtTimerCancel, where: "tp_btf/timer_cancel", tells: event.TimeWaitEnd,
			serves: []string{synRecv, orphanFinWait2, timeWait}},
		{program: bpf.TcptraceProgTtTimerExpire, where: "tp_btf/timer_expire_entry", tells: event.RequestEnd, serves: []string{synRecv}},
		{program: bpf.TcptraceProgTtTimerDone, where: "tp_btf/timer_expire_exit", tells: event.RequestEnd, serves: []string{synRecv}},
	}
	for i := range hooks {
		hooks[i].usable, hooks[i].attach = withTimers, attachTracing
	}
	return hooks
}

// requestCookieHook gives requests their cookies.
func requestCookieHook() hook {
	return hook{program: bpf.TcptraceProgTtSockops, where: "sockops", serves: []string{requestCookie},
		attach: toCgroup(ebpf.AttachCGroupSockOps)}
}

// cookieHooks give the other sockets theirs, where our tracing programs cannot.
func cookieHooks(k *kernel) []hook {
	if k.cookieHelper {
		return nil
	}
	return []hook{{program: bpf.TcptraceProgTtSock, where: "cgroup/sock_create", serves: []string{newCookie},
		attach: toCgroup(ebpf.AttachCGroupInetSockCreate)}}
}

// socketHooks are the tracepoints that are given a socket.
func socketHooks() []hook {
	hooks := []hook{
		{program: bpf.TcptraceProgTtRead, where: "tp_btf/tcp_rcv_space_adjust", serves: []string{acceptOwner}, usable: withStorage},
		{program: bpf.TcptraceProgTtRetrans, where: "tp_btf/tcp_retransmit_skb", tells: event.Retransmit, serves: []string{retransmits}},
		{program: bpf.TcptraceProgTtSynack, where: "tp_btf/tcp_retransmit_synack", tells: event.RetransmitSynAck, serves: []string{retransmits}},
		{program: bpf.TcptraceProgTtCongState, where: "tp_btf/tcp_cong_state_set", tells: event.Congestion, serves: []string{congestion}, usable: withTracepoint("tcp_cong_state_set")},
		{program: bpf.TcptraceProgTtSendReset, where: "tp_btf/tcp_send_reset", tells: event.ResetSent, serves: []string{resetsSent}},
		{program: bpf.TcptraceProgTtRecvReset, where: "tp_btf/tcp_receive_reset", tells: event.ResetReceived, serves: []string{resetsReceived}},
		// What this one does not tell is counted by the next.
		{program: bpf.TcptraceProgTtSetState, where: "tp_btf/inet_sock_set_state", serves: []string{transitions, newCookie}, needed: true},
		{program: bpf.TcptraceProgTtSetStateBh, where: "tp_btf/inet_sock_set_state", tells: event.State, serves: []string{transitions, newCookie}, needed: true},
	}
	for i := range hooks {
		hooks[i].attach = attachTracing
	}
	return hooks
}

// stormHook tells what was counted rather than told: see watch.
func stormHook() hook {
	h := listenerHook()
	h.program, h.over, h.serves = bpf.TcptraceProgTtStorms, bpf.TcptraceMapStorms, []string{storms}
	h.tells = event.RetransmitMore
	return h
}

// listenerHook looks at the listeners: see watch.
func listenerHook() hook {
	return hook{
		program: bpf.TcptraceProgTtListeners, where: "iter/bpf_map_elem", tells: event.QueueFull,
		serves: []string{fullQueues}, over: bpf.TcptraceMapListeners,
		usable: func(k *kernel) error {
			if !k.hasFunction("bpf_iter_bpf_map_elem") {
				return errors.New("this kernel has no iterator of maps (Linux 5.9 and later do)")
			}
			return nil
		},
	}
}

// freeHook sees the packets that the kernel drops; it serves drops, and what
// else is named.
func freeHook(k *kernel, also ...string) hook {
	h := hook{
		program: bpf.TcptraceProgTtKfreeSkb, where: "tp_btf/kfree_skb", tells: event.Dropped,
		serves: append(also, drops, fullQueues), attach: attachTracing, limits: map[string]error{},
	}
	if !k.dropReason {
		h.usable = func(*kernel) error {
			return errors.New("this kernel's kfree_skb does not say why (Linux 5.17 and later do)")
		}
	}
	switch {
	case !k.freedReceiver:
		err := errors.New("this kernel's kfree_skb does not name the receiving socket (Linux 6.12 and later do)")
		h.limits[orphanFinWait2], h.limits[fullQueues] = err, err
	case len(also) > 0:
		h.tells = event.TimeWaitFin // the rarer, which a life hangs on
		if err := withTimers(k); err != nil {
			h.limits[orphanFinWait2] = err
		}
	}
	return h
}

// withTracepoint says whether the kernel has the hook's tracepoint.
func withTracepoint(name string) func(*kernel) error {
	return func(k *kernel) error {
		if k.tracepointArgs(name) == 0 {
			return fmt.Errorf("this kernel has no tracepoint %s", name)
		}
		return nil
	}
}

func withStorage(k *kernel) error {
	if k.untyped != nil {
		return k.untyped
	}
	if !k.socketStorage {
		return errors.New("this kernel's tracing programs cannot mark a socket (Linux 5.11 and later do)")
	}
	return nil
}

func attachTracing(p *ebpf.Program) (link.Link, error) {
	return link.AttachTracing(link.TracingOptions{Program: p})
}

// toCgroup attaches to the root of the cgroup v2 hierarchy, so that every
// socket of the host is covered, beside the programs that others attached.
func toCgroup(attach ebpf.AttachType) func(*ebpf.Program) (link.Link, error) {
	return func(p *ebpf.Program) (link.Link, error) {
		root, err := cgroupRoot()
		if err != nil {
			return nil, err
		}
		return link.AttachCgroup(link.CgroupOptions{Path: root, Attach: attach, Program: p})
	}
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
