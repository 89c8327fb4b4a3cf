// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Receives, which are never recorded. */
#include "preload.h"
#include "real.h"

/* Before a receive. False: the program has closed it. */
static bool before_receive(int fd)
{
	struct fd *f = stream_of(fd);

	if (bypass())
		return true;
	if (f && f->flags & F_CLOSED) {
		errno = EBADF;
		return false;
	}
	before_wait(fd);
	return true;
}

/*
 * After one: an error of ours is said when there is nothing more to receive. Who looks
 * twice for an answer without coming round to wait is given what it is the answer to.
 */
static ssize_t after_receive(int fd, ssize_t ret)
{
	struct fd *f = stream_of(fd);
	struct table *t;
	int err = ret ? errno : 0;

	if (likely(ret > 0) || !f || (!f->rec && !f->err) || bypass())
		return ret;
	t = stream_lock(f);
	if (f->rec && ret < 0 && err == EAGAIN && ++f->dry > 1)
		settle(t, f);
	if (f->err) {
		err = f->err;
		f->err = 0;
		ret = -1;
	}
	stream_unlock(t);
	errno = err;
	return ret;
}

EXPORT ssize_t recv(int fd, void *buf, size_t n, int flags)
{
	return before_receive(fd) ? after_receive(fd, REAL(recv)(fd, buf, n, flags)) : -1;
}

EXPORT ssize_t recvfrom(int fd, void *buf, size_t n, int flags, struct sockaddr *from, socklen_t *len)
{
	return before_receive(fd) ? after_receive(fd, REAL(recvfrom)(fd, buf, n, flags, from, len)) : -1;
}

EXPORT ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
	return before_receive(fd) ? after_receive(fd, REAL(recvmsg)(fd, msg, flags)) : -1;
}

EXPORT int recvmmsg(int fd, struct mmsghdr *v, unsigned int n, int flags, struct timespec *timeout)
{
	return before_receive(fd) ? after_receive(fd, REAL(recvmmsg)(fd, v, n, flags, timeout)) : -1;
}

EXPORT ssize_t read(int fd, void *buf, size_t n)
{
	return before_receive(fd) ? after_receive(fd, REAL(read)(fd, buf, n)) : -1;
}

EXPORT ssize_t readv(int fd, const struct iovec *iov, int n)
{
	return before_receive(fd) ? after_receive(fd, REAL(readv)(fd, iov, n)) : -1;
}

EXPORT ssize_t __read(int fd, void *buf, size_t n) __attribute__((alias("read")));
EXPORT ssize_t __recv(int fd, void *buf, size_t n, int flags) __attribute__((alias("recv")));

void __chk_fail(void) __attribute__((noreturn));
ssize_t __read_chk(int fd, void *buf, size_t n, size_t room);
ssize_t __recv_chk(int fd, void *buf, size_t n, size_t room, int flags);
ssize_t __recvfrom_chk(int fd, void *buf, size_t n, size_t room, int flags, struct sockaddr *from, socklen_t *len);

EXPORT ssize_t __read_chk(int fd, void *buf, size_t n, size_t room)
{
	if (n > room)
		__chk_fail();
	return read(fd, buf, n);
}

EXPORT ssize_t __recv_chk(int fd, void *buf, size_t n, size_t room, int flags)
{
	if (n > room)
		__chk_fail();
	return recv(fd, buf, n, flags);
}

EXPORT ssize_t __recvfrom_chk(int fd, void *buf, size_t n, size_t room, int flags, struct sockaddr *from, socklen_t *len)
{
	if (n > room)
		__chk_fail();
	return recvfrom(fd, buf, n, flags, from, len);
}
