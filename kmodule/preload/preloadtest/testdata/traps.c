// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * A server that does on request what servers do and a preloaded library gets wrong.
 * A client sends lines; the answers are bytes that it can foretell.
 *
 *	traps [et] [small]	edge-triggered; with little room in its sockets
 */
#include "traps.h"

static int listener;
static struct conn *conns;
int ep, file;
bool edges, forks;
static bool small;

void die(const char *what)
{
	fprintf(stderr, "traps: %s: %s\n", what, strerror(errno));
	_exit(3);
}

static void interest(struct conn *c, bool out)
{
	struct epoll_event ev = { .events = EPOLLIN | (out ? EPOLLOUT : 0), .data.ptr = c };

	if (edges || c->out == out)
		return;
	c->out = out;
	if (epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &ev))
		die("MOD");
}

static void end(struct conn *c)
{
	if (epoll_ctl(ep, EPOLL_CTL_DEL, c->fd, NULL) || close(c->fd))
		die("DEL and close");
	c->dead = true;
}

static void add(struct conn *c, enum what what, size_t len)
{
	struct item *i = calloc(1, sizeof(*i));

	i->what = what;
	i->len = len;
	*c->tail = i;
	c->tail = &i->next;
}

/* One try at the first item: true, it is done. */
static bool try(struct conn *c, struct item *i)
{
	char buf[SEND];
	off_t off = i->off;
	int on = i->what == CORK;
	ssize_t n;
	size_t k, len = i->len - i->off;

	switch (i->what) {
	case BYTES:
		if (len > sizeof(buf))
			len = sizeof(buf);
		for (k = 0; k < len; k++)
			buf[k] = (c->pos + k) % 251;
		n = send(c->fd, buf, len, MSG_NOSIGNAL);
		if (n > 0)
			c->pos += n;
		break;
	case FILE_:
		n = sendfile(c->fd, file, &off, len);
		break;
	case CORK:
	case UNCORK:
		if (setsockopt(c->fd, IPPROTO_TCP, TCP_CORK, &on, sizeof(on)))
			die("TCP_CORK");
		return true;
	case SHUT:
		shutdown(c->fd, SHUT_WR);
		return true;
	default:
		end(c);
		return true;
	}
	if (n < 0 && errno != EAGAIN) {
		if (errno != EPIPE && errno != ECONNRESET)
			die("send");
		end(c);
		return false;
	}
	if (n < 0) {
		c->full = true;
		return false;
	}
	i->off += n;
	return i->off == i->len;
}

/* Sends until there is no room. */
void pump(struct conn *c)
{
	struct item *i;

	c->full = false;
	while (!c->dead && !c->full && !c->lent && c->head) {
		i = c->head;
		if (!try(c, i))
			continue;
		c->head = i->next;
		if (!c->head)
			c->tail = &c->head;
		free(i);
	}
	if (c->dead)
		return;
	if (c->full && forks && !fork())
		_exit(0);
	interest(c, c->full);
}

static void line(struct conn *c, char *s)
{
	size_t a = 0, b = 0, i;
	char how[32] = "";

	if (sscanf(s, "bytes %zu %zu", &a, &b) == 2) {
		for (i = 0; i < a; i++)
			add(c, BYTES, b);
	} else if (sscanf(s, "file %zu %zu", &a, &b) == 2) {
		add(c, BYTES, a);
		add(c, FILE_, b);
	} else if (sscanf(s, "cork %zu %zu", &a, &b) == 2) {
		add(c, CORK, 0);
		add(c, BYTES, a);
		add(c, FILE_, b);
		add(c, UNCORK, 0);
	} else if (sscanf(s, "pool %zu %zu", &a, &b) == 2) {
		add(c, BYTES, a);
		pump(c);
		lend(c, b);
	} else if (sscanf(s, "settle %31s", how) == 1) {
		settle_by(c, how);
	} else if (sscanf(s, "alarm %zu", &a) == 1) {
		alarms(c, a);
	} else if (sscanf(s, "lost %zu", &a) == 1) {
		lost(c, conns, a);
	} else if (sscanf(s, "chat %zu", &a) == 1) {
		begin_chat(c, a);
	} else if (!strcmp(s, "change")) {
		interest(c, true);	/* and back, as soon as it is told that there is room */
	} else if (!strcmp(s, "opener")) {
		begin_opener();
	} else if (!strcmp(s, "tick")) {
		tick();
	} else if (!strcmp(s, "helper")) {
		begin_helper();
	} else if (!strcmp(s, "corkon")) {
		add(c, CORK, 0);
	} else if (!strcmp(s, "corkoff")) {
		add(c, UNCORK, 0);
	} else if (!strcmp(s, "forks")) {
		forks = true;
	} else if (!strcmp(s, "shut")) {
		add(c, SHUT, 0);
	} else if (!strcmp(s, "close")) {
		add(c, CLOSE, 0);
	}
}

