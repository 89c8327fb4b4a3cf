/* SPDX-License-Identifier: GPL-2.0 OR MIT */
#ifndef TRAPS_H
#define TRAPS_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SEND 65536
#define POOL ((void *)1)

enum what { BYTES, FILE_, CORK, UNCORK, SHUT, CLOSE };

struct item {
	struct item *next;
	enum what what;
	size_t len, off;
};

/* Never freed, so that an event of a dead one is noticed. */
struct conn {
	struct conn *next;
	int fd;
	bool dead, out, full, lent, now;
	size_t pos;		/* of the bytes that it has been sent */
	size_t nin;
	char in[4096];
	struct item *head, **tail;
};

extern int ep, file;
extern bool edges, forks;

void die(const char *what) __attribute__((noreturn));
void pump(struct conn *c);

/* traps_settle.c: "A\n" is sent, then comes what must not overtake it */
void settle_by(struct conn *c, const char *how);
void begin_helper(void);
long unseen(long nr, long a, long b, long c);

/* traps_pool.c: threads and signals */
void begin_pool(void);
void begin_opener(void);
void begin_chat(struct conn *c, size_t n);
void lend(struct conn *c, size_t n);
void pool_done(void);
void alarms(struct conn *c, size_t us);
void tick(void);
void lost(struct conn *c, struct conn *all, size_t rounds);

#endif
