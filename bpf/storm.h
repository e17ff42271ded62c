// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
//
// Storm control: what comes too often is counted rather than told, and the
// counts are told now and then, so that their sum is exact. A bucket of tokens,
// one for each event, decides; it holds burst of them and gets rate of them
// each second.
#pragma once

#include "shed.h"

// Why a segment is sent again: the rules of internal/conn, Classify.
enum tt_class {
	TT_CLASS_UNKNOWN,
	TT_CLASS_RTO,
	TT_CLASS_FAST,
	TT_CLASS_TLP,
	TT_CLASS_SYN,
	TT_CLASS_SYNACK,
	TT_CLASS_RECOVERY,
	TT_CLASS_UNSENT,
	TT_CLASS_FIN,
};

// Whose bucket.
struct tt_storm_key {
	__u64 whose; // a connection's cookie, a process, or a hash of addresses; 0: of many
	__u32 netns;
	__u16 reason; // of resets or dropped packets, or errno
	__u8 kind;    // enum tt_kind: of the record that tells the counts
	__u8 state;   // of resets; enum tt_op of failed calls
};

struct tt_storm {
	struct tt_head head; // of the last one that was not told
	struct tt_task task; // likewise
	__u64 filled_ns;
	__u32 tokens; // of dropped packets: the TCP flags of one
	__u32 total; // of retransmits: the socket's total_retrans, as last seen; of dropped packets: bytes of one
	struct tt_counts counts; // of those not told
	__u32 untold; // of retransmits: the episode of loss that is under way is not told
	__u32 pad;
};

// Inserted by the hooks; deleted as the connection closes, and otherwise by
// user space once idle. Counts that a connection does not tell itself are told
// by an iterator that user space runs. When it is full, all is told.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, struct tt_storm_key);
	__type(value, struct tt_storm);
} storms SEC(".maps");

// An empty bucket, to insert from. Nobody writes it.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tt_storm);
} no_storm SEC(".maps");

// A CPU's buckets: for the retransmits of all connections together, for their
// episodes of loss, and for the packets that it drops.
enum tt_pace_of {
	TT_PACE_RETRANSMITS,
	TT_PACE_EPISODES,
	TT_PACE_DROPS,
	TT_NUM_PACES,
};

struct tt_pace {
	__u64 filled_ns;
	__u32 tokens;
	__u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, TT_NUM_PACES);
	__type(key, __u32);
	__type(value, struct tt_pace);
} paces SEC(".maps");

#define TT_IDLE_NS 500000000

// Set by user space once the hooks are detached: all that was counted is told.
volatile bool tracing_is_over;

enum {
	TT_SECOND = 1000000000,

	// Retransmits of one connection.
	TT_CONNECTION_BURST = 64,
	TT_CONNECTION_RATE = 64,
	// Retransmits of all, on one CPU; likewise episodes, and dropped packets.
	TT_CPU_BURST = 2048,
	TT_CPU_RATE = 512,
	// RSTs of one reason in one namespace that answer packets of no connection.
	TT_RESET_BURST = 2048,
	TT_RESET_RATE = 512,
	// Calls of one listener or process that fail with one errno.
	TT_CALL_BURST = 64,
	TT_CALL_RATE = 16,
};

static __always_inline bool take_token(__u64 *filled_ns, __u32 *tokens, __u64 now, __u32 burst,
				       __u32 rate)
{
	__u64 since = now - *filled_ns;
	__u32 have = *tokens;

	if (since > 60ULL * TT_SECOND) {
		have = burst;
		*filled_ns = now;
	} else if (since >= TT_SECOND / rate) {
		have += since * rate / TT_SECOND;
		if (have > burst)
			have = burst;
		*filled_ns = now;
	}
	*tokens = have ? have - 1 : 0;
	return have;
}

// Reports whether a bucket of a connection's retransmits has no token, and gets none
// yet.
static __always_inline bool is_spent(const struct tt_storm *s, __u64 now)
{
	return !s->tokens && now - s->filled_ns < TT_SECOND / TT_CONNECTION_RATE;
}

