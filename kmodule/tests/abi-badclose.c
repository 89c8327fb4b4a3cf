// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Entries that close what the batch itself stands on. */
#include "check.h"

static struct timespec soon = { .tv_nsec = 1000000 };

static void close_epoll(void)
{
	struct table t;
	int p[2];

	table_open(&t);
	pair(p);
	watch(&t, p[1], 1, ESCA_HARVEST_RECV);
	MUST(send(p[0], "abcd", 4, 0));
	entry(&t, 0, 0, SYS_close, t.epfd, 0, 0, 0, 0, 0);
	wait_entry(&t, 1, &soon);
	CHECK(batch(&t, 0, 2) == 2, "all are run");
	CHECK(t.entries[0].ret == 0, "%lld", t.entries[0].ret);
	CHECK(t.entries[1].ret == -EBADF && t.ctl->ready == 0, "%lld", t.entries[1].ret);
	close(p[0]);
	close(p[1]);
	t.epfd = -1;
	table_close(&t);
}

/* Its own descriptor, while the mapping holds the file. */
static void close_self_mapped(void)
{
	struct table t;

	table_open(&t);
	entry(&t, 0, 0, SYS_close, t.fd, 0, 0, 0, 0, 0);
	entry(&t, 1, 0, SYS_getppid, 0, 0, 0, 0, 0, 0);
	wait_entry(&t, 2, &soon);
	CHECK(batch(&t, 0, 3) == 3, "all are run");
	CHECK(t.entries[0].ret == 0, "%lld", t.entries[0].ret);
	CHECK(t.entries[1].ret == getppid(), "%lld", t.entries[1].ret);
	CHECK(t.entries[2].ret == 0, "%lld", t.entries[2].ret);
	CHECK(batch(&t, 0, 1) < 0 && errno == EBADF, "it is closed");
	t.fd = -1;
	table_close(&t);
}

/*
 * Its own descriptor, and nothing else holds the file: the kernel does not
 * count the reference of a system call on a table of files that only one task
 * has. Many at once, so that memory that is freed too early is used again.
 */
static void close_self_unmapped(int waits)
{
	struct table t;
	int i;

	for (i = 0; i < 50; i++) {
		int pipefd[2];

		table_open(&t);
		entry(&t, 0, 0, SYS_close, t.fd, 0, 0, 0, 0, 0);
		MUST(pipe(pipefd));
		entry(&t, 1, 0, SYS_getppid, 0, 0, 0, 0, 0, 0);
		entry(&t, 2, 0, SYS_write, pipefd[1], (uintptr_t)"x", 1, 0, 0, 0);
		wait_entry(&t, 3, &soon);
		munmap(t.ctl, t.reg.map_size);
		CHECK(batch(&t, 0, waits ? 4 : 3) == (waits ? 4 : 3), "all are run");
		CHECK(fcntl(t.fd, F_GETFD) < 0 && errno == EBADF, "it is closed");
		CHECK(read(pipefd[0], &(char) { 0 }, 1) == 1, "the entry behind was run");
		close(pipefd[0]);
		close(pipefd[1]);
		close(t.epfd);
		munmap(t.slots, (size_t)t.reg.slots * t.reg.slot_size);
	}
}

int main(void)
{
	alarm(HANGS_AFTER);
	close_epoll();
	close_self_mapped();
	close_self_unmapped(0);
	close_self_unmapped(1);
	return done();
}
