// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Tasks whose system calls something looks at may not step around it. */
#include "check.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#endif

static void filter(void)
{
	struct sock_filter all[] = { BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) };
	struct sock_fprog prog = { .len = 1, .filter = all };

	MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	MUST(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog));
}

/* Whether this task is refused everything on t, and on a context of its own. */
static void refused(struct table *t)
{
	struct esca_register reg = t->reg;
	int fd = MUST(open("/dev/esca", O_RDWR | O_CLOEXEC));

	t->entries[0].ret = UNWRITTEN;
	CHECK(batch(t, 0, 1) < 0 && errno == EPERM, "a batch");
	CHECK(batch(t, 0, 0) < 0 && errno == EPERM, "an empty batch");
	CHECK(t->entries[0].ret == UNWRITTEN, "%lld", t->entries[0].ret);
	CHECK(ioctl(fd, ESCA_IOC_REGISTER, &reg) < 0 && errno == EPERM, "registration");
	close(fd);
}

static void allowed(struct table *t)
{
	struct esca_register reg = t->reg;
	int fd = MUST(open("/dev/esca", O_RDWR | O_CLOEXEC));

	CHECK(ioctl(fd, ESCA_IOC_REGISTER, &reg) == 0, "registration");
	close(fd);
	CHECK(batch(t, 0, 1) == 1 && t->entries[0].ret == getppid(), "%lld", t->entries[0].ret);
}

static void *under_seccomp(void *t)
{
	filter();
	refused(t);
	return NULL;
}

static void *still_refused(void *t)
{
	refused(t);
	return NULL;
}

static void *under_dispatch(void *t)
{
	static char selector;	/* SYSCALL_DISPATCH_FILTER_ALLOW */

	MUST(prctl(PR_SET_SYSCALL_USER_DISPATCH, 1, 0, 0, &selector));
	refused(t);
	MUST(prctl(PR_SET_SYSCALL_USER_DISPATCH, 0, 0, 0, 0));
	allowed(t);
	return NULL;
}

static void in_thread(void *(*run)(void *), struct table *t)
{
	pthread_t thread;

	pthread_create(&thread, NULL, run, t);
	pthread_join(thread, NULL);
}

int main(void)
{
	struct table t;

	alarm(HANGS_AFTER);
	table_open(&t);
	entry(&t, 0, 0, SYS_getppid, 0, 0, 0, 0, 0, 0);
	allowed(&t);
	in_thread(under_dispatch, &t);
	allowed(&t);
	/* It is the thread that counts, until its process is under it. */
	in_thread(under_seccomp, &t);
	allowed(&t);
	filter();
	refused(&t);
	in_thread(still_refused, &t);
	table_close(&t);
	return done();
}
