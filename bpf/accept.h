// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
//
// Who accepts a connection: the task that accept() returns to. The listener's
// owner may be another process, as a pre-forking server's is.
#pragma once

#include "owner.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

// From a descriptor of the current task to its socket.
struct file___accept {
	void *private_data; // of a socket: its struct socket
};

struct fdtable {
	unsigned int max_fds;
	struct file___accept **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct task_struct___accept {
	struct files_struct *files;
};

enum socket_state { // include/uapi/linux/net.h
	SS_CONNECTING = 2,
};

struct socket___accept {
	struct sock *sk;
	enum socket_state state;
};

struct sock___accept {
	struct socket___accept *sk_socket;
	__u16 sk_protocol;
};

// include/linux/syscalls.h, as the tracepoints sys_exit_* pass it.
struct trace_event_raw_sys_exit {
	long ret;
};

#pragma clang attribute pop

// The socket that the current task has just got as fd, or NULL if it is none
// of TCP's.
static __always_inline struct sock *accepted_socket(long fd)
{
	const void *task = (const void *)bpf_get_current_task();
	const void *files = peek_at(struct task_struct___accept, task, files);
	const void *table = peek_at(struct files_struct, files, fdt);
	struct file___accept **slots = peek_at(struct fdtable, table, fd);
	struct file___accept *file = NULL;
	const void *socket;
	struct sock *sk;

	if (fd < 0 || fd >= peek_at(struct fdtable, table, max_fds))
		return NULL;
	bpf_probe_read_kernel(&file, sizeof(file), &slots[fd]);
	socket = peek_at(struct file___accept, file, private_data);
	sk = peek_at(struct socket___accept, socket, sk);
	if (!sk || peek_at(struct sock___accept, sk, sk_protocol) != IPPROTO_TCP)
		return NULL;
	return sk;
}

// A system call of the accept family has returned fd, or an error.
static __always_inline int accept_returned(void *ctx, long fd)
{
	struct tt_head head = {
		.kind = TT_ACCEPTED,
		.flags = TT_F_PROCESS,
	};
	struct sock *sk;

	if (fd < 0 || !config.accept_by_call)
		return 0;
	sk = accepted_socket(fd);
	if (!sk)
		return 0;
	head.time_ns = bpf_ktime_get_ns();
	emit_owner(ctx, &head, sk, false);
	if (config.marks_unowned)
		clear_place(head.cookie);
	return 0;
}

// The result of inet_csk_accept, at whose exit we are: it follows the
// arguments, of which 6.10 made two out of four.
static __always_inline struct sock *accept_result(void *ctx)
{
	struct sock *sk = NULL;

	if (config.accept_args == 4)
		asm volatile("%0 = *(u64 *)(%1 + 32)" : "=r"(sk) : "r"(ctx));
	else if (config.accept_args == 2)
		asm volatile("%0 = *(u64 *)(%1 + 16)" : "=r"(sk) : "r"(ctx));
	return sk;
}

// inet_csk_accept has returned a socket, whose mark is not needed any more.
static __always_inline int socket_accepted(void *ctx, struct sock *sk)
{
	struct tt_head head = {
		.kind = TT_ACCEPTED,
		.flags = TT_F_PROCESS,
	};

	if (!sk)
		return 0;
	head.time_ns = bpf_ktime_get_ns();
	take_mark(sk);
	emit_owner(ctx, &head, sk, true);
	return 0;
}
