//go:build linux

package probe

import (
	"github.com/tcptrace/tcptrace/internal/bpf"
	"github.com/tcptrace/tcptrace/internal/event"
	"github.com/tcptrace/tcptrace/internal/tcp"
)

// Kernel functions whose address marks one of our timers (kernel/time/timer.c
// calls them when the timer runs out).
const (
	timewaitHandler = "tw_timer_handler"
	requestHandler  = "reqsk_timer_handler"
	writeHandler    = "tcp_write_timer"
)

// frameBase is the function from which the distances of a stack's frames are
// counted. Any of the kernel image would do.
const frameBase = timewaitHandler

// A verdict is what a function on the stack says of a timewait socket whose
// timer is being detached.
type verdict uint8

const (
	rearmed  verdict = iota + 1
	expired          // the timer wheel runs it
	answered         // a packet ended it: the substate tells how
	reset
	reused
	purged
	aborted
)

// verdicts lists the functions that decide. The innermost one on the stack
// counts: tcp_timewait_state_process is called by tcp_v4_rcv.
var verdicts = map[string]verdict{
	// kernel/time/timer.c
	"__mod_timer":       rearmed,
	"expire_timers":     expired,
	"__run_timers":      expired,
	"__run_timer_base":  expired,
	"run_timer_base":    expired,
	"run_timer_softirq": expired,

	// net/ipv4/tcp_minisocks.c, tcp_ipv4.c; net/ipv6/tcp_ipv6.c
	"tcp_timewait_state_process": reset,
	"tcp_v4_rcv":                 answered,
	"tcp_v6_rcv":                 answered,

	// net/ipv4/inet_hashtables.c; net/ipv6/inet6_hashtables.c
	"__inet_hash_connect":       reused,
	"__inet_check_established":  reused,
	"__inet6_check_established": reused,

	// net/ipv4/inet_timewait_sock.c, tcp.c
	"inet_twsk_purge": purged,
	"tcp_abort":       aborted,
}

// symbolNames lists every function that we look for in kallsyms.
func symbolNames() []string {
	names := []string{timewaitHandler, requestHandler, writeHandler}
	for name := range verdicts {
		names = append(names, name)
	}
	return names
}

// endCause tells why a timewait socket ended, from the stack on which its
// timer was detached. It returns false if the timer was only armed again.
func (s *symbols) endCause(frames *bpf.Frames, substate tcp.State) (event.Cause, bool) {
	base := s.address(frameBase)
	for _, distance := range frames {
		if distance == 0 {
			break
		}
		switch verdicts[s.at(base+uint64(int64(distance)))] {
		case rearmed:
			return event.CauseUnknown, false
		case expired:
			return event.CauseExpired, true
		case reset:
			return event.CauseReset, true
		case reused:
			return event.CauseReused, true
		case purged:
			return event.CauseNetnsExit, true
		case aborted:
			return event.CauseKilled, true
		case answered:
			// TCP_TW_SYN, a new connection, arises only in TIME_WAIT;
			// TCP_TW_RST, our answer to unwanted data, only before it.
			if substate == tcp.FinWait2 {
				return event.CauseReset, true
			}
			return event.CauseReused, true
		}
	}
	return event.CauseUnknown, true
}
