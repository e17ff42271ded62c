// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
//
// Timewait sockets: TIME_WAIT, and the FIN_WAIT2 of a socket that its process
// has closed. The tracepoint of transitions does not know them.
#pragma once

#include "emit.h"
#include "filter.h"
#include "sock.h"

static __always_inline bool read_timewait(struct tt_head *head, const struct inet_timewait_sock *tw)
{
	struct tt_sock copy;

	read_sock(&copy, tw);
	if (!set_tuple(head, &copy) || !tuple_selected(head))
		return false;
	head->cookie = cookie_of(&copy);
	return owner_selected(head->cookie);
}

// A timewait socket is made, or its timer armed again.
static __always_inline int timewait_begins(const struct inet_timewait_sock *tw)
{
	struct tt_head head = {
		.time_ns = bpf_ktime_get_ns(),
		.kind = TT_TIMEWAIT_BEGIN,
	};
	__u8 one = 1;

	if (!read_timewait(&head, tw))
		return 0;
	head.new_state = BPF_CORE_READ(tw, tw_substate);
	if (config.sees_fin && head.new_state == TCP_FIN_WAIT2 &&
	    bpf_map_update_elem(&half_closed, &head.cookie, &one, BPF_ANY))
		count_lost(TT_TIMEWAIT_FIN);
	emit_head(&head);
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

// A timewait socket's timer is detached: it ran out, or is armed again, or
// the socket is killed. The stack tells which, and user space reads it.
static __always_inline int timewait_ends(const struct inet_timewait_sock *tw, void *ctx)
{
	struct tt_head head = {
		.time_ns = bpf_ktime_get_ns(),
		.kind = TT_TIMEWAIT_END,
	};
	struct tt_timewait_end *end;
	long size;

	if (!read_timewait(&head, tw))
		return 0;
	head.old_state = BPF_CORE_READ(tw, tw_substate);
	if (config.sees_fin && head.old_state == TCP_FIN_WAIT2)
		bpf_map_delete_elem(&half_closed, &head.cookie);
	end = reserve(&head, sizeof(*end));
	if (!end)
		return 0;
	size = bpf_get_stack(ctx, end->frames, sizeof(end->frames), 0);
	for (int i = 0; i < TT_FRAMES; i++)
		if (size < (long)((i + 1) * sizeof(__u64)))
			end->frames[i] = 0;
	submit(end);
	return 0;
}
