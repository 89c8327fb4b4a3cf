// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The calls that wait, execute another program or end this one: what is recorded
 * leaves before.
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

EXPORT int sigwait(const sigset_t *set, int *sig)
{
	return WAITS(REAL(sigwait)(set, sig));
}

EXPORT int sigwaitinfo(const sigset_t *set, siginfo_t *info)
{
	return WAITS(REAL(sigwaitinfo)(set, info));
}

EXPORT int sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *ts)
{
	return WAITS(REAL(sigtimedwait)(set, info, ts));
}

EXPORT int fsync(int fd)
{
	return WAITS(REAL(fsync)(fd));
}

EXPORT int fdatasync(int fd)
{
	return WAITS(REAL(fdatasync)(fd));
}

EXPORT int flock(int fd, int op)
{
	return WAITS(REAL(flock)(fd, op));
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

/* Nothing is recorded from now on; what has been by then leaves. */
void off(const char *why)
{
	struct table *t;

	if (bypass())
		return;
	if (why)
		say("esca: the program %s: off from now on", why);
	done = true;
	flush_all();
	begin();
	drain_all(LEAVE_MS);
	for (t = tables; t; t = t->next)
		abandon(t);
	end();
}

/* exit(), behind the program's own handlers; what comes later goes straight through. */
__attribute__((destructor)) static void leaving(void)
{
	off(NULL);
	stats_print();
}

EXPORT void quick_exit(int status)
{
	off(NULL);
	stats_print();
	REAL(quick_exit)(status);
	__builtin_unreachable();
}

/* What we call may be forbidden behind a filter, and the program killed for it. */
EXPORT int prctl(int option, ...)
{
	unsigned long a[4];
	va_list ap;
	int i;

	va_start(ap, option);
	for (i = 0; i < 4; i++)
		a[i] = va_arg(ap, unsigned long);
	va_end(ap);
	if (option == PR_SET_SECCOMP)
		off("filters its calls by seccomp");
	return REAL(prctl)(option, a[0], a[1], a[2], a[3]);
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
	case SYS_epoll_pwait:
		return epoll_pwait(a, (void *)b, c, d, (void *)e);
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
		off("uses io_uring or aio itself");
		break;
	case SYS_seccomp:
		off("filters its calls by seccomp");
		break;
	}
	return REAL(syscall)(nr, a, b, c, d, e, f);
}
