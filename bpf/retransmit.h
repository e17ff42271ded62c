// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
//
// Segments sent again, with what the kernel knew as it did so; user space
// tells from that why.
#pragma once

#include "emit.h"
#include "peek.h"
#include "shed.h"
#include "sock.h"
#include "storm.h"

// The socket that a tracepoint passes, where it is one of TCP's; else NULL.
static __always_inline const struct tcp_sock *sender(const struct sock *sk)
{
	if (config.untyped)
		return (const struct tcp_sock *)sk;
	return bpf_skc_to_tcp_sock((void *)sk);
}

// TCP's notes on a segment, copied in one read like the head of a socket.
struct tt_segment {
	__u8 bytes[24];
};

#define noted(copy, name)                                            \
	(*(typeof(((struct tcp_skb_cb *)0)->name) *)((copy)->bytes + \
						     bpf_core_field_offset(struct tcp_skb_cb, name)))

static __always_inline void read_segment(struct tt_retransmit *out, const struct sk_buff *skb)
{
	struct tt_segment copy = {};

	bpf_probe_read_kernel(&copy, sizeof(copy), (const void *)skb + bpf_core_field_offset(struct sk_buff, cb));
	out->seq = noted(&copy, seq);
	out->tcp_flags = noted(&copy, tcp_flags);
	out->sacked = noted(&copy, sacked);
	out->bytes = peek(skb, len);
	out->segments = noted(&copy, tcp_gso_segs);
}

// What tells, with the segment, why it is sent again.
static __always_inline void read_timer(struct tt_retransmit *out, const struct tcp_sock *tp)
{
	const struct inet_connection_sock *icsk = &tp->inet_conn;

	out->ca_state = BPF_CORE_READ_BITFIELD_PROBED(icsk, icsk_ca_state);
	out->pending = peek(tp, inet_conn.icsk_pending);
	out->retransmits = peek(tp, inet_conn.icsk_retransmits);
}

static __always_inline void read_congestion(struct tt_retransmit *out, const struct tcp_sock *tp)
{
	read_timer(out, tp);
	out->rto_jiffies = peek(tp, inet_conn.icsk_rto);
	out->srtt_us = peek(tp, srtt_us) >> 3;
	out->cwnd = peek(tp, snd_cwnd);
	out->dsacks = peek(tp, dsack_dups);
	out->total = peek(tp, total_retrans);
	out->undo_retrans = peek(tp, undo_retrans);
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

	count_event(s);
	if (is_probe(r))
		__sync_fetch_and_add(&s->counts.probes, 1);
	if (class < TT_CLASSES)
		__sync_fetch_and_add(&s->counts.segments[class], segments);
}

// Reports whether the retransmit is to be told by itself; else it is counted, for
// which little of it is read.
static __always_inline bool is_told_apart(struct tt_retransmit *r, const struct tcp_sock *tp,
					  const struct sk_buff *skb)
{
	struct tt_storm_key key = retransmit_key(&r->head);
	struct tt_storm *own = key.whose ? storm_of(&key) : NULL;
	__u32 total = peek(tp, total_retrans), segments = 0;
	bool known = own && own->filled_ns;
	struct tt_storm *s;

	if (own) {
		segments = total - own->total; // none, if it gave up early
		own->total = total;
	}
	s = refuses(&r->head, own, &key);
	if (!s)
		return true;
	read_segment(r, skb);
	read_timer(r, tp);
	suppress(s, r, known ? segments : r->segments);
	return false;
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
	const struct tcp_sock *tp = sender(sk);
	struct tt_retransmit *out;
	struct tt_sock copy;

	read_sock(&copy, sk);
	if (!tp || !set_tuple(&r.head, &copy) || !tuple_selected(&r.head))
		return 0;
	r.head.old_state = member(&copy, skc_state);
	r.head.cookie = cookie_of(&copy);
	if (!is_told_of(&r.head))
		return 0;
	if (!is_told_apart(&r, tp, skb))
		return 0;
	read_segment(&r, skb);
	read_congestion(&r, tp);
	if (r.seq == peek(tp, snd_una))
		r.head.flags |= TT_F_HEAD;
	out = reserve(&r.head, sizeof(*out));
	if (!out)
		return 0;
	*out = r;
	submit(out);
	return 0;
}
