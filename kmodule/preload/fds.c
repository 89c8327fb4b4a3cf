// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * What is known of each descriptor. Only what accept() has returned in this
 * process is ever recorded, so a descriptor that came from elsewhere needs no watching.
 */
#include "preload.h"

#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

struct fd *fds;
int nfds;
bool forked;
bool forked_child;
static int high;	/* nothing is known of those above it */

void fds_init(void)
{
	struct rlimit lim;
	rlim_t n = 1 << 16;

	if (!getrlimit(RLIMIT_NOFILE, &lim) && lim.rlim_max > n)
		n = lim.rlim_max;
	if (n > 1 << 20)
		n = 1 << 20;
	fds = pages(n * sizeof(*fds));
	nfds = fds ? n : 0;
}

int fds_high(void)
{
	return __atomic_load_n(&high, __ATOMIC_RELAXED);
}

/* The number means nothing any more. What was queued there is gone. */
void fd_reset(int fd)
{
	struct fd *f = fd_of(fd);

	if (!f)
		return;
	memset(f, 0, sizeof(*f));
	f->ep = -1;
}

/*
 * The kernel has given the program this number anew. If something is known of it,
 * it was closed where nobody saw it; what it had queued must not reach the new one.
 */
void fd_fresh(int fd)
{
	struct fd *f = fd_of(fd);
	struct table *t;

	if (!f || f->kind == FD_UNKNOWN)
		return;
	begin();
	t = lock_of(f);
	if (f->rec)
		f->rec->fd = -1;
	if (f->backlog)
		drop_backlog(f->backlog);
	fd_reset(fd);
	unlock_table(t);
	end();
}

static void raise_high(int fd)
{
	int at = fds_high();

	while (fd > at && !__atomic_compare_exchange_n(&high, &at, fd, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

/* @flags are those of accept4. */
void fd_accepted(int fd, int flags)
{
	struct fd *f = fd_of(fd);

	if (!f)
		return;
	fd_fresh(fd);
	f->ep = -1;
	if (flags & SOCK_NONBLOCK)
		f->flags |= F_NONBLOCK;
	if (flags & SOCK_CLOEXEC)
		f->flags |= F_CLOEXEC;
	raise_high(fd);
	f->kind = FD_STREAM;
}

void fd_epoll(int fd)
{
	struct fd *f = fd_of(fd);

	if (!f)
		return;
	fd_fresh(fd);
	raise_high(fd);
	f->ep = -1;
	f->kind = FD_EPOLL;
}

/* A descriptor of ours. */
void fd_private(int fd)
{
	struct fd *f = fd_of(fd);

	if (!f)
		return;
	fd_reset(fd);
	raise_high(fd);
	f->kind = FD_PRIVATE;
}

/*
 * Whether a call on it may wait for somebody, who may wait for what is recorded.
 * That something never does is remembered. A file is asked for first: servers open one a request.
 */
bool may_block(int fd)
{
	struct fd *f = fd_of(fd);
	struct stat st;
	long flags;

	if (f && (f->kind == FD_QUIET || (f->kind == FD_STREAM && f->flags & F_NONBLOCK)))
		return false;
	if (raw(SYS_fstat, fd, &st) < 0)
		return false;
	if (!S_ISREG(st.st_mode)) {
		flags = raw(SYS_fcntl, fd, F_GETFL);
		if (flags < 0)
			return false;
		if (!(flags & O_NONBLOCK))
			return true;
	}
	if (f && f->kind == FD_UNKNOWN) {
		raise_high(fd);
		f->kind = FD_QUIET;
	}
	return false;
}
