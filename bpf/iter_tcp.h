// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
//
// The sockets of a network namespace: full sockets, requests and timewait
// sockets. Queues and timers are what sock_diag, and with it ss, reports
// (tcp_diag_get_info, inet_sk_diag_fill, inet_twsk_diag_fill and
// inet_req_diag_fill).
#pragma once

#include "iter.h"
#include "listeners.h"
#include "sock.h"

// include/net/inet_connection_sock.h: icsk_pending
enum {
	ICSK_TIME_RETRANS = 1,
	ICSK_TIME_PROBE0 = 3,
	ICSK_TIME_LOSS_PROBE = 5,
	ICSK_TIME_REO_TIMEOUT = 6,
};

// Returns false for another family.
static __always_inline bool list_tuple(struct tt_socket *out, const struct sock_common *skc)
{
	if (skc->skc_family == AF_INET) {
		set_ipv4(out->local, skc->skc_rcv_saddr);
		set_ipv4(out->remote, skc->skc_daddr);
		out->family = 4;
	} else if (skc->skc_family == AF_INET6) {
		BPF_CORE_READ_INTO(&out->local, skc, skc_v6_rcv_saddr);
		BPF_CORE_READ_INTO(&out->remote, skc, skc_v6_daddr);
		out->family = is_mapped(out->local) || is_mapped(out->remote) ? 4 : 6;
	} else {
		return false;
	}
	out->local_port = skc->skc_num;
	out->remote_port = bpf_ntohs(skc->skc_dport);
	out->netns = skc->skc_net.net->ns.inum;
	return true;
}

static __always_inline void arm(struct tt_socket *out, __u8 timer, unsigned long expires)
{
	out->timer = timer;
	out->timer_jiffies = expires - (unsigned long)bpf_jiffies64();
}

static __always_inline unsigned long retransmit_expires(const struct inet_connection_sock *icsk)
{
	const struct sock___timer *moved = (const void *)icsk;

	if (bpf_core_field_exists(struct sock___timer, tcp_retransmit_timer))
		return BPF_CORE_READ(moved, tcp_retransmit_timer.expires);
	return BPF_CORE_READ(icsk, icsk_retransmit_timer.expires);
}

// Reports whether the keepalive timer is armed, and if so until when.
static __always_inline bool keepalive_expires(const struct inet_connection_sock *icsk,
					      unsigned long *expires)
{
	const struct inet_connection_sock___timer *moved = (const void *)icsk;
	const struct sock *sk = (const void *)icsk;

	// Each branch reads for itself: a choice of two addresses would be
	// computed where one of the members does not exist.
	if (bpf_core_field_exists(struct inet_connection_sock___timer, icsk_keepalive_timer)) {
		*expires = BPF_CORE_READ(moved, icsk_keepalive_timer.expires);
		return BPF_CORE_READ(moved, icsk_keepalive_timer.entry.pprev) != NULL;
	}
	*expires = BPF_CORE_READ(sk, sk_timer.expires);
	return BPF_CORE_READ(sk, sk_timer.entry.pprev) != NULL;
}

static __always_inline void list_timer(struct tt_socket *out, const struct inet_connection_sock *icsk)
{
	unsigned long expires;

	switch (icsk->icsk_pending) {
	case ICSK_TIME_RETRANS:
	case ICSK_TIME_LOSS_PROBE:
	case ICSK_TIME_REO_TIMEOUT:
		out->retransmits = icsk->icsk_retransmits;
		arm(out, TT_TIMER_RETRANSMIT, retransmit_expires(icsk));
		return;
	case ICSK_TIME_PROBE0:
		out->retransmits = icsk->icsk_probes_out;
		arm(out, TT_TIMER_PROBE, retransmit_expires(icsk));
		return;
	}
	if (keepalive_expires(icsk, &expires)) {
		out->retransmits = icsk->icsk_probes_out;
		arm(out, TT_TIMER_KEEPALIVE, expires);
	}
}

static __always_inline __u64 inode_of(const struct sock *sk, const struct socket *socket)
{
	if (bpf_core_field_exists(struct sock___ino, sk_ino))
		return BPF_CORE_READ((const struct sock___ino *)sk, sk_ino);
	return BPF_CORE_READ((const struct socket_alloc *)socket, vfs_inode.i_ino);
}

