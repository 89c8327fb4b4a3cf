// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Bad memory and bad descriptors in entries, in waits, and in what the process shares. */
#include "check.h"

#include <sys/uio.h>

static struct timespec soon = { .tv_nsec = 1000000 };

/* Runs entry 0 alone. */
static long one(struct table *t)
{
	CHECK(batch(t, 0, 1) == 1, "it is run");
	return t->entries[0].ret;
}

#define ONE(t, ...) ({ entry(t, 0, 0, __VA_ARGS__); one(t); })

static void pointers(struct table *t)
{
	char *gone = pages(4096), *ro = pages(4096);
	unsigned long bad[] = { 0, 1, (uintptr_t)gone, 0x7ffffffff000, 0x800000000000,
				0xffff888000000000, 0xffffffffff600000, ~0UL };
	__u64 ppid = getppid();
	unsigned int i;
	int p[2];

	munmap(gone, 4096);
	mprotect(ro, 4096, PROT_READ);
	pair(p);
	MUST(send(p[0], "abcd", 4, 0));
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		__u64 b = bad[i];

		CHECK(ONE(t, SYS_write, p[1], b, 8, 0, 0, 0) == -EFAULT, "write %llx", b);
		CHECK(ONE(t, SYS_sendto, p[1], b, 8, MSG_DONTWAIT, 0, 0) == -EFAULT, "send %llx", b);
		CHECK(ONE(t, SYS_writev, p[1], b, 1, 0, 0, 0) == -EFAULT, "writev %llx", b);
		CHECK(ONE(t, SYS_sendmsg, p[1], b, 0, 0, 0, 0) == -EFAULT, "sendmsg %llx", b);
		CHECK(ONE(t, SYS_recvmsg, p[1], b, 0, 0, 0, 0) == -EFAULT, "recvmsg %llx", b);
		CHECK(ONE(t, SYS_openat, AT_FDCWD, b, O_RDONLY, 0, 0, 0) == -EFAULT, "open %llx", b);
		CHECK(ONE(t, SYS_fstat, p[1], b, 0, 0, 0, 0) == -EFAULT, "fstat %llx", b);
		CHECK(ONE(t, SYS_epoll_ctl, t->epfd, EPOLL_CTL_ADD, p[1], b, 0, 0) == -EFAULT,
		      "epoll_ctl %llx", b);
		CHECK(ONE(t, SYS_setsockopt, p[1], SOL_SOCKET, SO_SNDBUF, b, 4, 0) == -EFAULT,
		      "setsockopt %llx", b);
	}
	CHECK(ONE(t, SYS_recvfrom, p[1], (uintptr_t)ro, 4, MSG_DONTWAIT, 0, 0) == -EFAULT,
	      "recv to read-only memory");
	CHECK(ONE(t, SYS_getppid, 0, 0, 0, 0, 0, 0) == (long)ppid, "all is well");
	munmap(ro, 4096);
	close(p[0]);
	close(p[1]);
}

static void descriptors(struct table *t)
{
	static const unsigned int calls[] = { SYS_read, SYS_write, SYS_readv, SYS_writev,
		SYS_sendto, SYS_recvfrom, SYS_shutdown, SYS_close, SYS_fstat, SYS_accept4 };
	__u64 fds[] = { -1ULL, 900, 0x7fffffff, 0x80000000, 1ULL << 31 };
	char buf[64] = "";
	unsigned int i, j;

	for (i = 0; i < sizeof(calls) / sizeof(*calls); i++)
		for (j = 0; j < 5; j++)
			CHECK(ONE(t, calls[i], fds[j], (uintptr_t)buf, 0, 0, 0, 0) == -EBADF,
			      "call %u on %lld: %lld", calls[i], fds[j], t->entries[0].ret);
}

