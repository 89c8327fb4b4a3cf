// SPDX-License-Identifier: GPL-2.0 OR MIT
/* The end of a process, an exec and a fork, while a thread of it is inside a batch. */
#include "check.h"

static struct table t;
static int spins;	/* the thread runs batches without end, not one wait for ever */

static void *inside(void *unused)
{
	(void)unused;
	/* EBUSY: it was begin() that was inside. */
	while ((batch(&t, 0, spins ? 255 : 1) < 0 && errno == EBUSY) || spins)
		;
	return NULL;
}

/* Opens a context and has a thread inside a batch on it, which no one ends. */
static void begin(void)
{
	pthread_t thread;
	int i;

	table_open(&t);
	if (spins)
		for (i = 0; i < 255; i++)
			entry(&t, i, 0, SYS_getppid, 0, 0, 0, 0, 0, 0);
	else
		wait_entry(&t, 0, NULL);
	pthread_create(&thread, NULL, inside, NULL);
	/* Inside is who makes others fail with EBUSY. */
	while (batch(&t, 0, 0) >= 0)
		sched_yield();
	CHECK(errno == EBUSY, "two at once");
}

/* Runs f in a process of its own, and returns how that ended. */
static int status_of(void (*f)(int), int arg)
{
	int status, pid = MUST(fork());

	if (!pid) {
		failures = 0;
		alarm(HANGS_AFTER);
		f(arg);
		_exit(99);
	}
	MUST(waitpid(pid, &status, 0));
	return status;
}

static void do_exit(int arg)
{
	begin();
	_exit(failures ? 1 : arg);
}

static void do_pthread_exit(int arg)
{
	begin();
	(void)arg;
	/* The first thread is gone; the batch goes on, and the kill ends it. */
	alarm(1);
	pthread_exit(NULL);
}

static void do_kill(int arg)
{
	begin();
	kill(getpid(), arg);
}

static void do_segv(int arg)
{
	begin();
	*(volatile int *)(uintptr_t)arg = 1;
}

/* The descriptor outlives the exec, but not the right to use it. */
static void do_exec(int keep)
{
	char fd[16] = "", size[16] = "";

	begin();
	if (keep) {
		fcntl(t.fd, F_SETFD, 0);
		snprintf(fd, sizeof(fd), "%d", t.fd);
		snprintf(size, sizeof(size), "%llu", t.reg.map_size);
	}
	execl("/proc/self/exe", "abi-life", "exec", fd, size, NULL);
}

static int after_exec(const char *fd_, const char *size)
{
	int fd = atoi(fd_);
	struct esca_register reg = sizes();

	alarm(HANGS_AFTER);
	if (!fd)
		return fcntl(3, F_GETFD) < 0 ? 42 : 1;
	CHECK(ioctl(fd, ESCA_IOC_BATCH, ESCA_BATCH(0, 1)) < 0 && errno == EPERM, "a batch");
	CHECK(mmap(NULL, atoi(size), PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED &&
	      errno == EPERM, "the mapping");
	CHECK(ioctl(fd, ESCA_IOC_REGISTER, &reg) < 0 && errno == EALREADY, "registration");
	close(fd);
	return failures ? 1 : 42;
}

/* A fork beside the batch: the child has nothing of it, the parent all. */
static void do_fork(int arg)
{
	int pid, status;

	begin();
	pid = fork();
	if (!pid) {
		CHECK(batch(&t, 0, 1) < 0 && errno == EPERM, "a batch");
		CHECK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, t.fd, 0) == MAP_FAILED &&
		      errno == EPERM, "the mapping");
		if (failures)
			_exit(1);
		(void)*(volatile __u32 *)&t.ctl->nfree;
		_exit(2);
	}
	MUST(waitpid(pid, &status, 0));
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV, "the child: %x", status);
	CHECK(t.ctl->nfree == 16, "%u", t.ctl->nfree);
	_exit(failures ? 1 : arg);
}


static void *wait_once(void *ran)
{
	do
		*(long *)ran = batch(&t, 0, 1);
	while (*(long *)ran < 0 && errno == EBUSY);
	return NULL;
}

/* Two threads on one context: the second is refused, the first notices nothing. */
static void do_busy(int arg)
{
	struct esca_register reg = sizes();
	pthread_t thread;
	int p[2], i;
	long ran = -1;

	table_open(&t);
	pair(p);
	watch(&t, p[1], 1, ESCA_HARVEST_RECV);
	wait_entry(&t, 0, NULL);
	pthread_create(&thread, NULL, wait_once, &ran);
	while (batch(&t, 1, 0) >= 0)
		sched_yield();
	for (i = 0; i < 100; i++) {
		CHECK(batch(&t, 1, 1) < 0 && errno == EBUSY, "a batch");
		CHECK(ioctl(t.fd, ESCA_IOC_REGISTER, &reg) < 0 && errno == EALREADY, "registration");
	}
	CHECK(t.entries[0].ret == UNWRITTEN, "%lld", t.entries[0].ret);
	MUST(send(p[0], "abc", 3, 0));
	pthread_join(thread, NULL);
	CHECK(ran == 1 && t.entries[0].ret == 1 && t.events[0].n == 3, "ran %ld", ran);
	entry(&t, 0, 0, SYS_getppid, 0, 0, 0, 0, 0, 0);
	CHECK(batch(&t, 0, 1) == 1, "it is free again");
	_exit(failures ? 1 : arg);
}

#define ENDS(f, arg, want)							\
	do {									\
		int s_ = status_of(f, arg);					\
		CHECK(s_ == (want), "%s: %x", #f, s_);				\
	} while (0)

int main(int argc, char **argv)
{
	int i;

	if (argc > 3)
		return after_exec(argv[2], argv[3]);
	alarm(HANGS_AFTER);
	ENDS(do_busy, 5, 5 << 8);
	ENDS(do_pthread_exit, 0, SIGALRM);
	for (i = 0; i < 10; i++) {
		spins = i & 1;
		ENDS(do_exit, 7, 7 << 8);
		ENDS(do_kill, SIGKILL, SIGKILL);
		ENDS(do_kill, SIGTERM, SIGTERM);
		ENDS(do_segv, 8, SIGSEGV);
		ENDS(do_exec, 0, 42 << 8);
		ENDS(do_exec, 1, 42 << 8);
		ENDS(do_fork, 11, 11 << 8);
	}
	return done();
}
