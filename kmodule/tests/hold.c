// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Keeps what its arguments name on until the guest ends: "gro", a socket with
 * UDP_GRO, or "calls", the tracepoint of system calls.
 *
 * Who switches them patches the kernel's text, by way of an int3, under whatever
 * opens or closes a UDP socket, or enters a system call, meanwhile. A processor
 * that QEMU emulates beside another can run that int3 after it is gone
 * (gitlab.com/qemu-project/qemu, issue 4669): a 6.12 guest dies of it, a 6.1 guest
 * stands still. So each is switched once, while one process is awake: init waits
 * for this program, which leaves a child that holds it.
 */
#include "check.h"

#include <linux/perf_event.h>
#include <netinet/udp.h>

#ifndef UDP_GRO
#define UDP_GRO 104
#endif

/* An IPv6 socket switches what IPv4 looks at as well. */
static void hold_gro(void)
{
	int one = 1, fd = MUST(socket(AF_INET6, SOCK_DGRAM, 0));

	MUST(setsockopt(fd, IPPROTO_UDP, UDP_GRO, &one, sizeof(one)));
}

static void hold_calls(void)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_TRACEPOINT,
					.size = sizeof(attr), .disabled = 1 };
	FILE *id = fopen("/sys/kernel/tracing/events/raw_syscalls/sys_enter/id", "r");

	if (!id || fscanf(id, "%llu", &attr.config) != 1) {
		perror("the tracepoint of system calls");
		exit(1);
	}
	MUST(syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0));
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "gro") == 0) {
			hold_gro();
		} else if (strcmp(argv[i], "calls") == 0) {
			hold_calls();
		} else {
			fprintf(stderr, "hold: %s: neither gro nor calls\n", argv[i]);
			return 1;
		}
	}
	if (MUST(fork()) == 0) {
		close(0);
		close(1);
		close(2);
		for (;;)
			pause();
	}
	return 0;
}
