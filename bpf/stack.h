// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
//
// Where in its own code a process was as it opened a connection, or got one.
// Frames are found by frame pointers; the chain ends where a function has none.
#pragma once

#include "config.h"
#include "event.h"

#define TT_STACK_FRAMES 48

enum {
	BPF_F_USER_STACK = 1 << 8,
};

struct tt_stack {
	__u64 frames[TT_STACK_FRAMES]; // innermost first; those from count on are old
	__u32 pid;
	__u16 count; // of frames; 0: the kernel could not read any
	__u8 op;     // enum tt_op: the call that it was in
	__u8 pad;
};

// By cookie, only with config.saves_stacks. Inserted by connect(), accept() or,
// where that is not seen, the first read; deleted as the socket closes; read by
// user space when it has something to say of the socket. Where there is no room
// the least recently used goes, and user space finds none.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct tt_stack);
} stacks SEC(".maps");

// Room for one, by enum tt_op, which the stack of a program does not have. A
// program is run once at a time on a CPU, and no packet runs one of these.
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, TT_OP_READ + 1);
	__type(key, __u32);
	__type(value, struct tt_stack);
} stack_room SEC(".maps");

// The current task, in a system call, opens the socket or gets it. ctx is the
// program's.
static __always_inline void save_stack(void *ctx, __u64 cookie, __u8 op)
{
	__u32 slot = op;
	struct tt_stack *s;
	long size;

	if (!config.saves_stacks || !cookie)
		return;
	if (op == TT_OP_READ && bpf_map_lookup_elem(&stacks, &cookie))
		return; // accept() was seen
	s = bpf_map_lookup_elem(&stack_room, &slot);
	if (!s)
		return;
	size = bpf_get_stack(ctx, s->frames, sizeof(s->frames), BPF_F_USER_STACK);
	s->count = size > 0 ? size / sizeof(s->frames[0]) : 0;
	s->pid = bpf_get_current_pid_tgid() >> 32;
	s->op = op;
	bpf_map_update_elem(&stacks, &cookie, s, BPF_ANY);
}

static __always_inline void forget_stack(__u64 cookie)
{
	if (config.saves_stacks && cookie)
		bpf_map_delete_elem(&stacks, &cookie);
}
