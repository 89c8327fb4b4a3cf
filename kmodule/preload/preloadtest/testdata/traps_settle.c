// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * "A\n" is sent, and recorded. Behind it comes a call that must not overtake it, or before
 * which it has to leave: then somebody waits for the client's answer to it whom the library
 * does not see.
 */
#include "traps.h"

#include <linux/sockios.h>
#include <semaphore.h>

#ifndef TCP_ULP
#define TCP_ULP 31
#endif

long unseen(long nr, long a, long b, long c)
{
	long ret;

	__asm__ volatile("syscall" : "=a"(ret) : "a"(nr), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
	return ret;
}

/* Waits for the client, who answers when it has "A\n". */
static void answered(int fd, const char *how)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char got;

	if (unseen(SYS_poll, (long)&p, 1, 20000) != 1 || unseen(SYS_read, fd, (long)&got, 1) != 1) {
		fprintf(stderr, "traps: what is recorded does not leave before %s\n", how);
		_exit(3);
	}
}

static void second(int fd)
{
	if (write(fd, "B\n", 2) != 2)
		die("B");
}

static void say_b(int fd, pid_t pid)
{
	char *argv[] = { "sh", "-c", "echo B", NULL };

	if (pid)
		return;
	dup2(fd, 1);
	execv("/bin/sh", argv);
	_exit(1);
}

static int helper = -1;

/* A process that gets sockets by message and writes into them. */
void begin_helper(void)
{
	char byte, room[CMSG_SPACE(sizeof(int))];
	struct iovec v = { &byte, 1 };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = room };
	int pair[2], fd;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		die("socketpair");
	if (!fork()) {
		close(pair[0]);
		for (;;) {
			m.msg_controllen = sizeof(room);
			if (recvmsg(pair[1], &m, 0) != 1)
				_exit(0);
			memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(fd));
			second(fd);
			close(fd);
		}
	}
	close(pair[1]);
	helper = pair[0];
	fcntl(helper, F_SETFL, O_NONBLOCK);
}

static void pass(int fd, bool many)
{
	char byte = 0, room[CMSG_SPACE(sizeof(int))] = {};
	struct iovec v = { &byte, 1 };
	struct mmsghdr m = { .msg_hdr = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room) } };
	struct cmsghdr *h = CMSG_FIRSTHDR(&m.msg_hdr);

	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(h), &fd, sizeof(fd));
	if (many ? sendmmsg(helper, &m, 1, 0) != 1 : sendmsg(helper, &m.msg_hdr, 0) != 1)
		die("SCM_RIGHTS");
	answered(fd, "SCM_RIGHTS");
}

/* Those that write "B\n" by themselves. */
static bool writes(struct conn *c, const char *how)
{
	struct iovec v = { "B\n", 2 };
	struct mmsghdr m = { .msg_hdr = { .msg_iov = &v, .msg_iovlen = 1 } };
	FILE *f;
	int p[2];

	if (!strcmp(how, "dup")) {
		p[0] = dup(c->fd);
		second(p[0]);
		close(p[0]);
	} else if (!strcmp(how, "dupfd")) {
		p[0] = fcntl(c->fd, F_DUPFD_CLOEXEC, 500);
		second(p[0]);
		close(p[0]);
	} else if (!strcmp(how, "fdopen")) {
		f = fdopen(dup(c->fd), "w");
		fputs("B\n", f);
		fclose(f);
	} else if (!strcmp(how, "dprintf")) {
		dprintf(c->fd, "%c\n", 'B');
	} else if (!strcmp(how, "sendmmsg")) {
		sendmmsg(c->fd, &m, 1, 0);
	} else if (!strcmp(how, "splice")) {
		if (pipe(p) || write(p[1], "B\n", 2) != 2 || splice(p[0], NULL, c->fd, NULL, 2, 0) != 2)
			die("splice");
		close(p[0]);
		close(p[1]);
	} else if (!strcmp(how, "syscall")) {
		syscall(SYS_write, c->fd, "B\n", 2);
	} else if (!strcmp(how, "fork-exec")) {
		say_b(c->fd, fork());
	} else if (!strcmp(how, "vfork-exec")) {
		say_b(c->fd, vfork());
	} else if (!strcmp(how, "rights")) {
		pass(c->fd, false);
	} else if (!strcmp(how, "rights-mmsg")) {
		pass(c->fd, true);
	} else {
		return false;
	}
	return true;
}

