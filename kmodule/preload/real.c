// SPDX-License-Identifier: GPL-2.0 OR MIT
/* What is under the wrappers: the next library's calls, and the kernel's own. */
#include "preload.h"
#include "real.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#ifndef __x86_64__
#error "libesca.so is for x86-64, like the module"
#endif

struct reals reals;
int say_fd = -1;

/*
 * Constructors of other libraries may come before ours. It is idempotent, so that
 * two threads may do it.
 */
void resolve(void)
{
#define X(name) reals.name = (__typeof__(&name))dlsym(RTLD_NEXT, #name);
	REALS(X)
#undef X
	__atomic_store_n(&reals.ready, true, __ATOMIC_RELEASE);
}

/* A system call that sets no errno and is no cancellation point: the result, or -errno. */
long raw6(long nr, long a1, long a2, long a3, long a4, long a5, long a6)
{
	register long r10 __asm__("r10") = a4;
	register long r8 __asm__("r8") = a5;
	register long r9 __asm__("r9") = a6;
	long ret;

	__asm__ volatile("syscall" : "=a"(ret)
			 : "a"(nr), "D"(a1), "S"(a2), "d"(a3), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}

int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000L + ts.tv_nsec / 1000000;
}

/* Zeroed memory that is touched only as it is used, or NULL. */
void *pages(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/*
 * Moves a descriptor of ours out of the way of the program, which counts on the
 * lowest free number and may close those that it does not know.
 */
int hide(int fd)
{
	struct rlimit lim;
	long from = 1000, moved;

	if (!getrlimit(RLIMIT_NOFILE, &lim) && lim.rlim_cur < 1024)
		from = lim.rlim_cur > 64 ? lim.rlim_cur - 24 : 0;
	moved = raw(SYS_fcntl, fd, F_DUPFD_CLOEXEC, from);
	if (moved >= 0) {
		raw(SYS_close, fd);
		fd = moved;
	}
	fd_private(fd);
	return fd;
}

/* Says a line, where that has been asked for. */
void say(const char *fmt, ...)
{
	char line[512];
	va_list ap;
	int n;

	if (say_fd < 0)
		return;
	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line) - 1, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	if (n > (int)sizeof(line) - 2)
		n = sizeof(line) - 2;
	line[n++] = '\n';
	raw(SYS_write, say_fd, line, n);
}
