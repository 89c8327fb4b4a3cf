// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The records of a turn, and the table that is made of them: one chain a
 * descriptor, in the order in which the program made its calls on it.
 */
#include "preload.h"

#include <string.h>
#include <sys/single_threaded.h>
#include <sys/syscall.h>

struct table *tables;
bool coalesce = true;
static pthread_mutex_t tables_lock = PTHREAD_MUTEX_INITIALIZER;

/* No thread comes or goes between begin() and end(), so both see the same. */
static void lock_mutex(pthread_mutex_t *m)
{
	if (!__libc_single_threaded)
		pthread_mutex_lock(m);
}

static void unlock_mutex(pthread_mutex_t *m)
{
	if (!__libc_single_threaded)
		pthread_mutex_unlock(m);
}

void lock_table(struct table *t)
{
	if (t)
		lock_mutex(&t->lock);
}

void unlock_table(struct table *t)
{
	if (t)
		unlock_mutex(&t->lock);
}

/*
 * The table whose lock guards a stream: that which holds something of it, or else that
 * of the thread that waits for it and may record something at any time.
 */
static struct table *home(const struct fd *f)
{
	struct table *t = __atomic_load_n(&f->owner, __ATOMIC_ACQUIRE);
	int ep;

	if (f->kind != FD_STREAM || t)
		return f->kind == FD_EPOLL ? NULL : t;
	ep = __atomic_load_n(&f->ep, __ATOMIC_ACQUIRE);
	return ep >= 0 && fds[ep].kind == FD_EPOLL ? __atomic_load_n(&fds[ep].owner, __ATOMIC_ACQUIRE) : NULL;
}

/* Locks it, and returns it; NULL: nobody holds or waits for it. */
struct table *lock_of(struct fd *f)
{
	struct table *t;

	for (;;) {
		t = home(f);
		lock_table(t);
		if (t == home(f))
			return t;
		unlock_table(t);
	}
}

/* All of them, for a fork: what a child is left with is whole. */
void lock_tables(void)
{
	struct table *t;

	lock_mutex(&tables_lock);
	for (t = tables; t; t = t->next)
		lock_table(t);
}

void unlock_tables(void)
{
	struct table *t;

	for (t = tables; t; t = t->next)
		unlock_table(t);
	unlock_mutex(&tables_lock);
}

/* In a child, whose only thread cannot tell any more whether it has to unlock them. */
void renew_locks(void)
{
	struct table *t;

	for (t = tables; t; t = t->next)
		pthread_mutex_init(&t->lock, NULL);
	pthread_mutex_init(&tables_lock, NULL);
}

static bool table_init(struct table *t)
{
	t->arena = pages(ARENA);
	if (!t->arena)
		return false;
	pthread_mutex_init(&t->lock, NULL);
	t->watch = -1;
	return executor->open(t);
}

/* The calling thread's table, made at its first wait. NULL: there is no memory. */
struct table *my_table(void)
{
	struct table *t = thr.table;

	if (likely(t))
		return t;
	lock_mutex(&tables_lock);
	for (t = tables; t && t->used; t = t->next)
		;
	if (!t) {
		t = pages(sizeof(*t));
		if (t && table_init(t)) {
			t->next = tables;
			__atomic_store_n(&tables, t, __ATOMIC_RELEASE);
		} else {
			t = NULL;
		}
	}
	if (t) {
		t->used = true;
		thr.table = t;
		table_begins(t);
	}
	unlock_mutex(&tables_lock);
	if (t)
		catch_fatal();
	return t;
}

/*
 * Whether the descriptor is nobody's but the calling thread's, and the program comes
 * round to wait for it.
 */
bool in_hand(const struct fd *f)
{
	const struct table *t = thr.table;

	return t && (f->flags & ~F_CLOEXEC) == F_NONBLOCK && (f->want.in || f->known.in) && f->ep >= 0 &&
	       fds[f->ep].kind == FD_EPOLL && fds[f->ep].owner == t && !(fds[f->ep].flags & F_SHARED) &&
	       (!f->owner || f->owner == t) && !f->err && !f->backlog;
}

/* Whether a send on it may be recorded. */
bool recordable(const struct fd *f)
{
	return in_hand(f) && f->want.in && !f->shut;
}

/*
 * Whether a send on it is better made at once, by an executor that joins sends and saves
 * nothing else: for some turns there was but one in each. A second one in a turn, which @joins the
 * first, ends that.
 * Only the thread that waits for it records it, so no lock is needed to see that nothing is.
 * What faults are put into must be recorded.
 */
