// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
//
// RSTs, sent and received. A RST that answers a packet takes its addresses
// from that packet: the socket may be missing, a listener, or a minisocket.
#pragma once

#include "emit.h"
#include "owner.h"
#include "shed.h"
#include "sock.h"
#include "storm.h"

struct tt_ports {
	__be16 source;
	__be16 dest;
};

struct tt_ipv4_addrs {
	__be32 saddr;
	__be32 daddr;
};

struct tt_ipv6_addrs {
	__u8 saddr[16];
	__u8 daddr[16];
};

#define IPV4_ADDRS 12 // offset of the addresses in the header
#define IPV6_ADDRS 8
#define TCP_OFFSET_AND_FLAGS 12

// Fills in the addresses and ports of our answer to a received packet.
static __always_inline bool read_answer(struct tt_head *head, const struct sk_buff *skb)
{
	const unsigned char *base = BPF_CORE_READ(skb, head);
	const unsigned char *ip = base + BPF_CORE_READ(skb, network_header);
	const unsigned char *tcp = base + BPF_CORE_READ(skb, transport_header);
	struct tt_ipv4_addrs ipv4;
	struct tt_ports ports;
	__u8 version = 0;

	if (bpf_probe_read_kernel(&version, sizeof(version), ip) ||
	    bpf_probe_read_kernel(&ports, sizeof(ports), tcp))
		return false;
	version >>= 4;
	if (version == 4) {
		if (bpf_probe_read_kernel(&ipv4, sizeof(ipv4), ip + IPV4_ADDRS))
			return false;
		set_ipv4(head->local, ipv4.daddr);
		set_ipv4(head->remote, ipv4.saddr);
	} else if (version == 6) {
		const unsigned char *addrs = ip + IPV6_ADDRS;

		if (bpf_probe_read_kernel(head->remote, 16, addrs) ||
		    bpf_probe_read_kernel(head->local, 16, addrs + 16))
			return false;
	} else {
		return false;
	}
	head->family = version;
	head->local_port = bpf_ntohs(ports.dest);
	head->remote_port = bpf_ntohs(ports.source);
	return true;
}

// Fills in what of the packet tells why it is answered so. Its data may begin
// at the TCP header or behind it.
static __always_inline void read_answered(struct tt_reset *out, const struct sk_buff *skb)
{
	const unsigned char *tcp = BPF_CORE_READ(skb, head) + BPF_CORE_READ(skb, transport_header);
	__u8 offset_and_flags[2];
	__s64 bytes;

	if (bpf_probe_read_kernel(offset_and_flags, 2, tcp + TCP_OFFSET_AND_FLAGS))
		return;
	bytes = BPF_CORE_READ(skb, data) + BPF_CORE_READ(skb, len) - tcp;
	bytes -= (offset_and_flags[0] >> 4) * 4;
	out->facts |= TT_R_ANSWER;
	out->answered_bytes = bytes > 0 ? bytes : 0;
	out->answered_flags = offset_and_flags[1];
}

// What every socket may have queued whatever tcp_mem says: SOCK_MIN_SNDBUF
// (include/net/sock.h), of two packets of 2 KiB each with their struct sk_buff,
// which takes whole cache lines.
static __always_inline __u32 least_queue(void)
{
	return 2 * (2048 + ((bpf_core_type_size(struct sk_buff) + 63) & ~63));
}

// Looks again at what the kernel has looked at a moment ago: tcp_out_of_memory. On
// its way a RST may have freed what the other end had.
static __always_inline __u8 memory_of(const struct sock *sk)
{
	const struct proto *prot = BPF_CORE_READ(sk, __sk_common.skc_prot);
	const long *limits = BPF_CORE_READ(prot, sysctl_mem);
	__s64 pages = 0;
	long limit = 0;

	if (BPF_CORE_READ(sk, sk_wmem_queued) <= (int)least_queue())
		return 0;
	if (bpf_probe_read_kernel(&pages, sizeof(pages), BPF_CORE_READ(prot, memory_allocated)) ||
	    bpf_probe_read_kernel(&limit, sizeof(limit), &limits[2]) || pages <= limit)
		return TT_M_QUEUED;
	return TT_M_QUEUED | TT_M_FULL;
}

