// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
//
// The few kernel types, fields and constants that we read, each with its
// reason. CO-RE finds the real offsets at load time, so members may be
// declared in any order and the rest left out.
#pragma once

typedef unsigned char __u8;
typedef short __s16;
typedef unsigned short __u16;
typedef int __s32;
typedef unsigned int __u32;
typedef long long __s64;
typedef unsigned long long __u64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;

#define NULL ((void *)0)
#define bool _Bool
#define true 1
#define false 0

// include/uapi/linux/bpf.h
enum {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_ARRAY_OF_MAPS = 12,
	BPF_MAP_TYPE_SK_STORAGE = 24,
	BPF_MAP_TYPE_RINGBUF = 27,

	BPF_ANY = 0,
	BPF_NOEXIST = 1,

	BPF_F_NO_PREALLOC = 1,
	BPF_F_MMAPABLE = 1 << 10,
	BPF_SK_STORAGE_GET_F_CREATE = 1,

	BPF_RB_NO_WAKEUP = 1,
	BPF_RB_FORCE_WAKEUP = 2,
	BPF_RB_AVAIL_DATA = 0,

	BPF_SOCK_OPS_TIMEOUT_INIT = 1,
	BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB = 5,
};

struct bpf_sock_ops {
	__u32 op;
};

struct bpf_sock;

// include/net/tcp_states.h
enum {
	TCP_ESTABLISHED = 1,
	TCP_SYN_SENT = 2,
	TCP_SYN_RECV = 3,
	TCP_FIN_WAIT1 = 4,
	TCP_FIN_WAIT2 = 5,
	TCP_TIME_WAIT = 6,
	TCP_CLOSE = 7,
	TCP_LAST_ACK = 9,
	TCP_LISTEN = 10,
	TCP_CLOSING = 11,
	TCP_NEW_SYN_RECV = 12,
};

// include/uapi/linux/tcp.h, enum tcp_ca_state
enum { TCP_CA_LOSS = 4 };

// include/net/tcp.h
enum {
	TCPHDR_FIN = 1,
	TCPHDR_SYN = 2,
	TCPHDR_RST = 4,
	TCPHDR_ACK = 16,
};

// include/linux/socket.h
enum {
	AF_INET = 2,
	AF_INET6 = 10,
};

// include/uapi/linux/in.h
enum { IPPROTO_TCP = 6 };

#include <bpf/bpf_helpers.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	int counter;
} atomic_t;

typedef struct {
	atomic_t refs;
} refcount_t;

struct ns_common {
	__u32 inum;
	refcount_t __ns_ref; // 0: nothing is in it any more, and it is being taken down
};

// Before 6.18, and before 5.11.
struct ns_common___count {
	refcount_t count;
};

struct net___count {
	refcount_t count;
};

struct net {
	struct ns_common ns;
};

typedef struct {
	struct net *net;
} possible_net_t;

struct in6_addr {
	union {
		__u8 u6_addr8[16];
	} in6_u;
};

typedef struct {
	__s64 counter;
} atomic64_t;

struct hlist_node {
	struct hlist_node **pprev;
};

// Of each protocol: what its sockets take of the host's memory, in pages, and the
// three figures of tcp_mem, of which the last is the limit.
struct proto {
	__s64 *memory_allocated;
	long *sysctl_mem;
};

// The head that full, request and timewait sockets share.
struct sock_common {
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num; // host order; 0 once the port is released
	__u16 skc_family;
	volatile __u8 skc_state;
	__u32 skc_hash; // of the namespace, addresses and ports, once in that table
	struct hlist_node skc_node; // pprev is NULL outside the table of sockets
	possible_net_t skc_net;
	struct proto *skc_prot; // not of a timewait socket's
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
	atomic64_t skc_cookie;
	unsigned long skc_flags;
};

typedef struct {
	int owned; // 1: a system call holds the socket; the current task is it
} socket_lock_t;

struct timer_list {
	struct hlist_node entry; // pprev is NULL while the timer is not armed
	unsigned long expires; // jiffies
	void (*function)(struct timer_list *);
};

// include/net/sock.h, enum sock_flags: bits of skc_flags.
enum {
	SOCK_DEAD = 0, // its process has closed it
	SOCK_DONE = 1, // the peer's FIN was received (tcp_fin)
	SOCK_KEEPOPEN = 3,
	SOCK_LINGER = 4,
};

