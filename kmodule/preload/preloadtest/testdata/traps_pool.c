// SPDX-License-Identifier: GPL-2.0 OR MIT
/* A thread that sends files beside the loop, and signals while it turns. */
#include "traps.h"

static int to_pool[2], from_pool[2], log_fd;
static volatile sig_atomic_t rang;

struct job {
	struct conn *c;
	size_t n;
};

static void *pool(void *arg)
{
	struct pollfd p = { .events = POLLOUT };
	struct job j;
	off_t off;

	(void)arg;
	while (read(to_pool[0], &j, sizeof(j)) == sizeof(j)) {
		p.fd = j.c->fd;
		for (off = 0; off < (off_t)j.n;)
			if (sendfile(j.c->fd, file, &off, j.n - off) < 0) {
				if (errno != EAGAIN)
					break;
				poll(&p, 1, 1000);
			}
		if (write(from_pool[1], &j, sizeof(j)) < 0)
			die("pool");
	}
	return NULL;
}

void begin_pool(void)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = POOL };

	log_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (pipe2(to_pool, O_CLOEXEC) || pipe2(from_pool, O_CLOEXEC) || epoll_ctl(ep, EPOLL_CTL_ADD, from_pool[0], &ev))
		die("pool");
}

/* A thread that opens files, and finds them closed by somebody else. */
static void *opener(void *arg)
{
	int fd, i;

	for (;;) {
		fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
		for (i = 0; i < 20; i++)
			if (fcntl(fd, F_GETFD) < 0) {
				fprintf(stderr, "traps: a number that is in use was closed\n");
				_exit(3);
			}
		close(fd);
	}
	return arg;
}

void begin_opener(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, opener, NULL))
		die("pthread_create");
}

struct chat {
	int fd;
	size_t n;
};

static void *chatter(void *arg)
{
	struct chat *c = arg;
	struct pollfd p = { .fd = c->fd, .events = POLLOUT };

	while (c->n) {
		if (send(c->fd, "x", 1, MSG_NOSIGNAL) == 1)
			c->n--;
		else if (errno != EAGAIN)
			break;
		else
			poll(&p, 1, 100);
	}
	free(c);
	return NULL;
}

/* Another thread sends @n bytes, while the loop does what it does. */
void begin_chat(struct conn *c, size_t n)
{
	struct chat *chat = malloc(sizeof(*chat));
	pthread_t thread;

	*chat = (struct chat){ c->fd, n };
	if (pthread_create(&thread, NULL, chatter, chat) || pthread_detach(thread))
		die("pthread_create");
}

/* What the connection has been sent by now, and then @n bytes of the file. */
void lend(struct conn *c, size_t n)
{
	static pthread_t thread;
	struct job j = { c, n };

	if (c->dead || c->full || c->head)
		return;
	if (!thread && pthread_create(&thread, NULL, pool, NULL))
		die("pthread_create");
	c->lent = true;
	/* By a call before which nothing is flushed, as the futex of a condition variable is. */
	if (unseen(SYS_write, to_pool[1], (long)&j, sizeof(j)) < 0)
		die("lend");
	/* It is done before this turn is, if there is room. */
	unseen(SYS_poll, (long)&(struct pollfd){ .fd = from_pool[0], .events = POLLIN }, 1, 20);
}

void pool_done(void)
{
	struct job j;

	if (read(from_pool[0], &j, sizeof(j)) != sizeof(j))
		die("pool_done");
	j.c->lent = false;
	pump(j.c);
}

static struct conn *counted;
static int counter;

/* The next number, to the connection that counts them. */
static void count(void)
{
	char line[16];

	snprintf(line, sizeof(line), "%08d\n", counter);
	if (counted && !counted->dead && send(counted->fd, line, 9, MSG_NOSIGNAL) == 9)
		counter++;
}

static void on_alarm(int sig)
{
	static const char text[] = "a handler that logs\n";

	(void)sig;
	rang = 1;
	if (write(log_fd, text, sizeof(text)) < 0)
		die("log");
	count();
}

/* The loop counts too, and the handler never in the middle of that. */
void tick(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	count();
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}

void alarms(struct conn *c, size_t us)
{
	struct itimerval it = { { us / 1000000, us % 1000000 }, { us / 1000000, us % 1000000 } };

	counted = c;
	signal(SIGALRM, on_alarm);
	if (setitimer(ITIMER_REAL, &it, NULL))
		die("setitimer");
}

/* How often a signal between the look at its flag and the sleep was slept over. */
void lost(struct conn *c, struct conn *all, size_t rounds)
{
	struct itimerval it = {};
	struct epoll_event ev[64];
	unsigned int seed = 1;
	size_t i, n = 0;
	struct conn *o;

	signal(SIGALRM, on_alarm);
	for (i = 0; i < rounds && n < 8; i++) {
		rang = 0;
		it.it_value.tv_usec = 1 + rand_r(&seed) % 1000;
		setitimer(ITIMER_REAL, &it, NULL);
		for (o = all; o; o = o->next)
			if (!o->dead && o != c && send(o->fd, "x", 1, MSG_NOSIGNAL) < 0)
				die("send");
		if (!rang && epoll_wait(ep, ev, 64, 3000) == 0)
			n++;
	}
	dprintf(c->fd, "lost %zu of %zu\n", n, i);
}
