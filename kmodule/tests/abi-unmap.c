// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Batches while the mapping comes, goes and moves: the kernel has its own way to the pages. */
#include "check.h"

static struct table t;
static int stop;
static void *away, *home;	/* where a second mapping wanders to, and from */

static void *wander(void *unused)
{
	const int rw = PROT_READ | PROT_WRITE;
	size_t size = t.reg.map_size, half = size / 8192 * 4096;
	unsigned int i;

	(void)unused;
	for (i = 0; !__atomic_load_n(&stop, __ATOMIC_RELAXED); i++) {
		if (mmap(home, size, rw, MAP_SHARED | MAP_FIXED, t.fd, 0) == MAP_FAILED)
			perror("mmap"), failures++;
		switch (i % 4) {
		case 0:
			if (mremap(home, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, away) != away)
				perror("mremap"), failures++;
			munmap(away, size);
			break;
		case 1:	/* in two pieces */
			munmap(home + half, size - half);
			munmap(home, half);
			break;
		case 2:
			mprotect(home, half, PROT_READ);
			madvise(home, size, MADV_DONTNEED);
			break;
		case 3:	/* something else in its place */
			mmap(home, size, rw, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
			break;
		}
	}
	return NULL;
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* What an entry on memory that may or may not be there can give. */
static int fine(long ret, long want)
{
	return ret == want || ret == -EFAULT || ret == -EAGAIN;
}

/* The calls of the batch move bytes into, and out of, the wandering mapping itself. */
static void race(int p[2])
{
	size_t size = t.reg.map_size;
	struct timespec zero = { 0, 0 };
	unsigned long rounds = 0;
	pthread_t thread;
	char buf[128];
	double end;
	int i;

	home = pages(size);
	away = pages(size);
	pthread_create(&thread, NULL, wander, NULL);
	for (end = now() + 1.5; now() < end && failures < 20; rounds++) {
		uintptr_t there = (uintptr_t)home + t.reg.entries_off + 200 * 64;

		for (i = 0; i < 60; i += 3) {
			entry(&t, i, 0, SYS_sendto, p[0], there, 64, MSG_DONTWAIT, 0, 0);
			entry(&t, i + 1, 0, SYS_recvfrom, p[1], there, 64, MSG_DONTWAIT, 0, 0);
			entry(&t, i + 2, 0, SYS_getppid, 0, 0, 0, 0, 0, 0);
		}
		wait_entry(&t, 60, &zero);
		t.entries[60].args[1] = (uintptr_t)home + t.reg.events_off;
		t.ctl->nfree = 0;
		CHECK(batch(&t, 0, 61) == 61, "all are run");
		for (i = 0; i < 60; i += 3) {
			CHECK(fine(t.entries[i].ret, 64), "%lld", t.entries[i].ret);
			CHECK(fine(t.entries[i + 1].ret, 64), "%lld", t.entries[i + 1].ret);
			CHECK(t.entries[i + 2].ret == getppid(), "%lld", t.entries[i + 2].ret);
		}
		CHECK(fine(t.entries[60].ret, 0) || t.entries[60].ret == 1, "%lld",
		      t.entries[60].ret);
		while (recv(p[1], buf, sizeof(buf), MSG_DONTWAIT) > 0)
			;
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	munmap(home, size);
	munmap(away, size);
	printf("%lu rounds\n", rounds);
}

/* With no mapping at all, batches run; a new one shows what they did. */
static void unmapped(void)
{
	int i;

	for (i = 0; i < 10; i++)
		entry(&t, i, 0, SYS_getppid, 0, 0, 0, 0, 0, 0);
	munmap(t.ctl, t.reg.map_size);
	CHECK(batch(&t, 0, 10) == 10, "all are run");
	t.ctl = mmap(NULL, t.reg.map_size, PROT_READ, MAP_SHARED, t.fd, 0);
	if (t.ctl == MAP_FAILED)
		exit(1);
	t.entries = (void *)t.ctl + t.reg.entries_off;
	for (i = 0; i < 10; i++)
		CHECK(t.entries[i].ret == getppid(), "%lld", t.entries[i].ret);
	/* Read-only for the process: the kernel still writes results. */
	CHECK(batch(&t, 0, 10) == 10, "all are run");
}

/* The mapping outlives the descriptor. */
static void closed(void)
{
	close(t.fd);
	CHECK(t.entries[3].ret == getppid() && t.entries[10].ret == UNWRITTEN, "%lld",
	      t.entries[3].ret);
	munmap(t.ctl, t.reg.map_size);
}

int main(void)
{
	int p[2];

	alarm(HANGS_AFTER);
	table_open(&t);
	pair(p);
	watch(&t, p[1], 1, ESCA_HARVEST_RECV);
	race(p);
	entry(&t, 10, 0, ESCA_NOP, 0, 0, 0, 0, 0, 0);
	unmapped();
	closed();
	return done();
}
