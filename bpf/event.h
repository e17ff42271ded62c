// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
//
// The wire contract: every record that the kernel side writes to the ring.
// bpf2go makes the Go types from these (generate.go lists each one), and
// internal/bpf's tests compare the layouts.
//
// A record is a head of one cache line, then what its kind adds. Nothing is
// packed, unions and bit fields are avoided, padding has a name and is zero,
// and no record is longer than 136 bytes.
#pragma once

#include "kernel.h"

enum tt_kind {
	TT_STATE = 1,	      // out of SYN_SENT and SYN_RECV struct tt_handshake; else, with
			      // TT_F_PROCESS, struct tt_transition; else struct tt_head
	TT_BOUND,	      // struct tt_head
	TT_REQUEST_BEGIN,     // struct tt_head
	TT_REQUEST_END,	      // struct tt_request_end
	TT_TIMEWAIT_BEGIN,    // struct tt_timewait_begin
	TT_TIMEWAIT_FIN,      // struct tt_head
	TT_TIMEWAIT_END,      // with a cause struct tt_head; else struct tt_timewait_end
	TT_RETRANSMIT,	      // struct tt_retransmit
	TT_RETRANSMIT_SYNACK, // struct tt_head
	TT_RESET_SENT,	      // struct tt_reset
	TT_RESET_RECEIVED,    // struct tt_reset
	TT_TOTALS,	      // struct tt_totals
	TT_USED,	      // struct tt_transition: a process reads for the first time
	TT_ACCEPTED,	      // struct tt_transition: a process accepted the connection
	TT_CONGESTION,	      // struct tt_retransmit, without a segment
	TT_DROPPED,	      // struct tt_drop
	TT_QUEUE_FULL,	      // struct tt_queue
	TT_FAILED,	      // struct tt_failed
	TT_RETRANSMIT_MORE,   // struct tt_storm_told
	TT_RESET_MORE,	      // struct tt_storm_told
	TT_CLOSED,	      // TT_TOTALS and TT_STATE to CLOSE: with TT_F_PROCESS struct tt_closed; else
			      // struct tt_totals
	TT_NUM_KINDS = 32, // room to spare: a mask keeps an index in bounds
};

// Why a socket ended, in tt_head.cause.
enum tt_cause {
	TT_CAUSE_UNKNOWN = 0,
	TT_CAUSE_DROPPED, // a packet ended it: a RST, or no room for the child; or a killer
	TT_CAUSE_TIMEOUT, // its last retry was not answered; of TT_STATE: and its error is taken already
	TT_CAUSE_EXPIRED, // a timewait socket's timer ran out
	TT_CAUSE_NETNS,	  // a timewait socket's network namespace has ended
	TT_CAUSE_TWIN,	  // of TT_STATE: a second child of one request is taken back
};

// Bits of tt_head.flags.
enum tt_flag {
	TT_F_PROCESS = 1,      // task is the process that acted
	TT_F_NO_REQUEST = 2,   // the child of a SYN cookie
	TT_F_HEAD = 4,	       // the segment is the first unacknowledged one
	TT_F_FIN_RECEIVED = 8, // bytes_received counts the peer's FIN
	TT_F_FIN_ACKED = 16,   // bytes_acked counts ours
	TT_F_UNDO = 32,	       // undo_marker is set: what was done for loss can be undone
	TT_F_TIMEOUT = 64,     // the retransmission timer ran out
	TT_F_OUTGOING = 128,   // the packet is ours
};

// Bits of tt_reset.facts.
enum tt_reset_fact {
	TT_R_SOCKET = 1,    // of a full socket, no listener: what is told of it counts
	TT_R_LISTENER = 2,  // it answers a packet that met a listener
	TT_R_DEAD = 4,	    // its process has closed it
	TT_R_LINGER0 = 8,   // SO_LINGER is set, of 0 seconds
	TT_R_LINGER2 = 16,  // TCP_LINGER2 is negative: no FIN_WAIT2
	TT_R_ANSWER = 32,   // it answers a packet
	TT_R_REQUEST = 64,  // of a request socket
	TT_R_TIMEWAIT = 128, // of a timewait socket
};

