// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Other processes that come of this one. They share its descriptors, so what is
 * recorded leaves before, and what is kept stays the parent's to send.
 */
#include "preload.h"
#include "real.h"

#include <sched.h>
#include <stdarg.h>
#include <string.h>
#include <sys/syscall.h>

/*
 * Another process is about to share descriptors: all, or those that stay open in
 * a program that it executes. What either sends on them from now on is not for us to put off.
 */
void share(bool all)
{
	int i;

	if (bypass())
		return;
	flush_all();
	begin();
	for (i = 0; i <= fds_high(); i++)
		if (fds[i].kind == FD_STREAM && (all || !(fds[i].flags & F_CLOEXEC)))
			fds[i].flags |= F_FOREIGN;
	forked = true;
	end();
}

/* In a child: what was recorded and what was kept is the parent's to send. */
static void tables_forked(void)
{
	struct table *t;
	int i;

	forked_child = true;
	renew_locks();
	for (t = tables; t; t = t->next) {
		for (i = 0; i < t->nrecs; i++)
			if (t->rec[i].fd >= 0)
				fds[t->rec[i].fd].rec = NULL;
		t->nrecs = 0;
		t->fill = 0;
		forget_backlogs(t);
		executor->forget(t);
		t->used = t == thr.table;
		memset(&t->stats, 0, sizeof(t->stats));
	}
	forked_child = false;
	for (i = 0; i <= fds_high(); i++) {
		if (fds[i].kind == FD_STREAM)
			fds[i].flags |= F_FOREIGN;
		else if (fds[i].kind == FD_EPOLL)
			fds[i].flags = F_SHARED;
	}
}

static void before_fork(void)
{
	thr.forking = !bypass();
	if (!thr.forking)
		return;
	share(true);
	begin();
	lock_tables();
}

static void after_fork(void)
{
	if (!thr.forking)
		return;
	thr.forking = false;
	unlock_tables();
	end();
}

static void in_forked(void)
{
	if (!thr.forking)
		return;
	thr.forking = false;
	thr.npending = 0;
	tables_forked();
	end();
}

/* Every fork of libc's runs these, those of daemon() and the like too. */
void watch_forks(void)
{
	pthread_atfork(before_fork, after_fork, in_forked);
}

/* But this one. */
EXPORT pid_t _Fork(void)
{
	pid_t pid;

	before_fork();
	pid = REAL(_Fork)();
	if (pid)
		after_fork();
	else
		in_forked();
	return pid;
}

struct cloned {
	int (*fn)(void *arg);
	void *arg;
};

static int run_cloned(void *arg)
{
	struct cloned c = *(struct cloned *)arg;

	in_forked();
	return c.fn(c.arg);
}

/*
 * Without CLONE_VM it is a fork that begins elsewhere. With it the child is on our memory like
 * that of a vfork, or a thread that libc knows nothing of: nothing is recorded after that.
 */
EXPORT int clone(int (*fn)(void *arg), void *stack, int flags, void *arg, ...)
{
	struct cloned c = { fn, arg };
	void *more[3];
	va_list ap;
	int i, pid;

	va_start(ap, arg);
	for (i = 0; i < 3; i++)
		more[i] = va_arg(ap, void *);
	va_end(ap);
	if (flags & CLONE_VM)
		off("makes processes on its own memory");
	if (flags & CLONE_VM || bypass())
		return REAL(clone)(fn, stack, flags, arg, more[0], more[1], more[2]);
	before_fork();
	pid = REAL(clone)(run_cloned, stack, flags, &c, more[0], more[1], more[2]);
	i = errno;
	after_fork();
	errno = i;
	return pid;
}

/* The address to go on at, from the assembler below. */
__attribute__((used)) void *before_vfork(void)
{
	void *real = (void *)REAL(vfork);

	if (!bypass()) {
		share(false);
		thr.vforked = raw(SYS_getpid);
	}
	return real;
}

/* It returns twice on one stack, which no function written in C survives. */
__asm__(".text\n"
	".globl vfork\n"
	".type vfork, @function\n"
	"vfork:\n"
	"	endbr64\n"
	"	sub $8, %rsp\n"
	"	call before_vfork\n"
	"	add $8, %rsp\n"
	"	jmp *%rax\n"
	".size vfork, . - vfork\n"
	".globl __vfork\n"
	".set __vfork, vfork\n");

/* On the memory of its parent, whose descriptors its calls do not concern. */
bool in_vfork_child(void)
{
	if (raw(SYS_getpid) != thr.vforked)
		return true;
	thr.vforked = 0;
	return false;
}

EXPORT int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
		       const posix_spawnattr_t *attr, char *const argv[], char *const envp[])
{
	share(false);
	return REAL(posix_spawn)(pid, path, actions, attr, argv, envp);
}

EXPORT int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
			const posix_spawnattr_t *attr, char *const argv[], char *const envp[])
{
	share(false);
	return REAL(posix_spawnp)(pid, file, actions, attr, argv, envp);
}

EXPORT FILE *popen(const char *command, const char *mode)
{
	share(false);
	return REAL(popen)(command, mode);
}

EXPORT int system(const char *command)
{
	share(false);
	return REAL(system)(command);
}
