// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
//
// Segments sent again, with what the kernel knew as it did so; user space
// tells from that why.
#pragma once

#include "emit.h"
#include "shed.h"
#include "sock.h"
#include "storm.h"

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

enum {
	TCP_CA_RECOVERY = 3,
	TCPCB_LOST = 4,
	ICSK_LOSS_PROBE = 5, // ICSK_TIME_LOSS_PROBE
};

static __always_inline bool is_probe(const struct tt_retransmit *r)
{
	return r->pending == ICSK_LOSS_PROBE && !(r->sacked & TCPCB_LOST);
}

static __always_inline __u32 classify(const struct tt_retransmit *r)
{
	if (r->unsent_err)
		return TT_CLASS_UNSENT;
	if (r->head.old_state == TCP_SYN_SENT)
		return TT_CLASS_SYN;
	if (r->head.old_state == TCP_SYN_RECV && (r->tcp_flags & TCPHDR_SYN))
		return TT_CLASS_SYNACK;
	if ((r->tcp_flags & TCPHDR_FIN) && !r->bytes)
		return TT_CLASS_FIN;
	if (is_probe(r))
		return TT_CLASS_TLP;
	if (r->ca_state == TCP_CA_LOSS)
		return !r->pending && r->retransmits ? TT_CLASS_RTO : TT_CLASS_RECOVERY;
	return r->ca_state == TCP_CA_RECOVERY ? TT_CLASS_FAST : TT_CLASS_UNKNOWN;
}

// Counts a retransmit that is not told.
static __always_inline void suppress(struct tt_storm *s, const struct tt_retransmit *r,
				     __u32 segments)
{
	__u32 class = classify(r);

	__sync_fetch_and_add(&s->counts.events, 1);
	count_untold();
	if (is_probe(r))
		__sync_fetch_and_add(&s->counts.probes, 1);
	if (class < TT_CLASSES)
		__sync_fetch_and_add(&s->counts.segments[class], segments);
}

// Reports whether the retransmit is to be told by itself; else it is counted.
static __always_inline bool is_told_apart(const struct tt_retransmit *r)
{
	struct tt_storm_key key = retransmit_key(&r->head);
	struct tt_storm *own = key.whose ? storm_of(&key) : NULL;
	__u32 segments = r->segments;
	struct tt_storm *s;

	if (own) {
		if (own->filled_ns)
			segments = r->total - own->total; // none, if it gave up early
		own->total = r->total;
	}
	s = refuses(&r->head, own, &key);
	if (s)
		suppress(s, r, segments);
	return !s;
}

static __always_inline int retransmitted(const struct sock *sk, const struct sk_buff *skb, int err)
{
	struct tt_retransmit r = {
		.head = {
			.time_ns = bpf_ktime_get_ns(),
			.kind = TT_RETRANSMIT,
		},
		.unsent_err = err,
	};
	struct tt_retransmit *out;
	struct tt_sock copy;

	read_sock(&copy, sk);
	if (!set_tuple(&r.head, &copy) || !tuple_selected(&r.head))
		return 0;
	r.head.old_state = member(&copy, skc_state);
	r.head.cookie = cookie_of(&copy);
	if (!is_told_of(&r.head))
		return 0;
	read_segment(&r, skb);
	read_congestion(&r, (const struct tcp_sock *)sk);
	if (r.seq == BPF_CORE_READ((const struct tcp_sock *)sk, snd_una))
		r.head.flags |= TT_F_HEAD;
	if (!is_told_apart(&r))
		return 0;
	out = reserve(&r.head, sizeof(*out));
	if (!out)
		return 0;
	*out = r;
	submit(out);
	return 0;
}
