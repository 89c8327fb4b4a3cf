// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Many contexts, of several processes and threads: each has its own, and gives all back. */
#include "check.h"

#include <sys/resource.h>

/* The tag of a thread is in all that it sends; what comes back must bear it. */
static void *worker(void *arg)
{
	long tag = (long)arg, round;
	struct timespec none = { 0, 0 };
	struct table t;
	int p[2], i;

	table_open(&t);
	pair(p);
	watch(&t, p[1], tag, ESCA_HARVEST_RECV);
	for (round = 0; round < 150; round++) {
		long words[40][2], got[40][2];

		for (i = 0; i < 40; i += 2) {
			words[i][0] = tag;
			words[i][1] = round << 8 | i;
			entry(&t, i, 0, SYS_sendto, p[0], (uintptr_t)words[i], 16, 0, 0, 0);
			entry(&t, i + 1, 0, SYS_recvfrom, p[1], (uintptr_t)got[i], 16, 0, 0, 0);
		}
		words[1][0] = tag;
		words[1][1] = round;
		entry(&t, 40, 0, SYS_sendto, p[0], (uintptr_t)words[1], 16, 0, 0, 0);
		wait_entry(&t, 41, &none);
		CHECK(batch(&t, 0, 42) == 42, "thread %lx", tag);
		for (i = 0; i < 40; i += 2) {
			CHECK(t.entries[i].ret == 16 && t.entries[i + 1].ret == 16, "%d", i);
			CHECK(!memcmp(got[i], words[i], 16), "thread %lx got %lx %lx", tag,
			      got[i][0], got[i][1]);
		}
		CHECK(t.entries[41].ret == 1 && t.events[0].fd == p[1], "%lld", t.entries[41].ret);
		CHECK(t.events[0].gen == tag && t.events[0].n == 16, "gen %x", t.events[0].gen);
		CHECK(t.events[0].slot == 0 && !memcmp(t.slots, words[1], 16), "thread %lx", tag);
		CHECK(t.ctl->nfree == 15, "%u", t.ctl->nfree);
		t.ctl->nfree = 16;
	}
	close(p[0]);
	close(p[1]);
	table_close(&t);
	return NULL;
}

static void at_once(void)
{
	pthread_t threads[4];
	int status, pid;
	long i;

	pid = MUST(fork());
	for (i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, worker, (void *)(i + 1 + (pid ? 0 : 100)));
	for (i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	if (!pid)
		_exit(failures ? 1 : 3);
	MUST(waitpid(pid, &status, 0));
	CHECK(status == 3 << 8, "the other process: %x", status);
}

/* What /proc/self/status says of locked memory, in kB. */
static long locked(void)
{
	char line[256];
	long kb = -1;
	FILE *f = fopen("/proc/self/status", "r");

	while (f && fgets(line, sizeof(line), f))
		sscanf(line, "VmLck: %ld", &kb);
	if (f)
		fclose(f);
	return kb;
}

static int context(struct esca_register *reg, void **p)
{
	int fd = MUST(open("/dev/esca", O_RDWR | O_CLOEXEC));

	MUST(ioctl(fd, ESCA_IOC_REGISTER, reg));
	*p = mmap(NULL, reg->map_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(*p != MAP_FAILED, "mmap");
	return fd;
}

static void thousand(void)
{
	struct esca_register reg = sizes();
	long before = locked();
	static int fds[200];
	static void *maps[200];
	int i, round;

	reg.interest = reg.slot_base = (uintptr_t)pages(1 << 20);
	for (round = 0; round < 5; round++) {
		for (i = 0; i < 200; i++) {
			fds[i] = context(&reg, &maps[i]);
			*(volatile char *)maps[i] = 1;
			CHECK(((char *)maps[i])[reg.entries_off] == 0, "it is not new");
			((char *)maps[i])[reg.entries_off] = 1;
		}
		CHECK(locked() - before == (long)(200 * reg.map_size >> 10), "%ld", locked());
		for (i = 0; i < 200; i++) {
			if (i & 1)
				munmap(maps[i], reg.map_size);
			close(fds[i]);
			if (!(i & 1))
				munmap(maps[i], reg.map_size);
		}
		CHECK(locked() == before, "%ld kB, were %ld", locked(), before);
	}
}

/* Never registered, registered in vain: nothing is kept. */
static void unfinished(void)
{
	struct esca_register reg = sizes();
	long before = locked();
	int i;

	for (i = 0; i < 200; i++) {
		int fd = MUST(open("/dev/esca", O_RDWR | O_CLOEXEC));

		reg.slots = 0;
		if (i & 1)
			CHECK(ioctl(fd, ESCA_IOC_REGISTER, &reg) < 0, "registered");
		close(fd);
	}
	CHECK(locked() == before, "%ld kB, were %ld", locked(), before);
}

/* The pages count as locked memory, for who may not lock as much as he likes. */
static void limited(void)
{
	struct rlimit few = { 64 << 10, 64 << 10 };
	struct esca_register reg = sizes();
	int fds[4], status, pid, i;

	pid = MUST(fork());
	if (pid) {
		MUST(waitpid(pid, &status, 0));
		CHECK(status == 4 << 8, "the user: %x", status);
		return;
	}
	for (i = 0; i < 4; i++)
		fds[i] = MUST(open("/dev/esca", O_RDWR | O_CLOEXEC));
	MUST(setrlimit(RLIMIT_MEMLOCK, &few));
	MUST(setresuid(1000, 1000, 1000));
	reg.interest = reg.slot_base = (uintptr_t)pages(1 << 20);
	reg.entries = 2048;
	CHECK(ioctl(fds[0], ESCA_IOC_REGISTER, &reg) < 0 && errno == ENOMEM, "too much");
	CHECK(ioctl(fds[0], ESCA_IOC_BATCH, 0) < 0 && errno == ENXIO, "half registered");
	/* Seven pages each: two contexts fit, and a third when one of them is gone. */
	reg.entries = 256;
	CHECK(ioctl(fds[0], ESCA_IOC_REGISTER, &reg) == 0 && reg.map_size == 28672, "the first");
	CHECK(ioctl(fds[1], ESCA_IOC_REGISTER, &reg) == 0, "the second");
	CHECK(ioctl(fds[2], ESCA_IOC_REGISTER, &reg) < 0 && errno == ENOMEM, "the third");
	close(fds[0]);
	CHECK(ioctl(fds[2], ESCA_IOC_REGISTER, &reg) == 0, "the third, again");
	CHECK(ioctl(fds[3], ESCA_IOC_REGISTER, &reg) < 0 && errno == ENOMEM, "the fourth");
	_exit(failures ? 1 : 4);
}

int main(void)
{
	alarm(HANGS_AFTER);
	thousand();
	unfinished();
	limited();
	at_once();
	return done();
}
