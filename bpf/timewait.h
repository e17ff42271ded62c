// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
//
// Timewait sockets: TIME_WAIT, and the FIN_WAIT2 of a socket that its process
// has closed. The tracepoint of transitions does not know them.
#pragma once

#include "emit.h"
#include "frames.h"
#include "shed.h"
#include "sock.h"

static __always_inline bool read_timewait(struct tt_head *head, const struct inet_timewait_sock *tw)
{
	struct tt_sock copy;

	read_sock(&copy, tw);
	if (!set_tuple(head, &copy) || !tuple_selected(head))
		return false;
	head->cookie = cookie_of(&copy);
	return is_told_of(head);
}

static __always_inline __u32 ports_of(const struct tt_head *head)
{
	return (__u32)head->local_port << 16 | head->remote_port;
}

static __always_inline void note_detached(const struct tt_head *head)
{
	struct tt_moment *moment = this_moment();

	if (config.frame_base || !config.timewait_handler || !moment)
		return;
	moment->detached_cookie = head->cookie;
	moment->detached_ports = ports_of(head);
	moment->detached_ns = head->time_ns;
}

// Without names for its functions, no stack tells that a timer was detached only to
// be armed again, or to run. Either happens at once, and is given the time of that,
// for user space to know it by.
static __always_inline void date_back(struct tt_head *head)
{
	struct tt_moment *moment = this_moment();

	if (config.frame_base || !moment || !moment->detached_ns ||
	    moment->detached_cookie != head->cookie || moment->detached_ports != ports_of(head))
		return;
	head->time_ns = moment->detached_ns;
	moment->detached_ns = 0;
}

static __always_inline void emit_timewait_begin(const struct tt_head *head, __u32 left_jiffies)
{
	struct tt_timewait_begin *begin;
	__u8 one = 1;

	if (config.sees_fin && head->new_state == TCP_FIN_WAIT2 &&
	    bpf_map_update_elem(&half_closed, &head->cookie, &one, BPF_ANY))
		count_lost(TT_TIMEWAIT_FIN);
	begin = reserve(head, sizeof(*begin));
	if (!begin)
		return;
	begin->left_jiffies = left_jiffies;
	begin->pad = 0;
	submit(begin);
}

// A timewait socket's timer is armed: as the socket is made, or again.
static __always_inline int timewait_armed(const struct inet_timewait_sock *tw)
{
	struct tt_head head = {
		.time_ns = bpf_ktime_get_ns(),
		.kind = TT_TIMEWAIT_BEGIN,
	};

	if (!read_timewait(&head, tw))
		return 0;
	head.new_state = BPF_CORE_READ(tw, tw_substate);
	date_back(&head);
	emit_timewait_begin(&head, BPF_CORE_READ(tw, tw_timer.expires) - bpf_jiffies64());
	return 0;
}

// A packet has met a timewait socket: was it the FIN that it waited for?
static __always_inline int timewait_received(const struct inet_timewait_sock *tw)
{
	struct tt_head head = {
		.kind = TT_TIMEWAIT_FIN,
		.old_state = TCP_FIN_WAIT2,
		.new_state = TCP_TIME_WAIT,
	};

	head.cookie = BPF_CORE_READ(tw, __tw_common.skc_cookie.counter);
	if (!bpf_map_lookup_elem(&half_closed, &head.cookie) ||
	    BPF_CORE_READ(tw, tw_substate) != TCP_TIME_WAIT)
		return 0;
	bpf_map_delete_elem(&half_closed, &head.cookie);
	head.time_ns = bpf_ktime_get_ns();
	if (read_timewait(&head, tw))
		emit_head(&head);
	return 0;
}

// A timewait socket ends for the given cause. Where that is unknown, the stack
// tells it, and user space reads the stack; it may also find there that the
// timer was only armed again. Without names for the stack's functions, it finds
// that in what is told next.
static __always_inline int timewait_ends(const struct inet_timewait_sock *tw, void *ctx,
					 enum tt_cause cause)
{
	struct tt_head head = {
		.time_ns = bpf_ktime_get_ns(),
		.kind = TT_TIMEWAIT_END,
		.cause = cause,
	};
	struct tt_timewait_end *end;

	if (!read_timewait(&head, tw))
		return 0;
	head.old_state = BPF_CORE_READ(tw, tw_substate);
	if (cause == TT_CAUSE_EXPIRED)
		date_back(&head);
	else
		note_detached(&head);
	if (config.sees_fin && head.old_state == TCP_FIN_WAIT2)
		bpf_map_delete_elem(&half_closed, &head.cookie);
	end = reserve(&head, sizeof(*end));
	if (!end)
		return 0;
	if (cause == TT_CAUSE_UNKNOWN && config.frame_base)
		read_frames(end->frames, TT_FRAMES, ctx);
	else
		__builtin_memset(end->frames, 0, sizeof(end->frames));
	submit(end);
	return 0;
}
