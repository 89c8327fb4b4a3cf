// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Sets and waits. A turn ends with a wait: the table is run, and what was written
 * while the peer did not read is sent as there is room, before the program hears of it.
 */
#include "preload.h"
#include "real.h"

#include <string.h>
#include <sys/syscall.h>

#define SLICE_MS 10	/* between two looks at backlogs, where no set can report them */

/* Registrations that have no memory: only what they are at the wait counts. */
static bool level(uint32_t events)
{
	return !(events & (EPOLLET | EPOLLONESHOT | EPOLLEXCLUSIVE | EPOLLWAKEUP));
}

/* Makes the kernel's registration what the program wants. */
static void settle_ctl(struct fd *f, int fd)
{
	struct epoll_event ev = { .events = f->want.events, .data.u64 = f->want.data };

	if (f->want.in && f->known.in && (f->want.events != f->known.events || f->want.data != f->known.data))
		raw(SYS_epoll_ctl, f->ep, EPOLL_CTL_MOD, fd, &ev);
	if (!f->want.in && f->known.in)
		raw(SYS_epoll_ctl, f->ep, EPOLL_CTL_DEL, fd, NULL);
	f->known = f->want;
}

/* Whether it has been noted for the end of the turn. */
static bool take_ctl(struct fd *f, int fd, int ep, int op, const struct epoll_event *ev)
{
	if (!in_hand(f) || !f->want.in || f->ep != ep)
		return false;
	if (op == EPOLL_CTL_DEL) {
		record_of(f, fd);
		f->want.in = false;
		return true;
	}
	if (op != EPOLL_CTL_MOD || !level(ev->events) || !level(f->known.events))
		return false;
	record_of(f, fd);
	f->want.events = ev->events;
	f->want.data = ev->data.u64;
	return true;
}

/* What a call that the kernel has carried out means for us. */
static void note_ctl(struct fd *f, int ep, int op, const struct epoll_event *ev)
{
	if (op == EPOLL_CTL_ADD && f->known.in) {
		f->flags |= F_FOREIGN;	/* in two sets */
		return;
	}
	if (op == EPOLL_CTL_DEL && f->ep != ep)
		return;
	if (op != EPOLL_CTL_DEL && (op == EPOLL_CTL_ADD || f->ep == ep)) {
		f->ep = ep;
		f->known = (struct reg){ .in = true, .events = ev->events, .data = ev->data.u64 };
	} else if (op == EPOLL_CTL_DEL) {
		f->known.in = false;
	}
	f->want = f->known;
}

static int stream_ctl(struct fd *f, int fd, int ep, int op, struct epoll_event *ev)
{
	struct fd *set = fd_of(ep);
	struct table *t = stream_lock(f);
	bool stranger = !set || set->kind != FD_EPOLL;
	int ret = 0;

	if (f->flags & F_CLOSED) {
		ret = -EBADF;
	} else if (!stranger && take_ctl(f, fd, ep, op, ev)) {
		t->stats.ctls++;
	} else {
		if (stranger || (op == EPOLL_CTL_ADD && f->known.in && f->want.in && f->ep != ep)) {
			settle_fully(t, f, fd);
			f->flags |= F_FOREIGN;
		}
		settle_ctl(f, fd);
		ret = raw(SYS_epoll_ctl, ep, op, fd, ev);
		if (!ret && !stranger)
			note_ctl(f, ep, op, ev);
	}
	stream_unlock(t);
	return ret < 0 ? fails(-ret) : 0;
}

EXPORT int epoll_ctl(int ep, int op, int fd, struct epoll_event *ev)
{
	struct fd *f = stream_of(fd);

	if (!f || bypass() || (!ev && op != EPOLL_CTL_DEL))
		return REAL(epoll_ctl)(ep, op, fd, ev);
	return stream_ctl(f, fd, ep, op, ev);
}

/* The calling thread waits on the set: it is its alone, or nobody's. */
static struct table *waiter(int ep)
{
	struct fd *set = fd_of(ep);
	struct table *t;

	if (!set || set->kind != FD_EPOLL) {
		flush_mine();
		return NULL;
	}
	t = my_table();
	if (!t || set->owner == t)
		return t;
	if (!set->owner || !__atomic_load_n(&set->owner->used, __ATOMIC_ACQUIRE)) {
		__atomic_store_n(&set->owner, t, __ATOMIC_RELEASE);
		return t;
	}
	if (!(set->flags & F_SHARED)) {
		set->flags |= F_SHARED;
		flush_all();
	}
	return t;
}

/* Watches those with a backlog in the set that is waited on. False: it cannot be. */
static bool nest(struct table *t, int ep)
{
	struct epoll_event mark = { .events = EPOLLIN, .data.u64 = WATCH_MARK };
	long ret;

	if (fds[ep].flags & F_NESTED)
		return true;
	ret = raw(SYS_epoll_ctl, ep, EPOLL_CTL_ADD, t->watch, &mark);
	if (ret && ret != -EEXIST)
		return false;
	fds[ep].flags |= F_NESTED;
	return true;
}

