// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Keeps the tracepoint of system calls on until the guest ends.
 *
 * Who switches it patches the kernel's text, by way of an int3, under whatever
 * enters a system call meanwhile. A processor that QEMU before 8.1 emulates can
 * run that int3 after it is gone, and the guest's kernel dies of it. So it is
 * switched once, while one process is awake: init waits for this program, which
 * leaves a child that holds the event.
 */
#include "check.h"

#include <linux/perf_event.h>

int main(void)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_TRACEPOINT,
					.size = sizeof(attr), .disabled = 1 };
	FILE *id = fopen("/sys/kernel/tracing/events/raw_syscalls/sys_enter/id", "r");

	if (!id || fscanf(id, "%llu", &attr.config) != 1) {
		perror("the tracepoint of system calls");
		return 1;
	}
	if (syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0) < 0) {
		perror("perf_event_open");
		return 1;
	}
	if (fork() == 0) {
		close(0);
		close(1);
		close(2);
		for (;;)
			pause();
	}
	return 0;
}
