// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
//
// The minisockets by the kernel functions that make and end them, where the
// kernel has trampolines. They tell what the timers tell (minisock.h), without
// a look at every timer of the host, and the FIN that meets a FIN_WAIT2
// minisocket on every kernel.
#pragma once

#include "minisock.h"
#include "state.h"

// The full socket is about to give way to tw, which has its cookie but not all
// of its addresses yet.
static __always_inline int timewait_made(const struct sock *sk, __u8 state,
					 const struct inet_timewait_sock *tw)
{
	struct tt_head head = {
		.time_ns = bpf_ktime_get_ns(),
		.kind = TT_TIMEWAIT_BEGIN,
		.new_state = state,
	};

	if (!tw) // tcp_max_tw_buckets is reached
		return 0;
	if (read_identity(&head, sk) && tuple_selected(&head) && is_told_of(&head))
		emit_timewait_begin(&head, 0); // its timer is not armed yet
	return 0;
}

// tw_timer_handler does nothing but kill the socket.
static __always_inline int timewait_expires(const struct timer_list *timer)
{
	struct tt_moment *moment = this_moment();

	if (moment)
		moment->expiring_timer = (__u64)timer;
	return 0;
}

// Every timewait socket ends here, whether its timer ran out or not.
static __always_inline int timewait_killed(const struct inet_timewait_sock *tw, void *ctx)
{
	struct tt_moment *moment = this_moment();

	if (!moment || moment->expiring_timer != timer_of(tw, struct inet_timewait_sock, tw_timer))
		return timewait_ends(tw, ctx, TT_CAUSE_UNKNOWN);
	moment->expiring_timer = 0;
	return timewait_ends(tw, ctx, TT_CAUSE_EXPIRED);
}

// Reports whether inet_csk_reqsk_queue_hash_add, at whose exit we are, has put
// the request into the table. Newer kernels refuse the second of two identical
// SYNs; 7.2 took an argument from the function, so that its result, which
// follows them, moved. From C, clang would make one load at a variable offset
// of the two, which the verifier does not take.
static __always_inline bool was_added(void *ctx)
{
	__u64 result = 1;

	if (config.hash_add_args == 3)
		asm volatile("%0 = *(u64 *)(%1 + 24)" : "=r"(result) : "r"(ctx));
	else if (config.hash_add_args == 2)
		asm volatile("%0 = *(u64 *)(%1 + 16)" : "=r"(result) : "r"(ctx));
	return (__u8)result;
}

// A SYN has made a request, whose SYN-ACK is not sent yet. The child inherits
// the cookie that the request is given here.
static __always_inline int request_added(const struct request_sock *req, void *ctx)
{
	if (!was_added(ctx))
		return 0;
	if (config.has_cookie_helper)
		bpf_get_socket_cookie((void *)req);
	request_begins(req);
	return 0;
}

static __always_inline int request_completed(const struct sock *child)
{
	struct tt_moment *moment = this_moment();

	if (moment && moment->child == (__u64)child)
		moment->child = 0;
	return 0;
}

// Reports whether the request is about to leave the table of half-open
// connections without a child: one would have taken its place there already.
// Not where its timer's handler, or an outer function, tells of the end.
static __always_inline bool is_dying(const struct tt_moment *moment, const struct request_sock *req)
{
	return moment->dropping != (__u64)req &&
	       moment->expiring_timer != timer_of(req, struct request_sock, rsk_timer) &&
	       req->__req_common.skc_node.pprev;
}

static __always_inline int request_drop(const struct request_sock *req, void *ctx)
{
	struct tt_moment *moment = this_moment();

	if (moment && is_dying(moment, req))
		request_dropped(req, ctx);
	return 0;
}

// inet_csk_reqsk_queue_drop_and_put calls inet_csk_reqsk_queue_drop, but the
// compiler may have inlined that.
static __always_inline int request_drop_begins(const struct request_sock *req, void *ctx)
{
	struct tt_moment *moment = this_moment();

	if (moment && is_dying(moment, req)) {
		request_dropped(req, ctx);
		moment->dropping = (__u64)req;
	}
	return 0;
}

static __always_inline int request_drop_ends(void)
{
	struct tt_moment *moment = this_moment();

	if (moment)
		moment->dropping = 0;
	return 0;
}

// The handler of a request's timer has returned. It has armed the timer again,
// or given the request up.
static __always_inline int request_expired(const struct timer_list *timer)
{
	struct tt_moment *moment = this_moment();

	if (timer->entry.pprev && moment && moment->expiring_timer == (__u64)timer) {
		moment->expiring_timer = 0;
		return 0;
	}
	return timer_expired(timer);
}