static void take(struct conn *c)
{
	ssize_t n;
	char *nl;

	while (!c->dead) {
		n = recv(c->fd, c->in + c->nin, sizeof(c->in) - 1 - c->nin, 0);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			end(c);
			return;
		}
		c->nin += n;
		c->in[c->nin] = 0;
		while (!c->dead && (nl = strchr(c->in, '\n'))) {
			*nl++ = 0;
			line(c, c->in);
			c->nin -= nl - c->in;
			memmove(c->in, nl, c->nin + 1);
			if (!c->dead && c->head)
				pump(c);
		}
	}
}

static void greet(void)
{
	struct epoll_event ev = { .events = EPOLLIN | (edges ? EPOLLET | EPOLLOUT | EPOLLRDHUP : 0) };
	struct conn *c = calloc(1, sizeof(*c));
	int size = 4096;

	c->fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (c->fd < 0)
		die("accept");
	if (small && setsockopt(c->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)))
		die("SO_SNDBUF");
	c->tail = &c->head;
	c->next = conns;
	conns = c;
	ev.data.ptr = c;
	if (epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &ev))
		die("ADD");
}

int main(int argc, char **argv)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct epoll_event ev[64] = { { .events = EPOLLIN } };
	socklen_t len = sizeof(a);
	char block[251 * 1024];
	int i, n;

	for (i = 1; i < argc; i++) {
		edges |= !strcmp(argv[i], "et");
		small |= !strcmp(argv[i], "small");
	}
	/* As Redis does, to show its name in a list of processes. */
	for (i = 0; environ[i]; i++)
		memset(environ[i], 'x', strlen(environ[i]));
	signal(SIGCHLD, SIG_IGN);
	file = memfd_create("traps", MFD_CLOEXEC);
	for (i = 0; i < (int)sizeof(block); i++)
		block[i] = i % 251;
	for (i = 0; i < 8; i++)
		if (write(file, block, sizeof(block)) < 0)
			die("memfd");
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ep = epoll_create1(EPOLL_CLOEXEC);
	if (bind(listener, (void *)&a, sizeof(a)) || listen(listener, 1000) || getsockname(listener, (void *)&a, &len) ||
	    epoll_ctl(ep, EPOLL_CTL_ADD, listener, &ev[0]))
		die("listen");
	begin_pool();
	printf("port %d\n", ntohs(a.sin_port));
	fflush(stdout);
	for (;;) {
		n = epoll_wait(ep, ev, 64, -1);
		if (n < 0 && errno != EINTR)
			die("epoll_wait");
		for (i = 0; i < n; i++) {
			struct conn *c = ev[i].data.ptr;

			if (!c) {
				greet();
				continue;
			}
			if (c == POOL) {
				pool_done();
				continue;
			}
			if (c->dead && !c->now) {
				fprintf(stderr, "traps: an event of a connection that is closed\n");
				_exit(3);
			}
			c->now = true;
			if (ev[i].events & ~EPOLLOUT)
				take(c);
			if (!c->dead)
				pump(c);
			c->now = false;
		}
	}
}
