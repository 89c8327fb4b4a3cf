// SPDX-License-Identifier: GPL-2.0 OR MIT
/* The harvest of listeners: connections with their addresses, in a slot. */
#include "check.h"

#include <sys/resource.h>

static struct timespec no_time;

/* The one event that there is, or will be: a connection is queued before its listener wakes. */
static struct esca_event look(struct table *t)
{
	memset((void *)&t->events[0], 0xee, sizeof(t->events[0]));
	arrives(t->epfd);
	wait_entry(t, 0, &no_time);
	CHECK(batch(t, 0, 1) == 1, "it is run");
	CHECK(t->entries[0].ret == 1, "%lld", t->entries[0].ret);
	return t->events[0];
}

static int listener(int family, void *addr, socklen_t *len)
{
	int l = MUST(socket(family, SOCK_STREAM | SOCK_NONBLOCK, 0));

	if (family == AF_UNIX)
		MUST(bind(l, addr, sizeof(sa_family_t)));
	MUST(listen(l, 100));
	MUST(getsockname(l, addr, len));
	return l;
}

static int dial(int family, const void *addr, socklen_t len)
{
	int c = MUST(socket(family, SOCK_STREAM, 0));

	if (family == AF_UNIX)
		MUST(bind(c, &(struct sockaddr) { .sa_family = AF_UNIX }, sizeof(sa_family_t)));
	MUST(connect(c, addr, len));
	return c;
}

static struct esca_accepted *accepted(struct table *t, int slot)
{
	return (void *)t->slots + (size_t)slot * t->reg.slot_size;
}

/* This many connections: all are there, in order, with their peers' addresses. */
static void several(struct table *t, int family, int n)
{
	struct sockaddr_storage addr = { .ss_family = family }, own;
	socklen_t len = sizeof(addr), own_len;
	int l = listener(family, &addr, &len), c[64], i;
	struct esca_accepted *rec;
	struct esca_event ev;

	watch(t, l, 3, ESCA_HARVEST_ACCEPT);
	for (i = 0; i < n; i++) {
		c[i] = dial(family, &addr, len);
		queued(l, i + 1);	/* or another's may come before it */
	}
	ev = look(t);
	CHECK(ev.fd == l && ev.gen == 3 && ev.n == n && !ev.err && !ev.eof, "n %d", ev.n);
	CHECK(ev.slot >= 0 && ev.slot < 16, "slot %d", ev.slot);
	CHECK(t->ctl->accepts == (__u32)n + (n < 32) && !t->ctl->recvs, "%u", t->ctl->accepts);
	rec = accepted(t, ev.slot);
	for (i = 0; i < ev.n; i++) {
		own_len = sizeof(own);
		MUST(getsockname(c[i], (void *)&own, &own_len));
		CHECK(rec[i].len == own_len, "%d: %u, not %u", i, rec[i].len, own_len);
		CHECK(!memcmp(rec[i].addr, &own, own_len), "%d", i);
		CHECK(fcntl(rec[i].fd, F_GETFL) & O_NONBLOCK, "%d blocks", i);
		CHECK(fcntl(rec[i].fd, F_GETFD) == FD_CLOEXEC, "%d is inherited", i);
		CHECK(send(c[i], &i, 1, 0) == 1, "%d", i);
		arrives(rec[i].fd);
		CHECK(recv(rec[i].fd, &own, 8, 0) == 1, "%d", i);
		close(rec[i].fd);
	}
	t->ctl->nfree++;
	for (i = 0; i < n; i++)
		close(c[i]);
	close(l);
}

/* More than a slot holds: a slot full, the rest stays. */
static void too_many(struct table *t)
{
	struct sockaddr_storage addr = { .ss_family = AF_INET };
	socklen_t len = sizeof(addr);
	int l = listener(AF_INET, &addr, &len), c[40], i, rest = 0, fd;
	struct esca_event ev;

	watch(t, l, 1, ESCA_HARVEST_ACCEPT);
	for (i = 0; i < 40; i++)
		c[i] = dial(AF_INET, &addr, len);
	queued(l, 40);
	ev = look(t);
	CHECK(ev.n == 4096 / 128 && t->ctl->accepts == 32, "n %d", ev.n);
	for (i = 0; i < ev.n; i++)
		close(accepted(t, ev.slot)[i].fd);
	t->ctl->nfree++;
	while ((fd = accept(l, NULL, NULL)) >= 0) {
		rest++;
		close(fd);
	}
	CHECK(rest == 8, "%d", rest);
	for (i = 0; i < 40; i++)
		close(c[i]);
	close(l);
}

