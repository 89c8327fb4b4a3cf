// SPDX-License-Identifier: GPL-2.0 OR MIT
/* The harvest: what lies in the slots after a wait, and what the events say. */
#include "check.h"

static struct timespec no_time;

static long look(struct table *t)
{
	memset((void *)t->events, 0xee, t->reg.events * sizeof(*t->events));
	wait_entry(t, 0, &no_time);
	CHECK(batch(t, 0, 1) == 1, "it is run");
	CHECK(t->entries[0].ret < 0 || t->entries[0].ret == t->ctl->ready, "%u", t->ctl->ready);
	return t->entries[0].ret;
}

static struct esca_event *event_of(struct table *t, int fd)
{
	static struct esca_event none = { .fd = -1, .slot = -2 };
	__u32 i;

	for (i = 0; i < t->ctl->ready; i++)
		if (t->events[i].fd == fd)
			return &t->events[i];
	return &none;
}

/* One event of its own; the fields are checked by the caller. */
static struct esca_event alone(struct table *t, int fd)
{
	CHECK(look(t) == 1, "%lld", t->entries[0].ret);
	CHECK(event_of(t, fd)->pad == 0, "%d", event_of(t, fd)->pad);
	return *event_of(t, fd);
}

static void counters(struct table *t, __u32 recvs, __u32 accepts)
{
	CHECK(t->ctl->recvs == recvs, "%u, not %u", t->ctl->recvs, recvs);
	CHECK(t->ctl->accepts == accepts, "%u, not %u", t->ctl->accepts, accepts);
}

static void hottest_first(struct table *t)
{
	int p[3][2], i;

	for (i = 0; i < 3; i++) {
		pair(p[i]);
		watch(t, p[i][1], 5, ESCA_HARVEST_RECV);
		MUST(send(p[i][0], "abc", i + 1, 0));
	}
	t->ctl->nfree = 3;
	t->free[0] = 9;
	t->free[1] = 4;
	t->free[2] = 7;
	CHECK(look(t) == 3, "%lld", t->entries[0].ret);
	counters(t, 3, 0);
	for (i = 0; i < 3; i++) {
		struct esca_event *ev = event_of(t, p[i][1]);
		static const int slots[] = { 7, 4, 9 };

		CHECK(ev == &t->events[i] && ev->gen == 5 && ev->mask == EPOLLIN, "%x", ev->mask);
		CHECK(ev->slot == slots[i] && ev->n == i + 1, "%d: slot %d", i, ev->slot);
		CHECK(!ev->err && !ev->eof, "err %d, eof %d", ev->err, ev->eof);
		CHECK(!memcmp(t->slots + slots[i] * 4096, "abc", i + 1), "%d", i);
	}
	CHECK(t->ctl->nfree == 0, "%u", t->ctl->nfree);
	/* No slot: the event goes out bare, and the bytes stay where they are. */
	MUST(send(p[0][0], "xyz", 3, 0));
	struct esca_event ev = alone(t, p[0][1]);
	char buf[8];

	CHECK(ev.slot == -1 && !ev.n && !ev.err && !ev.eof && ev.mask == EPOLLIN, "%d", ev.slot);
	counters(t, 0, 0);
	CHECK(recv(p[0][1], buf, 8, 0) == 3, "they are gone");
	t->ctl->nfree = 1;
	t->free[0] = 0;
	for (i = 0; i < 3; i++) {
		close(p[i][0]);
		close(p[i][1]);
	}
}

