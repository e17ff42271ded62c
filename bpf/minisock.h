// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
//
// From a timer to the socket that it belongs to. The kernel's timer
// tracepoints fire for every timer of the host; the handler's address, which
// user space found in kallsyms or learnt (handlers.h), picks ours out.
#pragma once

#include "peek.h"
#include "request.h"
#include "timewait.h"

#define owner_of(timer, type, member) \
	((const type *)((const void *)(timer)-bpf_core_field_offset(type, member)))

// How large a stack of the kernel is at least (THREAD_SIZE, IRQ_STACK_SIZE).
#define TT_STACK_BYTES 16384

// The socket behind a retransmission timer, which moved in 7.0.
static __always_inline const struct sock *retransmitting(const struct timer_list *timer)
{
	if (bpf_core_field_exists(struct sock___timer, tcp_retransmit_timer))
		return (const void *)owner_of(timer, struct sock___timer, tcp_retransmit_timer);
	return (const void *)owner_of(timer, struct inet_connection_sock, icsk_retransmit_timer);
}

// A SYN has just been sent, so the local port is known, which it was not as
// SYN_SENT began.
static __always_inline int connect_bound(const struct sock *sk)
{
	struct tt_head head = {
		.kind = TT_BOUND,
		.old_state = TCP_SYN_SENT,
	};

	if (peek_at(struct sock_common, sk, skc_state) != TCP_SYN_SENT ||
	    peek_at(struct inet_connection_sock, sk, icsk_retransmits))
		return 0;
	head.time_ns = bpf_ktime_get_ns();
	if (read_identity_at(&head, sk) && tuple_selected(&head) && is_told_of(&head))
		emit_head(&head);
	return 0;
}

static __always_inline int timer_started(const struct timer_list *timer)
{
	__u64 handler = (__u64)peek(timer, function);

	if (!handler)
		return 0;
	if (handler == config.write_handler)
		return connect_bound(retransmitting(timer));
	if (handler == config.timewait_handler)
		return timewait_armed(owner_of(timer, struct inet_timewait_sock, tw_timer));
	if (handler == config.request_handler)
		return request_armed(owner_of(timer, struct request_sock, rsk_timer), timer);
	return 0;
}

// The wheel takes the timers that are due into lists on its stack, and detaches
// each, the first of its list, in order to run it (__run_timers). On that same
// stack is what a tracepoint passes.
static __always_inline bool runs_out(const struct timer_list *timer, void *ctx)
{
	__u64 list = (__u64)peek(timer, entry.pprev);

	return (__u64)ctx < list && list < (__u64)ctx + TT_STACK_BYTES;
}

static __always_inline int timewait_detached(const struct timer_list *timer, void *ctx)
{
	const struct inet_timewait_sock *tw =
		owner_of(timer, struct inet_timewait_sock, tw_timer);

	if (config.frame_base && runs_out(timer, ctx))
		return timewait_ends(tw, ctx, TT_CAUSE_EXPIRED);
	return awaits_timer(tw) ? 0 : timewait_ends(tw, ctx, TT_CAUSE_UNKNOWN);
}

static __always_inline int timer_detached(const struct timer_list *timer, void *ctx)
{
	__u64 handler = (__u64)peek(timer, function);

	if (!handler)
		return 0;
	if (handler == config.timewait_handler)
		return timewait_detached(timer, ctx);
	if (handler == config.request_handler)
		return request_detached(owner_of(timer, struct request_sock, rsk_timer), ctx);
	return 0;
}

// A timer has been detached in order to run. Of a timewait socket's, the stack
// has told that already, if its functions have names.
static __always_inline int timer_expires(const struct timer_list *timer)
{
	__u64 handler = (__u64)peek(timer, function);

	if (!handler)
		return 0;
	if (handler == config.request_handler)
		return request_expires(owner_of(timer, struct request_sock, rsk_timer), timer);
	if (!config.frame_base && handler == config.timewait_handler)
		return timewait_ends(owner_of(timer, struct inet_timewait_sock, tw_timer), NULL,
				     TT_CAUSE_EXPIRED);
	return 0;
}
