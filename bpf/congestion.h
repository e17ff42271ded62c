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

static __always_inline bool repairs(__u8 ca_state)
{
	return ca_state == TCP_CA_RECOVERY || ca_state == TCP_CA_LOSS;
}

// Reports whether the step is one of an episode that is left out, as too many
// begin: then neither its begin nor its end is told, and its timeouts are counted.
static __always_inline bool is_left_out(const struct tt_head *head, __u8 old, __u8 ca_state,
					bool timed_out)
{
	struct tt_storm_key key = retransmit_key(head);
	struct tt_storm *own = key.whose ? bpf_map_lookup_elem(&storms, &key) : NULL;

	if (repairs(ca_state) && !repairs(old) && key.whose && head->old_state != TCP_SYN_SENT) {
		bool allowed = cpu_allows(TT_PACE_EPISODES, head->time_ns);

		if (!own && !allowed)
			own = storm_of(&key);
		if (own)
			own->untold = !allowed;
	}
	if (!own || !own->untold)
		return false;
	if (!repairs(ca_state))
		own->untold = 0;
	if (timed_out) {
		own->head = *head;
		own->head.kind = key.kind;
		__sync_fetch_and_add(&own->counts.timeouts, 1);
		count_untold();
	}
	return true;
}

static __always_inline __u8 known_ca_state(const struct tcp_sock *tp)
{
	const struct inet_connection_sock *icsk = &tp->inet_conn;

	if (config.untyped)
		return BPF_CORE_READ_BITFIELD_PROBED(icsk, icsk_ca_state);
	return BPF_CORE_READ_BITFIELD(icsk, icsk_ca_state);
}

// The kernel is about to set the state. It does so without need too; but each
// timeout sets Loss, of which the one before may not be over.
static __always_inline int congestion_set(const struct sock *sk, __u8 ca_state)
{
	struct tt_head head = {
		.kind = TT_CONGESTION,
	};
	const struct tcp_sock *tp = sender(sk);
	struct tt_retransmit *out;
	struct tt_sock copy;
	bool timed_out;
	__u8 old;

	if (!tp)
		return 0;
	old = known_ca_state(tp);
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
	timed_out = ca_state == TCP_CA_LOSS && !peek(tp, inet_conn.icsk_pending) &&
		    (peek(tp, snd_wnd) || !probes_window(&copy));
	if (!is_told_of(&head) || is_left_out(&head, old, ca_state, timed_out) ||
	    (old == ca_state && timed_out && is_one_more(&head)))
		return 0;
	out = reserve(&head, sizeof(*out));
	if (!out)
		return 0;
	no_segment(out);
	read_congestion(out, tp);
	out->old_ca_state = old;
	out->ca_state = ca_state;
	if (peek(tp, undo_marker))
		out->head.flags |= TT_F_UNDO;
	if (timed_out)
		out->head.flags |= TT_F_TIMEOUT;
	submit(out);
	return 0;
}
