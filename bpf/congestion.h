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

// Counts a timeout after the first of a connection whose retransmits are being
// counted, as the one that follows will be. Returns false if it is to be told.
static __always_inline bool is_one_more(const struct tt_head *head)
{
	struct tt_storm_key key = retransmit_key(head);
	struct tt_storm *own = key.whose ? bpf_map_lookup_elem(&storms, &key) : NULL;

	if (!own || head->old_state == TCP_SYN_SENT || (own->tokens && !has_counted(own)))
		return false;
	__sync_fetch_and_add(&own->counts.timeouts, 1);
	count_untold();
	return true;
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
	const struct inet_connection_sock *icsk = (const struct inet_connection_sock *)sk;
	__u8 old = BPF_CORE_READ_BITFIELD_PROBED(icsk, icsk_ca_state);
	bool timed_out;

	if (old == ca_state && ca_state != TCP_CA_LOSS)
		return 0;
	if (shed_retransmits) {
		count_shed(TT_CONGESTION);
		return 0;
	}
	head.time_ns = bpf_ktime_get_ns();
	read_sock(&copy, sk);
	if (!set_tuple(&head, &copy) || !tuple_selected(&head))
		return 0;
	head.old_state = member(&copy, skc_state);
	head.cookie = cookie_of(&copy);
	timed_out = ca_state == TCP_CA_LOSS && !BPF_CORE_READ(icsk, icsk_pending) &&
		    (BPF_CORE_READ(tp, snd_wnd) || !probes_window(&copy));
	if (!is_told_of(&head) || (old == ca_state && timed_out && is_one_more(&head)))
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
	if (timed_out)
		out->head.flags |= TT_F_TIMEOUT;
	submit(out);
	return 0;
}
