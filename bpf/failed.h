// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
//
// connect() and accept() that fail at once: what the socket's transitions do
// not tell. The tracepoints of system calls see them, and tax every system call
// of the host, so they are attached only on request.
#pragma once

#include "accept.h"
#include "calls.h"
#include "drop.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct trace_event_raw_sys_enter {
	unsigned long args[6];
};

#pragma clang attribute pop

enum {
	EINTR = 4,
	EAGAIN = 11,
	EISCONN = 106,
	EALREADY = 114,
	EINPROGRESS = 115,
	ERESTARTSYS = 512, // and those up to 516, which never leave the kernel
	MAX_ERRNO = 4095,
	EADDRNOTAVAIL = 99,
	ECONNABORTED = 103,
};

// include/uapi/linux/in.h, in6.h: struct sockaddr_in and _in6
struct tt_sockaddr {
	__u16 family;
	__be16 port;
	__be32 ipv4; // of IPv6: sin6_flowinfo
	__u8 ipv6[16];
};

// Failures that are none: the call is to be made again, or goes on by itself.
static __always_inline bool is_failure(long ret)
{
	long err = -ret;

	return err > 0 && err != EINTR && err != EAGAIN && err != EISCONN && err != EALREADY &&
	       err != EINPROGRESS && !(err >= ERESTARTSYS && err <= ERESTARTSYS + 4) &&
	       err <= MAX_ERRNO;
}

// by: the task, if it is not the current one.
static __always_inline void emit_failed(const struct tt_head *head, const struct tt_task *by,
					__u8 op, __u32 count)
{
	struct tt_failed *out = reserve(head, sizeof(*out));

	if (!out)
		return;
	if (by)
		out->task = *by;
	else
		read_task(&out->task);
	out->count = count;
	out->op = op;
	out->pad[0] = 0;
	out->pad[1] = 0;
	out->pad[2] = 0;
	submit(out);
}

// A call of the current task has failed, by which head names all but the task.
static __always_inline void call_failed(struct tt_head *head, __u8 op)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	struct tt_storm_key key = {
		.whose = op == TT_OP_ACCEPT && head->cookie ? head->cookie : pid,
		.netns = head->netns,
		.reason = head->err,
		.kind = TT_FAILED,
		.state = op,
	};
	struct tt_storm *s;

	if (!tuple_selected(head) ||
	    (config.num_pids && !id_in(config.pids, config.num_pids, pid)))
		return;
	head->kind = TT_FAILED;
	head->flags |= TT_F_PROCESS;
	s = storm_of(&key);
	if (s) {
		s->head = *head;
		read_task(&s->task);
		if (!take_token(&s->filled_ns, &s->tokens, head->time_ns, TT_CALL_BURST,
				TT_CALL_RATE)) {
			count_event(s);
			return;
		}
	}
	emit_failed(head, NULL, op, 1);
}

// An earlier connect() is under way, or is over and nobody was told how it went. The
// socket's error does not say that: one that was disconnected keeps it.
static __always_inline bool is_connecting(const struct sock *sk)
{
	const void *socket = peek_at(struct sock___accept, sk, sk_socket);

	return peek_at(struct socket___accept, socket, state) == SS_CONNECTING;
}

// Fills in where connect() is to go. Reports whether that is an address of TCP's:
// AF_UNSPEC ends a connection.
static __always_inline bool read_destination(struct tt_call *call, const struct tt_sockaddr *to)
{
	struct tt_sockaddr addr = {};

	bpf_probe_read_user(&addr, 8, to);
	call->family = addr.family;
	call->port = bpf_ntohs(addr.port);
	if (addr.family == AF_INET)
		set_ipv4(call->addr, addr.ipv4);
	else if (addr.family == AF_INET6)
		bpf_probe_read_user(call->addr, sizeof(call->addr), to->ipv6);
	else
		return false;
	return true;
}

