// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * What comes of a record: done, failed, or kept as a backlog until the kernel
 * takes it. All with the lock of the descriptor's table.
 */
#include "preload.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

/* Nothing is held of it any more: whoever touches it next needs no lock. */
static void release(struct fd *f)
{
	if (f->kind != FD_EPOLL && !f->rec && !f->backlog)
		__atomic_store_n(&f->owner, NULL, __ATOMIC_RELEASE);
}

/*
 * Before the table is run: the number of a socket that is closed in it may be
 * another's as soon as that has happened, so nothing may be known of it by then.
 */
void detach(struct record *r)
{
	struct fd *f = &fds[r->fd];

	if (!r->closing)
		return;
	r->was = *f;
	fd_reset(r->fd);
}

/* Whether a send that failed may be tried again later. */
static bool later(long ret)
{
	return ret == -EAGAIN || ret == -EINTR || ret == -ENOBUFS || ret == -ENOMEM;
}

void finish(struct table *t, struct record *r)
{
	struct esca_entry *e = t->entries;
	struct fd *f = &fds[r->fd];
	long ret = 0, sent = 0;
	int i, fd = r->fd;

	for (i = 0; i < r->nsends && ret >= 0; i++) {
		ret = e[r->send + i].ret;
		if (ret > 0)
			sent += ret;
	}
	if (ret == -ECANCELED)	/* behind a short one */
		ret = 0;
	r->fd = -1;
	if (r->closing) {
		if (e[r->close].ret != -ECANCELED)
			return;
		*f = r->was;	/* it is still open, and so the number ours */
	}
	f->rec = NULL;
	if (r->calls > 1)
		f->lone = 0;
	else if (r->calls && f->lone < LONE)
		f->lone++;
	if (r->ctl >= 0) {
		if (e[r->ctl].ret && f->want.in && ret >= 0 && !r->closing)
			ret = e[r->ctl].ret;
		f->known = f->want;
		f->known.in &= !r->closing;
	}
	if (ret < 0 && !later(ret)) {
		if (fail(f, fd, -ret))
			return;
	} else if (sent < (long)r->bytes) {
		if (keep(t, f, fd, r->span, r->nspans, sent, r->more))
			return;
		if (f->backlog)
			f->backlog->shut = r->shut;
	}
	if (r->closing)
		close_behind(t, f, fd);
	else
		release(f);
}

/*
 * The program has closed it. What the kernel has not yet taken is sent first; the
 * set must not report the socket meanwhile, whose data may be the program's no more.
 */
void close_behind(struct table *t, struct fd *f, int fd)
{
	struct backlog *b = f->backlog;

	if (!b) {
		fd_reset(fd);
		raw(SYS_close, fd);
		return;
	}
	if (f->known.in)
		raw(SYS_epoll_ctl, f->ep, EPOLL_CTL_DEL, fd, NULL);
	f->known.in = f->want.in = false;
	f->flags |= F_CLOSED;
	b->closing = true;
	b->deadline = now_ms() + LINGER_MS;
	t->nlingers++;
	t->stats.lingers++;
}

/* The set of those with a backlog, nested in the program's own. */
static bool watch(struct table *t, struct fd *f, int fd)
{
	struct epoll_event ev = { .events = EPOLLOUT, .data.fd = fd };
	struct epoll_event mark = { .events = EPOLLIN, .data.u64 = WATCH_MARK };
	struct fd *set = fd_of(f->ep);
	long ret;

	if (t->watch < 0) {
		ret = raw(SYS_epoll_create1, EPOLL_CLOEXEC);
		if (ret < 0)
			return false;
		t->watch = hide(ret);
	}
	if (raw(SYS_epoll_ctl, t->watch, EPOLL_CTL_ADD, fd, &ev) < 0)
		return false;
	if (set && set->kind == FD_EPOLL && !(set->flags & F_NESTED)) {
		ret = raw(SYS_epoll_ctl, f->ep, EPOLL_CTL_ADD, t->watch, &mark);
		if (!ret || ret == -EEXIST)
			set->flags |= F_NESTED;
	}
	return true;
}

/* Keeps the bytes behind the first @skip ones of @iov. True: it has failed, and is closed. */
bool keep(struct table *t, struct fd *f, int fd, const struct iovec *iov, int n, size_t skip, bool more)
{
	struct backlog *b;
	size_t len = 0, size, part;
	int i;

	for (i = 0; i < n; i++)
		len += iov[i].iov_len;
	len -= skip;
	size = sizeof(*b) + len;
	b = pages(size);
	if (!b)
		return fail(f, fd, ENOBUFS);
	b->size = size;
	b->fd = fd;
	b->table = t;
	b->more = more;
	for (i = 0; i < n; i++) {
		part = iov[i].iov_len > skip ? iov[i].iov_len - skip : 0;
		memcpy(b->data + b->len, (char *)iov[i].iov_base + iov[i].iov_len - part, part);
		b->len += part;
		skip -= iov[i].iov_len - part;
	}
	b->next = t->backlogs;
	b->at = &t->backlogs;
	if (b->next)
		b->next->at = &b->next;
	t->backlogs = b;
	t->nbacklogs++;
	t->stats.backlogs++;
	f->backlog = b;
	__atomic_store_n(&f->owner, t, __ATOMIC_RELEASE);
	return !watch(t, f, fd) && fail(f, fd, ENOBUFS);
}

void drop_backlog(struct backlog *b)
{
	struct table *t = b->table;

	if (t->watch >= 0)
		raw(SYS_epoll_ctl, t->watch, EPOLL_CTL_DEL, b->fd, NULL);
	*b->at = b->next;
	if (b->next)
		b->next->at = b->at;
	t->nbacklogs--;
	if (b->closing)
		t->nlingers--;
	fds[b->fd].backlog = NULL;
	munmap(b, b->size);
}

