// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
//
// Listeners whose queues are full. The ACK that completes a handshake is freed
// with the listener's name (kfree_skb); a SYN is freed like one that was
// answered, and only the listener's count of drops tells. So the listeners are
// known by their addresses in memory, and that count is looked at now and then.
// What kfree_skb showed of it is taken off.
#pragma once

#include "listeners.h"
#include "packet.h"

// Whether those who wait for accept() are more than the listener takes
// (sk_acceptq_is_full).
static __always_inline bool accept_queue_is_full(const struct tt_listener *l)
{
	return l->waiting > l->limit;
}

static __always_inline void read_queues(struct tt_listener *l, const struct sock *sk)
{
	const struct inet_connection_sock *icsk = (const struct inet_connection_sock *)sk;

	l->waiting = BPF_CORE_READ(sk, sk_ack_backlog);
	l->limit = BPF_CORE_READ(sk, sk_max_ack_backlog);
	l->requests = BPF_CORE_READ(icsk, icsk_accept_queue.qlen.counter);
}

// head names the listener, and the peer if one packet is told.
static __always_inline void emit_queue(const struct tt_head *head, const struct tt_listener *l,
				       __u32 count)
{
	struct tt_queue *out;

	if (!tuple_selected(head) || !owner_selected(head->cookie))
		return;
	out = reserve(head, sizeof(*out));
	if (!out)
		return;
	out->head.kind = TT_QUEUE_FULL;
	out->head.old_state = TCP_LISTEN;
	out->count = count;
	out->limit = l->limit;
	out->syn = !accept_queue_is_full(l) && l->requests >= l->limit;
	out->length = out->syn ? l->requests : l->waiting;
	out->pad[0] = 0;
	out->pad[1] = 0;
	out->pad[2] = 0;
	submit(out);
}

// Tells of the packets that were dropped since and that nothing else explains:
// those that the last look found too, for an explanation follows its drop; or
// all, where there is no next look.
static __always_inline void look_at_listener(struct tt_listener *l, const struct sock *sk, bool last)
{
	__s32 fresh = BPF_CORE_READ(sk, sk_drops.counter) - l->drops - l->accounted;
	struct tt_head head;
	__s32 told;

	if (fresh <= 0) {
		l->drops += fresh;
		l->pending = 0;
		return;
	}
	if (fresh > l->pending)
		read_queues(l, sk);
	told = last || fresh < l->pending ? fresh : l->pending;
	l->drops += told;
	l->pending = fresh - told;
	if (told <= 0 || (!config.has_drop_receiver && !accept_queue_is_full(l) &&
			  l->requests < l->limit))
		return;
	head = l->head;
	head.time_ns = bpf_ktime_get_ns();
	head.kind = TT_QUEUE_FULL;
	emit_queue(&head, l, told);
}

static __always_inline void listener_opened(const struct sock *sk, const struct tt_head *head)
{
	struct tt_listener l = {
		.head = *head,
	};
	__u64 key = (__u64)sk;

	l.drops = BPF_CORE_READ(sk, sk_drops.counter);
	bpf_map_update_elem(&listeners, &key, &l, BPF_ANY);
}

static __always_inline void listener_closed(const struct sock *sk)
{
	__u64 key = (__u64)sk;
	struct tt_listener *l = bpf_map_lookup_elem(&listeners, &key);

	if (!l)
		return;
	look_at_listener(l, sk, true);
	bpf_map_delete_elem(&listeners, &key);
}

// One listener of the map. Its memory may be another socket's by now.
static __always_inline int look_at(struct bpf_iter__bpf_map_elem *ctx)
{
	struct tt_listener *l = ctx->value;
	__u64 *key = ctx->key;
	const struct sock *sk;
	struct tt_sock copy;

	if (!l || !key)
		return 0;
	sk = (const struct sock *)*key;
	read_sock(&copy, sk);
	if (member(&copy, skc_state) == TCP_LISTEN && cookie_of(&copy) == l->head.cookie)
		look_at_listener(l, sk, false);
	return 0;
}

static __always_inline __u8 flags_of(const struct sk_buff *skb)
{
	const struct tt_tcp_header *tcp = (const void *)peek(skb, head) + peek(skb, transport_header);
	__u8 flags = 0;

	bpf_probe_read_kernel(&flags, sizeof(flags), &tcp->flags);
	return flags;
}

// How often the listener's count of drops has grown by a packet that it drops:
// not at all by one that it answers, or whose sum is wrong; twice by an ACK
// that finds no room (net/ipv4/tcp_ipv4.c: tcp_v4_syn_recv_sock, tcp_v4_rcv).
static __always_inline __u32 drops_counted(__u32 reason, __u8 flags, bool overflow)
{
	if (reason == config.reason_csum || (reason == config.reason_flags && (flags & TCPHDR_ACK)))
		return 0;
	return overflow && reason != config.reason_no_socket ? 2 : 1;
}

// Reports whether a packet that a listener drops may be the last of a handshake,
// for which its queue has no room: by a reason that says so (6.16), or where that is
// to be seen from the queue; of a SYN cookie's, the kernel says that there is no
// socket.
static __always_inline bool may_overflow(__u32 reason, __u8 flags)
{
	if (reason == config.reason_listen_overflow && reason)
		return true;
	return (flags & (TCPHDR_ACK | TCPHDR_SYN | TCPHDR_RST)) == TCPHDR_ACK &&
	       (reason == config.reason_no_socket ||
		(reason == SKB_DROP_REASON_NOT_SPECIFIED && !config.reason_listen_overflow));
}

// A listener drops a packet.
static __always_inline void listener_drops(const struct sock *sk, const struct sk_buff *skb,
					   __u32 reason)
{
	__u64 key = (__u64)sk;
	struct tt_listener *known = bpf_map_lookup_elem(&listeners, &key);
	struct tt_listener now = {};
	struct tt_drop packet = {};
	__u8 flags = flags_of(skb);
	bool overflow = may_overflow(reason, flags);

	if (overflow) {
		read_queues(&now, sk);
		overflow = (reason == config.reason_listen_overflow && reason) ||
			   accept_queue_is_full(&now);
	}
	if (known)
		__sync_fetch_and_add(&known->accounted, drops_counted(reason, flags, overflow));
	if (!overflow || !read_dropped(&packet, skb))
		return;
	packet.head.time_ns = bpf_ktime_get_ns();
	packet.head.kind = TT_QUEUE_FULL;
	packet.head.cookie = BPF_CORE_READ(sk, __sk_common.skc_cookie.counter);
	packet.head.netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	emit_queue(&packet.head, &now, 1);
}
