/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* What the ABI's tests share: a context, a table, and checks that name a line. */
#ifndef CHECK_H
#define CHECK_H

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "esca.h"

/* Seconds after which a test hangs, on a machine that is emulated and busy. */
#define HANGS_AFTER 300

static int failures;

/* What was found is said although a test hangs, and its alarm ends it. */
__attribute__((constructor)) static void unbuffered(void)
{
	setvbuf(stdout, NULL, _IONBF, 0);
}

#define CHECK(cond, ...)							\
	do {									\
		if (!(cond)) {							\
			int saved_ = errno;					\
			printf("%s:%d: %s: ", __FILE__, __LINE__, #cond);	\
			printf(__VA_ARGS__);					\
			printf(" (errno %d)\n", saved_);			\
			failures++;						\
		}								\
	} while (0)

#define MUST(call)								\
	({									\
		long r_ = (call);						\
		if (r_ < 0) {							\
			printf("%s:%d: %s: %s\n", __FILE__, __LINE__, #call,	\
			       strerror(errno));				\
			exit(1);						\
		}								\
		r_;								\
	})

/* A context, mapped. */
struct table {
	int fd, epfd;
	struct esca_register reg;
	struct esca_ctl *ctl;
	struct esca_entry *entries;
	struct esca_event *events;
	__s32 *free;
	__u32 *interest;
	char *slots;
	struct epoll_event *ready;
};

static inline struct esca_register sizes(void)
{
	return (struct esca_register) { .abi = ESCA_ABI, .entries = 256, .events = 64,
		.slots = 16, .slot_size = 4096, .interest_len = 1024 };
}

static inline void *pages(size_t n)
{
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	return p;
}

static inline void table_open_with(struct table *t, struct esca_register reg)
{
	__u32 i;

	memset(t, 0, sizeof(*t));
	t->interest = pages(reg.interest_len * 4 + 4096);
	t->slots = pages((size_t)reg.slots * reg.slot_size);
	t->ready = pages(reg.events * sizeof(*t->ready));
	reg.interest = (uintptr_t)t->interest;
	reg.slot_base = (uintptr_t)t->slots;
	t->reg = reg;
	t->fd = MUST(open("/dev/esca", O_RDWR | O_CLOEXEC));
	MUST(ioctl(t->fd, ESCA_IOC_REGISTER, &t->reg));
	t->ctl = mmap(NULL, t->reg.map_size, PROT_READ | PROT_WRITE, MAP_SHARED, t->fd, 0);
	if (t->ctl == MAP_FAILED) {
		perror("mmap /dev/esca");
		exit(1);
	}
	t->entries = (void *)t->ctl + t->reg.entries_off;
	t->events = (void *)t->ctl + t->reg.events_off;
	t->free = (void *)t->ctl + t->reg.free_off;
	for (i = 0; i < reg.slots; i++)
		t->free[i] = reg.slots - 1 - i;
	t->ctl->nfree = reg.slots;
	t->epfd = MUST(epoll_create1(EPOLL_CLOEXEC));
}

static inline void table_open(struct table *t)
{
	table_open_with(t, sizes());
}

static inline void table_close(struct table *t)
{
	munmap(t->ctl, t->reg.map_size);
	munmap(t->interest, t->reg.interest_len * 4 + 4096);
	munmap(t->slots, (size_t)t->reg.slots * t->reg.slot_size);
	munmap(t->ready, t->reg.events * sizeof(*t->ready));
	close(t->epfd);
	close(t->fd);
}

#define UNWRITTEN 0x7ee7

static inline void entry(struct table *t, int i, unsigned int flags, unsigned int nr, __u64 a,
			 __u64 b, __u64 c, __u64 d, __u64 e, __u64 f)
{
	t->entries[i] = (struct esca_entry) { .nr = nr, .flags = flags, .ret = UNWRITTEN,
					      .args = { a, b, c, d, e, f } };
}

/* The wait, as entry i; a negative timeout is for ever. */
static inline void wait_entry(struct table *t, int i, struct timespec *timeout)
{
	entry(t, i, ESCA_WAIT, SYS_epoll_pwait2, t->epfd, (uintptr_t)t->ready,
	      t->reg.events, (uintptr_t)timeout, 0, 0);
}

static inline long batch(struct table *t, unsigned int first, unsigned int n)
{
	return ioctl(t->fd, ESCA_IOC_BATCH, ESCA_BATCH(first, n));
}

/* Has fd watched, and harvested as what says. */
static inline void watch(struct table *t, int fd, __u32 gen, __u32 what)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLRDHUP | EPOLLET,
				  .data.u64 = (__u64)gen << 32 | (__u32)fd };

	t->interest[fd] = gen << 2 | what;
	MUST(epoll_ctl(t->epfd, EPOLL_CTL_ADD, fd, &ev));
}

static inline void pair(int p[2])
{
	MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, p));
}

/*
 * Waits until n connections can be accepted from l: over TCP the last step of
 * the handshake may come after connect() has returned.
 */
static inline void queued(int l, unsigned int n)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	while (!getsockopt(l, IPPROTO_TCP, TCP_INFO, &info, &len) && info.tcpi_unacked != n)
		sched_yield();
}

/*
 * Waits until fd is ready to be read from, be it an epoll with something to report:
 * over TCP what a peer has done may still be under way when its call returns.
 */
static inline void arrives(int fd)
{
	MUST(poll(&(struct pollfd) { .fd = fd, .events = POLLIN }, 1, -1));
}

static inline int done(void)
{
	if (failures)
		printf("%d checks failed\n", failures);
	return failures ? 1 : 0;
}

#endif
