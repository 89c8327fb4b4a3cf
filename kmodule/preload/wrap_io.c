// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Sends, which are recorded. */
#include "preload.h"
#include "real.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/syscall.h>

#define MOST_IOV 64

/* Locks the table of @f, or that of the calling thread, which may become it. */
struct table *stream_lock(struct fd *f)
{
	struct table *t;

	begin();
	t = lock_of(f);
	if (!t) {
		t = thr.table;
		lock_table(t);
	}
	return t;
}

void stream_unlock(struct table *t)
{
	unlock_table(t);
	end();
}

/* A call that may wait for somebody is about to be made on a descriptor not recorded. */
void before_wait(int fd)
{
	if (thr.table && thr.table->nrecs && may_block(fd))
		flush_mine();
}

/* What a program gets that writes to a connection that has ended. */
int broken(int err, int flags)
{
	if (err == EPIPE && !(flags & MSG_NOSIGNAL))
		raw(SYS_tgkill, raw(SYS_getpid), raw(SYS_gettid), SIGPIPE);
	return fails(err);
}

/*
 * Why nothing can be sent on it now; 0: nothing is in the way. It waits for a backlog
 * if the program would have waited for the socket. @t is what has been locked.
 */
int obstacle(struct table *t, struct fd *f, int fd)
{
	int err;

	if (f->flags & F_CLOSED)
		return EBADF;
	if (f->flags & F_LOST)
		return EIO;
	if (f->backlog && f->owner == t && !f->err && !f->shut) {
		if (!(f->flags & F_NONBLOCK))
			wait_drained(f, fd, LINGER_MS);
		else
			drain(f->backlog);
	}
	if (f->err) {
		err = f->err;
		f->err = 0;
		return err;
	}
	if (f->shut)
		return EPIPE;
	return f->backlog ? EAGAIN : 0;
}

/* The kernel learns of a cork that was only noted, before a call that needs it. */
void cork_now(struct fd *f, int fd)
{
	int on = 1;

	if (f->cork && !f->corked && !raw(SYS_setsockopt, fd, IPPROTO_TCP, TCP_CORK, &on, sizeof(on)))
		f->corked = true;
}

/*
 * Copies the caller's memory; false: it is not there to be read, which the kernel
 * is better at saying.
 */
static __attribute__((noinline)) bool copy(char *to, const struct iovec *iov, size_t n)
{
	void *back[5];
	size_t i;

	if (__builtin_setjmp(back)) {
		thr.copying = NULL;
		return false;
	}
	thr.copying = back;
	for (i = 0; i < n; i++) {
		memcpy(to, iov[i].iov_base, iov[i].iov_len);
		to += iov[i].iov_len;
	}
	__asm__ volatile("" ::: "memory");
	thr.copying = NULL;
	return true;
}

/* What is queued and the caller's own memory in one; the result for the caller, or -errno. */
static long send_behind(struct table *t, struct fd *f, int fd, const struct msghdr *msg, size_t total, int flags)
{
	struct record *r = f->rec;
	struct iovec v[SPANS + MOST_IOV];
	struct msghdr m = { .msg_iov = v };
	long ret, queued = r->bytes;

	memcpy(v, r->span, r->nspans * sizeof(*v));
	memcpy(v + r->nspans, msg->msg_iov, msg->msg_iovlen * sizeof(*v));
	m.msg_iovlen = r->nspans + msg->msg_iovlen;
	cork_now(f, fd);
	f->lone = 0;
	t->stats.direct++;
	ret = send_now(t, fd, &m, flags & MSG_MORE);
	r->bytes = 0;
	if (ret < queued) {
		if (ret < 0 && ret != -EAGAIN && ret != -EFAULT && ret != -EINTR && ret != -ENOBUFS && ret != -ENOMEM) {
			r->nspans = 0;
			return ret;
		}
		keep(t, f, fd, r->span, r->nspans, ret > 0 ? ret : 0, false);
		r->nspans = 0;
		return ret == -EFAULT ? ret : -EAGAIN;
	}
	r->nspans = 0;
	ret -= queued;
	if (faulty && (size_t)ret < total)
		edge(f, fd);
	return ret || !total ? ret : -EAGAIN;
}