/*
 * Takes our own event out, and sends what there is room for. Of a set that many wait on
 * it is perhaps another thread's.
 */
static int harvest(struct epoll_event *ev, int n)
{
	struct table *t;
	int i;

	for (i = 0; i < n; i++)
		if (ev[i].data.u64 == WATCH_MARK)
			break;
	if (i == n)
		return n;
	memmove(ev + i, ev + i + 1, (n - i - 1) * sizeof(*ev));
	begin();
	for (t = __atomic_load_n(&tables, __ATOMIC_ACQUIRE); t; t = t->next) {
		lock_table(t);
		drain_ready(t);
		unlock_table(t);
	}
	end();
	return n - 1;
}

/* How long the wait may be, for closed sockets to be given up, and backlogs that no set reports. */
static int shortened(struct table *t, int ep, int ms)
{
	int most = t->nlingers ? 1000 : -1;

	if (t->backlogs && !(fds[ep].flags & F_NESTED))
		most = SLICE_MS;
	return most > 0 && (ms < 0 || ms > most) ? most : ms;
}

/* Runs the table, alone; or with the wait, whose result it returns. */
static long turn(struct table *t, int ep, struct epoll_event *ev, int max, int ms, bool with_wait)
{
	long n = -ENOSYS;

	t->round++;
	if (!t->nrecs && !t->backlogs)
		return n;
	begin();
	lock_table(t);
	if (t->nlingers)
		give_up_late(t);
	if (with_wait && !t->backlogs)
		n = flush_and_wait(t, ep, ev, max, ms);
	flush(t, executor);
	if (t->backlogs && !nest(t, ep))
		drain_ready(t);
	unlock_table(t);
	end();
	return n;
}

/*
 * A handler that ran while the table did came after the program's last look at what
 * it sets, and would have interrupted the wait: so it does.
 */
#define WAIT(ms, with_wait, call)						\
	({									\
		int64_t until_ = (ms) > 0 ? now_ms() + (ms) : 0;		\
		int ms_ = (ms);							\
		long n_;							\
		for (;;) {							\
			n_ = turn(t, ep, ev, max, shortened(t, ep, ms_), (with_wait) && thr.ran == ran);\
			if (n_ == -ENOSYS) {					\
				int ask = thr.ran == ran ? shortened(t, ep, ms_) : 0;\
				n_ = call(ask);					\
				if (n_ < 0)					\
					n_ = -errno;				\
				t->stats.waits++;				\
			}							\
			if (n_ > 0)						\
				n_ = harvest(ev, n_);			\
			if (!n_ && thr.ran != ran && (ms))			\
				n_ = -EINTR;					\
			if (n_ || !(ms))					\
				break;						\
			if ((ms) > 0) {						\
				int64_t left_ = until_ - now_ms();		\
				if (left_ <= 0)					\
					break;					\
				ms_ = left_;					\
			}							\
		}								\
		n_ < 0 ? fails(-n_) : (int)n_;					\
	})

EXPORT int epoll_wait(int ep, struct epoll_event *ev, int max, int ms)
{
	uint32_t ran = thr.ran;
	struct table *t = bypass() ? NULL : waiter(ep);

	if (!t || max <= 0)
		return REAL(epoll_wait)(ep, ev, max, ms);
#define CALL(ask) REAL(epoll_wait)(ep, ev, max, ask)
	return WAIT(ms, true, CALL);
#undef CALL
}

EXPORT int epoll_pwait(int ep, struct epoll_event *ev, int max, int ms, const sigset_t *mask)
{
	uint32_t ran = thr.ran;
	struct table *t = bypass() ? NULL : waiter(ep);

	if (!t || max <= 0)
		return REAL(epoll_pwait)(ep, ev, max, ms, mask);
#define CALL(ask) REAL(epoll_pwait)(ep, ev, max, ask, mask)
	return WAIT(ms, !mask, CALL);
#undef CALL
}

EXPORT int epoll_pwait2(int ep, struct epoll_event *ev, int max, const struct timespec *ts, const sigset_t *mask)
{
	struct table *t = bypass() ? NULL : waiter(ep);
	uint32_t ran = thr.ran;
	int64_t ms;
	int n;

	if (!reals.epoll_pwait2 && reals.ready)
		return fails(ENOSYS);
	if (!t || max <= 0 || (ts && (ts->tv_nsec < 0 || ts->tv_nsec >= 1000000000 || ts->tv_sec < 0)))
		return REAL(epoll_pwait2)(ep, ev, max, ts, mask);
	turn(t, ep, ev, max, 0, false);
	if (!t->backlogs) {
		n = REAL(epoll_pwait2)(ep, ev, max, thr.ran == ran ? ts : &(struct timespec){}, mask);
		return !n && thr.ran != ran && !(ts && !ts->tv_sec && !ts->tv_nsec) ? fails(EINTR) : n;
	}
	if (thr.ran != ran)
		return fails(EINTR);
	/* In whole milliseconds, while there is something to look after. */
	ms = !ts ? -1 : ts->tv_sec > 1000000 ? 1000000000 : ts->tv_sec * 1000 + (ts->tv_nsec + 999999) / 1000000;
	return epoll_pwait(ep, ev, max, ms, mask);
}

