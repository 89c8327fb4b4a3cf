// SPDX-License-Identifier: GPL-2.0 OR MIT
/* When a wait sleeps, when it only looks, and what wakes it. */
#include "check.h"

#include <sys/eventfd.h>

static struct timespec short_time = { .tv_nsec = 30000000 };

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/*
 * Runs n entries and a wait for ever, with nothing that could end it: it must
 * only look. Otherwise the alarm ends the test.
 */
static void only_looks(struct table *t, int n, const char *why)
{
	printf("a wait behind %s\n", why);
	wait_entry(t, n, NULL);
	CHECK(batch(t, 0, n + 1) == n + 1, "%s", why);
	CHECK(t->entries[n].ret == 0 && t->ctl->ready == 0, "%s: %lld", why, t->entries[n].ret);
}

static void looks(struct table *t)
{
	char buf[8];
	int p[2];

	pair(p);
	entry(t, 0, 0, SYS_recvfrom, p[1], (uintptr_t)buf, 8, MSG_DONTWAIT, 0, 0);
	only_looks(t, 1, "EAGAIN");
	entry(t, 0, 0, SYS_close, -1, 0, 0, 0, 0, 0);
	entry(t, 1, 0, SYS_getppid, 0, 0, 0, 0, 0, 0);
	only_looks(t, 2, "EBADF, and one that worked");
	MUST(send(p[0], "abc", 3, 0));
	entry(t, 0, 0, SYS_recvfrom, p[1], (uintptr_t)buf, 8, MSG_DONTWAIT, 0, 0);
	only_looks(t, 1, "a short transfer");
	entry(t, 0, ESCA_ATTEND, SYS_getppid, 0, 0, 0, 0, 0, 0);
	entry(t, 1, 0, SYS_getppid, 0, 0, 0, 0, 0, 0);
	only_looks(t, 2, "ATTEND");
	entry(t, 0, ESCA_ATTEND, ESCA_NOP, 0, 0, 0, 0, 0, 0);
	only_looks(t, 1, "a NOP with ATTEND");
	entry(t, 0, 0, SYS_fork, 0, 0, 0, 0, 0, 0);
	only_looks(t, 1, "EPERM");
	entry(t, 0, ESCA_LINK, SYS_close, -1, 0, 0, 0, 0, 0);
	entry(t, 1, ESCA_LINK, SYS_getppid, 0, 0, 0, 0, 0, 0);
	only_looks(t, 2, "a chain that reaches it");
	CHECK(t->entries[1].ret == -ECANCELED, "%lld", t->entries[1].ret);
	wait_entry(t, 0, NULL);
	entry(t, 1, 0, SYS_getppid, 0, 0, 0, 0, 0, 0);
	only_looks(t, 2, "a wait that is not last");
	/* And what there is to see, it sees. */
	watch(t, p[1], 1, ESCA_HARVEST_RECV);
	MUST(send(p[0], "abc", 3, 0));
	entry(t, 0, ESCA_LINK, SYS_close, -1, 0, 0, 0, 0, 0);
	wait_entry(t, 1, NULL);
	CHECK(batch(t, 0, 2) == 2 && t->entries[1].ret == 1, "%lld", t->entries[1].ret);
	CHECK(t->events[0].n == 3 && t->ctl->ready == 1 && t->ctl->recvs == 1, "the event");
	t->ctl->nfree++;
	close(p[0]);
	close(p[1]);
}

/* Runs n entries and a wait for a short time: it must be slept away. */
static void sleeps(struct table *t, int n, const char *why)
{
	double began = now(), took;

	printf("a short wait behind %s\n", why);
	wait_entry(t, n, &short_time);
	CHECK(batch(t, 0, n + 1) == n + 1, "%s", why);
	took = now() - began;
	CHECK(t->entries[n].ret == 0 && took >= 0.03, "%s: %f s", why, took);
}

