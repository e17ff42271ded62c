// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0
//
// What is not told, because telling it would cost more than the user allows:
// user space decides that as it goes, and each record left out is counted.
#pragma once

#include "emit.h"
#include "filter.h"

// Set by user space at any time; zero: all is told.
volatile __u32 shed_sockets;	 // tells only those whose mix() has none of these bits
volatile bool shed_retransmits; // counts them, and tells the counts
volatile bool shed_drops;

static __always_inline void count_shed(enum tt_kind kind)
{
	struct tt_tally *tally = this_tally();

	if (tally)
		add_one(&tally->shed[kind & (TT_NUM_KINDS - 1)]);
}

// Makes any part of a cookie as good as another to choose by: the kernel counts
// them up. internal/event, Mix, must do the same.
static __always_inline __u32 mix(__u64 cookie)
{
	cookie ^= cookie >> 33;
	cookie *= 0xff51afd7ed558ccdULL; // of MurmurHash3, fmix64
	cookie ^= cookie >> 33;
	return cookie;
}

// Reports whether a connection's socket is one to tell of: the user wants it, and
// what it costs is not to be saved. Who has no cookie yet is always told.
static __always_inline bool is_told_of(const struct tt_head *head)
{
	if (!owner_selected(head->cookie))
		return false;
	if (!head->cookie || !(mix(head->cookie) & shed_sockets))
		return true;
	count_shed(head->kind);
	return false;
}
