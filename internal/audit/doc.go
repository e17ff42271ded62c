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
//   - Retransmit.Segments: RetransSegs counts segments, not buffers.
//   - ResetSent.Reset and Reason, for each RST, of a socket or none.
//   - RetransmitSynAck.Retransmission.Timeout: TCPTimeouts counts those that the
//     request's timer sends, not those that answer a SYN that came again.
//   - TimeWaitBegin.Left: a timewait socket that lives for at most 4 s counts as
//     TWKilled, not as TW (__inet_twsk_schedule).
//   - QueueFull.Count: every time that ListenOverflows (Queue.SYN false) counts,
//     and every SYN that a full queue of requests dropped (Queue.SYN true).
//   - Congestion.Retransmission.Timeout: the retransmission timer of a full socket
//     ran out, but in SYN_SENT.
//   - RetransmitMore.Suppressed: segments by class, and tail loss probes.
//   - ResetMore: Count, by Reason.
//
// Still wanted, for TCPLossProbes: a tail loss probe that sends new data, which
// is no retransmit (tcp_send_loss_probe, the first half). The timer of
// tcp_write_timer expires with icsk_pending 5 (timer_expire_entry), and has sent
// one if then (timer_expire_exit) tlp_high_seq is set that was 0, and no
// tcp_retransmit_skb came between. A Congestion event with CAState unchanged, or
// a kind of its own, would do.
package audit
