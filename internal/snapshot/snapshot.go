// Package snapshot lists every TCP socket of the host as it is now, with the
// processes that hold it. It asks the kernel's own tables by BPF iterators,
// which is the only way to learn of sockets that are older than a trace.
package snapshot

import (
	"errors"
	"net/netip"
	"time"

	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// Errors that Open and Take may return, wrapped.
var (
	ErrPrivileges  = errors.New("a snapshot needs the capabilities CAP_BPF and CAP_PERFMON, or root")
	ErrUnsupported = errors.New("this kernel has no BPF iterators of sockets: Linux 5.9 has, built with CONFIG_DEBUG_INFO_BTF")
)

// A NetNS is a network namespace and a file that leads to it, such as
// /proc/PID/ns/net or one of /run/netns.
type NetNS struct {
	Inode uint32
	Path  string
}

// Options say which sockets to list.
type Options struct {
	// Namespaces are read in this order, each once. A namespace that is gone
	// by then is left out. Empty: that of the calling thread.
	Namespaces []NetNS

	// Held says to read also those namespaces that are not in the list and of
	// which some process holds a TCP socket.
	Held bool
}

// A Snapshot lists sockets. The kernel is not stopped for it: each Socket says
// when it was read, and a socket that changes place meanwhile may be missed.
type Snapshot struct {
	Time    event.Time // before the first socket was read
	Sockets []Socket   // one of each ID, in the kernel's order

	// Unread are the namespaces that exist and could not be read.
	Unread []Unread

	// LostHolders counts the descriptors that were seen and not kept: 0 unless
	// there are more than 262,144 of MPTCP sockets and, with Options.Held, of
	// namespaces that are not in the list.
	LostHolders uint64
}

// Unread says why the sockets of a namespace are not in a Snapshot.
type Unread struct {
	NetNS NetNS // Path is empty where only a socket led to it
	Err   error
}

// An Object says which kernel object a socket is.
type Object uint8

const (
	Full     Object = iota + 1 // struct tcp_sock
	Request                    // struct tcp_request_sock: SYN_RECV
	TimeWait                   // struct tcp_timewait_sock: TIME_WAIT, or FIN_WAIT2 of an orphan
)

// A Timer is what a socket waits for. Linux keeps one at a time, and these are
// the kinds that sock_diag, and with it "ss -o", tells apart.
type Timer uint8

const (
	NoTimer Timer = iota
	RetransmitTimer
	KeepaliveTimer // also the handshake's and FIN_WAIT2's end of patience
	TimeWaitTimer
	ProbeTimer // of the peer's closed window
)

var timerNames = [...]string{"", "retransmit", "keepalive", "timewait", "probe"}

// String returns the timer's name, or "" for NoTimer.
func (t Timer) String() string {
	if int(t) < len(timerNames) {
		return timerNames[t]
	}
	return ""
}

// A Socket is one TCP socket.
type Socket struct {
	Time event.Time // when it was read
	ID   event.ID
	// Local and Remote are IPv4 addresses also where an IPv6 socket speaks
	// IPv4. Remote is invalid where there is no peer, as for a listener.
	Local, Remote netip.AddrPort

	// Inode is the socket's, as in /proc/PID/fd; 0 where no process can have a
	// descriptor of it.
	Inode uint64

	// RecvQ and SendQ are in bytes: received and not read, sent or to be sent
	// and not acknowledged; a FIN counts as one, as in ss. For a listener
	// RecvQ is the length of its accept queue in connections, and SendQ the
	// limit beyond which new ones are refused (listen's backlog, capped by
	// net.core.somaxconn). Both are 0 for requests and timewait sockets.
	RecvQ, SendQ uint32

	// TimeLeft is until Timer runs out, and 0 where it is about to. For a
	// TimeWaitTimer that is what remains of the state.
	TimeLeft time.Duration

	// Idle is since anything came from the peer, of a full socket that has nothing
	// in flight; else 0.
	Idle time.Duration

	// UID is of the user who made the socket, or whose listener made it. It is
	// 0 for timewait sockets, which do not know it.
	UID uint32

	// Drops counts what the socket has dropped; for a listener, SYNs and
	// handshakes.
	Drops uint32

	State       tcp.State
	Object      Object
	Timer       Timer
	Retransmits uint8 // timeouts, or unanswered probes, since the last answer

	Orphan     bool // its process has closed it; the kernel finishes
	Unaccepted bool // it waits for accept() in its listener's queue
	KeepAlive  bool // SO_KEEPALIVE is set

	// Holders are the descriptors that lead to the socket, at most MaxHolders,
	// in order of process. The slice is shared with the other sockets of the
	// Snapshot: do not append to it. A socket that is neither an orphan nor
	// unaccepted and has no holder is held by a process that cannot be seen
	// (another PID namespace), by the kernel, by a message in flight between
	// processes, or was closed while the snapshot was taken.
	Holders []Holder
	// MoreHolders counts the descriptors beyond those.
	MoreHolders uint32
}

// MaxHolders is how many holders of one socket are named. A listener that is
// inherited by more processes than that has the others counted.
const MaxHolders = 64

// A Holder is a descriptor of a socket. Several processes may hold one socket,
// by fork or by passing descriptors, and one process may hold it twice.
type Holder struct {
	PID  uint32 // thread group id, as the host sees it
	FD   uint32
	UID  uint32   // real user id of the process
	Comm [16]byte // of the thread group's leader
}
