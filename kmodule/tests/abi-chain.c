// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Results, and chains: what breaks one, and what does not. */
#include "check.h"

static void results(struct table *t)
{
	int p[2];
	char buf[16] = "";

	pair(p);
	entry(t, 0, 0, SYS_getppid, 0, 0, 0, 0, 0, 0);
	entry(t, 1, 0, SYS_sendto, p[0], (uintptr_t)"hello", 5, MSG_DONTWAIT, 0, 0);
	entry(t, 2, 0, SYS_recvfrom, p[1], (uintptr_t)buf, sizeof(buf), MSG_DONTWAIT, 0, 0);
	entry(t, 3, 0, ESCA_NOP, 1, 2, 3, 4, 5, 6);
	entry(t, 4, 0, SYS_recvfrom, p[1], (uintptr_t)buf + 8, 1, MSG_DONTWAIT, 0, 0);
	entry(t, 5, 0, SYS_close, p[1], 0, 0, 0, 0, 0);
	entry(t, 6, 0, SYS_close, p[1], 0, 0, 0, 0, 0);
	CHECK(batch(t, 0, 7) == 7, "all are run");
	CHECK(t->entries[0].ret == getppid(), "%lld", t->entries[0].ret);
	CHECK(t->entries[1].ret == 5, "%lld", t->entries[1].ret);
	CHECK(t->entries[2].ret == 5 && !memcmp(buf, "hello", 5), "%lld", t->entries[2].ret);
	CHECK(t->entries[3].ret == 0, "%lld", t->entries[3].ret);
	CHECK(t->entries[4].ret == -EAGAIN, "%lld", t->entries[4].ret);
	CHECK(t->entries[5].ret == 0, "%lld", t->entries[5].ret);
	CHECK(t->entries[6].ret == -EBADF, "%lld", t->entries[6].ret);
	/* The close is over when the batch is. */
	CHECK(send(p[0], "x", 1, MSG_NOSIGNAL) < 0 && errno == EPIPE, "the other end is open");
	close(p[0]);
}

static void chains(struct table *t)
{
	int p[2];

	pair(p);
	/* Broken by a failure, up to and with the end of the chain. */
	entry(t, 0, ESCA_LINK, SYS_shutdown, -1, 0, 0, 0, 0, 0);
	entry(t, 1, ESCA_LINK, ESCA_NOP, 0, 0, 0, 0, 0, 0);
	entry(t, 2, 0, SYS_close, p[0], 0, 0, 0, 0, 0);
	entry(t, 3, 0, SYS_getppid, 0, 0, 0, 0, 0, 0);
	CHECK(batch(t, 0, 4) == 4, "all are run");
	CHECK(t->entries[0].ret == -EBADF, "%lld", t->entries[0].ret);
	CHECK(t->entries[1].ret == -ECANCELED, "%lld", t->entries[1].ret);
	CHECK(t->entries[2].ret == -ECANCELED, "%lld", t->entries[2].ret);
	CHECK(t->entries[3].ret == getppid(), "%lld", t->entries[3].ret);
	/* By a short transfer. */
	send(p[0], "abc", 3, 0);
	char buf[8];

	entry(t, 0, ESCA_LINK, SYS_recvfrom, p[1], (uintptr_t)buf, 8, MSG_DONTWAIT, 0, 0);
	entry(t, 1, 0, SYS_close, p[0], 0, 0, 0, 0, 0);
	CHECK(batch(t, 0, 2) == 2 && t->entries[1].ret == -ECANCELED, "%lld", t->entries[1].ret);
	/* Not by a whole one, nor by one of which nothing is said. */
	struct iovec { void *base; size_t len; } iov = { "xyz", 3 };

	entry(t, 0, ESCA_LINK, SYS_writev, p[0], (uintptr_t)&iov, 1, 0, 0, 3);
	entry(t, 1, ESCA_LINK, SYS_writev, p[0], (uintptr_t)&iov, 1, 0, 0, 0);
	entry(t, 2, ESCA_LINK, SYS_writev, p[0], (uintptr_t)&iov, 1, 0, 0, 4);
	entry(t, 3, 0, SYS_close, p[0], 0, 0, 0, 0, 0);
	CHECK(batch(t, 0, 4) == 4, "all are run");
	CHECK(t->entries[1].ret == 3 && t->entries[2].ret == 3, "%lld", t->entries[2].ret);
	CHECK(t->entries[3].ret == -ECANCELED, "%lld", t->entries[3].ret);
	/* A batch that begins within a chain takes it up. */
	entry(t, 0, ESCA_LINK, SYS_shutdown, -1, 0, 0, 0, 0, 0);
	entry(t, 1, 0, SYS_close, p[0], 0, 0, 0, 0, 0);
	CHECK(batch(t, 0, 1) == 1 && batch(t, 1, 1) == 1, "one each");
	CHECK(t->entries[1].ret == -ECANCELED, "%lld", t->entries[1].ret);
	close(p[0]);
	close(p[1]);
}

int main(void)
{
	struct table t;

	table_open(&t);
	results(&t);
	chains(&t);
	table_close(&t);
	return done();
}