// Fills in what of a full socket tells why it is reset.
static __always_inline void read_reset_facts(struct tt_reset *out, const struct sock *sk)
{
	const struct inet_connection_sock *icsk = (const struct inet_connection_sock *)sk;
	const struct tcp_sock *tp = (const struct tcp_sock *)sk;
	unsigned long flags = BPF_CORE_READ(sk, __sk_common.skc_flags);

	out->facts |= TT_R_SOCKET;
	if (flags & (1 << SOCK_DEAD)) {
		out->facts |= TT_R_DEAD;
		out->memory = memory_of(sk);
	}
	if ((flags & (1 << SOCK_LINGER)) && !BPF_CORE_READ(sk, sk_lingertime))
		out->facts |= TT_R_LINGER0;
	if (BPF_CORE_READ(tp, linger2) < 0)
		out->facts |= TT_R_LINGER2;
	out->shutdown = BPF_CORE_READ(sk, sk_shutdown);
	out->unread = BPF_CORE_READ(tp, rcv_nxt) - BPF_CORE_READ(tp, copied_seq);
	if (out->unread && (flags & (1 << SOCK_DONE)))
		out->unread--; // the peer's FIN, which the kernel counts as a byte
	out->unacked = BPF_CORE_READ(tp, write_seq) - BPF_CORE_READ(tp, snd_una);
	out->probes = BPF_CORE_READ(icsk, icsk_probes_out);
	out->timeouts = BPF_CORE_READ(icsk, icsk_retransmits);
}

// Fills in all that the socket tells. It may be a full socket, a minisocket,
// whose state is told otherwise, or a listener, which is no connection's.
static __always_inline bool read_reset_sock(struct tt_reset *out, const struct sock *sk)
{
	struct tt_head *head = &out->head;
	struct tt_sock copy;
	__u8 state;

	read_sock(&copy, sk);
	if (!set_tuple(head, &copy))
		return false;
	state = member(&copy, skc_state);
	head->old_state = state;
	if (state != TCP_LISTEN)
		head->cookie = cookie_of(&copy);
	if (state == TCP_TIME_WAIT) {
		out->facts |= TT_R_TIMEWAIT;
		head->old_state = BPF_CORE_READ((const struct inet_timewait_sock *)sk, tw_substate);
	} else if (state == TCP_NEW_SYN_RECV) {
		out->facts |= TT_R_REQUEST;
		head->old_state = TCP_SYN_RECV;
	} else {
		set_released_port(head, sk);
		head->err = BPF_CORE_READ(sk, sk_err);
		if (in_process_context(sk))
			head->flags |= TT_F_PROCESS;
		if (state == TCP_LISTEN)
			out->facts |= TT_R_LISTENER;
		else
			read_reset_facts(out, sk);
	}
	return true;
}

// Reports whether a RST is one of too many that answer packets of no connection:
// it is counted, then, by its reason and state.
static __noinline bool is_flood(const struct tt_reset *reset)
{
	struct tt_storm_key key = {};
	struct tt_storm *s;

	key.netns = reset->head.netns;
	key.reason = reset->reason;
	key.kind = TT_RESET_MORE;
	key.state = reset->head.old_state;
	s = storm_of(&key);
	if (!s || take_token(&s->filled_ns, &s->tokens, reset->head.time_ns, TT_RESET_BURST,
			     TT_RESET_RATE))
		return false;
	s->head.kind = key.kind;
	s->head.netns = key.netns;
	s->head.old_state = key.state;
	count_event(s);
	return true;
}

static __always_inline bool answers_no_connection(const struct tt_reset *reset)
{
	return (reset->facts & TT_R_ANSWER) && !(reset->facts & TT_R_SOCKET);
}

// passed: it has been found to be none of a flood.
static __always_inline void emit_reset(const struct tt_reset *reset, bool passed)
{
	struct tt_reset *out;

	if (!tuple_selected(&reset->head) || !is_told_of(&reset->head))
		return;
	if (!passed && answers_no_connection(reset) && is_flood(reset))
		return;
	out = reserve(&reset->head, sizeof(*out));
	if (!out)
		return;
	*out = *reset;
	if (reset->head.flags & TT_F_PROCESS)
		read_task(&out->task);
	submit(out);
}

static __always_inline int reset_sent(const struct sock *sk, const struct sk_buff *skb, int reason)
{
	struct tt_reset reset = {
		.head = {
			.time_ns = bpf_ktime_get_ns(),
			.kind = TT_RESET_SENT,
		},
		.reason = reason,
	};
	bool known = false, passed = false;

	// The verifier of older kernels believes that sk is never NULL and drops
	// the first test; reading the state of NULL gives 0.
	if (sk && sock_state(sk)) {
		known = read_reset_sock(&reset, sk);
	} else if (skb) {
		reset.head.netns = BPF_CORE_READ(skb, dev, nd_net.net, ns.inum);
		passed = !selects_tuples(); // of a flood the packet is not read
		if (passed && netns_selected(reset.head.netns) && is_flood(&reset))
			return 0;
	}
	if (skb && read_answer(&reset.head, skb)) {
		read_answered(&reset, skb);
		known = true;
	}
	if (known)
		emit_reset(&reset, passed);
	return 0;
}

static __always_inline int reset_received(const struct sock *sk)
{
	struct tt_reset reset = {
		.head = {
			.time_ns = bpf_ktime_get_ns(),
			.kind = TT_RESET_RECEIVED,
		},
	};

	if (read_reset_sock(&reset, sk))
		emit_reset(&reset, true);
	return 0;
}