/*
 * What was reported as sent cannot be: the connection ends, so that nobody waits for
 * the rest, and the program hears of it at its next call. True: it has closed it
 * already, and the number may be another's by now.
 */
bool fail(struct fd *f, int fd, int err)
{
	struct table *t = f->owner;
	bool closed = f->flags & F_CLOSED;

	if (f->backlog)
		drop_backlog(f->backlog);
	if (t)
		t->stats.errors++;
	raw(SYS_shutdown, fd, SHUT_RDWR);
	if (closed) {
		fd_reset(fd);
		raw(SYS_close, fd);
		return true;
	}
	f->err = err;
	release(f);
	return false;
}

/*
 * The program has been told EAGAIN while the kernel may have had room, so that no
 * edge comes by itself: its registration is made anew, as it is.
 */
void edge(const struct fd *f, int fd)
{
	const uint32_t waits = EPOLLET | EPOLLOUT;
	struct epoll_event ev = { .events = f->known.events, .data.u64 = f->known.data };

	if (f->known.in && (ev.events & waits) == waits && !(ev.events & EPOLLONESHOT))
		raw(SYS_epoll_ctl, f->ep, EPOLL_CTL_MOD, fd, &ev);
}

/* The last of it has been sent: what the program has asked for behind it. */
static void drained(struct backlog *b)
{
	int fd = b->fd, shut = b->shut;
	struct fd *f = &fds[fd];
	bool closing = b->closing;

	drop_backlog(b);
	if (shut)
		raw(SYS_shutdown, fd, shut - 1);
	if (closing) {
		fd_reset(fd);
		raw(SYS_close, fd);
		return;
	}
	edge(f, fd);
	release(f);
}

/* Sends of it what the kernel takes. Returns whether it is gone. */
bool drain(struct backlog *b)
{
	struct fd *f = &fds[b->fd];
	struct iovec iov;
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	long ret;

	while (b->off < b->len) {
		iov.iov_base = b->data + b->off;
		iov.iov_len = b->len - b->off;
		ret = send_now(b->table, b->fd, &msg, b->more ? MSG_MORE : 0);
		if (ret < 0 && later(ret))
			return false;
		if (ret < 0) {
			fail(f, b->fd, -ret);
			return true;
		}
		b->off += ret;
		if (f->flags & F_CLOSED)
			b->deadline = now_ms() + LINGER_MS;
		if (ret < (long)iov.iov_len)
			return false;
	}
	drained(b);
	return true;
}

/* Drains those for which there is room. */
void drain_ready(struct table *t)
{
	struct epoll_event ev[64];
	struct fd *f;
	long i, n;

	if (t->watch < 0 || !t->backlogs)
		return;
	n = raw(SYS_epoll_wait, t->watch, ev, 64, 0);
	for (i = 0; i < n; i++) {
		f = fd_of(ev[i].data.fd);
		if (f && f->backlog)
			drain(f->backlog);
	}
}

/* Gives up closed sockets whose peer has taken nothing for long. */
void give_up_late(struct table *t)
{
	struct backlog *b, *next;
	int64_t now;

	if (!t->nlingers)
		return;
	now = now_ms();
	for (b = t->backlogs; b; b = next) {
		next = b->next;
		if (b->closing && now > b->deadline)
			fail(&fds[b->fd], b->fd, ETIMEDOUT);
	}
}

/*
 * There are no numbers left: the closed socket whose peer has taken nothing for longest
 * gives back its own. Whether there was one.
 */
bool give_up_one(struct table *t)
{
	struct backlog *b, *oldest = NULL;

	for (b = t->backlogs; b; b = b->next)
		if (b->closing && (!oldest || b->deadline < oldest->deadline))
			oldest = b;
	return oldest && fail(&fds[oldest->fd], oldest->fd, ETIMEDOUT);
}

/*
 * In a child, which sends nothing of it. The watch is one with the parent's, who still
 * needs what is in it.
 */
void forget_backlogs(struct table *t)
{
	if (t->watch >= 0) {
		raw(SYS_close, t->watch);
		fd_reset(t->watch);
		t->watch = -1;
	}
	while (t->backlogs) {
		fds[t->backlogs->fd].flags |= F_LOST;
		drop_backlog(t->backlogs);
	}
}

/* Waits until the backlog of @f is gone, which it says, or @ms have passed. */
bool wait_drained(struct fd *f, int fd, int ms)
{
	int64_t until = now_ms() + ms;
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	while (f->backlog && !drain(f->backlog)) {
		ms = until - now_ms();
		if (ms <= 0)
			return false;
		raw(SYS_poll, &p, 1, ms);
	}
	return true;
}

/* Sends what the table's backlogs hold, and waits for room until @until at most. */
void drain_table(struct table *t, int64_t until)
{
	struct pollfd p = { .events = POLLIN };
	struct backlog *b, *next;

	lock_table(t);
	for (b = t->backlogs; b; b = next) {
		next = b->next;
		drain(b);
	}
	while (t->backlogs && now_ms() < until) {
		p.fd = t->watch;
		raw(SYS_poll, &p, 1, until - now_ms());
		drain_ready(t);
	}
	unlock_table(t);
}

/* Ends the connections whose backlog nobody will send any more. */
void abandon(struct table *t)
{
	lock_table(t);
	while (t->backlogs)
		fail(&fds[t->backlogs->fd], t->backlogs->fd, ETIMEDOUT);
	unlock_table(t);
}

/* The process ends: what has been reported as sent is given @ms to leave. */
void drain_all(int ms)
{
	int64_t until = now_ms() + ms;
	struct table *t;

	for (t = tables; t; t = t->next)
		drain_table(t, until);
}
