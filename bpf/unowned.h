// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
//
// Which sockets a listener made whose process is not known yet: marked as they
// become ESTABLISHED, until a process accepts them or reads from them first.
#pragma once

#include "config.h"

#define TT_UNOWNED 65536

// Cookies, each in the place that its lowest bits say: the kernel counts them up,
// so that as many sockets in a row have a place each. Taken away by the process
// or as the socket closes. Where another is in that place still, the mark is made
// at the socket instead.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TT_UNOWNED);
	__type(key, __u32);
	__type(value, __u64);
} unowned SEC(".maps");

// The kernel frees the mark with the socket. To make one and to take it away
// costs ten times what a place does.
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u8);
} unowned_socket SEC(".maps");

// Some mark was made at a socket.
bool marks_sockets;

static __always_inline __u64 *unowned_place(__u64 cookie)
{
	__u32 place = cookie % TT_UNOWNED;

	return cookie ? bpf_map_lookup_elem(&unowned, &place) : NULL;
}

// A child socket is ESTABLISHED, and the kernel alone has had a hand in it.
static __always_inline void make_mark(struct sock *sk, __u64 cookie)
{
	__u64 *place;

	if (!config.marks_unowned)
		return;
	place = unowned_place(cookie);
	if (place && !*place) {
		*place = cookie;
		return;
	}
	marks_sockets = true;
	bpf_sk_storage_get(&unowned_socket, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
}

// Returns false if there was none.
static __always_inline bool clear_place(__u64 cookie)
{
	__u64 *place = unowned_place(cookie);

	if (!place || *place != cookie)
		return false;
	*place = 0;
	return true;
}

// Whoever takes the mark away has the socket locked.
static __always_inline bool take_mark(struct sock *sk)
{
	if (!config.marks_unowned)
		return false;
	if (clear_place(sk->__sk_common.skc_cookie.counter))
		return true;
	return marks_sockets && !bpf_sk_storage_delete(&unowned_socket, sk);
}
