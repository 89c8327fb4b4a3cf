// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Where descriptors come from, and where they go. */
#include "preload.h"
#include "real.h"

#include <stdarg.h>
#include <string.h>
#include <sys/syscall.h>

/* The descriptor comes into other hands too: nothing of it is with us from now on. */
void fd_shared(int fd)
{
	struct fd *f = fd_of(fd);
	struct table *t;

	if (!f)
		return;
	if (f->kind == FD_EPOLL) {
		flush_all();
		f->flags |= F_SHARED;
	}
	if (f->kind != FD_STREAM)
		return;
	t = stream_lock(f);
	settle_fully(t, f, fd);
	f->flags |= F_FOREIGN;
	stream_unlock(t);
}

/*
 * The program closes a set: what is registered in it is in none. Backlogs are watched
 * in the set that is waited on next.
 */
static void close_set(int ep)
{
	int i;

	flush_all();
	begin();
	for (i = 0; i <= fds_high(); i++) {
		if (fds[i].kind != FD_STREAM || fds[i].ep != ep)
			continue;
		fds[i].ep = -1;
		fds[i].want.in = fds[i].known.in = false;
	}
	fd_reset(ep);
	end();
}

/*
 * Whether the close of a stream socket has been dealt with: behind what is recorded,
 * or behind a backlog. Otherwise nothing is known of it any more.
 */
static bool close_stream(struct fd *f, int fd, int *ret)
{
	struct table *t = stream_lock(f);
	bool taken = true;

	*ret = 0;
	if (f->flags & F_CLOSED) {
		*ret = fails(EBADF);
		goto out;
	}
	if (in_hand(f) && executor->batches + (f->rec != NULL) > 0) {
		record_of(f, fd)->closing = true;
		f->flags |= F_CLOSED;
		t->stats.calls++;
		goto out;
	}
	settle(t, f);
	if (f->backlog) {
		close_behind(t, f, fd);
		goto out;
	}
	fd_reset(fd);
	taken = false;
out:
	stream_unlock(t);
	return taken;
}

EXPORT int close(int fd)
{
	struct fd *f = fd_of(fd);
	int ret;

	if (bypass() || !f)
		return REAL(close)(fd);
	switch (f->kind) {
	case FD_STREAM:
		if (close_stream(f, fd, &ret))
			return ret;
		break;
	case FD_EPOLL:
		close_set(fd);
		break;
	case FD_PRIVATE:
		return fails(EBADF);
	case FD_QUIET:
		fd_reset(fd);
	}
	return REAL(close)(fd);
}

EXPORT int __close(int fd) __attribute__((alias("close")));

/* Makes a number free for a call that closes it on the way. False: it is ours. */
static bool vacate(int fd)
{
	struct fd *f = fd_of(fd);
	struct table *t;

	if (!f)
		return true;
	if (f->kind == FD_PRIVATE)
		return false;
	if (f->kind == FD_EPOLL) {
		close_set(fd);
	} else if (f->kind == FD_STREAM) {
		t = stream_lock(f);
		settle_fully(t, f, fd);
		if (f->kind == FD_STREAM)
			fd_reset(fd);
		stream_unlock(t);
	} else if (f->kind != FD_UNKNOWN) {
		fd_reset(fd);
	}
	return true;
}

/* From @first to @last, but those that are ours. */
EXPORT int close_range(unsigned int first, unsigned int last, int flags)
{
	unsigned int i, from = first;
	int ret = 0;

	if (bypass())
		return REAL(close_range)(first, last, flags);
	if (flags & ~CLOSE_RANGE_UNSHARE || first > last)
		return flags & CLOSE_RANGE_CLOEXEC ? REAL(close_range)(first, last, flags) : fails(EINVAL);
	flush_all();
	for (i = first; i <= last && i <= (unsigned int)fds_high(); i++) {
		if (vacate(i))
			continue;
		if (i > from)
			ret = REAL(close_range)(from, i - 1, flags);
		from = i + 1;
	}
	return from <= last ? REAL(close_range)(from, last, flags) : ret;
}

EXPORT void closefrom(int first)
{
	close_range(first < 0 ? 0 : first, ~0U, 0);
}

/*
 * Whether it is worth trying again: numbers were taken by what is closed in the table, or
 * lingers.
 */
static bool freed(int ret)
{
	struct table *t = thr.table;
	bool some;

	if (ret >= 0 || (errno != EMFILE && errno != ENFILE) || bypass() || !t)
		return false;
	if (t->nrecs) {
		flush_all();
		return true;
	}
	begin();
	lock_table(t);
	some = give_up_one(t);
	unlock_table(t);
	end();
	return some;
}

static int fresh(int fd)
{
	if (fd >= 0 && !bypass())
		fd_fresh(fd);
	return fd;
}

/* A call that makes a descriptor. */
#define MAKES(call)						\
	({							\
		int fd_ = (call);				\
		while (unlikely(fd_ < 0) && freed(fd_))		\
			fd_ = (call);				\
		fresh(fd_);					\
	})

static void wait_ahead(int fd)
{
	if (!bypass() && thr.table && thr.table->nrecs && may_block(fd))
		flush_mine();
}

/*
 * Whether what a listener accepts is a stream. A datagram socket cannot listen; of
 * those that do, SOCK_SEQPACKET must keep its boundaries.
 */
static int accepted(int fd, int flags)
{
	socklen_t len = sizeof(int);
	int type;

	if (fd < 0 || bypass())
		return fd;
	if (raw(SYS_getsockopt, fd, SOL_SOCKET, SO_TYPE, &type, &len) || type != SOCK_STREAM)
		fd_fresh(fd);
	else
		fd_accepted(fd, flags);
	return fd;
}

