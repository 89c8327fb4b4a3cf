// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The calls that wait, fork, execute another program or end this one: what is
 * recorded leaves before.
 */
#include "preload.h"
#include "real.h"

#include <stdarg.h>
#include <sys/syscall.h>

/* A call that may wait for somebody. */
#define WAITS(call)				\
	({					\
		if (!bypass())			\
			flush_mine();		\
		(call);				\
	})

EXPORT int nanosleep(const struct timespec *ts, struct timespec *left)
{
	return WAITS(REAL(nanosleep)(ts, left));
}

EXPORT int clock_nanosleep(clockid_t clock, int flags, const struct timespec *ts, struct timespec *left)
{
	return WAITS(REAL(clock_nanosleep)(clock, flags, ts, left));
}

EXPORT int usleep(useconds_t us)
{
	return WAITS(REAL(usleep)(us));
}

EXPORT unsigned int sleep(unsigned int s)
{
	return WAITS(REAL(sleep)(s));
}

EXPORT int pause(void)
{
	return WAITS(REAL(pause)());
}

EXPORT int sigsuspend(const sigset_t *mask)
{
	return WAITS(REAL(sigsuspend)(mask));
}

EXPORT pid_t wait(int *status)
{
	return WAITS(REAL(wait)(status));
}

EXPORT pid_t waitpid(pid_t pid, int *status, int options)
{
	if (options & WNOHANG)
		return REAL(waitpid)(pid, status, options);
	return WAITS(REAL(waitpid)(pid, status, options));
}

EXPORT pid_t wait3(int *status, int options, struct rusage *usage)
{
	return WAITS(REAL(wait3)(status, options, usage));
}

EXPORT pid_t wait4(pid_t pid, int *status, int options, struct rusage *usage)
{
	return WAITS(REAL(wait4)(pid, status, options, usage));
}

EXPORT int waitid(idtype_t type, id_t id, siginfo_t *info, int options)
{
	return WAITS(REAL(waitid)(type, id, info, options));
}

EXPORT int pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m)
{
	return WAITS(REAL(pthread_cond_wait)(c, m));
}

EXPORT int pthread_cond_timedwait(pthread_cond_t *c, pthread_mutex_t *m, const struct timespec *ts)
{
	return WAITS(REAL(pthread_cond_timedwait)(c, m, ts));
}

EXPORT int pthread_cond_clockwait(pthread_cond_t *c, pthread_mutex_t *m, clockid_t clock, const struct timespec *ts)
{
	return WAITS(REAL(pthread_cond_clockwait)(c, m, clock, ts));
}

EXPORT int pthread_join(pthread_t thread, void **ret)
{
	return WAITS(REAL(pthread_join)(thread, ret));
}

EXPORT int sem_wait(sem_t *sem)
{
	return WAITS(REAL(sem_wait)(sem));
}

EXPORT int sem_timedwait(sem_t *sem, const struct timespec *ts)
{
	return WAITS(REAL(sem_timedwait)(sem, ts));
}

/*
 * Another process is about to share descriptors: all, or those that stay open in
 * a program that it executes. What either sends on them from now on is not for us to put off.
 */
static void share(bool all)
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

EXPORT pid_t fork(void)
{
	bool ours = !bypass();
	pid_t pid;

	if (ours)
		share(true);
	begin();
	pid = REAL(fork)();
	if (!pid && ours) {
		thr.npending = 0;
		tables_forked();
	}
	end();
	return pid;
}

EXPORT pid_t __fork(void) __attribute__((alias("fork")));
EXPORT pid_t _Fork(void) __attribute__((alias("fork")));

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

/* The process ends, or becomes another program. */
void leave(int ms)
{
	if (bypass())
		return;
	flush_all();
	begin();
	drain_all(ms);
	end();
}

EXPORT int execve(const char *path, char *const argv[], char *const envp[])
{
	leave(LEAVE_MS);
	return REAL(execve)(path, argv, envp);
}

EXPORT int execv(const char *path, char *const argv[])
{
	leave(LEAVE_MS);
	return REAL(execv)(path, argv);
}

EXPORT int execvp(const char *file, char *const argv[])
{
	leave(LEAVE_MS);
	return REAL(execvp)(file, argv);
}

EXPORT int execvpe(const char *file, char *const argv[], char *const envp[])
{
	leave(LEAVE_MS);
	return REAL(execvpe)(file, argv, envp);
}

EXPORT int fexecve(int fd, char *const argv[], char *const envp[])
{
	leave(LEAVE_MS);
	return REAL(fexecve)(fd, argv, envp);
}

