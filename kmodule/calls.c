// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * The calls that a table may hold, and where the kernel has them.
 *
 * Only I/O on descriptors: nothing that makes, changes or ends a task or its
 * memory, which would not survive to write its result, and no ioctl, through
 * which a batch could run a batch. Of these, what esca's own loops make is open;
 * the rest for who asks for it, since each open call is one more of the kernel's
 * that a mistake in here would reach.
 */
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/nospec.h>
#include <linux/sched.h>
#include <linux/string.h>
#include <linux/task_work.h>
#include <asm/unistd.h>
#include <asm/cpufeature.h>

#include "calls.h"

#define OPEN(name, nr, wants) { NULL, name, nr, wants, true }
#define SHUT(name, nr, wants) { NULL, name, nr, wants, false }

struct esca_call_desc esca_calls[ESCA_CALLS] __ro_after_init = {
	[ESCA_READ]		= SHUT("read", __NR_read, 2),
	[ESCA_WRITE]		= SHUT("write", __NR_write, 2),
	[ESCA_READV]		= SHUT("readv", __NR_readv, 5),
	[ESCA_WRITEV]		= SHUT("writev", __NR_writev, 5),
	[ESCA_PREAD64]		= SHUT("pread64", __NR_pread64, 2),
	[ESCA_PWRITE64]		= SHUT("pwrite64", __NR_pwrite64, 2),
	[ESCA_SENDTO]		= OPEN("sendto", __NR_sendto, 2),
	[ESCA_SENDMSG]		= OPEN("sendmsg", __NR_sendmsg, 5),
	[ESCA_RECVFROM]		= OPEN("recvfrom", __NR_recvfrom, 2),
	[ESCA_RECVMSG]		= SHUT("recvmsg", __NR_recvmsg, 5),
	[ESCA_SENDFILE]		= OPEN("sendfile", __NR_sendfile, 3),
	[ESCA_SPLICE]		= SHUT("splice", __NR_splice, 4),
	[ESCA_SHUTDOWN]		= OPEN("shutdown", __NR_shutdown, -1),
	[ESCA_CLOSE]		= OPEN("close", __NR_close, -1),
	[ESCA_ACCEPT4]		= OPEN("accept4", __NR_accept4, -1),
	[ESCA_EPOLL_CTL]	= OPEN("epoll_ctl", __NR_epoll_ctl, -1),
	[ESCA_EPOLL_WAIT]	= OPEN("epoll_wait", __NR_epoll_wait, -1),
	[ESCA_EPOLL_PWAIT2]	= OPEN("epoll_pwait2", __NR_epoll_pwait2, -1),
	[ESCA_SETSOCKOPT]	= SHUT("setsockopt", __NR_setsockopt, -1),
	[ESCA_GETSOCKOPT]	= SHUT("getsockopt", __NR_getsockopt, -1),
	[ESCA_OPENAT]		= SHUT("openat", __NR_openat, -1),
	[ESCA_FSTAT]		= SHUT("fstat", __NR_fstat, -1),
	[ESCA_GETPPID]		= OPEN("getppid", __NR_getppid, -1),
	[ESCA_RECVMMSG]		= OPEN("recvmmsg", __NR_recvmmsg, 2),
	[ESCA_SENDMMSG]		= OPEN("sendmmsg", __NR_sendmmsg, 2),
};

static char *calls[ESCA_CALLS];
static unsigned int nr_calls;
module_param_array(calls, charp, &nr_calls, 0444);
MODULE_PARM_DESC(calls, "more calls that a table may hold, by name, or all (default: what esca needs)");

u8 esca_call_of[ESCA_NR_LIMIT] __ro_after_init;
static void (*run_task_work)(void) __ro_after_init;

/*
 * The entry of a function that a probe was put on. With IBT a probe sits behind
 * the ENDBR64 that an indirect call has to land on.
 */
static unsigned long __init entry_of(unsigned long addr)
{
	const u32 endbr64 = 0xfa1e0ff3;

	if (!IS_ENABLED(CONFIG_X86_KERNEL_IBT))
		return addr;
	if (*(u32 *)addr == endbr64)
		return addr;
	if (*(u32 *)(addr - 4) == endbr64)
		return addr - 4;
#ifdef X86_FEATURE_IBT
	if (boot_cpu_has(X86_FEATURE_IBT))
		return 0;	/* sealed: a call would trap */
#endif
	return addr;
}

/*
 * Finds functions by a probe each, which is never armed and taken away again:
 * the kernel's symbols are not for modules to look up by themselves.
 */
static void __init find(const char *const names[], unsigned long addrs[], int n)
{
	static struct kprobe probes[ESCA_CALLS + 1] __initdata;
	struct kprobe *found[ESCA_CALLS + 1];
	int i, nr_found = 0;

	for (i = 0; i < n; i++) {
		probes[i].symbol_name = names[i];
		probes[i].flags = KPROBE_FLAG_DISABLED;
		addrs[i] = 0;
		if (register_kprobe(&probes[i]))
			continue;
		addrs[i] = entry_of((unsigned long)probes[i].addr);
		found[nr_found++] = &probes[i];
	}
	unregister_kprobes(found, nr_found);
}

/* Opens the calls of that name. */
static int __init open_calls(const char *name)
{
	bool all = !strcmp(name, "all"), found = all;
	int i;

	for (i = 0; i < ESCA_CALLS; i++) {
		if (!all && strcmp(name, esca_calls[i].name))
			continue;
		esca_calls[i].open = true;
		found = true;
	}
	if (found)
		return 0;
	pr_err("esca: no table may hold %s: calls= takes names of esca.h's list, or all\n", name);
	return -EINVAL;
}

/* What the kernel calls the handler of a call. */
static const char *__init handler_of(int call)
{
	switch (call) {
	case ESCA_SENDFILE:
		return "sendfile64";
	case ESCA_FSTAT:
		return "newfstat";
	}
	return esca_calls[call].name;
}

int __init esca_calls_init(void)
{
	static char symbols[ESCA_CALLS][32] __initdata;
	const char *names[ESCA_CALLS + 1];
	unsigned long addrs[ESCA_CALLS + 1];
	int i, err;

	for (i = 0; i < nr_calls; i++) {
		err = open_calls(calls[i]);
		if (err)
			return err;
	}
	for (i = 0; i < ESCA_CALLS; i++) {
		snprintf(symbols[i], sizeof(symbols[i]), "__x64_sys_%s", handler_of(i));
		names[i] = symbols[i];
		if (esca_calls[i].open)
			esca_call_of[esca_calls[i].nr] = i + 1;
	}
	names[ESCA_CALLS] = "task_work_run";
	find(names, addrs, ESCA_CALLS + 1);
	for (i = 0; i < ESCA_CALLS; i++) {
		if (!esca_calls[i].open)
			continue;
		esca_calls[i].run = (esca_handler)addrs[i];
		if (!addrs[i])
			pr_warn("esca: this kernel does not offer %s\n", esca_calls[i].name);
	}
	run_task_work = (void (*)(void))addrs[ESCA_CALLS];
	return esca_calls_features() ? 0 : -EOPNOTSUPP;
}

u64 esca_calls_features(void)
{
	u64 features = 0;
	int i;

	for (i = 0; i < ESCA_CALLS; i++)
		if (esca_calls[i].run)
			features |= 1ULL << i;
	return features;
}

bool esca_run_put_off(void)
{
	if (!task_work_pending(current))
		return true;
	if (!run_task_work)
		return false;
	run_task_work();
	return true;
}