/* No connection after all, no descriptors left, not a listener, nowhere to write. */
static void failures_of(struct table *t)
{
	struct sockaddr_storage addr = { .ss_family = AF_INET };
	socklen_t len = sizeof(addr);
	int l = listener(AF_INET, &addr, &len), c[2], p[2];
	struct rlimit old, few;
	struct esca_event ev;

	pair(p);
	watch(t, p[1], 1, ESCA_HARVEST_ACCEPT);
	MUST(send(p[0], "x", 1, 0));
	ev = look(t);
	CHECK(ev.slot == -1 && !ev.n && ev.err == EINVAL, "err %d", ev.err);
	close(p[1]);
	close(p[0]);
	watch(t, l, 1, ESCA_HARVEST_ACCEPT);
	c[0] = dial(AF_INET, &addr, len);
	c[1] = dial(AF_INET, &addr, len);
	queued(l, 2);
	close(MUST(accept(l, NULL, NULL)));
	MUST(getrlimit(RLIMIT_NOFILE, &old));
	few = old;
	few.rlim_cur = c[1] + 1;
	MUST(setrlimit(RLIMIT_NOFILE, &few));
	p[0] = open("/", O_RDONLY);	/* the one that is still free */
	ev = look(t);
	MUST(setrlimit(RLIMIT_NOFILE, &old));
	CHECK(ev.slot == -1 && !ev.n && ev.err == EMFILE, "err %d", ev.err);
	CHECK(t->ctl->nfree == t->reg.slots, "%u", t->ctl->nfree);
	close(MUST(accept(l, NULL, NULL)));
	close(c[0]);
	c[0] = dial(AF_INET, &addr, len);
	queued(l, 1);
	mprotect(t->slots, 4096, PROT_READ);
	t->free[t->reg.slots - 1] = 0;
	ev = look(t);
	CHECK(ev.slot == -1 && !ev.n && ev.err == EFAULT, "err %d", ev.err);
	CHECK(t->ctl->nfree == t->reg.slots, "%u", t->ctl->nfree);
	mprotect(t->slots, 4096, PROT_READ | PROT_WRITE);
	close(MUST(accept(l, NULL, NULL)));
	close(c[0]);
	close(c[1]);
	close(l);
	close(p[0]);
}

/* Slots that hold no connection, or one. */
static void small_slots(int size, int n)
{
	struct sockaddr_storage addr = { .ss_family = AF_INET };
	socklen_t len = sizeof(addr);
	int l = listener(AF_INET, &addr, &len), c;
	struct esca_register reg = sizes();
	struct esca_event ev;
	struct table t;

	reg.slot_size = size;
	table_open_with(&t, reg);
	watch(&t, l, 1, ESCA_HARVEST_ACCEPT);
	c = dial(AF_INET, &addr, len);
	queued(l, 1);
	ev = look(&t);
	CHECK(ev.n == n && ev.slot == (n ? 0 : -1) && !ev.err, "%d bytes: %d", size, ev.n);
	CHECK(t.ctl->nfree == 16u - n && t.ctl->accepts == (__u32)n, "%u", t.ctl->nfree);
	if (n)
		close(accepted(&t, ev.slot)->fd);
	else
		close(MUST(accept(l, NULL, NULL)));
	close(c);
	close(l);
	table_close(&t);
}

int main(void)
{
	struct table t;

	alarm(HANGS_AFTER);
	table_open(&t);
	several(&t, AF_INET, 1);
	several(&t, AF_INET, 5);
	several(&t, AF_INET6, 3);
	several(&t, AF_UNIX, 3);
	several(&t, AF_INET, 32);
	too_many(&t);
	failures_of(&t);
	small_slots(127, 0);
	small_slots(128, 1);
	small_slots(255, 1);
	table_close(&t);
	return done();
}
