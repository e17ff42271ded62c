// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
//
// Reading sockets: who they are and which addresses they have.
#pragma once

#include "event.h"

// The head of a full, request or timewait socket, copied in one read: that is
// cheaper than a read for each member, and serves the pointers found behind a
// timer as well as the typed arguments of tracepoints.
struct tt_sock {
	__u8 bytes[128];
};

#define member(copy, name)                                            \
	(*(typeof(((struct sock_common *)0)->name) *)((copy)->bytes + \
						      bpf_core_field_offset(struct sock_common, name)))

static __always_inline void read_sock(struct tt_sock *copy, const void *sk)
{
	bpf_probe_read_kernel(copy, sizeof(*copy), sk);
}

static __always_inline __u8 sock_state(const void *sk)
{
	return BPF_CORE_READ((struct sock *)sk, __sk_common.skc_state);
}

static __always_inline __u64 cookie_of(struct tt_sock *copy)
{
	return member(copy, skc_cookie).counter;
}

static __always_inline void copy_addr(__u8 to[16], const void *from)
{
	__u64 *out = (__u64 *)to;
	const __u64 *in = from;

	out[0] = in[0];
	out[1] = in[1];
}

static __always_inline void set_ipv4(__u8 addr[16], __be32 ipv4)
{
	__u32 *word = (__u32 *)addr;

	word[0] = 0;
	word[1] = 0;
	word[2] = bpf_htonl(0xffff);
	word[3] = ipv4;
}

static __always_inline bool is_mapped(const __u8 addr[16])
{
	const __u32 *word = (const __u32 *)addr;

	return word[0] == 0 && word[1] == 0 && word[2] == bpf_htonl(0xffff);
}

// Fills in the namespace, family, addresses and ports. Returns false for a
// family other than IPv4 and IPv6.
static __always_inline bool set_tuple(struct tt_head *head, struct tt_sock *copy)
{
	const struct net *net = member(copy, skc_net).net;
	__u16 family = member(copy, skc_family);

	if (family == AF_INET) {
		set_ipv4(head->local, member(copy, skc_rcv_saddr));
		set_ipv4(head->remote, member(copy, skc_daddr));
		head->family = 4;
	} else if (family == AF_INET6) {
		copy_addr(head->local, &member(copy, skc_v6_rcv_saddr));
		copy_addr(head->remote, &member(copy, skc_v6_daddr));
		head->family = is_mapped(head->remote) ? 4 : 6;
	} else {
		return false;
	}
	head->local_port = member(copy, skc_num);
	head->remote_port = bpf_ntohs(member(copy, skc_dport));
	head->netns = BPF_CORE_READ(net, ns.inum);
	return true;
}

// A full socket's port is released as it closes; this is where it is kept.
static __always_inline void set_released_port(struct tt_head *head, const struct sock *sk)
{
	if (!head->local_port)
		head->local_port = bpf_ntohs(BPF_CORE_READ((struct inet_sock *)sk, inet_sport));
}
