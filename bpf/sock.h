// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
//
// Reading sockets: who they are and which addresses they have. Everything is
// read with bpf_probe_read_kernel, so that the same code serves the typed
// arguments of tracepoints and the pointers found behind a timer.
#pragma once

#include "event.h"

static __always_inline __u8 sock_state(const void *sk)
{
	return BPF_CORE_READ((struct sock *)sk, __sk_common.skc_state);
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

// Fills in the namespace, family, addresses and ports from the part that full,
// request and timewait sockets share. Returns false for another family.
static __always_inline bool read_tuple(struct tt_head *head, const struct sock_common *skc)
{
	__u16 family = BPF_CORE_READ(skc, skc_family);

	if (family == AF_INET) {
		set_ipv4(head->local, BPF_CORE_READ(skc, skc_rcv_saddr));
		set_ipv4(head->remote, BPF_CORE_READ(skc, skc_daddr));
		head->family = 4;
	} else if (family == AF_INET6) {
		BPF_CORE_READ_INTO(&head->local, skc, skc_v6_rcv_saddr.in6_u.u6_addr8);
		BPF_CORE_READ_INTO(&head->remote, skc, skc_v6_daddr.in6_u.u6_addr8);
		head->family = is_mapped(head->remote) ? 4 : 6;
	} else {
		return false;
	}
	head->local_port = BPF_CORE_READ(skc, skc_num);
	head->remote_port = bpf_ntohs(BPF_CORE_READ(skc, skc_dport));
	head->netns = BPF_CORE_READ(skc, skc_net.net, ns.inum);
	return true;
}

// The same for a full socket, whose port is still known after its release.
static __always_inline bool read_full_tuple(struct tt_head *head, const struct sock *sk)
{
	if (!read_tuple(head, &sk->__sk_common))
		return false;
	if (!head->local_port)
		head->local_port = bpf_ntohs(BPF_CORE_READ((struct inet_sock *)sk, inet_sport));
	return true;
}

// The same for a socket of any kind; a minisocket has no field for a released
// port, and none is released.
static __always_inline bool read_full_or_mini_tuple(struct tt_head *head, const struct sock *sk)
{
	__u8 state = sock_state(sk);

	if (state == TCP_TIME_WAIT || state == TCP_NEW_SYN_RECV)
		return read_tuple(head, &sk->__sk_common);
	return read_full_tuple(head, sk);
}

static __always_inline __u64 read_cookie(const struct sock_common *skc)
{
	return BPF_CORE_READ(skc, skc_cookie.counter);
}
