// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
//
// The transitions of full sockets.
#pragma once

#include "emit.h"
#include "failed.h"
#include "filter.h"
#include "listener.h"
#include "owner.h"
#include "peek.h"
#include "retransmit.h"
#include "shed.h"
#include "sock.h"
#include "stack.h"

static __always_inline __u64 make_cookie(const struct sock *sk)
{
	if (config.has_cookie_helper)
		return bpf_get_socket_cookie((void *)sk);
	return peek(sk, __sk_common.skc_cookie.counter);
}

// A connect() that finds no free port closes the socket before it has sent a thing.
// The port and the error that the socket still has then are of a life before, unless
// it is killed (ECONNABORTED) while it waits for the data of a TCP Fast Open.
static __always_inline bool found_no_port(const struct tt_head *head, const struct sock *sk,
					  const struct tcp_sock *tp)
{
	return head->old_state == TCP_SYN_SENT && head->new_state == TCP_CLOSE &&
	       !head->local_port && head->err != ECONNABORTED && !peek(tp, segs_out) &&
	       !peek(sk, sk_shutdown);
}

// NULL for a socket of another protocol.
static __always_inline struct tcp_sock *tcp_sock_of(const struct sock *sk)
{
	if (config.untyped)
		return peek(sk, sk_protocol) == IPPROTO_TCP ? (struct tcp_sock *)sk : NULL;
	return bpf_skc_to_tcp_sock((void *)sk);
}

// The kernel counts a FIN as a byte, of either direction. Ours is the last of
// write_seq, if these states say that there is one.
static __always_inline __u8 counted_fins(__u8 state, const struct sock *sk,
					 const struct tcp_sock *tp)
{
	__u8 flags = 0;

	if (peek(sk, __sk_common.skc_flags) & (1 << SOCK_DONE))
		flags |= TT_F_FIN_RECEIVED;
	if ((state == TCP_FIN_WAIT1 || state == TCP_FIN_WAIT2 || state == TCP_CLOSING ||
	     state == TCP_LAST_ACK) &&
	    peek(tp, snd_una) == peek(tp, write_seq))
		flags |= TT_F_FIN_ACKED;
	return flags;
}

static __always_inline void fill_totals(struct tt_totals *totals, const struct tcp_sock *tp)
{
	totals->bytes_sent = peek(tp, bytes_sent);
	totals->bytes_acked = peek(tp, bytes_acked);
	totals->bytes_received = peek(tp, bytes_received);
	totals->segs_out = peek(tp, segs_out);
	totals->segs_in = peek(tp, segs_in);
	totals->srtt_us = peek(tp, srtt_us) >> 3;
	totals->pad = 0;
}

// head is the record's, all but the counted FINs.
static __noinline void emit_totals(struct tt_head *head, const struct sock *sk,
				   const struct tcp_sock *tp)
{
	struct tt_totals *totals;

	head->flags |= counted_fins(head->old_state, sk, tp);
	totals = reserve(head, sizeof(*totals));
	if (!totals)
		return;
	fill_totals(totals, tp);
	submit(totals);
}

// The same, by a process.
static __noinline void emit_closed(struct tt_head *head, const struct sock *sk,
				   const struct tcp_sock *tp)
{
	struct tt_closed *closed;

	head->flags |= counted_fins(head->old_state, sk, tp);
	closed = reserve(head, sizeof(*closed));
	if (!closed)
		return;
	fill_totals(&closed->totals, tp);
	read_task(&closed->task);
	submit(closed);
}

// A child socket appears, cloned from its listener by the last ACK of the
// handshake. Before 6.18 it still has the listener's cookie and no peer, so
// nothing of it is read; its request socket told of SYN_RECV's begin.
static __always_inline void child_made(const struct sock *sk, __u64 now)
{
	struct tt_moment *moment = this_moment();

	if (!moment)
		return;
	moment->child = (__u64)sk;
	moment->child_until = now + TT_MOMENT_NS;
}

// Reports whether the child came from a SYN cookie: then there was no request
// socket whose end would have taken note of the child.
static __always_inline bool without_request(const struct sock *sk, __u64 now)
{
	struct tt_moment *moment = this_moment();

	if (!config.sees_requests || !moment || moment->child != (__u64)sk)
		return false;
	moment->child = 0;
	return now < moment->child_until;
}

