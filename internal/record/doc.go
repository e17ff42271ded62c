// Package record writes what tcptrace knows as JSON lines, one object for each
// record. A field that is not known is absent, never zero or empty. Durations
// are integers in nanoseconds and end in _ns. Fields may be added; none is
// renamed or dropped.
//
// Every record has
//
//	type     state, retransmit, retransmit_episode, reset, drop, error,
//	         connection, lost, socket, summary, finding, timeline, audit,
//	         assertion or difference; the last has no time
//	time     RFC 3339 in UTC, always with nine digits
//	mono_ns  the same on the kernel's CLOCK_MONOTONIC
//
// Those of connections and sockets have, of the connection that they speak of,
//
//	conn     the socket's cookie in hex, as "ss -e" prints it behind sk:
//	netns    the inode of its network namespace
//	family   ipv4 or ipv6; a socket that uses an IPv4-mapped address says ipv4
//	local    ip:port or [ip]:port
//	remote   likewise; a listener has none
//	role     client or server
//	process  whose it is: pid, comm, uid, and via, how that is known: connect,
//	         accept, listen, io, close or snapshot; container, its id in full,
//	         and runtime, unit, pod_uid, cgroup, its path; with --cmdline, exe
//	         and cmdline
//
// and by type:
//
//	state       old, new; in_state_ns, the time spent in old, or in_state_at_least_ns
//	            where the begin was not seen; cause, of the end of TIME_WAIT or of a
//	            handshake; illegal: true where TCP makes no such transition; corrected:
//	            true where the kernel's tables show the socket in new, and what led there
//	            was not seen; actor, the process that caused it where that is not the
//	            connection's own
//	retransmit  class; trigger, what caused it where the class, fin or unsent, does not
//	            say that; fin: true where it has the FIN; state; segments, as the kernel's
//	            RetransSegs counts it; seq, bytes, rto_ms, srtt_us, cwnd, ca_state; error
//	            where it could not be sent. suppressed: true where it stands for many that
//	            a storm left no room to tell one by one: segments is their sum; of too
//	            many connections at once there is no conn, but count, of packets, and
//	            retransmits, {class: n}
//	retransmit_episode
//	            a time in which the connection had to send again: begin; outcome
//	            (recovered, failed, open), end, of the connection, where it failed;
//	            loss_ns, the time that it cost, or loss_at_least_ns; waited_ns, the part
//	            of that before begin in which a timer ran; segments; retransmits, {class:
//	            n}; chain, a list of {class, segments, rto_ms} in order, and chain_cut;
//	            fins, how many had the FIN; needless, how many the peer reported to have
//	            had (DSACK); lost: data, acks or both; spurious: true where no segment was
//	            needed; undone: true where the kernel found that itself
//	reset       direction (sent, received), state, reason (the kernel's name), cause
//	            (conn.ResetCause), inferred: true where the kernel's reason and the socket
//	            leave more than one, actor; peer, the other end where that is on this
//	            host: its conn, netns, process, and actor, who caused the RST there where
//	            that is another. A RST sent without a socket has no conn, unless it was
//	            for one that is known
//	drop        a packet that the kernel dropped: state, of the socket that it was for or
//	            came from; reason, the kernel's, without SKB_DROP_REASON_; where, the
//	            kernel's function; seq, bytes, tcp_flags ("SYN,ACK"); outgoing: true where
//	            it was to be sent. Or those that a listener had no room for: queue
//	            (accept, syn), queue_length, queue_limit, count
//	error       op (connect, accept) and errno of a system call that failed, count, of as
//	            many, actor, who called, where that is not the connection's own. Or the
//	            error that closed a connection: errno; op: connect, of one that was not
//	            open yet; state, the one that it ended
//	connection  opened, closed, lifetime_ns (or lifetime_at_least_ns); accept_wait_ns,
//	            from the end of the handshake to accept(), where accept() is seen; states,
//	            a list of {state, ns} in order, with at_least_ns in place of ns where the
//	            begin was not seen, and states_cut, how many are left out because there
//	            were too many; durations, {STATE: ns}, and durations_at_least; end, error;
//	            reset_cause and reset_inferred, of the RST that ended it; isn_sent and
//	            isn_received, the initial sequence numbers, where the end of the handshake
//	            was seen; bytes_sent (with those sent again), bytes_acked, bytes_received:
//	            of payload; segs_out, segs_in, srtt_us; retransmits, {class: n}, in
//	            segments; loss_episodes, spurious_episodes, and loss_ns, the time that
//	            they cost, with loss_at_least: true where it may be more; closer, the
//	            process that closed it where that is another; complete; open: true where
//	            it has not ended
//	lost        kind of event, count, from_mono_ns: lost between that time and mono_ns
//	socket      one socket of a snapshot: netns_name; role_inferred: true where the role
//	            is a guess from who listens; state; recv_q and send_q in bytes, of a
//	            listener recv_q and backlog in connections; drops; timer (retransmit,
//	            keepalive, timewait, probe), timer_left_ns, timeouts; orphan, unaccepted,
//	            keepalive: true; inode, uid; process.fd; holders, a list of {pid, comm,
//	            fd} where there are several, and more_holders, how many more there are
//	summary     of: process, orphan, none or all; sockets, their count; states, {STATE:
//	            count}. It has process, and nothing else of the above
//	finding     rule, id, severity (critical, warning, info), count, summary, cause,
//	            advice, cost (of the advice), more (the command that shows more), evidence
//	            (an object of figures: docs/findings.md), with --stacks stack (call,
//	            connect, accept or read; functions, the innermost first; count, of the
//	            connections that were opened there, of those looked at), process,
//	            peer_process (at the other end, where that is on this host), actor (who
//	            did it), connections (the first few), netns, first, last; withdrawn: true
//	            where it has become part of another finding; final: true at the end. Of
//	            all with the same id the last stands
//	timeline    a connection, as above, but its states and marks have begin_ns and
//	            at_ns, from begin_mono_ns on
//	audit       netns, counter (the kernel's name), tcptrace and kernel, both counts,
//	            equal; where they are not: difference, bounded, whether what cannot be
//	            known explains it, and reason
//	assertion   assertion, its text; outcome, reason, number, of what was measured, and
//	            the longest of the times; broken, how many offend, and evidence, a list
//	            of them
//	difference  comm, figure, before and after, or before_ns and after_ns, ratio, and
//	            notable: true where it is more than chance
package record
