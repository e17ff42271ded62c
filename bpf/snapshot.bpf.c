// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
//
// The table of contents of the snapshot's iterators; see internal/snapshot.
#include "iter_file.h"
#include "iter_tcp.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("iter/tcp")
int tt_iter_tcp(struct bpf_iter__tcp *ctx)
{
	return list_socket(ctx);
}

SEC("iter/task_file")
int tt_iter_file(struct bpf_iter__task_file *ctx)
{
	return list_holder(ctx);
}
