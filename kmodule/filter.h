/* SPDX-License-Identifier: GPL-2.0 OR MIT */
#ifndef ESCA_FILTER_H
#define ESCA_FILTER_H

#include <linux/compiler.h>
#include <linux/init.h>
#include <linux/thread_info.h>
#include <asm/current.h>

/* What may look at a system call before it is run, as bits of syscall_work. */
extern unsigned long esca_filters;

void __init esca_filters_init(void);

/*
 * Whether something looks at each system call of this task before it is run, and
 * may refuse or change it: no entry may be run past it. It can come at any time,
 * from another thread (SECCOMP_FILTER_FLAG_TSYNC), so ask before each call.
 */
static inline bool esca_filtered(void)
{
	return READ_ONCE(current_thread_info()->syscall_work) & esca_filters;
}

#endif
