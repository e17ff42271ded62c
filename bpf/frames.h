// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
//
// Where in the kernel a socket ends, for user space to tell why.
#pragma once

#include "config.h"
#include "event.h"

// Reads the return addresses of the kernel's stack, n of them at most, as distances.
// The innermost ones are those of the tracepoint: more of them, where others trace
// it too.
static __always_inline void read_frames(__s32 *frames, int n, void *ctx)
{
	__u64 stack[TT_FRAMES];
	long size = bpf_get_stack(ctx, stack, n * sizeof(*stack), 0);

	for (int i = 0; i < n; i++) {
		bool have = size >= (long)((i + 1) * sizeof(*stack));

		frames[i] = have ? stack[i] - config.frame_base : 0;
	}
}