/* Looks after backlogs in a wait that no set of ours is in. Whether there are some. */
static bool look(void)
{
	struct table *t = thr.table;
	bool some;

	if (bypass() || !t)
		return false;
	flush_mine();
	if (!t->backlogs)
		return false;
	begin();
	lock_table(t);
	drain_ready(t);
	give_up_late(t);
	some = t->backlogs;
	unlock_table(t);
	end();
	return some;
}

EXPORT int ppoll(struct pollfd *p, nfds_t n, const struct timespec *ts, const sigset_t *mask)
{
	const struct timespec slice = { .tv_nsec = SLICE_MS * 1000000 };
	int64_t until = ts ? now_ms() + ts->tv_sec * 1000 + ts->tv_nsec / 1000000 : 0;
	int ret;

	while (look() && (!ts || until - now_ms() > SLICE_MS)) {
		ret = REAL(ppoll)(p, n, &slice, mask);
		if (ret)
			return ret;
	}
	return REAL(ppoll)(p, n, ts, mask);
}

EXPORT int poll(struct pollfd *p, nfds_t n, int ms)
{
	int64_t until = ms > 0 ? now_ms() + ms : 0, left;
	int ret;

	while (look() && ms) {
		left = until - now_ms();
		if (ms > 0 && left <= SLICE_MS)
			return REAL(poll)(p, n, left > 0 ? left : 0);
		ret = REAL(poll)(p, n, SLICE_MS);
		if (ret)
			return ret;
	}
	return REAL(poll)(p, n, ms);
}

EXPORT int __poll(struct pollfd *p, nfds_t n, int ms) __attribute__((alias("poll")));

void __chk_fail(void) __attribute__((noreturn));
int __poll_chk(struct pollfd *p, nfds_t n, int ms, size_t room);
int __ppoll_chk(struct pollfd *p, nfds_t n, const struct timespec *ts, const sigset_t *mask, size_t room);

EXPORT int __poll_chk(struct pollfd *p, nfds_t n, int ms, size_t room)
{
	if (room / sizeof(*p) < n)
		__chk_fail();
	return poll(p, n, ms);
}

EXPORT int __ppoll_chk(struct pollfd *p, nfds_t n, const struct timespec *ts, const sigset_t *mask, size_t room)
{
	if (room / sizeof(*p) < n)
		__chk_fail();
	return ppoll(p, n, ts, mask);
}

/* A select in slices: its sets are the question and the answer. */
static int sliced(int n, fd_set *set[3], int64_t ms, const sigset_t *mask)
{
	fd_set asked[3];
	int64_t until = now_ms() + ms, left = ms;
	struct timespec ts;
	int i, ret;

	for (i = 0; i < 3; i++)
		if (set[i])
			asked[i] = *set[i];
	do {
		for (i = 0; i < 3; i++)
			if (set[i])
				*set[i] = asked[i];
		if (ms >= 0)
			left = until - now_ms();
		ts.tv_sec = 0;
		ts.tv_nsec = (ms < 0 || left > SLICE_MS ? SLICE_MS : left > 0 ? left : 0) * 1000000;
		ret = REAL(pselect)(n, set[0], set[1], set[2], &ts, mask);
		look();
	} while (!ret && (ms < 0 || left > SLICE_MS));
	return ret;
}

EXPORT int select(int n, fd_set *r, fd_set *w, fd_set *x, struct timeval *tv)
{
	fd_set *set[3] = { r, w, x };

	if (!look() || n > FD_SETSIZE)
		return REAL(select)(n, r, w, x, tv);
	return sliced(n, set, tv ? tv->tv_sec * 1000 + tv->tv_usec / 1000 : -1, NULL);
}

EXPORT int __select(int n, fd_set *r, fd_set *w, fd_set *x, struct timeval *tv) __attribute__((alias("select")));

EXPORT int pselect(int n, fd_set *r, fd_set *w, fd_set *x, const struct timespec *ts, const sigset_t *mask)
{
	fd_set *set[3] = { r, w, x };

	if (!look() || n > FD_SETSIZE)
		return REAL(pselect)(n, r, w, x, ts, mask);
	return sliced(n, set, ts ? ts->tv_sec * 1000 + ts->tv_nsec / 1000000 : -1, mask);
}
