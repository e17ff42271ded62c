// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
//
// The table of contents of what learns the handlers of our timers; see
// internal/probe/handlers.go.
#include "handlers.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("iter/tcp")
int tt_handlers(struct bpf_iter__tcp *ctx)
{
	return find_handlers(ctx);
}