static void waits(struct table *t)
{
	char *gone = pages(4096);
	int p[2];

	munmap(gone, 4096);
	pair(p);
	watch(t, p[1], 1, ESCA_HARVEST_RECV);
	MUST(send(p[0], "abcd", 4, 0));
	/* Not last, by another name, for no events, into nowhere, at a bad time. */
	wait_entry(t, 0, &soon);
	entry(t, 1, 0, SYS_getppid, 0, 0, 0, 0, 0, 0);
	CHECK(batch(t, 0, 2) == 2 && t->entries[0].ret == -EINVAL, "%lld", t->entries[0].ret);
	CHECK(t->entries[1].ret == getppid(), "%lld", t->entries[1].ret);
	wait_entry(t, 0, &soon);
	t->entries[0].nr = SYS_epoll_wait;
	CHECK(one(t) == -EINVAL, "epoll_wait");
	t->entries[0].nr = SYS_getppid;
	CHECK(one(t) == -EINVAL, "getppid");
	t->entries[0].nr = ESCA_NOP;
	CHECK(one(t) == -EINVAL, "no call");
	t->entries[0].nr = SYS_exit_group;
	CHECK(one(t) == -EINVAL, "exit_group");
	wait_entry(t, 0, &soon);
	t->entries[0].args[2] = 0;
	CHECK(one(t) == -EINVAL, "no events wanted");
	wait_entry(t, 0, &soon);
	t->entries[0].args[1] = (uintptr_t)gone;
	CHECK(one(t) == -EFAULT, "events to nowhere: %lld", t->entries[0].ret);
	wait_entry(t, 0, (void *)gone);
	CHECK(one(t) == -EFAULT, "time from nowhere: %lld", t->entries[0].ret);
	wait_entry(t, 0, &(struct timespec) { .tv_sec = -1 });
	CHECK(one(t) == -EINVAL, "a time before now: %lld", t->entries[0].ret);
	wait_entry(t, 0, &soon);
	t->entries[0].args[0] = p[1];
	CHECK(one(t) == -EINVAL, "a wait on a socket: %lld", t->entries[0].ret);
	CHECK(t->ctl->ready == 0 && t->ctl->recvs == 0, "%u", t->ctl->ready);
	/* None of these has lost the event. More events than there are do no harm. */
	wait_entry(t, 0, &soon);
	t->entries[0].args[2] = ~0ULL;
	CHECK(one(t) == 1, "%lld", t->entries[0].ret);
	CHECK(t->events[0].n == 4 && t->events[0].slot == 0, "%d", t->events[0].n);
	close(p[0]);
	close(p[1]);
}

/* A socket with data and this in the process's own words: the event must come. */
static struct esca_event look(struct table *t)
{
	struct epoll_event ev = { .events = EPOLLIN };
	int p[2];

	pair(p);
	ev.data.u64 = 1ULL << 32 | p[1];
	MUST(epoll_ctl(t->epfd, EPOLL_CTL_ADD, p[1], &ev));
	MUST(send(p[0], "abcd", 4, 0));
	memset((void *)&t->events[0], 0xee, sizeof(t->events[0]));
	wait_entry(t, 0, &soon);
	CHECK(one(t) == 1, "%lld", t->entries[0].ret);
	close(p[0]);
	close(p[1]);
	CHECK(t->events[0].fd == p[1] && t->events[0].gen == 1, "fd %d", t->events[0].fd);
	CHECK(t->events[0].mask & EPOLLIN, "mask %x", t->events[0].mask);
	return t->events[0];
}

static void own_words(struct table *t)
{
	static const __s32 slots[] = { -1, 16, 17, 0x7fffffff, -0x7fffffff - 1, 0x100000 };
	static const __u32 counts[] = { 0, 17, 0x80000000, ~0U };
	struct esca_event ev;
	unsigned int i;

	for (i = 0; i < t->reg.interest_len; i++)
		t->interest[i] = 1 << 2 | ESCA_HARVEST_RECV;
	for (i = 0; i < sizeof(slots) / sizeof(*slots); i++) {
		t->ctl->nfree = 1;
		t->free[0] = slots[i];
		ev = look(t);
		CHECK(ev.slot == -1 && ev.n == 0 && !ev.err, "slot %d: %d", slots[i], ev.slot);
	}
	for (i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
		t->ctl->nfree = counts[i];
		ev = look(t);
		CHECK(ev.slot == -1 && ev.n == 0 && !ev.err, "nfree %u: %d", counts[i], ev.slot);
		CHECK(t->ctl->nfree == counts[i], "%u", t->ctl->nfree);
	}
	t->ctl->nfree = 1;
	t->free[0] = 15;
	ev = look(t);
	CHECK(ev.slot == 15 && ev.n == 4 && !t->ctl->nfree, "slot %d", ev.slot);
	CHECK(!memcmp(t->slots + 15 * 4096, "abcd", 4), "what it holds");
	t->ctl->nfree = 1;
	mprotect(t->slots, 16 * 4096, PROT_READ);
	ev = look(t);
	CHECK(ev.slot == -1 && ev.err == EFAULT && t->ctl->nfree == 1, "err %d", ev.err);
	munmap(t->slots, 16 * 4096);
	ev = look(t);
	CHECK(ev.slot == -1 && ev.err == EFAULT && t->ctl->nfree == 1, "err %d", ev.err);
	munmap(t->interest, t->reg.interest_len * 4 + 4096);
	ev = look(t);
	CHECK(ev.slot == -1 && ev.err == 0 && t->ctl->nfree == 1, "err %d", ev.err);
}

int main(void)
{
	struct table t;

	alarm(HANGS_AFTER);
	table_open(&t);
	pointers(&t);
	descriptors(&t);
	waits(&t);
	own_words(&t);
	return done();
}
