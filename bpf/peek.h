// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
//
// Reading what a tracepoint passes, whether the kernel knows its type or not.
#pragma once

#include "config.h"

// At most eight bytes. A function, not inlined, for the sake of the stack.
static __noinline __u64 read_scalar(const void *from, __u32 size)
{
	__u64 value = 0;

	bpf_probe_read_kernel(&value, size, from);
	return value;
}

// A field of what a tracepoint passes. Where the kernel knows the pointer's type,
// it is read in place; a raw tracepoint passes mere addresses.
#define peek(p, field)                                                                    \
	(config.untyped ? (typeof((p)->field))read_scalar(__builtin_preserve_access_index( \
							&(p)->field),                     \
						    sizeof((p)->field)) :                 \
			  (p)->field)

// Of Linux 6.2: lets what is at an address be read in place. It costs nothing.
extern void *bpf_rdonly_cast(const void *at, __u32 type) __ksym __weak;

#define cast(type, at) ((const type *)bpf_rdonly_cast(at, bpf_core_type_id_kernel(type)))

// A field of a struct of which the program has but the address.
#define peek_at(type, p, field) \
	(config.has_cast ? cast(type, p)->field : BPF_CORE_READ((const type *)(p), field))
