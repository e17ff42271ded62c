// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
//
// Timewait sockets: TIME_WAIT, and the FIN_WAIT2 of a socket that its process
// has closed. The tracepoint of transitions does not know them.
#pragma once

#include "emit.h"
#include "frames.h"
#include "identity.h"
#include "shed.h"

static __always_inline bool read_timewait(struct tt_head *head, const struct inet_timewait_sock *tw)
{
	return read_identity_at(head, tw) && tuple_selected(head) && is_told_of(head);
}

static __always_inline __u32 ports_of(const struct tt_head *head)
{
	return (__u32)head->local_port << 16 | head->remote_port;
}

static __always_inline void note_detached(const struct tt_head *head)
{
	struct tt_moment *moment;

	if (config.frame_base || !config.timewait_handler)
		return;
	moment = this_moment();
	if (!moment)
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
	struct tt_moment *moment = config.frame_base ? NULL : this_moment();

	if (!moment || !moment->detached_ns || moment->detached_cookie != head->cookie || moment->detached_ports != ports_of(head))
		return;
	head->time_ns = moment->detached_ns;
	moment->detached_ns = 0;
}

static __always_inline void emit_timewait_begin(const struct tt_head *head, __u32 left_jiffies)
{
	struct tt_timewait_begin *begin;
	__u8 fin = TT_HALF_FIN;

	if (config.sees_fin && head->new_state == TCP_FIN_WAIT2 &&
	    bpf_map_update_elem(&half_closed, &head->cookie, &fin, BPF_ANY))
		count_lost(TT_TIMEWAIT_FIN);
	begin = reserve(head, sizeof(*begin));
	if (!begin)
		return;
	begin->left_jiffies = left_jiffies;
	begin->pad = 0;
	submit(begin);
}

// What the socket waits for, by enum tt_half, or NULL.
static __always_inline __u8 *half_of(const struct inet_timewait_sock *tw)
{
	__u64 cookie = peek_at(struct sock_common, tw, skc_cookie.counter);

	return bpf_map_lookup_elem(&half_closed, &cookie);
}

// The FIN that a timewait socket waits for sets its substate, and has its timer
// armed anew (tcp_timewait_state_process). Reports whether it is detached for that:
// then no stack is needed. Should another CPU end the socket just then, its timer
// is not armed again, and timewait_received, which follows, tells of it.
static __always_inline bool awaits_timer(const struct inet_timewait_sock *tw)
{
	__u8 *half;

	if (!config.finds_fin || !config.frame_base ||
	    peek_at(struct inet_timewait_sock, tw, tw_substate) != TCP_TIME_WAIT)
		return false;
	half = half_of(tw);
	if (!half)
		return false;
	*half = TT_HALF_TIMER;
	return true;
}

// A timewait socket's timer is armed: as the socket is made, or again; by the FIN
// that it waited for, if that is how it came from FIN_WAIT2 to TIME_WAIT.
static __always_inline int timewait_armed(const struct inet_timewait_sock *tw)
{
	struct tt_head head = {
		.time_ns = bpf_ktime_get_ns(),
		.kind = TT_TIMEWAIT_BEGIN,
	};

	if (!read_timewait(&head, tw))
		return 0;
	head.new_state = peek_at(struct inet_timewait_sock, tw, tw_substate);
	if (config.finds_fin && config.frame_base && head.new_state == TCP_TIME_WAIT &&
	    !bpf_map_delete_elem(&half_closed, &head.cookie)) {
		head.kind = TT_TIMEWAIT_FIN;
		head.old_state = TCP_FIN_WAIT2;
		emit_head(&head);
		return 0;
	}
	date_back(&head);
	emit_timewait_begin(&head, peek_at(struct inet_timewait_sock, tw, tw_timer.expires) - bpf_jiffies64());
	return 0;
}

// Whether the network namespace is being taken down, and all that is in it.
static __always_inline bool is_of_past_netns(const struct inet_timewait_sock *tw)
{
	const struct net *net = peek_at(struct sock_common, tw, skc_net.net);

	if (bpf_core_field_exists(struct ns_common, __ns_ref))
		return !BPF_CORE_READ(net, ns.__ns_ref.refs.counter);
	if (bpf_core_field_exists(struct ns_common___count, count))
		return !BPF_CORE_READ((const struct ns_common___count *)&net->ns, count.refs.counter);
	if (bpf_core_field_exists(struct net___count, count))
		return !BPF_CORE_READ((const struct net___count *)net, count.refs.counter);
	return false;
}

// head is the record's. Without a cause, the stack at ctx, if any, tells it.
static __always_inline void emit_timewait_end(struct tt_head *head, void *ctx)
{
	struct tt_timewait_end *end;

	head->kind = TT_TIMEWAIT_END;
	if (head->cause != TT_CAUSE_UNKNOWN) {
		emit_head(head);
		return;
	}
	end = reserve(head, sizeof(*end));
	if (!end)
		return;
	if (ctx && config.frame_base)
		read_frames(end->frames, TT_FRAMES, ctx);
	else
		__builtin_memset(end->frames, 0, sizeof(end->frames));
	submit(end);
}

// A packet has met a timewait socket: was it the FIN that it waited for, and has
// not been told of as the timer was armed?
static __always_inline int timewait_received(const struct inet_timewait_sock *tw)
{
	struct tt_head head = {
		.kind = TT_TIMEWAIT_FIN,
		.old_state = TCP_FIN_WAIT2,
		.new_state = TCP_TIME_WAIT,
	};
	__u8 *half = half_of(tw);
	bool ended;

	if (!half || peek_at(struct inet_timewait_sock, tw, tw_substate) != TCP_TIME_WAIT)
		return 0;
	ended = *half == TT_HALF_TIMER &&
		!peek_at(struct inet_timewait_sock, tw, tw_timer.entry.pprev);
	head.cookie = peek_at(struct sock_common, tw, skc_cookie.counter);
	bpf_map_delete_elem(&half_closed, &head.cookie);
	head.time_ns = bpf_ktime_get_ns();
	if (!read_timewait(&head, tw))
		return 0;
	emit_head(&head);
	if (ended) {
		head.old_state = TCP_TIME_WAIT;
		head.new_state = 0;
		emit_timewait_end(&head, NULL);
	}
	return 0;
}

// A timewait socket ends for the given cause. Where that is unknown, and it is not
// by the end of its namespace, the stack tells it, and user space reads the stack;
// it may also find there that the timer was only armed again. Without names for
// the stack's functions, it finds that in what is told next.
static __always_inline int timewait_ends(const struct inet_timewait_sock *tw, void *ctx,
					 enum tt_cause cause)
{
	struct tt_head head = {
		.time_ns = bpf_ktime_get_ns(),
		.cause = cause,
	};

	if (!read_timewait(&head, tw))
		return 0;
	head.old_state = peek_at(struct inet_timewait_sock, tw, tw_substate);
	if (cause == TT_CAUSE_EXPIRED)
		date_back(&head);
	else
		note_detached(&head);
	if (config.sees_fin && head.old_state == TCP_FIN_WAIT2)
		bpf_map_delete_elem(&half_closed, &head.cookie);
	if (!cause && is_of_past_netns(tw))
		head.cause = TT_CAUSE_NETNS;
	emit_timewait_end(&head, ctx);
	return 0;
}
