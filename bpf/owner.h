// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
//
// Who acts. The current task of a TCP event is often a bystander whose CPU the
// softirq borrowed; it is the actor only while a system call owns the socket.
#pragma once

#include "emit.h"
#include "shed.h"
#include "sock.h"
#include "stack.h"

static __always_inline bool in_process_context(const struct sock *sk)
{
	return BPF_CORE_READ(sk, sk_lock.owned) == 1;
}

static __always_inline void read_task(struct tt_task *task)
{
	task->pid = bpf_get_current_pid_tgid() >> 32;
	task->uid = (__u32)bpf_get_current_uid_gid();
	task->cgroup = bpf_get_current_cgroup_id();
	bpf_get_current_comm(task->comm, sizeof(task->comm));
}

static __always_inline void no_task(struct tt_task *task)
{
	__u64 *word = (__u64 *)task;

	word[0] = 0;
	word[1] = 0;
	word[2] = 0;
	word[3] = 0;
}

// A child socket is ESTABLISHED, and the kernel alone has had a hand in it.
static __always_inline void mark_unowned(struct sock *sk)
{
	if (config.marks_unowned)
		bpf_sk_storage_get(&unowned, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
}

static __always_inline void emit_owner(void *ctx, struct tt_head *head, struct sock *sk)
{
	struct tt_transition *record;
	struct tt_sock copy;

	read_sock(&copy, sk);
	if (!set_tuple(head, &copy) || !tuple_selected(head))
		return;
	head->old_state = member(&copy, skc_state);
	head->cookie = cookie_of(&copy);
	save_stack(ctx, head->cookie, head->kind == TT_USED ? TT_OP_READ : TT_OP_ACCEPT);
	if (!remember_owner(head->cookie, bpf_get_current_pid_tgid() >> 32, false) &&
	    !is_told_of(head))
		return;
	record = reserve(head, sizeof(*record));
	if (!record)
		return;
	read_task(&record->task);
	submit(record);
}

// A process has read from a socket. It is the first if the mark is still there.
static __always_inline int socket_read(void *ctx, struct sock *sk)
{
	struct tt_head head = {
		.kind = TT_USED,
		.flags = TT_F_PROCESS,
	};

	if (!bpf_sk_storage_get(&unowned, sk, NULL, 0) || sk->sk_lock.owned != 1)
		return 0;
	bpf_sk_storage_delete(&unowned, sk);
	head.time_ns = bpf_ktime_get_ns();
	emit_owner(ctx, &head, sk);
	return 0;
}
