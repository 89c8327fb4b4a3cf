// SPDX-License-Identifier: GPL-2.0 OR MIT
/* The run of a table. */
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/nospec.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>

#include "calls.h"
#include "context.h"
#include "stats.h"

/* What is run of an entry: user space may write the entry itself meanwhile. */
struct entry {
	u32 nr, flags;
	u64 args[6];
};

static void read_entry(struct entry *e, const struct esca_entry *from)
{
	int i;

	e->nr = READ_ONCE(from->nr);
	e->flags = READ_ONCE(from->flags);
	for (i = 0; i < 6; i++)
		e->args[i] = READ_ONCE(from->args[i]);
}

/* Whether an entry with this result breaks its chain, and keeps a wait awake. */
static bool failed(const struct entry *e, s64 ret)
{
	int call = esca_call_of(e->nr);

	return ret < 0 || (call >= 0 && (u64)ret < esca_call_wants(call, e->args));
}

/* Whether the entry in front of @first has broken the chain that goes on there. */
static bool broken_before(const struct esca_ctx *ctx, u32 first)
{
	struct entry e;

	if (!first)
		return false;
	read_entry(&e, &ctx->entries[first - 1]);
	return (e.flags & ESCA_LINK) && failed(&e, READ_ONCE(ctx->entries[first - 1].ret));
}

static long run(const struct entry *e, struct pt_regs *regs)
{
	int call;
	long ret;

	if (e->nr == ESCA_NOP)
		return 0;
	call = esca_call_of(e->nr);
	if (call < 0) {
		esca_count(errors);
		return -EPERM;
	}
	esca_set_args(regs, e->args[0], e->args[1], e->args[2], e->args[3],
		      e->args[4], e->args[5]);
	ret = esca_call_run(call, regs);
	esca_count(calls[call]);
	if (ret < 0 && ret != -EAGAIN)
		esca_count(errors);
	return ret;
}

/*
 * The wait, and the harvest of what it reports. It only looks if there is
 * something in the batch for user space to see to. -ERESTARTSYS: it has not
 * been begun.
 */
static long wait(struct esca_ctx *ctx, const struct entry *e, struct pt_regs *regs, bool look)
{
	void __user *ready = u64_to_user_ptr(e->args[1]);
	u32 most = min_t(u64, e->args[2], ctx->nr_events);
	enum esca_call call = ESCA_EPOLL_PWAIT2;
	long n;

	if (esca_call_of(e->nr) != call)
		return -EINVAL;
	if (look) {
		call = ESCA_EPOLL_WAIT;
		esca_set_args(regs, e->args[0], e->args[1], most, 0, 0, 0);
	} else {
		/* A file that was closed must end before, not after, the sleep. */
		if (!esca_run_put_off())
			return -ERESTARTSYS;
		esca_set_args(regs, e->args[0], e->args[1], most, e->args[3], 0, 0);
	}
	n = esca_call_run(call, regs);
	esca_count(calls[call]);
	if (n <= 0)
		return n;
	n = esca_harvest(ctx, regs, ready, n);
	esca_add(events, n);
	return n;
}

/* With ctx->lock. Returns how many entries were run. */
long esca_batch(struct esca_ctx *ctx, u32 first, u32 n)
{
	struct pt_regs regs = {};
	bool cancel, look = false;
	u32 i, end;

	if (first > ctx->nr_entries || n > ctx->nr_entries - first)
		return -EINVAL;
	first = array_index_nospec(first, ctx->nr_entries + 1);
	end = first + n;
	cancel = broken_before(ctx, first);
	WRITE_ONCE(ctx->ctl->ready, 0);
	WRITE_ONCE(ctx->ctl->recvs, 0);
	WRITE_ONCE(ctx->ctl->accepts, 0);
	esca_count(batches);

	for (i = first; i < end; i++) {
		struct entry e;
		long ret;

		if (i > first) {
			cond_resched();
			if (signal_pending(current))
				break;
		}
		read_entry(&e, &ctx->entries[i]);
		if (e.flags & ESCA_WAIT) {
			ret = i == end - 1 ? wait(ctx, &e, &regs, look) : -EINVAL;
			if (ret == -ERESTARTSYS)
				break;
			if (ret > 0)
				WRITE_ONCE(ctx->ctl->ready, ret);
		} else if (cancel) {
			ret = -ECANCELED;
		} else {
			ret = run(&e, &regs);
		}
		WRITE_ONCE(ctx->entries[i].ret, ret);
		look |= (e.flags & ESCA_ATTEND) || failed(&e, ret);
		cancel = (e.flags & ESCA_LINK) && (cancel || failed(&e, ret));
	}
	esca_add(entries, i - first);
	return i - first;
}
