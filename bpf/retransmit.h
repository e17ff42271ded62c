// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
//
// Segments sent again, with what the kernel knew as it did so; user space
// tells from that why.
#pragma once

#include "emit.h"
#include "filter.h"
#include "sock.h"

static __always_inline void read_segment(struct tt_retransmit *out, const struct sk_buff *skb)
{
	const struct tcp_skb_cb *cb = (const void *)skb + bpf_core_field_offset(struct sk_buff, cb);

	out->seq = BPF_CORE_READ(cb, seq);
	out->tcp_flags = BPF_CORE_READ(cb, tcp_flags);
	out->sacked = BPF_CORE_READ(cb, sacked);
	out->bytes = BPF_CORE_READ(skb, len);
	out->segments = BPF_CORE_READ(cb, tcp_gso_segs);
}

static __always_inline void read_congestion(struct tt_retransmit *out, const struct tcp_sock *tp)
{
	const struct inet_connection_sock *icsk = (const struct inet_connection_sock *)tp;

	out->rto_jiffies = BPF_CORE_READ(icsk, icsk_rto);
	out->srtt_us = BPF_CORE_READ(tp, srtt_us) >> 3;
	out->cwnd = BPF_CORE_READ(tp, snd_cwnd);
	out->ca_state = BPF_CORE_READ_BITFIELD_PROBED(icsk, icsk_ca_state);
	out->pending = BPF_CORE_READ(icsk, icsk_pending);
	out->retransmits = BPF_CORE_READ(icsk, icsk_retransmits);
	out->dsacks = BPF_CORE_READ(tp, dsack_dups);
	out->total = BPF_CORE_READ(tp, total_retrans);
	out->undo_retrans = BPF_CORE_READ(tp, undo_retrans);
	out->old_ca_state = out->ca_state;
	out->pad[0] = 0;
	out->pad[1] = 0;
	out->pad2 = 0;
}

static __always_inline void no_segment(struct tt_retransmit *out)
{
	out->seq = 0;
	out->bytes = 0;
	out->unsent_err = 0;
	out->sacked = 0;
	out->tcp_flags = 0;
	out->segments = 0;
}

static __always_inline int retransmitted(const struct sock *sk, const struct sk_buff *skb, int err)
{
	struct tt_head head = {
		.time_ns = bpf_ktime_get_ns(),
		.kind = TT_RETRANSMIT,
	};
	struct tt_retransmit *out;
	struct tt_sock copy;

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
	read_segment(out, skb);
	read_congestion(out, (const struct tcp_sock *)sk);
	out->unsent_err = err;
	if (out->seq == BPF_CORE_READ((const struct tcp_sock *)sk, snd_una))
		out->head.flags |= TT_F_HEAD;
	submit(out);
	return 0;
}
