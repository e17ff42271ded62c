// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
//
// What BPF iterators are given, and the types behind a descriptor.
#pragma once

#include "listing.h"

enum {
	IPPROTO_MPTCP = 262,

	SOCKFS_MAGIC = 0x534F434B, // include/uapi/linux/magic.h
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct super_block {
	unsigned long s_magic;
};

struct inode {
	struct super_block *i_sb;
	unsigned long i_ino;
};

struct file {
	struct inode *f_inode;
	void *private_data; // of a socket: its struct socket
};

struct socket {
	struct sock *sk;
};

// A socket and its inode are made as one.
struct socket_alloc {
	struct socket socket;
	struct inode vfs_inode;
};

// Since 6.17 the socket has a copy of the number.
struct sock___ino {
	unsigned long sk_ino;
};

typedef struct {
	__u32 val;
} kuid_t;

struct cred {
	kuid_t uid;
};

struct task_struct {
	int tgid;
	struct task_struct *group_leader;
	const struct cred *cred;
	char comm[16];
};

struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task; // NULL at the end
	__u32 fd;
	struct file *file;
};

#pragma clang attribute pop

// What this kernel has; set by user space before loading.
const volatile bool has_cookie_helper;	 // bpf_get_socket_cookie() in iterators
const volatile bool has_sock_from_file; // bpf_sock_from_file()

// The socket's cookie, made now if it had none and this kernel allows that.
// sk is a pointer that the verifier knows.
static __always_inline __u64 settle_cookie(struct sock_common *sk)
{
	if (has_cookie_helper)
		return bpf_get_socket_cookie(sk);
	return BPF_CORE_READ(sk, skc_cookie.counter);
}