// The current task calls connect(): to be remembered until the call returns. One
// that only asks how an earlier one went is not.
static __always_inline int connect_begins(long fd, const struct tt_sockaddr *to)
{
	struct sock *sk = accepted_socket(fd);
	struct tt_call call = {
		.thread = bpf_get_current_pid_tgid(),
		.op = TT_OP_CONNECT,
		.fd = fd,
	};

	if (sk && peek_at(struct sock_common, sk, skc_state) == TCP_CLOSE && !is_connecting(sk) && read_destination(&call, to))
		begin_call(&call);
	return 0;
}

// The same of accept(). Whether it is TCP's is seen if it fails.
static __always_inline int accept_begins(long fd)
{
	struct tt_call call = {
		.thread = bpf_get_current_pid_tgid(),
		.op = TT_OP_ACCEPT,
		.fd = fd,
	};

	begin_call(&call);
	return 0;
}

static __always_inline int has_failed(const struct tt_call *call, long ret)
{
	struct sock *sk = accepted_socket(call->fd);
	struct tt_head head = {
		.time_ns = bpf_ktime_get_ns(),
		.err = -ret,
	};
	struct tt_sock copy;

	if (!sk)
		return 0;
	read_sock(&copy, sk);
	if (!set_tuple(&head, &copy))
		return 0;
	head.cookie = cookie_of(&copy);
	head.old_state = member(&copy, skc_state);
	if (call->op == TT_OP_CONNECT) {
		copy_addr(head.remote, call->addr);
		head.remote_port = call->port;
		head.family = is_mapped(head.remote) ? 4 : 6;
	}
	call_failed(&head, call->op);
	return 0;
}

static __always_inline int call_returns(long ret)
{
	__u64 thread = bpf_get_current_pid_tgid();
	struct tt_call *call = call_of(thread);

	if (!call)
		return 0;
	if (is_failure(ret) && !call->under_way)
		has_failed(call, ret);
	end_call(call, thread);
	return 0;
}

// Without those tracepoints there is one failure that transitions tell: a socket
// leaves SYN_SENT in its connect() with neither a port nor an error of its own,
// when all ports are taken.
static __always_inline void connect_found_no_port(const struct tt_head *transition)
{
	struct tt_head head = *transition;

	if (config.sees_calls)
		return;
	head.err = EADDRNOTAVAIL;
	head.flags = 0;
	head.new_state = 0;
	call_failed(&head, TT_OP_CONNECT);
}

// The current task's socket goes from one state to another within connect().
// What ends a connection that is under way is told as a transition.
static __always_inline void connect_moves(int old, int new, int err)
{
	__u64 thread = bpf_get_current_pid_tgid();
	struct tt_call *call;

	if (!config.sees_calls || !(new == TCP_SYN_SENT || (old == TCP_SYN_SENT && new == TCP_CLOSE)))
		return;
	call = call_of(thread);
	if (call && call->op == TT_OP_CONNECT)
		call->under_way = new == TCP_SYN_SENT || err;
}

// A bucket of the map: tells what it counted, where no hook will.
static __always_inline int look_at_storm(struct bpf_iter__bpf_map_elem *ctx)
{
	struct tt_storm *s = ctx->value;
	struct tt_storm_key *at = ctx->key;
	struct tt_storm_key key;
	__u32 count;

	if (!s || !at || !has_counted(s))
		return 0;
	key = *at;
	if (key.kind == TT_FAILED) {
		take_count(&s->counts.events, &count);
		emit_failed(&s->head, &s->task, key.state, count);
		return 0;
	}
	if (key.kind == TT_DROPPED) {
		tell_drops(s, &key);
		return 0;
	}
	// A connection tells by itself as it goes on, or closes.
	if (!key.whose || tracing_is_over || bpf_ktime_get_ns() - s->head.time_ns > TT_IDLE_NS)
		tell_storm(s, &key);
	return 0;
}
