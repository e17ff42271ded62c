// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
//
// Segments sent again, with what the kernel knew as it did so; user space
// tells from that why.
#pragma once

#include "emit.h"
#include "filter.h"
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

// Why a segment is sent again: the rules of internal/conn, Classify.
enum tt_class {
	TT_CLASS_UNKNOWN,
	TT_CLASS_RTO,
	TT_CLASS_FAST,
	TT_CLASS_TLP,
	TT_CLASS_SYN,
	TT_CLASS_SYNACK,
	TT_CLASS_RECOVERY,
	TT_CLASS_UNSENT,
	TT_CLASS_FIN,
};

enum {
	TCP_CA_RECOVERY = 3,
	TCPHDR_FIN = 1,
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
	if (is_probe(r))
		__sync_fetch_and_add(&s->counts.probes, 1);
	if (class < TT_CLASSES)
		__sync_fetch_and_add(&s->counts.segments[class], segments);
}

// Reports whether the retransmit is to be told; else it is counted: with its
// connection or, if it is one of too many connections, with its namespace.
static __always_inline bool is_told_apart(const struct tt_retransmit *r)
{
	struct tt_storm_key key = {
		.whose = r->head.cookie,
		.netns = r->head.netns,
		.kind = TT_RETRANSMIT_MORE,
	};
	__u64 now = r->head.time_ns;
	struct tt_storm *own = NULL, *all;
	__u32 segments = r->segments;

	if (key.whose)
		own = storm_of(&key);
	if (own) {
		if (own->filled_ns)
			segments = r->total - own->total; // none, if it gave up early
		own->total = r->total;
		own->head = r->head;
		own->head.kind = key.kind;
		if (!take_token(&own->filled_ns, &own->tokens, now, TT_CONNECTION_BURST,
				TT_CONNECTION_RATE)) {
			suppress(own, r, segments);
			return false;
		}
	}
	if (cpu_allows(now)) {
		if (own && own->counts.events)
			tell_storm(own, &key);
		return true;
	}
	key.whose = 0;
	all = storm_of(&key);
	if (!all)
		return true;
	all->head.netns = r->head.netns;
	all->head.kind = key.kind;
	suppress(all, r, segments);
	return false;
}

// A connection that has sent something again closes.
static __always_inline void end_storm(const struct tt_head *closing)
{
	struct tt_storm_key key = {
		.whose = closing->cookie,
		.netns = closing->netns,
		.kind = TT_RETRANSMIT_MORE,
	};
	struct tt_storm *s = bpf_map_lookup_elem(&storms, &key);

	if (!s)
		return;
	if (s->counts.events)
		tell_storm(s, &key);
	bpf_map_delete_elem(&storms, &key);
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
	if (!owner_selected(r.head.cookie))
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
