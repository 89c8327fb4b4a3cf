/* SPDX-License-Identifier: GPL-2.0 OR MIT */
#ifndef ESCA_CONTEXT_H
#define ESCA_CONTEXT_H

#include <linux/mutex.h>
#include <linux/ptrace.h>

#include "esca.h"

/* One open of /dev/esca. */
struct esca_ctx {
	struct mutex lock;	/* a batch is under way */
	struct mutex registering;	/* until mem is set */
	struct mm_struct *mm;	/* whose memory the addresses below are of */
	void *mem;		/* the shared pages; set once, with release */
	unsigned long pages;

	struct esca_ctl *ctl;
	struct esca_entry *entries;
	struct esca_event *events;
	s32 *free;

	u32 nr_entries, nr_events, nr_slots, slot_size, interest_len;
	u32 __user *interest;
	u8 __user *slots;
};

long esca_batch(struct esca_ctx *ctx, u32 first, u32 n);

/* Harvests what a wait has reported in @ready; returns the number of events. */
u32 esca_harvest(struct esca_ctx *ctx, struct pt_regs *regs,
		 const void __user *ready, u32 n);

#endif
