// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * An executor around the others for tests: three sends of ten are cut short or find
 * no room, as a seed has it.
 */
#include "preload.h"

#include <sys/syscall.h>

bool faulty;

static uint64_t roll(struct table *t)
{
	t->seed ^= t->seed << 13;
	t->seed ^= t->seed >> 7;
	t->seed ^= t->seed << 17;
	return t->seed * 0x2545f4914f6cdd1dULL >> 33;
}

/* How many of @n bytes the kernel is to be offered; 0: it has no room. */
static size_t offer(struct table *t, size_t n)
{
	uint64_t r;

	if (!faulty)
		return n;
	r = roll(t) % 100;
	if (r < 15)
		return 0;
	return r < 30 && n > 1 ? 1 + roll(t) % (n - 1) : n;
}

/* One sendmsg of the library's own, outside a table: the result, or -errno. */
long send_now(struct table *t, int fd, const struct msghdr *msg, int flags)
{
	struct iovec cut[SPANS + 1];
	struct msghdr part = *msg;
	size_t total = 0, left, i, n;

	t->stats.crossings++;
	flags |= MSG_DONTWAIT | MSG_NOSIGNAL;
	for (i = 0; i < msg->msg_iovlen; i++)
		total += msg->msg_iov[i].iov_len;
	n = total ? offer(t, total) : 0;
	if (n == total || msg->msg_iovlen > SPANS + 1)
		return raw(SYS_sendmsg, fd, msg, flags);
	if (!n)
		return -EAGAIN;
	part.msg_iov = cut;
	for (i = 0, left = n; left; i++) {
		cut[i] = msg->msg_iov[i];
		if (cut[i].iov_len > left)
			cut[i].iov_len = left;
		left -= cut[i].iov_len;
	}
	part.msg_iovlen = i;
	return raw(SYS_sendmsg, fd, &part, flags);
}

/* Runs the chain @e of @n entries, whose send is offered less. */
static void run_cut(struct table *t, struct esca_entry *e, int n, size_t part)
{
	int i;

	e->ret = part ? raw(SYS_sendto, e->args[0], e->args[1], part, e->args[3]) : -EAGAIN;
	for (i = 1; i < n; i++)
		e[i].ret = -ECANCELED;
	t->stats.crossings++;
}

void run_faulty(struct table *t, struct esca_entry *e, int n, const struct executor *how)
{
	size_t total, part;
	int i, end, from = 0;

	for (i = 0; i < n; i = end) {
		for (end = i + 1; e[end - 1].flags & ESCA_LINK; end++)
			;
		total = e[i].nr == SYS_sendto ? e[i].args[2] : e[i].nr == SYS_sendmsg ? e[i].args[5] : 0;
		part = total ? offer(t, total) : 0;
		if (part == total || (part && e[i].nr != SYS_sendto))
			continue;
		if (from < i)
			how->run(t, e + from, i - from);
		run_cut(t, e + i, end - i, part);
		from = end;
	}
	if (from < n)
		how->run(t, e + from, n - from);
}
