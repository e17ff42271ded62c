//go:build linux

package probe

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// errUntyped: the kernel does not know its own types, or is not asked for them.
// The programs at its tracepoints are then attached as raw tracepoints and read
// the same by types from elsewhere; but trampolines, iterators, and marks at
// sockets need those that the kernel has.
var errUntyped = errors.New("the kernel's own types are not there")

const (
	typedPrefix = "tp_btf/"
	rawPrefix   = "raw_tp/"
)

// readTypes reads the types of the kernel that runs: from the file, or, if that
// is "", where they can be found. untyped says why programs cannot rest on types
// that the kernel itself has.
func readTypes(file string, cache *btf.Cache) (types *btf.Spec, untyped, err error) {
	if file != "" {
		if types, err = btf.LoadSpec(file); err != nil {
			return nil, nil, fmt.Errorf("read the kernel's types of %s: %w", file, err)
		}
		return types, fmt.Errorf("%w: those of a file were asked for", errUntyped), nil
	}
	if _, err := os.Stat(kernelTypes); err != nil {
		untyped = fmt.Errorf("%w: %w", errUntyped, err)
	}
	if types, err = cache.Kernel(); err != nil {
		return nil, nil, fmt.Errorf("read the kernel's types (needs CONFIG_DEBUG_INFO_BTF, or a file of them: --btf): %w", err)
	}
	return types, untyped, nil
}

// tracepoint spells where a program at a tracepoint is attached.
func (k *kernel) tracepoint(name string) string {
	if k.untyped != nil {
		return rawPrefix + name
	}
	return typedPrefix + name
}

// unType makes of a program for a typed tracepoint one for the raw tracepoint. A
// hook that needs the kernel's own types cannot be used, for the reason why.
func (h *hook) unType(program *ebpf.ProgramSpec, why error) {
	switch {
	case program.Type == ebpf.Tracing && program.AttachType == ebpf.AttachTraceRawTp:
		program.Type, program.AttachType, program.AttachTo = ebpf.RawTracepoint, ebpf.AttachNone, ""
		h.where = rawPrefix + strings.TrimPrefix(h.where, typedPrefix)
	case program.Type == ebpf.Tracing:
		h.usable = func(*kernel) error { return why }
	}
}

// proofLimit is how long a transition of ours may take to come to light.
const proofLimit = 5 * time.Second

// proveTypes finds out whether the types are those of the kernel that runs: with
// the offsets of another, all that is read would be wrong, and look right. It
// traces a socket of ours as it begins to listen, and holds what is read of it
// against what the kernel says in other ways.
func proveTypes(opts *Options) error {
	s, err := Open(Options{BTF: opts.BTF, RingBytes: 1 << 20, Poll: time.Millisecond, NoSweep: true, NoOwners: true, proven: true})
	if err != nil {
		return err
	}
	defer s.Close()
	want, err := listenOnce()
	if err != nil {
		return fmt.Errorf("prove that the kernel's types are right: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), proofLimit)
	defer cancel()
	proven := false
	err = s.Run(ctx, func(ev *event.Event) {
		if isProof(ev, &want) {
			proven = true
			cancel()
		}
	})
	if err != nil {
		return fmt.Errorf("prove that the kernel's types are right: %w", err)
	}
	if !proven {
		return errors.New("the types are of another kernel than the one that runs: a socket of ours was not seen as it is")
	}
	return nil
}

// listenOnce has a socket listen for a moment, and says what is to be seen of
// that. It is none of package net's, which may be of MPTCP.
func listenOnce() (want event.Event, err error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return want, fmt.Errorf("make a socket: %w", err)
	}
	defer unix.Close(fd)
	loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	err = errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: loopback.As4()}), unix.Listen(fd, 1))
	if err != nil {
		return want, fmt.Errorf("listen: %w", err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return want, fmt.Errorf("read a socket's address: %w", err)
	}
	cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_COOKIE)
	if err != nil {
		return want, fmt.Errorf("read a socket's cookie: %w", err)
	}
	var ns unix.Stat_t
	if err := unix.Stat("/proc/thread-self/ns/net", &ns); err != nil {
		return want, fmt.Errorf("read the network namespace: %w", err)
	}
	port := name.(*unix.SockaddrInet4).Port // of the family that it was made with
	return event.Event{
		Kind: event.State, Old: tcp.Close, New: tcp.Listen, ID: event.ID{NetNS: uint32(ns.Ino), Cookie: cookie},
		Local: netip.AddrPortFrom(loopback, uint16(port)),
	}, nil
}

func isProof(ev, want *event.Event) bool {
	return ev.Kind == want.Kind && ev.Old == want.Old && ev.New == want.New &&
		ev.ID == want.ID && ev.Local == want.Local && ev.Task.PID != 0
}
