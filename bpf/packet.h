// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
//
// Reading a packet of TCP, wherever in the stack it is.
#pragma once

#include "emit.h"
#include "filter.h"
#include "peek.h"
#include "sock.h"

enum {
	ETH_P_IP = 0x0800,
	ETH_P_IPV6 = 0x86dd,
	IPV6_HEADER = 40,
};

struct tt_ipv4_header {
	__u8 version_and_words;
	__u8 tos;
	__be16 bytes; // header included
	__be16 id;
	__be16 fragment;
	__u8 ttl;
	__u8 protocol;
	__u16 sum;
	__be32 saddr;
	__be32 daddr;
};

struct tt_ipv6_header {
	__u32 version;
	__be16 bytes; // header not included
	__u8 protocol;
	__u8 hops;
	__u8 saddr[16];
	__u8 daddr[16];
};

struct tt_tcp_header {
	__be16 source;
	__be16 dest;
	__be32 seq;
	__be32 ack;
	__u8 offset; // in its upper half: words
	__u8 flags;
};

// Fills in the addresses as one who receives the packet sees them. Returns how
// long the header is, with in bytes what follows it, or 0 if it is not TCP that
// follows.
static __always_inline __u32 read_ipv4(struct tt_head *head, const unsigned char *at, __u32 *bytes)
{
	struct tt_ipv4_header ip;
	__u32 header;

	if (bpf_probe_read_kernel(&ip, sizeof(ip), at) || ip.version_and_words >> 4 != 4 ||
	    ip.protocol != IPPROTO_TCP || (ip.fragment & bpf_htons(0x1fff)))
		return 0;
	set_ipv4(head->local, ip.daddr);
	set_ipv4(head->remote, ip.saddr);
	head->family = 4;
	header = (ip.version_and_words & 15) * 4;
	*bytes = bpf_ntohs(ip.bytes) - header;
	return header;
}

static __always_inline __u32 read_ipv6(struct tt_head *head, const unsigned char *at, __u32 *bytes)
{
	struct tt_ipv6_header ip;

	if (bpf_probe_read_kernel(&ip, sizeof(ip), at) || (ip.version & 0xf0) != 0x60 ||
	    ip.protocol != IPPROTO_TCP)
		return 0;
	__builtin_memcpy(head->local, ip.daddr, 16);
	__builtin_memcpy(head->remote, ip.saddr, 16);
	head->family = 6;
	*bytes = bpf_ntohs(ip.bytes);
	return IPV6_HEADER;
}

// Fills in what the packet itself tells. Returns false if it is not of TCP, or
// hidden behind headers of IPv6 that we do not read. skb is a tracepoint's own, and
// is there.
static __always_inline bool read_dropped(struct tt_drop *out, const struct sk_buff *skb)
{
	const unsigned char *ip = peek(skb, head) + peek(skb, network_header);
	__be16 protocol = peek(skb, protocol);
	struct tt_tcp_header tcp;
	__u32 header = 0, bytes = 0;

	if (protocol == bpf_htons(ETH_P_IP))
		header = read_ipv4(&out->head, ip, &bytes);
	else if (protocol == bpf_htons(ETH_P_IPV6))
		header = read_ipv6(&out->head, ip, &bytes);
	if (!header || bpf_probe_read_kernel(&tcp, sizeof(tcp), ip + header))
		return false;
	out->head.local_port = bpf_ntohs(tcp.dest);
	out->head.remote_port = bpf_ntohs(tcp.source);
	out->seq = bpf_ntohl(tcp.seq);
	out->tcp_flags = tcp.flags;
	header = (tcp.offset >> 4) * 4;
	out->bytes = bytes > header ? bytes - header : 0;
	return true;
}

// The namespace of a packet that has no socket.
static __always_inline __u32 packet_netns(const struct sk_buff *skb)
{
	const struct net_device *dev = peek(skb, dev);
	const struct dst_entry *route;
	const struct net *net;

	if (!dev) { // TCP takes it away
		route = (const struct dst_entry *)(peek(skb, _skb_refdst) & ~1UL);
		return BPF_CORE_READ(route, dev, nd_net.net, ns.inum);
	}
	net = peek(dev, nd_net.net);
	return peek(net, ns.inum);
}
