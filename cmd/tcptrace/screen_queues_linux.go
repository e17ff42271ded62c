package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/proc"
	"github.com/tcptrace/tcptrace/internal/screen"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// queueEvery is how often accept queues are read while somebody looks at them.
const queueEvery = time.Second

// A queueReader reads the accept queues of listeners, by sock_diag, which walks
// through the listeners alone. It does so on a goroutine of its own, since it has
// to enter network namespaces.
type queueReader struct {
	mu     sync.Mutex
	last   []screen.Queue
	at     event.Time // when last was read
	begun  event.Time // the latest reading
	busy   bool
	lookup *proc.Resolver // nil: of our own namespace alone; one reading uses it at a time
}

func newQueueReader() *queueReader {
	r := &queueReader{}
	r.lookup, _ = proc.NewResolver(proc.Options{}) // else of our own namespace alone
	return r
}

// read returns what was read last, and begins another reading if it is time to.
func (r *queueReader) read(netns []uint32) ([]screen.Queue, event.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := monotonic()
	if !r.busy && now.Sub(r.begun) >= queueEvery {
		r.busy, r.begun = true, now
		go func() {
			var all []screen.Queue
			for _, ns := range netns {
				all = append(all, r.readIn(ns)...)
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			r.last, r.at, r.busy = all, now, false
		}()
	}
	return r.last, r.at
}

func (r *queueReader) close() {
	if r.lookup != nil {
		_ = r.lookup.Close()
	}
}

// readIn reads the queues of one namespace. Of one that cannot be entered
// nothing is known.
func (r *queueReader) readIn(netns uint32) (all []screen.Queue) {
	var own unix.Stat_t
	if unix.Stat("/proc/self/ns/net", &own) == nil && own.Ino == uint64(netns) {
		all, _ = listenQueues(netns)
		return all
	}
	if r.lookup == nil {
		return nil
	}
	f, err := r.lookup.OpenNetNS(netns)
	if err != nil {
		return nil
	}
	defer f.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if unix.Setns(int(f.Fd()), unix.CLONE_NEWNET) == nil {
			all, _ = listenQueues(netns)
		}
	}()
	<-done
	return all
}

// diagRequest is struct inet_diag_req_v2 (include/uapi/linux/inet_diag.h) behind a
// netlink header.
type diagRequest struct {
	unix.NlMsghdr
	Family, Protocol, Ext, _ uint8
	States                   uint32
	ID                       diagSocket
}

// diagSocket is struct inet_diag_sockid. Ports and addresses are in network order.
type diagSocket struct {
	LocalPort, RemotePort uint16
	Local, Remote         [16]byte
	Interface             uint32
	Cookie                [2]uint32
}

// diagAnswer is struct inet_diag_msg; attributes follow it.
type diagAnswer struct {
	Family, State, Timer, Retransmits uint8
	ID                                diagSocket
	Expires, RecvQ, SendQ, UID, Inode uint32
}

const (
	sockDiagByFamily   = 20 // SOCK_DIAG_BY_FAMILY
	diagSkMemInfo      = 7  // INET_DIAG_SKMEMINFO
	skMemInfoDrops     = 8  // SK_MEMINFO_DROPS
	netlinkAttrHeader  = 4
	diagReceiveTimeout = 2 // s
)

// listenQueues reads the accept queues of the calling thread's namespace.
func listenQueues(netns uint32) ([]screen.Queue, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil, fmt.Errorf("ask for listeners: %w", err)
	}
	defer unix.Close(fd)
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: diagReceiveTimeout})
	var all []screen.Queue
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		request := diagRequest{
			Family: family, Protocol: unix.IPPROTO_TCP, Ext: 1 << (diagSkMemInfo - 1), States: 1 << tcp.Listen,
		}
		request.Len = uint32(unsafe.Sizeof(request))
		request.Type = sockDiagByFamily
		request.Flags = unix.NLM_F_REQUEST | unix.NLM_F_DUMP
		message := unsafe.Slice((*byte)(unsafe.Pointer(&request)), unsafe.Sizeof(request))
		if err := unix.Sendto(fd, message, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
			return all, fmt.Errorf("ask for listeners: %w", err)
		}
		found, err := receiveQueues(fd, netns)
		all = append(all, found...)
		if err != nil {
			return all, err
		}
	}
	return all, nil
}

var errDiag = errors.New("the kernel does not list listeners")

// receiveQueues reads one answer of the kernel, in as many messages as it has.
func receiveQueues(fd int, netns uint32) (all []screen.Queue, err error) {
	buf := make([]byte, 64<<10)
	for {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if err != nil {
			return all, fmt.Errorf("read listeners: %w", err)
		}
		for rest := buf[:n]; len(rest) >= unix.SizeofNlMsghdr; {
			length := int(binary.NativeEndian.Uint32(rest))
			kind := binary.NativeEndian.Uint16(rest[4:])
			if length < unix.SizeofNlMsghdr || length > len(rest) {
				return all, errDiag
			}
			switch kind {
			case unix.NLMSG_DONE:
				return all, nil
			case unix.NLMSG_ERROR:
				return all, errDiag
			case sockDiagByFamily:
				if q, ok := parseQueue(rest[unix.SizeofNlMsghdr:length], netns); ok {
					all = append(all, q)
				}
			}
			rest = rest[min((length+3)&^3, len(rest)):]
		}
	}
}

// parseQueue reads what is known of one listener.
func parseQueue(b []byte, netns uint32) (screen.Queue, bool) {
	const size = int(unsafe.Sizeof(diagAnswer{}))
	if len(b) < size {
		return screen.Queue{}, false
	}
	var a diagAnswer
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&a)), size), b)
	addr := netip.AddrFrom16(a.ID.Local)
	if a.Family == unix.AF_INET {
		addr = netip.AddrFrom4([4]byte(a.ID.Local[:4]))
	}
	port := binary.BigEndian.Uint16(unsafe.Slice((*byte)(unsafe.Pointer(&a.ID.LocalPort)), 2))
	q := screen.Queue{NetNS: netns, Local: netip.AddrPortFrom(addr, port), Length: a.RecvQ, Limit: a.SendQ}
	for b = b[size:]; len(b) >= netlinkAttrHeader; {
		length, kind := int(binary.NativeEndian.Uint16(b)), binary.NativeEndian.Uint16(b[2:])
		if length < netlinkAttrHeader || length > len(b) {
			break
		}
		if value := b[netlinkAttrHeader:length]; kind == diagSkMemInfo && len(value) >= 4*(skMemInfoDrops+1) {
			q.Drops, q.DropsKnown = uint64(binary.NativeEndian.Uint32(value[4*skMemInfoDrops:])), true
		}
		b = b[min((length+3)&^3, len(b)):]
	}
	return q, true
}
