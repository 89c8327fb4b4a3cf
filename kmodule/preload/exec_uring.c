// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The table by an io_uring, in one crossing. Everything is told not to wait, so that it
 * completes as it is submitted. What a ring would hand to a thread of its own
 * (shutdown) or does no better (epoll_ctl), and tables too small to gain anything,
 * are plain calls; so is what the ring does not take.
 */
#include "preload.h"

#include <linux/io_uring.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define PAYS 4		/* entries from which on a ring costs less */
#define DEPTH 1024

struct ring {
	int fd;
	bool registered;	/* @fd is a number of the task's, not of the process's */
	uint8_t *mem;
	size_t size;
	struct io_uring_sqe *sqes;
	size_t sqes_size;
	struct io_uring_cqe *cqes;
	uint32_t *sq_head, *sq_tail, *cq_head, *cq_tail;
	uint32_t sq_mask, cq_mask;
	struct io_uring_params p;
	int from[DEPTH];	/* of the chains in it: the first entry's place, and its number */
};

static void ring_close(struct ring *r)
{
	struct io_uring_rsrc_update reg = { .offset = r->fd };

	if (r->sqes)
		munmap(r->sqes, r->sqes_size);
	if (r->mem)
		munmap(r->mem, r->size);
	if (r->registered) {
		raw(SYS_io_uring_register, r->fd, IORING_UNREGISTER_RING_FDS | (1U << 31), &reg, 1);
	} else if (r->fd >= 0) {
		fd_reset(r->fd);
		raw(SYS_close, r->fd);
	}
	munmap(r, sizeof(*r));
}

/*
 * The ring becomes the task's by a number that is no descriptor, so that the program
 * does not meet it; or, where the kernel has no such numbers, moves out of its way.
 */
static void ring_hide(struct ring *r)
{
	struct io_uring_rsrc_update reg = { .offset = -1U, .data = r->fd };

	if (raw(SYS_io_uring_register, r->fd, IORING_REGISTER_RING_FDS, &reg, 1) == 1) {
		raw(SYS_close, r->fd);
		r->fd = reg.offset;
		r->registered = true;
	} else {
		r->fd = hide(r->fd);
	}
}

static long map(struct ring *r, size_t size, uint64_t off)
{
	long at = raw(SYS_mmap, 0, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, r->fd, off);

	/* A child has its own thoughts about what is in there. */
	if (at > 0 || at < -4095)
		madvise((void *)at, size, MADV_DONTFORK);
	return at;
}

static bool failed(long ret)
{
	return ret < 0 && ret >= -4095;
}

static struct ring *ring_open(long *err)
{
	struct ring *r = pages(sizeof(*r));
	size_t sq, cq;
	uint32_t i;
	long at;

	*err = -ENOMEM;
	if (!r)
		return NULL;
	r->p.flags = IORING_SETUP_CLAMP;
	r->fd = *err = raw(SYS_io_uring_setup, DEPTH, &r->p);
	if (r->fd < 0)
		goto fail;
	*err = -EOPNOTSUPP;
	if (!(r->p.features & IORING_FEAT_SINGLE_MMAP) || !(r->p.features & IORING_FEAT_NODROP) || r->p.sq_entries < DEPTH)
		goto fail;
	sq = r->p.sq_off.array + r->p.sq_entries * sizeof(uint32_t);
	cq = r->p.cq_off.cqes + r->p.cq_entries * sizeof(struct io_uring_cqe);
	r->size = sq > cq ? sq : cq;
	*err = at = map(r, r->size, IORING_OFF_SQ_RING);
	if (failed(at))
		goto fail;
	r->mem = (uint8_t *)at;
	r->sqes_size = r->p.sq_entries * sizeof(*r->sqes);
	*err = at = map(r, r->sqes_size, IORING_OFF_SQES);
	if (failed(at))
		goto fail;
	r->sqes = (void *)at;
	r->cqes = (void *)(r->mem + r->p.cq_off.cqes);
	r->sq_head = (void *)(r->mem + r->p.sq_off.head);
	r->sq_tail = (void *)(r->mem + r->p.sq_off.tail);
	r->cq_head = (void *)(r->mem + r->p.cq_off.head);
	r->cq_tail = (void *)(r->mem + r->p.cq_off.tail);
	r->sq_mask = *(uint32_t *)(r->mem + r->p.sq_off.ring_mask);
	r->cq_mask = *(uint32_t *)(r->mem + r->p.cq_off.ring_mask);
	for (i = 0; i < r->p.sq_entries; i++)
		((uint32_t *)(r->mem + r->p.sq_off.array))[i] = i;
	ring_hide(r);
	*err = 0;
	return r;
fail:
	ring_close(r);
	return NULL;
}

static void prepare(struct io_uring_sqe *s, const struct esca_entry *e, int id)
{
	memset(s, 0, sizeof(*s));
	s->fd = e->args[0];
	s->user_data = id;
	switch (e->nr) {
	case SYS_sendto:
		s->opcode = IORING_OP_SEND;
		s->addr = e->args[1];
		s->len = e->args[2];
		s->msg_flags = e->args[3];
		break;
	case SYS_sendmsg:
		s->opcode = IORING_OP_SENDMSG;
		s->addr = e->args[1];
		s->len = 1;
		s->msg_flags = e->args[2];
		break;
	case SYS_close:
		s->opcode = IORING_OP_CLOSE;
		return;
	}
	if (e->flags & ESCA_LINK) {
		s->flags = IOSQE_IO_LINK;
		s->msg_flags |= MSG_WAITALL;	/* or a short send does not break the chain */
	}
}