bool passes(struct fd *f, bool joins)
{
	if (likely(f->lone < LONE) || executor->batches || faulty || f->rec || f->cork || !recordable(f))
		return false;
	if (joins && f->round == thr.table->round) {
		f->lone = 0;
		return false;
	}
	f->round = thr.table->round;
	return true;
}

/* This turn's record of a descriptor that is recordable. */
struct record *record_of(struct fd *f, int fd)
{
	struct table *t = thr.table;
	struct record *r;

	if (f->rec)
		return f->rec;
	if (t->nrecs == RECORDS)
		flush(t, executor);
	r = &t->rec[t->nrecs++];
	r->fd = fd;
	r->more = r->closing = false;
	r->shut = r->nspans = 0;
	r->bytes = r->calls = 0;
	f->rec = r;
	f->dry = 0;
	__atomic_store_n(&f->owner, t, __ATOMIC_RELEASE);
	return r;
}

/*
 * Room for @n more bytes of @f, at the end of the arena; NULL: not now. It makes room
 * by a flush, after which @f has perhaps a backlog, and is no longer recordable.
 */
char *room(struct table *t, struct fd *f, int fd, size_t n)
{
	struct record *r = record_of(f, fd);
	bool extends;

	if (t->fill + n > ARENA) {
		flush(t, executor);
		if (!recordable(f))
			return NULL;
		r = record_of(f, fd);
	}
	extends = coalesce && r->nspans && (char *)r->span[r->nspans - 1].iov_base + r->span[r->nspans - 1].iov_len == t->arena + t->fill;
	if (r->bytes + n > MOST_QUEUED || (r->nspans == SPANS && !extends))
		return NULL;
	return t->arena + t->fill;
}

/* Takes the @n bytes that have been put at the end of the arena. */
void append(struct table *t, struct fd *f, size_t n, bool more)
{
	struct record *r = f->rec;
	struct iovec *last = r->nspans ? &r->span[r->nspans - 1] : NULL;
	char *at = t->arena + t->fill;

	if (coalesce && last && (char *)last->iov_base + last->iov_len == at) {
		last->iov_len += n;
	} else {
		r->span[r->nspans].iov_base = at;
		r->span[r->nspans++].iov_len = n;
	}
	if (r->bytes)
		t->stats.coalesced++;
	t->fill += n;
	r->bytes += n;
	r->more = more;
	r->calls++;
	t->stats.calls++;
	t->stats.bytes += n;
}

static struct esca_entry *entry(struct table *t, int i, uint32_t nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
	struct esca_entry *e = &t->entries[i];

	memset(e, 0, sizeof(*e));
	e->nr = nr;
	e->args[0] = a;
	e->args[1] = b;
	e->args[2] = c;
	e->args[3] = d;
	return e;
}

static bool same(const struct reg *a, const struct reg *b)
{
	return a->in == b->in && (!a->in || (a->events == b->events && a->data == b->data));
}

/*
 * How the kernel's registration is made what the program wants. A close takes the
 * socket out of the set by itself, if no other descriptor refers to it; but one that does
 * not come to pass, behind a send that fails, must not leave it to a @wait behind the table.
 */
static int build_ctl(struct table *t, struct record *r, struct fd *f, int n, bool wait)
{
	bool needs = !same(&f->want, &f->known);
	int op = f->want.in ? EPOLL_CTL_MOD : EPOLL_CTL_DEL;

	r->ctl = -1;
	if (r->closing) {
		needs = f->known.in && ((wait && (r->bytes || r->shut)) || (!f->want.in && forked));
		op = EPOLL_CTL_DEL;
	}
	if (!needs)
		return n;
	r->ev.events = f->want.events;
	r->ev.data.u64 = f->want.data;
	entry(t, n, SYS_epoll_ctl, f->ep, op, r->fd, (uint64_t)&r->ev);
	r->ctl = n;
	return n + 1;
}

/* All of it in one send. */
static int build_send(struct table *t, struct record *r, int n, int flags)
{
	if (r->nspans == 1) {
		entry(t, n, SYS_sendto, r->fd, (uint64_t)r->span[0].iov_base, r->bytes, flags);
		return n + 1;
	}
	r->msg.msg_iov = r->span;
	r->msg.msg_iovlen = r->nspans;
	entry(t, n, SYS_sendmsg, r->fd, (uint64_t)&r->msg, flags, 0)->args[5] = r->bytes;
	return n + 1;
}

/* Each as the program made it, to measure what is gained by fewer crossings alone. */
static int build_each(struct table *t, struct record *r, int n, int flags)
{
	int i;

	for (i = 0; i < r->nspans; i++, n++)
		entry(t, n, SYS_sendto, r->fd, (uint64_t)r->span[i].iov_base, r->span[i].iov_len, flags)->flags =
			i < r->nspans - 1 ? ESCA_LINK : 0;
	return n;
}

