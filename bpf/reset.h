// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
//
// RSTs, sent and received. A RST that answers a packet takes its addresses
// from that packet: the socket may be missing, a listener, or a minisocket.
#pragma once

#include "emit.h"
#include "filter.h"
#include "owner.h"
#include "sock.h"

struct tt_ports {
	__be16 source;
	__be16 dest;
};

struct tt_ipv4_addrs {
	__be32 saddr;
	__be32 daddr;
};

struct tt_ipv6_addrs {
	__u8 saddr[16];
	__u8 daddr[16];
};

#define IPV4_ADDRS 12 // offset of the addresses in the header
#define IPV6_ADDRS 8

// Fills in the addresses and ports of our answer to a received packet.
static __always_inline bool read_answer(struct tt_head *head, const struct sk_buff *skb)
{
	const unsigned char *base = BPF_CORE_READ(skb, head);
	const unsigned char *ip = base + BPF_CORE_READ(skb, network_header);
	const unsigned char *tcp = base + BPF_CORE_READ(skb, transport_header);
	struct tt_ipv4_addrs ipv4;
	struct tt_ports ports;
	__u8 version = 0;

	if (bpf_probe_read_kernel(&version, sizeof(version), ip) ||
	    bpf_probe_read_kernel(&ports, sizeof(ports), tcp))
		return false;
	version >>= 4;
	if (version == 4) {
		if (bpf_probe_read_kernel(&ipv4, sizeof(ipv4), ip + IPV4_ADDRS))
			return false;
		set_ipv4(head->local, ipv4.daddr);
		set_ipv4(head->remote, ipv4.saddr);
	} else if (version == 6) {
		const unsigned char *addrs = ip + IPV6_ADDRS;

		if (bpf_probe_read_kernel(head->remote, 16, addrs) ||
		    bpf_probe_read_kernel(head->local, 16, addrs + 16))
			return false;
	} else {
		return false;
	}
	head->family = version;
	head->local_port = bpf_ntohs(ports.dest);
	head->remote_port = bpf_ntohs(ports.source);
	return true;
}

// Fills in all that the socket tells. It may be a full socket, a minisocket,
// whose state is told otherwise, or a listener, which is no connection's.
static __always_inline bool read_reset_sock(struct tt_head *head, const struct sock *sk)
{
	struct tt_sock copy;
	__u8 state;

	read_sock(&copy, sk);
	if (!set_tuple(head, &copy))
		return false;
	state = member(&copy, skc_state);
	head->old_state = state;
	if (state != TCP_LISTEN)
		head->cookie = cookie_of(&copy);
	if (state == TCP_TIME_WAIT) {
		head->old_state = BPF_CORE_READ((const struct inet_timewait_sock *)sk, tw_substate);
	} else if (state == TCP_NEW_SYN_RECV) {
		head->old_state = TCP_SYN_RECV;
	} else {
		set_released_port(head, sk);
		head->err = BPF_CORE_READ(sk, sk_err);
		if (in_process_context(sk))
			head->flags |= TT_F_PROCESS;
	}
	return true;
}

static __always_inline void emit_reset(struct tt_head *head, __u16 reason)
{
	struct tt_reset *reset;

	if (!tuple_selected(head) || !owner_selected(head->cookie))
		return;
	reset = reserve(head, sizeof(*reset));
	if (!reset)
		return;
	reset->reason = reason;
	__builtin_memset(reset->pad, 0, sizeof(reset->pad));
	if (head->flags & TT_F_PROCESS)
		read_task(&reset->task);
	else
		no_task(&reset->task);
	submit(reset);
}

static __always_inline int reset_sent(const struct sock *sk, const struct sk_buff *skb, int reason)
{
	struct tt_head head = {
		.time_ns = bpf_ktime_get_ns(),
		.kind = TT_RESET_SENT,
	};
	bool known = false;

	// The verifier of older kernels believes that sk is never NULL and drops
	// the first test; reading the state of NULL gives 0.
	if (sk && sock_state(sk)) {
		known = read_reset_sock(&head, sk);
	} else if (skb) {
		head.netns = BPF_CORE_READ(skb, dev, nd_net.net, ns.inum);
	}
	if ((skb && read_answer(&head, skb)) || known)
		emit_reset(&head, reason);
	return 0;
}

static __always_inline int reset_received(const struct sock *sk)
{
	struct tt_head head = {
		.time_ns = bpf_ktime_get_ns(),
		.kind = TT_RESET_RECEIVED,
	};

	if (read_reset_sock(&head, sk))
		emit_reset(&head, 0);
	return 0;
}
