// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
//
// Request sockets: SYN_RECV, from the SYN to the handshake's last ACK. They
// exist only in a table of half-open connections; their timers give them away.
#pragma once

#include "emit.h"
#include "frames.h"
#include "identity.h"
#include "shed.h"
#include "storm.h"

#define timer_of(owner, type, member) ((__u64)(owner) + bpf_core_field_offset(type, member))

static __always_inline bool read_request(struct tt_head *head, const struct request_sock *req)
{
	return read_identity_at(head, req) && tuple_selected(head) && is_told_of(head);
}

static __always_inline void read_request_isn(struct tt_isn *isn, const struct request_sock *req)
{
	isn->sent = BPF_CORE_READ((const struct tcp_request_sock *)req, snt_isn);
	isn->received = BPF_CORE_READ((const struct tcp_request_sock *)req, rcv_isn);
}

// The request gave up.
static __always_inline void emit_request_end(const struct tt_request_given_up *end)
{
	struct tt_request_end *room = reserve(&end->head, sizeof(*room));

	if (!room)
		return;
	room->isn = end->isn;
	__builtin_memset(room->frames, 0, sizeof(room->frames));
	submit(room);
}

static __always_inline void request_begins(const struct request_sock *req)
{
	struct tt_head head = {
		.time_ns = bpf_ktime_get_ns(),
		.kind = TT_REQUEST_BEGIN,
		.old_state = TCP_LISTEN,
		.new_state = TCP_SYN_RECV,
	};

	if (read_request(&head, req))
		emit_head(&head);
}

// Reports whether the timer is only being set anew, because the request's SYN has
// come again.
static __always_inline bool is_answered(const struct tt_moment *moment, __u64 timer)
{
	return moment->answered_timer == timer && bpf_ktime_get_ns() < moment->answered_until;
}

// A request's timer is armed: for the first time as the SYN arrives, then
// after each retry.
static __always_inline int request_armed(const struct request_sock *req, const struct timer_list *timer)
{
	struct tt_moment *moment = this_moment();

	if (moment && moment->expiring_timer == (__u64)timer)
		moment->expiring_timer = 0;
	if (moment && is_answered(moment, (__u64)timer)) {
		moment->answered_timer = 0;
		return 0;
	}
	if (BPF_CORE_READ_BITFIELD_PROBED(req, num_timeout) == 0)
		request_begins(req);
	return 0;
}

// A packet, or a killer, has ended the request: the stack tells which.
static __always_inline void request_dropped(const struct request_sock *req, void *ctx)
{
	struct tt_head head = {
		.time_ns = bpf_ktime_get_ns(),
		.kind = TT_REQUEST_END,
		.old_state = TCP_SYN_RECV,
		.new_state = TCP_CLOSE,
		.cause = TT_CAUSE_DROPPED,
	};
	struct tt_request_end *end;

	if (!read_request(&head, req))
		return;
	if (BPF_CORE_READ(req, num_retrans))
		end_storm(&head);
	end = reserve(&head, sizeof(*end));
	if (!end)
		return;
	read_request_isn(&end->isn, req);
	if (config.frame_base)
		read_frames(end->frames, TT_REQUEST_FRAMES, ctx);
	else
		__builtin_memset(end->frames, 0, sizeof(end->frames));
	submit(end);
}

// Reports whether the socket is the request's child. A child that has taken its
// request's place in the table of sockets has its hash; one of TCP Fast Open,
// which was made with the SYN, belongs to no request that has a timer.
static __always_inline bool is_child(__u64 child, const struct request_sock *req)
{
	return peek_at(struct sock_common, (const void *)child, skc_hash) ==
	       peek_at(struct sock_common, req, skc_hash);
}

// A request's timer is detached before it ran out: the request has got its
// child a moment ago, or a packet or a killer has ended it. (A timer that is due is
// detached in order to run; request_expires follows.)
static __always_inline int request_detached(const struct request_sock *req, void *ctx)
{
	struct tt_moment *moment = this_moment();
	__u64 child;

	if (!moment)
		return 0;
	child = moment->child;
	moment->child = 0;
	if (child && is_child(child, req))
		return 0;
	if (is_answered(moment, timer_of(req, struct request_sock, rsk_timer)))
		return 0;
	if (bpf_jiffies64() < peek_at(struct request_sock, req, rsk_timer.expires))
		request_dropped(req, ctx);
	return 0;
}

