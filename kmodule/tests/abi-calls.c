// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Every number: those of the list work, all others are refused and do nothing. With
 * the argument "default" the module was loaded without calls=, with "some" with
 * writev and recvmsg, and otherwise with all.
 */
#include "check.h"

#include <sys/stat.h>
#include <sys/uio.h>

static const unsigned short allowed[] = {
	SYS_read, SYS_write, SYS_readv, SYS_writev, SYS_pread64, SYS_pwrite64, SYS_sendto,
	SYS_sendmsg, SYS_recvfrom, SYS_recvmsg, SYS_sendfile, SYS_splice, SYS_shutdown,
	SYS_close, SYS_accept4, SYS_epoll_ctl, SYS_epoll_wait, SYS_epoll_pwait2,
	SYS_setsockopt, SYS_getsockopt, SYS_openat, SYS_fstat, SYS_getppid,
	SYS_recvmmsg, SYS_sendmmsg,
};

/* By enum esca_call. */
static __u64 by_default = 1ULL << ESCA_SENDTO | 1ULL << ESCA_SENDMSG | 1ULL << ESCA_RECVFROM |
	1ULL << ESCA_SENDFILE | 1ULL << ESCA_SHUTDOWN | 1ULL << ESCA_CLOSE | 1ULL << ESCA_ACCEPT4 |
	1ULL << ESCA_EPOLL_CTL | 1ULL << ESCA_EPOLL_WAIT | 1ULL << ESCA_EPOLL_PWAIT2 |
	1ULL << ESCA_GETPPID | 1ULL << ESCA_RECVMMSG | 1ULL << ESCA_SENDMMSG;

static __u64 open_calls = (1ULL << ESCA_CALLS) - 1;

static int is_allowed(unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < sizeof(allowed) / sizeof(*allowed); i++)
		if (allowed[i] == nr)
			return open_calls >> i & 1;
	return 0;
}

