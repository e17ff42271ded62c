// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
//
// Who a socket is. Where the kernel knows its type, or lets us say it, it is
// read in place, which is cheaper than a copy of its head.
#pragma once

#include "peek.h"
#include "sock.h"

// As set_tuple.
static __always_inline bool set_known_tuple(struct tt_head *head, const struct sock_common *skc)
{
	__u16 family = skc->skc_family;

	if (family == AF_INET) {
		set_ipv4(head->local, skc->skc_rcv_saddr);
		set_ipv4(head->remote, skc->skc_daddr);
		head->family = 4;
	} else if (family == AF_INET6) {
		copy_addr(head->local, &skc->skc_v6_rcv_saddr);
		copy_addr(head->remote, &skc->skc_v6_daddr);
		head->family = is_mapped(head->remote) ? 4 : 6;
	} else {
		return false;
	}
	head->local_port = skc->skc_num;
	head->remote_port = bpf_ntohs(skc->skc_dport);
	head->netns = skc->skc_net.net->ns.inum;
	return true;
}

static __always_inline bool read_known(struct tt_head *head, const struct sock_common *skc)
{
	head->cookie = skc->skc_cookie.counter;
	return set_known_tuple(head, skc);
}

static __always_inline bool read_copied(struct tt_head *head, const void *sk)
{
	struct tt_sock copy;

	read_sock(&copy, sk);
	head->cookie = cookie_of(&copy);
	return set_tuple(head, &copy);
}

// Fills in who a full socket is that a program was passed.
static __always_inline bool read_identity(struct tt_head *head, const struct sock *sk)
{
	return config.untyped ? read_copied(head, sk) : read_known(head, &sk->__sk_common);
}

// The same of any socket, of which the program has but the address.
static __always_inline bool read_identity_at(struct tt_head *head, const void *sk)
{
	if (config.has_cast)
		return read_known(head, cast(struct sock_common, sk));
	return read_copied(head, sk);
}
