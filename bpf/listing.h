// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
//
// The wire contract of a snapshot: what the iterators write, one record for
// each socket and one for each descriptor of a socket. The rules are those of
// event.h.
#pragma once

#include "kernel.h"

// Which kernel object a socket is.
enum tt_object {
	TT_FULL = 1,
	TT_REQUEST,
	TT_TIMEWAIT,
};

// The timer that is armed, in tt_socket.timer; as sock_diag tells them apart.
enum tt_timer {
	TT_TIMER_NONE = 0,
	TT_TIMER_RETRANSMIT,
	TT_TIMER_KEEPALIVE,
	TT_TIMER_TIMEWAIT,
	TT_TIMER_PROBE, // of a closed window
};

// Bits of tt_socket.flags.
enum tt_socket_flag {
	TT_S_ORPHAN = 1,     // its process has closed it
	TT_S_UNACCEPTED = 2, // it waits for accept()
	TT_S_KEEPALIVE = 4,  // SO_KEEPALIVE
};

struct tt_socket {
	__u64 time_ns; // CLOCK_MONOTONIC
	__u64 cookie;  // 0: it has none, and this kernel lets no iterator make one
	__u64 inode;   // 0: no descriptor
	__u8 local[16]; // IPv4 as ::ffff:a.b.c.d; family says which it is
	__u8 remote[16];
	__u32 netns; // inode
	__u32 uid;   // of the process that made it; 0 for a timewait socket
	__u32 recv_q;
	__u32 send_q;
	__u32 drops;
	__s32 timer_jiffies; // until the timer runs out
	__u32 idle_jiffies;  // since the peer was heard; 0: just now, or something is in flight
	__u16 local_port;    // host order
	__u16 remote_port;
	__u8 object; // enum tt_object
	__u8 state;  // TCP_*, as users know it: a request's is TCP_SYN_RECV
	__u8 family; // 4 or 6
	__u8 timer;  // enum tt_timer
	__u8 retransmits;
	__u8 flags; // enum tt_socket_flag
	__u8 pad[2];
};

struct tt_holder {
	__u64 cookie; // 0: none, or an MPTCP socket, whose inode its subflows share
	__u64 inode;  // where there is no cookie
	__u32 netns;
	__u32 pid; // thread group id
	__u32 fd;
	__u32 uid;
	__u8 comm[16]; // of the thread group's leader
};

_Static_assert(sizeof(struct tt_socket) == 96, "layout");
_Static_assert(sizeof(struct tt_holder) == 48, "layout");

// As in event.h: for clang to keep them in BTF.
struct tt_listing {
	enum tt_object object;
	enum tt_timer timer;
	enum tt_socket_flag flag;
	struct tt_socket socket;
	struct tt_holder holder;
};

const struct tt_listing *listing_types __attribute__((unused));