/* Makes the chain of a record from entry @n on, and returns where the next begins. */
static int build(struct table *t, struct record *r, int n, bool wait)
{
	struct fd *f = &fds[r->fd];
	struct esca_entry *e;
	int flags = MSG_DONTWAIT | MSG_NOSIGNAL | (r->more ? MSG_MORE : 0);

	n = build_ctl(t, r, f, n, wait);
	r->send = r->shutdown = r->close = -1;
	r->nsends = 0;
	if (r->bytes) {
		/* Or else it is said in one, and no cork was needed. */
		cork_now(f, r->fd);
		r->send = n;
		n = coalesce ? build_send(t, r, n, flags) : build_each(t, r, n, flags);
		r->nsends = n - r->send;
		t->stats.sends += r->nsends;
		if (r->shut || r->closing)
			t->entries[n - 1].flags = ESCA_LINK;
	}
	if (r->shut) {
		e = entry(t, n, SYS_shutdown, r->fd, r->shut - 1, 0, 0);
		if (r->closing)
			e->flags = ESCA_LINK;
		r->shutdown = n++;
	}
	if (r->closing) {
		entry(t, n, SYS_close, r->fd, 0, 0, 0);
		r->close = n++;
		t->stats.closes++;
	}
	return n;
}

/* Ends the turn: all records have been run, and are looked at. */
static void finish_all(struct table *t)
{
	int i;

	for (i = 0; i < t->nrecs; i++)
		if (t->rec[i].fd >= 0)
			finish(t, &t->rec[i]);
	t->nrecs = 0;
	t->fill = 0;
	t->stats.turns++;
}

static int build_all(struct table *t, bool wait)
{
	int i, n = 0;

	for (i = 0; i < t->nrecs; i++) {
		if (t->rec[i].fd < 0)
			continue;
		n = build(t, &t->rec[i], n, wait);
		detach(&t->rec[i]);
	}
	return n;
}

/* Runs what is recorded. With the table's lock. */
void flush(struct table *t, const struct executor *how)
{
	int n;

	if (!t->nrecs)
		return;
	n = build_all(t, false);
	if (n && faulty)
		run_faulty(t, t->entries, n, how);
	else if (n)
		how->run(t, t->entries, n);
	finish_all(t);
}

/* Runs it and waits in the same crossing, if the executor can; -ENOSYS: it only ran. */
long flush_and_wait(struct table *t, int ep, struct epoll_event *ev, int max, int ms)
{
	long ret;
	int n;

	if (!t->nrecs || !executor->run_wait || faulty || !__libc_single_threaded)
		return -ENOSYS;
	n = build_all(t, true);
	ret = executor->run_wait(t, n, ep, ev, max, ms);
	finish_all(t);
	return ret;
}

/* What the calling thread has recorded, before it waits for somebody. */
void flush_mine(void)
{
	struct table *t = thr.table;

	if (!t || !t->nrecs)
		return;
	begin();
	lock_table(t);
	flush(t, executor);
	unlock_table(t);
	end();
}

/* What all threads have recorded, others' by plain calls. */
void flush_all(void)
{
	struct table *t;

	begin();
	for (t = __atomic_load_n(&tables, __ATOMIC_ACQUIRE); t; t = t->next) {
		lock_table(t);
		flush(t, t == thr.table ? executor : &exec_plain);
		unlock_table(t);
	}
	end();
}

/*
 * Runs what is recorded of @f by plain calls. @t is what has been locked: if that is not
 * where it is recorded, it has been since, by another thread at the same time.
 */
void settle(struct table *t, struct fd *f)
{
	struct record *r = f->rec;
	struct esca_entry e[SPANS + 3], *entries;
	int n;

	if (!r || !t || f->owner != t)
		return;
	entries = t->entries;
	t->entries = e;
	n = build(t, r, 0, false);
	detach(r);
	if (faulty)
		run_faulty(t, e, n, &exec_plain);
	else
		plain_run(t, e, n);
	finish(t, r);
	t->entries = entries;
	t->stats.settled++;
}

/*
 * Settles it so that nothing of it is left with us, for a call after which the
 * bytes that somebody else sends there would overtake a backlog.
 */
void settle_fully(struct table *t, struct fd *f, int fd)
{
	settle(t, f);
	if (f->backlog && f->owner == t && !wait_drained(f, fd, LEAVE_MS))
		fail(f, fd, ETIMEDOUT);
}