struct sock {
	struct sock_common __sk_common;
	socket_lock_t sk_lock;
	int sk_err;
	struct socket *sk_socket; // NULL: no descriptor, not yet or no more
	__u16 sk_protocol;
	atomic_t sk_drops;
	__u32 sk_ack_backlog; // of a listener: connections that wait for accept()
	__u32 sk_max_ack_backlog;
	__u8 sk_shutdown; // RCV_SHUTDOWN 1, SEND_SHUTDOWN 2
	int sk_wmem_queued; // memory of what is to be sent, or may have to be again
	unsigned long sk_lingertime; // jiffies; counts with SOCK_LINGER
	struct timer_list sk_timer; // keepalive, before 7.0
};

struct inet_sock {
	__be16 inet_sport; // stays when the port is released
};

struct request_sock_queue {
	atomic_t qlen; // requests
};

struct inet_connection_sock {
	struct inet_sock icsk_inet;
	struct request_sock_queue icsk_accept_queue;
	struct timer_list icsk_retransmit_timer;
	__u32 icsk_rto; // jiffies
	__u8 icsk_ca_state : 5;
	__u8 icsk_retransmits;
	__u8 icsk_pending;
	__u8 icsk_probes_out;
	struct {
		__u32 lrcvtime; // when data came last, in jiffies
	} icsk_ack;
};

// Since 7.0 the retransmission timer is a member of struct sock, where the
// keepalive timer was.
struct sock___timer {
	struct timer_list tcp_retransmit_timer;
};

struct inet_connection_sock___timer {
	struct timer_list icsk_keepalive_timer;
};

struct tcp_sock {
	struct inet_connection_sock inet_conn;
	__u64 bytes_sent;
	__u64 bytes_acked;
	__u64 bytes_received;
	__u32 segs_out;
	__u32 segs_in;
	__u32 srtt_us; // eighths of a microsecond
	__u32 snd_cwnd;
	__u32 snd_una;
	__u32 write_seq;
	__u32 rcv_nxt;
	__u32 copied_seq;
	__u32 snd_wnd;
	__u32 total_retrans; // segments
	__u32 dsack_dups;
	__u32 undo_marker; // 0: nothing can be undone
	int undo_retrans;  // segments sent again that are not known to be needless; -1: not known
	int linger2; // TCP_LINGER2; negative: do not wait for the peer's FIN
	__u32 rcv_tstamp; // when an ACK came last, in jiffies
};

struct inet_timewait_sock {
	struct sock_common __tw_common;
	volatile __u8 tw_substate; // TCP_TIME_WAIT or TCP_FIN_WAIT2
	struct timer_list tw_timer;
};

struct request_sock {
	struct sock_common __req_common;
	__u8 num_timeout : 7; // 0 until its timer first runs out
	__u8 num_retrans;
	struct timer_list rsk_timer;
};

struct tcp_request_sock {
	__u32 snt_isn; // of the SYN-ACK
	__u32 rcv_isn; // of the SYN
};

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_iter__bpf_map_elem {
	struct bpf_iter_meta *meta;
	void *key; // NULL at the end
	void *value;
};

struct bpf_iter__tcp {
	struct bpf_iter_meta *meta;
	struct sock_common *sk_common; // NULL at the end
	__u32 uid;
};

struct net_device {
	possible_net_t nd_net; // whose packet it is, where there is no socket
};

struct dst_entry {
	struct net_device *dev;
};

struct sk_buff {
	struct net_device *dev;
	struct sock *sk; // who sends it, or, found early, who receives it
	unsigned long _skb_refdst; // its struct dst_entry, but for the lowest bit
	int skb_iif; // the device that it came in by; 0: none
	__be16 protocol;
	__u32 len;
	unsigned char *data;
	__u16 transport_header; // offset from head
	__u16 network_header;
	unsigned char *head;
	char cb[48];
};

struct tcp_skb_cb {
	__u32 seq;
	__u16 tcp_gso_segs; // as sent, it makes so many segments
	__u8 tcp_flags; // __u16 since 6.15; little-endian, so its low byte
	__u8 sacked;
};

#pragma clang attribute pop

enum sk_rst_reason { SK_RST_REASON_NOT_SPECIFIED = 0 };
enum skb_drop_reason { SKB_DROP_REASON_NOT_SPECIFIED = 2 };

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_tracing.h>
