// Package record writes what tcptrace knows as JSON lines, one object for each
// record. A field that is not known is absent, never zero or empty. Durations
// are integers in nanoseconds and end in _ns. Fields may be added; none is
// renamed or dropped.
//
// Every record has
//
//	type     state, retransmit, reset, connection or lost
//	time     RFC 3339 in UTC, always with nine digits
//	mono_ns  the same on the kernel's CLOCK_MONOTONIC
//
// All but lost have, of the connection that they speak of,
//
//	conn     the socket's cookie in hex, as "ss -e" prints it behind sk:
//	netns    the inode of its network namespace
//	family   ipv4 or ipv6; a socket that uses an IPv4-mapped address says ipv4
//	local    ip:port or [ip]:port
//	remote   likewise; a listener has none
//	role     client or server
//	process  whose it is: pid, comm, uid, and via, how that is known: connect,
//	         accept, listen, io, close or snapshot
//
// and by type:
//
//	state       old, new; in_state_ns, the time spent in old, or
//	            in_state_at_least_ns where the begin was not seen; cause, of the
//	            end of TIME_WAIT or of a handshake; illegal: true where TCP makes
//	            no such transition; actor, the process that caused it where that
//	            is not the connection's own
//	retransmit  class, state, seq, bytes, rto_ms, srtt_us, cwnd, ca_state; error
//	            where it could not be sent
//	reset       direction (sent, received), state, reason (the kernel's name),
//	            actor. A RST sent without a socket has no conn
//	connection  opened, closed, lifetime_ns (or lifetime_at_least_ns); states, a
//	            list of {state, ns} in order, with at_least_ns in place of ns
//	            where the begin was not seen, and states_cut, how many are left out
//	            because there were too many; durations, {STATE: ns}, and
//	            durations_at_least; end, error; bytes_sent, bytes_acked,
//	            bytes_received, segs_out, segs_in, srtt_us; retransmits, {class:
//	            n}; closer, the process that closed it where that is another;
//	            complete; open: true where it has not ended
//	lost        kind of event, count, from_mono_ns: lost between that time and
//	            mono_ns
package record