EXPORT int accept(int fd, struct sockaddr *addr, socklen_t *len)
{
	int got;

	wait_ahead(fd);
	got = REAL(accept)(fd, addr, len);
	while (got < 0 && freed(got))
		got = REAL(accept)(fd, addr, len);
	return accepted(got, 0);
}

EXPORT int accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
	int got;

	wait_ahead(fd);
	got = REAL(accept4)(fd, addr, len, flags);
	while (got < 0 && freed(got))
		got = REAL(accept4)(fd, addr, len, flags);
	return accepted(got, flags);
}

EXPORT int connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	wait_ahead(fd);
	return REAL(connect)(fd, addr, len);
}

EXPORT int socket(int domain, int type, int protocol)
{
	return MAKES(REAL(socket)(domain, type, protocol));
}

EXPORT int epoll_create(int n)
{
	int fd = MAKES(REAL(epoll_create)(n));

	if (fd >= 0 && !bypass())
		fd_epoll(fd);
	return fd;
}

EXPORT int epoll_create1(int flags)
{
	int fd = MAKES(REAL(epoll_create1)(flags));

	if (fd >= 0 && !bypass())
		fd_epoll(fd);
	return fd;
}

static int fresh_two(int ret, const int fd[2])
{
	if (!ret) {
		fresh(fd[0]);
		fresh(fd[1]);
	}
	return ret;
}

EXPORT int socketpair(int domain, int type, int protocol, int fd[2])
{
	int ret = REAL(socketpair)(domain, type, protocol, fd);

	while (freed(ret))
		ret = REAL(socketpair)(domain, type, protocol, fd);
	return fresh_two(ret, fd);
}

EXPORT int pipe2(int fd[2], int flags)
{
	int ret = REAL(pipe2)(fd, flags);

	while (freed(ret))
		ret = REAL(pipe2)(fd, flags);
	return fresh_two(ret, fd);
}

EXPORT int pipe(int fd[2])
{
	return pipe2(fd, 0);
}

/* The mode is there if it is asked for. */
#define MODE(flags)						\
	({							\
		int mode_ = 0;					\
		va_list ap_;					\
		va_start(ap_, flags);				\
		if ((flags) & (O_CREAT | O_TMPFILE))		\
			mode_ = va_arg(ap_, int);		\
		va_end(ap_);					\
		mode_;						\
	})

EXPORT int open(const char *path, int flags, ...)
{
	int mode = MODE(flags);

	return MAKES(REAL(open)(path, flags, mode));
}

EXPORT int open64(const char *path, int flags, ...)
{
	int mode = MODE(flags);

	return MAKES(REAL(open64)(path, flags, mode));
}

EXPORT int openat(int dir, const char *path, int flags, ...)
{
	int mode = MODE(flags);

	return MAKES(REAL(openat)(dir, path, flags, mode));
}

EXPORT int openat64(int dir, const char *path, int flags, ...)
{
	int mode = MODE(flags);

	return MAKES(REAL(openat64)(dir, path, flags, mode));
}

int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);

EXPORT int __open_2(const char *path, int flags)
{
	return open(path, flags);
}

EXPORT int __open64_2(const char *path, int flags)
{
	return open64(path, flags);
}

static void duplicated(int fd)
{
	if (!bypass())
		fd_shared(fd);
}

EXPORT int dup(int fd)
{
	if (fd_closed(fd))
		return fails(EBADF);
	duplicated(fd);
	return MAKES(REAL(dup)(fd));
}

EXPORT int dup2(int from, int to)
{
	if (fd_closed(from))
		return fails(EBADF);
	if (from != to) {
		duplicated(from);
		if (!bypass() && !vacate(to))
			return fails(EBUSY);
	}
	return REAL(dup2)(from, to);
}

EXPORT int __dup2(int from, int to) __attribute__((alias("dup2")));

EXPORT int dup3(int from, int to, int flags)
{
	if (fd_closed(from))
		return fails(EBADF);
	duplicated(from);
	if (from != to && !bypass() && !vacate(to))
		return fails(EBUSY);
	return REAL(dup3)(from, to, flags);
}

/* It closes its number where we do not see it. */
EXPORT int fclose(FILE *file)
{
	struct fd *f = bypass() ? NULL : fd_of(fileno(file));

	if (f && (f->kind == FD_QUIET || f->kind == FD_STREAM))
		vacate(fileno(file));
	return REAL(fclose)(file);
}

EXPORT FILE *fdopen(int fd, const char *mode)
{
	duplicated(fd);
	return REAL(fdopen)(fd, mode);
}

EXPORT int fcntl(int fd, int cmd, ...)
{
	struct fd *f = stream_of(fd);
	va_list ap;
	long arg;
	int ret;

	va_start(ap, cmd);
	arg = va_arg(ap, long);
	va_end(ap);
	if (fd_closed(fd))
		return fails(EBADF);
	if ((cmd == F_SETLKW || cmd == F_OFD_SETLKW) && !bypass())
		flush_mine();
	if (cmd == F_DUPFD || cmd == F_DUPFD_CLOEXEC) {
		duplicated(fd);
		return MAKES(REAL(fcntl)(fd, cmd, arg));
	}
	ret = REAL(fcntl)(fd, cmd, arg);
	if (ret)
		return ret;
	if (cmd == F_SETFL)
		fd_nonblock(fd, arg & O_NONBLOCK);
	if (cmd == F_SETFD && f && !bypass()) {
		if (arg & FD_CLOEXEC)
			f->flags |= F_CLOEXEC;
		else
			f->flags &= ~F_CLOEXEC;
	}
	return ret;
}

EXPORT int fcntl64(int fd, int cmd, ...) __attribute__((alias("fcntl")));
EXPORT int __fcntl(int fd, int cmd, ...) __attribute__((alias("fcntl")));