static uint32_t reap(struct ring *r, struct esca_entry *e)
{
	uint32_t head = *r->cq_head, tail = __atomic_load_n(r->cq_tail, __ATOMIC_ACQUIRE), n = tail - head;

	for (; head != tail; head++) {
		const struct io_uring_cqe *c = &r->cqes[head & r->cq_mask];

		e[c->user_data].ret = c->res;
	}
	__atomic_store_n(r->cq_head, head, __ATOMIC_RELEASE);
	return n;
}

static long enter(struct ring *r, uint32_t submit, uint32_t wait)
{
	return raw(SYS_io_uring_enter, r->fd, submit, wait,
		   IORING_ENTER_GETEVENTS | (r->registered ? IORING_ENTER_REGISTERED_RING : 0), 0, 0);
}

/*
 * Submits what has been prepared in @n entries of the ring, and returns how many it
 * has taken, all of which have their results in @e. What enter returns is not looked at: it hides
 * an error behind what it has submitted.
 */
static uint32_t ring_run(struct table *t, uint32_t n, struct esca_entry *e)
{
	struct ring *r = t->ring;
	uint32_t first = *r->sq_tail, head, left;

	__atomic_store_n(r->sq_tail, first + n, __ATOMIC_RELEASE);
	enter(r, n, n);
	t->stats.crossings++;
	head = __atomic_load_n(r->sq_head, __ATOMIC_ACQUIRE);
	/* Left there it would be run by whichever enter comes next. */
	__atomic_store_n(r->sq_tail, head, __ATOMIC_RELEASE);
	for (left = head - first - reap(r, e); left; left -= reap(r, e)) {
		enter(r, 0, 1);
		t->stats.crossings++;
	}
	return head - first;
}

/* Whether a ring does the whole chain, of @n entries, at once. */
static bool rings(const struct esca_entry *e, int n)
{
	int i;

	for (i = 0; i < n; i++)
		if (e[i].nr != SYS_sendto && e[i].nr != SYS_sendmsg && e[i].nr != SYS_close)
			return false;
	return true;
}

static int chain(const struct esca_entry *e)
{
	int n = 1;

	while (e[n - 1].flags & ESCA_LINK)
		n++;
	return n;
}

/*
 * Chains for the ring are run first, together: the others concern other descriptors, or
 * are registrations of the same ones, which know no order with sends.
 */
static void uring_run(struct table *t, struct esca_entry *e, int n)
{
	static __thread bool refused;
	int where, place, i, len, queued = 0, taken, chains = 0;
	struct ring *r;
	long err;

	if (!t->ring && !refused && n >= PAYS) {
		t->ring = ring_open(&err);
		refused = !t->ring;
	}
	r = t->ring;
	if (!r || n < PAYS) {
		plain_run(t, e, n);
		return;
	}
	for (i = 0; i < n; i += len) {
		len = chain(e + i);
		if (!rings(e + i, len) || queued + len > DEPTH) {
			plain_run(t, e + i, len);
			continue;
		}
		r->from[chains++] = queued << 16 | i;
		for (where = i; where < i + len; where++) {
			prepare(&r->sqes[(*r->sq_tail + queued++) & r->sq_mask], &e[where], where);
			e[where].ret = -ECANCELED;
		}
	}
	if (!queued)
		return;
	taken = ring_run(t, queued, e);
	/* What it has not taken; of a chain that it has taken in part, only if that went well. */
	for (i = 0; i < chains && taken < queued; i++) {
		where = r->from[i] & 0xffff;
		place = r->from[i] >> 16;
		len = chain(e + where);
		for (; len && place < taken && !entry_breaks(&e[where]); where++, place++)
			len--;
		if (place >= taken)
			plain_run(t, e + where, len);
	}
}

static const char *uring_probe(void)
{
	static char why[80];
	struct ring *r;
	long err;

	r = ring_open(&err);
	if (r) {
		ring_close(r);
		return NULL;
	}
	if (err == -ENOSYS)
		return "this kernel has no io_uring";
	if (err == -EPERM)
		return "io_uring is not permitted here";
	snprintf(why, sizeof(why), "io_uring: error %ld", -err);
	return why;
}

static bool uring_open(struct table *t)
{
	return exec_plain.open(t);
}

static void uring_forget(struct table *t)
{
	struct ring *r = t->ring;

	t->ring = NULL;
	if (!r)
		return;
	if (t == thr.table && !forked_child) {
		ring_close(r);
		return;
	}
	/* Its pages are not in a child, and its number is another task's. */
	if (!r->registered) {
		fd_reset(r->fd);
		raw(SYS_close, r->fd);
	}
	munmap(r, sizeof(*r));
}

const struct executor exec_uring = {
	.name = "uring",
	.batches = true,
	.probe = uring_probe,
	.open = uring_open,
	.run = uring_run,
	.forget = uring_forget,
};
