// Package audit holds tcptrace's own tally against the kernel's counters
// (/proc/net/snmp and /proc/net/netstat) of each network namespace, over the
// same seconds: what tcptrace shows is then proved to be all that there was.
//
// A Tally counts, from events alone, what the kernel must have counted. A Meter
// reads the counters while the programs are attached: once before the first
// event is handed over, once before they are detached. Events carry times, so
// only those that happened while a reading took place may be counted on either
// side of it; those are an error bound, not an error. docs/audit.md says, for
// each counter, where the kernel increments it and which events that is.
//
// # Facts that the events must carry
//
//   - Retransmit.Segments: RetransSegs counts segments, not buffers. [there]
//   - ResetSent.Reset and Reason, for each RST, of a socket or none. [there]
//   - RetransmitSynAck: whether the request's timer sent it, or a SYN that came
//     again. TCPTimeouts counts the first alone, and a lost SYN-ACK often gives
//     both. (bpf/request.h: in synack_retransmitted the timer of req is
//     moment->expiring_timer in the first case.) Wanted:
//     Retransmission.Timeout.
//   - TimeWaitBegin.Left: the timer's length as the timewait socket is made. One
//     of at most 4 s counts as TWKilled, not as TW (__inet_twsk_schedule).
//   - RequestBegin and RequestEnd: not where a SYN that came again has the
//     request's timer set anew (tcp_check_req, mod_timer_pending): that is a
//     timer_cancel and a timer_start with num_timeout 0.
//   - QueueFull.Count: every time that ListenOverflows (Queue.SYN false) counts,
//     and every SYN that a full queue of requests dropped (Queue.SYN true).
//   - RetransmitMore: of what it stands for, the segments, how many carried SYN,
//     how many were timeouts (icsk_pending 0), how many tail loss probes.
//   - ResetMore: Count, by Reason.
package audit