/* The list of execl and its like, on the stack as they have it. */
#define LIST(first)							\
	({								\
		va_list ap_;						\
		int n_ = 1;						\
		va_start(ap_, first);					\
		while (va_arg(ap_, char *))				\
			n_++;						\
		va_end(ap_);						\
		char **argv_ = __builtin_alloca((n_ + 1) * sizeof(*argv_));\
		argv_[0] = (char *)(first);				\
		va_start(ap_, first);					\
		for (n_ = 1; (argv_[n_] = va_arg(ap_, char *)); n_++)	\
			;						\
		envp = n_ && with_env ? va_arg(ap_, char **) : environ;	\
		va_end(ap_);						\
		argv_;							\
	})

EXPORT int execl(const char *path, const char *arg, ...)
{
	const bool with_env = false;
	char **envp, **argv = arg ? LIST(arg) : (char *[]){ NULL };

	return execv(path, argv);
	(void)envp;
}

EXPORT int execlp(const char *file, const char *arg, ...)
{
	const bool with_env = false;
	char **envp, **argv = arg ? LIST(arg) : (char *[]){ NULL };

	return execvp(file, argv);
	(void)envp;
}

EXPORT int execle(const char *path, const char *arg, ...)
{
	const bool with_env = true;
	char **envp = environ, **argv = arg ? LIST(arg) : (char *[]){ NULL };

	return execve(path, argv, envp);
}

EXPORT void _exit(int status)
{
	leave(LEAVE_MS);
	stats_print();
	REAL(_exit)(status);
	__builtin_unreachable();
}

EXPORT void _Exit(int status) __attribute__((alias("_exit")));

/* exit(), behind the program's own handlers; what comes later goes straight through. */
__attribute__((destructor)) static void leaving(void)
{
	leave(LEAVE_MS);
	stats_print();
	if (!bypass())
		done = true;
}

/* Calls that concern nothing that is recorded, and are made often. */
static bool harmless(long nr)
{
	switch (nr) {
	case SYS_gettid:
	case SYS_getpid:
	case SYS_getrandom:
	case SYS_clock_gettime:
	case SYS_getcpu:
	case SYS_sched_yield:
	case SYS_madvise:
	case SYS_membarrier:
		return true;
	}
	return false;
}

/*
 * Of the calls by number those that change what is known of a descriptor are made
 * as if by name. A ring is something we cannot see into: from then on nothing is recorded.
 */
EXPORT long syscall(long nr, ...)
{
	long a, b, c, d, e, f;
	va_list ap;

	va_start(ap, nr);
	a = va_arg(ap, long);
	b = va_arg(ap, long);
	c = va_arg(ap, long);
	d = va_arg(ap, long);
	e = va_arg(ap, long);
	f = va_arg(ap, long);
	va_end(ap);
	if (bypass() || harmless(nr))
		return REAL(syscall)(nr, a, b, c, d, e, f);
	flush_all();
	switch (nr) {
	case SYS_close:
		return close(a);
	case SYS_close_range:
		return close_range(a, b, c);
	case SYS_dup:
		return dup(a);
	case SYS_dup2:
		return dup2(a, b);
	case SYS_dup3:
		return dup3(a, b, c);
	case SYS_fcntl:
		return fcntl(a, b, c);
	case SYS_ioctl:
		return ioctl(a, b, c);
	case SYS_accept:
		return accept(a, (void *)b, (void *)c);
	case SYS_accept4:
		return accept4(a, (void *)b, (void *)c, d);
	case SYS_epoll_ctl:
		return epoll_ctl(a, b, c, (void *)d);
	case SYS_epoll_wait:
		return epoll_wait(a, (void *)b, c, d);
	case SYS_epoll_create1:
		return epoll_create1(a);
	case SYS_socket:
		return socket(a, b, c);
	case SYS_shutdown:
		return shutdown(a, b);
	case SYS_setsockopt:
		return setsockopt(a, b, c, (void *)d, e);
	case SYS_write:
		return write(a, (void *)b, c);
	case SYS_writev:
		return writev(a, (void *)b, c);
	case SYS_sendto:
		return sendto(a, (void *)b, c, d, (void *)e, f);
	case SYS_sendmsg:
		return sendmsg(a, (void *)b, c);
	case SYS_sendmmsg:
		return sendmmsg(a, (void *)b, c, d);
	case SYS_sendfile:
		return sendfile(a, b, (void *)c, d);
	case SYS_exit_group:
		_exit(a);
	case SYS_clone:
	case SYS_clone3:
	case SYS_fork:
	case SYS_pidfd_getfd:
		share(true);
		break;
	case SYS_io_uring_setup:
	case SYS_io_submit:
		leave(LEAVE_MS);
		say("esca: the program uses io_uring or aio itself: off from now on");
		done = true;
		break;
	}
	return REAL(syscall)(nr, a, b, c, d, e, f);
}
