// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
#pragma once

#include "event.h"

struct tt_listener {
	struct tt_head head; // names it
	__u32 drops;	 // its sk_drops, as far as that has been told
	__u32 accounted; // of those, what kfree_skb showed
	__s32 pending;	 // found at the last look, and not told yet
	// Then, or as it was opened.
	__u32 waiting;	// sk_ack_backlog: for accept()
	__u32 requests; // in SYN_RECV
	__u32 limit;	// sk_max_ack_backlog, of either queue
};

// Listeners by address. Inserted as one begins to listen, or by a sweep that
// finds it; deleted as it ends. Read by kfree_skb's program and by an iterator
// that user space runs. A listener for which there is no room is not watched; a
// sweep counts it as lost.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, struct tt_listener);
} listeners SEC(".maps");