// close() of a socket that was shut down before reports a step from a state to
// itself, which tells who closed.
static __always_inline bool is_second_close(int old, int new)
{
	return old == new &&
	       (old == TCP_FIN_WAIT1 || old == TCP_FIN_WAIT2 || old == TCP_CLOSING);
}

// Two ACKs, handled on two CPUs, can make two children of one request, with its
// cookie. The one that comes second to the table of sockets is taken back before
// anything was done with it (inet_ehash_nolisten), which sets its state alone. All
// else that closes a socket in SYN_RECV that no process has (tcp_done) has given up
// its port before, or marked it dead (inet_csk_prepare_forced_close).
static __always_inline bool is_twin(const struct sock *sk)
{
	return peek(sk, __sk_common.skc_num) && !peek(sk, sk_socket) &&
	       !(peek(sk, __sk_common.skc_flags) & (1 << SOCK_DEAD));
}

// A timeout sets the socket's error and wakes its process, and closes the socket
// after that (tcp_write_err). Who asks for SO_ERROR in between, on another CPU, takes
// the error away; but the timer that ran out is not armed, and what it has tried
// is still counted.
static __always_inline bool is_timeout(const struct sock *sk, const struct tcp_sock *tp)
{
	const struct inet_connection_sock *icsk = &tp->inet_conn;

	return !(peek(sk, __sk_common.skc_flags) & (1 << SOCK_DEAD)) && !peek(icsk, icsk_pending) &&
	       (peek(icsk, icsk_retransmits) || peek(icsk, icsk_probes_out));
}

static __always_inline void fill_transition(struct tt_transition *transition, bool process)
{
	if (process)
		read_task(&transition->task);
	else
		no_task(&transition->task);
}

// The kernel counts the bytes that are acknowledged, a connecting socket's SYN
// among them, but not the SYN-ACK of one that a listener made: that has never
// more of them than it sent. It counts those received from behind the peer's SYN.
static __always_inline void read_isn(struct tt_isn *isn, __u8 state, const struct tcp_sock *tp)
{
	__u64 acked = peek(tp, bytes_acked);

	isn->sent = peek(tp, snd_una) - (__u32)acked;
	if (state == TCP_SYN_RECV && acked <= peek(tp, bytes_sent))
		isn->sent--;
	isn->received = peek(tp, rcv_nxt) - (__u32)peek(tp, bytes_received) - 1;
}

static __always_inline bool ends_handshake(const struct tt_head *head)
{
	return head->old_state == TCP_SYN_SENT || head->old_state == TCP_SYN_RECV;
}

static __always_inline void emit_handshake(struct tt_head *head, const struct tcp_sock *tp,
					   bool process)
{
	struct tt_handshake *handshake = reserve(head, sizeof(*handshake));

	if (!handshake)
		return;
	fill_transition(&handshake->transition, process);
	read_isn(&handshake->isn, head->old_state, tp);
	submit(handshake);
}

static __always_inline void emit_transition(struct tt_head *head, const struct tcp_sock *tp,
					    bool process)
{
	struct tt_transition *transition;

	if (ends_handshake(head)) {
		emit_handshake(head, tp, process);
		return;
	}
	if (!process) {
		emit_head(head);
		return;
	}
	transition = reserve(head, sizeof(*transition));
	if (!transition)
		return;
	read_task(&transition->task);
	submit(transition);
}

// A connection's socket is closed, of which one record tells all but what a
// handshake adds.
static __always_inline void emit_closing(struct tt_head *head, const struct sock *sk,
					 const struct tcp_sock *tp, bool process)
{
	__u8 flags = head->flags;
	__u16 err = head->err;

	if (peek(tp, total_retrans))
		end_storm(head);
	if (!ends_handshake(head)) {
		head->kind = TT_CLOSED;
		if (process)
			emit_closed(head, sk, tp);
		else
			emit_totals(head, sk, tp);
		return;
	}
	head->kind = TT_TOTALS;
	head->flags = 0;
	head->err = 0;
	emit_totals(head, sk, tp);
	head->kind = TT_STATE;
	head->flags = flags;
	head->err = err;
	emit_transition(head, tp, process);
}

