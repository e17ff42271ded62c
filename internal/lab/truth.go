//go:build linux

package lab

import (
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/tcptrace/tcptrace/internal/tcp"
)

// A Truth is what a story did. Nothing in it was learnt from a tracer.
type Truth struct {
	Story   string  `json:"story"`
	Family  string  `json:"family"` // ipv4 or ipv6
	Network Network `json:"network"`
	NetNS   []NetNS `json:"netns"`

	Count     int             `json:"count"` // connections made
	Listeners []TruthListener `json:"listeners,omitempty"`
	Conns     []TruthConn     `json:"conns,omitempty"` // in the order of their connect(); none for churn and crowd

	Failures []Failure `json:"failures,omitempty"` // of system calls, where the story is about them
	Finding  *Finding  `json:"finding,omitempty"`  // what a diagnosis must say of it, if it says anything

	Open    int           `json:"open_sockets,omitzero"` // crowd: at once, listeners apart
	Elapsed time.Duration `json:"elapsed_ns"`            // of the traffic; crowd: until all were open
	Rate    float64       `json:"per_second,omitzero"`   // churn, crowd: Count by Elapsed
}

// Inodes returns the inodes of the namespaces used, in the order of NetNS.
func (t *Truth) Inodes() []uint32 {
	inodes := make([]uint32, len(t.NetNS))
	for i, ns := range t.NetNS {
		inodes[i] = ns.Inode
	}
	return inodes
}

// A NetNS is one network namespace of a story.
type NetNS struct {
	Inode uint32 `json:"inode"`
	Role  string `json:"role"` // client, server, or both
	// Counters are the kernel's own, of this namespace alone, as the traffic
	// ended: Tcp of /proc/net/snmp, TcpExt of /proc/net/netstat; no zeroes.
	Counters map[string]uint64 `json:"counters,omitempty"`

	ns *namespace
}

// Do runs f in the namespace, on the thread that lives there: files of
// /proc/thread-self/net and sockets made in f are the namespace's. It may be
// called from Params.Held only, while the namespace lives.
func (n *NetNS) Do(f func() error) error { return n.ns.do(f) }

// A Failure is a system call that failed in one process, so many times.
type Failure struct {
	Op    string `json:"op"`    // connect, accept
	Errno string `json:"errno"` // EMFILE
	PID   int    `json:"pid"`
	Comm  string `json:"comm"`
	Count int    `json:"count"`
}

// A Finding says what is wrong in a story, whose it is and how often it was.
type Finding struct {
	Rule  string `json:"rule"` // Story.Rule
	PID   int    `json:"pid"`
	Comm  string `json:"comm"`
	Count int    `json:"count"` // of the connections, calls or, for a full accept queue, packets that it is about
}

// A TruthListener is a listening socket of a story. Its states are
// CLOSE LISTEN CLOSE.
type TruthListener struct {
	Addr   netip.AddrPort `json:"addr"`
	Cookie Cookie         `json:"cookie"`
	NetNS  uint32         `json:"netns"`
	States []string       `json:"states"`
	PID    int            `json:"pid,omitzero"` // of who listens

	Backlog int `json:"backlog,omitzero"` // of listen(), where it matters
}

// A TruthConn is one connection, seen from both ends. What the story cannot
// say, or leaves to chance, is absent.
type TruthConn struct {
	Client netip.AddrPort `json:"client"` // who connects; in a simultaneous open the first
	Server netip.AddrPort `json:"server"`

	ClientNetNS  uint32 `json:"client_netns"`
	ServerNetNS  uint32 `json:"server_netns"`
	ClientPID    int    `json:"client_pid,omitzero"` // who called connect()
	ClientComm   string `json:"client_comm,omitempty"`
	ServerPID    int    `json:"server_pid,omitzero"` // who called accept(), or listen() where nothing was accepted
	ClientCookie Cookie `json:"client_cookie,omitzero"`
	ServerCookie Cookie `json:"server_cookie,omitzero"` // absent where no socket was accepted

	// Who did what, in stories about that: each process told it of itself.
	// The comm is the process's; absent where the kernel acts for it in
	// threads that it names itself.
	AccepterPID     int    `json:"accepter_pid,omitzero"`
	AccepterTID     int    `json:"accepter_tid,omitzero"` // the thread, where it is known
	AccepterComm    string `json:"accepter_comm,omitempty"`
	ReaderPID       int    `json:"reader_pid,omitzero"` // the first to read at the server's end
	ClientCloserPID int    `json:"client_closer_pid,omitzero"`
	ServerCloserPID int    `json:"server_closer_pid,omitzero"`
	ServerFD        int    `json:"server_fd,omitzero"` // the accepter's descriptor, where it keeps it

	// ClientStates and ServerStates are all states that the end goes
	// through, first to last: its request and timewait sockets included, the
	// end of the namespaces too. No states: the end has no socket.
	ClientStates []string `json:"client_states,omitempty"`
	ServerStates []string `json:"server_states,omitempty"`

	// Stays bound the time spent in a state, where the story forces it.
	ClientStays []Stay `json:"client_stays,omitempty"`
	ServerStays []Stay `json:"server_stays,omitempty"`

	// What either end sent again, in stories of loss.
	ClientResent Resent `json:"client_resent,omitzero"`
	ServerResent Resent `json:"server_resent,omitzero"`

	// TimeWaitCause says why the timewait socket ended, in TIME_WAIT or in
	// FIN_WAIT2, on whichever end has one; "overflow" where it could not be
	// made. RequestCause says why the server's request socket ended where no
	// child was made. Both in the words of event.Cause.
	TimeWaitCause string `json:"time_wait_cause,omitempty"`
	RequestCause  string `json:"request_cause,omitempty"`

	// ClientEnd and ServerEnd are words of conn.End.
	ClientEnd string `json:"client_end,omitempty"`
	ServerEnd string `json:"server_end,omitempty"`

	ClientErrno string `json:"client_errno,omitempty"` // connect()'s, such as ECONNREFUSED

	// Resets are the RSTs, in order, of stories that are about them.
	Resets []TruthReset `json:"resets,omitempty"`

	unserved bool // no actor has it, though actors serve the others
}

// forgetAged leaves out why timewait sockets ended, if the run lasted so long
// that some may have expired before their namespace was deleted.
func (t *Truth) forgetAged(elapsed time.Duration) {
	if elapsed < timeWait-tick {
		return
	}
	for i := range t.Conns {
		if c := &t.Conns[i]; c.TimeWaitCause == "netns_exit" {
			c.TimeWaitCause = ""
		}
	}
}

func (c *TruthConn) flow() flow { return flow{c.Client, c.Server} }

// A Stay says how long a state lasted: at least Min, at most Max. The bounds
// were measured around it, or are the kernel's own timeout.
type Stay struct {
	State string        `json:"state"`
	Min   time.Duration `json:"min_ns"`
	Max   time.Duration `json:"max_ns"`
}

// A Cookie is a socket cookie. It prints as "ss -e" does.
type Cookie uint64

func (c Cookie) String() string { return strconv.FormatUint(uint64(c), 16) }

// MarshalText returns the cookie in lower-case hex, as the field conn of
// tcptrace's records.
func (c Cookie) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads lower-case hex.
func (c *Cookie) UnmarshalText(b []byte) error {
	v, err := strconv.ParseUint(string(b), 16, 64)
	if err != nil {
		return fmt.Errorf("read socket cookie: %w", err)
	}
	*c = Cookie(v)
	return nil
}

// names spells states as Truth does.
func names(states []tcp.State) []string {
	var s []string
	for _, state := range states {
		s = append(s, state.String())
	}
	return s
}