// Counts one that is not told by itself.
static __always_inline void count_event(struct tt_storm *s)
{
	__sync_fetch_and_add(&s->counts.events, 1);
	count_untold();
}

// Returns the bucket, a full one if there was none, or NULL where there is no
// room for it.
static __always_inline struct tt_storm *storm_of(const struct tt_storm_key *key)
{
	struct tt_storm *s = bpf_map_lookup_elem(&storms, key);
	struct tt_storm *empty;
	__u32 zero = 0;

	if (s)
		return s;
	empty = bpf_map_lookup_elem(&no_storm, &zero);
	if (!empty)
		return NULL;
	bpf_map_update_elem(&storms, key, empty, BPF_NOEXIST);
	return bpf_map_lookup_elem(&storms, key);
}

static __always_inline bool cpu_allows(__u32 of, __u64 now)
{
	struct tt_pace *pace = bpf_map_lookup_elem(&paces, &of);

	return !pace || take_token(&pace->filled_ns, &pace->tokens, now, TT_CPU_BURST, TT_CPU_RATE);
}

// Only one may take at a time: who holds the connection's socket or, where there
// is none or nothing happens any more, the iterator.
static __always_inline void take_count(__u32 *from, __u32 *to)
{
	__u32 n = *from;

	*to = n;
	__sync_fetch_and_add(from, -n); // others may be adding
}

static __always_inline bool has_counted(const struct tt_storm *s)
{
	return s->counts.events || s->counts.timeouts;
}

// Whose bucket a connection's retransmits take from: its own or, where it has no
// cookie, that of its namespace.
static __always_inline struct tt_storm_key retransmit_key(const struct tt_head *head)
{
	struct tt_storm_key key = {
		.whose = head->cookie,
		.netns = head->netns,
		.kind = TT_RETRANSMIT_MORE,
	};

	return key;
}

// Tells what was not told, and forgets it. s->head.kind is key's.
static __always_inline void tell_storm(struct tt_storm *s, const struct tt_storm_key *key)
{
	struct tt_storm_told *out = reserve(&s->head, sizeof(*out));

	if (!out) {
		count_untold(); // it is told later
		return;
	}
	out->head.time_ns = bpf_ktime_get_ns();
	out->reason = key->reason;
	out->pad[0] = 0;
	out->pad[1] = 0;
	out->pad[2] = 0;
	take_count(&s->counts.events, &out->counts.events);
	take_count(&s->counts.probes, &out->counts.probes);
	take_count(&s->counts.timeouts, &out->counts.timeouts);
	for (int i = 0; i < TT_CLASSES; i++)
		take_count(&s->counts.segments[i], &out->counts.segments[i]);
	submit(out);
}

// A connection that may have sent something again is over.
static __always_inline void end_storm(const struct tt_head *closing)
{
	struct tt_storm_key key = retransmit_key(closing);
	struct tt_storm *s = key.whose ? bpf_map_lookup_elem(&storms, &key) : NULL;

	if (!s)
		return;
	if (has_counted(s))
		tell_storm(s, &key);
	bpf_map_delete_elem(&storms, &key);
}

// Takes a token for a retransmit and returns NULL; or returns the bucket in
// which it is to be counted instead: its connection's or, where that has none,
// that of its namespace.
static __always_inline struct tt_storm *refuses(const struct tt_head *head, struct tt_storm *own,
						const struct tt_storm_key *key)
{
	struct tt_storm_key all = *key;
	struct tt_storm *s = own;

	if (own) {
		own->head = *head;
		own->head.kind = key->kind;
	}
	if (!shed_retransmits &&
	    (!own || take_token(&own->filled_ns, &own->tokens, head->time_ns, TT_CONNECTION_BURST,
				TT_CONNECTION_RATE)) &&
	    cpu_allows(TT_PACE_RETRANSMITS, head->time_ns)) {
		if (own && has_counted(own))
			tell_storm(own, key);
		return NULL;
	}
	if (!s) {
		all.whose = 0;
		s = storm_of(&all);
		if (s) {
			s->head.netns = head->netns;
			s->head.kind = all.kind;
		}
	}
	return s;
}
