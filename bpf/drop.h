// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
//
// Packets of TCP that the kernel dropped, for a reason that matters: which do
// is for user space to say, that knows this kernel's numbers.
#pragma once

#include "listener.h"
#include "packet.h"
#include "storm.h"
#include "timewait.h"

// How many of the storms are of dropped packets, so that a flood from addresses
// that are made up leaves room for others. Inserted there by the hook, deleted by
// user space, which counts anew.
volatile __u32 flows_dropped;

#define TT_MAX_FLOWS_DROPPED 2048

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
		return !peek(skb, skb_iif);
	read_sock(&copy, owner);
	if (member(&copy, skc_num) == packet->local_port)
		return false;
	return member(&copy, skc_num) == packet->remote_port || !peek(skb, skb_iif);
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

// A number for the addresses and ports of a packet, and what it is: a SYN, a FIN,
// data, or none; never 0.
static __always_inline __u64 flow_of(const struct tt_drop *drop)
{
	const __u64 *addrs = (const __u64 *)drop->head.local; // and remote, which follows
	__u64 hash = (__u64)drop->head.local_port << 48 | (__u64)drop->head.remote_port << 32 |
		     drop->head.flags << 8 | (drop->tcp_flags & (TCPHDR_FIN | TCPHDR_SYN)) << 1 |
		     !!drop->bytes;

	for (int i = 0; i < 4; i++) {
		hash = (hash ^ addrs[i]) * 0x9e3779b97f4a7c15ULL;
		hash ^= hash >> 32;
	}
	return hash | 1;
}

// Reports whether the packet is one of too many: it is counted, then, by its
// reason and flow or, where there is no room for another flow, with others of the
// namespace.
static __always_inline bool is_drop_flood(const struct tt_drop *drop)
{
	struct tt_storm_key key = {
		.netns = drop->head.netns,
		.reason = drop->reason,
		.kind = TT_DROPPED,
	};
	struct tt_storm *s;

	// Without types there is no iterator that tells the counts.
	if (config.untyped || cpu_allows(TT_PACE_DROPS, drop->head.time_ns))
		return false;
	key.whose = flow_of(drop);
	s = bpf_map_lookup_elem(&storms, &key);
	if (!s && flows_dropped < TT_MAX_FLOWS_DROPPED) {
		s = storm_of(&key);
		if (s) {
			__sync_fetch_and_add(&flows_dropped, 1);
			s->head = drop->head;
			s->total = drop->bytes;
			s->tokens = drop->tcp_flags;
		}
	}
	if (!s) {
		key.whose = 0;
		s = storm_of(&key);
		if (!s)
			return false;
		s->head.kind = key.kind;
		s->head.netns = key.netns;
	} else if (s->head.cookie != drop->head.cookie) {
		s->head.cookie = drop->head.cookie;
		s->head.old_state = drop->head.old_state;
	}
	s->filled_ns = drop->head.time_ns;
	count_event(s);
	return true;
}

// A bucket of dropped packets: tells of those that were counted, at most twice a
// second where they are of one flow.
static __always_inline void tell_drops(struct tt_storm *s, const struct tt_storm_key *key)
{
	__u64 now = bpf_ktime_get_ns();
	struct tt_drop *out;

	if (key->whose && !tracing_is_over && now - s->head.time_ns < TT_IDLE_NS)
		return;
	out = reserve(&s->head, sizeof(*out));
	if (!out) {
		count_untold(); // it is told later
		return;
	}
	s->head.time_ns = now;
	out->head.time_ns = now;
	out->seq = 0;
	out->bytes = s->total;
	out->location = 0;
	out->reason = key->reason;
	out->tcp_flags = s->tokens;
	out->pad = 0;
	out->pad2 = 0;
	take_count(&s->counts.events, &out->count);
	submit(out);
}

static __always_inline int packet_dropped(const struct sk_buff *skb, __u64 location, __u32 reason,
					  const struct sock *receiver)
{
	struct tt_drop drop = {
		.head = {
			.kind = TT_DROPPED,
		},
		.reason = reason,
		.count = 1,
	};
	const struct sock *owner = peek(skb, sk);
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
	if (is_drop_flood(&drop))
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
