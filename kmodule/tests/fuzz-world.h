/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* What the fuzzer's entries are about: descriptors and memory. */
#ifndef FUZZ_WORLD_H
#define FUZZ_WORLD_H

#include "check.h"

#include <netinet/in.h>
#include <sys/eventfd.h>
#include <sys/uio.h>

/*
 * Entries get descriptors from FIRST_FD to LAST_FD, and some that there are not.
 * Lower ones are the fuzzer's own, and all taken; higher ones are what entries
 * have made, and closed from time to time.
 */
#define FIRST_FD	100
#define LAST_FD		163
#define SCRATCH_SIZE	(1 << 20)

static char *scratch, *read_only, *unmapped_page;
static struct timespec *times;		/* these are in read-only memory */
static struct iovec *iovs;
static struct msghdr *msgs;
static struct mmsghdr *mmsgs;

static unsigned int rnd(unsigned long *s)
{
	*s = *s * 6364136223846793005UL + 1442695040888963407UL;
	return *s >> 33;
}

/* Puts fd where entries find it. */
static void place(int fd, unsigned int r)
{
	if (fd < 0)
		return;
	dup2(fd, FIRST_FD + r % (LAST_FD - FIRST_FD + 1));
	close(fd);
}

static void tcp(int p[2])
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int l = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	p[0] = p[1] = -1;
	if (!bind(l, (void *)&a, len) && !listen(l, 4) && !getsockname(l, (void *)&a, &len)) {
		p[0] = socket(AF_INET, SOCK_STREAM, 0);
		if (!connect(p[0], (void *)&a, len) && *scratch & 1)
			p[1] = accept4(l, NULL, NULL, SOCK_NONBLOCK);
	}
	if (p[1] < 0)
		p[1] = l;	/* with a connection waiting */
	else
		close(l);
}

/* Two that are connected with each other. */
static void udp(int p[2])
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int i;

	for (i = 0; i < 2; i++) {
		p[i] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
		if (bind(p[i], (void *)&a, len) || getsockname(p[i], (void *)&a, &len))
			return;
		a.sin_port = 0;
	}
	for (i = 0; i < 2; i++)
		if (getsockname(p[i], (void *)&a, &len) || connect(p[1 - i], (void *)&a, len))
			return;
}

/* Makes something new for entries to use, in place of something old. */
static void refill(const struct table *t, unsigned long *s)
{
	int p[2] = { -1, -1 };

	switch (rnd(s) % 11) {
	case 0: socketpair(AF_UNIX, SOCK_STREAM, 0, p); break;
	case 1: socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p); break;
	case 2: socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, p); break;
	case 3: p[0] = pipe(p) ? -1 : p[0]; break;
	case 4: tcp(p); break;
	case 5: p[0] = open("/tmp/esca-fuzz", O_RDWR | O_CREAT, 0600); break;
	case 6: p[0] = epoll_create1(0); break;
	case 7: p[0] = eventfd(rnd(s) & 1, rnd(s) & 1 ? EFD_NONBLOCK : 0); break;
	case 8: p[0] = open("/dev/esca", O_RDWR); break;
	case 10: udp(p); break;
	case 9: p[0] = dup(rnd(s) & 1 ? t->fd : t->epfd); break;
	}
	place(p[0], rnd(s));
	place(p[1], rnd(s));
}

static inline void memory_for_fuzzing(void)
{
	int i;

	scratch = pages(SCRATCH_SIZE);
	read_only = pages(4096);
	unmapped_page = pages(4096);
	munmap(unmapped_page, 4096);
	times = (void *)read_only;
	times[1].tv_nsec = 1000000;
	times[2].tv_nsec = -1;
	times[3].tv_sec = 1000;
	iovs = (void *)read_only + 256;
	for (i = 0; i < 16; i++)
		iovs[i] = (struct iovec) { i & 4 ? unmapped_page : scratch + i * 512, i * 17 };
	msgs = (void *)read_only + 1024;
	for (i = 0; i < 8; i++)
		msgs[i] = (struct msghdr) { .msg_iov = iovs + i, .msg_iovlen = i };
	mmsgs = (void *)scratch + SCRATCH_SIZE / 2;	/* their lengths are written */
	for (i = 0; i < 8; i++)
		mmsgs[i].msg_hdr = msgs[i];
	mprotect(read_only, 4096, PROT_READ);
	strcpy(scratch + SCRATCH_SIZE - 64, "/tmp/esca-fuzz");
	strcpy(scratch + SCRATCH_SIZE - 128, "/dev/esca");
}

static inline __u64 some_fd(const struct table *t, unsigned long *s)
{
	switch (rnd(s) % 16) {
	case 0: return -1ULL;
	case 1: return 30000;
	case 2: return (__u64)rnd(s) << 32 | FIRST_FD;
	case 3: return t->epfd;
	}
	return FIRST_FD + rnd(s) % (LAST_FD - FIRST_FD + 1);
}

/* An address; dirty ones may also be in what is shared with the module. */
static inline __u64 some_address(const struct table *t, unsigned long *s, int dirty)
{
	switch (rnd(s) % 16) {
	case 0: return 0;
	case 1: return (uintptr_t)unmapped_page;
	case 2: return (uintptr_t)read_only + rnd(s) % 4096;
	case 3: return 0xffff888000000000 | rnd(s);
	case 4: return (uintptr_t)(iovs + rnd(s) % 16);
	case 5: return (uintptr_t)(msgs + rnd(s) % 8);
	case 6: return (uintptr_t)(times + rnd(s) % 4);
	case 10: return (uintptr_t)(mmsgs + rnd(s) % 8);
	case 7: return (uintptr_t)scratch + SCRATCH_SIZE - 64 * (1 + rnd(s) % 2);
	case 8:
	case 9:
		if (dirty)
			return (uintptr_t)t->events + rnd(s) % 2048;
	}
	return (uintptr_t)scratch + rnd(s) % (SCRATCH_SIZE / 4);
}

#endif
