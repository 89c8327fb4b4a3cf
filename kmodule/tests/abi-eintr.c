// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Calls that a signal interrupts: EINTR, never what is for the kernel alone to see. */
#include "check.h"

#include <sys/uio.h>

static volatile sig_atomic_t handled;
static int stop;
static pthread_t target;

static void handler(int sig)
{
	(void)sig;
	handled++;
}

static void handle(int sig, int flags)
{
	struct sigaction sa = { .sa_handler = handler, .sa_flags = flags };

	MUST(sigaction(sig, &sa, NULL));
}

static void *flood(void *unused)
{
	(void)unused;
	while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
		pthread_kill(target, SIGUSR1);
		sched_yield();
	}
	return NULL;
}

/* A signal that an entry itself brings about ends the batch right there. */
static void at_once(struct table *t)
{
	int p[2], i, was = handled;

	pair(p);
	close(p[1]);
	for (i = 0; i < 256; i++)
		entry(t, i, 0, SYS_getppid, 0, 0, 0, 0, 0, 0);
	entry(t, 77, 0, SYS_sendto, p[0], (uintptr_t)"x", 1, 0, 0, 0);
	entry(t, 78, 0, SYS_sendto, p[0], (uintptr_t)"x", 1, 0, 0, 0);
	CHECK(batch(t, 0, 256) == 78, "it goes on");
	CHECK(handled == was + 1 && t->entries[77].ret == -EPIPE, "%lld", t->entries[77].ret);
	CHECK(t->entries[78].ret == UNWRITTEN, "%lld", t->entries[78].ret);
	CHECK(batch(t, 78, 178) == 1 && handled == was + 2, "the next");
	CHECK(batch(t, 79, 177) == 177 && handled == was + 2, "the rest");
	for (i = 79; i < 256; i++)
		CHECK(t->entries[i].ret == getppid(), "%d: %lld", i, t->entries[i].ret);
	close(p[0]);
}

/* The call of entry 0 blocks until a signal comes: EINTR, and entry 1 is not run. */
#define INTERRUPTED(t, ...)							\
	do {									\
		long ran_;							\
		entry(t, 0, 0, __VA_ARGS__);					\
		entry(t, 1, 0, SYS_getppid, 0, 0, 0, 0, 0, 0);			\
		ran_ = batch(t, 0, 2);						\
		CHECK(ran_ == 1 && (t)->entries[0].ret == -EINTR, "ran %ld: %lld",	\
		      ran_, (t)->entries[0].ret);				\
		CHECK((t)->entries[1].ret == UNWRITTEN, "%lld", (t)->entries[1].ret);	\
	} while (0)

static void blocking(struct table *t)
{
	static char buf[65536];
	struct timeval tv = { .tv_sec = 50 };
	struct iovec iov = { buf, 8 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct timespec ts = { .tv_sec = 50 };
	int p[2], s[2], l = MUST(socket(AF_INET, SOCK_STREAM, 0));

	MUST(listen(l, 1));
	MUST(pipe(p));
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	INTERRUPTED(t, SYS_read, p[0], (uintptr_t)buf, 8, 0, 0, 0);
	INTERRUPTED(t, SYS_readv, p[0], (uintptr_t)&iov, 1, 0, 0, 0);
	INTERRUPTED(t, SYS_recvfrom, s[0], (uintptr_t)buf, 8, 0, 0, 0);
	INTERRUPTED(t, SYS_recvmsg, s[0], (uintptr_t)&m, 0, 0, 0, 0);
	INTERRUPTED(t, SYS_accept4, l, 0, 0, 0, 0, 0);
	INTERRUPTED(t, SYS_splice, p[0], 0, s[0], 0, 8, 0);
	INTERRUPTED(t, SYS_epoll_wait, t->epfd, (uintptr_t)t->ready, 1, -1ULL, 0, 0);
	INTERRUPTED(t, SYS_epoll_pwait2, t->epfd, (uintptr_t)t->ready, 1, (uintptr_t)&ts, 0, 0);
	MUST(setsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
	INTERRUPTED(t, SYS_recvfrom, s[0], (uintptr_t)buf, 8, 0, 0, 0);
	MUST(write(p[1], buf, 65536));
	INTERRUPTED(t, SYS_write, p[1], (uintptr_t)buf, 8, 0, 0, 0);
	wait_entry(t, 0, NULL);
	CHECK(batch(t, 0, 1) == 1 && t->entries[0].ret == -EINTR, "%lld", t->entries[0].ret);
}

/* A wait with a mask of its own, as an entry: the task's comes back. */
static void masks(struct table *t)
{
	unsigned long kernel_mask = 0;
	sigset_t set, now;
	int was = handled;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	pthread_kill(pthread_self(), SIGUSR2);
	entry(t, 0, 0, SYS_getppid, 0, 0, 0, 0, 0, 0);
	entry(t, 1, 0, SYS_epoll_pwait2, t->epfd, (uintptr_t)t->ready, 1, 0,
	      (uintptr_t)&kernel_mask, 8);
	entry(t, 2, 0, SYS_getppid, 0, 0, 0, 0, 0, 0);
	CHECK(batch(t, 0, 3) == 2 && t->entries[1].ret == -EINTR, "%lld", t->entries[1].ret);
	CHECK(handled == was + 1, "the handler was not run");
	pthread_sigmask(SIG_SETMASK, NULL, &now);
	CHECK(sigismember(&now, SIGUSR2), "the mask is lost");
}

int main(void)
{
	pthread_t thread;
	struct table t;

	alarm(HANGS_AFTER);
	target = pthread_self();
	handle(SIGUSR1, SA_RESTART);
	handle(SIGUSR2, 0);
	handle(SIGPIPE, 0);
	table_open(&t);
	masks(&t);
	at_once(&t);
	pthread_create(&thread, NULL, flood, NULL);
	blocking(&t);
	handle(SIGUSR1, 0);
	blocking(&t);
	__atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	return done();
}
