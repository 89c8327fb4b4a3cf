/* SPDX-License-Identifier: GPL-2.0 OR MIT */
#ifndef ESCA_CALLS_H
#define ESCA_CALLS_H

#include <linux/ptrace.h>
#include <linux/types.h>

#include "esca.h"

int esca_calls_init(void);
u64 esca_calls_features(void);
const char *esca_call_name(enum esca_call call);

/* Which call @nr is, or -1 if a table may not hold it. */
int esca_call_of(u32 nr);

/*
 * Runs @call with the arguments in @regs, as the kernel's own entry would: the
 * result, or a negated errno; never one that asks for a restart.
 */
long esca_call_run(enum esca_call call, struct pt_regs *regs);

/* How many bytes the call was asked to move, by its arguments; 0: none. */
u64 esca_call_wants(enum esca_call call, const u64 args[6]);

/*
 * Does what the kernel has put off until this task returns to user space, such
 * as the end of a file that was closed. False: it cannot be done here.
 */
bool esca_run_put_off(void);

static inline void esca_set_args(struct pt_regs *regs, u64 a, u64 b, u64 c,
				 u64 d, u64 e, u64 f)
{
	regs->di = a;
	regs->si = b;
	regs->dx = c;
	regs->r10 = d;
	regs->r8 = e;
	regs->r9 = f;
}

#endif
