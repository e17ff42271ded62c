package tcp

// next holds, for each state, the set of states that may follow it, one bit
// each. It is what Linux does, which is RFC 9293 (section 3.3.2, figure 5) with
// the differences said here. A socket's kernel objects do not show: SYN_RECV
// may be a request socket, FIN_WAIT2 and TIME_WAIT a timewait socket.
//
// In Linux no state but LAST_ACK and TIME_WAIT leads to CLOSE by the exchange
// of FINs. From the others it is reached by a RST sent or received (tcp_reset,
// tcp_disconnect, __tcp_close with unread data), by timers that ran out
// (tcp_write_err), by "ss -K" (tcp_abort), and by a lack of memory
// (tcp_check_oom).
var next = [NumStates]uint16{
	Close: set(
		SynSent, // active OPEN: tcp_v4_connect, tcp_v6_connect
		Listen,  // passive OPEN: inet_csk_listen_start
	),
	Listen: set(
		SynRecv, // receive SYN: tcp_conn_request; with a SYN cookie, inet_csk_clone_lock
		Close,   // inet_csk_listen_stop
		// The RFC's LISTEN -> SYN_SENT (SEND) does not exist: connect() on a
		// listener is EISCONN.
	),
	SynSent: set(
		Established, // receive SYN,ACK: tcp_finish_connect
		SynRecv,     // receive SYN, simultaneous open: tcp_rcv_synsent_state_process
		Close,       // refused, timed out or given up
	),
	SynRecv: set(
		Established, // receive ACK of SYN: tcp_rcv_state_process
		FinWait1,    // CLOSE before that ACK: tcp_close_state
		CloseWait,   // FIN in a Fast Open SYN: tcp_fin
		Close,       // RST, retries ran out, accept queue full
	),
	Established: set(
		FinWait1,  // CLOSE: tcp_close_state
		CloseWait, // receive FIN: tcp_fin
		Close,
	),
	FinWait1: set(
		FinWait2, // receive ACK of FIN: tcp_rcv_state_process
		Closing,  // receive FIN, simultaneous close: tcp_fin
		Close,
		// The RFC's FIN_WAIT1 -> TIME_WAIT (FIN that acknowledges ours) goes
		// through FIN_WAIT2, for an instant: tcp_rcv_state_process does
		// the ACK first, tcp_fin the FIN.
	),
	FinWait2: set(
		TimeWait, // receive FIN: tcp_fin, tcp_timewait_state_process
		Close,    // also an orphan's timer, and TIME_WAIT left out for want of room: tcp_time_wait
	),
	Closing: set(
		TimeWait, // receive ACK of FIN: tcp_rcv_state_process
		Close,
	),
	TimeWait: set(
		Close, // timer, reuse, RST: inet_twsk_kill
	),
	CloseWait: set(
		LastAck, // CLOSE: tcp_close_state
		Close,
	),
	LastAck: set(
		Close, // receive ACK of FIN: tcp_rcv_state_process
	),
}

// set returns the states as bits.
func set(states ...State) uint16 {
	var bits uint16
	for _, s := range states {
		bits |= 1 << s
	}
	return bits
}

// Legal reports whether a TCP that is in state from may be in state to next.
// A state does not follow itself: where the kernel reports such a step (a
// close() in FIN_WAIT2, say), nothing changes. Where Legal is false for two
// states seen one after the other, what came between them was not seen.
func Legal(from, to State) bool {
	return from < NumStates && to < NumStates && next[from]&(1<<to) != 0
}
