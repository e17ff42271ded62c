// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
//
// What user space decides before the programs are loaded. It is read-only
// from then on, so the verifier knows the values and removes the branches
// that they rule out: a filter that is not set costs nothing.
#pragma once

#include "event.h"

#define TT_MAX_PORTS 16
#define TT_MAX_IDS 8
#define TT_DROP_REASONS 256

struct tt_net {
	__u8 addr[16]; // masked
	__u8 mask[16];
};

struct tt_config {
	// Kernel addresses by which a timer is recognised; 0: never.
	__u64 timewait_handler; // tw_timer_handler
	__u64 request_handler;	// reqsk_timer_handler
	__u64 write_handler;	// tcp_write_timer

	// An address within 2 GiB of all kernel functions; frames are given as
	// distances from it. 0: there is nobody who could name them.
	__u64 frame_base;

	// A record that finds more than this in its ring wakes the reader.
	__u64 wake_bytes;

	// The reasons for which a dropped packet is told, a bit each.
	__u64 drop_reasons[TT_DROP_REASONS / 64];

	struct tt_net nets[TT_MAX_IDS];
	__u32 pids[TT_MAX_IDS];
	__u32 netns[TT_MAX_IDS];
	__u16 ports[TT_MAX_PORTS]; // either side
	__u16 local_ports[TT_MAX_PORTS];
	__u16 remote_ports[TT_MAX_PORTS];
	// Numbers of reasons for dropping a packet; 0: there is no such.
	__u16 reason_listen_overflow;
	__u16 reason_no_socket;
	__u16 reason_flags;
	__u16 reason_csum;

	__u8 num_nets;
	__u8 num_pids;
	__u8 num_netns;
	__u8 num_ports;
	__u8 num_local_ports;
	__u8 num_remote_ports;
	__u8 family; // 4, 6, or 0 for both

	// What this kernel has.
	__u8 has_cookie_helper;	 // bpf_get_socket_cookie() in tracing programs
	__u8 has_retransmit_err; // third argument of tcp_retransmit_skb
	__u8 has_reset_reason;	 // third argument of tcp_send_reset
	__u8 marks_unowned;	 // a hook sees the process of a child socket
	__u8 sees_fin;		 // a hook sees the FIN that meets a timewait socket
	__u8 sees_requests;	 // a hook sees how request sockets end
	__u8 hash_add_args;	 // of inet_csk_reqsk_queue_hash_add; 0: it returns nothing
	__u8 accept_args;	 // of inet_csk_accept
	__u8 has_drop_reason;	 // third argument of kfree_skb
	__u8 has_drop_receiver;	 // fourth
	__u8 finds_fin;		 // kfree_skb is the hook of sees_fin
	__u8 sees_calls;	 // hooks see how connect() and accept() return
	__u8 accept_by_call;	 // such a hook tells of what was accepted
	__u8 untyped;		 // the programs are at raw tracepoints: see peek()
	__u8 saves_stacks;	 // of the calls that open connections
	__u8 has_cast;		 // bpf_rdonly_cast()
	__u8 has_rings;		 // more than one: each CPU has its own, see this_ring()
};

const volatile struct tt_config config;
