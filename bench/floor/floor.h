/*
 * What the floors share: the fixed answer (as many bytes as fasthttp's), which
 * they give to every empty line, all the parsing there is; and the listener.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
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
#define MAX_ANSWERS 256 /* to one read; no more requests are pipelined */
#define MAX_FDS 20000

static char answers[MAX_ANSWERS * ANSWER_LEN];

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

/* listen_on listens on HOST:PORT, HOST in numbers, or on unix:PATH. */
static int listen_on(char *addr)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	char *colon = strchr(addr, ':');
	int one = 1, fd;

	if (!colon) {
		fprintf(stderr, "%s: neither HOST:PORT nor unix:PATH\n", addr);
		exit(2);
	}
	if (strncmp(addr, "unix:", 5) == 0) {
		strncpy(un.sun_path, colon + 1, sizeof(un.sun_path) - 1);
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (fd < 0 || bind(fd, (struct sockaddr *)&un, sizeof(un)) < 0)
			die(addr);
	} else {
		*colon = 0;
		in.sin_port = htons(atoi(colon + 1));
		if (inet_pton(AF_INET, addr, &in.sin_addr) != 1)
			die(addr);
		*colon = ':';
		fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		/* Accepted sockets inherit it. */
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if (fd < 0 || bind(fd, (struct sockaddr *)&in, sizeof(in)) < 0)
			die(addr);
	}
	if (listen(fd, 4096) < 0)
		die("listen");
	return fd;
}

/* set_up is what a floor does first; it returns the listener. */
static int set_up(int argc, char **argv)
{
	struct rlimit rl;

	if (argc != 2) {
		fprintf(stderr, "usage: %s HOST:PORT | unix:PATH\n", argv[0]);
		exit(2);
	}
	signal(SIGPIPE, SIG_IGN);
	if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
		rl.rlim_cur = rl.rlim_max;
		setrlimit(RLIMIT_NOFILE, &rl);
	}
	for (int i = 0; i < MAX_ANSWERS; i++)
		memcpy(answers + i * ANSWER_LEN, ANSWER, ANSWER_LEN);
	return listen_on(argv[1]);
}