/* Records it, or sends it behind what is recorded. False: it is to go straight through. */
static bool take(struct table *t, struct fd *f, int fd, const struct msghdr *msg, int flags, long *ret)
{
	const int known = MSG_NOSIGNAL | MSG_DONTWAIT | MSG_MORE;
	size_t i, total = 0;
	char *at;

	if (!recordable(f) || flags & ~known || msg->msg_name || msg->msg_controllen || msg->msg_iovlen > MOST_IOV)
		return false;
	for (i = 0; i < msg->msg_iovlen; i++) {
		if (msg->msg_iov[i].iov_len > SMALL_SEND) {
			total = SIZE_MAX;
			break;
		}
		total += msg->msg_iov[i].iov_len;
	}
	if (!total)
		return false;
	if (total <= SMALL_SEND) {
		at = room(t, f, fd, total);
		if (!at || !copy(at, msg->msg_iov, msg->msg_iovlen))
			return false;
		append(t, f, total, flags & MSG_MORE);
		*ret = total;
		return true;
	}
	if (!f->rec || !f->rec->bytes || !coalesce)
		return false;
	*ret = send_behind(t, f, fd, msg, total, flags);
	return true;
}

/* Whether the send has been dealt with, with *@ret and errno as the call's. */
static bool send_stream(int fd, const struct msghdr *msg, int flags, ssize_t *ret)
{
	struct fd *f = stream_of(fd);
	struct table *t;
	bool taken = true;
	long r = 0;

	if (bypass())
		return false;
	if (!f) {
		before_wait(fd);
		return false;
	}
	if (passes(f, true))
		return false;
	t = stream_lock(f);
	r = -obstacle(t, f, fd);
	if (!r && !take(t, f, fd, msg, flags, &r)) {
		settle(t, f);
		r = -obstacle(t, f, fd);
		taken = r;
		cork_now(f, fd);
	}
	stream_unlock(t);
	if (!taken) {
		if (!(f->flags & F_NONBLOCK))
			flush_mine();
		return false;
	}
	*ret = r < 0 ? broken(-r, flags) : r;
	return true;
}

static bool send_one(int fd, const void *buf, size_t n, int flags, ssize_t *ret)
{
	struct iovec v = { .iov_base = (void *)buf, .iov_len = n };
	struct msghdr msg = { .msg_iov = &v, .msg_iovlen = 1 };

	return send_stream(fd, &msg, flags, ret);
}

EXPORT ssize_t send(int fd, const void *buf, size_t n, int flags)
{
	ssize_t ret;

	return send_one(fd, buf, n, flags, &ret) ? ret : REAL(send)(fd, buf, n, flags);
}

EXPORT ssize_t sendto(int fd, const void *buf, size_t n, int flags, const struct sockaddr *to, socklen_t len)
{
	struct iovec v = { .iov_base = (void *)buf, .iov_len = n };
	struct msghdr msg = { .msg_iov = &v, .msg_iovlen = 1, .msg_name = (void *)to };
	ssize_t ret;

	return send_stream(fd, &msg, flags, &ret) ? ret : REAL(sendto)(fd, buf, n, flags, to, len);
}

EXPORT ssize_t write(int fd, const void *buf, size_t n)
{
	ssize_t ret;

	return send_one(fd, buf, n, 0, &ret) ? ret : REAL(write)(fd, buf, n);
}

EXPORT ssize_t writev(int fd, const struct iovec *iov, int n)
{
	struct msghdr msg = { .msg_iov = (struct iovec *)iov, .msg_iovlen = n < 0 ? SIZE_MAX : (size_t)n };
	ssize_t ret;

	return send_stream(fd, &msg, 0, &ret) ? ret : REAL(writev)(fd, iov, n);
}

/* Descriptors that a message carries are in other hands from now on. */
static void passed_on(const struct msghdr *msg)
{
	struct cmsghdr *c;
	int fd;
	size_t i;

	for (c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR((struct msghdr *)msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (i = 0; CMSG_LEN((i + 1) * sizeof(fd)) <= c->cmsg_len; i++) {
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
			fd_shared(fd);
		}
	}
}

EXPORT ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
	ssize_t ret;

	if (!bypass() && msg && msg->msg_controllen)
		passed_on(msg);
	return msg && send_stream(fd, msg, flags, &ret) ? ret : REAL(sendmsg)(fd, msg, flags);
}

/* Before a send on it that is not recorded. False: it fails, with errno. */
bool straight(int fd)
{
	struct fd *f = stream_of(fd);
	struct table *t;
	int err;

	if (bypass())
		return true;
	if (!f) {
		before_wait(fd);
		return true;
	}
	t = stream_lock(f);
	settle(t, f);
	err = obstacle(t, f, fd);
	cork_now(f, fd);
	stream_unlock(t);
	if (err)
		broken(err, 0);
	return !err;
}

EXPORT int sendmmsg(int fd, struct mmsghdr *v, unsigned int n, int flags)
{
	unsigned int i;

	for (i = 0; i < n && !bypass(); i++)
		if (v[i].msg_hdr.msg_controllen)
			passed_on(&v[i].msg_hdr);
	return straight(fd) ? REAL(sendmmsg)(fd, v, n, flags) : -1;
}