static int descriptors(void)
{
	int fd, n = 0;

	for (fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* Every number with these arguments; then what they could have done was not done. */
static void all_refused(struct table *t, __u64 a, __u64 b, __u64 c, __u64 d, __u64 e, __u64 f)
{
	static const unsigned int huge[] = { 601, 0xffff, 0x10000, 0x40000000, 0x40000001,
		0x400000c9, 0x7fffffff, 0x80000000, 0x80000000 | SYS_read, 0xfffffffe };
	unsigned int nr, i, n, next = 0;

	while (next < 601 + 10) {
		for (n = 0; n < t->reg.entries && next < 601 + 10; next++) {
			nr = next <= 600 ? next : huge[next - 601];
			if (!is_allowed(nr))
				entry(t, n++, 0, nr, a, b, c, d, e, f);
		}
		CHECK(batch(t, 0, n) == n, "all are run");
		for (i = 0; i < n; i++)
			CHECK(t->entries[i].ret == -EPERM, "call %u: %lld",
			      t->entries[i].nr, t->entries[i].ret);
	}
}

static void no_effect(struct table *t)
{
	char cwd[64], *page = pages(4096);
	int pid = getpid(), fds = descriptors();
	struct stat st;

	page[0] = 1;
	MUST(chdir("/tmp"));
	all_refused(t, 0, 0, 0, 0, 0, 0);		/* fork, exit, pause, exit_group */
	all_refused(t, SIGCHLD, 0, 0, 0, 0, 0);		/* clone */
	all_refused(t, pid, SIGKILL, 0, 0, 0, 0);	/* kill, tkill */
	all_refused(t, pid, pid, SIGKILL, 0, 0, 0);	/* tgkill */
	all_refused(t, 1000, 1000, 1000, 0, 0, 0);	/* setresuid, exit(1000) */
	all_refused(t, (uintptr_t)page, 4096, 0, 0, 0, 0);	/* munmap, mprotect */
	all_refused(t, (uintptr_t)"/", (uintptr_t)"/tmp/x", 0, 0, 0, 0);	/* chdir, link */
	all_refused(t, (uintptr_t)"/tmp/esca-none", 0755, 0, 0, 0, 0);	/* mkdir, creat */
	all_refused(t, (uintptr_t)"/tests/abi-calls", 0, 0, 0, 0, 0);	/* execve */
	all_refused(t, AF_UNIX, SOCK_STREAM, 0, (uintptr_t)page, 0, 0);	/* socketpair */
	all_refused(t, 8, (uintptr_t)page, 0, 0, 0, 0);	/* io_uring_setup */
	all_refused(t, t->fd, ESCA_IOC_BATCH, ESCA_BATCH(0, 1), 0, 0, 0);	/* ioctl */
	all_refused(t, 0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD, "there is a child");
	CHECK(descriptors() == fds, "%d descriptors, were %d", descriptors(), fds);
	CHECK(getpid() == pid && getuid() == 0 && getgid() == 0, "who it is");
	CHECK(getcwd(cwd, sizeof(cwd)) && !strcmp(cwd, "/tmp"), "where it is");
	CHECK(stat("/tmp/esca-none", &st) < 0 && stat("/tmp/x", &st) < 0, "files");
	page[0]++;
	CHECK(page[0] == 2, "%d", page[0]);
}

static long one(struct table *t)
{
	CHECK(batch(t, 0, 1) == 1, "it is run");
	return t->entries[0].ret;
}

#define GIVES(want, ...)							\
	do {									\
		entry(t, 0, 0, __VA_ARGS__);					\
		long r__ = one(t);						\
		CHECK(r__ == (want), "%ld", r__);				\
	} while (0)

static void files(struct table *t)
{
	static char buf[16];
	struct iovec iov = { buf, 3 };
	struct stat st;
	int fd, p[2];
	loff_t off = 1;

	entry(t, 0, 0, SYS_openat, AT_FDCWD, (uintptr_t)"/tmp/esca-calls",
	      O_RDWR | O_CREAT | O_TRUNC, 0600, 0, 0);
	fd = one(t);
	CHECK(fd > 2, "openat: %d", fd);
	GIVES(6, SYS_write, fd, (uintptr_t)"abcdef", 6, 0, 0, 0);
	GIVES(2, SYS_pwrite64, fd, (uintptr_t)"XY", 2, 2, 0, 0);
	GIVES(4, SYS_pread64, fd, (uintptr_t)buf, 4, 1, 0, 0);
	CHECK(!memcmp(buf, "bXYe", 4), "%.4s", buf);
	GIVES(0, SYS_fstat, fd, (uintptr_t)&st, 0, 0, 0, 0);
	CHECK(st.st_size == 6, "%ld", (long)st.st_size);
	GIVES(0, SYS_read, fd, (uintptr_t)buf, 16, 0, 0, 0);
	lseek(fd, 0, SEEK_SET);
	GIVES(3, SYS_readv, fd, (uintptr_t)&iov, 1, 0, 0, 0);
	CHECK(!memcmp(buf, "abX", 3), "%.3s", buf);
	GIVES(3, SYS_writev, fd, (uintptr_t)&iov, 1, 0, 0, 0);
	pair(p);
	GIVES(5, SYS_sendfile, p[0], fd, (uintptr_t)&off, 100, 0, 0);
	CHECK(off == 6 && recv(p[1], buf, 16, 0) == 5 && !memcmp(buf, "bXabX", 5), "%.5s", buf);
	close(p[0]);
	close(p[1]);
	MUST(pipe(p));
	off = 0;
	GIVES(6, SYS_splice, fd, (uintptr_t)&off, p[1], 0, 6, 0);
	GIVES(6, SYS_read, p[0], (uintptr_t)buf, 6, 0, 0, 0);
	CHECK(!memcmp(buf, "abXabX", 6), "%.6s", buf);
	GIVES(0, SYS_close, fd, 0, 0, 0, 0, 0);
	CHECK(fcntl(fd, F_GETFD) < 0, "it is open");
	close(p[0]);
	close(p[1]);
}

static void sockets(struct table *t)
{
	static char buf[16];
	struct iovec iov = { buf, sizeof(buf) };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = 7 };
	struct timespec none = { 0 };
	int p[2], v = 0, l, fd;
	socklen_t len = sizeof(v);

	pair(p);
	GIVES(3, SYS_sendto, p[0], (uintptr_t)"abc", 3, 0, 0, 0);
	GIVES(0, SYS_epoll_ctl, t->epfd, EPOLL_CTL_ADD, p[1], (uintptr_t)&ev, 0, 0);
	ev.data.u64 = 0;
	GIVES(1, SYS_epoll_wait, t->epfd, (uintptr_t)&ev, 1, 0, 0, 0);
	CHECK(ev.data.u64 == 7, "%lu", (long)ev.data.u64);
	ev.data.u64 = 0;
	GIVES(1, SYS_epoll_pwait2, t->epfd, (uintptr_t)&ev, 1, (uintptr_t)&none, 0, 0);
	CHECK(ev.data.u64 == 7, "%lu", (long)ev.data.u64);
	GIVES(3, SYS_recvfrom, p[1], (uintptr_t)buf, 16, 0, 0, 0);
	iov.iov_len = 2;
	GIVES(2, SYS_sendmsg, p[1], (uintptr_t)&m, 0, 0, 0, 0);
	iov.iov_len = 16;
	GIVES(2, SYS_recvmsg, p[0], (uintptr_t)&m, 0, 0, 0, 0);
	GIVES(0, SYS_getsockopt, p[0], SOL_SOCKET, SO_TYPE, (uintptr_t)&v, (uintptr_t)&len, 0);
	CHECK(v == SOCK_STREAM, "%d", v);
	GIVES(0, SYS_setsockopt, p[0], SOL_SOCKET, SO_KEEPALIVE, (uintptr_t)&v, 4, 0);
	MUST(getsockopt(p[0], SOL_SOCKET, SO_KEEPALIVE, &v, &len));
	CHECK(v == 1, "%d", v);
	GIVES(0, SYS_shutdown, p[0], SHUT_WR, 0, 0, 0, 0);
	CHECK(recv(p[1], buf, 16, 0) == 0, "not shut down");
	close(p[0]);
	close(p[1]);
	l = MUST(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
	MUST(listen(l, 8));
	GIVES(-EAGAIN, SYS_accept4, l, 0, 0, 0, 0, 0);
	struct sockaddr_storage addr;
	socklen_t alen = sizeof(addr);

	MUST(getsockname(l, (void *)&addr, &alen));
	fd = MUST(socket(AF_INET, SOCK_STREAM, 0));
	MUST(connect(fd, (void *)&addr, alen));
	queued(l, 1);
	entry(t, 0, 0, SYS_accept4, l, 0, 0, SOCK_CLOEXEC, 0, 0);
	CHECK((p[0] = one(t)) > 2 && fcntl(p[0], F_GETFD) == FD_CLOEXEC, "accept4: %d", p[0]);
	GIVES(getppid(), SYS_getppid, 0, 0, 0, 0, 0, 0);
}

int main(int argc, char **argv)
{
	struct table t;

	alarm(HANGS_AFTER);
	if (argc > 1)
		open_calls = by_default;
	if (argc > 1 && !strcmp(argv[1], "some"))
		open_calls |= 1ULL << ESCA_WRITEV | 1ULL << ESCA_RECVMSG;
	table_open(&t);
	CHECK(sizeof(allowed) / sizeof(*allowed) == ESCA_CALLS, "the list");
	CHECK(t.reg.features == open_calls, "%llx", t.reg.features);
	no_effect(&t);
	if (argc == 1) {
		files(&t);
		sockets(&t);
	}
	table_close(&t);
	return done();
}
