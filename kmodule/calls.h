/* SPDX-License-Identifier: GPL-2.0 OR MIT */
#ifndef ESCA_CALLS_H
#define ESCA_CALLS_H

#include <linux/errno.h>
#include <linux/nospec.h>
#include <linux/ptrace.h>
#include <linux/types.h>

#include "esca.h"

typedef long (*esca_handler)(const struct pt_regs *regs);

/* A call that a table may hold, if it is open. */
struct esca_call_desc {
	esca_handler run;	/* NULL: this kernel does not offer it, or not open */
	const char *name;
	u16 nr;
	s8 wants;		/* the argument that counts the bytes to move, or -1 */
	bool open;		/* by default, or by the module's parameter */
};

extern struct esca_call_desc esca_calls[ESCA_CALLS];

/* By number: the call, plus one; 0: not allowed. */
#define ESCA_NR_LIMIT 512
extern u8 esca_call_of[ESCA_NR_LIMIT];

int esca_calls_init(void);
u64 esca_calls_features(void);

/* The call with this number, or NULL if a table may not hold it. */
static inline const struct esca_call_desc *esca_call_find(u32 nr)
{
	u8 i;

	if (nr >= ESCA_NR_LIMIT)
		return NULL;
	i = esca_call_of[array_index_nospec(nr, ESCA_NR_LIMIT)];
	return i ? &esca_calls[i - 1] : NULL;
}

/*
 * Runs a call with the arguments in @regs, as the kernel's own entry would: the
 * result, or a negated errno; never one that asks for a restart.
 */
static inline long esca_call_run(const struct esca_call_desc *call, struct pt_regs *regs)
{
	long ret;

	if (unlikely(!call->run))
		return -ENOSYS;
	regs->orig_ax = call->nr;
	ret = call->run(regs);
	if (unlikely(ret == -ERESTARTSYS || ret == -ERESTARTNOINTR ||
		     ret == -ERESTARTNOHAND || ret == -ERESTART_RESTARTBLOCK))
		return -EINTR;
	return ret;
}

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
