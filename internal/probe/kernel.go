//go:build linux

package probe

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// A kernel is what we found out about the one that runs: facts, never a
// version number.
type kernel struct {
	types   *btf.Spec  // until it is traced
	cache   *btf.Cache // likewise: whoever loads programs reads the kernel's own types here
	untyped error      // why programs cannot rest on types that the kernel itself has; nil if they can
	symbols *symbols   // nil where kallsyms hides addresses
	hidden  error      // why symbols is nil
	learnt  *learnt    // where it is, and the addresses were asked for

	hz uint64 // jiffies a second

	cookieHelper  bool  // tracing programs may make a socket's cookie
	retransmitErr bool  // tcp_retransmit_skb says whether sending failed
	resetReason   bool  // tcp_send_reset says why
	socketStorage bool  // tracing programs may mark a socket
	cast          bool  // programs may say what is at an address
	dropReason    bool  // kfree_skb says why
	freedReceiver bool  // and names the socket that the packet met
	acceptArgs    uint8 // of inet_csk_accept
	hashAddArgs   uint8 // of inet_csk_reqsk_queue_hash_add, if it returns a result; else 0

	// By number, without prefix; nil where it has none.
	resetReasons, dropReasons []string
}

// examineKernel reads BTF, of that file unless it is "", and kallsyms.
func examineKernel(file string) (*kernel, error) {
	cache := btf.NewCache() // to read the types takes longer than all else here
	types, untyped, err := readTypes(file, cache)
	if err != nil {
		return nil, err
	}
	k := &kernel{types: types, cache: cache, untyped: untyped, hz: ticksPerSecond()}
	k.symbols, k.hidden = readSymbols(symbolNames())
	k.cookieHelper = untyped == nil && k.hasFunction("bpf_get_socket_ptr_cookie")
	k.socketStorage = untyped == nil && k.hasFunction("bpf_sk_storage_get_tracing")
	k.cast = untyped == nil && k.hasFunction("bpf_rdonly_cast")
	k.retransmitErr = k.tracepointArgs("tcp_retransmit_skb") >= 3
	k.resetReason = k.tracepointArgs("tcp_send_reset") >= 3
	k.dropReason = k.tracepointArgs("kfree_skb") >= 3
	k.freedReceiver = k.tracepointArgs("kfree_skb") >= 4
	k.acceptArgs = k.argsOfResult("inet_csk_accept")
	k.hashAddArgs = k.argsOfResult("inet_csk_reqsk_queue_hash_add")
	k.resetReasons = k.names("sk_rst_reason", "SK_RST_REASON_")
	k.dropReasons = k.names("skb_drop_reason", "SKB_DROP_REASON_")
	return k, nil
}

// ticksPerSecond returns HZ: the coarse clock advances by one jiffy.
func ticksPerSecond() uint64 {
	var resolution unix.Timespec
	if err := unix.ClockGetres(unix.CLOCK_MONOTONIC_COARSE, &resolution); err != nil || resolution.Nano() <= 0 {
		return 250
	}
	return uint64(time.Second) / uint64(resolution.Nano())
}

func (k *kernel) hasFunction(name string) bool {
	var fn *btf.Func
	return k.types.TypeByName(name, &fn) == nil
}

// argsOfResult returns how many arguments a function that returns a result has,
// or 0 if it returns none.
func (k *kernel) argsOfResult(name string) uint8 {
	var fn *btf.Func
	if err := k.types.TypeByName(name, &fn); err != nil {
		return 0
	}
	proto, ok := fn.Type.(*btf.FuncProto)
	if !ok {
		return 0
	}
	if _, none := proto.Return.(*btf.Void); none {
		return 0
	}
	return uint8(len(proto.Params))
}

// tracepointArgs returns how many arguments a tracepoint passes, or 0 if this
// kernel does not have it.
func (k *kernel) tracepointArgs(name string) int {
	var def *btf.Typedef
	if err := k.types.TypeByName("btf_trace_"+name, &def); err != nil {
		return 0
	}
	pointer, ok := def.Type.(*btf.Pointer)
	if !ok {
		return 0
	}
	proto, ok := pointer.Target.(*btf.FuncProto)
	if !ok || len(proto.Params) == 0 {
		return 0
	}
	return len(proto.Params) - 1 // the first is the program's own
}

// maxNamed bounds the numbers of names: those above are masks, or of modules.
const maxNamed = 1024

// names returns the enumerators of an enum of the kernel by their numbers,
// without their prefix: those of the kernel that runs, which renumbers them from
// one version to the next. An enumerator without the prefix, and NOT_SPECIFIED,
// have no name.
func (k *kernel) names(enum, prefix string) []string {
	var e *btf.Enum
	if err := k.types.TypeByName(enum, &e); err != nil {
		return nil
	}
	var list []string
	for _, v := range e.Values {
		name, ok := strings.CutPrefix(v.Name, prefix)
		if !ok || v.Value >= maxNamed || name == "NOT_SPECIFIED" || name == "MAX" {
			continue
		}
		if need := int(v.Value) + 1 - len(list); need > 0 {
			list = append(list, make([]string, need)...)
		}
		list[v.Value] = name
	}
	return list
}

// explain adds the remedy to an error that the kernel gave for want of
// privileges.
func explain(err error) error {
	var refused *ebpf.VerifierError // it says EACCES too
	if errors.As(err, &refused) {
		return err
	}
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return fmt.Errorf("%w (%v)", ErrPrivileges, err)
	}
	return err
}