static void ends(struct table *t)
{
	char *big = pages(8192);
	struct linger now = { 1, 0 };
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	struct esca_event ev;
	int p[2], l, c, s;

	/* A slot full, and the rest with the next; then the end, which takes no slot. */
	pair(p);
	watch(t, p[1], 1, ESCA_HARVEST_RECV);
	memset(big, 'z', 8192);
	MUST(send(p[0], big, 5000, 0));
	ev = alone(t, p[1]);
	CHECK(ev.n == 4096 && ev.slot == 0 && t->slots[4095] == 'z' && t->slots[4096] != 'z',
	      "%d", ev.n);
	CHECK(recv(p[1], big, 8192, 0) == 904, "the rest");
	t->ctl->nfree = 1;
	shutdown(p[0], SHUT_WR);
	ev = alone(t, p[1]);
	CHECK(ev.eof == 1 && ev.slot == -1 && !ev.n && !ev.err, "eof %d", ev.eof);
	CHECK((ev.mask & (EPOLLIN | EPOLLRDHUP)) == (EPOLLIN | EPOLLRDHUP), "%x", ev.mask);
	CHECK(t->ctl->nfree == 1 && t->free[0] == 0, "%u", t->ctl->nfree);
	counters(t, 1, 0);
	close(p[0]);
	close(p[1]);
	/* A reset. */
	l = MUST(socket(AF_INET, SOCK_STREAM, 0));
	MUST(bind(l, (void *)&a, len));
	MUST(listen(l, 1));
	MUST(getsockname(l, (void *)&a, &len));
	c = MUST(socket(AF_INET, SOCK_STREAM, 0));
	MUST(connect(c, (void *)&a, len));
	s = MUST(accept4(l, NULL, NULL, SOCK_NONBLOCK));
	watch(t, s, 1, ESCA_HARVEST_RECV);
	setsockopt(c, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(c);
	arrives(t->epfd);
	ev = alone(t, s);
	CHECK(ev.err == ECONNRESET && ev.slot == -1 && !ev.n && !ev.eof, "err %d", ev.err);
	CHECK((ev.mask & (EPOLLERR | EPOLLHUP)) && t->ctl->nfree == 1, "%x", ev.mask);
	close(s);
	close(l);
	/* Not a socket at all. */
	MUST(pipe2(p, O_NONBLOCK));
	watch(t, p[0], 1, ESCA_HARVEST_RECV);
	MUST(write(p[1], "x", 1));
	ev = alone(t, p[0]);
	CHECK(ev.err == ENOTSOCK && ev.slot == -1 && t->ctl->nfree == 1, "err %d", ev.err);
	close(p[0]);
	close(p[1]);
	munmap(big, 8192);
}

/* What is not received from, though ready. */
static void left_alone(struct table *t, __u32 gen, __u32 word, __u32 events)
{
	struct epoll_event e = { .events = events };
	struct esca_event ev;
	char buf[8];
	int p[2];

	pair(p);
	e.data.u64 = (__u64)gen << 32 | p[1];
	t->interest[p[1]] = word;
	MUST(epoll_ctl(t->epfd, EPOLL_CTL_ADD, p[1], &e));
	MUST(send(p[0], "abc", 3, 0));
	ev = alone(t, p[1]);
	CHECK(ev.slot == -1 && !ev.n && !ev.err && !ev.eof && ev.gen == gen, "slot %d", ev.slot);
	counters(t, 0, 0);
	CHECK(recv(p[1], buf, 8, 0) == 3 && t->ctl->nfree == 1, "the bytes are gone");
	close(p[0]);
	close(p[1]);
}

static void not_received(struct table *t)
{
	struct epoll_event e = { .events = EPOLLIN, .data.u64 = 1ULL << 32 | 5000 };
	int p[2];

	left_alone(t, 7, 7 << 2 | ESCA_HARVEST_NOTHING, EPOLLIN);
	left_alone(t, 7, 6 << 2 | ESCA_HARVEST_RECV, EPOLLIN);
	left_alone(t, 7, 8U << 2 | ESCA_HARVEST_ACCEPT, EPOLLIN);
	left_alone(t, 1U << 29, ESCA_HARVEST_RECV, EPOLLIN);
	left_alone(t, 7, 7 << 2 | ESCA_HARVEST_RECV, EPOLLOUT);
	/* Descriptors, so called, that there is no interest for. */
	pair(p);
	MUST(send(p[0], "abc", 3, 0));
	MUST(epoll_ctl(t->epfd, EPOLL_CTL_ADD, p[1], &e));
	CHECK(alone(t, 5000).slot == -1, "beyond the interest");
	e.data.u64 = 1ULL << 32 | t->reg.interest_len;
	t->interest[t->reg.interest_len] = 1 << 2 | ESCA_HARVEST_RECV;
	MUST(epoll_ctl(t->epfd, EPOLL_CTL_MOD, p[1], &e));
	CHECK(alone(t, t->reg.interest_len).slot == -1, "just beyond the interest");
	e.data.u64 = 1ULL << 32 | 0xffffffff;
	MUST(epoll_ctl(t->epfd, EPOLL_CTL_MOD, p[1], &e));
	CHECK(alone(t, -1).slot == -1, "a negative one");
	counters(t, 0, 0);
	close(p[0]);
	close(p[1]);
}

int main(void)
{
	struct table t;

	alarm(HANGS_AFTER);
	table_open(&t);
	hottest_first(&t);
	ends(&t);
	not_received(&t);
	table_close(&t);
	return done();
}
