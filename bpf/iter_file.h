// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
//
// The descriptors of TCP sockets that processes hold. A process that several
// threads make up shares one table; the kernel visits it once, but for a
// leader that has ended before its threads: user space drops the doubles.
#pragma once

#include "iter.h"

// The process whose descriptors are asked for; 0: all of them. Set by user space
// before it runs the iterator.
volatile __u32 holders_of;

static __always_inline bool is_tcp(__u16 family, __u16 protocol)
{
	return (family == AF_INET || family == AF_INET6) &&
	       (protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP);
}

// Reads what names the socket of a file, if it is a TCP socket, or an MPTCP
// one, whose subflows are sockets of their own and have its inode. Returns
// false for any other.
static __always_inline bool list_file(struct tt_holder *out, struct file *file)
{
	struct socket *socket = bpf_sock_from_file(file);
	struct sock *sk;

	if (!socket)
		return false;
	sk = socket->sk;
	if (!sk || !is_tcp(sk->__sk_common.skc_family, sk->sk_protocol))
		return false;
	out->netns = sk->__sk_common.skc_net.net->ns.inum;
	// Made here if the socket is of a namespace that is not read yet.
	if (sk->sk_protocol == IPPROTO_TCP)
		out->cookie = settle_cookie(&sk->__sk_common);
	return true;
}

// The same where no helper tells a socket's file from another: a file of
// sockfs that has a socket is one. A file opened with O_PATH has none.
static __always_inline bool probe_file(struct tt_holder *out, const struct file *file)
{
	struct socket *socket = file->private_data;
	struct sock *sk;

	if (!socket || file->f_inode->i_sb->s_magic != SOCKFS_MAGIC)
		return false;
	sk = BPF_CORE_READ(socket, sk);
	if (!sk || !is_tcp(BPF_CORE_READ(sk, __sk_common.skc_family), BPF_CORE_READ(sk, sk_protocol)))
		return false;
	out->netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	if (BPF_CORE_READ(sk, sk_protocol) == IPPROTO_TCP)
		out->cookie = BPF_CORE_READ(sk, __sk_common.skc_cookie.counter);
	return true;
}

static __always_inline int list_holder(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct tt_holder out = {};

	if (!task || !file || (holders_of && (__u32)task->tgid != holders_of))
		return 0;
	if (!(has_sock_from_file ? list_file(&out, file) : probe_file(&out, file)))
		return 0;
	if (!out.cookie)
		out.inode = file->f_inode->i_ino;
	out.pid = task->tgid;
	out.fd = ctx->fd;
	out.uid = task->cred->uid.val;
	bpf_probe_read_kernel_str(out.comm, sizeof(out.comm), task->group_leader->comm);
	bpf_seq_write(ctx->meta->seq, &out, sizeof(out));
	return 0;
}
