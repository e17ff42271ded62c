// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
//
// The calls of connect() and accept() that are under way, by thread; only with
// config.sees_calls.
#pragma once

#include "config.h"

#define TT_CALLS 32768

struct tt_call {
	__u64 thread; // as bpf_get_current_pid_tgid() says; 0: there is none
	__u8 addr[16]; // that connect() was given
	__u32 fd;
	__u16 port;
	__u16 family; // of that address
	__u8 op;      // enum tt_op
	__u8 under_way; // it has sent its SYN
	__u8 pad[6];
};

// Each in the place that its thread's number says. Where another is in that place
// still, it goes into the map below, which costs ten times as much.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TT_CALLS);
	__type(key, __u32);
	__type(value, struct tt_call);
} calls SEC(".maps");

// Should a return go missing, it is the least recently used that goes.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, struct tt_call);
} more_calls SEC(".maps");

// Something was put there.
bool has_more_calls;

static __always_inline struct tt_call *place_of(__u64 thread)
{
	__u32 place = (__u32)thread % TT_CALLS;

	return bpf_map_lookup_elem(&calls, &place);
}

static __always_inline void begin_call(const struct tt_call *call)
{
	struct tt_call *place = place_of(call->thread);

	if (place && (!place->thread || place->thread == call->thread)) {
		*place = *call;
		return;
	}
	has_more_calls = true;
	bpf_map_update_elem(&more_calls, &call->thread, call, BPF_ANY);
}

// The call that the thread has begun, or NULL.
static __always_inline struct tt_call *call_of(__u64 thread)
{
	struct tt_call *place = place_of(thread);

	if (place && place->thread == thread)
		return place;
	return has_more_calls ? bpf_map_lookup_elem(&more_calls, &thread) : NULL;
}

static __always_inline void end_call(struct tt_call *call, __u64 thread)
{
	if (call == place_of(thread))
		call->thread = 0;
	else
		bpf_map_delete_elem(&more_calls, &thread);
}
