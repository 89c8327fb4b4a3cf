// SPDX-License-Identifier: GPL-2.0 OR MIT
/* The run of a table. */
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/nospec.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>

#include "calls.h"
#include "context.h"
#include "filter.h"
#include "stats.h"

/* Copies the arguments, once: user space may write to the entry meanwhile. */
static void read_args(struct pt_regs *regs, const struct esca_entry *e)
{
	esca_set_args(regs, READ_ONCE(e->args[0]), READ_ONCE(e->args[1]), READ_ONCE(e->args[2]),
		      READ_ONCE(e->args[3]), READ_ONCE(e->args[4]), READ_ONCE(e->args[5]));
}

/* How many bytes a call with these arguments is to move; 0: none. */
static u64 wants(const struct esca_call_desc *call, const struct pt_regs *regs)
{
	switch (call->wants) {
	case 2:
		return regs->dx;
	case 3:
		return regs->r10;
	case 4:
		return regs->r8;
	case 5:
		return regs->r9;
	}
	return 0;
}

/*
 * Whether an entry with this result breaks its chain, and has the wait only
 * look. @regs hold its arguments; handlers do not write to them.
 */
static bool failed(const struct esca_call_desc *call, const struct pt_regs *regs, s64 ret)
{
	return ret < 0 || (call && (u64)ret < wants(call, regs));
}

/* Whether the entry in front of @first has broken the chain that goes on there. */
static bool broken_before(const struct esca_ctx *ctx, u32 first, struct pt_regs *regs)
{
	const struct esca_entry *e;

	if (!first)
		return false;
	e = &ctx->entries[first - 1];
	if (!(READ_ONCE(e->flags) & ESCA_LINK))
		return false;
	read_args(regs, e);
	return failed(esca_call_find(READ_ONCE(e->nr)), regs, READ_ONCE(e->ret));
}

static long run(const struct esca_call_desc *call, struct pt_regs *regs)
{
	long ret = esca_call_run(call, regs);

	esca_count(calls[call - esca_calls]);
	if (ret < 0 && ret != -EAGAIN)
		esca_count(errors);
	return ret;
}

/*
 * The wait, with the arguments in @regs, and the harvest of what it reports. It
 * only looks if there is something in the batch for user space to see to.
 * -ERESTARTSYS: it has not been begun.
 */
static long wait(struct esca_ctx *ctx, struct pt_regs *regs, bool look)
{
	void __user *ready = (void __user *)regs->si;
	enum esca_call call = ESCA_EPOLL_PWAIT2;
	long n;

	regs->dx = min_t(u64, regs->dx, ctx->nr_events);
	regs->r8 = 0;
	regs->r9 = 0;
	/*
	 * A file that was closed must end before, not after, the sleep; and before
	 * a look, which would still report it.
	 */
	if (!esca_run_put_off())
		return -ERESTARTSYS;
	if (look) {
		call = ESCA_EPOLL_WAIT;
		regs->r10 = 0;
	}
	n = run(&esca_calls[call], regs);
	if (n <= 0)
		return n;
	n = esca_harvest(ctx, regs, ready, n);
	esca_add(events, n);
	return n;
}

/* With ctx->lock. Returns how many entries were run. */
long esca_batch(struct esca_ctx *ctx, u32 first, u32 n)
{
	bool cancel, look = false;
	struct pt_regs regs = {};
	u32 i, end;

	if (first > ctx->nr_entries || n > ctx->nr_entries - first)
		return -EINVAL;
	first = array_index_nospec(first, ctx->nr_entries + 1);
	end = first + n;
	cancel = broken_before(ctx, first, &regs);
	WRITE_ONCE(ctx->ctl->ready, 0);
	WRITE_ONCE(ctx->ctl->recvs, 0);
	WRITE_ONCE(ctx->ctl->accepts, 0);
	esca_count(batches);

	for (i = first; i < end; i++) {
		struct esca_entry *e = &ctx->entries[i];
		const struct esca_call_desc *call;
		u32 nr, flags;
		long ret;

		if (i > first) {
			if (need_resched() || i % 32 == 0)
				cond_resched();
			if (signal_pending(current) || esca_filtered())
				break;
		}
		nr = READ_ONCE(e->nr);
		flags = READ_ONCE(e->flags);
		read_args(&regs, e);
		call = esca_call_find(nr);
		if (unlikely(flags & ESCA_WAIT)) {
			ret = -EINVAL;
			if (i == end - 1 && call == &esca_calls[ESCA_EPOLL_PWAIT2])
				ret = wait(ctx, &regs, look);
			if (ret == -ERESTARTSYS)
				break;
			if (ret > 0)
				WRITE_ONCE(ctx->ctl->ready, ret);
		} else if (unlikely(cancel)) {
			ret = -ECANCELED;
		} else if (likely(call)) {
			ret = run(call, &regs);
		} else {
			ret = nr == ESCA_NOP ? 0 : -EPERM;
		}
		WRITE_ONCE(e->ret, ret);
		if (failed(call, &regs, ret)) {
			look = true;
			cancel = flags & ESCA_LINK;
		} else {
			look |= flags & ESCA_ATTEND;
			cancel = false;
		}
	}
	esca_add(entries, i - first);
	return i - first;
}