static __always_inline int request_expires(const struct request_sock *req, const struct timer_list *timer)
{
	struct tt_moment *moment = this_moment();
	struct tt_head *head;

	if (!moment)
		return 0;
	moment->expiring_timer = 0;
	head = &moment->expiring.head;
	__builtin_memset(head, 0, sizeof(*head));
	head->time_ns = bpf_ktime_get_ns();
	head->kind = TT_REQUEST_END;
	head->old_state = TCP_SYN_RECV;
	head->new_state = TCP_CLOSE;
	head->cause = TT_CAUSE_TIMEOUT;
	if (!read_request(head, req))
		return 0;
	read_request_isn(&moment->expiring.isn, req);
	moment->expiring_timer = (__u64)timer;
	return 0;
}

// A timer's handler has returned. A request that it did not arm again is gone.
static __always_inline int timer_expired(const struct timer_list *timer)
{
	struct tt_moment *moment = this_moment();

	if (!moment || moment->expiring_timer != (__u64)timer)
		return 0;
	moment->expiring_timer = 0;
	emit_request_end(&moment->expiring);
	return 0;
}

static __always_inline void suppress_synack(struct tt_storm *s, __u8 flags)
{
	count_event(s);
	__sync_fetch_and_add(&s->counts.segments[TT_CLASS_SYNACK], 1);
	if (flags & TT_F_TIMEOUT)
		__sync_fetch_and_add(&s->counts.timeouts, 1);
}

// Reports whether the SYN-ACK is one of so many that it is counted before more is
// read of its request: that has a bucket, so it is one to tell of.
static __always_inline bool is_synack_flood(const struct tt_head *head, const struct request_sock *req)
{
	const struct net *net = peek(req, __req_common.skc_net.net);
	struct tt_storm_key key = {
		.whose = peek(req, __req_common.skc_cookie.counter),
		.kind = TT_RETRANSMIT_MORE,
	};
	struct tt_storm *own;

	key.netns = peek(net, ns.inum);
	own = key.whose ? bpf_map_lookup_elem(&storms, &key) : NULL;
	if (!own || !is_spent(own, head->time_ns))
		return false;
	own->head.time_ns = head->time_ns;
	own->total = peek(req, num_retrans) + 1;
	suppress_synack(own, head->flags);
	return true;
}

// Reports whether the SYN-ACK is to be told by itself; else it is counted. Its
// child will begin with the request's count of retransmits.
static __always_inline bool synack_is_told_apart(const struct tt_head *head,
						 const struct request_sock *req)
{
	struct tt_storm_key key = retransmit_key(head);
	struct tt_storm *own = key.whose ? storm_of(&key) : NULL;
	struct tt_storm *s = refuses(head, own, &key);

	if (own)
		own->total = peek(req, num_retrans) + 1;
	if (s)
		suppress_synack(s, head->flags);
	return !s;
}

// A SYN-ACK has been sent again: the request's timer ran out, or its SYN came
// again (tcp_check_req).
static __always_inline int synack_retransmitted(const struct request_sock *req)
{
	__u64 timer = timer_of(req, struct request_sock, rsk_timer);
	struct tt_moment *moment = this_moment();
	struct tt_head head = {
		.time_ns = bpf_ktime_get_ns(),
		.kind = TT_RETRANSMIT_SYNACK,
		.old_state = TCP_SYN_RECV,
	};

	if (moment && moment->expiring_timer == timer) {
		head.flags |= TT_F_TIMEOUT;
	} else if (moment) {
		moment->answered_timer = timer;
		moment->answered_until = head.time_ns + TT_MOMENT_NS;
	}
	if (is_synack_flood(&head, req))
		return 0;
	if (read_request(&head, req) && synack_is_told_apart(&head, req))
		emit_head(&head);
	return 0;
}