// process: a system call, which owns the socket, makes the transition.
static __always_inline int state_changed(const struct sock *sk, int old, int new, bool process)
{
	struct tcp_sock *tp;
	struct tt_head head = {
		.kind = TT_STATE,
		.old_state = old,
		.new_state = new,
	};
	bool listens = old == TCP_LISTEN || new == TCP_LISTEN;
	bool no_port = false;
	bool news = false;

	if (old == new && !(process && is_second_close(old, new)))
		return 0;
	head.time_ns = bpf_ktime_get_ns();
	if (old == TCP_LISTEN && new == TCP_SYN_RECV) {
		child_made(sk, head.time_ns);
		return 0;
	}
	tp = tcp_sock_of(sk);
	if (!tp)
		return 0;
	if (!read_identity(&head, sk))
		return 0;
	head.err = peek(sk, sk_err); // once: it may be taken at any time
	if (!process && new == TCP_CLOSE && !head.err) {
		if (old == TCP_SYN_RECV && is_twin(sk))
			head.cause = TT_CAUSE_TWIN;
		else if (is_timeout(sk, tp))
			head.cause = TT_CAUSE_TIMEOUT;
	}
	no_port = process && found_no_port(&head, sk, tp);
	if (no_port)
		head.err = 0;
	else if (!head.local_port && new == TCP_CLOSE) // elsewhere it is that of the socket's last life
		head.local_port = bpf_ntohs(peek(tp, inet_conn.icsk_inet.inet_sport));
	if (old == TCP_SYN_RECV && without_request(sk, head.time_ns))
		head.flags |= TT_F_NO_REQUEST;
	if (!tuple_selected(&head))
		return 0;
	if (!head.cookie)
		head.cookie = make_cookie(sk);
	if (process) {
		head.flags |= TT_F_PROCESS;
		news = remember_owner(head.cookie, bpf_get_current_pid_tgid() >> 32,
				      new == TCP_SYN_SENT || new == TCP_LISTEN);
	}
	if (process) {
		connect_moves(old, new, head.err);
		if (no_port)
			connect_found_no_port(&head);
	}
	if (!news && !(listens ? owner_selected(head.cookie) : is_told_of(&head)))
		return 0;
	if (new == TCP_CLOSE && head.cause != TT_CAUSE_TWIN) {
		forget_stack(head.cookie);
		if (config.marks_unowned)
			clear_place(head.cookie);
	}
	if (new == TCP_CLOSE && old != TCP_LISTEN && head.cause != TT_CAUSE_TWIN) {
		emit_closing(&head, sk, tp, process);
		return 0;
	}
	if (old == TCP_SYN_RECV && new == TCP_ESTABLISHED)
		make_mark((struct sock *)sk, head.cookie);
	if (new == TCP_LISTEN)
		listener_opened(sk, &head);
	else if (old == TCP_LISTEN)
		listener_closed(sk);
	emit_transition(&head, tp, process);
	return 0;
}

// The kernel does not run a program on a CPU where it is running already
// (bpf_trace_run): not for the hundreds of packets, say, that an interrupt of
// it lets in. So those have a program of their own, which no packet can interrupt
// but in the few instructions that find out whose turn it is. (To keep interrupts
// off meanwhile, as programs can from 6.14 on, is of no use: those that came are
// let in by bpf_local_irq_restore(), which is in the program still.)
static __always_inline int changed_by_call(void *ctx, const struct sock *sk, int old, int new)
{
	struct tt_tally *tally;

	if (peek(sk, sk_lock.owned) != 1)
		return 0;
	tally = this_tally();
	if (tally)
		tally->by_call++; // plain: on a CPU no other call comes between
	state_changed(sk, old, new, true);
	if (new == TCP_SYN_SENT) // its cookie is made
		save_stack(ctx, peek(sk, __sk_common.skc_cookie.counter), TT_OP_CONNECT);
	return 0;
}

static __always_inline int changed_by_packet(const struct sock *sk, int old, int new)
{
	struct tt_tally *tally;

	if (peek(sk, sk_lock.owned) != 1)
		return state_changed(sk, old, new, false);
	tally = this_tally();
	if (tally)
		tally->by_call_seen++;
	return 0;
}
