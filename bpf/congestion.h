// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
//
// The congestion state of a socket: where an episode of loss begins and ends.
#pragma once

#include "retransmit.h"

// Whether the retransmission timer of a socket whose peer's window is shut probes
// it with what it has sent, which is no timeout (tcp_retransmit_timer).
static __always_inline bool probes_window(struct tt_sock *copy)
{
	__u8 state = member(copy, skc_state);

	return state != TCP_SYN_SENT && state != TCP_SYN_RECV &&
	       !(member(copy, skc_flags) & (1 << SOCK_DEAD));
}

// The kernel is about to set the state. It does so without need too; but each
// timeout sets Loss, of which the one before may not be over.
static __always_inline int congestion_set(const struct sock *sk, __u8 ca_state)
{
	struct tt_head head = {
		.kind = TT_CONGESTION,
	};
	const struct tcp_sock *tp = (const struct tcp_sock *)sk;
	struct tt_retransmit *out;
	struct tt_sock copy;
	__u8 old = BPF_CORE_READ_BITFIELD_PROBED((const struct inet_connection_sock *)sk,
						 icsk_ca_state);

	if (old == ca_state && ca_state != TCP_CA_LOSS)
		return 0;
	head.time_ns = bpf_ktime_get_ns();
	read_sock(&copy, sk);
	if (!set_tuple(&head, &copy) || !tuple_selected(&head))
		return 0;
	head.old_state = member(&copy, skc_state);
	head.cookie = cookie_of(&copy);
	if (!owner_selected(head.cookie))
		return 0;
	out = reserve(&head, sizeof(*out));
	if (!out)
		return 0;
	no_segment(out);
	read_congestion(out, tp);
	out->old_ca_state = old;
	out->ca_state = ca_state;
	if (BPF_CORE_READ(tp, undo_marker))
		out->head.flags |= TT_F_UNDO;
	if (ca_state == TCP_CA_LOSS && !out->pending &&
	    (BPF_CORE_READ(tp, snd_wnd) || !probes_window(&copy)))
		out->head.flags |= TT_F_TIMEOUT;
	submit(out);
	return 0;
}
