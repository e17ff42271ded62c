// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
//
// Into the ring, or the CPU's among several, with every record accounted for.
#pragma once

#include "config.h"
#include "maps.h"

static __always_inline struct tt_tally *this_tally(void)
{
	__u32 cpu = bpf_get_smp_processor_id();

	return bpf_map_lookup_elem(&tallies, &cpu);
}

// A softirq may count between the two halves of a plain increment.
static __always_inline void add_one(__u64 *count)
{
	__sync_fetch_and_add(count, 1);
}

// Counts a record that could not be made at all.
static __always_inline void count_lost(enum tt_kind kind)
{
	struct tt_tally *tally = this_tally();

	if (!tally)
		return;
	add_one(&tally->sent[kind]);
	add_one(&tally->lost[kind]);
}

// Something is in the map of storms that has not been told.
static __always_inline void count_untold(void)
{
	struct tt_tally *tally = this_tally();

	if (tally)
		add_one(&tally->counted);
}

// The ring of this CPU, on which a program stays from its begin to its end.
static __always_inline void *this_ring(void)
{
	void *ring;
	__u32 cpu;

	if (!config.has_rings)
		return &events;
	cpu = bpf_get_smp_processor_id();
	ring = bpf_map_lookup_elem(&rings, &cpu);
	return ring ?: &events; // each has one, but the verifier does not know
}

// Returns room for a record of size bytes whose head is a copy of head, or
// NULL where the ring has none, which is counted. The rest of the record is
// not zeroed: the caller writes every member.
static __always_inline void *reserve(const struct tt_head *head, __u64 size)
{
	struct tt_tally *tally = this_tally();
	struct tt_head *room;

	if (!tally)
		return NULL;
	add_one(&tally->sent[head->kind & (TT_NUM_KINDS - 1)]);
	room = bpf_ringbuf_reserve(this_ring(), size, 0);
	if (!room) {
		add_one(&tally->lost[head->kind & (TT_NUM_KINDS - 1)]);
		return NULL;
	}
	*room = *head;
	return room;
}

// Hands the record over. The reader polls, because a wake-up costs ten times
// what the record does; it is woken only when the ring fills faster than that.
static __always_inline void submit(void *record)
{
	__u64 flags = BPF_RB_NO_WAKEUP;

	if (bpf_ringbuf_query(this_ring(), BPF_RB_AVAIL_DATA) > config.wake_bytes)
		flags = BPF_RB_FORCE_WAKEUP;
	bpf_ringbuf_submit(record, flags);
}

static __always_inline void emit_head(const struct tt_head *head)
{
	void *record = reserve(head, sizeof(*head));

	if (record)
		submit(record);
}
