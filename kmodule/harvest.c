// SPDX-License-Identifier: GPL-2.0 OR MIT
/* What a wait brings along: the bytes and connections of what is ready. */
#include <linux/capability.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/kernel.h>
#include <linux/net.h>
#include <linux/nospec.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/socket.h>
#include <linux/uaccess.h>
#include <uapi/linux/eventpoll.h>

#include "calls.h"
#include "context.h"
#include "filter.h"
#include "stats.h"

#define GEN_MASK ((1U << 30) - 1)

static u32 interest(const struct esca_ctx *ctx, s32 fd, u32 gen)
{
	u32 word;

	if (fd < 0 || fd >= ctx->interest_len || get_user(word, ctx->interest + fd))
		return ESCA_HARVEST_NOTHING;
	return word >> 2 == (gen & GEN_MASK) ? word & 3 : ESCA_HARVEST_NOTHING;
}

/* Takes the slot that was given back last, or returns -1. */
static s32 take_slot(struct esca_ctx *ctx)
{
	u32 n = READ_ONCE(ctx->ctl->nfree);
	s32 slot;

	if (!n || n > ctx->nr_slots)
		return -1;
	slot = READ_ONCE(ctx->free[array_index_nospec(n - 1, ctx->nr_slots)]);
	if (slot < 0 || slot >= ctx->nr_slots)
		return -1;
	WRITE_ONCE(ctx->ctl->nfree, n - 1);
	return slot;
}

/* Gives back the slot that was just taken. */
static void untake_slot(struct esca_ctx *ctx)
{
	WRITE_ONCE(ctx->ctl->nfree, READ_ONCE(ctx->ctl->nfree) + 1);
}

static void receive(struct esca_ctx *ctx, struct pt_regs *regs, struct esca_event *ev,
		    s32 slot, u8 __user *buf)
{
	long ret;

	esca_set_args(regs, ev->fd, (unsigned long)buf, ctx->slot_size, MSG_DONTWAIT, 0, 0);
	ret = esca_call_run(&esca_calls[ESCA_RECVFROM], regs);
	esca_count(calls[ESCA_RECVFROM]);
	WRITE_ONCE(ctx->ctl->recvs, READ_ONCE(ctx->ctl->recvs) + 1);
	if (ret > 0) {
		ev->slot = slot;
		ev->n = ret;
	} else if (!ret) {
		ev->eof = 1;
	} else if (ret != -EAGAIN && ret != -EINTR) {
		ev->err = -ret;
	}
}

/* One recvmmsg, into the messages that the slot begins with. */
static void receive_packets(struct esca_ctx *ctx, struct pt_regs *regs, struct esca_event *ev,
			    s32 slot, u8 __user *buf)
{
	struct esca_packets __user *head = (void __user *)buf;
	u32 most, n;
	long ret;

	if (ctx->slot_size < ESCA_PACKETS_FROM)
		return;
	if (get_user(n, &head->messages)) {
		ev->err = EFAULT;
		return;
	}
	most = (ctx->slot_size - ESCA_PACKETS_FROM) / sizeof(struct mmsghdr);
	n = min(n, most);
	if (!n)
		return;		/* no slot of packets: the event goes out bare */
	esca_set_args(regs, ev->fd, (unsigned long)buf + ESCA_PACKETS_FROM, n, MSG_DONTWAIT, 0, 0);
	ret = esca_call_run(&esca_calls[ESCA_RECVMMSG], regs);
	esca_count(calls[ESCA_RECVMMSG]);
	WRITE_ONCE(ctx->ctl->recvs, READ_ONCE(ctx->ctl->recvs) + 1);
	if (ret > 0) {
		ev->slot = slot;
		ev->n = ret;
	} else if (ret && ret != -EAGAIN && ret != -EINTR) {
		ev->err = -ret;
	}
}

static void accept(struct esca_ctx *ctx, struct pt_regs *regs, struct esca_event *ev,
		   s32 slot, u8 __user *buf)
{
	struct esca_accepted __user *rec = (void __user *)buf;
	s32 most = ctx->slot_size / sizeof(*rec);

	while (ev->n < most) {
		long ret;

		if (ev->n && esca_filtered()) {
			/* Without an error it would say that nobody is left. */
			ev->err = EPERM;
			return;
		}
		if (put_user((u32)sizeof(rec->addr), &rec[ev->n].len)) {
			ev->err = EFAULT;
			return;
		}
		esca_set_args(regs, ev->fd, (unsigned long)rec[ev->n].addr,
			      (unsigned long)&rec[ev->n].len, SOCK_NONBLOCK | SOCK_CLOEXEC, 0, 0);
		ret = esca_call_run(&esca_calls[ESCA_ACCEPT4], regs);
		esca_count(calls[ESCA_ACCEPT4]);
		WRITE_ONCE(ctx->ctl->accepts, READ_ONCE(ctx->ctl->accepts) + 1);
		if (ret == -EAGAIN || (ret == -EINTR && signal_pending(current)))
			return;
		if (ret == -EINTR || ret == -ECONNABORTED)
			continue;
		if (ret < 0) {
			ev->err = -ret;
			return;
		}
		/* The address was written there; so can this be. */
		if (put_user((s32)ret, &rec[ev->n].fd))
			ev->err = EFAULT;
		ev->slot = slot;
		ev->n++;
	}
}

static void harvest(struct esca_ctx *ctx, struct pt_regs *regs, struct esca_event *ev)
{
	u32 what = interest(ctx, ev->fd, ev->gen);
	u8 __user *buf;
	s32 slot;

	if (what == ESCA_HARVEST_NOTHING)
		return;
	if (esca_filtered())
		return;		/* as without a slot; it may have come during the wait */
	slot = take_slot(ctx);
	if (slot < 0)
		return;		/* the event goes out bare, and its owner receives */
	buf = ctx->slots + (unsigned long)slot * ctx->slot_size;
	if (what == ESCA_HARVEST_RECV)
		receive(ctx, regs, ev, slot, buf);
	else if (what == ESCA_HARVEST_PACKETS)
		receive_packets(ctx, regs, ev, slot, buf);
	else
		accept(ctx, regs, ev, slot, buf);
	if (ev->slot < 0)
		untake_slot(ctx);
}

u32 esca_harvest(struct esca_ctx *ctx, struct pt_regs *regs, const void __user *ready, u32 n)
{
	const struct epoll_event __user *from = ready;
	u32 i;

	for (i = 0; i < n; i++) {
		struct esca_event ev = { .slot = -1 };
		struct epoll_event r;

		if (copy_from_user(&r, &from[i], sizeof(r)))
			break;
		ev.fd = (s32)r.data;
		ev.gen = (u32)(r.data >> 32);
		ev.mask = (__force u32)r.events;
		/*
		 * An edge is reported once: a pending signal must not lose it,
		 * and a receive that does not wait does not mind one.
		 */
		if ((ev.mask & ~(__force u32)EPOLLOUT) && !fatal_signal_pending(current))
			harvest(ctx, regs, &ev);
		ctx->events[i] = ev;
		cond_resched();
	}
	return i;
}
