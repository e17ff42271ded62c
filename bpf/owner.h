// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
//
// Who acts. The current task of a TCP event is often a bystander whose CPU the
// softirq borrowed; it is the actor only while a system call owns the socket.
#pragma once

#include "emit.h"
#include "identity.h"
#include "shed.h"
#include "stack.h"
#include "unowned.h"

static __always_inline bool in_process_context(const struct sock *sk)
{
	return BPF_CORE_READ(sk, sk_lock.owned) == 1;
}

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

// What the helpers below read.
struct kernfs_node___actor {
	__u64 id;
};

struct cgroup___actor {
	struct kernfs_node___actor *kn;
};

struct css_set___actor {
	struct cgroup___actor *dfl_cgrp;
};

struct kuid___actor {
	__u32 val;
};

struct cred___actor {
	struct kuid___actor uid;
};

struct task_struct___actor {
	__u32 tgid;
	const struct cred___actor *cred;
	struct css_set___actor *cgroups;
};

#pragma clang attribute pop

static __always_inline void read_task(struct tt_task *task)
{
	const struct task_struct___actor *current;

	if (config.has_cast) {
		current = cast(struct task_struct___actor, (void *)bpf_get_current_task());
		task->pid = current->tgid;
		task->uid = current->cred->uid.val;
		task->cgroup = current->cgroups->dfl_cgrp->kn->id;
	} else {
		task->pid = bpf_get_current_pid_tgid() >> 32;
		task->uid = (__u32)bpf_get_current_uid_gid();
		task->cgroup = bpf_get_current_cgroup_id();
	}
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

// known: the kernel knows that sk is a socket.
static __always_inline void emit_owner(void *ctx, struct tt_head *head, struct sock *sk, bool known)
{
	struct tt_transition *record;

	if (!(known ? read_identity(head, sk) : read_identity_at(head, sk)) || !tuple_selected(head))
		return;
	head->old_state = known ? sk->__sk_common.skc_state : peek_at(struct sock_common, sk, skc_state);
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

	if (sk->sk_lock.owned != 1 || !take_mark(sk))
		return 0;
	head.time_ns = bpf_ktime_get_ns();
	emit_owner(ctx, &head, sk, true);
	return 0;
}
