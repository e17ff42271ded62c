// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
#pragma once

#include "event.h"

// The records. Written by every hook, read by user space, which polls; sized
// by user space. When it is full the record is dropped and counted in tallies.
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 8 << 20);
} events SEC(".maps");

// Where there are several rings, as config.has_rings says: each CPU's, of which events
// is the first one. Filled by user space before the programs are attached, and not
// changed any more.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(
		values, struct {
			__uint(type, BPF_MAP_TYPE_RINGBUF);
			__uint(max_entries, 8 << 20);
		});
} rings SEC(".maps");

// One tally for each CPU, sized by user space. Written by emit.h; user space has
// it in its memory and reads it at every poll.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tt_tally);
} tallies SEC(".maps");

// Cookie -> pid, only with --pid. Written when a process opens a socket, or
// first acts on it; read by the filter. Entries are never deleted: the least
// recently used goes, and its socket's owner is unknown again, which lets its
// events through to user space.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, __u32);
} owners SEC(".maps");

// What a timewait socket in substate FIN_WAIT2 waits for.
enum tt_half {
	TT_HALF_FIN = 1, // its FIN
	TT_HALF_TIMER,	 // which has come, its timer to be armed anew
};

// By the cookies of timewait sockets, an enum tt_half: inserted when one is made
// in FIN_WAIT2, deleted by the FIN that it waits for, or at its end. When it is
// full that FIN will not be seen, which counts as a lost record.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, __u8);
} half_closed SEC(".maps");

// What happened a moment ago on this CPU, in the same run of a softirq.
struct tt_moment {
	// The child socket just made from a request (LISTEN -> SYN_RECV), until
	// the request's timer is cancelled: a cancel that finds no child here
	// means that the handshake died.
	__u64 child;
	__u64 child_until; // TCP Fast Open makes one long before it is ESTABLISHED
	// The timer, of a request or a timewait socket, that has run out, until it
	// is armed again or its socket ended: a request's handler that returns
	// with this still set has given the request up.
	__u64 expiring_timer;
	struct tt_request_given_up {
		struct tt_head head;
		struct tt_isn isn;
	} expiring; // that request
	// The timer of a request whose SYN came again and was answered again, which
	// is about to be armed anew, and until when to expect that.
	__u64 answered_timer;
	__u64 answered_until;
	// The request that is being dropped, whose end has been told.
	__u64 dropping;
	// The timewait socket whose timer was detached last, and when: see
	// timewait.h.
	__u64 detached_cookie;
	__u64 detached_ns;
	__u32 detached_ports;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tt_moment);
} moments SEC(".maps");

// How long a softirq may take from a child of a SYN cookie to its ESTABLISHED.
#define TT_MOMENT_NS 1000000

static __always_inline struct tt_moment *this_moment(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&moments, &zero);
}