static bool waits(struct conn *c, const char *how)
{
	static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
	struct timespec past = { 1, 0 }, soon = { 0, 1000 };
	struct timeval tv = { 0, 1000 };
	char *argv[] = { "true", NULL };
	socklen_t len = sizeof(int);
	int n = 1;
	pid_t pid;
	sem_t sem;

	if (!strcmp(how, "siocoutq"))
		return !ioctl(c->fd, SIOCOUTQ, &n);
	if (!strcmp(how, "nodelay"))
		return !setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &n, sizeof(n));
	if (!strcmp(how, "ulp"))	/* it fails where the kernel has no TLS, or it is not wanted */
		return setsockopt(c->fd, IPPROTO_TCP, TCP_ULP, "tls", 3) <= 0;
	if (!strcmp(how, "soerror"))
		return !getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &n, &len);
	if (!strcmp(how, "cork")) {	/* which is read as it was set */
		if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &n, &len))
			return false;
		n = 1;	/* with nothing recorded any more */
		return !setsockopt(c->fd, IPPROTO_TCP, TCP_CORK, &n, len) && !getsockopt(c->fd, IPPROTO_TCP, TCP_CORK, &n, &len) &&
		       n-- == 1 && !setsockopt(c->fd, IPPROTO_TCP, TCP_CORK, &n, len);
	}
	if (!strcmp(how, "blocking"))
		return !fcntl(c->fd, F_SETFL, 0) && !fcntl(c->fd, F_SETFL, O_NONBLOCK);
	if (!strcmp(how, "poll"))
		return !poll(NULL, 0, 1);
	if (!strcmp(how, "select"))
		return !select(0, NULL, NULL, NULL, &tv);
	if (!strcmp(how, "nanosleep"))
		return !nanosleep(&soon, NULL);
	if (!strcmp(how, "condition")) {
		pthread_mutex_lock(&mutex);
		n = pthread_cond_timedwait(&cond, &mutex, &past);
		pthread_mutex_unlock(&mutex);
		return n == ETIMEDOUT;
	}
	if (!strcmp(how, "semaphore"))
		return !sem_init(&sem, 0, 0) && sem_timedwait(&sem, &past);
	if (!strcmp(how, "fork")) {
		pid = fork();
		if (!pid)
			_exit(0);
		return pid > 0;
	}
	if (!strcmp(how, "vfork")) {
		pid = vfork();
		if (!pid)
			_exit(0);
		return pid > 0;
	}
	if (!strcmp(how, "spawn"))
		return !posix_spawn(&pid, "/bin/true", NULL, NULL, argv, NULL);
	if (!strcmp(how, "system"))
		return system("true") <= 0;	/* SIGCHLD is ignored */
	if (!strcmp(how, "number"))
		return syscall(SYS_getppid) > 0;
	if (!strcmp(how, "close_range"))
		return !close_range(900, 901, 0);
	if (!strcmp(how, "exec")) {
		execv("/nonexistent", argv);
		return true;
	}
	return false;
}

/* Behind the end of sending options can be set, and nobody is told of a broken pipe. */
static void options(struct conn *c)
{
	int n = 1;

	if (shutdown(c->fd, SHUT_WR) || setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &n, sizeof(n)) || ioctl(c->fd, SIOCOUTQ, &n))
		die("options");
}

void settle_by(struct conn *c, const char *how)
{
	if (!strcmp(how, "options")) {
		options(c);
		return;
	}
	if (send(c->fd, "A\n", 2, MSG_NOSIGNAL) != 2)
		die("A");
	if (writes(c, how))
		return;
	if (!waits(c, how))
		die(how);
	answered(c->fd, how);
	second(c->fd);
}
