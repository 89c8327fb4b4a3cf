/*
 * The floor: what a request costs when a server does nothing but the system
 * calls. One thread, level-triggered epoll, one read and one write a wake-up.
 *
 *	epoll HOST:PORT | unix:PATH
 */
#include "floor.h"

#include <sys/epoll.h>

static char buf[16384];

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
	struct epoll_event evs[256], lev = { .events = EPOLLIN };
	int lfd = set_up(argc, argv);
	int ep = epoll_create1(EPOLL_CLOEXEC);

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
