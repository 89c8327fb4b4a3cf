/*
 * The floor: what a request costs when a server does nothing but the system
 * calls. One thread, level-triggered epoll, one read and one write a wake-up,
 * a fixed answer (as many bytes as fasthttp's) for every empty line, which is
 * all the parsing there is.
 *
 *	epoll PORT
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER                                                                 \
	"HTTP/1.1 200 OK\r\n"                                                  \
	"Server: bareloop\r\n"                                                 \
	"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"                              \
	"Content-Type: text/plain; charset=utf-8\r\n"                          \
	"Content-Length: 13\r\n"                                               \
	"\r\n"                                                                 \
	"Hello, World!"
#define ANSWER_LEN (sizeof(ANSWER) - 1)
#define MAX_ANSWERS 256 /* to one read; a 16 KiB read holds no more requests */
#define MAX_FDS 20000

static char answers[MAX_ANSWERS * ANSWER_LEN];
static char buf[16384];

/* How much of "\r\n\r\n" the bytes so far end with, by descriptor. */
static unsigned char matched[MAX_FDS];

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static int count_requests(int fd, const char *p, size_t len)
{
	unsigned char m = matched[fd];
	int n = 0;

	for (const char *end = p + len; p < end; p++) {
		if (*p == ((m & 1) ? '\n' : '\r'))
			m++;
		else
			m = *p == '\r';
		if (m == 4) {
			m = 0;
			n++;
		}
	}
	matched[fd] = m;
	return n;
}

/* serve answers what is there; it returns -1 when the connection is done. */
static int serve(int fd)
{
	ssize_t len = read(fd, buf, sizeof(buf));
	size_t want;
	int n;

	if (len <= 0)
		return len < 0 && errno == EAGAIN ? 0 : -1;
	n = count_requests(fd, buf, len);
	if (n == 0)
		return 0;
	if (n > MAX_ANSWERS)
		return -1;
	want = n * ANSWER_LEN;
	/* A client that does not take its answers is dropped, not waited for:
	 * the load generators count that as an error. */
	return write(fd, answers, want) == (ssize_t)want ? 0 : -1;
}

static int listen_on(int port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(port) };
	int one = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("socket");
	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	/* Accepted sockets inherit it. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		die("bind");
	if (listen(fd, 4096) < 0)
		die("listen");
	return fd;
}

static void accept_all(int ep, int lfd)
{
	int fd;

	while ((fd = accept4(lfd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct epoll_event ev = { .events = EPOLLIN, .data.fd = fd };

		if (fd >= MAX_FDS || epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) < 0) {
			close(fd);
			continue;
		}
		matched[fd] = 0;
	}
}

int main(int argc, char **argv)
{
	struct rlimit rl;
	struct epoll_event evs[256], lev = { .events = EPOLLIN };
	int ep, lfd;

	if (argc != 2) {
		fprintf(stderr, "usage: epoll PORT\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
		rl.rlim_cur = rl.rlim_max;
		setrlimit(RLIMIT_NOFILE, &rl);
	}
	for (int i = 0; i < MAX_ANSWERS; i++)
		memcpy(answers + i * ANSWER_LEN, ANSWER, ANSWER_LEN);

	lfd = listen_on(atoi(argv[1]));
	ep = epoll_create1(EPOLL_CLOEXEC);
	if (ep < 0)
		die("epoll_create1");
	lev.data.fd = lfd;
	if (epoll_ctl(ep, EPOLL_CTL_ADD, lfd, &lev) < 0)
		die("epoll_ctl");

	for (;;) {
		int n = epoll_wait(ep, evs, 256, -1);

		if (n < 0 && errno != EINTR)
			die("epoll_wait");
		for (int i = 0; i < n; i++) {
			int fd = evs[i].data.fd;

			if (fd == lfd)
				accept_all(ep, lfd);
			else if (serve(fd) < 0)
				close(fd);
		}
	}
}
