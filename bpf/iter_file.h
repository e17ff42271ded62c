// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
//
// The descriptors of TCP sockets that processes hold. A process that several
// threads make up shares one table; the kernel visits it once, but for a
// leader that has ended before its threads: user space drops the doubles.
#pragma once

#include "iter.h"
#include "sock.h"

// Reads what names a TCP socket, or an MPTCP one, whose subflows are sockets
// of their own and have its inode. Returns false for any other.
static __always_inline bool list_held(struct tt_holder *out, struct sock *sk)
{
	const struct sock_common *skc = &sk->__sk_common;
	__u16 family = BPF_CORE_READ(skc, skc_family);
	__u16 protocol = BPF_CORE_READ(sk, sk_protocol);

	if (family != AF_INET && family != AF_INET6)
		return false;
	if (protocol != IPPROTO_TCP && protocol != IPPROTO_MPTCP)
		return false;
	if (protocol == IPPROTO_TCP)
		out->cookie = BPF_CORE_READ(skc, skc_cookie.counter);
	out->netns = BPF_CORE_READ(skc, skc_net.net, ns.inum);
	return true;
}

// The same where no helper tells a socket's file from another: a file of
// sockfs that has a socket is one. A file opened with O_PATH has none.
static __always_inline struct sock *sock_of_file(const struct file *file)
{
	struct socket *socket = file->private_data;

	if (!socket || file->f_inode->i_sb->s_magic != SOCKFS_MAGIC)
		return NULL;
	return BPF_CORE_READ(socket, sk);
}

static __always_inline bool list_file(struct tt_holder *out, struct file *file)
{
	struct socket *socket;
	struct sock *sk;

	if (!has_sock_from_file) {
		sk = sock_of_file(file);
		return sk && list_held(out, sk);
	}
	socket = bpf_sock_from_file(file);
	if (!socket)
		return false;
	sk = socket->sk;
	if (!sk || !list_held(out, sk))
		return false;
	// The socket may be of a namespace that is not read yet.
	if (!out->cookie && sk->sk_protocol == IPPROTO_TCP)
		out->cookie = settle_cookie((struct sock_common *)sk);
	return true;
}

static __always_inline int list_holder(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct tt_holder out = {};

	if (!task || !file || !list_file(&out, file))
		return 0;
	out.inode = file->f_inode->i_ino;
	out.pid = task->tgid;
	out.fd = ctx->fd;
	out.uid = task->cred->uid.val;
	BPF_CORE_READ_STR_INTO(&out.comm, task, group_leader, comm);
	bpf_seq_write(ctx->meta->seq, &out, sizeof(out));
	return 0;
}
