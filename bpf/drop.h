// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
//
// Packets of TCP that the kernel dropped, for a reason that matters: which do
// is for user space to say, that knows this kernel's numbers.
#pragma once

#include "listener.h"
#include "packet.h"
#include "timewait.h"

static __always_inline bool is_told(__u32 reason)
{
	if (reason >= TT_DROP_REASONS)
		return false;
	return config.drop_reasons[reason / 64] & (1ULL << (reason % 64));
}

// Fills in what the socket tells, if it is one of the packet's connection, or
// the listener that it met. It may be a minisocket, or one that the kernel
// sends packets of no connection with.
static __always_inline void read_drop_sock(struct tt_drop *out, const struct sock *sk)
{
	struct tt_head of = {};
	struct tt_sock copy;
	__u8 state;

	read_sock(&copy, sk);
	if (!set_tuple(&of, &copy))
		return;
	out->head.netns = of.netns;
	state = member(&copy, skc_state);
	if (of.local_port != out->head.local_port ||
	    (state != TCP_LISTEN && of.remote_port != out->head.remote_port))
		return;
	out->head.cookie = cookie_of(&copy);
	out->head.old_state = state;
	if (state == TCP_TIME_WAIT)
		out->head.old_state = BPF_CORE_READ((const struct inet_timewait_sock *)sk, tw_substate);
	else if (state == TCP_NEW_SYN_RECV)
		out->head.old_state = TCP_SYN_RECV;
}

// Reports whether we send the packet: its socket says so, or it has come in by
// no device.
static __always_inline bool is_outgoing(const struct tt_head *packet, const struct sk_buff *skb,
					const struct sock *owner)
{
	struct tt_sock copy;

	if (!owner)
		return !BPF_CORE_READ(skb, skb_iif);
	read_sock(&copy, owner);
	if (member(&copy, skc_num) == packet->local_port)
		return false;
	return member(&copy, skc_num) == packet->remote_port || !BPF_CORE_READ(skb, skb_iif);
}

static __always_inline void swap_ends(struct tt_head *head)
{
	__u16 port = head->local_port;
	__u8 addr[16];

	head->local_port = head->remote_port;
	head->remote_port = port;
	copy_addr(addr, head->local);
	copy_addr(head->local, head->remote);
	copy_addr(head->remote, addr);
}

static __always_inline int packet_dropped(const struct sk_buff *skb, __u64 location, __u32 reason,
					  const struct sock *receiver)
{
	struct tt_drop drop = {
		.head = {
			.kind = TT_DROPPED,
		},
		.reason = reason,
	};
	const struct sock *owner = BPF_CORE_READ(skb, sk);
	struct tt_drop *out;

	if (!read_dropped(&drop, skb))
		return 0;
	drop.head.time_ns = bpf_ktime_get_ns();
	if (!receiver && is_outgoing(&drop.head, skb, owner)) {
		swap_ends(&drop.head);
		drop.head.flags |= TT_F_OUTGOING;
	}
	if (receiver || owner)
		read_drop_sock(&drop, receiver ?: owner);
	else
		drop.head.netns = packet_netns(skb);
	if (!tuple_selected(&drop.head) || !owner_selected(drop.head.cookie))
		return 0;
	if (config.frame_base)
		drop.location = location - config.frame_base;
	out = reserve(&drop.head, sizeof(*out));
	if (!out)
		return 0;
	*out = drop;
	submit(out);
	return 0;
}

// The kernel frees a packet that has not reached anybody. It may have met a
// timewait socket, and be the FIN that this one waited for, or a listener.
static __always_inline int packet_freed(const struct sk_buff *skb, __u64 location, __u32 reason,
					const struct sock *receiver)
{
	__u8 state = receiver ? sock_state(receiver) : 0;

	if (config.finds_fin && state == TCP_TIME_WAIT)
		timewait_received((const struct inet_timewait_sock *)receiver);
	else if (state == TCP_LISTEN)
		listener_drops(receiver, skb, reason);
	if (!is_told(reason))
		return 0;
	if (shed_drops)
		count_shed(TT_DROPPED);
	else
		packet_dropped(skb, location, reason, receiver);
	return 0;
}
