// SPDX-License-Identifier: GPL-2.0 OR MIT
/* What is set on descriptors and asked of them, and the end of sending. */
#include "preload.h"
#include "real.h"

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>

#ifndef TCP_ULP
#define TCP_ULP 31
#endif

/* The program sets whether calls on it wait. */
void fd_nonblock(int fd, bool on)
{
	struct fd *f = fd_of(fd);
	struct table *t;

	if (!f || bypass())
		return;
	if (f->kind == FD_QUIET)
		fd_reset(fd);
	if (f->kind != FD_STREAM || !(f->flags & F_NONBLOCK) == !on)
		return;
	t = stream_lock(f);
	settle(t, f);
	if (on)
		f->flags |= F_NONBLOCK;
	else
		f->flags &= ~F_NONBLOCK;
	stream_unlock(t);
}

/* What is recorded of it is sent before a call that might tell. */
static void settled(int fd)
{
	struct fd *f = stream_of(fd);
	struct table *t;

	if (!f) {
		before_wait(fd);
		return;
	}
	if (bypass())
		return;
	t = stream_lock(f);
	settle(t, f);
	stream_unlock(t);
}

EXPORT int ioctl(int fd, unsigned long cmd, ...)
{
	struct fd *f = stream_of(fd);
	va_list ap;
	void *arg;
	int ret;

	va_start(ap, cmd);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (fd_closed(fd))
		return fails(EBADF);
	if (cmd == FIONREAD || cmd == FIONBIO || cmd == FIOCLEX || cmd == FIONCLEX) {
		ret = REAL(ioctl)(fd, cmd, arg);
		if (!ret && cmd == FIONBIO)
			fd_nonblock(fd, *(int *)arg);
		if (!ret && f && cmd == FIONCLEX)
			f->flags &= ~F_CLOEXEC;
		return ret;
	}
	settled(fd);
	ret = REAL(ioctl)(fd, cmd, arg);
	if (!ret && f && f->backlog && cmd == SIOCOUTQ)
		*(int *)arg += f->backlog->len - f->backlog->off;
	return ret;
}

/*
 * TCP_CORK is only noted while nothing has been sent under it: what is corked and
 * recorded leaves in one send, which needs none.
 */
static bool take_cork(struct fd *f, bool on)
{
	struct table *t = stream_lock(f);
	bool taken = recordable(f) && !f->corked && coalesce;

	if (taken) {
		if (f->rec)
			f->rec->calls++;
		t->stats.corks++;
	} else {
		settle(t, f);
		f->corked = on;
	}
	f->cork = on;
	stream_unlock(t);
	return taken;
}

EXPORT int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	struct fd *f = stream_of(fd);

	if (!f || bypass())
		return REAL(setsockopt)(fd, level, name, value, len);
	if (level == IPPROTO_TCP && name == TCP_CORK && len == sizeof(int) && value && !(f->flags & F_CLOSED) && !f->err) {
		if (take_cork(f, *(const int *)value))
			return 0;
		return REAL(setsockopt)(fd, level, name, value, len);
	}
	if (fd_closed(fd))
		return fails(EBADF);
	if (level == IPPROTO_TCP && name == TCP_ULP)
		fd_shared(fd);	/* what is written is not what is sent */
	else
		settled(fd);
	return REAL(setsockopt)(fd, level, name, value, len);
}

EXPORT int getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
	struct fd *f = stream_of(fd);
	struct table *t;
	int err = 0;

	if (!f || bypass())
		return REAL(getsockopt)(fd, level, name, value, len);
	if (f->flags & F_CLOSED)
		return fails(EBADF);
	t = stream_lock(f);
	settle(t, f);
	if (level == SOL_SOCKET && name == SO_ERROR && *len >= sizeof(int)) {
		err = f->err;
		f->err = 0;
	}
	if (level == IPPROTO_TCP && name == TCP_CORK)
		cork_now(f, fd);
	stream_unlock(t);
	if (!err)
		return REAL(getsockopt)(fd, level, name, value, len);
	*(int *)value = err;
	*len = sizeof(int);
	return 0;
}

EXPORT int shutdown(int fd, int how)
{
	struct fd *f = stream_of(fd);
	struct table *t;
	bool taken = false;
	int err;

	if (!f || bypass())
		return REAL(shutdown)(fd, how);
	t = stream_lock(f);
	if (how == SHUT_WR && recordable(f)) {
		record_of(f, fd)->shut = how + 1;
		f->shut = how + 1;
		t->stats.calls++;
		taken = true;
	} else {
		settle(t, f);
	}
	err = f->flags & F_CLOSED ? EBADF : 0;
	if (!err && !taken && f->backlog && (how == SHUT_WR || how == SHUT_RDWR)) {
		f->backlog->shut = how + 1;
		f->shut = how + 1;
		taken = true;
	}
	stream_unlock(t);
	if (err)
		return fails(err);
	return taken ? 0 : REAL(shutdown)(fd, how);
}