EXPORT ssize_t splice(int in, off64_t *offin, int out, off64_t *offout, size_t n, unsigned int flags)
{
	if (!straight(out))
		return -1;
	if (!bypass() && thr.table && thr.table->nrecs)
		flush_mine();
	return REAL(splice)(in, offin, out, offout, n, flags);
}

/* A small piece of a file, read behind what is recorded. False: not so. */
static bool take_file(struct table *t, struct fd *f, int out, int in, off_t *off, size_t n, long *ret)
{
	char *at;

	if (!off || !n || n > SMALL_FILE || *off < 0 || !recordable(f))
		return false;
	at = room(t, f, out, n);
	if (!at)
		return false;
	*ret = raw(SYS_pread64, in, at, n, *off);
	t->stats.crossings++;
	if (*ret < 0)
		return false;
	if (!*ret)
		return true;
	append(t, f, *ret, false);
	t->stats.files++;
	*off += *ret;
	return true;
}

/*
 * The header first, which says that more comes, so that a cork that was noted is not
 * needed. Ahead of many segments it gains nothing, and a sender that paces them by what it has
 * measured goes slower without the small one. The file goes by the kernel, and without a lock, since that may
 * wait for a disk.
 */
static long ahead_of_file(struct table *t, struct fd *f, int out, size_t n, bool *joined)
{
	uint8_t cork = f->cork;
	long ret;

	*joined = f->rec && f->owner == t && f->rec->bytes && coalesce && (n <= JOINED_FILE || cork);
	if (*joined) {
		f->rec->more = true;
		f->rec->calls++;
		if (cork == 1)
			f->cork = 0;
	}
	settle(t, f);
	f->cork = cork;
	ret = -obstacle(t, f, out);
	if (!*joined || cork > 1 || ret)
		cork_now(f, out);
	else if (cork)
		f->cork = 2;
	if (t)
		t->stats.direct++;
	return ret;
}

/*
 * Not all of the file has come behind the header. What else is corked needs the cork;
 * without one, a header that nothing has followed must not wait for more.
 */
static void file_is_short(struct fd *f, int out, bool none)
{
	struct table *t = stream_lock(f);
	int cork = 0;

	if (f->cork)
		cork_now(f, out);
	else if (none)
		raw(SYS_setsockopt, out, IPPROTO_TCP, TCP_CORK, &cork, sizeof(cork));
	stream_unlock(t);
}

EXPORT ssize_t sendfile(int out, int in, off_t *off, size_t n)
{
	struct fd *f = stream_of(out);
	bool taken, joined = false;
	struct table *t;
	long ret;
	int err;

	if (bypass())
		return REAL(sendfile)(out, in, off, n);
	if (!f || !(f->flags & F_NONBLOCK)) {
		if (f && !straight(out))
			return -1;
		if (thr.table && thr.table->nrecs)
			flush_mine();
		return REAL(sendfile)(out, in, off, n);
	}
	if (passes(f, n <= JOINED_FILE))
		return REAL(sendfile)(out, in, off, n);
	t = stream_lock(f);
	ret = -obstacle(t, f, out);
	taken = ret || take_file(t, f, out, in, off, n, &ret);
	if (!taken)
		ret = ahead_of_file(t, f, out, n, &joined);
	stream_unlock(t);
	if (taken || ret)
		return ret < 0 ? broken(-ret, 0) : ret;
	ret = REAL(sendfile)(out, in, off, n);
	if (joined && ret < (ssize_t)n) {
		err = errno;
		file_is_short(f, out, ret <= 0);
		errno = err;
	}
	return ret;
}

EXPORT ssize_t sendfile64(int out, int in, off64_t *off, size_t n) __attribute__((alias("sendfile")));
EXPORT ssize_t __write(int fd, const void *buf, size_t n) __attribute__((alias("write")));
EXPORT ssize_t __send(int fd, const void *buf, size_t n, int flags) __attribute__((alias("send")));

EXPORT int vdprintf(int fd, const char *fmt, va_list ap)
{
	return straight(fd) ? REAL(vdprintf)(fd, fmt, ap) : -1;
}

EXPORT int dprintf(int fd, const char *fmt, ...)
{
	va_list ap;
	int ret;

	va_start(ap, fmt);
	ret = vdprintf(fd, fmt, ap);
	va_end(ap);
	return ret;
}

int __dprintf_chk(int fd, int flag, const char *fmt, ...);
int __vdprintf_chk(int fd, int flag, const char *fmt, va_list ap);

EXPORT int __vdprintf_chk(int fd, int flag, const char *fmt, va_list ap)
{
	(void)flag;
	return vdprintf(fd, fmt, ap);
}

EXPORT int __dprintf_chk(int fd, int flag, const char *fmt, ...)
{
	va_list ap;
	int ret;

	(void)flag;
	va_start(ap, fmt);
	ret = vdprintf(fd, fmt, ap);
	va_end(ap);
	return ret;
}
