// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Whose system calls are looked at before they are run. */
#include <linux/module.h>

#include "filter.h"

static bool allow_seccomp;
module_param(allow_seccomp, bool, 0444);
MODULE_PARM_DESC(allow_seccomp,
		 "let tasks under seccomp run batches, which their filters do not see (default: no)");

/*
 * A tracer that stops at each call is a filter like any other. What only writes
 * calls down, audit and the tracepoints of system calls, is none: it sees the ioctl.
 */
unsigned long esca_filters __ro_after_init = SYSCALL_WORK_SYSCALL_USER_DISPATCH |
	SYSCALL_WORK_SYSCALL_TRACE | SYSCALL_WORK_SYSCALL_EMU | SYSCALL_WORK_SECCOMP;

void __init esca_filters_init(void)
{
	if (allow_seccomp)
		esca_filters &= ~SYSCALL_WORK_SECCOMP;
}