// Bits of tt_reset.memory, of a full socket that its process has closed.
enum tt_memory {
	TT_M_QUEUED = 1, // it has so much to send that the limit of tcp_mem holds for it
	TT_M_FULL = 2,	 // and all sockets together are over that
};

struct tt_head {
	__u64 time_ns;	  // CLOCK_MONOTONIC
	__u64 cookie;	  // 0: the socket has none yet
	__u8 local[16];	  // IPv4 as ::ffff:a.b.c.d; family says which it is
	__u8 remote[16];
	__u32 netns;	  // inode
	__u16 local_port; // host order; 0: not bound yet
	__u16 remote_port;
	__u8 kind;	  // enum tt_kind
	__u8 old_state;	  // TCP_*
	__u8 new_state;
	__u8 family;	  // 4 or 6; 0: addresses are not known
	__u8 flags;	  // enum tt_flag
	__u8 cause;	  // enum tt_cause
	__u16 err;	  // sk_err
};

struct tt_task {
	__u64 cgroup; // cgroup v2 id
	__u32 pid;    // thread group id
	__u32 uid;
	__u8 comm[16];
};

struct tt_transition {
	struct tt_head head;
	struct tt_task task;
};

// The sequence numbers of the two SYNs: ours and the peer's, which is not known
// where its SYN has not come.
struct tt_isn {
	__u32 sent;
	__u32 received;
};

// A transition that ends a full socket's part in a handshake.
struct tt_handshake {
	struct tt_transition transition;
	struct tt_isn isn;
};

// Return addresses of the kernel's stack, innermost first, less config.frame_base:
// which functions they lie in tells why a socket ended. 0: none.
#define TT_FRAMES 16
#define TT_REQUEST_FRAMES 14

struct tt_request_end {
	struct tt_head head;
	struct tt_isn isn;
	__s32 frames[TT_REQUEST_FRAMES]; // with TT_CAUSE_DROPPED
};

struct tt_timewait_begin {
	struct tt_head head;
	__u32 left_jiffies; // until its timer runs out; 0: not known
	__u32 pad;
};

struct tt_timewait_end {
	struct tt_head head;
	__s32 frames[TT_FRAMES]; // where head.cause is not set
};

struct tt_retransmit {
	struct tt_head head;
	__u32 seq;
	__u32 bytes;
	__u32 rto_jiffies;
	__u32 srtt_us;
	__u32 cwnd;
	__s16 unsent_err; // 0, or the negative errno with which sending failed
	__u8 ca_state;	  // TCP_CA_*
	__u8 pending;	  // ICSK_TIME_*
	__u8 retransmits; // timeouts since the last ACK
	__u8 sacked;	  // TCPCB_*
	__u8 tcp_flags;	  // TCPHDR_*
	__u8 old_ca_state; // of TT_CONGESTION
	__u8 pad[2];
	__u16 segments;	  // on the wire, as the kernel's RetransSegs counts them
	__u32 dsacks;	  // copies that the peer reported to have got, so far
	__u32 total;	  // segments that the socket sent again, this one included
	__s32 undo_retrans;
	__u32 pad2;
};

struct tt_reset {
	struct tt_head head;
	struct tt_task task;
	__u16 reason; // enum sk_rst_reason; 0: not given
	__u8 facts;   // enum tt_reset_fact
	__u8 shutdown; // RCV_SHUTDOWN, SEND_SHUTDOWN
	__u32 unread;	 // bytes received that nobody has read
	__u32 unacked;	 // bytes written that the peer has not acknowledged
	__u32 answered_bytes; // payload of the packet that is answered
	__u8 answered_flags; // TCPHDR_* of that packet
	__u8 probes;	     // keepalive or window probes without an answer
	__u8 timeouts;	     // retransmission timeouts since the last ACK
	__u8 memory;	     // enum tt_memory
	__u8 pad[4];
};

struct tt_drop {
	struct tt_head head;
	__u32 seq;
	__u32 bytes;	 // payload
	__s32 location;	 // the address that gave it up, less config.frame_base; 0: not known
	__u16 reason;	 // enum skb_drop_reason
	__u8 tcp_flags;	 // TCPHDR_*
	__u8 pad;
	__u32 count; // packets; of too many for a record each, bytes and tcp_flags are one's, and of many flows head.netns alone tells
	__u32 pad2;
};

