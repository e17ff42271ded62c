// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
//
// Who acts. The current task of a TCP event is often a bystander whose CPU the
// softirq borrowed; it is the actor only while a system call owns the socket.
#pragma once

#include "event.h"

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
