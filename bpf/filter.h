// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
//
// The user's selection, applied before anything is written. What cannot be
// decided here passes: user space applies the whole filter again.
#pragma once

#include "config.h"
#include "maps.h"

static __always_inline bool port_in(const volatile __u16 *ports, __u8 num, __u16 port)
{
	for (int i = 0; i < TT_MAX_PORTS; i++) {
		if (i >= num)
			break;
		if (ports[i] == port)
			return true;
	}
	return false;
}

static __always_inline bool id_in(const volatile __u32 *ids, __u8 num, __u32 id)
{
	for (int i = 0; i < TT_MAX_IDS; i++) {
		if (i >= num)
			break;
		if (ids[i] == id)
			return true;
	}
	return false;
}

static __always_inline bool in_net(const volatile struct tt_net *net, const __u8 addr[16])
{
	const volatile __u32 *want = (const volatile __u32 *)net->addr;
	const volatile __u32 *mask = (const volatile __u32 *)net->mask;
	const __u32 *word = (const __u32 *)addr;

	return (word[0] & mask[0]) == want[0] && (word[1] & mask[1]) == want[1] &&
	       (word[2] & mask[2]) == want[2] && (word[3] & mask[3]) == want[3];
}

static __always_inline bool net_selected(const struct tt_head *head)
{
	for (int i = 0; i < TT_MAX_IDS; i++) {
		if (i >= config.num_nets)
			break;
		if (in_net(&config.nets[i], head->local) || in_net(&config.nets[i], head->remote))
			return true;
	}
	return config.num_nets == 0;
}

static __always_inline bool ports_selected(const struct tt_head *head)
{
	bool bound = head->local_port != 0;

	if (config.num_remote_ports &&
	    !port_in(config.remote_ports, config.num_remote_ports, head->remote_port))
		return false;
	if (config.num_local_ports && bound &&
	    !port_in(config.local_ports, config.num_local_ports, head->local_port))
		return false;
	if (config.num_ports && bound &&
	    !port_in(config.ports, config.num_ports, head->local_port) &&
	    !port_in(config.ports, config.num_ports, head->remote_port))
		return false;
	return true;
}

static __always_inline bool netns_selected(__u32 netns)
{
	return !config.num_netns || id_in(config.netns, config.num_netns, netns);
}

// Reports whether the user's selection goes by family, addresses or ports.
static __always_inline bool selects_tuples(void)
{
	return config.family || config.num_ports || config.num_local_ports ||
	       config.num_remote_ports || config.num_nets;
}

// Reports whether the tuple is one that the user wants to see.
static __always_inline bool tuple_selected(const struct tt_head *head)
{
	if (config.family && head->family && head->family != config.family)
		return false;
	if (!netns_selected(head->netns))
		return false;
	return ports_selected(head) && net_selected(head);
}

// Remembers whose socket it is, where --pid needs to know: the process that
// opened it or, failing that, the first one seen to act on it, or any that is
// wanted: it may have got the socket from another. Reports whether that is news
// of a socket whose first events user space has got: then it must get this one
// too, and learns that no more will come.
static __always_inline bool remember_owner(__u64 cookie, __u32 pid, bool opener)
{
	__u64 how = BPF_NOEXIST;

	if (!config.num_pids || !cookie)
		return false;
	if (opener || id_in(config.pids, config.num_pids, pid))
		how = BPF_ANY;
	return !bpf_map_update_elem(&owners, &cookie, &pid, how) && !opener;
}

// Reports whether the socket may belong to one of the wanted processes.
static __always_inline bool owner_selected(__u64 cookie)
{
	__u32 *pid;

	if (!config.num_pids || !cookie)
		return true;
	pid = bpf_map_lookup_elem(&owners, &cookie);
	return !pid || id_in(config.pids, config.num_pids, *pid);
}