static __always_inline void list_descriptor(struct tt_socket *out, const struct sock *sk)
{
	unsigned long flags = sk->__sk_common.skc_flags;
	struct socket *socket = sk->sk_socket;

	if (socket)
		out->inode = inode_of(sk, socket);
	else if (flags & (1 << SOCK_DEAD))
		out->flags |= TT_S_ORPHAN;
	else
		out->flags |= TT_S_UNACCEPTED;
	if (flags & (1 << SOCK_KEEPOPEN))
		out->flags |= TT_S_KEEPALIVE;
}

// Has the listener watched: see listener.h. One that is watched already stays.
static __always_inline void watch_listener(const struct tt_socket *found, const struct sock *sk)
{
	struct tt_listener l = {}, *known;
	__u64 key = (__u64)sk;

	known = bpf_map_lookup_elem(&listeners, &key);
	if (known && known->head.cookie == found->cookie)
		return;
	l.head.cookie = found->cookie;
	l.head.netns = found->netns;
	l.head.family = found->family;
	l.head.local_port = found->local_port;
	copy_addr(l.head.local, found->local);
	copy_addr(l.head.remote, found->remote);
	l.drops = sk->sk_drops.counter;
	bpf_map_update_elem(&listeners, &key, &l, BPF_ANY);
}

// As keepalive reckons it (keepalive_time_elapsed). What is in flight is asked for
// by the retransmission timer.
static __always_inline __u32 idle_jiffies(const struct tcp_sock *tp)
{
	__u32 now = bpf_jiffies64();
	__u32 since_data = now - tp->inet_conn.icsk_ack.lrcvtime;
	__u32 since_ack = now - tp->rcv_tstamp;

	if (tp->write_seq != tp->snd_una)
		return 0;
	return since_data < since_ack ? since_data : since_ack;
}

static __always_inline void list_full(struct tt_socket *out, const struct tcp_sock *tp)
{
	const struct sock *sk = (const struct sock *)tp;

	out->object = TT_FULL;
	out->drops = sk->sk_drops.counter;
	list_descriptor(out, sk);
	if (out->state == TCP_LISTEN) {
		out->recv_q = sk->sk_ack_backlog;
		out->send_q = sk->sk_max_ack_backlog;
		watch_listener(out, sk);
		return;
	}
	out->recv_q = tp->rcv_nxt - tp->copied_seq;
	if ((__s32)out->recv_q < 0)
		out->recv_q = 0;
	out->send_q = tp->write_seq - tp->snd_una;
	out->idle_jiffies = idle_jiffies(tp);
	list_timer(out, &tp->inet_conn);
}

static __always_inline void list_request(struct tt_socket *out, const struct request_sock *req)
{
	out->object = TT_REQUEST;
	out->state = TCP_SYN_RECV;
	out->retransmits = req->num_retrans;
	arm(out, TT_TIMER_RETRANSMIT, req->rsk_timer.expires);
}

static __always_inline void list_timewait(struct tt_socket *out, const struct inet_timewait_sock *tw)
{
	out->object = TT_TIMEWAIT;
	out->state = tw->tw_substate;
	arm(out, TT_TIMER_TIMEWAIT, tw->tw_timer.expires);
}

static __always_inline int list_socket(struct bpf_iter__tcp *ctx)
{
	struct sock_common *skc = ctx->sk_common;
	struct tt_socket out = {};
	struct tcp_timewait_sock *tw;
	struct tcp_request_sock *req;
	struct tcp_sock *tp;

	if (!skc || !list_tuple(&out, skc))
		return 0;
	out.time_ns = bpf_ktime_get_ns();
	out.cookie = settle_cookie(skc);
	out.uid = ctx->uid;
	out.state = skc->skc_state;
	tp = bpf_skc_to_tcp_sock(skc);
	if (tp) {
		list_full(&out, tp);
	} else if ((tw = bpf_skc_to_tcp_timewait_sock(skc))) {
		list_timewait(&out, (const struct inet_timewait_sock *)tw);
	} else if ((req = bpf_skc_to_tcp_request_sock(skc))) {
		list_request(&out, (const struct request_sock *)req);
	} else {
		return 0;
	}
	bpf_seq_write(ctx->meta->seq, &out, sizeof(out));
	return 0;
}
