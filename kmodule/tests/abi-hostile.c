// SPDX-License-Identifier: GPL-2.0 OR MIT
/* A thread that rewrites everything shared while batches run: what was checked is what runs. */
#include "check.h"

#define FLIPS 128	/* entries of which only nr changes, and ret is the kernel's */

static struct table t;
static struct timespec zero;
static int stop, p[2], listener;
static char *memory;

static unsigned int rnd(unsigned long *seed)
{
	*seed = *seed * 6364136223846793005UL + 1442695040888963407UL;
	return *seed >> 33;
}

/* A number: allowed ones that neither block nor close, and those that must never be. */
static unsigned int number(unsigned int r)
{
	static const unsigned int nrs[] = { SYS_getppid, SYS_exit_group, SYS_fork, SYS_vfork,
		SYS_exit, SYS_execve, SYS_kill, SYS_rt_sigreturn, SYS_munmap, SYS_ioctl, ESCA_NOP,
		SYS_getppid, SYS_recvfrom, SYS_sendto, SYS_epoll_pwait2, SYS_fstat };

	return nrs[r % 16];
}

static __u64 argument(int i, unsigned int r)
{
	const __u64 fds[] = { p[0], p[1], t.epfd, t.fd, -1ULL, listener, 999, 0x7fffffff };
	const __u64 addrs[] = { (uintptr_t)memory, (uintptr_t)t.slots, (uintptr_t)t.ready, 0,
		0xffff888000000000, (uintptr_t)&t.events[32], ~0ULL, (uintptr_t)t.events };
	const __u64 sizes_[] = { 0, 1, 12, 100, 1000, 64, 7, 4096 };

	switch (i) {
	case 0: return fds[r % 8];
	case 1: return addrs[r % 8];
	case 2: return sizes_[r % 8];
	case 3: return r & 1 ? (uintptr_t)&zero : (MSG_DONTWAIT | MSG_NOSIGNAL);
	}
	return 0;
}

static void *rewrite(void *unused)
{
	volatile struct esca_entry *e = t.entries;
	volatile struct epoll_event *ready = t.ready;
	volatile struct esca_ctl *ctl = t.ctl;
	volatile __s32 *free = t.free;
	volatile __u32 *interest = t.interest;
	unsigned long seed = 42;
	unsigned int r, i, k;

	(void)unused;
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		for (k = 0; k < FLIPS; k++)
			e[k].nr = ((k + seed) & 1) ? SYS_getppid : number(1 + seed % 9);
		r = rnd(&seed);
		i = FLIPS + r % (256 - FLIPS);
		e[i].nr = number(r >> 8);
		e[i].flags = i == 255 ? ESCA_WAIT | (r >> 12 & 3) : r >> 12 & 7;
		e[i].ret = (int)r;
		r = rnd(&seed);
		e[i].args[r % 6] = argument(r % 6, r >> 8);
		e[255].nr = SYS_epoll_pwait2;
		e[255].args[0] = t.epfd;
		e[255].args[1] = (uintptr_t)t.ready;
		ctl->nfree = r & 7 ? r >> 3 & 15 : r;
		ctl->ready = ctl->recvs = r;
		free[r >> 8 & 15] = (int)(r & 1 ? r >> 4 & 15 : r << 8);
		interest[p[1]] = 1 << 2 | (r >> 5 & 3);
		interest[listener] = (r >> 4 & 1) << 2 | (r >> 7 & 3);
		ready[r >> 9 & 7].data.u64 = 1ULL << 32 | (r >> 3 & 1 ? p[1] : (int)r);
		t.events[r >> 10 & 31].slot = r;
	}
	return NULL;
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* ret of the flipped entries is what one of the two numbers gives. */
static void results(void)
{
	int i, ppid = getppid();

	for (i = 0; i < FLIPS; i++) {
		__s64 ret = *(volatile __s64 *)&t.entries[i].ret;

		CHECK(ret == ppid || ret == -EPERM, "%d: %lld", i, ret);
	}
}

int main(void)
{
	int i, j, pid = getpid(), seen[2] = { 0, 0 };
	unsigned long batches = 0;
	pthread_t thread;
	double end;

	alarm(HANGS_AFTER);
	signal(SIGPIPE, SIG_IGN);
	table_open(&t);
	memory = pages(1 << 20);
	pair(p);
	listener = MUST(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0));
	MUST(bind(listener, &(struct sockaddr) { .sa_family = AF_UNIX }, sizeof(sa_family_t)));
	MUST(listen(listener, 5));
	watch(&t, p[1], 1, ESCA_HARVEST_RECV);
	watch(&t, listener, 0, ESCA_HARVEST_ACCEPT);
	for (i = 0; i < 256; i++) {
		entry(&t, i, 0, SYS_getppid, 0, 0, 0, 0, 0, 0);
		for (j = 0; j < 6; j++)
			t.entries[i].args[j] = argument(j, 0);
	}
	wait_entry(&t, 255, &zero);
	pthread_create(&thread, NULL, rewrite, NULL);
	for (end = now() + 2; now() < end; batches++) {
		long ran = batch(&t, 0, 256);

		CHECK(ran == 256, "%ld", ran);
		results();
		for (i = 0; i < FLIPS; i++)
			seen[t.entries[i].ret == -EPERM] = 1;
		send(p[0], "abc", 3, MSG_DONTWAIT);
		while (recv(p[1], memory, 4096, MSG_DONTWAIT) > 0)
			;
		if (failures > 20)
			break;
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	CHECK(seen[0] && seen[1], "%lu batches, and no number has changed", batches);
	CHECK(getpid() == pid, "a child has come back");
	CHECK(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD, "there is a child");
	/* The context is as good as before. */
	t.ctl->nfree = 0;
	entry(&t, 0, 0, SYS_getppid, 0, 0, 0, 0, 0, 0);
	CHECK(batch(&t, 0, 1) == 1 && t.entries[0].ret == getppid(), "%lld", t.entries[0].ret);
	table_close(&t);
	printf("%lu batches\n", batches);
	return done();
}