struct tt_queue {
	struct tt_head head;
	__u32 length;
	__u32 limit;
	__u32 count; // of packets
	__u8 syn;    // the queue of requests; else of those that wait for accept()
	__u8 pad[3];
};

enum tt_op {
	TT_OP_CONNECT = 1,
	TT_OP_ACCEPT,
	TT_OP_READ, // of struct tt_stack alone
};

// A system call failed, with head.err.
struct tt_failed {
	struct tt_head head;
	struct tt_task task;
	__u32 count; // that it stands for
	__u8 op;     // enum tt_op
	__u8 pad[3];
};

// Classes of retransmits, numbered as internal/conn numbers them.
#define TT_CLASSES 9

struct tt_counts {
	__u32 events;
	__u32 probes;		      // of those, tail loss probes
	__u32 timeouts;		      // that have no TT_CONGESTION and no SYN-ACK of their own
	__u32 segments[TT_CLASSES]; // as the kernel's RetransSegs counts
};

// Of what comes too often: how many have had no record of their own.
struct tt_storm_told {
	struct tt_head head;
	struct tt_counts counts;
	__u16 reason; // that they have in common; enum sk_rst_reason
	__u16 pad[3];
};

struct tt_totals {
	struct tt_head head;
	__u64 bytes_sent;
	__u64 bytes_acked;
	__u64 bytes_received;
	__u32 segs_out;
	__u32 segs_in;
	__u32 srtt_us;
	__u32 pad;
};

struct tt_closed {
	struct tt_totals totals;
	struct tt_task task;
};

// What one CPU did, by kind: how many records it wanted to send, how many of them
// the ring had no room for, and how many more it left out to save their cost.
struct tt_tally {
	__u64 sent[TT_NUM_KINDS];
	__u64 lost[TT_NUM_KINDS];
	__u64 shed[TT_NUM_KINDS];
	// Transitions made by system calls: those that tt_set_state_bh saw, and
	// those that tt_set_state was run for. See state.h.
	__u64 by_call_seen;
	__u64 by_call;
	// What was counted in a storm rather than told: while this grows there is
	// something to find in the map of storms.
	__u64 counted;
	__u64 pad[5];
};

_Static_assert(sizeof(struct tt_head) == 64, "one cache line");
_Static_assert(sizeof(struct tt_task) == 32, "layout");
_Static_assert(sizeof(struct tt_transition) == 96, "layout");
_Static_assert(sizeof(struct tt_handshake) == 104, "layout");
_Static_assert(sizeof(struct tt_request_end) == 128, "layout");
_Static_assert(sizeof(struct tt_timewait_begin) == 72, "layout");
_Static_assert(sizeof(struct tt_timewait_end) == 128, "layout");
_Static_assert(sizeof(struct tt_retransmit) == 112, "layout");
_Static_assert(sizeof(struct tt_reset) == 120, "layout");
_Static_assert(sizeof(struct tt_totals) == 104, "layout");
_Static_assert(sizeof(struct tt_closed) == 136, "layout");
_Static_assert(sizeof(struct tt_failed) == 104, "layout");
_Static_assert(sizeof(struct tt_storm_told) == 120, "layout");
_Static_assert(sizeof(struct tt_drop) == 88, "layout");
_Static_assert(sizeof(struct tt_queue) == 80, "layout");
_Static_assert(sizeof(struct tt_tally) % 64 == 0, "no two CPUs write to one cache line");

// Nothing else names these types in a map, so that clang would leave them out
// of BTF, from which bpf2go reads them.
struct tt_wire {
	enum tt_kind kind;
	enum tt_cause cause;
	enum tt_flag flag;
	enum tt_reset_fact fact;
	enum tt_memory memory;
	struct tt_transition transition;
	struct tt_handshake handshake;
	struct tt_request_end request_end;
	struct tt_timewait_begin timewait_begin;
	struct tt_timewait_end timewait_end;
	struct tt_retransmit retransmit;
	struct tt_reset reset;
	struct tt_totals totals;
	struct tt_closed closed;
	struct tt_drop drop;
	struct tt_queue queue;
	struct tt_failed failed;
	enum tt_op op;
	struct tt_storm_told storm_told;
};

const struct tt_wire *wire_types __attribute__((unused));
