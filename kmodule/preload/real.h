/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* The calls interposed, as the next library has them. */
#ifndef ESCA_REAL_H
#define ESCA_REAL_H

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define REALS(X)								\
	X(send) X(sendto) X(sendmsg) X(sendmmsg) X(write) X(writev)		\
	X(sendfile) X(splice)							\
	X(recv) X(recvfrom) X(recvmsg) X(recvmmsg) X(read) X(readv)		\
	X(shutdown) X(close) X(close_range) X(closefrom)			\
	X(accept) X(accept4) X(connect) X(socket) X(socketpair) X(pipe) X(pipe2)\
	X(dup) X(dup2) X(dup3) X(fcntl) X(ioctl)				\
	X(open) X(openat) X(open64) X(openat64)					\
	X(setsockopt) X(getsockopt) X(fdopen) X(vdprintf)			\
	X(epoll_create) X(epoll_create1) X(epoll_ctl)				\
	X(epoll_wait) X(epoll_pwait) X(epoll_pwait2)				\
	X(poll) X(ppoll) X(select) X(pselect)					\
	X(nanosleep) X(clock_nanosleep) X(usleep) X(sleep) X(pause)		\
	X(sigsuspend) X(wait) X(waitpid) X(wait3) X(wait4) X(waitid)		\
	X(_Fork) X(vfork) X(clone) X(posix_spawn) X(posix_spawnp) X(popen) X(system)	\
	X(execve) X(execv) X(execvp) X(execvpe) X(fexecve)			\
	X(_exit) X(sigaction) X(syscall)					\
	X(pthread_cond_wait) X(pthread_cond_timedwait) X(pthread_cond_clockwait)\
	X(pthread_join) X(sem_wait) X(sem_timedwait)				\
	X(fsync) X(fdatasync) X(flock) X(sigwait) X(sigwaitinfo) X(sigtimedwait)\
	X(fclose) X(quick_exit) X(prctl)

struct reals {
#define X(name) __typeof__(&name) name;
	REALS(X)
#undef X
	bool ready;
};

extern struct reals reals;

#define REAL(fn) (*({ if (unlikely(!reals.ready)) resolve(); &reals; })->fn)

#endif