static void times_out(struct table *t)
{
	struct iovec { void *base; size_t len; } iov = { "xyz", 3 };
	char buf[8];
	int p[2];

	pair(p);
	sleeps(t, 0, "nothing");
	entry(t, 0, ESCA_ATTEND, SYS_close, -1, 0, 0, 0, 0, 0);
	CHECK(batch(t, 0, 1) == 1, "a batch of its own");
	entry(t, 0, 0, SYS_sendto, p[0], (uintptr_t)"abc", 3, 0, 0, 0);
	entry(t, 1, 0, SYS_recvfrom, p[1], (uintptr_t)buf, 3, 0, 0, 0);
	entry(t, 2, ESCA_LINK, SYS_writev, p[0], (uintptr_t)&iov, 1, 0, 0, 0);
	entry(t, 3, ESCA_LINK, SYS_writev, p[0], (uintptr_t)&iov, 1, 0, 0, 3);
	entry(t, 4, 0, ESCA_NOP, 0, 0, 0, 0, 0, 0);
	sleeps(t, 5, "what has worked, in a batch behind one that has not");
	close(p[0]);
	close(p[1]);
}

static int waker;

static void *wake(void *unused)
{
	__u64 one = 1;

	(void)unused;
	MUST(write(waker, &one, 8));
	return NULL;
}

static void woken(struct table *t)
{
	pthread_t thread;
	int i;

	waker = MUST(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
	watch(t, waker, 2, ESCA_HARVEST_NOTHING);
	for (i = 0; i < 50; i++) {
		__u64 n = 0;

		wait_entry(t, 0, NULL);
		pthread_create(&thread, NULL, wake, NULL);
		CHECK(batch(t, 0, 1) == 1 && t->entries[0].ret == 1, "%lld", t->entries[0].ret);
		CHECK(t->events[0].fd == waker && t->events[0].mask == EPOLLIN, "it is the waker");
		CHECK(t->events[0].slot == -1 && t->events[0].gen == 2, "bare");
		CHECK(read(waker, &n, 8) == 8 && n == 1, "%lu", (long)n);
		pthread_join(thread, NULL);
	}
}

/* The peer of a socket: when that ends, wakes the wait. */
static void *peer(void *arg)
{
	char c;

	if (recv(*(int *)arg, &c, 1, 0) == 0)
		wake(NULL);
	return NULL;
}

/* What a batch closes is closed before it sleeps, or its peers would wait as well. */
static void closed_before(struct table *t)
{
	pthread_t thread;
	int i, p[2];

	for (i = 0; i < 20; i++) {
		__u64 n;

		MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, p));
		pthread_create(&thread, NULL, peer, &p[0]);
		entry(t, 0, 0, SYS_close, p[1], 0, 0, 0, 0, 0);
		wait_entry(t, 1, NULL);
		CHECK(batch(t, 0, 2) == 2 && t->entries[1].ret == 1, "%lld", t->entries[1].ret);
		CHECK(t->events[0].fd == waker, "fd %d", t->events[0].fd);
		CHECK(read(waker, &n, 8) == 8, "not woken");
		pthread_join(thread, NULL);
		close(p[0]);
	}
	close(waker);
}

/* A descriptor that a batch has closed is not reported by its wait, be it only a look. */
static void closed_not_reported(struct table *t, int attend)
{
	int p[2];

	pair(p);
	watch(t, p[1], 1, ESCA_HARVEST_RECV);
	MUST(send(p[0], "abc", 3, 0));
	entry(t, 0, attend ? ESCA_ATTEND : 0, SYS_close, p[1], 0, 0, 0, 0, 0);
	wait_entry(t, 1, &short_time);
	CHECK(batch(t, 0, 2) == 2 && t->entries[0].ret == 0, "%lld", t->entries[0].ret);
	CHECK(t->entries[1].ret == 0, "attend %d: fd %d, err %d", attend, t->events[0].fd,
	      t->events[0].err);
	close(p[0]);
}

int main(void)
{
	struct table t;

	alarm(HANGS_AFTER);
	table_open(&t);
	looks(&t);
	times_out(&t);
	closed_not_reported(&t, 0);
	closed_not_reported(&t, 1);
	woken(&t);
	closed_before(&t);
	table_close(&t);
	return done();
}
