// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
//
// The handlers of our timers, as sockets of our own have them, where kallsyms
// shows no addresses: see minisock.h and internal/probe/handlers.go.
#pragma once

#include "kernel.h"

// The port of our listener, which its requests have too, and the others as the
// peer's. Set by user space before loading. Should a stranger's socket have it,
// the handlers are the same.
const volatile __u16 own_port;

// What was found; 0: nothing yet. Read by user space.
__u64 timewait_handler;
__u64 request_handler;
__u64 write_handler;

// Of the timer that 7.0 moved: see kernel.h.
static __always_inline __u64 retransmit_handler(const struct inet_connection_sock *icsk)
{
	const struct sock___timer *moved = (const void *)icsk;

	if (bpf_core_field_exists(struct sock___timer, tcp_retransmit_timer))
		return (__u64)BPF_CORE_READ(moved, tcp_retransmit_timer.function);
	return (__u64)BPF_CORE_READ(icsk, icsk_retransmit_timer.function);
}

static __always_inline int find_handlers(struct bpf_iter__tcp *ctx)
{
	struct sock_common *skc = ctx->sk_common;
	struct tcp_timewait_sock *tw;
	struct tcp_request_sock *req;
	struct tcp_sock *tp;

	if (!skc || (skc->skc_num != own_port && skc->skc_dport != bpf_htons(own_port)))
		return 0;
	tp = bpf_skc_to_tcp_sock(skc);
	if (tp)
		write_handler = retransmit_handler(&tp->inet_conn);
	else if ((tw = bpf_skc_to_tcp_timewait_sock(skc)))
		timewait_handler = (__u64)((const struct inet_timewait_sock *)tw)->tw_timer.function;
	else if ((req = bpf_skc_to_tcp_request_sock(skc)))
		request_handler = (__u64)((const struct request_sock *)req)->rsk_timer.function;
	return 0;
}
