// SPDX-License-Identifier: GPL-2.0 OR MIT
/* What comes to look at system calls while a batch is under way, and tracers. */
#include "check.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>

static struct table t;
static int go[2];	/* its reader installs a filter for all threads, and answers */
static int inside;	/* but not before another is inside a batch */

static void *filter(void *unused)
{
	struct sock_filter all[] = { BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) };
	struct sock_fprog prog = { .len = 1, .filter = all };
	char c;

	(void)unused;
	MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	MUST(recv(go[1], &c, 1, 0));
	while (inside && batch(&t, 0, 0) >= 0)
		sched_yield();
	MUST(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &prog));
	MUST(send(go[1], "y", 1, 0));
	return NULL;
}

/*
 * Entries that have the filter come, and wait until it is there; returns the next. It
 * may be there before the second has begun.
 */
static int filter_comes(int i)
{
	static char c;

	entry(&t, i, 0, SYS_sendto, go[0], (uintptr_t)"x", 1, 0, 0, 0);
	entry(&t, i + 1, 0, SYS_recvfrom, go[0], (uintptr_t)&c, 1, 0, 0, 0);
	return i + 2;
}

/* Of 256 entries the filter comes with the tenth. */
static void in_mid_batch(void)
{
	int i, p[2];
	char buf[8];
	long ran;

	pair(p);
	for (i = 0; i < 256; i++)
		entry(&t, i, ESCA_LINK, SYS_sendto, p[0], (uintptr_t)"z", 1, 0, 0, 0);
	filter_comes(9);
	ran = batch(&t, 0, 256);
	CHECK(ran == 10 || ran == 11, "%ld", ran);
	for (i = 0; i < ran; i++)
		CHECK(t.entries[i].ret == 1, "%d: %lld", i, t.entries[i].ret);
	for (i = ran; i < 256; i++)
		CHECK(t.entries[i].ret == UNWRITTEN, "%d: %lld", i, t.entries[i].ret);
	for (i = 0; i < 9; i++)
		CHECK(recv(p[1], buf, 1, 0) == 1, "%d", i);
	CHECK(recv(p[1], buf, 1, 0) < 0 && errno == EAGAIN, "it was run");
	CHECK(batch(&t, ran, 256 - ran) < 0 && errno == EPERM, "the rest");
}

/* Not even the wait is begun. */
static void before_the_wait(void)
{
	long ran;

	wait_entry(&t, filter_comes(0), NULL);
	ran = batch(&t, 0, 3);
	CHECK((ran == 1 || ran == 2) && t.entries[2].ret == UNWRITTEN, "%ld", ran);
}

/* While it sleeps: its events come, as an edge is reported once, but bare. */
static void during_the_wait(void)
{
	char buf[8];
	long ran;

	/* Nothing is ready until the answer of who has installed the filter. */
	watch(&t, go[0], 1, ESCA_HARVEST_RECV);
	wait_entry(&t, 0, NULL);
	inside = 1;
	MUST(send(go[0], "x", 1, 0));
	do
		ran = batch(&t, 0, 1);
	while (ran < 0 && errno == EBUSY);	/* it was the other that was inside */
	CHECK(ran == 1 && t.entries[0].ret == 1, "%lld", t.entries[0].ret);
	CHECK(t.events[0].fd == go[0] && t.events[0].mask == EPOLLIN, "%x", t.events[0].mask);
	CHECK(t.events[0].slot == -1 && !t.events[0].n && !t.events[0].err, "%d", t.events[0].n);
	CHECK(!t.ctl->recvs && t.ctl->nfree == 16, "%u", t.ctl->recvs);
	CHECK(recv(go[0], buf, 8, MSG_DONTWAIT) == 1, "it was received");
	CHECK(batch(&t, 0, 1) < 0 && errno == EPERM, "another");
}

/* In a process of its own, for a filter is for ever. */
static void with_filter(void (*f)(void))
{
	int status, pid = MUST(fork());
	pthread_t thread;

	if (pid) {
		MUST(waitpid(pid, &status, 0));
		CHECK(status == 3 << 8, "%x", status);
		return;
	}
	alarm(HANGS_AFTER);
	table_open(&t);
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, go));
	pthread_create(&thread, NULL, filter, NULL);
	f();
	pthread_join(thread, NULL);
	_exit(failures ? 1 : 3);
}

/* What a tracee does: a batch of one, whose number it then sends. */
static void tracee(int out)
{
	long ran;

	MUST(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
	for (;;) {
		raise(SIGSTOP);
		t.entries[0].ret = UNWRITTEN;
		ran = batch(&t, 0, 1);
		ran = ran < 0 ? -errno : ran;
		if ((ran == 1) != (t.entries[0].ret == getppid()))
			ran = -9999;
		MUST(write(out, &ran, sizeof(ran)));
	}
}

/* What the tracee's batch gives when it is let go on by request, to its next stop for a signal. */
static long traced(int pid, int in, int request)
{
	int status;
	long ran;

	do {
		MUST(ptrace(request, pid, NULL, NULL));
		MUST(waitpid(pid, &status, 0));
		CHECK(WIFSTOPPED(status), "%x", status);
	} while (WIFSTOPPED(status) && WSTOPSIG(status) != SIGSTOP);
	MUST(read(in, &ran, sizeof(ran)));
	return ran;
}

static void under_tracer(void)
{
	int p[2], pid, status, i;

	MUST(pipe(p));
	pid = MUST(fork());
	if (!pid) {
		alarm(HANGS_AFTER);
		table_open(&t);
		entry(&t, 0, 0, SYS_getppid, 0, 0, 0, 0, 0, 0);
		tracee(p[1]);
	}
	MUST(waitpid(pid, &status, 0));
	MUST(ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)PTRACE_O_TRACESYSGOOD));
	for (i = 0; i < 3; i++) {
		long ran = traced(pid, p[0], PTRACE_CONT);

		CHECK(ran == 1, "a tracer that sees no calls: %ld", ran);
		ran = traced(pid, p[0], PTRACE_SYSCALL);
		CHECK(ran == -EPERM, "a tracer that sees each call: %ld", ran);
	}
	kill(pid, SIGKILL);
	MUST(waitpid(pid, &status, 0));
	close(p[0]);
	close(p[1]);
}

int main(void)
{
	alarm(HANGS_AFTER);
	with_filter(in_mid_batch);
	with_filter(before_the_wait);
	with_filter(during_the_wait);
	under_tracer();
	return done();
}
