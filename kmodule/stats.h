/* SPDX-License-Identifier: GPL-2.0 OR MIT */
#ifndef ESCA_STATS_H
#define ESCA_STATS_H

#include <linux/percpu.h>

#include "calls.h"

/* What all contexts have done since the module was loaded. */
struct esca_stats {
	u64 batches;		/* crossings */
	u64 entries;
	u64 events;
	u64 errors;		/* calls that failed, other than with EAGAIN */
	u64 calls[ESCA_CALLS];	/* by call, the harvest's included */
};

DECLARE_PER_CPU(struct esca_stats, esca_stats);

#define esca_add(what, n)	this_cpu_add(esca_stats.what, n)
#define esca_count(what)	this_cpu_inc(esca_stats.what)

void esca_stats_init(void);
void esca_stats_exit(void);

#endif
